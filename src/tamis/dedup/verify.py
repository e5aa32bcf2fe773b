"""Compares candidates on their full sets of shingles and records what is alike as edges.

jaccard = |A and B| / |A or B|, containment = |A and B| / min(|A|, |B|), where A and B are the sets of 64-bit hashes
of the texts' word n-grams (`script` words, normalized, numbers kept). Equal content hashes are edges of kind exact.

An edge is recorded at jaccard >= 0.5 or containment >= 0.9, whatever the recipe's threshold, so that a threshold is
a query. Documents of equal text form a class: its first document (most characters, then least gid) is compared with
others; every other member has an exact edge to it and inherits its edges to better ranked documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import documents, kernels
from tamis.dedup.candidates import candidates, exact_leaders
from tamis.dedup.exchange import I64, U64, numpy, read_partition, read_partitions
from tamis.dedup.options import Options
from tamis.engine import Context

# 1: the first.
VERSION = 1

# Bytes of shingles read at once; bounds memory, changes nothing.
BLOCK_BYTES = 48 << 20

# Row groups of a partition's edges are small, because the merge holds one of every partition.
GROUP_BYTES = 1 << 20

Sets = tuple[I64, U64]  # offsets (N + 1,), values


@dataclass(frozen=True)
class Members:
    """The documents of one partition in (root, rank) order; rank: most characters first, then least gid.

    gid, root, hash_hi, hash_lo: (N,) uint64; set_size: (N,) distinct shingles; file, row: (N,) where the set lies;
    bands: (N, B), zeros where not valid.
    """

    gid: U64
    root: U64
    hash_hi: U64
    hash_lo: U64
    set_size: I64
    file: I64
    row: I64
    bands: U64
    valid: npt.NDArray[np.bool_]

    @staticmethod
    def of(tables: Sequence[pa.Table], options: Options) -> Members:
        """From the partition's rows of every exchange file, without their shingles."""
        rows = [table.num_rows for table in tables]
        table = pa.concat_tables(tables)
        gid, root, chars = (numpy(table, name) for name in ("gid", "root", "chars"))
        order = np.lexsort((gid, -chars, root))
        valid = np.zeros(len(gid), np.bool_)
        bands = np.zeros((len(gid), options.bands), np.uint64)
        if options.bands:
            column = table.column("bands").combine_chunks()
            valid = column.is_valid().to_numpy(zero_copy_only=False)
            bands[valid] = column.flatten().to_numpy().reshape(-1, options.bands)

        def ranked(name: str) -> Any:
            return numpy(table, name)[order]

        return Members(
            gid=ranked("gid"),
            root=ranked("root"),
            hash_hi=ranked("hash_hi"),
            hash_lo=ranked("hash_lo"),
            set_size=ranked("set_size"),
            file=np.repeat(np.arange(len(rows)), rows)[order],
            row=np.concatenate([np.arange(n) for n in rows])[order],
            bands=bands[order],
            valid=valid[order],
        )


def overlaps(
    members: Members, left: I64, right: I64, load: Callable[[int], Sets], *, block_bytes: int = BLOCK_BYTES
) -> I64:
    """|A and B| of each pair of members, (K,). `load(f)` reads the sets of file f, one for each of its rows.

    Files are read once, in order, in blocks; of the blocks behind, only sets that a later document still meets are
    held. Memory: one block and the held sets.
    """
    found = np.zeros(len(left), np.int64)
    if not len(left):
        return found
    block_of_file = _blocks(members, block_bytes)
    block = block_of_file[members.file]
    due = np.maximum(block[left], block[right])
    last = np.full(len(block), -1, np.int64)  # the last block in which a member is compared
    np.maximum.at(last, left, due)
    np.maximum.at(last, right, due)
    position = np.full(len(block), -1, np.int64)
    held, sets = np.zeros(0, np.int64), (np.zeros(1, np.int64), np.zeros(0, np.uint64))
    for now in range(int(block_of_file[-1]) + 1):
        parts = [(held, sets)] if len(held) else []
        for file in np.flatnonzero(block_of_file == now):
            here = np.flatnonzero((members.file == file) & (last >= 0))
            if len(here):
                here = here[np.argsort(members.row[here])]
                parts.append((here, pick(load(int(file)), members.row[here])))
        if not parts:
            continue
        held, sets = np.concatenate([h for h, _ in parts]), join([s for _, s in parts])
        position[held] = np.arange(len(held))
        pairs = np.flatnonzero(due == now)
        found[pairs] = kernels.overlaps(sets[0], sets[1], position[left[pairs]], position[right[pairs]])
        later = np.flatnonzero(last[held] > now)
        held, sets = held[later], pick(sets, later)
    return found


