"""Connected components of the star edges: which documents must be brought together to be compared.

A component is not a cluster of duplicates, only the reach of nomination; it is never used to drop anything.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis import documents, kernels
from tamis.dedup.exchange import U64, numpy
from tamis.engine import Context

# 1: the first.
VERSION = 1

# Edges that are worth a look at all that is known; bounds memory, changes nothing.
AT_ONCE = 2_000_000

COMPONENTS = pa.schema([pa.field("gid", pa.uint64(), nullable=False), pa.field("root", pa.uint64(), nullable=False)])


def grow(nodes: U64, root: U64, left: U64, right: U64) -> tuple[U64, U64]:
    """Components of what is known (node -> root, both (N,)) and more edges: (nodes ordered, root the least member).

    A node and its root are an edge too, so the edges of one partition at a time need be in memory.
    """
    return kernels.components(np.concatenate([nodes, left]), np.concatenate([root, right]))


def components_task(
    context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]
) -> dict[str, Any]:
    """inputs: all STARS; outputs: COMPONENTS, row group s holds the documents of shard s. params: shards.

    Memory: about 120 bytes for every document that shares a bucket, and the edges of one partition.
    """
    nodes = root = np.zeros(0, np.uint64)
    parts: list[tuple[U64, U64]] = []
    for number, path in enumerate(inputs, 1):
        table = documents.read_table(path)
        parts.append((numpy(table, "left"), numpy(table, "right")))
        # Not after every partition: what is known is gone through each time, so let what is new be as much.
        if number == len(inputs) or sum(len(left) for left, _ in parts) >= max(len(nodes), AT_ONCE):
            left, right = (np.concatenate(side) for side in zip(*parts, strict=True))
            parts = []
            nodes, root = grow(nodes, root, left, right)
            del left, right
    shards = params["shards"]
    bounds = np.searchsorted(nodes, np.arange(shards + 1, dtype=np.uint64) << np.uint64(32))
    with documents.ParquetShard(outputs[0], COMPONENTS) as file:
        for start, stop in itertools.pairwise(bounds):
            part = [pa.array(nodes[start:stop]), pa.array(root[start:stop])]
            file.write_group(pa.Table.from_arrays(part, schema=COMPONENTS))
    if bounds[-1] != len(nodes):
        raise ValueError(f"star edges name a document of a shard beyond {shards - 1}; the files are of another run")
    return {"documents": len(nodes), "components": int(np.count_nonzero(nodes == root))}
