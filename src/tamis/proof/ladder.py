"""Can the ranking of a small model be trusted at a larger size? Decision accuracy over the ladder.

Of R corpora trained at several sizes with S seeds: the share of pairs of corpora that a small size orders as the
largest does (Magnusson et al. 2025, DataDecide), ties counting half. Seeds are drawn anew for the interval, since the
order at the target is itself uncertain: pairs whose difference at the target is smaller than its seed noise tell
nothing, and `clear` leaves them out. Where corpora were trained in pairs by seed, seeds are drawn for all corpora
together and the test is the paired one: what a seed does to all of them alike says nothing about their order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.errors import SaidNo
from tamis.proof.metric import Floats, interval

RESAMPLES = 1000


class TooShort(ValueError, SaidNo):
    """A ladder needs two sizes and two corpora."""


@dataclass(frozen=True)
class Trust:
    """One size of the ladder against the target. accuracy: of all pairs, with its interval over seeds; clear: of the
    pairs whose order is clear at the target (NaN without any). flipped: pairs that both sizes order clearly and
    differently."""

    size: float
    target: float
    accuracy: float
    low: float
    high: float
    pairs: int
    clear: float
    clear_pairs: int
    flipped: list[tuple[str, str]]

    def __str__(self) -> str:
        clear = f"{self.clear:.2f} of the {self.clear_pairs} pairs that are clear there" if self.clear_pairs else (
            "no pair is clear there"
        )  # fmt: skip
        flips = "; flips " + ", ".join(f"{a} and {b}" for a, b in self.flipped) if self.flipped else ""
        return (
            f"{self.size:g} orders {self.accuracy:.2f} [{self.low:.2f}, {self.high:.2f}] of {self.pairs} pairs as "
            f"{self.target:g} does, {clear}{flips}"
        )


def decision_accuracy(
    values: Mapping[float, Mapping[str, npt.ArrayLike]], *, level: float = 0.95, seed: int = 17, paired: bool = False
) -> list[Trust]:
    """values: size -> corpus -> one value per seed of the primary metric (either direction). paired: the k-th values of
    all corpora of a size are of one seed. The largest size is the target; the others are judged, smallest first.
    Raises TooShort, and ValueError where paired values differ in number."""
    sizes = sorted(values)
    if len(sizes) < 2:
        raise TooShort(f"{len(sizes)} sizes: a ladder has at least two")
    target, names = sizes[-1], sorted(values[sizes[-1]])
    if len(names) < 2:
        raise TooShort(f"{len(names)} corpora: there is no order to agree on")
    for size in sizes:
        if sorted(values[size]) != names:
            raise TooShort(f"size {size:g} has the corpora {sorted(values[size])}, size {target:g} has {names}")
    seeds = {size: [np.asarray(values[size][name], np.float64) for name in names] for size in sizes}
    for size, arms in seeds.items():
        if paired and len({len(arm) for arm in arms}) > 1:
            raise ValueError(f"size {size:g}: corpora paired by seed have {[len(arm) for arm in arms]} seeds")
    rng = np.random.default_rng(seed)
    at_target, drawn_target = _means(seeds[target]), _draws(seeds[target], rng, paired)
    clear_target = _clear(seeds[target], paired)
    pairs = np.triu_indices(len(names), 1)
    found = []
    for size in sizes[:-1]:
        here = _means(seeds[size])
        agree = _agree(here, at_target, pairs)
        draws = _agree(_draws(seeds[size], rng, paired), drawn_target, pairs).mean(-1)
        low, high = interval(draws, level)
        sure = clear_target[pairs]
        flips = sure & _clear(seeds[size], paired)[pairs] & (agree == 0)
        found.append(
            Trust(
                size, target, float(agree.mean()), low, high, len(agree),
                float(agree[sure].mean()) if sure.any() else math.nan, int(sure.sum()),
                [(names[i], names[j]) for i, j, flip in zip(*pairs, flips, strict=True) if flip],
            )
        )  # fmt: skip
    return found


def _means(arms: list[Floats]) -> Floats:
    return np.array([arm.mean() for arm in arms])


def _draws(arms: list[Floats], rng: np.random.Generator, paired: bool) -> Floats:
    """Means of resampled seeds: (RESAMPLES, R). paired: the same seeds for all arms."""
    if paired:
        rows = rng.integers(0, len(arms[0]), (RESAMPLES, len(arms[0])))
        return np.stack([arm[rows].mean(1) for arm in arms], axis=1)
    return np.stack([arm[rng.integers(0, len(arm), (RESAMPLES, len(arm)))].mean(1) for arm in arms], axis=1)


def _agree(here: Floats, there: Floats, pairs: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]) -> Floats:
    """1 where a pair has one order in both (..., R), 0 where the other, half where either is tied."""
    i, j = pairs
    found: Floats = (1 + np.sign(here[..., i] - here[..., j]) * np.sign(there[..., i] - there[..., j])) / 2
    return found


def _clear(arms: list[Floats], paired: bool) -> npt.NDArray[np.bool_]:
    """(R, R) whether two arms differ by a t-test at .05: Welch's, or the paired one."""
    from scipy.stats import ttest_ind, ttest_rel

    found = np.zeros((len(arms), len(arms)), np.bool_)
    for i, first in enumerate(arms):
        for j, second in enumerate(arms):
            if min(len(first), len(second)) < 2:
                continue
            if paired:
                found[i, j] = np.ptp(first - second) > 0 and ttest_rel(first, second).pvalue < 0.05
            elif first.std() > 0 or second.std() > 0:
                found[i, j] = ttest_ind(first, second, equal_var=False).pvalue < 0.05
    return found
