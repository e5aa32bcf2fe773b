"""From extracted text to edits: the group `clean`, and the trims that a recipe's presets ask for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.clean.boilerplate import boilerplate_edits
from tamis.clean.edits import apply_edits, merge, nothing, rebase
from tamis.clean.extra import ExtraEdits, Failure, edit_further
from tamis.clean.lines import TrimName, trims
from tamis.clean.unicode import unicode_edits
from tamis.documents import EDITS, ParquetShard, read_batches, read_table
from tamis.engine import Context
from tamis.quarantine import Slices, guarded

logger = logging.getLogger(__name__)

# Parts of the stages' keys.
EDITS_VERSION = 1
TRIMS_VERSION = 1


@dataclass(frozen=True)
class CleanOptions:
    """Which repairs the edit group `clean` holds."""

    unicode: bool = True
    boilerplate: bool = True

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> CleanOptions:
        """From the recipe's section clean; other keys are not read."""
        return cls(bool(params.get("unicode", True)), bool(params.get("boilerplate", True)))


def clean_edits(
    text: pa.LargeStringArray,
    options: CleanOptions = CleanOptions(),
    extra: Sequence[ExtraEdits] = (),
) -> pa.ListArray:
    """The edits of extracted text (no nulls) that make it clean: Unicode repair, boilerplate lines, the recipe's own.

    One list of documents.EDIT per document. Memory: a few times the batch.
    """
    edits = unicode_edits(text) if options.unicode else nothing(len(text))
    if options.boilerplate:
        edits = merge(edits, rebase(boilerplate_edits(apply_edits(text, edits)), edits))
    return _own_edits(text, edits, extra, [])


def _own_edits(
    text: pa.LargeStringArray, edits: pa.ListArray, extra: Sequence[ExtraEdits], failures: list[Failure]
) -> pa.ListArray:
    for one in extra:
        edits = edit_further(text, edits, one, failures)
    return edits


def _edits_and_failures(
    text: pa.LargeStringArray, options: CleanOptions, extra: Sequence[ExtraEdits]
) -> tuple[pa.ListArray, list[Failure]]:
    """What `clean_edits` gives, and what the recipe's own edits failed on: a worker of its own must send both."""
    failures: list[Failure] = []
    return _own_edits(text, clean_edits(text, options), extra, failures), failures


