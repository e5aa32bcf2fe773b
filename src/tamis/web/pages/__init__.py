"""One file of routes per subject; each has `router(site)`."""
