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

# pandas 3 changes which class gets a tie in a majority vote, and scikit-learn from 1.6 on breaks two methods.
CROWD_KIT = ("crowd-kit==1.4.*", "pandas<3", "scikit-learn<1.6", "krippendorff>=0.8")


def crowd_kit(folder: Path) -> Path:
    """The Python of crowd-kit's environment below `folder`, made if it is not there; with pln-fing-udelar's
    krippendorff. Raises CalledProcessError where pip fails."""
    return _environment(folder / "crowd-kit", list(CROWD_KIT))


# dolma's own pins of s3fs and boto3 take pip hours to reconcile; these go together. uniseg comes with it.
DOLMA = ("dolma==1.2.1", "boto3==1.28.17", "botocore==1.31.17", "aiobotocore==2.5.4", "numpy<2")


def dolma(folder: Path) -> Path:
    """The Python of dolma's environment below `folder`, made if it is not there. It needs numpy 1."""
    return _environment(folder / "dolma", list(DOLMA))


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
