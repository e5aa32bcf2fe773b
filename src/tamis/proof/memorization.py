"""What a model has memorized, by the number of copies in training, and how far test items in the corpus lift a score.

Extractable (Carlini et al. 2023, definition 3.1): prompted with a prefix of p tokens of a training document, greedy
writing gives the next k tokens exactly. Greedy writing follows the true text as long as it agrees with it, so one
pass over prefix and suffix decides: every true token must be the likeliest one at its place. No text is written.

Much text is predictable without having been seen: documents held out (0 copies) are the control, and `excess` is what
lies above it. Copies should be given at random where the effect of a copy is to be claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.proof.metric import Bools, Floats, Ints, Metric, NothingCounted, interval, mean, resampled_sums, share
from tamis.proof.model import Predictor, batches
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


@dataclass(frozen=True)
class Gap:
    """gap: mean score of contaminated items less that of clean ones; by_copies: the same for each number of copies."""

    gap: Metric
    by_copies: Mapping[int, Metric]
    p: float


def contamination_gap(
    scores: npt.ArrayLike, copies: npt.ArrayLike, *, unit: str = "share", level: float = 0.95, seed: int = 17
) -> Gap:
    """scores: (n,) of each item (1 right, 0 wrong, or a loss); copies: (n,) of the item in the corpus, 0 clean. The
    interval resamples items within each group; p is of a permutation of the copies over the items, two-sided. Causal
    only where copies were given at random. Raises NothingCounted where a group is empty."""
    values, counts = np.asarray(scores, np.float64), np.asarray(copies, np.int64)
    if values.shape != counts.shape:
        raise ValueError(f"{values.shape} scores and {counts.shape} numbers of copies")
    clean, dirty = values[counts == 0], values[counts > 0]
    if not len(clean) or not len(dirty):
        raise NothingCounted(f"{len(dirty)} contaminated items and {len(clean)} clean ones: there is no gap to measure")
    groups = {int(k): values[counts == k] for k in np.unique(counts) if k > 0}
    rng = np.random.default_rng(seed)
    seen = abs(dirty.mean() - clean.mean()) * (1 - 1e-12)
    marks = counts > 0
    hits = 0
    for _ in range(_PERMUTATIONS):
        mixed = rng.permutation(marks)
        hits += abs(values[mixed].mean() - values[~mixed].mean()) >= seen
    return Gap(
        _gap("contamination gap", clean, dirty, unit, level, seed),
        {k: _gap(f"contamination gap, {k} copies", clean, one, unit, level, seed) for k, one in groups.items()},
        (1 + hits) / (_PERMUTATIONS + 1),
    )


_PERMUTATIONS = 2000


def _gap(name: str, clean: Floats, dirty: Floats, unit: str, level: float, seed: int) -> Metric:
    draws = resampled_sums(dirty[None], seed=seed + 1)[0] / len(dirty) - resampled_sums(clean[None], seed=seed)[
        0
    ] / len(clean)
    low, high = interval(draws, level)
    value = float(dirty.mean() - clean.mean())
    note = f"{len(dirty):,} contaminated, {len(clean):,} clean"
    return Metric(name, unit, "neither", value, low, high, len(dirty) + len(clean), level, "items", note)
