"""Noise of exactly the share asked for in four shapes, the verdict's rule, intervals, and a real tiny training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.proof.claims import noisy_labels
from tamis.proof.claims.claim import Setting, Verdict
from tamis.proof.claims.noisy_labels import HALF, SHAPES, Job, Mean, mean_over, verdict_of, wrong_labels

Require = Callable[[object, str], None]


def _made(n: int = 400, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, classes, n)
    x = rng.normal(size=(n, 12)).astype(np.float32) + np.eye(classes, 12, dtype=np.float32)[truth] * 2
    return x, truth


@given(share=st.floats(0, 0.8), shape=st.sampled_from(SHAPES), seed=st.integers(0, 99))
def test_the_share_of_wrong_labels_is_exactly_what_was_asked(share: float, shape: str, seed: int) -> None:
    x, truth = _made()
    labels = wrong_labels(x, truth, 10, shape, share, seed)
    assert (labels != truth).sum() == round(share * len(truth))
    assert labels.min() >= 0
    assert labels.max() < 10
    assert np.array_equal(labels, wrong_labels(x, truth, 10, shape, share, seed))


def test_each_shape_is_what_it_says() -> None:
    x, truth = _made(20_000)
    by = {shape: wrong_labels(x, truth, 10, shape, HALF, 0) for shape in SHAPES}
    wrong = {shape: labels != truth for shape, labels in by.items()}
    step = (by["another class"] - truth)[wrong["another class"]] % 10
    assert np.allclose(np.bincount(step, minlength=10)[1:] / len(step), 1 / 9, atol=0.01)
    assert set(((by["next class"] - truth)[wrong["next class"]] % 10).tolist()) == {1}
    # Half wrong with draws over all classes: 5/9 of the labels are drawn, a tenth of those by chance the truth.
    assert np.allclose(np.bincount(by["any class"], minlength=10) / len(truth), 0.1, atol=0.01)
    # Pictures that look like another class are wrong more often than others.
    scores = noisy_labels._linear(x, truth, 10)
    own = scores[np.arange(len(truth)), truth]
    scores[np.arange(len(truth)), truth] = -np.inf
    margin = own - scores.max(1)
    near = margin < np.median(margin)
    assert wrong["look-alike"][near].mean() > 0.7 > 0.3 > wrong["look-alike"][~near].mean()
    assert np.array_equal(by["look-alike"][wrong["look-alike"]], scores.argmax(1)[wrong["look-alike"]])
    # A larger share makes more pictures wrong, not others.
    for shape in SHAPES:
        fewer = wrong_labels(x, truth, 10, shape, 0.2, 0) != truth
        assert not (fewer & ~wrong[shape]).any()


def test_the_rule_decides_from_intervals() -> None:
    def mean(low: float, high: float) -> Mean:
        return Mean((low + high) / 2, low, high, 100, 5)

    assert verdict_of([mean(0.02, 0.09), mean(0.01, 0.02)]) is Verdict.HOLDS
    assert verdict_of([mean(0.02, 0.11), mean(0.01, 0.02)]) is Verdict.NOT_SHOWN
    assert verdict_of([mean(0.11, 0.2), mean(0.01, 0.02)]) is Verdict.DOES_NOT_HOLD


def test_intervals_cover_other_seeds_and_other_items() -> None:
    """Simulated: shares that differ over seeds and items. 95% are asked for, a bit more are allowed."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        seeds, items = rng.normal(0, 0.03, (5, 1)), rng.normal(0, 0.2, (1, 200))
        cases = rng.random((5, 200)) < 0.3 + seeds + items
        found = mean_over(cases.astype(np.float64))
        # The clipped mean of 0.3 + N(0, .2): what infinitely many items would have.
        covered += found.low <= 0.3045 <= found.high
    assert 0.93 < covered / 400 <= 1
    single = mean_over(np.zeros((1, 9)))
    assert (single.low, single.high) == (0, 1)


def test_a_batched_training_is_that_of_each_model_alone(require: Require) -> None:
    """Models trained in one array do not feel each other."""
    require(find_spec("torch") and find_spec("sklearn"), "torch and scikit-learn are not installed")
    from tamis.proof.claims import material

    images = material.digits()
    models = (("clean", 0.0, 0), ("another class", HALF, 0), ("next class", HALF, 0))
    together = noisy_labels.train(Job("digits", 600, 30, 3, models, 200), images)
    for place, model in enumerate(models):
        alone = noisy_labels.train(Job("digits", 600, 30, 3, (model,), 200), images)
        assert np.allclose(alone.curve[0], together.curve[place], atol=0.02)
    assert together.curve[0, -1] < 0.2 < together.curve[2, -1]


def test_tiny_runs_for_real_and_draws(tmp_path: Path, require: Require) -> None:
    require(find_spec("torch") and find_spec("sklearn"), "torch and scikit-learn are not installed")
    found = noisy_labels.run(Setting("tiny", tmp_path, tmp_path / "runs"))
    by = {figure.name: figure for figure in found.figures}
    clean, half = by["digits: error with clean labels"], by["digits: error with half wrong, chosen epoch"]
    assert clean.value < half.value < 0.4
    assert (clean.n, clean.seeds) == (500, 3)
    assert by["digits: the same, wrong labels all of the next class"].value > 0.25
    assert found.pictures[0].read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(KeyError):
        by["mnist: error with clean labels"]


def test_a_killed_claim_goes_on_where_it_was(tmp_path: Path, require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    require(find_spec("torch") and find_spec("sklearn"), "torch and scikit-learn are not installed")
    job = Job("digits", 300, 10, 2, (("clean", 0.0, 0), ("next class", HALF, 0)), 100)
    assert job.key("a") != job.key("b")
    assert job.key("a") != replace(job, steps=11).key("a")
    task = noisy_labels.Task(job, tmp_path / "runs" / "one.npz")
    first = noisy_labels._work(task)
    monkeypatch.setattr(noisy_labels, "train", None)
    again = noisy_labels._work(task)
    for name in ("curve", "wrong", "chosen", "kept"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert sorted(path.name for path in task.path.parent.iterdir()) == ["one.npz"]
