"""Famous statements about data and scale, each an experiment that anyone can run: one file a claim."""
