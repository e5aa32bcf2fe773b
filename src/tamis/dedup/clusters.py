"""Verified edges as an object that answers questions, and the guard that stops an absurd removal.

Clusters are connected components of the edges at a threshold, for people to look at; no document is dropped because
it is in one. What is dropped needs an edge of its own to a kept document: that is the verdict's election.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis import documents, kernels
from tamis.dedup.exchange import I64, U64, numpy
from tamis.dedup.options import CONTAINMENT_FLOOR, JACCARD_FLOOR


class BelowFloor(ValueError):
    """A threshold below which pairs were not recorded."""


class AbsurdRemoval(RuntimeError):
    """Duplicates alone would empty a source. `.source` is its name; the message shows the largest clusters."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(message)
        self.source = source


@dataclass(frozen=True)
class Pair:
    """One verified edge: gids, kind (exact or near), and how alike the two sets of shingles are, in [0, 1]."""

    left: int
    right: int
    kind: str
    jaccard: float
    containment: float


@dataclass(frozen=True)
class Cluster:
    """`size` documents connected by edges; `root` the least gid, `sample` the first few, `jaccard` the mean edge."""

    root: int
    size: int
    sample: tuple[int, ...]
    jaccard: float


@dataclass(frozen=True)
class Clusters:
    """Documents found alike at `jaccard` (or `containment`, where given). E edges: left, right (E,) uint64 gid, score
    and contained (E,) float32 in [0, 1], exact (E,) bool.

    Memory: 25 bytes an edge and 16 a document with an edge; text is never loaded.
    """

    documents: int
    left: U64
    right: U64
    score: npt.NDArray[np.float32]
    contained: npt.NDArray[np.float32]
    exact: npt.NDArray[np.bool_]
    jaccard: float = 0.8
    containment: float | None = None

    @staticmethod
    def read(
        paths: Sequence[Path], documents_total: int, jaccard: float = 0.8, containment: float | None = None
    ) -> Clusters:
        """From files of EDGES. Raises BelowFloor."""
        table = pa.concat_tables([documents.read_table(path) for path in paths])
        return Clusters(
            documents=documents_total,
            left=numpy(table, "left"),
            right=numpy(table, "right"),
            score=numpy(table, "jaccard"),
            contained=numpy(table, "containment"),
            exact=pc.equal(table.column("kind"), "exact").to_numpy(),
        ).rethreshold(jaccard, containment)

    def rethreshold(self, jaccard: float, containment: float | None = None) -> Clusters:
        """The same edges at another threshold. Raises BelowFloor where pairs were never recorded."""
        if jaccard < JACCARD_FLOOR:
            raise BelowFloor(f"jaccard {jaccard} is below {JACCARD_FLOOR}, under which no pair was recorded")
        if containment is not None and containment < CONTAINMENT_FLOOR:
            raise BelowFloor(f"containment {containment} is below {CONTAINMENT_FLOOR}; no pair was recorded there")
        return replace(self, jaccard=jaccard, containment=containment)

    @cached_property
    def alike(self) -> npt.NDArray[np.bool_]:
        """(E,) whether an edge counts at the threshold. Compared in float32, as recorded."""
        counts = self.exact | (self.score >= np.float32(self.jaccard))
        if self.containment is not None:
            counts |= self.contained >= np.float32(self.containment)
        return counts

    @cached_property
    def members(self) -> tuple[U64, U64]:
        """(gid, root) of every document with an edge that counts, ordered by gid; root the least gid reached."""
        return kernels.components(self.left[self.alike], self.right[self.alike])

    @property
    def duplicates(self) -> int:
        """Documents that lose when one of every cluster stays: what dedup can remove at most."""
        gid, root = self.members
        return int(np.count_nonzero(gid != root))

    @property
    def duplicate_ratio(self) -> float:
        """Share of all documents in [0, 1], not percent."""
        return self.duplicates / self.documents if self.documents else 0.0

    def borderline(self, n: int = 10) -> list[Pair]:
        """The near pairs closest to the threshold on either side, closest first: read these to judge it."""
        near = np.flatnonzero(~self.exact)
        distance = np.abs(self.score[near].astype(np.float64) - self.jaccard)
        order = near[np.lexsort((self.right[near], self.left[near], distance))[:n]]
        return [self._pair(int(edge)) for edge in order]

    def largest(self, n: int = 20, *, sample: int = 3, among: npt.NDArray[np.bool_] | None = None) -> list[Cluster]:
        """The clusters with most documents, largest first. `among`: count only these of `members` (a source's)."""
        gid, root = self.members
        if among is not None:
            gid, root = gid[among], root[among]
        roots, counts = np.unique(root, return_counts=True)
        found = []
        for place in np.lexsort((roots, -counts))[:n]:
            inside = gid[root == roots[place]]
            found.append(
                Cluster(
                    root=int(roots[place]),
                    size=int(counts[place]),
                    sample=tuple(inside[:sample].tolist()),
                    jaccard=self._mean_jaccard(roots[place]),
                )
            )
        return found

    @cached_property
    def _edge_roots(self) -> U64:
        gid, root = self.members
        return root[np.searchsorted(gid, self.left[self.alike])]

    def _mean_jaccard(self, root: np.uint64) -> float:
        scores = self.score[self.alike][self._edge_roots == root]
        return float(scores.mean(dtype=np.float64)) if len(scores) else 0.0

    def _pair(self, edge: int) -> Pair:
        kind = "exact" if self.exact[edge] else "near"
        scores = float(self.score[edge]), float(self.contained[edge])
        return Pair(int(self.left[edge]), int(self.right[edge]), kind, *scores)


