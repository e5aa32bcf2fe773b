"""What people see while a run goes on: one line a stage on standard error.

On a terminal the line of the running stage moves in place; elsewhere a stage gets one line when it ends and one every
15 seconds while it runs. Results for people go to standard output elsewhere; nothing here is ever parsed.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from tamis.stage import Manifest
from tamis.workspace import Progress

WIDTH = 24
# Without a terminal a running stage says so this often.
QUIET_SECONDS = 15.0


def clock(seconds: float) -> str:
    """`0m02`, `1h07`: as short as it stays readable."""
    whole = round(seconds)
    return f"{whole // 3600}h{whole % 3600 // 60:02}" if whole >= 3600 else f"{whole // 60}m{whole % 60:02}"


def size(amount: float) -> str:
    """Bytes as people say them: `940 B`, `4.4 GB` (powers of ten)."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def several(count: int, noun: str) -> str:
    """`1 shard`, `1,200 shards`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class ConsoleProgress(Progress):
    """Draws stages. `describe` turns a finished stage's manifests into the words at the end of its line."""

    def __init__(
        self, describe: Callable[[str, Sequence[Manifest]], str] | None = None, stream: TextIO | None = None
    ) -> None:
        self._out = stream or sys.stderr
        self._live = self._out.isatty()
        self._describe = describe or (lambda _stage, _manifests: "")
        self._stage, self._tasks, self._reused, self._done, self._amount = "", 0, 0, 0, 0
        self._began = self._drawn = 0.0

    def begin(self, stage: str, tasks: int, reused: int) -> None:
        self._stage, self._tasks, self._reused, self._done, self._amount = stage, tasks, reused, 0, 0
        self._began = self._drawn = time.monotonic()
        if self._live:
            self._drawn = 0.0
            self._draw()

    def advance(self, stage: str, amount: int) -> None:
        self._amount += amount
        self._draw()

    def done(self, stage: str, task: str, summary: dict[str, Any]) -> None:
        self._done += 1
        self._draw()

    def end(self, stage: str, manifests: Sequence[Manifest], seconds: float) -> None:
        words = self._describe(stage, manifests)
        time_taken = "reused" if self._reused == self._tasks else clock(seconds)
        some = f"  ({self._reused} reused)" if 0 < self._reused < self._tasks else ""
        told = f"{words}  {time_taken}" if words else time_taken
        self._line(f"{_name(stage)} {self._tasks:>4}/{self._tasks:<4} {told}{some}")

    def say(self, line: str) -> None:
        self._line(line)

    def _line(self, text: str) -> None:
        erase = "\r\x1b[2K" if self._live else ""
        self._write(f"{erase}{text}\n")

    def _write(self, text: str) -> None:
        """Whoever stops listening (`2>&1 | head`) does not stop the run."""
        with contextlib.suppress(BrokenPipeError):
            self._out.write(text)
            self._out.flush()

    def _draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn < (0.1 if self._live else QUIET_SECONDS):
            return
        todo = self._tasks - self._reused
        self._drawn = now
        share = self._done / todo if todo else 1.0
        filled = round(WIDTH * share)
        elapsed = now - self._began
        left = f"about {clock(elapsed / share - elapsed)} left" if 0 < share < 1 and elapsed > 2 else ""
        amount = f"{self._amount:,} so far" if self._amount else ""
        bar = "#" * filled + "-" * (WIDTH - filled)
        text = f"{_name(self._stage)} {self._reused + self._done:>4}/{self._tasks:<4} {bar}  {amount}  {left}".rstrip()
        self._write(f"\r\x1b[2K{text}" if self._live else f"{text}\n")


class TaskBar:
    """One line that counts, for work that is no stage; silent where nobody looks. Use as a context manager."""

    def __init__(self, name: str, unit: str, stream: TextIO | None = None) -> None:
        self._out = stream or sys.stderr
        self._name, self._unit = name, unit
        self._live = self._out.isatty()
        self._drawn = 0.0

    def __enter__(self) -> TaskBar:
        return self

    def at(self, amount: int) -> None:
        now = time.monotonic()
        if self._live and now - self._drawn > 0.1:
            self._drawn = now
            self._out.write(f"\r\x1b[2K{_name(self._name)} {amount:,} {self._unit}")
            self._out.flush()

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._out.write("\r\x1b[2K")


def _name(stage: str) -> str:
    """`corpora/NAME/verdicts` is `verdicts` to people."""
    parts = stage.split("/")
    return f"{'/'.join(parts[2:]) if parts[0] == 'corpora' else stage:<22}"