def edits_task(context: Context, params: Mapping[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: documents of a shard; outputs: its edits of the group `clean`, a row per document.

    `params`: the recipe's section clean (`unicode`, `boilerplate`), `extra` (the recipe's own edits as JSON without
    paths) and their `paths`. Documents with null text have no edits.
    Nor has one that kills or hangs its worker even alone: it is `lost`. One on which an edit of the recipe raises has
    none of that edit, and is counted in `failed`. Memory: one row group of text, a few batches.

    Returns {"in", "out" (documents), "reasons": {}, "edits": {"clean": {rule: count}}, "edited", "bytes", "lost"} and,
    where an edit failed, "failed": {edit: {type of exception: documents}}.
    """
    options = CleanOptions.from_params(params)
    extra = extra_edits_of(params)
    counts: Counter[str] = Counter()
    failed: dict[str, Counter[str]] = {}
    documents = edited = size = lost = 0
    with ParquetShard(outputs[0], EDITS) as shard:
        for batch in read_batches(inputs[0], ["id", "text"]):
            text = _without_nulls(batch.column("text"))
            rows = range(documents, documents + batch.num_rows)
            function: Callable[..., Any] = _edits_and_failures if extra else clean_edits
            said = f"{inputs[0].stem}: the document stays, without edits"
            for start, stop, made in guarded(context, rows, Slices(text), function, options, extra, said=said):
                if made is None:
                    lost += 1
                    edits = nothing(stop - start)
                elif isinstance(made, tuple):
                    edits, failures = made
                    _count(failed, failures, batch.column("id").slice(start))
                else:
                    edits = made
                shard.write(pa.RecordBatch.from_arrays([edits], schema=EDITS))
                counts.update(edits.flatten().field("rule").to_pylist())
                edited += int(np.count_nonzero(np.diff(edits.offsets.to_numpy())))
            documents += batch.num_rows
            size += text.nbytes
            context.advance(batch.num_rows)
    return {
        "in": documents,
        "out": documents,
        "reasons": {},
        "edits": {"clean": dict(sorted(counts.items()))},
        "edited": edited,
        "bytes": size,
        "lost": lost,
        **({"failed": {name: dict(sorted(kinds.items())) for name, kinds in sorted(failed.items())}} if failed else {}),
    }


def _count(failed: dict[str, Counter[str]], failures: Sequence[Failure], ids: pa.Array) -> None:
    """Adds failures up; the first of an edit is warned of, with the document's id."""
    for one in failures:
        if one.edit not in failed:
            logger.warning(
                "document %s goes on without the edits of %s: %s", ids[one.row].as_py(), one.edit, one.message
            )
        failed.setdefault(one.edit, Counter())[one.kind] += 1


def trims_task(context: Context, params: Mapping[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: documents, clean edits and `lang` signals of a shard; outputs: the edits of each trim, row by row.

    `params`: {"trims": names}. The filters count words between spaces and look for Latin marks, so documents in a
    language without spaces (`lang.spaced` false) have no edits. The edits are in coordinates of the extracted text;
    the final text is that with `merge(clean, trim)` applied. A document that kills or hangs its worker even alone has
    no edits and is `lost`. Memory: one row group of text, the shard's clean edits.

    Returns {"in", "out" (documents), "reasons": {}, "edits": {trim: {rule: count}}, "lost"}.
    """
    names: list[TrimName] = list(params["trims"])
    if len(outputs) != len(names):
        raise ValueError(f"{len(outputs)} outputs for {len(names)} trims")
    clean = read_table(inputs[1], ["edits"]).column("edits").combine_chunks()
    spaced = pc.fill_null(read_table(inputs[2], ["spaced"]).column("spaced"), True)
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    documents = lost = 0
    with ExitStack() as stack:
        shards = {
            name: stack.enter_context(ParquetShard(path, EDITS)) for name, path in zip(names, outputs, strict=True)
        }
        for batch in read_batches(inputs[0], ["text"]):
            edits = _one(clean.slice(documents, batch.num_rows))
            wanted = _one(spaced.slice(documents, batch.num_rows))
            rows = range(documents, documents + batch.num_rows)
            text = _without_nulls(batch.column("text"))
            cut = Slices(text, edits, wanted)
            said = f"{inputs[0].stem}: the document stays, without edits of {', '.join(names)}"
            for start, stop, made in guarded(context, rows, cut, _trim_edits, names, said=said):
                lost += made is None
                for name, trim in zip(names, made or [nothing(stop - start)] * len(names), strict=True):
                    shards[name].write(pa.RecordBatch.from_arrays([trim], schema=EDITS))
                    counts[name].update(trim.flatten().field("rule").to_pylist())
            documents += batch.num_rows
            context.advance(batch.num_rows)
    return {
        "in": documents,
        "out": documents,
        "reasons": {},
        "edits": {name: dict(sorted(rules.items())) for name, rules in counts.items()},
        "lost": lost,
    }


def extra_edits_of(params: Mapping[str, Any]) -> list[ExtraEdits]:
    """The recipe's own edits, told where their files lie: places are no part of a task's key."""
    paths = params.get("paths") or {}
    return [ExtraEdits.from_json({**one, "paths": paths.get(one["name"], {})}) for one in params.get("extra") or ()]


def _trim_edits(piece: tuple[pa.Array, ...], names: Sequence[TrimName]) -> list[pa.ListArray]:
    """The edits of each trim, from (extracted text, clean edits, whether the language has spaces)."""
    extracted, edits, spaced = piece
    text = pc.if_else(spaced, apply_edits(extracted, edits), _EMPTY)
    made = trims(names, text)
    return [rebase(made[name][0], edits) for name in names]


_EMPTY = pa.scalar("", pa.large_string())


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _without_nulls(text: pa.LargeStringArray) -> pa.LargeStringArray:
    return text.fill_null("") if text.null_count else text
