"""Rows of small files of lines: JSON Lines, plain or compressed by gzip, a row an object. Sources read larger ones."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ENDINGS = (".jsonl", ".jsonl.gz", ".ndjson")


class BadRow(ValueError):
    """A file of lines that cannot be read. `said` of `line`, or of what comes behind it."""

    def __init__(self, place: str, line: int, said: str) -> None:
        super().__init__(f"{place}{said}")
        self.line, self.said = line, said


def json_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of every line that is not blank, lines counted from 1. Raises BadRow."""
    number = 0
    opened = gzip.open if file.name.lower().endswith(".gz") else open
    with opened(file, "rt", encoding="utf-8", newline="\n") as lines:
        try:
            for line in lines:
                number += 1
                if line.strip():
                    yield number, _row(file, number, line)
        except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
            said = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise BadRow(f"{file} ", number, f"cannot be read behind line {number:,}: {said}") from None


def _row(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadRow(f"{file}, line {number}, ", number, f"is no JSON: {error}") from None
    if not isinstance(row, dict):
        raise BadRow(f"{file}, line {number}, ", number, f"is no JSON object but {type(row).__name__}")
    return row
