"""The documents that a corpus keeps, with their edits applied, shard by shard.

Kept rows are picked by position: verdicts and edits lie in files of the same number with rows in the same order as
the documents, so text never passes through a join. Memory: one row group of text, and the shard's verdicts and edits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.clean.edits import apply_edits, merge
from tamis.corpus.schemas import KEPT
from tamis.corpus.tally import Tally, add_up
from tamis.documents import ParquetShard, read_batches, read_table

# Part of the stage's key. 2: tallies weigh bytes; the rows are those of 1.
VERSION = 2


def kept_batches(
    documents: Path, verdicts: Path | pa.Table, edits: Sequence[Path]
) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Batches of KEPT rows in gid order, each with the number of documents that it was picked from.

    verdicts: the shard's file, or other verdicts on it as a table of gid, keep and weight. Raises
    ValueError where the verdicts or edits do not have the documents' number of rows, or a verdict keeps a document
    whose text is null.
    """
    judged = verdicts if isinstance(verdicts, pa.Table) else read_table(verdicts, ["gid", "keep", "weight"])
    where = "the verdicts" if isinstance(verdicts, pa.Table) else str(verdicts)
    spans = [read_table(path, ["edits"]).column("edits") for path in edits]
    start = 0
    for batch in read_batches(documents, ["id", "source", "url", "text"]):
        rows = judged.slice(start, batch.num_rows)
        _require(rows.num_rows == batch.num_rows, where, documents)
        mask = rows.column("keep").combine_chunks()
        kept = batch.filter(mask)
        text = kept.column("text")
        if text.null_count:
            raise ValueError(f"{where} keeps a document of {documents} that has no text")
        pieces = []
        for path, column in zip(edits, spans, strict=True):
            piece = column.slice(start, batch.num_rows)
            _require(len(piece) == batch.num_rows, str(path), documents)
            pieces.append(_one(piece).filter(mask))
        if pieces:
            merged = pieces[0]
            for piece in pieces[1:]:
                merged = merge(merged, piece)
            text = apply_edits(text, merged)
        columns = [
            _one(rows.column("gid")).filter(mask),
            kept.column("id"),
            kept.column("source"),
            kept.column("url"),
            _one(rows.column("weight")).filter(mask),
            pc.binary_length(text).cast(pa.int64()),
            text,
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=KEPT), batch.num_rows
        start += batch.num_rows
    _require(start == judged.num_rows, where, documents)


def kept_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: documents, verdicts, then any edits files (spans into the extracted text). outputs: kept."""
    documents, verdicts, *edits = inputs
    context.heartbeat(str(documents.name))
    sources: dict[str, Tally] = {}
    seen = 0
    with ParquetShard(outputs[0], KEPT) as shard:
        for batch, picked_from in kept_batches(documents, verdicts, edits):
            shard.write(batch)
            seen += picked_from
            add_up(sources, batch, np.zeros(batch.num_rows, dtype=np.int64))
            context.heartbeat(f"{documents.name} row {seen}")
    return {
        "in": seen,
        "out": shard.rows,
        "reasons": {"dropped": seen - shard.rows},
        "sources": {name: tally.to_json() for name, tally in sorted(sources.items())},
    }


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)


def _require(same: bool, what: str, documents: Path) -> None:
    if not same:
        raise ValueError(
            f"{what} does not have one row per document of {documents}: it belongs to another run; delete it and rerun"
        )
