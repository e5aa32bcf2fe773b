from __future__ import annotations

import doctest
import itertools
import math

import numpy as np
import pytest

from tamis.people import planning
from tamis.people.planning import BadPlan, Settings, describe, enough, plan, posterior


def test_the_docstrings_say_what_is_true() -> None:
    assert doctest.testmod(planning).failed == 0


def test_the_posterior_is_bayes() -> None:
    accuracies, prior = [0.9, 0.6, 0.75], [0.2, 0.5, 0.3]
    for labels in itertools.product(range(3), repeat=3):
        joint = [
            p * math.prod(a if said == k else (1 - a) / 2 for a, said in zip(accuracies, labels, strict=True))
            for k, p in enumerate(prior)
        ]
        assert posterior(labels, accuracies, 3, prior) == pytest.approx(np.array(joint) / sum(joint))


def test_the_posterior_survives_many_and_sure_raters() -> None:
    assert posterior([0] * 2000 + [1] * 1990, [0.75] * 3990, 2)[0] == pytest.approx(1 - 3.0**-10, rel=1e-6)
    assert posterior([0, 1], [1.0, 1.0], 2) == pytest.approx([0.5, 0.5])
    assert posterior([], [], 4).tolist() == [0.25] * 4
    with pytest.raises(BadPlan):
        posterior([0], [0.9], 1)


def test_when_it_is_enough() -> None:
    assert not enough([1.0, 0.0], 1, 0.95, most=7, least=2)
    assert enough([0.5, 0.5], 7, 0.95, most=7)
    assert enough(posterior([0, 0], [0.75, 0.75], 2), 2, 0.9, most=7)  # exactly 0.9, but for rounding


def test_two_classes_need_what_theory_says() -> None:
    found = plan(Settings(500, 0.75, 0.95), projects=60)
    # A lead of three labels: a walk with steps of +-1 at 3/4 needs 3 (2 x 27/28 - 1) / (1/2) of them.
    assert found.labels.mean == pytest.approx(3 * (2 * 27 / 28 - 1) / 0.5, abs=0.05)
    assert found.accuracy.mean == pytest.approx(27 / 28, abs=0.005)
    assert found.labels.low < found.labels.mean < found.labels.high
    assert found.same == 11
    assert found.saved == pytest.approx(0.49, abs=0.02)


def test_the_figure_of_the_plan() -> None:
    found = plan(Settings(500, 0.75, 0.95, classes=4, most=6), projects=100)
    assert "500 examples, 4 classes, raters at 0.75, target 95%, at most 6: 3.1 labels each" in describe(found)
    assert found.accuracy.mean >= 0.95


@pytest.mark.parametrize("accuracy", [0.65, 0.8])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("target", [0.8, 0.95])
def test_the_accuracy_meets_the_target(accuracy: float, classes: int, target: float) -> None:
    found = plan(Settings(300, accuracy, target, classes=classes, most=200), projects=15)
    assert found.done.mean == pytest.approx(1, abs=0.002)
    assert found.accuracy.mean >= target - 0.005  # of the simulation's own error


def test_raters_who_differ_are_worth_more() -> None:
    alike, unlike = (plan(Settings(300, 0.75, 0.95, spread=s), projects=20) for s in (0.0, 0.15))
    assert unlike.labels.mean < alike.labels.mean
    assert unlike.accuracy.mean >= 0.95


def test_a_budget_ends_it() -> None:
    found = plan(Settings(500, 0.75, 0.95, budget=1200, cost=0.1), projects=20)
    assert found.total.mean == 1200
    assert found.cost is not None
    assert found.cost.mean == pytest.approx(120)
    assert found.done.mean < 0.6
    assert "budget     1,200 labels" in describe(found)
    assert found.to_json()["cost"]["mean"] == pytest.approx(120)


def test_a_budget_is_compared_with_as_many_labels() -> None:
    found = plan(Settings(500, 0.75, 0.95, budget=100), projects=40)
    assert (found.same, found.saved, found.fixed) == (None, None, ())
    # A fifth of the examples is right three times in four, the rest half the time: as with any other way to spend it.
    assert found.even is not None
    assert found.even.mean == pytest.approx(0.55, abs=0.02)
    assert found.accuracy.mean == pytest.approx(found.even.mean, abs=0.02)
    assert "as many labels, spread evenly, give 0.5" in describe(found)
    assert "as accurate" not in describe(found)
    plenty = plan(Settings(100, 0.75, 0.95, budget=100_000), projects=5)
    assert plenty.even is None
    assert plenty.same is not None


def test_the_same_seed_gives_the_same_plan() -> None:
    settings = Settings(100, 0.7, 0.9)
    assert plan(settings, projects=5) == plan(settings, projects=5)
    assert plan(settings, projects=5) != plan(settings, projects=5, seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accuracy": 0.5}, "which is chance"),
        ({"target": 1.0}, "the target lies between"),
        ({"spread": 0.6}, "no raters have"),
        ({"examples": 0}, "needs an example"),
        ({"most": 2, "least": 3}, "least <= most"),
    ],
)
def test_what_cannot_be_planned(settings: dict[str, float], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        Settings(**{"examples": 10, "accuracy": 0.75, "target": 0.9, **settings})  # type: ignore[arg-type]
