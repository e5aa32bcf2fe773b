"""Metrics against scikit-learn and against worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.quality import metrics


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60), st.booleans())
def test_like_scikit_learn(seed: int, size: int, ties: bool) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    good = np.append(generator.random(size) < 0.4, [True, False])
    scores = generator.normal(size=size + 2)
    scores = np.round(scores) if ties else scores
    weights = generator.integers(1, 4, size + 2).astype(float)
    expected = sklearn.roc_auc_score(good, scores, sample_weight=weights)
    assert metrics.auc(good, scores, weights) == pytest.approx(expected)
    expected = sklearn.average_precision_score(good, scores, sample_weight=weights)
    assert metrics.average_precision(good, scores, weights) == pytest.approx(expected)


def test_interval_holds_the_truth_at_its_rate() -> None:
    """Of scores with a true AUC of Phi(1 / sqrt 2), 95% intervals hold it about 95 times in 100."""
    truth, held = 0.7602, 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        good = np.arange(300) < 150
        ranking = metrics.Ranking(good, generator.normal(size=300) + good)
        found = metrics.interval(ranking.auc, np.arange(300), seed)
        held += found.low <= truth <= found.high
    assert held >= 50


def test_groups_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 30)
    good = groups % 2 == 0
    scores = (generator.normal(size=20) + np.arange(20) % 2 * -0.5)[groups] + generator.normal(size=600) / 10
    ranking = metrics.Ranking(good, scores)
    single = metrics.interval(ranking.auc, np.arange(600), 0)
    grouped = metrics.interval(ranking.auc, groups, 0)
    assert grouped.high - grouped.low > 2 * (single.high - single.low)


def test_calibration_error_is_not_made_by_its_bins() -> None:
    """Perfectly calibrated scores have an error near 0 after debiasing, and a known shift shows at its size."""
    generator = np.random.default_rng(3)
    scores = generator.random(4000)
    good = generator.random(4000) < scores
    ones = np.ones(4000)
    assert metrics.calibration_error(good, scores, ones) < 0.02
    off = np.clip(scores + 0.1, 0, 1)
    assert metrics.calibration_error(good, off, ones) == pytest.approx(0.1, abs=0.02)
    plain = np.mean([np.sqrt(_biased(generator, 200)) for _ in range(20)])
    fixed = np.mean([_debiased(generator, 200) for _ in range(20)])
    assert fixed < plain


def _biased(generator: np.random.Generator, size: int) -> float:
    scores = generator.random(size)
    good = generator.random(size) < scores
    rows = metrics.reliability(good, scores, np.ones(size))
    return sum(r["documents"] / size * (r["score"] - r["good"]) ** 2 for r in rows)


def _debiased(generator: np.random.Generator, size: int) -> float:
    scores = generator.random(size)
    return metrics.calibration_error(generator.random(size) < scores, scores, np.ones(size))


def test_matched_auc_sees_through_strata() -> None:
    """Scores that only know the stratum have nothing left within it."""
    generator = np.random.default_rng(1)
    strata = generator.integers(0, 5, 2000)
    good = generator.random(2000) < strata / 5
    assert metrics.auc(good, strata.astype(float)) > 0.7
    assert metrics.matched_auc(good, strata.astype(float), strata) == 0.5
    assert np.isnan(metrics.matched_auc(strata > 2, strata.astype(float), strata))
