"""Which pairs of a component are worth comparing: all of a small one, in a large one each document with leaders.

Documents come ranked inside their component (the most complete text first), so that the leaders of a bucket are those
that the election of survivors prefers too: whoever loses, loses to a document that it was compared with.

Memory of large components: 8 bytes for every bucket entry, 4 x leaders for every shared bucket, and one window.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.dedup.exchange import I64, U64
from tamis.dedup.options import Options

# Documents whose candidates are made at once; bounds memory, changes nothing.
WINDOW = 8192


def exact_leaders(root: U64, hash_hi: U64, hash_lo: U64) -> I64:
    """For N documents in (component, rank) order: the first document of the same component and content hash, (N,)."""
    order = np.lexsort((hash_lo, hash_hi, root))  # stable: equal texts stay in rank order
    same = np.ones(len(root), np.bool_)
    for values in (root[order], hash_hi[order], hash_lo[order]):
        same[1:] &= values[1:] == values[:-1]
    same[:1] = False
    first = np.flatnonzero(~same)
    leader = np.empty(len(root), np.int64)
    leader[order] = order[first[np.cumsum(~same) - 1]] if len(order) else order
    return leader


def candidates(root: U64, bands: U64, valid: npt.NDArray[np.bool_], options: Options) -> tuple[I64, I64]:
    """Pairs (left, right) of positions, left < right, ordered by (right, left), distinct.

    root: (N,) component of each document, equal ones side by side, in rank order inside; bands: (N, B) band hashes,
    valid: (N,) whether a document has any.
    """
    starts = np.flatnonzero(np.concatenate([[True], root[1:] != root[:-1]])) if len(root) else np.zeros(0, np.int64)
    sizes = np.diff(np.append(starts, len(root)))
    start, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    here = np.arange(len(root), dtype=np.int64)
    alone = ~valid | (size < 2)
    earlier = np.where(alone | (size > options.small), 0, here - start)
    right = np.repeat(here, earlier)
    left = np.arange(len(right)) - np.repeat(np.cumsum(earlier) - earlier, earlier) + np.repeat(start, earlier)
    large = np.flatnonzero(~alone & (size > options.small))
    if not len(large):
        return left, right
    more_left, more_right = _with_leaders(bands[large], options.leaders, options.most)
    left, right = np.concatenate([left, large[more_left]]), np.concatenate([right, large[more_right]])
    order = np.lexsort((left, right))
    return left[order], right[order]


def _with_leaders(bands: U64, leaders: int, most: int) -> tuple[I64, I64]:
    """Each document with the first `leaders` documents of each of its buckets, `most` in all: those that share the
    most buckets with it first, then the better ranked."""
    count, width = bands.shape
    bucket, table = _buckets(bands, leaders)
    found: list[tuple[I64, I64]] = []
    for low in range(0, count, WINDOW):
        high = min(low + WINDOW, count)
        right = np.repeat(np.arange(low, high, dtype=np.int64), width * leaders)
        left = table[bucket[low:high]].reshape(-1).astype(np.int64)
        met = (left >= 0) & (left < right)
        pair, shared = np.unique(right[met] << np.int64(32) | left[met], return_counts=True)
        right, left = pair >> np.int64(32), pair & np.int64(0xFFFFFFFF)
        order = np.lexsort((left, -shared, right))
        right, left = right[order], left[order]
        place = np.arange(len(right)) - np.searchsorted(right, right)
        found.append((left[place < most], right[place < most]))
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def _buckets(bands: U64, leaders: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """(bucket, (N, B): row of the table for each band; table: the first `leaders` documents of a bucket, else -1).

    Row 0 stands for all buckets with one document.
    """
    count, width = bands.shape
    keys = bands.reshape(-1)
    order = np.argsort(keys, kind="stable")  # inside a bucket by position, that is by rank
    keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(np.append(first, len(keys)))
    number = np.where(sizes > 1, np.cumsum(sizes > 1), 0)
    bucket = np.empty(len(keys), np.int32)
    bucket[order] = np.repeat(number, sizes)
    table = np.full((int(number.max(initial=0)) + 1, leaders), -1, np.int32)
    place = np.arange(len(keys)) - np.repeat(first, sizes)
    row = np.repeat(number, sizes)
    lead = (place < leaders) & (row > 0)
    table[row[lead], place[lead]] = order[lead] // width
    return bucket.reshape(count, width), table
