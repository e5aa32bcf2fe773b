"""Reading lines of a line table, and the spans that take whole lines out of texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.clean.edits import I64, text_buffers


class LineSpans(NamedTuple):
    """One span per removed line, in order: document, first byte, end."""

    row: I64
    start: I64
    end: I64


def line_spans(
    text: pa.LargeStringArray,
    table: dict[str, npt.NDArray[Any]],
    drop: npt.NDArray[np.bool_],
    *,
    with_blank: bool = False,
) -> LineSpans:
    """Spans of the lines of `drop` with their line breaks; none is empty if no dropped line is an empty last line.

    The last line of a document has no break of its own and takes that of the line before, if that one stays. With
    `with_blank` a blank line behind removed ones goes too where a blank line or the document's beginning is before.
    """
    document = table["document"]
    count = len(document)
    first = np.append(True, document[1:] != document[:-1])[:count]
    last = np.append(document[1:] != document[:-1], True)[-count:] if count else np.zeros(0, bool)
    lines = np.flatnonzero(drop)
    start, end = table["start"][lines].copy(), table["end"][lines] + 1
    sizes = np.diff(text_buffers(text)[0])[document[lines]]
    if with_blank:
        blank = table["nonspace_chars"] == 0
        new_run = np.append(True, (lines[1:] != lines[:-1] + 1) | first[lines[1:]])[: len(lines)]
        run = lines[np.maximum.accumulate(np.where(new_run, np.arange(len(lines)), 0))]
        before = first[run] | blank[run - 1]
        after = np.minimum(lines + 1, count - 1)
        gone = before & ~last[lines] & blank[after] & ~drop[after]
        end = np.where(gone, table["end"][after] + 1, end)
    reaches = end > sizes
    previous_ends = np.append(-1, end[:-1])
    same = np.append(False, document[lines][1:] == document[lines][:-1])[: len(lines)]
    free = (start > 0) & ~(same & (previous_ends >= start))
    start = np.where(reaches & free, start - 1, start)
    return LineSpans(document[lines].astype(np.int64), start, np.minimum(end, sizes))


def read_lines(text: pa.LargeStringArray, table: dict[str, npt.NDArray[Any]], lines: I64) -> Iterator[str]:
    """The given lines of a line table, without their breaks."""
    offsets, data = text_buffers(text)
    view = data.data
    base = offsets[table["document"][lines]]
    spans = zip((base + table["start"][lines]).tolist(), (base + table["end"][lines]).tolist(), strict=True)
    return (str(view[start:end], "utf-8") for start, end in spans)
