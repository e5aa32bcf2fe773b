"""Counting sentences by Unicode terminators, in one vectorised pass over the bytes of a batch.

The rule, for any language:

- A sentence ends at a run of terminators. After `. ! ? …` (and Armenian, Arabic and Ethiopic marks) the run, with up to
  three closing quotes or brackets behind it, must be followed by white space or the end of the text, so that
  "3.14" and "example.org" end nothing. After full-width and Indic marks (。！？｡।॥។။) nothing is asked.
- A lone full stop ends nothing where white space stands before it (". . .") or where only one to three digits stand
  before it on its line ("1. Introduction").
- What is left after the last end counts as one sentence if it is more than white space.
- Line breaks end nothing, and abbreviations are not known: "e.g. this" counts two. Prose written with many
  abbreviations is overcounted; headings without a mark are undercounted.

C4 counts with NLTK's punkt, which knows abbreviations of English and nothing of Chinese. Cost: about six passes over
the bytes, no Python per sentence.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.signals.batch import Bytes, Offsets, buffers

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SPACED = ".!?…։؟۔።‼⁇⁈⁉"  # white space must follow
WIDE = "。！？｡．।॥។။།"  # nothing is asked
CLOSERS = "\"')]}»”’」』）】》〉"
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
NOTHING = np.zeros(0, np.int64)


def _codes(characters: str) -> I64:
    """The UTF-8 bytes of each character as one number, sorted."""
    return np.array(sorted(int.from_bytes(c.encode(), "big") for c in characters), np.int64)


class _Set:
    """Which characters of 1 to 3 UTF-8 bytes belong to a set."""

    def __init__(self, characters: str) -> None:
        self.ascii = np.zeros(256, np.bool_)
        self.ascii[[ord(c) for c in characters if ord(c) < 128]] = True
        long = [c for c in characters if ord(c) >= 128]
        self.codes = {size: _codes("".join(c for c in long if len(c.encode()) == size)) for size in (2, 3)}
        self.pairs = np.zeros(1 << 16, np.bool_)
        self.pairs[[int.from_bytes(c.encode()[:2], "big") for c in long]] = True

    def length_at(self, data: Bytes, at: I64, end: I64) -> I64:
        """Bytes of the member that starts at each position, 0 where none does or where it would pass `end`."""
        size = np.zeros(len(at), np.int64)
        inside = np.flatnonzero(at < end)
        first = data[at[inside]]
        size[inside[self.ascii[first]]] = 1
        for length, codes in self.codes.items():
            rest = inside[(first >= 0xC2) & (at[inside] + length <= end[inside])]
            rest = rest[_member(_code(data, at[rest], length), codes)]
            size[rest] = length
        return size

    def beyond_ascii(self, data: Bytes, leads: I64, pairs: npt.NDArray[np.uint16]) -> tuple[I64, I64]:
        """(start, end) of every member of more than one byte; `leads` are the positions of bytes from 0xC2 on and
        `pairs` what these bytes and the next make."""
        at = leads[self.pairs[pairs]]
        size = self.length_at(data, at, np.full(len(at), len(data)))
        return at[size > 0], (at + size)[size > 0]


def _code(data: Bytes, at: I64, length: int) -> I64:
    code = np.zeros(len(at), np.int64)
    for i in range(length):
        code = code << 8 | data[at + i]
    return code


def _member(values: I64, sorted_codes: I64) -> Mask:
    if not len(sorted_codes):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(sorted_codes, values), len(sorted_codes) - 1)
    found: Mask = sorted_codes[place] == values
    return found


_SPACED, _WIDE, _CLOSERS, _SPACES = _Set(SPACED), _Set(WIDE), _Set(CLOSERS), _Set(SPACES)
_ASCII_SPACE = _SPACES.ascii
_MAY_FOLLOW = _SPACES.ascii | _CLOSERS.ascii | _SPACED.ascii | (np.arange(256) >= 0xC2)


def sentences(text: pa.LargeStringArray) -> I64:
    """Number of sentences of each document: int64 (rows,)."""
    data, offsets = buffers(text)
    rows = len(text)
    if not len(data):
        return np.zeros(rows, np.int64)
    start, end, wide, document = _runs(data, offsets)
    stop = offsets[1:][document]
    after = end.copy()
    for _ in range(3):
        near = np.flatnonzero((after < stop) & ~_ASCII_SPACE[data[np.minimum(after, len(data) - 1)]])
        after[near] += _CLOSERS.length_at(data, after[near], stop[near])
    closed = wide | (after == stop) | (_SPACES.length_at(data, after, stop) > 0)
    closed &= ~_idle_stop(data, start, end, offsets[:-1][document])
    start, after, document = start[closed], after[closed], document[closed]
    counts = np.bincount(document, minlength=rows).astype(np.int64)
    last = offsets[:-1].copy()
    last[document] = after  # positions ascend, so the last one of a document stays
    return counts + _remainder(data, last, offsets[1:])


def _runs(data: Bytes, offsets: Offsets) -> tuple[I64, I64, Mask, I64]:
    """Maximal runs of terminators within a document: start, end, whether one of them is wide, document."""
    at = np.flatnonzero((data == ord(".")) | (data == ord("!")) | (data == ord("?"))).astype(np.int64)
    # most marks stand inside numbers and names: what follows them settles that
    last = np.zeros(len(at), np.bool_)
    place = np.searchsorted(at, offsets[1:] - 1)
    place = place[(place < len(at)) & (offsets[1:] > 0)]
    last[place] = np.isin(at[place], offsets[1:] - 1)
    at = at[last | _MAY_FOLLOW[data[np.minimum(at + 1, len(data) - 1)]]]
    start, end, wide = at, at + 1, np.zeros(len(at), np.bool_)
    leads = np.flatnonzero(data >= 0xC2).astype(np.int64)
    if len(leads):
        pairs = data[leads].astype(np.uint16) << np.uint16(8) | data[leads + 1]
        parts = [(start, end, wide)]
        for group, is_wide in ((_SPACED, False), (_WIDE, True)):
            a, b = group.beyond_ascii(data, leads, pairs)
            parts.append((a, b, np.full(len(a), is_wide)))
        start, end, wide = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(start, kind="stable")
        start, end, wide = start[order], end[order], wide[order]
    document = np.searchsorted(offsets, start, side="right").astype(np.int64) - 1
    if not len(start):
        return start, end, wide, document
    first = np.concatenate([[True], (start[1:] != end[:-1]) | (document[1:] != document[:-1])])
    heads = np.flatnonzero(first)
    tails = np.append(heads[1:], len(start)) - 1
    return start[heads], end[tails], np.logical_or.reduceat(wide, heads), document[heads]


def _idle_stop(data: Bytes, start: I64, end: I64, begin: I64) -> Mask:
    """Lone full stops after white space, or after one to three digits that begin a line."""
    idle = np.zeros(len(start), np.bool_)
    lone = np.flatnonzero((end - start == 1) & (data[start] == ord(".")) & (start > begin))
    at, low = start[lone] - 1, begin[lone]
    idle[lone] = _ASCII_SPACE[data[at]]
    for _ in range(3):
        digit = (data[at] - np.uint8(48)) < 10
        lone, at, low = lone[digit], at[digit], low[digit]
        top = (at == low) | (data[np.maximum(at - 1, 0)] == 10)
        idle[lone[top]] = True
        lone, at, low = lone[~top], at[~top] - 1, low[~top]
    return idle


def _remainder(data: Bytes, last: I64, stop: Offsets) -> I64:
    """1 for every document with more than ASCII white space between `last` and its end."""
    out = np.zeros(len(last), np.int64)
    for i in np.flatnonzero(last < stop).tolist():
        out[i] = not data[last[i] : stop[i]].tobytes().isspace()
    return out
