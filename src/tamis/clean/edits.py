"""Edits: spans (start, end, replacement, rule) in UTF-8 byte offsets, one list per document.

Within a document edits are sorted, do not overlap, and are never empty (start < end; an insertion replaces a
neighbour by itself and more), and both ends lie on character boundaries. Everything here works on whole batches;
Python loops run over edits, never over documents without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.documents import EDIT, EDITS

I64 = npt.NDArray[np.int64]
LIST = EDITS.field("edits").type


class BadEdits(ValueError):
    """Edits do not fit their text: out of range, overlapping, unsorted, empty, or inside a character."""


class Flat(NamedTuple):
    """The edits of a batch side by side; `row` is the document of each, non-decreasing."""

    row: I64
    start: I64
    end: I64
    replacement: pa.LargeStringArray
    rule: pa.StringArray


def flatten(edits: pa.ListArray) -> Flat:
    """The edits of all documents in order."""
    values = edits.flatten()
    counts = np.diff(edits.offsets.to_numpy()) if len(edits) else np.zeros(0, np.int64)
    return Flat(
        np.repeat(np.arange(len(edits), dtype=np.int64), counts),
        values.field("start").to_numpy(zero_copy_only=False),
        values.field("end").to_numpy(zero_copy_only=False),
        values.field("replacement"),
        values.field("rule"),
    )


def assemble(rows: int, flat: Flat) -> pa.ListArray:
    """One list per document from edits ordered by (row, start)."""
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(np.bincount(flat.row, minlength=rows), out=offsets[1:])
    struct = pa.StructArray.from_arrays(
        [pa.array(flat.start, pa.int64()), pa.array(flat.end, pa.int64()), flat.replacement, flat.rule],
        fields=list(EDIT),
    )
    return pa.ListArray.from_arrays(pa.array(offsets), struct, type=LIST)


def from_lists(
    rows: int,
    row: npt.ArrayLike,
    start: npt.ArrayLike,
    end: npt.ArrayLike,
    replacement: Sequence[str] | str,
    rule: Sequence[str] | str,
) -> pa.ListArray:
    """Lists per document from parallel sequences ordered by (row, start); a single string holds for all."""
    row = np.asarray(row, np.int64)
    texts = [replacement] * len(row) if isinstance(replacement, str) else replacement
    rules = [rule] * len(row) if isinstance(rule, str) else rule
    return assemble(
        rows,
        Flat(
            row,
            np.asarray(start, np.int64),
            np.asarray(end, np.int64),
            pa.array(texts, pa.large_string()),
            pa.array(rules, pa.string()),
        ),
    )


def nothing(rows: int) -> pa.ListArray:
    """No edits for any of `rows` documents."""
    return from_lists(rows, [], [], [], "", "")


def apply_edits(text: pa.LargeStringArray, edits: pa.ListArray) -> pa.LargeStringArray:
    """The edited texts; the same array where no document has edits. Nulls stay null.

    Memory: the edited batch. Raises BadEdits.
    """
    if len(text) != len(edits):
        raise BadEdits(f"{len(edits)} lists of edits for {len(text)} documents")
    if not pa.types.is_large_string(text.type):
        text = text.cast(pa.large_string())
    flat = flatten(edits)
    if len(flat.row) == 0:
        return text
    offsets, data = text_buffers(text)
    check(offsets, data, flat)
    starts = (offsets[flat.row] + flat.start).tolist()
    ends = (offsets[flat.row] + flat.end).tolist()
    view = data.data
    pieces: list[bytes | memoryview] = []
    position = int(offsets[0])
    inserted = np.zeros(len(starts), np.int64)
    replacements = None if _all_empty(flat.replacement) else [r.encode() for r in flat.replacement.to_pylist()]
    if replacements is None:
        for start, end in zip(starts, ends, strict=True):
            pieces.append(view[position:start])
            position = end
    else:
        inserted = np.array([len(r) for r in replacements], np.int64)
        for start, end, replacement in zip(starts, ends, replacements, strict=True):
            pieces.append(view[position:start])
            pieces.append(replacement)
            position = end
    pieces.append(view[position : int(offsets[-1])])
    growth = np.bincount(flat.row, weights=inserted - (flat.end - flat.start), minlength=len(text))
    lengths = np.diff(offsets) + growth.astype(np.int64)
    made = np.zeros(len(text) + 1, np.int64)
    np.cumsum(lengths, out=made[1:])
    validity = text.is_valid().buffers()[1] if text.null_count else None
    return pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(made), pa.py_buffer(b"".join(pieces)), validity)


def text_buffers(text: pa.LargeStringArray) -> tuple[I64, npt.NDArray[np.uint8]]:
    """(offsets, int64 (N + 1,), into data; data, all bytes of the array's buffer), without a copy."""
    if len(text) == 0:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, offsets, data = text.buffers()
    window = np.frombuffer(offsets, np.int64)[text.offset : text.offset + len(text) + 1]
    return window, np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)


