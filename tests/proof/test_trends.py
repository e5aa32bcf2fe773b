"""Shapes over size: what is claimed about false positives holds by simulation, and clear shapes are seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from tamis.proof import trends
from tamis.proof.trends import Shape

X = np.repeat(np.linspace(6, 10, 8), 4)
SIZE = 10**X


def logistic(z: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-z)))


def shapes(curve: Callable[[np.ndarray], np.ndarray], rounds: int, noise: float = 0.02) -> Counter[Shape]:
    rng = np.random.default_rng(11)
    return Counter(
        trends.trends(SIZE, {"m": curve(X) + rng.normal(0, noise, len(X))}, seed=at)[0].shape for at in range(rounds)
    )


ROUNDS, MOST = 60, 7  # of 60 at 5%: 3 expected, more than 7 once in a hundred times


def test_no_trend_is_seldom_one() -> None:
    found = shapes(lambda x: 0 * x, ROUNDS)
    assert ROUNDS - found[Shape.FLAT] <= MOST


@pytest.mark.parametrize(
    "curve",
    [lambda x: 0.1 * x, lambda x: 1 - 10 ** (-0.5 * (x - 6)), lambda x: logistic((x - 8) * 4.394)],
    ids=["line", "power law", "logistic a decade wide"],
)
def test_smooth_growth_is_seldom_emergence_or_a_u(curve: Callable[[np.ndarray], np.ndarray]) -> None:
    found = shapes(curve, ROUNDS)
    assert found[Shape.EMERGENT] <= MOST
    assert found[Shape.U] + found[Shape.INVERTED_U] <= MOST
    assert found[Shape.INVERSE] == 0


def test_clear_shapes_are_seen() -> None:
    assert shapes(lambda x: -0.05 * x, 20)[Shape.INVERSE] >= 18
    assert shapes(lambda x: 0.1 * (x - 8) ** 2, 20)[Shape.U] >= 18
    assert shapes(lambda x: -0.1 * (x - 8) ** 2, 20)[Shape.INVERTED_U] >= 18
    assert shapes(lambda x: 0.5 * (x > 8.5), 20)[Shape.EMERGENT] >= 16


def test_lower_may_be_better() -> None:
    y = 3 - 0.1 * X + np.random.default_rng(6).normal(0, 0.01, len(X))
    assert trends.trends(SIZE, {"loss": y}, lower_is_better=["loss"])[0].shape is Shape.IMPROVES
    assert trends.trends(SIZE, {"loss": y})[0].shape is Shape.INVERSE


def test_exact_match_over_a_smooth_probability_is_named_an_artefact() -> None:
    rng = np.random.default_rng(2)
    token = logistic((X - 7) * 1.5)
    table = {"exact": token**20 + rng.normal(0, 0.002, len(X)), "token": token + rng.normal(0, 0.01, len(X))}
    both = trends.trends(SIZE, table, continuous={"exact": "token"})
    assert both[0].shape is Shape.ARTEFACT
    assert "token of the same outputs changes smoothly" in both[0].why
    assert both[1].shape is Shape.IMPROVES
    alone = trends.trends(SIZE, {"exact": table["exact"]})[0]
    assert alone.shape is Shape.EMERGENT
    assert "no continuous metric" in alone.why


def test_the_length_of_answers_explains_exact_match() -> None:
    exact = logistic((X - 7.5) * 1.5) ** 20 + np.random.default_rng(3).normal(0, 0.002, len(X))
    assert trends.trends(SIZE, {"exact": np.clip(exact, 0, 1)}, length=20)[0].shape is Shape.ARTEFACT


@pytest.mark.parametrize(("sizes", "seeds"), [(5, 10), (8, 2)])
def test_too_few_sizes_or_seeds_show_nothing(sizes: int, seeds: int) -> None:
    size = np.repeat(np.geomspace(1e6, 1e9, sizes), seeds)
    found = trends.trends(size, {"m": np.log(size)})[0]
    assert found.shape is Shape.NOT_SHOWN
    assert "at least 6 sizes of 3 seeds" in found.why


def test_many_metrics_of_noise_are_corrected_together() -> None:
    rng = np.random.default_rng(4)
    found = trends.trends(SIZE, {f"m{at}": rng.normal(size=len(X)) for at in range(40)})
    assert sum(one.shape in (Shape.IMPROVES, Shape.INVERSE, Shape.EMERGENT) for one in found) <= 1


def test_schaeffers_score_of_a_step_and_a_line() -> None:
    assert trends.emergence_score(np.arange(6.0)) == pytest.approx(5)
    assert trends.emergence_score(np.array([0, 0.01, 0, 0.01, 0.9, 0.91])) > 50
    assert trends.emergence_score(-np.arange(6.0)) == pytest.approx(-5)


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(trends.BadTrend, match="positive"):
        trends.trends([0, 1], {"m": [1, 2]})
    with pytest.raises(trends.BadTrend, match="values"):
        trends.trends(SIZE, {"m": [1, 2]})


def test_bends_and_jumps_of_many_metrics_are_corrected_together() -> None:
    """Forty metrics that only rise: by chance the end of some bends down. A clear U among them is still seen."""
    rng = np.random.default_rng(2)
    # Steep, then level: the second slope is noise, so one in forty looks significantly down.
    metrics = {f"m{at}": np.minimum(X, 8.5) + rng.normal(0, 0.2, len(X)) for at in range(40)}
    metrics["u"] = 0.3 * (X - 8) ** 2 + rng.normal(0, 0.02, len(X))
    found = {one.metric: one for one in trends.trends(SIZE, metrics)}
    alone = [name for name, one in found.items() if one.lines is not None and one.lines.u]
    assert len(alone) > 1  # without a correction
    assert [name for name, one in found.items() if one.shape in (Shape.U, Shape.INVERTED_U)] == ["u"]
    for one in found.values():
        assert one.lines is not None
        assert one.p_u >= one.lines.p
        assert one.p_jump >= one.p_sharp
        assert one.shape is not Shape.EMERGENT
