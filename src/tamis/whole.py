"""Files that are whole or not there: written under a temporary name, synced, renamed."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

# The temporary names that `part_of` gives.
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.part")


def write_atomic(path: Path, text: str) -> None:
    """Writes a small file so that a reader sees the old or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    part.write_text(text, encoding="utf-8")
    sync(part)
    os.replace(part, path)
    sync(path.parent)


def part_of(path: Path) -> Path:
    """A temporary name beside a file. Random: on a cluster two processes may have one id."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def sync(path: Path) -> None:
    """Has the disk hold a file's bytes, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
