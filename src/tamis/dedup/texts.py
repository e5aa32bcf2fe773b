"""Clean texts of a shard: extracted text with the edits of group `clean` applied, batch by batch.

Memory: one batch of documents (about 4 MB) and the edits of the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis import documents


def clean_texts(shard: Path, edits: Path | None) -> Iterator[tuple[pa.LargeStringArray, npt.NDArray[np.bool_]]]:
    """Batches of (clean text without nulls, valid) in row order; an invalid row has the empty text.

    Raises DamagedFile where the two files differ in rows.
    """
    changes = Rows(edits, ["edits"]) if edits else None
    for batch in documents.read_batches(shard, ["text"]):
        column = batch.column("text")
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        text = pc.fill_null(column, "") if column.null_count else column
        if changes:
            from tamis.clean.edits import apply_edits

            text = apply_edits(text, changes.take(batch.num_rows).column("edits"))
        yield text, valid
    if changes and not changes.ended():
        raise documents.DamagedFile(f"{edits} has more rows than {shard}; delete both and run again")


class Rows:
    """Reads a Parquet file in pieces of the length that the caller asks for."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self._path = path
        self._batches = documents.read_batches(path, columns)
        self._rest: pa.RecordBatch | None = None

    def take(self, rows: int) -> pa.RecordBatch:
        """The next `rows` (at least one) rows as one batch. Raises DamagedFile where the file has fewer."""
        parts: list[pa.RecordBatch] = []
        missing = rows
        while missing:
            if self._rest is None or not self._rest.num_rows:
                self._rest = next(self._batches, None)
                if self._rest is None:
                    raise documents.DamagedFile(f"{self._path} has fewer rows than its documents; delete it, run again")
            parts.append(self._rest.slice(0, missing))
            self._rest = self._rest.slice(parts[-1].num_rows)
            missing -= parts[-1].num_rows
        return parts[0] if len(parts) == 1 else pa.concat_batches(parts)

    def ended(self) -> bool:
        return not (self._rest is not None and self._rest.num_rows) and next(self._batches, None) is None
