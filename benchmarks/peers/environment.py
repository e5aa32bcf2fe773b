"""Environments in which the peers run, made once and kept: what a peer needs often clashes with what Tamis needs."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

# `processing` and `io` are datatrove's extras for filters and for WARC; spaCy is its English tokenizer (the blank
# model, no download); lxml_html_clean is what the trafilatura that datatrove pins no longer gets from lxml.
DATATROVE = ("datatrove[processing,io]==0.10.*", "spacy>=3.8", "xxhash<4", "lxml_html_clean")


def datatrove(folder: Path) -> Path:
    """The Python of datatrove's environment below `folder`, made if it is not there.

    FastWARC and Resiliparse get the versions that Tamis has here, so that both sides extract with the same code.
    Raises CalledProcessError where pip fails.
    """
    same = [f"{name}=={importlib.metadata.version(name)}" for name in ("fastwarc", "resiliparse")]
    return _environment(folder / "datatrove", [*DATATROVE, *same])


def _environment(folder: Path, requirements: list[str]) -> Path:
    python = folder.absolute() / "bin" / "python"
    ready = folder / "requirements.txt"  # written last: an environment without it is not whole
    wanted = "\n".join(requirements) + "\n"
    if ready.exists() and ready.read_text() == wanted:
        return python
    print(f"making {folder} with {', '.join(requirements)}", file=sys.stderr)
    if folder.exists():
        shutil.rmtree(folder)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *requirements], check=True, stdout=sys.stderr)
    ready.write_text(wanted)
    return python
