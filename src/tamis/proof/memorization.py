"""What a model has memorized, by the number of copies in training, and how far test items in the corpus lift a score.

Extractable (Carlini et al. 2023, definition 3.1): prompted with a prefix of p tokens of a training document, greedy
writing gives the next k tokens exactly. Greedy writing follows the true text as long as it agrees with it, so one
pass over prefix and suffix decides: every true token must be the likeliest one at its place. No text is written.

Much text is predictable without having been seen: documents held out (0 copies) are the control, and `excess` is what
lies above it. Copies should be given at random where the effect of a copy is to be claimed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.models.model import Predictor, batches
from tamis.proof.likelihood import Losses
from tamis.proof.metric import (
    Bools,
    Floats,
    Ints,
    Metric,
    NothingCounted,
    interval,
    mean,
    resampled_sums,
    share,
    widened,
)
from tamis.proof.proportions import ShareDifference, two_shares

BATCH_TOKENS = 1 << 12


@dataclass(frozen=True)
class Memorized:
    """Of D documents: copies (D,) in training; followed (D,) how many tokens of the suffix greedy writing gets right
    before its first error, at most k. skipped: documents shorter than prefix + suffix."""

    prefix: int
    suffix: int
    copies: Ints
    followed: Ints
    skipped: int

    @property
    def extractable(self) -> Bools:
        return self.followed >= self.suffix

    def by_copies(self, level: float = 0.95) -> dict[int, Metric]:
        """Share of extractable suffixes for each number of copies."""
        return {
            int(k): share(
                f"extractable, {k} copies", self.extractable[self.copies == k], direction="lower", of="documents",
                level=level, note=f"{self.suffix} tokens after {self.prefix}",
            )
            for k in np.unique(self.copies)
        }  # fmt: skip

    def followed_by_copies(self, level: float = 0.95) -> dict[int, Metric]:
        """Mean number of tokens that greedy writing gets right: rises before whole suffixes are extractable."""
        return {
            int(k): mean(
                f"tokens followed, {k} copies", self.followed[self.copies == k], unit=f"tokens of {self.suffix}",
                direction="lower", of="documents", level=level,
            )
            for k in np.unique(self.copies)
        }  # fmt: skip

    def excess(self, copies: int, level: float = 0.95) -> ShareDifference:
        """Extractable with that many copies, less extractable among documents never trained on. Raises NothingCounted
        where there is no control."""
        groups = [self.extractable[self.copies == k] for k in (0, copies)]
        if not all(len(one) for one in groups):
            raise NothingCounted(
                f"there are {len(groups[1])} documents of {copies} copies and {len(groups[0])} controls"
            )
        control, trained = groups
        return two_shares(int(control.sum()), len(control), int(trained.sum()), len(trained), level)

    def trend(self) -> tuple[float, float]:
        """(z, one-sided p) that the share rises with log2(1 + copies): Cochran and Armitage. (0, 1) where nothing
        varies."""
        from scipy.stats import norm

        x, y = np.log2(1.0 + self.copies), self.extractable.astype(np.float64)
        p = float(y.mean())
        scatter = p * (1 - p) * float(((x - x.mean()) ** 2).sum())
        if not scatter > 0:
            return 0.0, 1.0
        z = float(((x - x.mean()) * y).sum() / np.sqrt(scatter))
        return z, float(norm.sf(z))


def memorized(
    model: Predictor,
    documents: Sequence[npt.ArrayLike],
    copies: npt.ArrayLike,
    *,
    prefix: int = 50,
    suffix: int = 50,
    start: int = 0,
    end_of_text: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Memorized:
    """documents: D arrays of ids; copies: (D,) how often each stood in training, 0 for controls. The prefix begins
    `start` tokens into the document, after an end-of-text token where one is given (as training saw it, start 0).
    Raises ValueError where prefix and suffix do not fit the model."""
    lead = [] if end_of_text is None else [end_of_text]
    need, length = start + prefix + suffix, len(lead) + prefix + suffix - 1
    if min(prefix, suffix) < 1 or length > model.context:
        raise ValueError(
            f"a prefix of {prefix} and a suffix of {suffix} tokens do not fit a context of {model.context}"
        )
    counts = np.asarray(copies, np.int64)
    if len(counts) != len(documents):
        raise ValueError(f"{len(documents)} documents and {len(counts)} numbers of copies")
    kept = [i for i, one in enumerate(documents) if len(np.asarray(one)) >= need]
    rows = [np.concatenate([lead, np.asarray(documents[i], np.int64)[start:need]]).astype(np.int64) for i in kept]
    followed = np.zeros(len(kept), np.int64)
    for numbers, block in batches(rows, batch_tokens):
        best = np.asarray(model.logits(block[:, :-1]).argmax(-1))[:, -suffix:]  # (B, suffix)
        right = best == block[:, -suffix:]
        followed[numbers] = np.where(right.all(1), suffix, right.argmin(1))
    return Memorized(prefix, suffix, counts[kept], followed, len(documents) - len(kept))


def excess_likelihood(
    losses: Losses, copies: npt.ArrayLike, *, level: float = 0.95, seed: int = 17
) -> dict[int, Metric]:
    """By number of copies, how many bits per byte less such documents cost than documents never trained on: what a
    model remembers long before it writes it out. losses: of D documents; copies: (D,) of each in training, 0 for
    controls. The interval resamples the documents of both groups. Raises NothingCounted where there is no control or
    nothing else, ValueError where losses and copies are of different documents."""
    counts = np.asarray(copies, np.int64)
    if len(counts) != len(losses):
        raise ValueError(f"{len(losses)} documents and {len(counts)} numbers of copies")
    if not (counts == 0).any() or not (counts > 0).any():
        raise NothingCounted("without documents that were trained on and others that were not, there is no excess")
    bits, size = losses.bits, losses.bytes.astype(np.float64)

    def sums(k: int, stream: int) -> tuple[float, Floats, int]:
        mine = counts == k
        above, below = resampled_sums(np.stack([bits[mine], size[mine]]), seed=seed + stream)
        value = float(bits[mine].sum() / size[mine].sum())
        return value, np.divide(above, below, out=np.full_like(above, value), where=below > 0), int(mine.sum())

    control, drawn, others = sums(0, 0)
    found = {}
    for k in (int(k) for k in np.unique(counts) if k > 0):
        value, draws, n = sums(k, 1)
        low, high = _rough(drawn - draws, min(n, others), level)
        note = f"{n:,} documents, {others:,} controls"
        name = f"excess likelihood, {k} {'copy' if k == 1 else 'copies'}"
        found[k] = Metric(
            name, "bit/byte", "lower", control - value, low, high, n + others, level, "documents", note
        )  # fmt: skip
    return found


@dataclass(frozen=True)
class Gap:
    """gap: mean score of contaminated items less that of clean ones; by_copies: the same for each number of copies.
    doubling: by how much the score rises with every doubling of copies from 1 on (least squares on log2 copies over
    contaminated items); None where all have as many."""

    gap: Metric
    by_copies: Mapping[int, Metric]
    p: float
    doubling: Metric | None = None


def contamination_gap(
    scores: npt.ArrayLike, copies: npt.ArrayLike, *, unit: str = "share", level: float = 0.95, seed: int = 17
) -> Gap:
    """scores: (n,) of each item (1 right, 0 wrong, or a loss); copies: (n,) of the item in the corpus, 0 clean.

    Intervals: Newcombe's where all scores are 0 or 1 (a bootstrap of items that are all right has none), else a
    bootstrap of items within each group. p is of a permutation of the copies over the items, two-sided: exact for
    scores of 0 and 1, else of 2,000 draws. Causal only where copies were given at random. Raises NothingCounted where
    a group is empty, ValueError for scores that are no finite numbers."""
    values, counts = np.asarray(scores, np.float64), np.asarray(copies, np.int64)
    if values.shape != counts.shape:
        raise ValueError(f"{values.shape} scores and {counts.shape} numbers of copies")
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum()):,} of {len(values):,} scores are no finite numbers")
    clean, dirty = values[counts == 0], values[counts > 0]
    if not len(clean) or not len(dirty):
        raise NothingCounted(f"{len(dirty)} contaminated items and {len(clean)} clean ones: there is no gap to measure")
    groups = {int(k): values[counts == k] for k in np.unique(counts) if k > 0}
    return Gap(
        _gap("contamination gap", clean, dirty, unit, level, seed),
        {
            k: _gap(f"contamination gap, {k} {'copy' if k == 1 else 'copies'}", clean, one, unit, level, seed)
            for k, one in groups.items()
        },
        _permuted(values, counts > 0, seed),
        _doubling(dirty, counts[counts > 0], unit, level, seed) if len(groups) > 1 else None,
    )


_PERMUTATIONS = 2000


def _permuted(values: Floats, marks: Bools, seed: int) -> float:
    """Two-sided p of the difference of means between marked items and others."""
    total, n, marked = float(values.sum()), len(values), int(marks.sum())

    def gaps(sums: Floats) -> Floats:
        return np.abs(sums / marked - (total - sums) / (n - marked))

    seen = float(gaps(values[marks].sum(keepdims=True))[0]) * (1 - 1e-12)
    if _only_ones_and_zeros(values):
        from scipy.stats import hypergeom

        hits = np.arange(max(0, marked + int(total) - n), min(marked, int(total)) + 1)
        chances = hypergeom.pmf(hits, n, int(total), marked)
        return min(1.0, float(chances[gaps(hits.astype(np.float64)) >= seen].sum()))
    rng = np.random.default_rng(seed)
    sums = np.array([rng.permutation(values)[:marked].sum() for _ in range(_PERMUTATIONS)])
    return (1 + int((gaps(sums) >= seen).sum())) / (_PERMUTATIONS + 1)


def _gap(name: str, clean: Floats, dirty: Floats, unit: str, level: float, seed: int) -> Metric:
    value = float(dirty.mean() - clean.mean())
    if _only_ones_and_zeros(clean) and _only_ones_and_zeros(dirty):
        found = two_shares(int(clean.sum()), len(clean), int(dirty.sum()), len(dirty), level)
        low, high = found.low, found.high
    else:
        draws = [resampled_sums(one[None], seed=seed + i)[0] / len(one) for i, one in enumerate((clean, dirty))]
        low, high = _rough(draws[1] - draws[0], min(len(clean), len(dirty)), level)
    note = f"{len(dirty):,} contaminated, {len(clean):,} clean"
    return Metric(name, unit, "neither", value, low, high, len(dirty) + len(clean), level, "items", note)


def _doubling(scores: Floats, copies: Ints, unit: str, level: float, seed: int) -> Metric:
    """The slope, with a bootstrap of items: from sums of 1, x, y, xx and xy over each sample."""
    x = np.log2(copies.astype(np.float64))
    columns = np.stack([x, scores, x * x, x * scores])

    def slope(sums: Floats) -> Floats:
        mean = sums / len(x)
        scatter = mean[2] - mean[0] ** 2
        rises: Floats = (mean[3] - mean[0] * mean[1]) / np.where(scatter > 1e-12, scatter, np.nan)
        return rises

    draws = slope(resampled_sums(columns, seed=seed + 2))
    low, high = _rough(draws[np.isfinite(draws)], len(x), level)
    value = float(slope(columns.sum(1)[:, None])[0])
    name, note = "score for every doubling of copies", f"{int(copies.min())} to {int(copies.max()):,} copies"
    return Metric(name, unit, "neither", value, low, high, len(x), level, "items", note)


def _rough(draws: Floats, n: int, level: float) -> tuple[float, float]:
    """The interval of a bootstrap whose smaller group has n cases; one case has none."""
    return interval(draws, widened(level, n)) if n > 1 else (math.nan, math.nan)


def _only_ones_and_zeros(values: Floats) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())
