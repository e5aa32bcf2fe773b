"""The verified edges of all partitions as one file, ordered by (left, right).

Memory of the merge: one row group of every partition's file and the edges whose left lies in one shard.
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
    total = 0
    with documents.ParquetShard(outputs[0], documents.EDGES) as file:
        while waiting := [stream for stream in streams if stream.least is not None]:
            shard = min(stream.least for stream in waiting if stream.least is not None) >> 32
            parts = [part for stream in waiting for part in stream.until(np.uint64((shard + 1) << 32))]
            table = pa.Table.from_batches(parts, documents.EDGES).combine_chunks()
            order = np.lexsort((numpy(table, "right"), numpy(table, "left")))
            for batch in table.take(pa.array(order)).combine_chunks().to_batches():
                file.write(batch)
        total = file.rows
    return {"in": sum(stream.rows for stream in streams), "out": total}


class _Stream:
    """One partition's edges, taken in order."""

    def __init__(self, path: Path) -> None:
        self._batches = documents.read_batches(path)
        self._batch: pa.RecordBatch | None = None
        self.rows = 0
        self._next()

    @property
    def least(self) -> int | None:
        return None if self._batch is None else self._batch.column(0)[0].as_py()

    def until(self, end: np.uint64) -> Iterator[pa.RecordBatch]:
        """Batches of the edges whose left is below `end`."""
        while self._batch is not None:
            count = int(np.searchsorted(self._batch.column(0).to_numpy(), end))
            if count:
                yield self._batch.slice(0, count)
            if count < self._batch.num_rows:
                self._batch = self._batch.slice(count)
                return
            self._next()

    def _next(self) -> None:
        self._batch = next(self._batches, None)
        self.rows += self._batch.num_rows if self._batch is not None else 0
