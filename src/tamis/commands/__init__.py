"""The verbs of the command line by family. Thin: they parse, call one function of a room, and print."""