@dataclass(frozen=True)
class Removal:
    """What duplicates alone cost a source: `documents` that no other rule drops, `removed` of them as duplicates."""

    source: str
    documents: int
    removed: int


@dataclass(frozen=True)
class Limits:
    """Shares in [0, 1] of a source's documents. Sources of fewer than `least` documents are not judged: three copies
    of one page are no catastrophe."""

    max_removed: float = 0.9
    max_cluster: float = 0.5
    least: int = 100


def guard(
    removals: Sequence[Removal],
    limits: Limits,
    clusters: Clusters,
    source_of: Callable[[U64], npt.NDArray[np.object_]],
    url_of: Callable[[int], str | None],
) -> None:
    """Raises AbsurdRemoval for the first source that loses more than `max_removed` of its documents to duplicates, or
    of which one cluster holds more than `max_cluster`.

    source_of: names of the sources of gids, (N,) -> (N,); url_of: the address of one document, for the message.
    """
    gid, _ = clusters.members
    sources = source_of(gid)
    for removal in removals:
        if removal.documents < limits.least:
            continue
        share = removal.removed / removal.documents
        found = clusters.largest(5, among=sources == removal.source)
        reasons = []
        if share > limits.max_removed:
            reasons.append(
                f"loses {removal.removed:,} of {removal.documents:,} documents ({share:.1%}) to duplicates alone; "
                f"dedup.guard.max_removed is {limits.max_removed:.0%}"
            )
        # Members that a rule drops anyway are in clusters too: no cluster can be blamed for more than was removed.
        largest = min(found[0].size, removal.removed + 1) if found else 0
        if largest / removal.documents > limits.max_cluster:
            reasons.append(
                f"has {largest:,} of {removal.documents:,} documents in one cluster; "
                f"at most {limits.max_cluster:.0%} is believed"
            )
        if reasons:
            raise AbsurdRemoval(removal.source, _explain(removal.source, reasons, found, url_of))


def _explain(source: str, reasons: Sequence[str], found: Sequence[Cluster], url_of: Callable[[int], str | None]) -> str:
    lines = [f"source {source} {reason}." for reason in reasons]
    lines.append("No text was written. Its largest clusters:")
    for cluster in found:
        lines.append(f"  {cluster.size:>9,} documents, mean jaccard {cluster.jaccard:.2f}")
        lines += [f"            {printable(url_of(gid) or f'(document {gid})')}" for gid in cluster.sample]
    lines.append(
        "If these are copies of one text, raise the limit in the recipe; if not, the pages share a template: "
        "raise dedup.jaccard or clean the template away."
    )
    return "\n".join(lines)


def printable(text: str, width: int = 100) -> str:
    """One line that is safe on a terminal: a crawl chooses its URLs, and could put escape codes into them."""
    return "".join(character if character.isprintable() else "?" for character in text[:width])


def sources_by_shard(names: Sequence[str]) -> Callable[[U64], npt.NDArray[np.object_]]:
    """`source_of` for `guard`, where every shard is of one source: names[s] is that of shard s."""
    table = np.array(list(names), dtype=object)

    def source_of(gid: U64) -> npt.NDArray[np.object_]:
        shard: I64 = (gid >> np.uint64(32)).astype(np.int64)
        found: npt.NDArray[np.object_] = table[shard]
        return found

    return source_of
