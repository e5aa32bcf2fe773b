"""People: tasks, raters, their labels, what the labels agree on and what they are worth."""
