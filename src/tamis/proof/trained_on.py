"""What a proof trains on: the documents of a corpus as it was written, or of a workspace before any rule.

A corpus is named `[WORK:]NAME`. `raw`, where no corpus has that name, is everything that the workspace extracted, as
the extractor returned it: no edits, no rules, no deduplication. Every reader gives the same documents in the same
order each time, and an identity that changes with them.

Memory: one row group of text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tamis.corpora import Corpus
from tamis.corpus.kept import kept_batches
from tamis.documents import cut, read_batches
from tamis.stage import File, hash_file
from tamis.workspace import Workspace, WorkspaceError

RAW = "raw"


class Texts(Protocol):
    """Documents to train on. name: for people. batches: (ids, texts) as Arrow arrays of equal length, ids of 32
    hexadecimal digits (one may come again, where a mixture repeats documents), texts large strings, neither null nor
    empty; the same at each call. identity: JSON, equal only where the documents are."""

    @property
    def name(self) -> str: ...

    def batches(self) -> Iterator[tuple[pa.Array, pa.Array]]: ...

    def identity(self) -> dict[str, Any]: ...


class TrainedOn:
    """Fulfils `Texts` for `[WORK:]NAME`. Raises WorkspaceError where there is no such corpus, or it is not whole."""

    def __init__(self, work: Path | str, name: str) -> None:
        folder, colon, self._corpus = name.rpartition(":")
        self.work = Workspace(folder if colon else work)
        self._raw = self._corpus == RAW and RAW not in self.work.index()["corpora"]
        self._shown = name
        self.corpus = None if self._raw else Corpus(self.work, self._corpus)

    @property
    def name(self) -> str:
        return self._shown

    @property
    def label(self) -> str:
        """One line for people: what these documents are."""
        if self.corpus is None:
            return f"everything that {self.work.path} extracted, before any rule"
        return f"the corpus {self._corpus} of {self.work.path}, recipe {self.corpus.recipe}"

    @cached_property
    def _files(self) -> list[File]:
        if self._raw:
            found = [manifest.files[0] for manifest in self.work.manifests("documents")]
            wanted = "documents"
        else:
            home = f"corpora/{self._corpus}"
            made = self.work.manifests(f"{home}/tokens") or self.work.manifests(f"{home}/text")
            found = [manifest.files[0] for manifest in made]
            wanted = f"text of the corpus {self._corpus}"
        missing = [one.path for one in found if not self.work.file(one.path).exists()]
        if not found or missing:
            said = f": {missing[0]} is gone" if missing else ""
            raise WorkspaceError(f"{self.work.path} does not hold the {wanted}{said}. Run its recipe again.")
        return found

    def batches(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        for file in self._files:
            for batch in read_batches(self.work.file(file.path), ["id", "text"]):
                yield from _whole(batch)

    def identity(self) -> dict[str, Any]:
        digest = hashlib.blake2b(digest_size=16)
        for file in self._files:
            digest.update(f"{file.hash}\n".encode())
        return {"kind": "extracted" if self._raw else "corpus", "files": len(self._files), "hash": digest.hexdigest()}


class Rejudged:
    """Fulfils `Texts`: a corpus of a workspace under other verdicts, with its edits. verdicts: one file of `VERDICTS`
    rows a shard, in the order of shards. A mixture's copies are left out: every kept document comes once."""

    def __init__(self, corpus: Corpus, verdicts: Sequence[Path], name: str) -> None:
        if len(verdicts) != corpus.shards:
            raise ValueError(f"{len(verdicts)} files of verdicts for {corpus.shards} shards of {corpus.corpus}")
        self.corpus, self._verdicts, self._name = corpus, list(verdicts), name

    @property
    def name(self) -> str:
        return self._name

    def _edits(self, shard: int) -> list[Path]:
        groups = [*self.corpus.edit_groups(), *self.corpus.last_edit_groups()]
        return [path for group in groups if (path := self.corpus.edits(group, shard)) is not None]

    def batches(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        for shard, verdicts in enumerate(self._verdicts):
            for batch, _ in kept_batches(self.corpus.documents(shard), verdicts, self._edits(shard)):
                for part in cut(batch.select(["id", "text"])):
                    yield from _whole(part)

    def identity(self) -> dict[str, Any]:
        digest = hashlib.blake2b(digest_size=16)
        for stage in ("documents", *(f"edits/{g}" for g in self.corpus.edit_groups() + self.corpus.last_edit_groups())):
            for manifest in self.corpus.work.manifests(stage):
                digest.update(f"{stage} {manifest.files[0].hash}\n".encode())
        for path in self._verdicts:
            digest.update(f"{hash_file(path)}\n".encode())
        return {"kind": "rejudged", "files": len(self._verdicts), "hash": digest.hexdigest()}


def _whole(batch: pa.RecordBatch) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Rows with a text that is not empty."""
    text = batch.column("text")
    mask = pc.fill_null(pc.greater(pc.binary_length(text), 0), False)
    if batch.num_rows and pc.any(mask).as_py():
        yield batch.column("id").filter(mask), text.filter(mask).cast(pa.large_string())
