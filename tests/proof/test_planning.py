"""Plans against closed forms, published optima, and a slow search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.proof import planning, repeats, runs, scaling
from tamis.proof.planning import plan
from tamis.proof.scaling import LossFit, Status


def law_of(*values: float) -> LossFit:
    return LossFit(*values, objective=0.0, status=Status.CONVERGED, why="given")


CHINCHILLA = law_of(477.82, 2143.42, 1.81722, 0.34731, 0.36717)


@pytest.mark.parametrize(
    ("values", "ratio"),
    [
        ((477.82, 2143.42, 1.81722, 0.34731, 0.36717), 17.9),
        ((482.01, 2085.43, 1.8172, 0.34781, 0.36585), 18.3),
        ((406.4, 410.7, 1.69, 0.34, 0.28), 92.8),
    ],
)
def test_tokens_a_parameter_at_chinchillas_budget(values: tuple[float, ...], ratio: float) -> None:
    found = plan(law_of(*values), flops=5.88e23)
    assert found.tokens_per_parameter.value == pytest.approx(ratio, abs=0.25)


def test_the_published_interval_of_tokens_a_parameter(data_dir: Path) -> None:
    path = data_dir / "scaling" / "chinchilla_runs.csv"
    table = runs.read(path, params="Model Size", flops="Training FLOP", loss="loss").without_highest(5)
    fit = scaling.fit(table, bootstrap=4000, profiles=False)
    ratio = plan(fit, flops=5.88e23, level=0.8).tokens_per_parameter
    assert (ratio.low, ratio.high) == pytest.approx((9.9, 29.0), abs=0.1)


def test_budgets_agree_with_each_other() -> None:
    by_flops = plan(CHINCHILLA, flops=1e22)
    by_tokens = plan(CHINCHILLA, tokens=by_flops.tokens.value)
    by_loss = plan(CHINCHILLA, loss=by_flops.loss.value)
    for other in (by_tokens, by_loss):
        assert other.params.value == pytest.approx(by_flops.params.value, rel=1e-6)
        assert other.flops.value == pytest.approx(1e22, rel=1e-6)


def test_serving_makes_smaller_models_on_more_tokens_and_little_serving_changes_nothing() -> None:
    bare = plan(CHINCHILLA, loss=2.1)
    little = plan(CHINCHILLA, loss=2.1, requests=1.0)
    much = plan(CHINCHILLA, loss=2.1, requests=1e13)
    assert little.params.value == pytest.approx(bare.params.value, rel=1e-2)
    assert little.flops.value == pytest.approx(bare.flops.value, rel=1e-4)
    assert much.params.value < 0.7 * bare.params.value
    assert much.tokens.value > bare.tokens.value
    sizes = np.geomspace(1e8, 1e12, 20001)
    tokens = np.array([CHINCHILLA.tokens_for(2.1, size) for size in sizes])
    slow = float((6 * sizes * tokens + 2 * sizes * 1e13).min())
    assert much.flops.value + much.serving.value == pytest.approx(slow, rel=1e-5)


def test_a_budget_that_includes_serving() -> None:
    found = plan(CHINCHILLA, flops=1e22, requests=1e11)
    assert found.flops.value + found.serving.value == pytest.approx(1e22)
    assert found.params.value < plan(CHINCHILLA, flops=1e22).params.value


def test_few_distinct_tokens_cost_loss_and_many_cost_nothing() -> None:
    free = plan(CHINCHILLA, flops=1e22)
    plenty = plan(CHINCHILLA, flops=1e22, unique=1e13)
    scarce = plan(CHINCHILLA, flops=1e22, unique=1e10)
    assert plenty.params.value == pytest.approx(free.params.value, rel=1e-2)
    assert plenty.epochs.value == 1
    assert scarce.epochs.value > 4
    assert scarce.loss.value > free.loss.value
    back = plan(CHINCHILLA, loss=scarce.loss.value, unique=1e10)
    assert back.flops.value == pytest.approx(1e22, rel=1e-3)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(planning.Unreachable, match="below the law's floor"):
        plan(CHINCHILLA, loss=1.8)
    with pytest.raises(planning.Unreachable, match="however often"):
        plan(CHINCHILLA, loss=1.85, unique=1e10)
    with pytest.raises(planning.Unreachable, match="do not suffice to serve"):
        plan(CHINCHILLA, flops=1e9, requests=1e9)
    with pytest.raises(planning.WrongBudget, match="none was given"):
        plan(CHINCHILLA, requests=1e9)
    with pytest.raises(planning.WrongBudget, match="--flops and --loss"):
        plan(CHINCHILLA, flops=1e9, loss=2)
    broken = LossFit(1, 1, 1, 1, 1, objective=0, status=Status.FLAT, why="flat")
    with pytest.raises(scaling.Unreliable):
        plan(broken, flops=1e20)


def test_a_repeat_is_worth_less_and_less() -> None:
    passes = np.array([0, 1, 3, 15, 1000.0])
    value = repeats.worth(1.0, passes, repeats.R_DATA)
    assert value[0] == 1
    assert value[1] == pytest.approx(2, abs=0.04)
    assert value[-1] == pytest.approx(1 + repeats.R_DATA)
    assert repeats.worth(1.0, passes, 1e9) == pytest.approx(1 + passes, rel=1e-5)


def test_the_constants_of_repetition_are_found_again() -> None:
    values = np.array([400, 2000, 1.8, 0.35, 0.37])
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 3e9, 8), np.geomspace(3e8, 3e11, 9)))
    unique = np.minimum(tokens, 1e9)
    loss = repeats.predict(values, params, tokens, unique)
    scatter = np.exp(np.random.default_rng(3).normal(0, 0.002, len(loss)))
    table = runs.make(params, loss * scatter, tokens=tokens, unique=unique)
    found = repeats.fit(table, law_of(*values), bootstrap=40)
    assert found.status is Status.CONVERGED
    assert found.data.value == pytest.approx(repeats.R_DATA, rel=0.1)
    assert found.params.value == pytest.approx(repeats.R_PARAMS, rel=0.15)
    assert found.data.low < found.data.value < found.data.high
    again = repeats.from_json(found.to_json())
    assert again is not None
    assert again.data.value == found.data.value


def test_repeats_need_repeated_runs() -> None:
    table = runs.make([1e6] * 9, [3.0] * 9, tokens=[1e8] * 9, unique=[1e8] * 9)
    assert repeats.fit(table, CHINCHILLA).status is Status.TOO_FEW_POINTS


def test_far_more_tokens_a_parameter_than_the_runs_had_is_said_of_a_stored_fit_too() -> None:
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 1e11, 5)))
    made = scaling.fit(runs.make(params, scaling.law(CHINCHILLA.values, params, tokens), tokens=tokens))
    again = scaling.from_json(made.to_json(draws=True))
    for law in (made, again):
        far = plan(law, flops=1e24, requests=1e18)
        assert any("tokens a parameter, where the runs have at most 1e+05" in note for note in far.notes)
        assert not any("such laws" in note for note in plan(law, flops=1e20).notes)


def test_an_interval_that_ends_at_the_search_is_said_to_be_open() -> None:
    values = np.array([400, 2000, 1.8, 0.35, 0.37])
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 3e8, 4), np.geomspace(1e9, 2e9, 4)))
    unique = np.full(len(tokens), 5e8)
    # Repeats that are worth as much as fresh tokens, seen through noise: no upper end can be told.
    loss = scaling.law(values, params, tokens) * np.exp(np.random.default_rng(0).normal(0, 0.01, len(tokens)))
    found = repeats.fit(runs.make(params, loss, tokens=tokens, unique=unique), law_of(*values), bootstrap=40)
    assert found.status is not Status.CONVERGED or "no upper end" in found.why