def check(offsets: I64, data: npt.NDArray[np.uint8], flat: Flat) -> None:
    """Raises BadEdits naming the first document whose edits break a rule of this module."""
    sizes = np.diff(offsets)[flat.row]
    later = flat.row[1:] == flat.row[:-1]
    wrong = (flat.start < 0) | (flat.end <= flat.start) | (flat.end > sizes)
    wrong[1:] |= later & (flat.start[1:] < flat.end[:-1])
    wrong[1:] |= flat.row[1:] < flat.row[:-1]
    if not wrong.any():
        for edge in (flat.start, flat.end):
            at = offsets[flat.row] + edge
            wrong |= (edge < sizes) & ((data[np.minimum(at, len(data) - 1)] & 0xC0) == 0x80)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise BadEdits(
            f"edit [{flat.start[first]}, {flat.end[first]}) of document {flat.row[first]} ({sizes[first]} bytes) is "
            "empty, out of range, out of order, overlaps its neighbour, or cuts a character"
        )


def _all_empty(strings: pa.LargeStringArray) -> bool:
    offsets, _ = text_buffers(strings)
    return bool(offsets[-1] == offsets[0])


def merge(first: pa.ListArray, second: pa.ListArray) -> pa.ListArray:
    """Both lists in one, in the same coordinates. Where spans meet, the outer one wins; spans that overlap in part
    become one, with both replacements in order and the rule of the second.

    `apply(text, merge(a, rebase(b, a)))` equals `apply(apply(text, a), b)`.
    """
    if len(first) != len(second):
        raise BadEdits(f"{len(first)} and {len(second)} documents cannot be merged")
    a, b = flatten(first), flatten(second)
    if len(a.row) == 0 or len(b.row) == 0:
        return second if len(a.row) == 0 else first
    kept = ~_inside(a, b)
    kept_b = ~(_inside(b, a) & ~_inside(b, a, equal=True))
    joined = Flat(
        np.concatenate([a.row[kept], b.row[kept_b]]),
        np.concatenate([a.start[kept], b.start[kept_b]]),
        np.concatenate([a.end[kept], b.end[kept_b]]),
        pa.concat_arrays([a.replacement.filter(pa.array(kept)), b.replacement.filter(pa.array(kept_b))]),
        pa.concat_arrays([a.rule.filter(pa.array(kept)), b.rule.filter(pa.array(kept_b))]),
    )
    order = np.lexsort((joined.end, joined.start, joined.row))
    flat = take(joined, order)
    clash = (flat.row[1:] == flat.row[:-1]) & (flat.start[1:] < flat.end[:-1])
    return _join_overlaps(len(first), flat) if clash.any() else assemble(len(first), flat)


def take(flat: Flat, order: npt.NDArray[Any]) -> Flat:
    """The edits at the given positions."""
    picked = pa.array(order)
    return Flat(
        flat.row[order], flat.start[order], flat.end[order], flat.replacement.take(picked), flat.rule.take(picked)
    )


def _key(row: I64, position: I64) -> I64:
    return (row << np.int64(40)) + position  # a document is far smaller than 2^40 bytes


def _inside(inner: Flat, outer: Flat, *, equal: bool = False) -> npt.NDArray[np.bool_]:
    """Which spans of `inner` lie within a span of `outer`; with `equal`, which are the same as one."""
    at = np.searchsorted(_key(outer.row, outer.start), _key(inner.row, inner.start), side="right") - 1
    found = np.maximum(at, 0)
    same = (at >= 0) & (outer.row[found] == inner.row)
    if equal:
        made = same & (outer.start[found] == inner.start) & (outer.end[found] == inner.end)
    else:
        made = same & (outer.end[found] >= inner.end)
    result: npt.NDArray[np.bool_] = made
    return result


def _join_overlaps(rows: int, flat: Flat) -> pa.ListArray:
    made: list[list[Any]] = []
    columns = (flat.row.tolist(), flat.start.tolist(), flat.end.tolist())
    for row, start, end, text, rule in zip(*columns, flat.replacement.to_pylist(), flat.rule.to_pylist(), strict=True):
        if made and made[-1][0] == row and start < made[-1][2]:
            made[-1][2:] = [max(end, made[-1][2]), made[-1][3] + text, rule]
        else:
            made.append([row, start, end, text, rule])
    return from_lists(rows, *(list(column) for column in zip(*made, strict=True)))


