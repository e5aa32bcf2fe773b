"""Edits that a recipe asks for besides Tamis's own cleaning: the user's functions, PII masks, windows cut out.

The user's own run inside the stage `edits/clean` and so make the clean text. The others come last: every signal reads
the text before them, the corpus is written with them.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.clean.edits import apply_edits, merge, nothing, rebase
from tamis.documents import EDITS, ParquetShard, read_batches, read_table
from tamis.engine import Context
from tamis.extend import EditFailed, ExtensionError
from tamis.quarantine import Slices, guarded

# Part of the stage's key.
VERSION = 1

# an edit that fails on every document of a batch of at least so many is at fault itself
DEFECT = 8

Editor = Callable[[pa.LargeStringArray], pa.ListArray]


@dataclass(frozen=True)
class Failure:
    """A document that an edit of the user failed on. `row`: in the batch. `kind`: the name of what was raised."""

    edit: str
    row: int
    kind: str
    message: str


@dataclass(frozen=True)
class ExtraEdits:
    """Edits with settings. `make`: ``module:function``, called with (params, paths), gives the Editor: from texts
    without nulls to one list of documents.EDIT per text, spans in UTF-8 bytes of that text. `version` of the editor
    and `params` (settings, content hashes of files) are part of the key, `paths` are not. `prepare`: as of
    `signals.extra.ExtraGroup`; its files stand in `paths`."""

    name: str
    make: str
    version: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    prepare: str | None = None

    @property
    def folder(self) -> str:
        """NAME@DIGEST: of everything that decides the edits."""
        body = json.dumps([self.make, self.version, self.params], sort_keys=True)
        return f"{self.name}@{hashlib.blake2b(body.encode(), digest_size=4).hexdigest()}"

    @property
    def editor(self) -> Editor:
        module, _, function = self.make.partition(":")
        made: Editor = getattr(importlib.import_module(module), function)(dict(self.params), dict(self.paths))
        return made

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> ExtraEdits:
        return ExtraEdits(**body)


def edit_further(
    text: pa.LargeStringArray, edits: pa.ListArray, extra: ExtraEdits, failures: list[Failure]
) -> pa.ListArray:
    """`edits` of extracted text with those added that `extra` makes on the text that they give.

    A document on which it fails has none of its edits and is added to `failures`. Raises ExtensionError where it
    fails on all of eight or more: that is a defect, not a property of documents.
    """
    return merge(edits, rebase(_made(extra, apply_edits(text, edits), failures), edits))


def _made(extra: ExtraEdits, text: pa.LargeStringArray, failures: list[Failure]) -> pa.ListArray:
    editor = extra.editor
    try:
        return editor(text)
    except EditFailed:
        pass
    made: list[pa.ListArray] = []
    failed: list[Failure] = []
    for row in range(len(text)):
        try:
            made.append(editor(text.slice(row, 1)))
        except EditFailed as error:
            failed.append(Failure(extra.name, row, error.kind, str(error)))
            made.append(nothing(1))
    if len(failed) == len(text) >= DEFECT:
        raise ExtensionError(f"{failed[0].message}; it failed on all {len(text):,} documents of a batch")
    failures += failed
    return pa.concat_arrays(made)


def extra_edits_task(
    context: Context, params: Mapping[str, Any], inputs: list[Path], outputs: list[Path]
) -> dict[str, Any]:
    """inputs: documents of a shard, `params["edits"]` files of edits, then prepared files; outputs: the further edits.

    params: ``extra`` (ExtraEdits without paths), ``edits`` (how many files), ``prepared`` (name -> index in `inputs`),
    ``paths``. A document that kills or hangs its worker even alone has no edits and is `lost`; null text has none.
    Memory: one row group of text, the shard's edits.

    Returns {"in", "out" (documents), "reasons": {}, "edits": {group: {rule: count}}, "edited", "lost"}.
    """
    prepared = {name: str(inputs[index]) for name, index in (params.get("prepared") or {}).items()}
    extra = ExtraEdits.from_json({**params["extra"], "paths": {**params.get("paths", {}), **prepared}})
    before = [_one(read_table(path, ["edits"]).column("edits")) for path in inputs[1 : 1 + params["edits"]]]
    counts: Counter[str] = Counter()
    documents = edited = lost = 0
    said = f"{inputs[0].stem}: the document stays, without the edits of {extra.name}"
    with ParquetShard(outputs[0], EDITS) as shard:
        for batch in read_batches(inputs[0], ["text"]):
            text = batch.column("text")
            text = text.fill_null("") if text.null_count else text
            rows = range(documents, documents + batch.num_rows)
            cut = Slices(text, *(edits.slice(documents, batch.num_rows) for edits in before))
            for start, stop, made in guarded(context, rows, cut, _further, extra, said=said):
                lost += made is None
                edits = nothing(stop - start) if made is None else made
                shard.write(pa.RecordBatch.from_arrays([edits], schema=EDITS))
                counts.update(edits.flatten().field("rule").to_pylist())
                edited += int(np.count_nonzero(np.diff(edits.offsets.to_numpy())))
            documents += batch.num_rows
            context.advance(batch.num_rows)
    return {
        "in": documents,
        "out": documents,
        "reasons": {},
        "edits": {extra.name: dict(sorted(counts.items()))},
        "edited": edited,
        "lost": lost,
    }


def _further(piece: Any, extra: ExtraEdits) -> pa.ListArray:
    """Only the new edits, in coordinates of the extracted text; `merge` with the former ones gives the final state."""
    text, *before = piece if isinstance(piece, tuple) else (piece,)
    edits = nothing(len(text))
    for more in before:
        edits = merge(edits, more)
    return rebase(extra.editor(apply_edits(text, edits)), edits)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()