def _blocks(members: Members, block_bytes: int) -> I64:
    """The block of each file: files in order, a new block when the one before is full."""
    sizes = np.bincount(members.file, weights=members.set_size * 8)
    before = np.cumsum(sizes) - sizes
    return (before // block_bytes).astype(np.int64)


def pick(sets: Sets, rows: I64) -> Sets:
    """The sets at `rows`, in that order."""
    offsets, values = sets
    sizes = offsets[rows + 1] - offsets[rows]
    fresh = np.concatenate([[0], np.cumsum(sizes)])
    return fresh, values[np.arange(fresh[-1]) + np.repeat(offsets[rows] - fresh[:-1], sizes)]


def join(many: Sequence[Sets]) -> Sets:
    """All sets, one after the other."""
    sizes = np.concatenate([np.diff(offsets) for offsets, _ in many])
    return np.concatenate([[0], np.cumsum(sizes)]), np.concatenate([values for _, values in many])


@dataclass(frozen=True)
class _Alike:
    """Pairs (K,) of members at or above a floor, ordered by (right, left), left the better ranked."""

    left: I64
    right: I64
    jaccard: npt.NDArray[np.float64]
    containment: npt.NDArray[np.float64]

    @staticmethod
    def both(first: _Alike, second: _Alike) -> _Alike:
        parts = [np.concatenate(pair) for pair in zip(vars(first).values(), vars(second).values(), strict=True)]
        order = np.lexsort((parts[0], parts[1]))
        return _Alike(*(part[order] for part in parts))


def _compare(members: Members, left: I64, right: I64, load: Callable[[int], Sets], options: Options) -> _Alike:
    both = overlaps(members, left, right, load)
    sizes = members.set_size
    jaccard = both / np.maximum(sizes[left] + sizes[right] - both, 1)
    containment = both / np.maximum(np.minimum(sizes[left], sizes[right]), 1)
    alike = (jaccard >= options.floor) | (containment >= options.containment_floor)
    return _Alike(left[alike], right[alike], jaccard[alike], containment[alike])


def betters(count: int, left: I64, right: I64, alike: _Alike) -> tuple[I64, I64]:
    """Pairs not yet compared of each document with the best ranked one that any document like it is like.

    In a large cluster a document may share no bucket with the one that will survive (14 x 8: 1 of 70 pairs at
    Jaccard 0.86), only with others that lose to it; without this second look it would stay beside its better.
    """
    best = np.arange(count)
    np.minimum.at(best, alike.right, alike.left)
    beyond = best.copy()
    np.minimum.at(beyond, alike.right, best[alike.left])
    worse = np.flatnonzero(beyond < best)
    fresh = ~np.isin(beyond[worse] * count + worse, left * count + right)
    return beyond[worse[fresh]], worse[fresh]


def verify(members: Members, load: Callable[[int], Sets], options: Options) -> tuple[pa.Table, dict[str, int]]:
    """The edges of a partition, ordered by (left, right), and counts of what was compared."""
    leader = exact_leaders(members.root, members.hash_hi, members.hash_lo)
    here = np.arange(len(leader))
    distinct = np.flatnonzero(leader == here)
    left, right = candidates(members.root[distinct], members.bands[distinct], members.valid[distinct], options)
    left, right = distinct[left], distinct[right]
    alike = _compare(members, left, right, load, options)
    more_left, more_right = betters(len(here), left, right, alike)
    compared = len(left) + len(more_left)
    alike = _Alike.both(alike, _compare(members, more_left, more_right, load, options))
    left, right, jaccard, containment = alike.left, alike.right, alike.jaccard, alike.containment

    equal = np.flatnonzero(leader != here)
    heir, edge = _heirs(right, leader[equal])  # an equal text meets what its leader met
    ones = np.ones(len(equal))
    table = _edges(
        members,
        np.concatenate([leader[equal], left, left[edge]]),
        np.concatenate([equal, right, equal[heir]]),
        np.concatenate([ones, jaccard, jaccard[edge]]),
        np.concatenate([ones, containment, containment[edge]]),
        exact=len(equal),
    )
    counts = {"documents": len(here), "compared": compared, "near": table.num_rows - len(equal), "exact": len(equal)}
    return table, counts


def _heirs(right: I64, leader: I64) -> tuple[I64, I64]:
    """(heir, edge) positions such that right[edge] == leader[heir]; `right` is ordered."""
    first, last = np.searchsorted(right, leader), np.searchsorted(right, leader, side="right")
    count = last - first
    heir = np.repeat(np.arange(len(leader)), count)
    return heir, np.arange(len(heir)) - np.repeat(np.cumsum(count) - count - first, count)


def _edges(
    members: Members,
    left: I64,
    right: I64,
    jaccard: npt.NDArray[np.float64],
    containment: npt.NDArray[np.float64],
    *,
    exact: int,
) -> pa.Table:
    """EDGES of pairs of members; the first `exact` of them are of kind exact."""
    a, b = members.gid[left], members.gid[right]
    kind = np.where(np.arange(len(a)) < exact, "exact", "near")
    shared = np.zeros(len(a), np.int16)
    for low in range(0, len(a), 1 << 16):
        part = slice(low, low + (1 << 16))
        equal = members.bands[left[part]] == members.bands[right[part]]
        shared[part] = equal.sum(axis=1) * (members.valid[left[part]] & members.valid[right[part]])
    low_gid, high_gid = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((high_gid, low_gid))
    columns = [low_gid, high_gid, kind, jaccard.astype(np.float32), containment.astype(np.float32), shared]
    return pa.Table.from_arrays([pa.array(column[order]) for column in columns], schema=documents.EDGES)


def verify_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: all shingle exchange files in shard order; outputs: EDGES of one partition. params: partition, `dedup`.

    Memory: about 300 bytes a candidate of the partition plus 40 a compared pair (at most 32 a document), one block
    of shingles (48 MB), and the sets of leaders that later shards still meet.
    """
    options, partition = Options.of(params), params["partition"]
    light = ["gid", "root", "chars", "hash_hi", "hash_lo", "set_size"]
    if options.bands:
        light.append("bands")
    members = Members.of([read_partition(path, partition, light) for path in inputs], options)

    def load(file: int) -> Sets:
        column = read_partitions([inputs[file]], partition, ["shingles"]).column("shingles").combine_chunks()
        context.advance(len(column))
        return column.offsets.to_numpy(), column.values.to_numpy()

    table, counts = verify(members, load, options)
    with documents.ParquetShard(outputs[0], documents.EDGES, group_bytes=GROUP_BYTES) as file:
        for batch in table.combine_chunks().to_batches():
            file.write(batch)
    return dict(counts)
