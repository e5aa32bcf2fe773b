"""The Arrow schemas of a workspace, and verified reading and writing of its Parquet files.

Every file of rows that Tamis writes goes through `ParquetShard` and every one that it reads comes through
`open_shard`: pages carry checksums, and checksums are verified, because flipped bytes inside a zstd page are
otherwise read as wrong rows without an error.

Memory: a writer holds one row group (about 16 MB of text), a reader one row group of the columns asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_BYTES = 16 << 20
BATCH_BYTES = 4 << 20

# One row per captured record whose payload is text or could have been. `text` is what the extractor returned and
# never changes afterwards; where extraction failed it is null and `reason` says why (`extract.timeout`, ...).
# `meta` is a JSON object: file, offset, mime, charset, title, extractor, and whatever the source knows.
DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # 32 hexadecimal digits
        pa.field("text", pa.large_string()),
        pa.field("reason", pa.string()),
        pa.field("text_hash", pa.string()),  # BLAKE2b-128 of the UTF-8 text, 32 hexadecimal digits
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),  # ISO 8601 in UTC, as precise as the source knows it
        pa.field("meta", pa.string(), nullable=False),
    ]
)

# Records that gave no document: `offset` is the byte position in the file as stored (compressed), -1 if unknown.
LOSSES = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)

# Spans into the extracted text as UTF-8 byte offsets, always on character boundaries, sorted, not overlapping.
EDIT = pa.struct(
    [
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("replacement", pa.large_string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
    ]
)
EDITS = pa.schema([pa.field("edits", pa.list_(pa.field("item", EDIT, nullable=False)), nullable=False)])

# Verified duplicate pairs, ordered by (left, right), left < right. `kind` is exact or near; jaccard is that of the
# two sets of shingles, containment the overlap divided by the smaller set.
EDGES = pa.schema(
    [
        pa.field("left", pa.uint64(), nullable=False),
        pa.field("right", pa.uint64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("jaccard", pa.float32(), nullable=False),
        pa.field("containment", pa.float32(), nullable=False),
        pa.field("bands", pa.int16(), nullable=False),
    ]
)

# One row per document, in gid order. `reasons` holds every rule that fired, in the recipe's order, `duplicate` last;
# `reason` is the first of them; `kept_id` the document to which a duplicate lost.
VERDICTS = pa.schema(
    [
        pa.field("gid", pa.uint64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("weight", pa.float32(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("kept_id", pa.string()),
        pa.field("kept_gid", pa.uint64()),
    ]
)


class DamagedFile(ValueError):
    """A file of the workspace cannot be read as it was written."""


def gids(shard: int, rows: int, first: int = 0) -> np.ndarray:
    """Addresses of `rows` documents of a shard from row `first` on: uint64 (rows,), shard << 32 | row."""
    return (np.uint64(shard) << np.uint64(32)) + np.arange(first, first + rows, dtype=np.uint64)


def document_id(source: str, locator: str, payload: bytes) -> str:
    """128-bit identity of a capture: source name, record locator and payload digest; 32 hexadecimal digits.

    Independent of the extractor, so that a better extractor keeps every id, label and receipt.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (source.encode(), locator.encode("utf-8", "surrogateescape")):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    digest.update(payload)
    return digest.hexdigest()


