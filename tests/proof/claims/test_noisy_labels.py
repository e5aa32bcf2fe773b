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

from tamis.proof.claims import _batched, noisy_labels
from tamis.proof.claims._batched import Job, Task, Trained, train, work
from tamis.proof.claims._means import Mean
from tamis.proof.claims._noise import SHAPES, _linear, wrong_labels
from tamis.proof.claims._noisy_found import HALF
from tamis.proof.claims.claim import Setting, Verdict
from tamis.proof.claims.noisy_labels import verdict_of

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
    scores = _linear(x, truth, 10)
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

    both = [mean(0.02, 0.09), mean(0.01, 0.02)]
    assert verdict_of(both, [0.0, 0.0]) is Verdict.HOLDS
    assert verdict_of(both[:1], [0.02]) is Verdict.NOT_SHOWN  # one data set is too few to hold
    assert verdict_of([mean(0.02, 0.11), mean(0.01, 0.02)], [0.0, 0.0]) is Verdict.NOT_SHOWN
    # Above the line by its own interval, not by the one that allows for two data sets.
    assert verdict_of([mean(0.11, 0.2), mean(0.01, 0.02)], [0.09, 0.0]) is Verdict.NOT_SHOWN
    assert verdict_of([mean(0.12, 0.2), mean(0.01, 0.02)], [0.11, 0.0]) is Verdict.DOES_NOT_HOLD
    assert verdict_of([mean(0.12, 0.2)], [0.12]) is Verdict.DOES_NOT_HOLD


def test_a_batched_training_is_that_of_each_model_alone(require: Require) -> None:
    """Models trained in one array do not feel each other."""
    require(find_spec("torch") and find_spec("sklearn"), "torch and scikit-learn are not installed")
    from tamis.proof.claims import material

    images = material.digits()
    models = (("clean", 0.0, 0), ("another class", HALF, 0), ("next class", HALF, 0))
    together = train(Job("digits", 600, 30, 3, models, 200), images)
    for place, model in enumerate(models):
        alone = train(Job("digits", 600, 30, 3, (model,), 200), images)
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


def test_a_resumed_run_tells_the_whole_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Require) -> None:
    """Models that lie there already cost what they cost; each seed is said of the data set that it stands behind."""
    require(find_spec("sklearn") and find_spec("matplotlib"), "scikit-learn and matplotlib are not installed")
    from tamis.models import many as processes
    from tamis.proof.claims import material
    from tamis.proof.claims.claim import Missing

    def none() -> None:
        raise Missing("not here")

    def stored(_: object, tasks: list[Task], *__: object, **___: object) -> list[Trained]:
        rng = np.random.default_rng(0)
        found = []
        for task in tasks:
            k, job = len(task.job.models), task.job
            odds = np.array([0.05 + share / 10 for _, share, _ in job.models])
            wrong = rng.random((k, 2, job.test)) < odds[:, None, None]
            found.append(Trained(job, wrong.mean(2), wrong, np.zeros(k, int), np.full(k, 0.1), 100.0))
        return found

    monkeypatch.setattr(material, "mnist", none)
    monkeypatch.setattr(material, "fashion", none)
    monkeypatch.setattr(processes, "many", stored)
    found = noisy_labels.run(Setting("small", tmp_path, tmp_path / "runs"))
    assert found.cpu_seconds is not None
    assert found.cpu_seconds >= 100 * found.seeds
    assert found.seeds == 12
    assert found.verdict is Verdict.NOT_SHOWN
    assert "digits alone" in found.because
    by = {figure.name: figure for figure in found.figures}
    assert by["digits: error above clean, chosen epoch"].seeds == 12
    assert {row[1] for row in found.tables[0].rows} == {"0%", "20%", "40%", "50%", "60%", "80%"}


def test_a_killed_claim_goes_on_where_it_was(tmp_path: Path, require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    require(find_spec("torch") and find_spec("sklearn"), "torch and scikit-learn are not installed")
    job = Job("digits", 300, 10, 2, (("clean", 0.0, 0), ("next class", HALF, 0)), 100)
    assert job.key("a") != job.key("b")
    assert job.key("a") != replace(job, steps=11).key("a")
    task = Task(job, tmp_path / "runs" / "one.npz")
    first = work(task)
    monkeypatch.setattr(_batched, "train", None)
    again = work(task)
    assert first.cpu_seconds == again.cpu_seconds > 0
    for name in ("curve", "wrong", "chosen", "kept"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert sorted(path.name for path in task.path.parent.iterdir()) == ["one.npz"]
