"""The verified edges of all partitions as one file, ordered by (left, right).

Memory of the merge: two row groups (1 MB each) of every partition's file, and the edges of one left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis import documents
from tamis.dedup.exchange import numpy
from tamis.engine import Context

# 1: the first.
VERSION = 1


def merge_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: EDGES of every partition; outputs: one file of EDGES, the same for any number of partitions."""
    streams = [_Stream(path) for path in inputs]
    with documents.ParquetShard(outputs[0], documents.EDGES) as file:
        while waiting := [stream for stream in streams if stream.batch is not None]:
            # Below the least `left` that ends a batch, every batch is complete; there may be nothing below it.
            end = min(stream.last for stream in waiting)
            end = max(end, min(stream.first for stream in waiting) + 1)
            parts = [part for stream in waiting for part in stream.until(np.uint64(end))]
            table = pa.Table.from_batches(parts, documents.EDGES).combine_chunks()
            order = np.lexsort((numpy(table, "right"), numpy(table, "left")))
            for batch in table.take(pa.array(order)).combine_chunks().to_batches():
                file.write(batch)
    return {"in": sum(stream.rows for stream in streams), "out": file.rows}


class _Stream:
    """One partition's edges, taken in order."""

    def __init__(self, path: Path) -> None:
        self._batches = documents.read_batches(path)
        self.batch: pa.RecordBatch | None = None
        self.rows = 0
        self._next()

    @property
    def first(self) -> int:
        """The least left that was not taken yet."""
        return self._left(0)

    @property
    def last(self) -> int:
        """The greatest left of the batch at hand."""
        return self._left(-1)

    def until(self, end: np.uint64) -> Iterator[pa.RecordBatch]:
        """Batches of the edges whose left is below `end`."""
        while self.batch is not None:
            count = int(np.searchsorted(self.batch.column(0).to_numpy(), end))
            if count:
                yield self.batch.slice(0, count)
            if count < self.batch.num_rows:
                self.batch = self.batch.slice(count)
                return
            self._next()

    def _left(self, row: int) -> int:
        assert self.batch is not None
        return int(self.batch.column(0).to_numpy()[row])

    def _next(self) -> None:
        self.batch = next(self._batches, None)
        self.rows += self.batch.num_rows if self.batch is not None else 0
