"""Second exchange: documents of a component travel with their sets of shingles to the partition of its root.

Shingles are those of the full clean text with its digits: pages that differ only in numbers, which MinHash folds
together, are told apart here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis import documents, kernels
from tamis.dedup.exchange import I64, U64, numpy, partition_of, read_partition, write_partitions
from tamis.dedup.options import Options
from tamis.dedup.texts import clean_texts
from tamis.engine import Context
from tamis.quarantine import Slices, guarded

# 1: the first.
VERSION = 1


def schema(options: Options) -> pa.Schema:
    """A candidate: its address, its component, what it is ranked and compared by. `set_size`: distinct shingles."""
    fields = [
        pa.field("gid", pa.uint64(), nullable=False),
        pa.field("root", pa.uint64(), nullable=False),
        pa.field("chars", pa.int64(), nullable=False),
        pa.field("hash_hi", pa.uint64(), nullable=False),
        pa.field("hash_lo", pa.uint64(), nullable=False),
        pa.field("set_size", pa.int64(), nullable=False),
        pa.field("shingles", pa.large_list(pa.field("element", pa.uint64(), nullable=False)), nullable=False),
    ]
    if options.bands:
        fields.append(pa.field("bands", pa.list_(pa.uint64(), options.bands)))
    return pa.schema(fields)


def scatter_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: components, sketch, documents, then (optional) clean edits; outputs: one exchange file of `schema`.

    params: shard, partitions, and the `dedup` part. A document that kills or hangs its worker even alone travels with
    an empty set, which is like no other (only an equal content hash still finds it), and is counted as `lost`.
    Memory: 8 bytes a distinct shingle of the shard's candidates (about the size of their text), twice, and one batch
    of text.
    """
    options = Options.of(params)
    shard, partitions = params["shard"], params["partitions"]
    members = read_partition(inputs[0], shard)
    rows = (numpy(members, "gid") & np.uint64(0xFFFFFFFF)).astype(np.int64)
    lengths, values, lost = _shingles(inputs[2], inputs[3] if len(inputs) > 3 else None, rows, options, context)
    sketch = documents.read_table(inputs[1]).take(pa.array(rows))
    columns: dict[str, pa.Array] = {name: sketch.column(name).combine_chunks() for name in sketch.column_names}
    columns["gid"], columns["root"] = (members.column(name).combine_chunks() for name in ("gid", "root"))
    columns["set_size"] = pa.array(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    wanted = schema(options)
    columns["shingles"] = pa.LargeListArray.from_arrays(
        pa.array(offsets, pa.int64()), pa.array(values), type=wanted.field("shingles").type
    )
    table = pa.Table.from_arrays([columns[name] for name in wanted.names], schema=wanted)
    write_partitions(outputs[0], table, partition_of(numpy(table, "root"), partitions), partitions)
    return {"candidates": len(rows), "shingles": len(values), "lost": lost}


def _shingles(shard: Path, edits: Path | None, rows: I64, options: Options, context: Context) -> tuple[I64, U64, int]:
    """Distinct shingles of the documents at `rows` (ordered): their numbers (R,) and all values, document by document.

    The last of the three is how many documents were lost. Without MinHash nobody looks at shingles, and none are made.
    """
    if not options.bands:
        return np.zeros(len(rows), np.int64), np.zeros(0, np.uint64), 0
    lengths, values = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    start = lost = 0
    for text, _ in clean_texts(shard, edits):
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + len(text))] - start
        cut = Slices(text.take(pa.array(here)))
        for first, stop, made in guarded(context, (here + start).tolist(), cut, _sets, options.ngram):
            offsets, found = made or (np.zeros(stop - first + 1, np.int64), np.zeros(0, np.uint64))
            lost += made is None
            lengths.append(np.diff(offsets))
            values.append(found)
        start += len(text)
        context.advance(len(here))
    return np.concatenate(lengths), np.concatenate(values), lost


def _sets(text: pa.LargeStringArray, ngram: int) -> tuple[I64, U64]:
    return kernels.shingles(text, ngram=ngram, digits=False)
