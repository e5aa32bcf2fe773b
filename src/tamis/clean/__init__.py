"""Records to text, and text to clean text: extraction, Unicode repair, boilerplate, line filters."""