def text_hash(text: str) -> str:
    """BLAKE2b-128 of the UTF-8 text, 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class ParquetShard:
    """Writes rows to one Parquet file in row groups cut by bytes, deterministically.

    The same rows give the same bytes however they were batched. Use as a context manager; leaving it by an
    exception leaves the file unfinished (the engine removes temporary files of failed tasks).
    """

    def __init__(self, path: Path | str, schema: pa.Schema, *, group_bytes: int = ROW_GROUP_BYTES) -> None:
        self.schema = schema
        self.rows = 0
        self._group_bytes = group_bytes
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[f.name for f in schema if f.name in _REPEATING],
            write_page_checksum=True,
            store_schema=True,
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Appends rows; cuts row groups at exact row positions that depend on the rows alone."""
        if batch.schema != self.schema:
            batch = batch.cast(self.schema)
        sizes = row_bytes(batch)
        start = 0
        while start < batch.num_rows:
            filled = np.cumsum(sizes[start:]) + self._pending_bytes
            over = int(np.searchsorted(filled, self._group_bytes))
            stop = min(start + over + 1, batch.num_rows)
            self._pending.append(batch.slice(start, stop - start))
            self._pending_bytes = int(filled[stop - start - 1])
            if self._pending_bytes >= self._group_bytes:
                self._flush()
            start = stop
        self.rows += batch.num_rows

    def write_group(self, table: pa.Table) -> None:
        """Writes the table as exactly one row group, even when it is empty (a partition of an exchange)."""
        self._flush()
        self._writer.write_table(table.cast(self.schema), row_group_size=max(1, table.num_rows))
        self.rows += table.num_rows

    def _flush(self) -> None:
        if self._pending:
            table = pa.Table.from_batches(self._pending, self.schema)
            self._writer.write_table(table.combine_chunks(), row_group_size=max(1, table.num_rows))
            self._pending, self._pending_bytes = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def __enter__(self) -> ParquetShard:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()


# Columns whose few distinct values are worth a dictionary; others grow by one.
_REPEATING = {
    "source",
    "reason",
    "rule",
    "kind",
    "file",
    "code",
    "code_2",
    "code_3",
    "domain",
    "host",
    "detail",
}


def row_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """Bytes of each row: int64 (rows,). Strings count their length, everything else a share of its buffers."""
    total = np.full(batch.num_rows, 8, dtype=np.int64)
    for column in batch.columns:
        if pa.types.is_large_string(column.type) or pa.types.is_string(column.type):
            total += _lengths(column)
        elif pa.types.is_list(column.type):
            total += 16 * _lengths(column)
        elif pa.types.is_fixed_size_list(column.type):
            total += 8 * column.type.list_size
        else:
            total += 8
    return total


def _lengths(column: pa.Array) -> np.ndarray:
    wide = pa.types.is_large_string(column.type)
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int64 if wide else np.int32) if len(column) else _EMPTY
    window = offsets[column.offset : column.offset + len(column) + 1].astype(np.int64)
    return np.diff(window) if len(column) else _EMPTY


_EMPTY = np.zeros(0, dtype=np.int64)


def open_shard(path: Path | str) -> pq.ParquetFile:
    """Opens a file of the workspace with page checksums verified. Raises DamagedFile naming the file."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True, memory_map=False)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DamagedFile(f"{path} cannot be read: {error}") from error


def read_batches(
    path: Path | str, columns: Sequence[str] | None = None, *, batch_bytes: int = BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """Rows in order, in batches of about `batch_bytes` that depend on the file alone. Holds one row group."""
    with open_shard(path) as file:
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group, columns=list(columns) if columns else None, use_threads=False)
            except (pa.ArrowInvalid, OSError) as error:
                raise DamagedFile(f"{path}, row group {group}, is damaged: {error}") from error
            for batch in table.combine_chunks().to_batches():
                yield from cut(batch, batch_bytes)


def cut(batch: pa.RecordBatch, batch_bytes: int = BATCH_BYTES) -> Iterator[pa.RecordBatch]:
    """Slices of about `batch_bytes` each (zero copy); a single longer row is a slice of its own."""
    if batch.num_rows == 0:
        return
    filled = np.cumsum(row_bytes(batch))
    start, base = 0, 0
    while start < batch.num_rows:
        stop = max(start + 1, int(np.searchsorted(filled, base + batch_bytes, side="right")))
        yield batch.slice(start, stop - start)
        start, base = stop, int(filled[stop - 1])


def read_table(path: Path | str, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole file as a table: for signals, edges and verdicts, never for text."""
    with open_shard(path) as file:
        try:
            return file.read(columns=list(columns) if columns else None, use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise DamagedFile(f"{path} is damaged: {error}") from error


def write_table(path: Path | str, table: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Writes a table or batches with `ParquetShard`; returns the number of rows."""
    batches = table.combine_chunks().to_batches() if isinstance(table, pa.Table) else table
    with ParquetShard(path, schema) as shard:
        for batch in batches:
            shard.write(batch)
    return shard.rows
