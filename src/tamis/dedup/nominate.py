"""First exchange: documents that share a key (a band hash or the content hash) become star edges of a bucket.

A bucket of m documents gives m - 1 edges from its least gid, never m x m pairs: a giant bucket costs what its rows
cost. An edge here only brings two documents into one component; it says nothing about their likeness.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis import documents
from tamis.dedup.exchange import I64, U64, numpy, partition_of, read_partitions, write_partitions
from tamis.dedup.options import Options
from tamis.engine import Context

# 1: the first.
VERSION = 1

KEYS = pa.schema([pa.field("key", pa.uint64(), nullable=False), pa.field("gid", pa.uint64(), nullable=False)])
STARS = pa.schema([pa.field("left", pa.uint64(), nullable=False), pa.field("right", pa.uint64(), nullable=False)])

# Sets content keys apart from band hashes; only nominates, so a chance meeting of the two costs one comparison.
CONTENT_SALT = np.uint64(0x5851F42D4C957F2D)


def keys(sketch: pa.Table, shard: int, options: Options) -> tuple[U64, U64]:
    """(key, gid) of every key of every document of a shard: (K,) each. Documents without a text have none."""
    gid = documents.gids(shard, sketch.num_rows)
    found: list[tuple[U64, U64]] = []
    if options.exact:
        hashed = sketch.column("hash_hi").combine_chunks()
        rows = np.flatnonzero(hashed.is_valid().to_numpy(zero_copy_only=False))
        found.append((hashed.drop_null().to_numpy() ^ CONTENT_SALT, gid[rows]))
    if options.bands:
        bands = sketch.column("bands").combine_chunks()
        rows = np.flatnonzero(bands.is_valid().to_numpy(zero_copy_only=False))
        found.append((bands.flatten().to_numpy(), np.repeat(gid[rows], options.bands)))
    return np.concatenate([k for k, _ in found]), np.concatenate([g for _, g in found])


def scatter_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: one sketch; outputs: one exchange file of KEYS. params: shard, partitions, and the `dedup` part.

    Memory: 16 bytes a key, (bands + 1) keys a document of the shard, twice.
    """
    key, gid = keys(documents.read_table(inputs[0]), params["shard"], Options.of(params))
    partitions = params["partitions"]
    table = pa.Table.from_arrays([pa.array(key), pa.array(gid)], schema=KEYS)
    write_partitions(outputs[0], table, partition_of(key, partitions), partitions)
    return {"keys": len(key)}


def stars(key: U64, gid: U64) -> tuple[U64, U64]:
    """Star edges (left, right) of all buckets: left the least gid of the bucket, distinct, ordered, left < right."""
    if not len(key):
        return key, gid
    order = grouping(key)
    key, gid = key[order], gid[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    left = np.repeat(np.minimum.reduceat(gid, first), np.diff(np.append(first, len(key))))
    inner = left != gid
    left, right = left[inner], gid[inner]
    return distinct(left, right)


def grouping(key: U64) -> I64:
    """An order in which equal keys are neighbours, (N,).

    Sorts numbers made of the high bits of a key and its position: ten times faster than sorting positions by key.
    Where two keys differ in their low bits alone (one partition of two million in four), it does the latter.
    """
    bits = np.uint64(max(1, (len(key) - 1).bit_length()))
    packed = np.sort(key >> bits << bits | np.arange(len(key), dtype=np.uint64))
    order = (packed & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    packed >>= bits
    sorted_key = key[order]
    mixed = (packed[1:] == packed[:-1]) & (sorted_key[1:] != sorted_key[:-1])
    return np.argsort(key) if mixed.any() else order


def distinct(left: U64, right: U64) -> tuple[U64, U64]:
    """The pairs without repetition, ordered by (left, right). Sorts numbers instead of pairs, which is faster."""
    lefts, at = np.unique(left, return_inverse=True)
    rights, to = np.unique(right, return_inverse=True)
    packed = np.sort(at.astype(np.uint64) << np.uint64(32) | to.astype(np.uint64))
    packed = packed[np.flatnonzero(np.concatenate([[True], packed[1:] != packed[:-1]]))] if len(packed) else packed
    return lefts[packed >> np.uint64(32)], rights[packed & np.uint64(0xFFFFFFFF)]


def gather_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: all exchange files; outputs: STARS of one partition, ordered. params: partition.

    Memory: about 60 bytes a key of the partition, so choose partitions by keys (2 million keys: 120 MB).
    """
    table = read_partitions(inputs, params["partition"])
    left, right = stars(numpy(table, "key"), numpy(table, "gid"))
    documents.write_table(outputs[0], pa.Table.from_arrays([pa.array(left), pa.array(right)], schema=STARS), STARS)
    return {"keys": table.num_rows, "stars": len(left)}
