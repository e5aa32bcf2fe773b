"""Approaches 1 and 2, Kaplan's and the over-training form: known laws found again, refusals with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.proof import approaches, runs, scaling
from tamis.proof.scaling import Status

TRUTH = np.array([482.01, 2085.43, 1.8172, 0.3478, 0.3658])


def levels(values: np.ndarray, width: float, at: tuple[float, ...] = (1e19, 1e20, 1e21, 1e22)) -> runs.Runs:
    """Noise-free runs at each compute, sizes `width` times either way about the optimum."""
    params, tokens = [], []
    for flops in at:
        best = float(scaling.optimum(values, flops)[0])
        sizes = best * np.geomspace(1 / width, width, 15)
        params.append(sizes)
        tokens.append(flops / 6 / sizes)
    n, d = np.concatenate(params), np.concatenate(tokens)
    return runs.make(n, scaling.law(values, n, d), tokens=d)


@pytest.mark.parametrize(
    ("values", "bias"),
    [((400.0, 400.0, 1.7, 0.31, 0.31), 0.0), (tuple(TRUTH), 0.01), ((400.0, 400.0, 1.7, 0.45, 0.20), 0.129)],
)
def test_parabolas_have_the_right_exponent_and_a_biased_height(values: tuple[float, ...], bias: float) -> None:
    law = np.array(values)
    found = approaches.isoflop(levels(law, 8), bootstrap=20)
    assert found.status is Status.CONVERGED
    assert found.a is not None
    assert found.a.value == pytest.approx(law[4] / (law[3] + law[4]), abs=1e-6)
    error = float(found.params(1e24)) / float(scaling.optimum(law, 1e24)[0]) - 1
    assert abs(error) == pytest.approx(bias, abs=0.02)


def test_chinchillas_levels(data_dir: Path) -> None:
    path = data_dir / "scaling" / "chinchilla_runs.csv"
    table = runs.read(path, params="Model Size", flops="Training FLOP", loss="loss").without_highest(5)
    found = approaches.isoflop(table, bootstrap=100)
    assert found.a is not None
    assert found.a.value == pytest.approx(0.494, abs=5e-4)
    assert found.a.low < 0.4940 < found.a.high
    assert len(found.levels) == 10


def test_the_envelope_needs_curves_and_finds_the_exponent() -> None:
    assert "one row a run" in approaches.envelope(levels(TRUTH, 8)).why
    sizes = np.geomspace(1e7, 1e10, 16)
    n = np.repeat(sizes, 40)
    d = np.concatenate([np.geomspace(size, 200 * size, 40) for size in sizes])
    table = runs.make(n, scaling.law(TRUTH, n, d), tokens=d, curve=[f"{size:g}" for size in n])
    found = approaches.envelope(table, bootstrap=50)
    assert found.a is not None
    assert found.a.value == pytest.approx(0.5126, abs=0.02)


def test_kaplans_form_is_found_again() -> None:
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 8), np.geomspace(1e8, 1e11, 8)))
    loss = ((8.8e13 / n) ** (0.076 / 0.095) + 5.4e13 / d) ** 0.095
    found = approaches.kaplan(runs.make(n, loss, tokens=d))
    assert found.status is Status.CONVERGED
    assert found.parameters["alpha_N"] == pytest.approx(0.076, rel=0.01)
    assert found.parameters["alpha_D"] == pytest.approx(0.095, rel=0.01)
    assert found.predict is not None
    assert found.predict(n, d) == pytest.approx(loss, rel=1e-3)


def test_the_over_training_form_is_the_law_of_equal_exponents() -> None:
    law = np.array([400.0, 1200.0, 1.7, 0.34, 0.34])
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 8), np.geomspace(1e8, 1e11, 8)))
    found = approaches.overtraining(runs.make(n, scaling.law(law, n, d), tokens=d))
    assert found.status is Status.CONVERGED
    assert found.parameters["eta"] == pytest.approx(0.17, abs=1e-4)
    assert found.parameters["E"] == pytest.approx(1.7, abs=1e-3)
    assert found.predict is not None
    assert found.predict(1e10, 1e12) == pytest.approx(float(scaling.law(law, 1e10, 1e12)), rel=1e-3)
