"""Who survives of a cluster: election over verified edges.

The documents that no rule drops are taken from the best rank to the worst. Each is kept unless a document that is
already kept has a strong enough edge to it; then it is dropped as a duplicate of the best such one. So every dropped
document has a verified edge to a kept one, no two kept documents share a strong edge, and a chain A~B~C with A and C
unlike loses B only (or A and C, where B ranks best).

Rank: the longest final text first (the most complete copy), then the smallest gid. The order of edges never matters.

Memory: about 60 bytes an edge; time: one sort of the edges and one pass over them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis import kernels
from tamis.dedup.classes import collapse

# What the election found, ordered by gid: each dropped document and the kept one to which it lost, with the measures
# of the edge between them.
DUPLICATES = pa.schema(
    [
        pa.field("gid", pa.uint64(), nullable=False),
        pa.field("kept_gid", pa.uint64(), nullable=False),
        pa.field("kept_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("jaccard", pa.float32(), nullable=False),
        pa.field("containment", pa.float32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Strength:
    """Which edges make a duplicate: exact ones always; near ones with a Jaccard similarity of at least `jaccard`, or,
    where `containment` is set, a containment (overlap over the smaller set) of at least that."""

    jaccard: float = 0.8
    containment: float | None = None

    def of(self, edges: pa.Table) -> np.ndarray:
        """bool (E,): which edges are strong enough."""
        exact: np.ndarray = pc.equal(edges.column("kind"), "exact").to_numpy()
        # The columns are float32: compare as float32, or 0.8 would be above the 0.8 that was measured.
        strong: np.ndarray = exact | (edges.column("jaccard").to_numpy() >= np.float32(self.jaccard))
        if self.containment is not None:
            strong |= edges.column("containment").to_numpy() >= np.float32(self.containment)
        return strong


@dataclass(frozen=True)
class Elected:
    """D dropped documents ordered by address: `dropped`, `kept` int64 (D,) and `edge` int64 (D,), the row of the
    edge between them."""

    dropped: np.ndarray
    kept: np.ndarray
    edge: np.ndarray


def elect(
    left: np.ndarray, right: np.ndarray, alive: np.ndarray, size: np.ndarray, exact: np.ndarray | None = None
) -> Elected:
    """Elects survivors. Documents are positions 0..N-1 in gid order.

    left, right: int64 (E,) ends of the strong edges, in any order and direction; repeated edges and loops do no harm.
    alive: bool (N,), which documents no rule drops; edges that touch another are without effect.
    size: int64 (N,), characters of the final text.
    exact: bool (E,), which edges are between equal texts. Such texts stand and fall together, whichever of them the
    edges of their star happen to touch, so a class of equal texts is elected as one document (`dedup.classes`).
    """
    if exact is not None and exact.any():
        classes = collapse(left, right, exact, alive, size)
        found = elect(classes.left, classes.right, alive, size)
        return Elected(*classes.extend(found.dropped, found.kept, found.edge))
    rows = np.flatnonzero(alive[left] & alive[right] & (left != right))
    first, second = left[rows], right[rows]
    size_first, size_second = size[first], size[second]
    swap = (size_second > size_first) | ((size_second == size_first) & (second < first))
    better, worse = np.where(swap, second, first), np.where(swap, first, second)

    # Edges in the rank of their better end: when an edge comes up, every edge that could drop its better end has been
    # seen, so one pass decides. The order among edges of one better end does not matter: each drops its own other end.
    order = np.lexsort((better, -np.where(swap, size_second, size_first)))
    better, worse, rows = better[order], worse[order], rows[order]
    lost: dict[int, int] = {}
    for edge, (best, rest) in enumerate(zip(better.tolist(), worse.tolist(), strict=True)):
        if best not in lost and rest not in lost:
            lost[rest] = edge
    dropped = np.fromiter(lost.keys(), np.int64, len(lost))
    number = np.fromiter(lost.values(), np.int64, len(lost))
    by_gid = np.argsort(dropped)
    dropped, number = dropped[by_gid], number[by_gid]
    return Elected(dropped, better[number], rows[number])


def elect_again(
    left: np.ndarray,
    right: np.ndarray,
    exact: np.ndarray,
    changed: np.ndarray,
    alive: np.ndarray,
    lost: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    """Who loses after some documents died or came back: bool (N,), the same as an election from the beginning.

    changed: bool (N,), documents whose `alive` is not what it was when `lost` (N,) was elected over the same edges.
    Only components of the graph that hold such a document are elected anew.
    """
    nodes, roots = kernels.components(left.astype(np.uint64), right.astype(np.uint64))
    nodes, roots = nodes.astype(np.int64), roots.astype(np.int64)
    touched = np.zeros(len(alive), bool)
    touched[roots[changed[nodes]]] = True
    anew = np.zeros(len(alive), bool)
    anew[nodes] = touched[roots]
    rows = np.flatnonzero(anew[left])
    found: np.ndarray = lost & ~anew
    found[elect(left[rows], right[rows], alive, size, exact[rows]).dropped] = True
    return found


class Positions:
    """Between gids (shard << 32 | row) and positions in gid order over all shards. `rows`: documents per shard."""

    def __init__(self, rows: Iterable[int]) -> None:
        self.rows = np.fromiter(rows, np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.rows)])

    @property
    def total(self) -> int:
        return int(self.starts[-1])

    def of(self, gid: np.ndarray) -> np.ndarray:
        """int64 positions of uint64 gids. Raises ValueError for a gid that no shard has."""
        shard = (gid >> np.uint64(32)).astype(np.int64)
        row = (gid & np.uint64(0xFFFFFFFF)).astype(np.int64)
        known = shard < len(self.rows)
        wrong = ~known | (row >= self.rows[np.where(known, shard, 0)]) if len(self.rows) else np.ones(len(gid), bool)
        if wrong.any():
            bad = int(gid[np.argmax(wrong)])
            raise ValueError(
                f"an edge names document {bad >> 32}:{bad & 0xFFFFFFFF}, which is not in the workspace "
                f"({len(self.rows)} shards): edges and documents are not of one run"
            )
        found: np.ndarray = self.starts[shard] + row
        return found

    def gids(self, position: np.ndarray) -> np.ndarray:
        """uint64 gids of int64 positions."""
        shard = np.searchsorted(self.starts, position, side="right") - 1
        row = position - self.starts[shard]
        found: np.ndarray = (shard.astype(np.uint64) << np.uint64(32)) | row.astype(np.uint64)
        return found

    def slice(self, shard: int) -> slice:
        return slice(int(self.starts[shard]), int(self.starts[shard + 1]))
