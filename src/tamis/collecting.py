"""Signals and edits with settings that no corpus of a workspace refers to any more, collected when a run ends.

Such a folder, NAME@DIGEST, is named after all that decides its columns: a changed setting makes another beside it. It
stays for one run more, so that going back to the former setting measures nothing again, and whoever reads the corpus
while it is made anew keeps his files; then it goes. Nothing goes while tamis.json does not know every corpus that was
made here (it was repaired): what the others refer to is not known before their recipes have run again. Files that Tamis
did not write are left where they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tamis.workspace import DamagedManifest, Workspace

PARTS = ("signals", "edits")


@dataclass(frozen=True)
class Collected:
    """A folder that was removed, with how many files and bytes."""

    folder: str
    files: int
    bytes: int

    def __str__(self) -> str:
        files = f"{self.files:,} file" + ("" if self.files == 1 else "s")
        return f"removed {self.folder}, which no corpus refers to any more: {files}, {self.bytes / 1e6:,.1f} MB"


def collect(work: Workspace) -> list[Collected]:
    """Removes every folder, by name, that no corpus referred to when the run before this one ended, nor does now. The
    caller holds the workspace's lock. Manifests go before their files, so a kill in between leaves files that `tamis
    doctor` names, never a manifest that vouches for what is gone."""
    index = work.index()
    if any(made.name not in index["corpora"] for made in (work.path / "_done" / "corpora").glob("*")):
        return []
    referred = _referred(index["corpora"].values())
    before = set(index.get("unreferred", ()))
    found, waiting = [], []
    for part in PARTS:
        for done in sorted((work.path / "_done" / part).glob("*@*")):
            folder = f"{part}/{done.name}"
            if not done.is_dir() or folder in referred:
                continue
            if folder not in before:
                waiting.append(folder)
                continue
            try:
                manifests = work.manifests(folder)
            except DamagedManifest:
                continue  # what it vouches for is not known: `tamis doctor --repair` comes first
            work.forget(folder, ())
            for empty in (done, work.file(folder)):
                with contextlib.suppress(OSError):  # not empty: somebody else's files
                    empty.rmdir()
            files = [file for manifest in manifests for file in manifest.files]
            found.append(Collected(folder, len(files), sum(file.bytes for file in files)))
    if before != set(waiting):
        work.update_unreferred(waiting)
    return found


def _referred(known: Collection[Mapping[str, Any]]) -> set[str]:
    signals = {f"signals/{extra['folder']}" for corpus in known for extra in corpus.get("extras", ())}
    return signals | {f"edits/{folder}" for corpus in known for folder in corpus.get("last", ())}
