"""Repeated n-grams of words in every convention that is in use (Rae et al. 2021, table A1, left them open).

One search finds, for n from 2 to 10, which n-grams of a text occur again. Only places where both (n-1)-grams repeat
can begin a repeated n-gram, so each step sorts what the step before left: the cost is that of the 2-grams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tamis.signals.characters import I64, Copies, Pieces

LARGEST = 10


@dataclass(frozen=True)
class Repeated:
    """The n-grams of one length that occur twice or more in their text. `at`: the word that each begins with,
    ascending; `group`: which are equal; `chars`: characters of its words. `heads`, `counts`: the first word and the
    number of occurrences of every group."""

    words: Pieces
    n: int
    at: I64
    group: I64
    chars: I64
    heads: I64
    counts: I64

    @property
    def rows(self) -> I64:
        return self.words.row[self.at]

    def top(self, *, joints: bool = False, longest: bool = False, single: bool = False) -> I64:
        """Characters of all occurrences of the most frequent n-gram of each text, int64 (rows,).

        Of equally frequent ones the first, or the `longest`. `joints`: a space between words counts. `single`: where
        nothing repeats, the first n-gram counts once; otherwise 0.
        """
        text = self.words.text
        out = np.zeros(text.rows, np.int64)
        extra = self.n - 1 if joints else 0
        if single:
            first, total = self._first[:-1], self._total
            some = np.flatnonzero(np.diff(self._first) >= self.n)
            out[some] = total[first[some] + self.n] - total[first[some]] + extra
        if not len(self.at):
            return out
        total = self._total
        rows, counts = self.words.row[self.heads], self.counts
        chars = total[self.heads + self.n] - total[self.heads] + extra
        order = np.lexsort((-chars if longest else self.heads, -counts, rows))
        best = order[np.concatenate([[True], rows[order][1:] != rows[order][:-1]])]
        out[rows[best]] = counts[best] * chars[best]
        return out

    def every_copy(self) -> I64:
        """Characters summed over every occurrence of every repeated n-gram, overlaps counted again."""
        return self.words.text.per_row(self.rows, self.chars)

    def every_gram(self) -> I64:
        """The same over all n-grams of a text, repeated or not."""
        twice = np.concatenate([[0], np.cumsum(self._total)])
        low, high = self._first[:-1], self._first[1:]
        some = np.flatnonzero(high - low >= self.n)
        low, high = low[some], high[some]
        out = np.zeros(self.words.text.rows, np.int64)
        # The sum of total[i + n] - total[i] over the first words i of the n-grams of a text.
        out[some] = (twice[high + 1] - twice[low + self.n]) - (twice[high - self.n + 1] - twice[low])
        return out

    @property
    def _total(self) -> I64:
        """Characters of all words before each."""
        return np.concatenate([[0], np.cumsum(self.words.sizes)])

    @property
    def _first(self) -> I64:
        """The first word of each text."""
        return np.concatenate([[0], np.cumsum(self.words.counts())])

    def covered(self) -> I64:
        """Characters of the words that lie in some repeated n-gram, each word once."""
        edge = np.zeros(len(self.words) + 1, np.int64)
        edge[self.at] += 1
        edge[self.at + self.n] -= 1
        inside = np.cumsum(edge)[:-1] > 0
        return self.words.text.per_row(self.words.row[inside], self.words.sizes[inside])

    def greedy(self) -> I64:
        """Characters of n-grams seen before when reading from left to right and going on behind each such n-gram."""
        out = np.zeros(self.words.text.rows, np.int64)
        rows = self.rows
        edges = [0, *(np.flatnonzero(rows[1:] != rows[:-1]) + 1).tolist(), len(rows)] if len(rows) else []
        for low, high in pairwise(edges):
            seen: set[int] = set()
            free = chars = 0
            for at, group, size in zip(
                self.at[low:high].tolist(), self.group[low:high].tolist(), self.chars[low:high].tolist(), strict=True
            ):
                if at < free:
                    continue
                if group in seen:
                    chars += size
                    free = at + self.n
                else:
                    seen.add(group)
            out[rows[low]] = chars
        return out


def repeated(words: Pieces) -> Iterator[Repeated]:
    """`Repeated` for n = 2 to 10."""
    single = words.copies
    ids = single.group.astype(np.uint64)
    total = np.concatenate([[0], np.cumsum(words.sizes)])
    at = np.flatnonzero(single.repeated)
    gram = ids[at]
    for n in range(2, LARGEST + 1):
        # Both the n-1 words from here and those from the next word repeat, in the same text.
        there = np.flatnonzero(at[1:] == at[:-1] + 1)
        start = at[there]
        fits = start + n <= len(words)
        fits[fits] = words.row[start[fits]] == words.row[start[fits] + n - 1]
        start, there = start[fits], there[fits]
        copies = Copies.of((gram[there] << np.uint64(32)) | ids[start + n - 1])
        kept, groups = copies.repeated, copies.count > 1
        at, group = start[kept], copies.group[kept]
        gram = group.astype(np.uint64)
        yield Repeated(
            words, n, at, group, total[at + n] - total[at], start[copies.first[groups]], copies.count[groups]
        )
