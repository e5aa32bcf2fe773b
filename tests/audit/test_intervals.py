"""Intervals against published values, and their coverage by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.audit import intervals
from tamis.audit.intervals import Stratum, clopper_pearson, stratified
from tamis.intervals import wilson


def test_published_values():
    # Brown, Cai and DasGupta 2001; Newcombe 1998, table I: 81 of 263
    assert [round(x, 4) for x in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(x, 4) for x in clopper_pearson(81, 263)] == [0.2527, 0.3676]
    assert [round(x, 4) for x in clopper_pearson(0, 20)] == [0.0, 0.1684]
    assert clopper_pearson(20, 20)[1] == 1.0
    assert wilson(0, 0) == clopper_pearson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no share"):
        wilson(3, 2)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_both_hold_the_share(case):
    hits, trials = case
    for low, high in (wilson(hits, trials), clopper_pearson(hits, trials)):
        assert 0 <= low <= hits / trials + 1e-12
        assert hits / trials - 1e-12 <= high <= 1


def test_a_population_judged_whole_leaves_no_doubt():
    found = stratified([Stratum(40, 40, 30)], [Stratum(10, 10, 10)])
    assert found.low == found.high == found.value == 0.75
    assert stratified([Stratum(40, 40, 30)]).value == 0.75


def test_a_stratum_that_nobody_judged_can_be_anything():
    found = stratified([Stratum(50, 50, 50)], [Stratum(50, 0, 0)])
    assert found.value is None
    assert found.low <= 0.51
    assert found.high == 1.0
    assert stratified([]).value is None
    with pytest.raises(ValueError, match="cannot have"):
        Stratum(5, 6, 1)


@pytest.mark.parametrize(
    ("decided", "missed", "n"),
    [
        ([(500, 0.97), (300, 0.99), (2000, 1.0), (150, 0.85)], [(400, 0.02), (300, 0.1), (200, 0.4)], 15),
        ([(500, 0.7), (300, 0.9), (2000, 0.95)], [(4000, 0.02), (300, 0.3)], 20),
        ([(500, 1.0), (300, 1.0)], [(4000, 0.0)], 20),
    ],
)
def test_intervals_cover_about_as_often_as_they_say(monkeypatch, decided, missed, n):
    """95% intervals over 100 simulated audits: 0.90 is 2.3 standard errors below, so a fair one passes."""
    monkeypatch.setattr(intervals, "DRAWS", 1000)
    rng = np.random.default_rng(11)
    populations = [[np.arange(size) < round(size * share) for size, share in side] for side in (decided, missed)]
    true, lost = (sum(int(p.sum()) for p in side) for side in populations)
    precision, recall = true / sum(map(len, populations[0])), true / (true + lost)
    covered = [0, 0]
    for run in range(100):
        sides = [[Stratum(len(p), n, int(rng.choice(p, n, replace=False).sum())) for p in side] for side in populations]
        for which, (truth, found) in enumerate(
            ((precision, stratified(sides[0], seed=run)), (recall, stratified(*sides, seed=run)))
        ):
            covered[which] += found.low <= truth <= found.high
    assert min(covered) >= 90