def rebase(edits: pa.ListArray, onto: pa.ListArray) -> pa.ListArray:
    """Edits of the text that `onto` made, as edits of the text to which `onto` applies.

    A span that cuts through a replacement of `onto` grows to the whole of that edit and keeps the rest of its
    replacement, so that `merge(onto, rebase(edits, onto))` does exactly what both do one after the other.
    """
    if len(edits) != len(onto):
        raise BadEdits(f"{len(edits)} and {len(onto)} documents cannot be rebased")
    late, early = flatten(edits), flatten(onto)
    if len(late.row) == 0 or len(early.row) == 0:
        return edits
    size = np.array(_byte_lengths(early.replacement))
    grown = np.cumsum(size - (early.end - early.start))
    before = np.concatenate([[0], grown])  # growth by all earlier edits of the batch, so also of the document:
    opening = np.searchsorted(early.row, early.row, side="left")
    shift = before[:-1] - before[opening]
    new_start = early.start + shift  # the replacement's place in the text that `onto` made
    new_end = new_start + size
    left = np.searchsorted(_key(early.row, new_end), _key(late.row, late.start), side="right") - 1
    right = np.searchsorted(_key(early.row, new_start), _key(late.row, late.end), side="left") - 1
    start = late.start + _back(left, late.row, early, new_end)
    end = late.end + _back(right, late.row, early, new_end)
    # Edits of `onto` strictly between are swallowed whole, unless the first or the last is cut through.
    head, tail = np.minimum(left + 1, len(size) - 1), np.maximum(right, 0)
    touched = right > left
    cut = touched & ((new_start[head] < late.start) | (new_end[tail] > late.end))
    if not cut.any():
        return assemble(len(edits), late._replace(start=start, end=end))
    return _recut(len(edits), late, early, (start, end, head, tail, cut), (new_start, new_end))


def _back(index: I64, row: I64, early: Flat, new_end: I64) -> I64:
    """What to add to a position behind edit `index` of the same document to have it in the earlier text."""
    found = np.maximum(index, 0)
    inside = (index >= 0) & (early.row[found] == row)
    moved: I64 = np.where(inside, early.end[found] - new_end[found], 0)
    return moved


def _byte_lengths(strings: pa.LargeStringArray) -> I64:
    return np.diff(text_buffers(strings)[0])


def _recut(
    rows: int,
    late: Flat,
    early: Flat,
    spans: tuple[I64, I64, I64, I64, npt.NDArray[np.bool_]],
    places: tuple[I64, I64],
) -> pa.ListArray:
    """`rebase` where replacements are cut through; neighbours that cut the same one become one edit."""
    start, end, head, tail, cut = spans
    new_start, new_end = places
    texts, rules = late.replacement.to_pylist(), late.rule.to_pylist()
    made: list[list[Any]] = []
    open_tail, open_from = -1, 0  # the edit of `onto` that the last made edit cut at its end, and where
    for i in range(len(texts)):
        row, low, high, text = int(late.row[i]), int(start[i]), int(end[i]), texts[i]
        joined = False
        cut_tail = -1
        if cut[i]:
            h, t = int(head[i]), int(tail[i])
            if new_start[h] < late.start[i]:
                low = int(early.start[h])
                whole = early.replacement[h].as_py().encode()
                joined = h == open_tail
                begin = open_from if joined else int(new_start[h])
                text = whole[begin - int(new_start[h]) : int(late.start[i] - new_start[h])].decode() + text
            if new_end[t] > late.end[i]:
                high = int(early.end[t])
                cut_tail = t
        if joined:
            made[-1][2:4] = [max(high, made[-1][2]), made[-1][3] + text]
        else:
            _close(made, early, open_tail, open_from, new_start)
            made.append([row, low, high, text, rules[i]])
        open_tail, open_from = cut_tail, int(late.end[i])
    _close(made, early, open_tail, open_from, new_start)
    return from_lists(rows, *(list(column) for column in zip(*made, strict=True)))


def _close(made: list[list[Any]], early: Flat, tail: int, position: int, new_start: I64) -> None:
    """Appends what is left of the replacement that the last made edit cut at its end."""
    if tail >= 0:
        made[-1][3] += early.replacement[tail].as_py().encode()[position - int(new_start[tail]) :].decode()


@dataclass(frozen=True)
class Hunk:
    """One visible difference: `before` and `after` are up to `context` characters around it."""

    start: int
    end: int
    before: str
    removed: str
    inserted: str
    after: str
    rule: str


def difference(text: str, edits: Sequence[Mapping[str, Any]], context: int = 40) -> list[Hunk]:
    """The edits of one document with what stands around them in the unedited text; plain data for people."""
    data = text.encode()
    return [
        Hunk(
            edit["start"],
            edit["end"],
            data[max(0, edit["start"] - 4 * context) : edit["start"]].decode(errors="ignore")[-context:],
            data[edit["start"] : edit["end"]].decode(),
            edit["replacement"],
            data[edit["end"] : edit["end"] + 4 * context].decode(errors="ignore")[:context],
            edit["rule"],
        )
        for edit in edits
    ]
