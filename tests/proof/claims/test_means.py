"""Intervals cover what they say, over seeds, and over seeds and items together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from tamis.proof.claims._means import over_seeds, over_seeds_and_items


def test_over_seeds_is_students_interval() -> None:
    values = [0.3, 0.1, 0.25, 0.4, 0.2]
    found = over_seeds(values, 0.9)
    interval = ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.value, found.n, found.seeds) == (pytest.approx(0.25), 1, 5)
    alone = over_seeds([0.3])
    assert (alone.value, alone.low, alone.high) == (0.3, -np.inf, np.inf)


@pytest.mark.parametrize(
    ("by_seed", "by_item", "seeds"), [(0.03, 0.15, 5), (0.06, 0.0, 5), (0.0, 0.2, 5), (0.0, 0.0, 12), (0.03, 0.1, 12)]
)
def test_intervals_cover_other_seeds_and_other_items(by_seed: float, by_item: float, seeds: int) -> None:
    """Simulated: shares that differ over seeds and items. 95% are asked for; a bit more is allowed."""
    rng = np.random.default_rng(5)
    covered, width, times = 0, 0.0, 600
    for _ in range(times):
        odds = 0.5 + rng.normal(0, by_seed, (seeds, 1)) + by_item * rng.choice([-1, 1], (1, 200))
        found = over_seeds_and_items(rng.random((seeds, 200)) < odds)
        covered += found.low <= 0.5 <= found.high
        width += (found.high - found.low) / times
    assert 0.925 < covered / times < 0.995
    # No wider than need be: 1.96 standard errors each side, and half as much for what few seeds do not know.
    true = np.sqrt(by_seed**2 / seeds + by_item**2 / 200 + 0.25 / (200 * seeds))
    assert width < 2 * 1.96 * true * 1.7


def test_what_never_varies_still_has_an_interval() -> None:
    none = over_seeds_and_items(np.zeros((5, 100)))
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(0.037, abs=0.001)  # Wilson's upper end of 0 in 100
    single = over_seeds_and_items(np.zeros((1, 9)))
    assert (single.low, single.high) == (0, 1)
    apart = over_seeds_and_items(np.array([[-1.0, 0, 0], [0, 0, 1]]))
    assert -1 <= apart.low < 0 < apart.high <= 1
