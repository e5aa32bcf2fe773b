"""The two kinds of expected errors, which decide the exit code of a command.

Rooms subclass one of them beside the built-in that fits (`class NotSeparable(ValueError, SaidNo)`); the command line
prints the message and leaves with that code. Anything else is a defect and shows its traceback.
"""

from __future__ import annotations


class WrongUse(Exception):
    """The command, the recipe or a file was given wrongly: exit code 2."""


class SaidNo(Exception):
    """The data or a check says no: exit code 1."""
