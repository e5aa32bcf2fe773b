"""The texts that a model is trained on: corpora of workspaces, or files. A stream of batches, never the whole.

A name is a corpus, ``[WORK:]NAME``, whose kept documents are read with their edits applied, or a file, a folder or a
glob of JSON Lines, Parquet or plain text. A file of that name is taken before a corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.errors import WrongUse

TEXTS = pa.schema([pa.field("text", pa.large_string(), nullable=False), pa.field("url", pa.string())])
BATCH_BYTES = 4 << 20
SHOWN_VALUES = 5


class NoText(ValueError, WrongUse):
    """A name that is neither a corpus nor a file of texts, or holds none."""


@dataclass
class Texts:
    """Documents by name. Iterating reads them from the beginning; afterwards `seen` describes what was read."""

    names: tuple[str, ...]
    work: Path = Path("workspace")
    text_field: str = "text"
    where: str | None = None  # of a Parquet or JSONL row: FIELD=VALUE
    seen: dict[str, Any] = field(default_factory=dict)
    # a few of the values that the field of `where` has, for the message where it has no other
    _values: set[str] = field(default_factory=set, repr=False)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches of TEXTS of about 4 MB, without null and empty texts. Raises NoText where there is nothing."""
        digest = hashlib.blake2b(digest_size=16)
        documents = size = 0
        for name in self.names:
            for batch in self._of(name):
                batch = batch.filter(pc.greater(pc.binary_length(batch.column("text")), 0))
                if not batch.num_rows:
                    continue
                for text in batch.column("text"):
                    data = text.as_buffer()
                    digest.update(len(data).to_bytes(8, "little"))
                    digest.update(data)
                    size += len(data)
                documents += batch.num_rows
                yield batch
        if not documents:
            raise NoText(f"{', '.join(self.names)}: {self._nothing()}")
        self.seen = {"names": list(self.names), "documents": documents, "bytes": size, "digest": digest.hexdigest()}

    def _of(self, name: str) -> Iterator[pa.RecordBatch]:
        if Path(name).exists() or has_magic(name):
            return self._files(name)
        if self.where:
            raise NoText(f"{name} is no file: FIELD=VALUE chooses rows of files, a corpus is chosen from by its rules")
        return self._corpus(name)

    def _nothing(self) -> str:
        """Why no text was found."""
        if not self.where:
            return "no document has a text"
        key = self.where.partition("=")[0]
        if not self._values:
            return f"no row has a field {key} with a short value, so none has {self.where}"
        return f"no row with a text has {self.where}; {key} is {', '.join(sorted(self._values))}"

    def _corpus(self, name: str) -> Iterator[pa.RecordBatch]:
        from tamis.corpora import Corpus
        from tamis.documents import read_batches
        from tamis.workspace import Workspace

        folder, colon, last = name.rpartition(":")
        home = Path(folder) if colon else self.work
        if not (home / "tamis.json").exists():
            raise NoText(f"{name}: there is no such file, and {home} is no workspace with a corpus of that name")
        work = Workspace(home)
        manifests = Corpus(work, last).manifests("kept")
        if not manifests:
            raise NoText(f"{name}: the corpus keeps no text yet, run its recipe again")
        for manifest in manifests:
            for batch in read_batches(work.file(manifest.files[0].path), ["text", "url"], batch_bytes=BATCH_BYTES):
                yield batch.select(["text", "url"]).cast(TEXTS)

    def _files(self, name: str) -> Iterator[pa.RecordBatch]:
        from tamis import sources

        options: dict[str, Any] = {"text_field": self.text_field}
        key, equals, value = (self.where or "").partition("=")
        if self.where and not (key and equals):
            raise NoText(f"{self.where}: write FIELD=VALUE")
        if key:
            options["meta_fields"] = [key]
        texts: list[str] = []
        urls: list[str | None] = []
        size = 0
        for split in sources.plan(sources.SourceSpec("texts", [name], None, options)):
            if split.format not in ("jsonl", "parquet", "text"):
                raise NoText(
                    f"{split.path} is {split.format}: models learn from JSON Lines, Parquet and text. Run a recipe on "
                    "it and name the corpus."
                )
            for record in sources.read(split):
                if isinstance(record, sources.Loss):
                    if record.reason.startswith("source.") and record.reason != "source.empty":
                        raise NoText(f"{record.file}, {record.detail} ({record.reason})")
                    continue
                if key and str(record.meta.get(key)) != value:
                    if key in record.meta and len(self._values) < SHOWN_VALUES:
                        self._values.add(str(record.meta[key])[:40])
                    continue
                texts.append(record.payload.decode("utf-8", "replace"))
                urls.append(record.url)
                size += len(record.payload)
                if size >= BATCH_BYTES:
                    yield _batch(texts, urls)
                    texts, urls, size = [], [], 0
        if texts:
            yield _batch(texts, urls)


def _batch(texts: Sequence[str], urls: Sequence[str | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(texts, pa.large_string()), pa.array(urls, pa.string())], schema=TEXTS)


def group_of(url: str | None) -> str | None:
    """What documents of one origin share: the host of the URL, without `www.`; None where there is none."""
    from urllib.parse import urlsplit

    if not url or "//" not in url:
        return None
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return host.removeprefix("www.") if host else None
