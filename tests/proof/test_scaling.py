"""The law's fit against the published refit of Chinchilla's runs, and its statuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tamis.proof import logsumexp, runs, scaling
from tamis.proof.loss_problem import starts
from tamis.proof.runs import Runs
from tamis.proof.scaling import Status

TRUTH = np.array([400.0, 2000.0, 1.8, 0.35, 0.37])
BUG = (406.40, 410.73, 1.69344, 0.33899, 0.28468)  # where a mean instead of a sum stops L-BFGS: still at Hoffmann's fit


@pytest.fixture(scope="module")
def everything(data_dir: Path) -> Runs:
    path = data_dir / "scaling" / "chinchilla_runs.csv"
    return runs.read(path, params="Model Size", flops="Training FLOP", loss="loss")


@pytest.fixture(scope="module")
def chinchilla(everything: Runs) -> Runs:
    return everything.without_highest(5)


@pytest.fixture(scope="module")
def refit(chinchilla: Runs) -> scaling.LossFit:
    return scaling.fit(chinchilla, bootstrap=4000)


def table(noise: float = 0.0, values: np.ndarray = TRUTH, seed: int = 0) -> Runs:
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 8), np.geomspace(1e8, 1e11, 6)))
    scatter = np.random.default_rng(seed).normal(0, noise, len(params)) if noise else 0
    return runs.make(params, scaling.law(values, params, tokens) * np.exp(scatter), tokens=tokens)


def test_the_huber_optimum_of_chinchillas_runs(refit: scaling.LossFit) -> None:
    assert refit.status is Status.CONVERGED
    assert len(refit.runs or []) == 240
    assert [round(refit.A, 2), round(refit.B, 2)] == [477.83, 2143.42]
    assert pytest.approx(1.81722, abs=5e-6) == refit.E
    assert refit.alpha == pytest.approx(0.34731, abs=5e-6)
    assert refit.beta == pytest.approx(0.36717, abs=5e-6)
    assert refit.objective == pytest.approx(1.018274018e-3, abs=5e-13)
    assert refit.agree == refit.starts == 32


def test_the_bootstrap_repeats_the_published_draws_and_standard_errors(refit: scaling.LossFit) -> None:
    """Besiroglu et al. 2024: the first draw of seed 42, and the standard errors of 4,000."""
    assert refit.draws is not None
    published = (349.556372, 2356.248315, 1.793330, 0.328633, 0.371855)
    assert refit.draws[0] == pytest.approx(published, rel=2e-5)
    errors = refit.draws.std(axis=0)
    assert errors == pytest.approx((124.494, 1293.17, 0.02566, 0.01540, 0.02059), rel=1e-3)
    assert refit.lost_draws == 0
    found = {name: refit.interval(name) for name in ("A", "B", "E", "alpha", "beta")}
    assert (found["A"].low, found["A"].high) == pytest.approx((286.1, 743.6), abs=0.1)
    assert (found["B"].low, found["B"].high) == pytest.approx((1042.4, 5810.4), abs=0.1)
    assert (found["alpha"].low, found["alpha"].high) == pytest.approx((0.317, 0.373), abs=5e-4)
    assert np.std(scaling.exponent(refit.draws)) == pytest.approx(0.0200, abs=5e-5)
    width = refit.interval("a", 0.8)
    assert width.high - width.low == pytest.approx(0.0514, abs=5e-5)


def test_least_absolute_deviations_are_the_replications_published_figures(chinchilla: Runs) -> None:
    found = scaling.fit(chinchilla, loss_function="lad", profiles=False)
    assert found.status is Status.CONVERGED
    assert pytest.approx((482.01, 2085.43), abs=0.011) == (found.A, found.B)
    assert (found.alpha, found.beta) == pytest.approx((0.34781, 0.36585), abs=6e-6)
    assert found.objective == pytest.approx(1.129495, abs=1e-6)


def test_nothing_is_dropped_unasked_and_the_runs_leant_on_are_flagged(everything: Runs) -> None:
    found = scaling.fit(everything, profiles=False)
    assert len(found.runs or []) == 245
    assert found.values == pytest.approx((495.73, 12845.6, 1.89134, 0.34931, 0.45305), rel=1e-5)
    assert found.objective == pytest.approx(1.8260e-3, abs=5e-8)
    assert {1, 2, 3, 4} <= {flag.row for flag in found.flags}  # four of the five highest losses
    assert found.flags[0].row == 1


def test_a_fit_with_few_steps_says_so_and_gives_no_parameters(chinchilla: Runs) -> None:
    found = scaling.fit(chinchilla, steps=3, bootstrap=100)
    assert found.status is Status.STOPPED_EARLY
    assert found.to_json()["parameters"] is None
    for ask in (lambda: found.interval("A"), lambda: found.predict(1e9, 1e10), found.require):
        with pytest.raises(scaling.Unreliable, match="STOPPED_EARLY"):
            ask()


def test_parameters_of_the_stopped_optimiser_are_found_out(chinchilla: Runs, refit: scaling.LossFit) -> None:
    status, why, objective = scaling.examine(chinchilla, BUG)
    assert status is Status.STOPPED_EARLY
    assert "above that of the optimum" in why
    assert objective > refit.objective * 1.1
    assert scaling.examine(chinchilla, list(refit.values))[0] is Status.CONVERGED


def test_profiles_hold_their_value_and_are_of_the_bootstraps_size(refit: scaling.LossFit) -> None:
    for name in ("A", "B", "E", "alpha", "beta"):
        low, high = refit.profile[name]
        assert low < getattr(refit, name) < high
        found = refit.interval(name)
        assert 0.3 < (high - low) / (found.high - found.low) < 1.5


def test_exact_data_give_their_law_back() -> None:
    found = scaling.fit(table())
    assert found.status is Status.CONVERGED
    assert found.values == pytest.approx(TRUTH, rel=1e-6)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(20):
        found = scaling.fit(table(0.01, seed=seed), bootstrap=100, profiles=False)
        interval = found.interval("alpha")
        held += interval.low <= TRUTH[3] <= interval.high
    assert held >= 16  # 95% of 20 is 19; a percentile bootstrap of 48 runs is a little narrow


def test_statuses() -> None:
    few = table().take(np.arange(7))
    assert scaling.fit(few).status is Status.TOO_FEW_POINTS
    one_size = runs.make(np.full(20, 1e6), np.linspace(3, 2, 20), tokens=np.geomspace(1e8, 1e10, 20))
    assert "model sizes" in scaling.fit(one_size).why
    no_floor = table(0.01, np.array([400, 2000, 1e-9, 0.35, 0.37]), seed=1)
    assert scaling.fit(no_floor).status in (Status.FLAT, Status.AT_BOUND)
    whole = table()
    together = runs.make(
        whole.params,
        scaling.law(TRUTH, whole.params, 20 * whole.params),
        tokens=20 * whole.params * np.tile([1, 1.01], 24),
    )
    found = scaling.fit(together)
    assert not found.reliable
    assert "go together" in found.why


def test_the_order_of_runs_does_not_matter(chinchilla: Runs, refit: scaling.LossFit) -> None:
    shuffled = chinchilla.take(np.random.default_rng(1).permutation(len(chinchilla)))
    assert scaling.fit(shuffled, profiles=False).values == pytest.approx(refit.values, rel=1e-7)


def test_only_the_last_point_of_a_curve_counts() -> None:
    whole = table(0.01)
    names = [str(at) for at in range(len(whole))]
    doubled = runs.make(
        np.tile(whole.params, 2),
        np.concatenate([whole.loss * 1.3, whole.loss]),
        tokens=np.concatenate([whole.tokens / 2, whole.tokens]),
        curve=names * 2,
    )
    assert scaling.fit(doubled, profiles=False).values == pytest.approx(scaling.fit(whole, profiles=False).values)


def test_a_fit_survives_json(refit: scaling.LossFit) -> None:
    again = scaling.from_json(refit.to_json(draws=True))
    assert again.interval("E").low == pytest.approx(refit.interval("E").low, rel=1e-8)
    assert again.predict(1e9, 2e10).value == refit.predict(1e9, 2e10).value
    assert again.extrapolates(flops=1e24) > 50


def test_inversions_of_the_law(refit: scaling.LossFit) -> None:
    loss = refit.predict(1e9, 3e10).value
    assert refit.tokens_for(loss, 1e9) == pytest.approx(3e10)
    assert refit.params_for(loss, 3e10) == pytest.approx(1e9)
    assert refit.tokens_for(1.5, 1e9) == np.inf


def test_derivatives_by_differences() -> None:
    rng = np.random.default_rng(5)
    design, target = rng.normal(size=(3, 30, 5)), rng.normal(size=30)
    theta, weights = rng.normal(size=(4, 5)), rng.integers(0, 3, (4, 30)).astype(float)
    products = logsumexp._products(design)

    def local(at: np.ndarray) -> logsumexp._Local:
        return logsumexp._Local(design, products, target, at, weights, 0.3)

    here = local(theta)
    for p in range(5):
        step = np.zeros(5)
        step[p] = 1e-6
        up, down = local(theta + step), local(theta - step)
        assert here.gradient[:, p] == pytest.approx((up.value - down.value) / 2e-6, rel=1e-4, abs=1e-5)
        assert here.hessian[:, p] == pytest.approx((up.gradient - down.gradient) / 2e-6, rel=1e-3, abs=1e-3)


def test_variable_projection_starts_near_the_truth() -> None:
    best = starts(table())[0]
    assert best[3:] == pytest.approx(TRUTH[3:], abs=0.1)


def test_bad_tables_are_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("N,C,loss\n1e6,1e15,3.1\n2e6,2e15,0\n")
    with pytest.raises(runs.BadTable, match="row 2: loss is 0"):
        runs.read(path, params="N", flops="C", loss="loss")
    with pytest.raises(runs.BadTable, match="did you mean `loss`"):
        runs.read(path, params="N", flops="C", loss="los")
    with pytest.raises(runs.BadTable, match="tokens or FLOP"):
        runs.read(path, params="N", loss="loss")
    path.write_text("N,C,loss,run\n1e6,1e15,3.1,a\n2e6,2e15,3.0,\n")
    with pytest.raises(runs.BadTable, match="row 2: `run` is empty"):
        runs.read(path, params="N", flops="C", loss="loss", curve="run")


def test_a_run_is_dropped_with_its_whole_curve() -> None:
    curves = runs.make(
        [1e6] * 3 + [2e6] * 3 + [4e6] * 3,
        [9.0, 5.0, 3.0, 4.9, 4.5, 4.4, 8.0, 3.5, 2.0],
        tokens=[1e6, 1e7, 1e8] * 3,
        curve=["a"] * 3 + ["b"] * 3 + ["c"] * 3,
    )
    left = curves.without_highest(1)  # the highest point is a's first, the highest end b's
    assert left.curve == ("a",) * 3 + ("c",) * 3
    assert left.loss.tolist() == [9.0, 5.0, 3.0, 8.0, 3.5, 2.0]
    ends = runs.make([1e6, 2e6, 4e6], [3.0, 4.4, 2.0], tokens=[1e8] * 3)
    assert ends.without_highest(1).loss.tolist() == [3.0, 2.0]
    assert len(ends.without_highest(9)) == 0


def test_what_is_not_known_is_null_in_json() -> None:
    few = scaling.fit(runs.make([1e6] * 3, [3.0] * 3, tokens=[1e8] * 3))
    assert few.status is Status.TOO_FEW_POINTS
    json.dumps(few.to_json(), allow_nan=False)
    assert scaling.Interval(1.0, float("nan"), float("inf")).to_json() == {"value": 1.0, "low": None, "high": None}
    status, why, _ = scaling.examine(runs.make([1e6] * 3, [3.0] * 3, tokens=[1e8] * 3), TRUTH)
    assert status is Status.TOO_FEW_POINTS
    assert "3 runs" in why
