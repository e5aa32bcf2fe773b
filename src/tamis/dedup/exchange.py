"""Exchange files: one Parquet file per map task, row group p is partition p.

Memory: a scatter task holds its own rows, a gather task one partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import documents

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


def partition_of(keys: U64, partitions: int) -> I64:
    """Partition of each key, (N,), balanced whatever the keys: splitmix64's finalizer, then its high half scaled."""
    mixed = keys.copy()
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (((mixed >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)).astype(np.int64)


def write_partitions(path: Path, table: pa.Table, partition: I64, partitions: int) -> None:
    """Writes the rows of each partition, in their order, as one row group; empty partitions are empty groups."""
    small = partition.astype(np.uint16) if partitions <= 1 << 16 else partition  # of these numpy sorts the bits
    order = np.argsort(small, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(partition, minlength=partitions))])
    with documents.ParquetShard(path, table.schema) as shard:
        for p in range(partitions):
            shard.write_group(table.take(pa.array(order[bounds[p] : bounds[p + 1]])))


def read_partition(path: Path, partition: int, columns: Sequence[str] | None = None) -> pa.Table:
    """One partition of one exchange file. Raises DamagedFile naming file and partition."""
    with documents.open_shard(path) as file:
        try:
            return file.read_row_group(partition, columns=list(columns) if columns else None, use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise documents.DamagedFile(f"{path}, partition {partition}, is damaged: {error}") from error


def read_partitions(paths: Sequence[Path], partition: int, columns: Sequence[str] | None = None) -> pa.Table:
    """One partition of all exchange files, in the order of `paths`."""
    return pa.concat_tables(read_partition(path, partition, columns) for path in paths)


def numpy(table: pa.Table, column: str) -> npt.NDArray[Any]:
    """A column without nulls as one numpy array."""
    values: npt.NDArray[Any] = table.column(column).combine_chunks().to_numpy(zero_copy_only=False)
    return values
