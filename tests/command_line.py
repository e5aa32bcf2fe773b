"""The command line for tests: in this process where its words and files are what is tested, which spares the start of
an interpreter (1.5 s of processor time); as a process of its own where the process is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Said:
    """What a command left: exit code, standard output, standard error."""

    returncode: int
    stdout: str
    stderr: str


def tamis(*arguments: object, code: int | None = 0, cwd: Path | None = None) -> Said:
    """Runs a command in this process. `code` is the exit code that it must have; None for any."""
    from typer.testing import CliRunner

    from tamis.cli import app

    with _within(cwd):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="tamis")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception  # what a user would see as a traceback
    said = Said(done.exit_code, done.stdout, done.stderr)
    assert code is None or said.returncode == code, said
    return said


def process(
    *arguments: object, code: int | None = 0, cwd: Path | None = None, before: Callable[[], None] | None = None
) -> Said:
    """As `tamis`, in a process of its own, in which `before` is called first. Never a traceback on standard error."""
    command = [sys.executable, "-m", "tamis", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, check=False, preexec_fn=before)
    said = Said(done.returncode, done.stdout, done.stderr)
    assert code is None or said.returncode == code, said
    assert "Traceback" not in said.stderr, said.stderr
    return said


@contextmanager
def _within(folder: Path | None):
    before = Path.cwd()
    try:
        os.chdir(folder or before)
        yield
    finally:
        os.chdir(before)
