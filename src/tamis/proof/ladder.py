"""Can the ranking of a small model be trusted at a larger size? Decision accuracy over the ladder.

Of R corpora trained at several sizes with S seeds: the share of pairs of corpora that a small size orders as the
largest does (Magnusson et al. 2025, DataDecide), ties counting half. Seeds are drawn anew for the interval, since the
order at the target is itself uncertain: pairs whose difference at the target is smaller than its seed noise tell
nothing, and `clear` leaves them out.
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
    values: Mapping[float, Mapping[str, npt.ArrayLike]], *, level: float = 0.95, seed: int = 17
) -> list[Trust]:
    """values: size -> corpus -> one value per seed of the primary metric (either direction). The largest size is the
    target; the others are judged, smallest first. Raises TooShort."""
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
    rng = np.random.default_rng(seed)
    at_target, drawn_target = _means(seeds[target]), _draws(seeds[target], rng)
    clear_target = _clear(seeds[target])
    pairs = np.triu_indices(len(names), 1)
    found = []
    for size in sizes[:-1]:
        here = _means(seeds[size])
        agree = _agree(here, at_target, pairs)
        draws = _agree(_draws(seeds[size], rng), drawn_target, pairs).mean(-1)
        low, high = interval(draws, level)
        sure = clear_target[pairs]
        flips = sure & _clear(seeds[size])[pairs] & (agree == 0)
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


def _draws(arms: list[Floats], rng: np.random.Generator) -> Floats:
    """Means of resampled seeds: (RESAMPLES, R)."""
    return np.stack([arm[rng.integers(0, len(arm), (RESAMPLES, len(arm)))].mean(1) for arm in arms], axis=1)


def _agree(here: Floats, there: Floats, pairs: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]) -> Floats:
    """1 where a pair has one order in both (..., R), 0 where the other, half where either is tied."""
    i, j = pairs
    found: Floats = (1 + np.sign(here[..., i] - here[..., j]) * np.sign(there[..., i] - there[..., j])) / 2
    return found


def _clear(arms: list[Floats]) -> npt.NDArray[np.bool_]:
    """(R, R) whether two arms differ by Welch's t-test at .05."""
    from scipy.stats import ttest_ind

    found = np.zeros((len(arms), len(arms)), np.bool_)
    for i, first in enumerate(arms):
        for j, second in enumerate(arms):
            if min(len(first), len(second)) > 1 and (first.std() > 0 or second.std() > 0):
                found[i, j] = ttest_ind(first, second, equal_var=False).pvalue < 0.05
    return found
