"""What each rule of a corpus alone takes away: the corpus without that rule, survivors elected again.

A document comes back without a rule where no other rule drops it and it loses to no duplicate; a shorter duplicate
that was kept may then lose to it. So a rule's documents are fewer than those it fails: what two rules drop, neither
brings back alone. Text is not read here; `returned` reads that of the documents that come back.

Memory: about 60 bytes a document and 60 an edge, and one byte a document while a rule is judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.corpora import Corpus
from tamis.corpus.kept import kept_batches
from tamis.documents import gids, read_table
from tamis.verdicts.election import Positions, elect_again
from tamis.verdicts.rules import DUPLICATE
from tamis.verdicts.task import exact_edges, sizes, strong_edges

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LeftOut:
    """The corpus without one rule (or without deduplication: `duplicate`).

    fails: documents that the rule drops, together with others or alone. back, gone: positions (in gid order over all
    shards) of documents that come back, and of duplicates that lose to them. bytes_back, bytes_gone: of their final
    text, as the signals say."""

    rule: str
    where: str
    groups: tuple[str, ...]
    fails: int
    back: Ints
    gone: Ints
    bytes_back: int
    bytes_gone: int


@dataclass(frozen=True)
class Whole:
    """The full recipe: documents and bytes kept, positions over all shards, and every rule that drops something."""

    corpus: Corpus
    positions: Positions
    kept: Bools
    bytes: int
    rules: list[LeftOut]

    @property
    def documents(self) -> int:
        return int(self.kept.sum())


def leave_out(corpus: Corpus) -> Whole:
    """Every rule of the corpus that drops something, left out by itself, in the order of the recipe; deduplication
    last."""
    masks, chars, octets = [], [], []
    for shard in range(corpus.shards):
        masks.append(read_table(corpus.mask(shard), ["failed"]).column("failed").to_numpy())
        path = corpus.signals("final", shard)
        if path is None:
            raise FileNotFoundError(f"the signal group `final` of shard {shard} is missing; `tamis run` measures it")
        table = read_table(path, ["chars", "bytes"])
        chars.append(sizes(table.column("chars")))
        octets.append(sizes(table.column("bytes")))
    positions = Positions(len(one) for one in masks)
    mask = np.concatenate([*masks, np.zeros(0, np.uint64)])
    size, weight = (np.concatenate([*parts, np.zeros(0, np.int64)]) for parts in (chars, octets))
    lost = np.zeros(positions.total, np.bool_)
    lost[positions.of(read_table(corpus.duplicates(), ["gid"]).column("gid").to_numpy())] = True
    edges = strong_edges(corpus.edges(), corpus.strength)
    left, right = (positions.of(edges.column(side).to_numpy()) for side in ("left", "right"))
    exact = exact_edges(edges)
    alive = mask == 0
    kept = alive & ~lost

    def without(rule: str, where: str, groups: tuple[str, ...], fails: Bools, stays: Bools) -> LeftOut:
        back, gone = np.flatnonzero(stays & ~kept), np.flatnonzero(kept & ~stays)
        return LeftOut(
            rule, where, groups, int(fails.sum()), back, gone, int(weight[back].sum()), int(weight[gone].sum())
        )

    found = []
    for number, rule in enumerate(corpus.rules):
        bit = np.uint64(1 << (number + 1))
        fails = (mask & bit) != 0
        if not fails.any():
            continue
        after = (mask & ~bit) == 0
        again = elect_again(left, right, exact, after != alive, after, lost, size)
        groups = tuple(dict.fromkeys(column.split(".", 1)[0] for column in rule.columns))
        found.append(without(rule.name, rule.where.text, groups, fails, after & ~again))
    if lost.any():
        found.append(without(DUPLICATE, "no kept document is a near copy", (), lost, alive))
    return Whole(corpus, positions, kept, int(weight[kept].sum()), found)


def returned(whole: Whole, rules: list[LeftOut]) -> Iterator[tuple[pa.Array, pa.Array, Ints]]:
    """Documents that come back without any one of `rules`, each once, as batches of ids, texts with their edits, and
    positions; in gid order."""
    wanted = np.zeros(whole.positions.total, np.bool_)
    for one in rules:
        wanted[one.back] = True
    corpus = whole.corpus
    for shard in range(corpus.shards):
        rows = whole.positions.slice(shard)
        chosen = wanted[rows]
        if not chosen.any():
            continue
        names = [*corpus.edit_groups(), *corpus.last_edit_groups()]
        edits = [path for name in names if (path := corpus.edits(name, shard)) is not None]
        judged = pa.table(
            {
                "gid": pa.array(gids(shard, len(chosen))),
                "keep": pa.array(chosen),
                "weight": pa.array(chosen.astype(np.float32)),
            }
        )
        for batch, _ in kept_batches(corpus.documents(shard), judged, edits):
            if batch.num_rows:
                gid = batch.column("gid").to_numpy()
                texts = batch.column("text").cast(pa.large_string())
                yield batch.column("id"), texts, whole.positions.of(gid)


def sources_hash(corpus: Corpus) -> str:
    """Of the documents and edits that `returned` reads, dropped ones included: it changes with their text."""
    digest = hashlib.blake2b(digest_size=16)
    for stage in ("documents", *(f"edits/{group}" for group in (*corpus.edit_groups(), *corpus.last_edit_groups()))):
        for manifest in corpus.work.manifests(stage):
            digest.update(f"{stage} {manifest.files[0].hash}\n".encode())
    return digest.hexdigest()


def bytes_of(texts: pa.Array) -> int:
    """UTF-8 bytes of an array of strings."""
    return int(pc.sum(pc.binary_length(texts)).as_py() or 0)
