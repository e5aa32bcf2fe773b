"""Classes of documents whose normalized texts are equal: one node for an election, whatever their number.

Equality is transitive and equal texts have equal sets of shingles, so a near edge of one member is verified for all.
The edges of a class form a star around one member; an election that took them one by one would keep every copy
whose centre had been dropped by a rule or by a better ranked copy. So: elect among the best members, then every other
member loses to whoever stands for its class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis import kernels
from tamis.dedup.exchange import I64


@dataclass(frozen=True)
class Classes:
    """best: (N,) for every position the best ranked alive member of its class (itself where it is alone or not alive).
    left, right: (E,) the ends of the edges moved to these members; a loop where an edge lies inside a class or
    touches a class without an alive member. inside: (N,) an exact edge of the position, -1 where it has none."""

    best: I64
    left: I64
    right: I64
    inside: I64

    @property
    def others(self) -> I64:
        """Positions that are not the best of their class, ordered: they lose to it, or to what it lost to."""
        return np.flatnonzero(self.best != np.arange(len(self.best)))

    def extend(self, dropped: I64, kept: I64, edge: I64) -> tuple[I64, I64, I64]:
        """From an election on the moved edges to all documents: (dropped, kept, edge), ordered by `dropped`.

        dropped[i] lost to kept[i] by the edge in row edge[i]. The others of a class lose to its best member by an
        exact edge of their own; where that one lost too, to the same document by the same edge, since their texts
        are equal to its text.
        """
        lost_to, by = np.full(len(self.best), -1, np.int64), self.inside.copy()
        lost_to[dropped], by[dropped] = kept, edge
        others = self.others
        best = self.best[others]
        fell = lost_to[best] >= 0
        by[others] = np.where(fell, by[best], self.inside[others])
        lost_to[others] = np.where(fell, lost_to[best], best)
        rows = np.flatnonzero(lost_to >= 0)
        return rows, lost_to[rows], by[rows]


def collapse(left: I64, right: I64, exact: npt.NDArray[np.bool_], alive: npt.NDArray[np.bool_], size: I64) -> Classes:
    """Moves every edge to the best alive members of the classes at its ends; rank: largest `size`, then position.

    left, right: (E,) positions 0 ... N - 1; exact: (E,) which edges are of kind exact; alive: (N,) documents that no
    rule drops; size: (N,). Memory: about 40 bytes a document that has an exact copy and 16 an edge.
    """
    best = np.arange(len(alive), dtype=np.int64)
    member, root = kernels.components(left[exact].astype(np.uint64), right[exact].astype(np.uint64))
    member, root = member.astype(np.int64), root.astype(np.int64)
    order = np.lexsort((member, -size[member], ~alive[member], root))
    first = np.ones(len(order), np.bool_)
    first[1:] = root[order][1:] != root[order][:-1]
    leader = np.empty(len(member), np.int64)
    leader[order] = member[order][np.flatnonzero(first)[np.cumsum(first) - 1]] if len(order) else order
    moved = best.copy()
    moved[member] = leader
    best[member] = np.where(alive[member], leader, member)
    dead = ~alive[moved[left]] | ~alive[moved[right]]
    inside = np.full(len(alive), -1, np.int64)
    rows = np.flatnonzero(exact)
    inside[right[rows]] = rows
    inside[left[rows]] = np.where(inside[left[rows]] < 0, rows, inside[left[rows]])
    return Classes(best, moved[left], np.where(dead, moved[left], moved[right]), inside)
