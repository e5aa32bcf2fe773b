"""Signals `pii`: how many identifiers of persons and machines the clean text holds, see `identifiers`.

Ordinary documents cost almost nothing: the batch is searched once, vectorised, for `@`, for clusters of at least seven
digits (or four numbers with dots between), and for clusters of colons; only the neighbourhoods of those are given to
the finders.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.signals.batch import Batch, Bytes, Offsets, buffers
from tamis.signals.group import INT, Column, Options, SignalGroup, count
from tamis.signals.identifiers import KINDS, Span, find

I64 = npt.NDArray[np.int64]

GAP = 3  # separators between two digits of one number, at most
BEFORE, AFTER = 12, 12  # bytes around a cluster of digits: the head of an IBAN, what may not follow
LOCAL, DOMAIN = 66, 256  # bytes around an @
SEPARATOR = np.zeros(256, np.bool_)
SEPARATOR[list(b" ()-./")] = True
NUMBERS = tuple(kind for kind in KINDS if kind not in ("email", "ip"))


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    counts = np.zeros((len(KINDS), len(batch)), np.int64)
    for row, span in spans(batch.clean):
        counts[KINDS.index(span.kind), row] += 1
    return {f"{kind}s": count(counts[i]) for i, kind in enumerate(KINDS)}


def spans(text: pa.LargeStringArray) -> list[tuple[int, Span]]:
    """(document, span in bytes of that document) of every identifier, in order, none overlapping another."""
    data, offsets = buffers(text)
    if not len(data):
        return []
    at = np.flatnonzero(data == ord("@")).astype(np.int64)
    digits = np.flatnonzero((data - np.uint8(48)) < 10).astype(np.int64)
    first, last, heads, sizes = _group(digits, offsets, _joined(data, digits))
    numbers = sizes >= 7
    plain = np.flatnonzero(numbers & (last - first + 1 == sizes) & (first > 0))
    behind_x = plain[data[first[plain] - 1] == ord("x")]  # 0x00000000
    row = np.searchsorted(offsets, first[behind_x], side="right") - 1
    numbers[behind_x[first[behind_x] > offsets[row]]] = False
    dotted = np.zeros(len(digits), np.int64)
    if len(digits) > 1:
        dotted[1:] = (np.diff(digits) == 2) & (data[digits[1:] - 1] == ord("."))
    dots = (np.add.reduceat(dotted, heads) if len(heads) else dotted) >= 3
    colon = np.flatnonzero(data == ord(":")).astype(np.int64)
    a, b, _, colons = _group(colon, offsets, np.diff(colon) <= 5)
    found = [
        *_search(data, offsets, at - LOCAL, at, at + DOMAIN, ("email",)),
        *_search(data, offsets, first[numbers] - BEFORE, first[numbers], last[numbers] + AFTER, NUMBERS),
        *_search(data, offsets, first[dots] - BEFORE, first[dots], last[dots] + AFTER, ("ip",)),
        *_search(data, offsets, a[colons >= 3] - AFTER, a[colons >= 3], b[colons >= 3] + AFTER, ("ip",)),
    ]
    return _apart(found)


def _apart(found: list[tuple[int, Span]]) -> list[tuple[int, Span]]:
    """In order; where two overlap, the one whose kind comes first in `KINDS` stays."""
    if len({row for row, _ in found}) == len(found):
        return sorted(found)
    kept: dict[int, list[Span]] = {}
    for row, span in sorted(set(found), key=lambda one: (one[0], KINDS.index(one[1].kind), one[1])):
        held = kept.setdefault(row, [])
        if all(span.end <= other.start or other.end <= span.start for other in held):
            held.append(span)
    return [(row, span) for row in sorted(kept) for span in sorted(kept[row])]


def _joined(data: Bytes, digits: I64) -> npt.NDArray[np.bool_]:
    """Whether each digit but the first stands behind the one before it with nothing but separators between."""
    step = np.diff(digits)
    near = step <= GAP + 1
    for place in range(1, GAP + 1):
        far = np.flatnonzero(near & (step > place))
        near[far] = SEPARATOR[data[digits[far] + place]]
    return near


def _group(positions: I64, offsets: Offsets, near: npt.NDArray[np.bool_]) -> tuple[I64, I64, I64, I64]:
    """Clusters of positions whose neighbours are `near`, none across documents: first and last position, index of
    the first, number of positions."""
    if not len(positions):
        return positions, positions, positions, positions
    head = np.concatenate([[True], ~near])
    begins = np.searchsorted(positions, offsets[1:-1])
    head[begins[begins < len(positions)]] = True
    heads = np.flatnonzero(head)
    tails = np.append(heads[1:], len(positions)) - 1
    return positions[heads], positions[tails], heads, tails - heads + 1


def _search(
    data: Bytes, offsets: Offsets, start: I64, middle: I64, end: I64, kinds: tuple[str, ...]
) -> list[tuple[int, Span]]:
    """The finders' spans in the windows start..end of the documents that hold `middle`, joined where they overlap."""
    if not len(start):
        return []
    row = np.searchsorted(offsets, middle, side="right") - 1
    start, end = np.maximum(start, offsets[row]), np.minimum(end, offsets[row + 1])
    apart = np.concatenate([[True], (start[1:] > end[:-1]) | (row[1:] != row[:-1])])
    heads = np.flatnonzero(apart)
    ends = end[np.append(heads[1:], len(end)) - 1]
    out: list[tuple[int, Span]] = []
    held, text, base = -1, b"", 0
    for a, b, i in zip(start[heads].tolist(), ends.tolist(), row[heads].tolist(), strict=True):
        if i != held:
            held, base = i, int(offsets[i])
            text = data[base : int(offsets[i + 1])].tobytes()
        out += [(i, span) for span in find(text, a - base, b - base, kinds=kinds)]
    return out


GROUP = SignalGroup(
    name="pii",
    version=1,
    reads="clean",
    packages=(),
    compute=compute,
    description="How many identifiers of persons and machines the clean text holds.",
    columns=tuple(
        Column(name, INT, unit, description, source, total=True)
        for name, unit, description, source in (
            ("emails", "addresses", "e-mail addresses, not of reserved example domains", "RFC 5322, in part"),
            ("ibans", "numbers", "bank accounts with a valid checksum", "ISO 13616, ISO 7064"),
            ("cards", "numbers", "payment cards by issuer prefix, length, grouping and Luhn", "ISO/IEC 7812"),
            ("ids", "numbers", "Chinese resident numbers (checksum), US social security numbers (form)", "GB 11643"),
            ("ips", "addresses", "public IPv4 and IPv6 addresses, not version numbers", "RFC 4291, RFC 6890"),
            ("phones", "numbers", "telephone numbers in a form that shows itself, or behind a word", "E.164, in part"),
        )
    ),
)
