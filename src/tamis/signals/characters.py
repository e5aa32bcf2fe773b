"""A batch of texts as one array of code points, cut into pieces by numpy: what the dialects' counts stand on.

The kernels measure Tamis's own definitions; a dialect measures a peer's, with other words, other lines and other
denominators. Here a text is an array of code points, a *piece* (word, line, paragraph) is a span of it, and equal
pieces are found by 64-bit hashes, so that every definition is a few passes over arrays and no loop over documents.

Memory: about 40 bytes a character of the batch.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.kernels import unicode_tables as tables
from tamis.signals.batch import Batch, buffers

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

NEWLINE = 10


class Characters:
    """`codes`: uint32 code points of all texts in order; text i is ``codes[offsets[i]:offsets[i + 1]]``."""

    def __init__(self, codes: U32, offsets: I64) -> None:
        self.codes, self.offsets = codes, offsets

    @staticmethod
    def of_arrow(text: pa.LargeStringArray) -> Characters:
        """From an array without nulls."""
        data, offsets = buffers(text)
        codes = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), np.uint32)
        if len(codes) == len(data):
            return Characters(codes, offsets)
        starts = np.concatenate([[0], np.cumsum((data & 0xC0) != 0x80, dtype=np.int64)])
        return Characters(codes, starts[offsets])

    @staticmethod
    def of_strings(texts: Sequence[str]) -> Characters:
        offsets = np.concatenate([[0], np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))])
        return Characters(np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32), offsets)

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def flags(self) -> npt.NDArray[np.uint16]:
        """`kernels.unicode_tables` flags of every code point."""
        return tables.flags()[self.codes]

    @cached_property
    def space(self) -> Mask:
        """str.isspace."""
        found: Mask = (self.flags & tables.SPACE) != 0
        return found

    @cached_property
    def alpha(self) -> Mask:
        """str.isalpha."""
        found: Mask = (self.flags & tables.ALPHA) != 0
        return found

    @cached_property
    def polynomial(self) -> U64:
        """Sums of scrambled code points times powers of an odd number, modulo 2^64, up to each position."""
        total = np.zeros(len(self.codes) + 1, np.uint64)
        np.cumsum(_scrambled()[self.codes] * _powers(len(self.codes), _BASE)[: len(self.codes)], out=total[1:])
        return total

    @cached_property
    def lengths(self) -> I64:
        """Characters of each text."""
        return np.diff(self.offsets)

    @cached_property
    def heads(self) -> Mask:
        """Which characters begin a text."""
        found = np.zeros(len(self.codes) + 1, np.bool_)
        found[self.offsets[:-1]] = True
        return found[:-1]

    def member(self, characters: str) -> Mask:
        """Which characters belong to a set."""
        return member(characters, self.codes)

    def rows_of(self, at: I64) -> I64:
        """The text that each of ascending positions lies in."""
        return np.repeat(np.arange(self.rows), np.diff(np.searchsorted(at, self.offsets)))

    def per_row(self, rows: I64, weights: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """How many (or the sum of int weights) fall to each text: int64 (rows,)."""
        counts = np.bincount(rows, weights=weights, minlength=self.rows)
        return counts if weights is None else np.rint(counts).astype(np.int64)

    def runs(self, inside: Mask, heads: Mask | None = None) -> Pieces:
        """Maximal runs of characters with `inside`; a run also begins anew at every `heads`, and at every text."""
        before = np.concatenate([[False], inside[:-1]])
        opens = inside & (~before | self.heads)
        if heads is not None:
            opens |= inside & heads
        after = np.concatenate([inside[1:], [False]])
        closes = inside & (~after | np.concatenate([self.heads[1:], [True]]))
        if heads is not None:
            closes |= inside & np.concatenate([heads[1:], [True]])
        start = np.flatnonzero(opens)
        return Pieces(self, start, np.flatnonzero(closes) + 1, self.rows_of(start))

    def blocks(self, newlines: int) -> Pieces:
        """What stands between runs of at least `newlines` newlines (1: lines without empty ones)."""
        line = self.codes == NEWLINE
        if newlines > 1:
            runs = self.runs(line)
            long = runs.where(runs.sizes >= newlines)
            line = long.mask()
        return self.runs(~line)

    def lines(self) -> Pieces:
        """str.split("\\n"): every text has one more line than newlines, empty ones among them."""
        at = np.flatnonzero(self.codes == NEWLINE)
        start = np.sort(np.concatenate([self.offsets[:-1], at + 1]))
        rows = np.repeat(np.arange(self.rows), 1 + self.per_row(self.rows_of(at)))
        # An empty text begins where the next one does: equal starts keep the order of the texts.
        end = np.concatenate([start[1:] - 1, self.offsets[-1:]])
        last = np.flatnonzero(np.concatenate([rows[1:] != rows[:-1], [True]])) if len(rows) else rows
        end[last] = self.offsets[1:][rows[last]]
        return Pieces(self, start, end, rows)

    def occurrences(self, text: str) -> I64:
        """How often ASCII or other `text` occurs in each row without overlap, as str.count."""
        wanted = [ord(c) for c in text]
        size = len(self.codes) - len(wanted) + 1
        if size <= 0:
            return np.zeros(self.rows, np.int64)
        hit = self.codes[:size] == wanted[0]
        for i, code in enumerate(wanted[1:], 1):
            hit &= self.codes[i : size + i] == code
        at = np.flatnonzero(hit)
        rows = self.rows_of(at)
        keep = at + len(wanted) <= self.offsets[1:][rows]
        at, rows = at[keep], rows[keep]
        if len(wanted) > 1 and len(at):  # str.count goes on behind a hit
            taken, free = [], -1
            if int(np.diff(at).min(initial=len(wanted))) < len(wanted):
                for i, position in enumerate(at.tolist()):
                    if position >= free:
                        taken.append(i)
                        free = position + len(wanted)
                rows = rows[taken]
        return self.per_row(rows)


@dataclass(frozen=True)
class Pieces:
    """Spans of code points in order: `start`, `end` (in all texts), `row` (the text). int64 each."""

    text: Characters
    start: I64
    end: I64
    row: I64

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def sizes(self) -> I64:
        return self.end - self.start

    def mask(self) -> Mask:
        """Which characters lie in a piece; pieces must not overlap."""
        edge = np.zeros(len(self.text.codes) + 1, np.int8)
        some = self.sizes > 0
        edge[self.start[some]] += 1
        edge[self.end[some]] -= 1
        found: Mask = np.cumsum(edge, dtype=np.int8)[:-1] > 0
        return found

    def where(self, chosen: Mask) -> Pieces:
        return Pieces(self.text, self.start[chosen], self.end[chosen], self.row[chosen])

    def counts(self) -> I64:
        """Pieces of each text."""
        return self.text.per_row(self.row)

    def chars(self) -> I64:
        """Characters in the pieces of each text."""
        return self.text.per_row(self.row, self.sizes)

    def sums(self, values: npt.NDArray[Any]) -> I64:
        """The sum over each piece of something known of every character."""
        total = np.zeros(len(values) + 1, np.int32)  # texts of a batch have fewer than 2^31 characters
        np.cumsum(values, dtype=np.int32, out=total[1:])
        return (total[self.end] - total[self.start]).astype(np.int64)

    def any(self, values: Mask) -> Mask:
        """Which pieces hold a character with a property."""
        return self.sums(values) > 0

    def stripped(self) -> Pieces:
        """str.strip of every piece; those of white space alone are left out."""
        full = np.flatnonzero(~self.text.space)
        first = np.searchsorted(full, self.start)
        last = np.searchsorted(full, self.end) - 1
        some = last >= first
        start, end = full[first[some]], full[last[some]] + 1
        return Pieces(self.text, start.astype(np.int64), end.astype(np.int64), self.row[some])

    @cached_property
    def hashes(self) -> U64:
        """A 64-bit hash of the characters of each piece: equal pieces have equal hashes."""
        total = self.text.polynomial
        value = (total[self.end] - total[self.start]) * _powers(len(total), _INVERSE)[self.start]
        return mix(value ^ self.sizes.astype(np.uint64))

    @cached_property
    def keys(self) -> U64:
        """`hashes` with the text mixed in: equal only for equal pieces of one text."""
        return self.hashes ^ mix(self.row.astype(np.uint64) + np.uint64(1))

    @cached_property
    def copies(self) -> Copies:
        return Copies.of(self.keys)

    def equal_to(self, words: Sequence[str]) -> npt.NDArray[np.int64]:
        """The number of the word that each piece is, -1 for none of them."""
        wanted = Characters.of_strings(list(words))
        known = Pieces(wanted, wanted.offsets[:-1], wanted.offsets[1:], np.arange(len(words))).hashes
        order = np.argsort(known)
        place = np.minimum(np.searchsorted(known[order], self.hashes), len(words) - 1)
        return np.where(known[order][place] == self.hashes, order[place], -1)


@dataclass(frozen=True)
class Copies:
    """Which of many keys are equal: `group` of each, `count` of each group, `first` member of each group."""

    group: I64
    count: I64
    first: I64

    @staticmethod
    def of(keys: U64) -> Copies:
        order = np.argsort(keys)
        ordered = keys[order]
        opens = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(keys) else np.zeros(0, np.bool_)
        number = np.cumsum(opens) - 1
        group = np.empty(len(keys), np.int64)
        group[order] = number
        heads = np.flatnonzero(opens)
        first = np.minimum.reduceat(order, heads) if len(keys) else order
        return Copies(group, np.diff(np.append(heads, len(keys))), first.astype(np.int64))

    @property
    def repeated(self) -> Mask:
        """Members of groups of two or more."""
        found: Mask = self.count[self.group] > 1
        return found

    @property
    def later(self) -> Mask:
        """Second and later members."""
        found: Mask = self.first[self.group] != np.arange(len(self.group))
        return found


_known: WeakKeyDictionary[Batch, dict[str, Characters]] = WeakKeyDictionary()


def characters(batch: Batch) -> Characters:
    """The clean text of a batch; groups that are measured together share it."""
    found = _known.setdefault(batch, {})
    if "clean" not in found:
        found["clean"] = Characters.of_arrow(batch.clean)
    return found["clean"]


def member(characters: str, codes: U32) -> Mask:
    """Which code points belong to a set."""
    found: Mask = _set(characters)[codes]
    return found


def mix(values: U64) -> U64:
    """SplitMix64's finalizer (Steele, Lea and Flood 2014)."""
    z = values.astype(np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@cache
def numeric() -> Mask:
    """str.isnumeric and not str.isalpha, of every code point."""
    found = np.zeros(0x110000, np.bool_)
    beyond = [c for c in range(0x80, 0x20000) if unicodedata.numeric(chr(c), None) is not None]
    found[[*range(48, 58), *beyond]] = True
    found &= (tables.flags() & tables.ALPHA) == 0
    return found


@cache
def _set(characters: str) -> Mask:
    found = np.zeros(0x110000, np.bool_)
    found[[ord(c) for c in characters]] = True
    return found


_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_tables: dict[int, U64] = {}


def _powers(size: int, base: int) -> U64:
    """Powers of a number from 0 up to `size` at least, modulo 2^64."""
    known = _tables.get(base)
    if known is None or len(known) < size:
        known = np.full(1 << max(16, size.bit_length()), base, np.uint64)
        known[0] = 1
        known = _tables[base] = np.cumprod(known)
    return known


@cache
def _scrambled() -> U64:
    return mix(np.arange(1, 0x110001, dtype=np.uint64) * np.uint64(_BASE))
