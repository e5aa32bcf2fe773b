"""What can be audited: every decision of a corpus, in strata by how sure it was.

Duplicates: a *decided* unit is a document that was dropped as a duplicate, with the kept one to which it lost; a
*missed* unit is a kept document with its most alike kept document below the threshold (pairs were recorded from
Jaccard 0.5 or containment 0.9 on, so recall is among these; what was never nominated is not seen,
`benchmarks/dedup_recall.py` measures that). Contamination: decided are documents whose `eval.score` reaches the
threshold, missed are those below it that share an n-gram with an item.

Memory: 40 bytes a unit, one byte a document, 25 bytes an edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.corpora import Corpus
from tamis.decontaminate.search import THRESHOLD
from tamis.documents import gids, read_table
from tamis.errors import SaidNo, WrongUse

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

KINDS = ("dedup", "decontamination")
# Where the bands of the two scores are cut, besides the corpus's own threshold.
DEDUP_BANDS = (0.6, 0.7, 0.8, 0.9, 0.95)
EVAL_BANDS = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)


class NothingToAudit(ValueError, SaidNo):
    """The corpus has no decision of the kind asked for."""


class NotMeasured(ValueError, WrongUse):
    """The corpus was made without what the audit is about."""


@dataclass(frozen=True)
class Band:
    """A stratum: its name, and whether its units were dropped (decided) or let pass (missed, should they be true)."""

    name: str
    decided: bool


@dataclass(frozen=True)
class Frame:
    """U units: left (U,) gid of the document in question, right (U,) gid of the other one (0 for contamination),
    band (U,) into `bands`. `digest` changes with the verdicts; `threshold` is the one that decided."""

    kind: str
    bands: tuple[Band, ...]
    band: I64
    left: U64
    right: U64
    threshold: float
    digest: str

    @property
    def totals(self) -> list[int]:
        """Units in each band."""
        return np.bincount(self.band, minlength=len(self.bands)).tolist()  # type: ignore[no-any-return]


def frame(corpus: Corpus, kind: str) -> Frame:
    """Every unit of a corpus. Raises NothingToAudit, NotMeasured."""
    if kind not in KINDS:
        raise ValueError(f"there is no audit of {kind!r}; there are {', '.join(KINDS)}")
    found = _dedup(corpus) if kind == "dedup" else _contamination(corpus)
    if not len(found.left):
        raise NothingToAudit(f"corpus {corpus.corpus} has no decision about {kind}, nor a near miss")
    return found


def _dedup(corpus: Corpus) -> Frame:
    if not corpus.settings.dedup.on:
        raise NotMeasured(f"the recipe of corpus {corpus.corpus} has `dedup` off: there is nothing to audit")
    strength = corpus.strength
    lost = read_table(corpus.duplicates())
    jaccard = lost.column("jaccard").to_numpy()
    exact = np.array([kind == "exact" for kind in lost.column("kind").to_pylist()], np.bool_)
    cuts = sorted({cut for cut in DEDUP_BANDS if cut > strength.jaccard} | {strength.jaccard})
    bands = [Band("exact", True), Band(f"contained, jaccard below {strength.jaccard:g}", True)]
    bands += [Band(f"jaccard {low:g} to {high:g}", True) for low, high in zip(cuts, [*cuts[1:], 1], strict=True)]
    decided = np.where(exact, 0, 1 + np.searchsorted(np.array(cuts, np.float32), jaccard, side="right"))

    below = sorted({0.5, *(cut for cut in DEDUP_BANDS if cut < strength.jaccard)})
    near_left, near_right, near_jaccard = _near(corpus)
    first = len(bands)
    bands.append(Band("contained, jaccard below 0.5", False))
    tops = [*below[1:], strength.jaccard]
    bands += [Band(f"jaccard {low:g} to {high:g}", False) for low, high in zip(below, tops, strict=True)]
    missed = first + np.searchsorted(np.array(below, np.float32), near_jaccard, side="right")
    return _made(
        "dedup",
        bands,
        np.concatenate([decided, missed]),
        np.concatenate([lost.column("gid").to_numpy(), near_left]),
        np.concatenate([lost.column("kept_gid").to_numpy(), near_right]),
        strength.jaccard,
        corpus.verdicts_digest,
    )


def _near(corpus: Corpus) -> tuple[U64, U64, npt.NDArray[np.float32]]:
    """(document, other, jaccard): kept documents whose edge to a kept one of smaller gid is too weak, each with its
    strongest such edge."""
    kept = [read_table(corpus.verdicts(shard), ["keep"]).column("keep").to_numpy() for shard in range(corpus.shards)]
    lefts, rights, scores = [], [], []
    for path in corpus.edges():
        table = read_table(path)
        weak = ~corpus.strength.of(table)
        left, right = table.column("left").to_numpy()[weak], table.column("right").to_numpy()[weak]
        both = _of(kept, left) & _of(kept, right)
        lefts.append(right[both])  # left < right: the later of the two would be the one to go
        rights.append(left[both])
        scores.append(table.column("jaccard").to_numpy()[weak][both])
    if not lefts:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.float32)
    left, right, score = np.concatenate(lefts), np.concatenate(rights), np.concatenate(scores)
    order = np.lexsort((right, -score, left))
    left, right, score = left[order], right[order], score[order]
    first = np.ones(len(left), np.bool_)
    first[1:] = left[1:] != left[:-1]
    return left[first], right[first], score[first]


def _of(kept: Sequence[npt.NDArray[np.bool_]], gid: U64) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(gid), np.bool_)
    shard, row = gid >> np.uint64(32), (gid & np.uint64(0xFFFFFFFF)).astype(np.int64)
    for number, keep in enumerate(kept):
        here = shard == np.uint64(number)
        found[here] = keep[row[here]]
    return found


def _contamination(corpus: Corpus) -> Frame:
    threshold = eval_threshold(corpus)
    gid, score = [], []
    for shard in range(corpus.shards):
        path = corpus.signals("eval", shard)
        if path is None:
            raise NotMeasured(
                f"corpus {corpus.corpus} has no signals `eval`: add `decontaminate` to its recipe and run it"
            )
        values = read_table(path, ["score"]).column("score").fill_null(0.0).to_numpy()
        rows = np.flatnonzero(values > 0)
        gid.append(gids(shard, len(values))[rows])
        score.append(values[rows])
    scores = np.concatenate([*score, np.zeros(0)])
    cuts = sorted({0.0, *EVAL_BANDS, threshold})
    bands = [
        Band(f"score {low:g} to {high:g}", low >= threshold) for low, high in zip(cuts, [*cuts[1:], 1], strict=True)
    ]
    band = np.searchsorted(np.array(cuts), scores, side="right") - 1
    left = np.concatenate([*gid, np.zeros(0, np.uint64)])
    return _made("decontamination", bands, band, left, np.zeros_like(left), threshold, corpus.verdicts_digest)


def eval_threshold(corpus: Corpus) -> float:
    """The score at which a rule of the corpus drops a document; `THRESHOLD` where no rule reads it."""
    for rule in corpus.rules:
        for limit in rule.limits:
            if (
                limit.column == "eval.score"
                and limit.operator in ("<", "<=")
                and isinstance(limit.constant, int | float)
            ):
                return float(limit.constant)
    return THRESHOLD


def _made(kind: str, bands: Sequence[Band], band: I64, left: U64, right: U64, threshold: float, digest: str) -> Frame:
    """Without the bands that nothing is in."""
    used = np.unique(band)
    return Frame(
        kind, tuple(bands[b] for b in used.tolist()), np.searchsorted(used, band), left, right, threshold, digest
    )
