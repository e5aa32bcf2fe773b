"""What raters said about each example, as counts of values, and bootstrap resamples of the examples.

Agreement depends on counts alone, and examples with the same counts are alike: `Units` keeps each *pattern* of counts
once, with the number of examples that have it. Three raters and five values make 35 patterns, however many examples
there are. Memory: one sparse row per pattern, at most one entry per rating; a resample is one number per pattern, and
resamples are made in blocks of at most 32 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK = 1 << 22  # numbers of a block of resamples


@dataclass(frozen=True)
class Units:
    """U examples in G patterns over V values.

    matrix: sparse (G, V), how many raters gave each value; times: (G,) examples of each pattern; ratings: (G,) raters
    of an example of each pattern; kinds: (U,) the pattern of each example.
    """

    matrix: Any
    times: Ints
    ratings: Ints
    kinds: Ints

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(self.kinds)

    def with_at_least(self, least: int) -> Units:
        """Only the examples with so many ratings."""
        kept = self.ratings >= least
        number = np.cumsum(kept) - 1
        kinds = self.kinds[kept[self.kinds]]
        return Units(self.matrix[np.flatnonzero(kept)], self.times[kept], self.ratings[kept], number[kinds])

    def resamples(self, number: int, seed: int) -> Iterator[Floats]:
        """Blocks (b, G) of how often each pattern is drawn when U examples are drawn with replacement.

        Depends on the order of examples and the seed, not on what raters or values are called.
        """
        rng = np.random.default_rng(seed)
        size, patterns = self.examples, len(self.times)
        step = max(1, BLOCK // max(size, patterns, 1))
        for start in range(0, number, step):
            rows = min(step, number - start)
            if 8 * patterns < size:
                yield rng.multinomial(size, self.times / size, size=rows).astype(np.float64)
            else:
                drawn = self.kinds[rng.integers(0, size, (rows, size))]
                drawn += patterns * np.arange(rows)[:, None]
                yield np.bincount(drawn.ravel(), minlength=rows * patterns).reshape(rows, patterns).astype(np.float64)


def count(example: Ints, value: Ints, values: int) -> Units:
    """Units of N ratings: example (N,) and value (N,) as codes, `values` V. O(N log N)."""
    from scipy.sparse import csr_array

    names, example = np.unique(example, return_inverse=True)
    examples = len(names)
    cells, given = np.unique(example * values + value, return_counts=True)
    row, column = cells // values, cells % values
    # A linear hash of the counts: equal patterns have equal keys; unequal ones collide with probability 2^-64 a pair.
    salt = np.random.default_rng(0x7A315).integers(1, 1 << 63, max(values, 1), dtype=np.uint64) * 2 + 1
    keys = np.zeros(examples, np.uint64)
    np.add.at(keys, row, given.astype(np.uint64) * salt[column])
    _, first, kind, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first, kind="stable")  # patterns by the first example that has them, whatever values are called
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    matrix = csr_array((given.astype(np.float64), (row, column)), shape=(examples, values))[first[order]]
    ratings = np.bincount(example, minlength=examples)[first[order]]
    return Units(matrix, times[order], ratings.astype(np.int64), number[kind.reshape(-1)])
