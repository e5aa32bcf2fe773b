"""Signals `document`: whether there is a text, how long it was as extracted, and how much of it was edited.

Measured for every document, also for those without text, so that "nothing was extracted" is a rule like others
(``document.extracted``). The reason stands in the documents' own column `reason`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.signals.batch import Batch
from tamis.signals.group import INT, Column, Options, SignalGroup, count

OWN = "Tamis"


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    missing = ~batch.valid
    text = batch.extracted
    edits, covered = edited(batch, [name for name in batch.edits if name == "clean"])
    columns = {
        "bytes": np.asarray(pc.binary_length(text)),
        "chars": np.asarray(pc.utf8_length(text)),
        "clean_edits": edits,
        "clean_bytes": covered,
    }
    out = {name: pa.array(np.asarray(values, np.int64), mask=missing) for name, values in columns.items()}
    return {"extracted": pa.array(batch.valid), **out}


def edited(batch: Batch, groups: list[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number of edits and bytes of extracted text that they cover: int64 (rows,) each."""
    number, covered = np.zeros(len(batch), np.int64), np.zeros(len(batch), np.int64)
    for name in groups:
        rows = batch.edits[name]
        spans = rows.flatten()
        sizes = np.asarray(spans.field("end")) - np.asarray(spans.field("start")) if len(spans) else np.zeros(0)
        ends = np.cumsum(np.asarray(count(pc.fill_null(pc.list_value_length(rows), 0))))
        total = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        number += np.diff(ends, prepend=0)
        covered += np.diff(total[ends], prepend=0)
    return number, covered


GROUP = SignalGroup(
    name="document",
    version=1,
    reads="document",
    packages=(),
    compute=compute,
    description="Whether there is a text and how much of it was edited; known for every document.",
    columns=(
        Column("extracted", pa.bool_(), "", "whether the document has a text (its `reason` says why not)", OWN),
        Column("bytes", INT, "bytes", "UTF-8 bytes of the extracted text", OWN, total=True),
        Column("chars", INT, "characters", "Unicode code points of the extracted text", OWN),
        Column("clean_edits", INT, "edits", "edits of the group `clean`", OWN, total=True),
        Column(
            "clean_bytes", INT, "bytes", "bytes of extracted text that those edits remove or replace", OWN, total=True
        ),
    ),
)
