"""`tamis scale` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.commands.scale import _fresh, app
from tamis.proof import runs, scaling

TRUTH = np.array([400.0, 2000.0, 1.8, 0.35, 0.37])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)))
    loss = scaling.law(TRUTH, params, tokens) * np.exp(np.random.default_rng(0).normal(0, 0.003, len(params)))
    path = tmp_path / "runs.csv"
    rows = [f"{n},{6 * n * d},{y}" for n, d, y in zip(params, tokens, loss, strict=True)]
    path.write_text("N,C,loss\n" + "\n".join(rows) + "\n")
    return path


COLUMNS = ["--params", "N", "--flops", "C", "--loss", "loss"]


def test_fit_then_plan(table: Path, tmp_path: Path) -> None:
    out, picture = tmp_path / "fit.json", tmp_path / "fit.svg"
    found = CliRunner().invoke(
        app, ["fit", str(table), *COLUMNS, "--bootstrap", "60", "--json", "--out", str(out), "--picture", str(picture)]
    )
    assert found.exit_code == 0, found.output
    body = json.loads(found.stdout)
    assert body["status"] == "CONVERGED"
    assert set(body["parameters"]) == {"A", "B", "E", "alpha", "beta"}
    for entry in body["parameters"].values():
        assert entry["low"] < entry["value"] < entry["high"]
    assert picture.stat().st_size > 5000
    planned = CliRunner().invoke(
        app, ["plan", "--fit", str(out), "--flops", "1e20", "--unique", "1e10", "--picture", str(tmp_path / "plan.png")]
    )
    assert planned.exit_code == 0, planned.output
    assert planned.stdout.startswith("Train ")
    assert (tmp_path / "plan.png").read_bytes()[:4] == b"\x89PNG"
    straight = CliRunner().invoke(
        app, ["plan", "--fit", str(table), "--columns", "params=N,flops=C,loss=loss", "--loss", "2.2", "--json"]
    )
    assert straight.exit_code == 0, straight.output
    assert json.loads(straight.stdout)["params"]["low"] is not None


def test_an_early_stop_is_no_result(table: Path) -> None:
    said = CliRunner().invoke(app, ["fit", str(table), *COLUMNS, "--steps", "1"])
    assert said.exit_code == 1
    assert "STOPPED_EARLY" in said.stderr
    assert said.stdout == ""
    as_json = CliRunner().invoke(app, ["fit", str(table), *COLUMNS, "--steps", "1", "--json"])
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["parameters"] is None


def test_wrong_use(table: Path, tmp_path: Path) -> None:
    wrong = CliRunner().invoke(app, ["fit", str(table), "--params", "M", "--flops", "C", "--loss", "loss"])
    assert wrong.exit_code == 2
    assert "no column `M`" in wrong.stderr
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    assert CliRunner().invoke(app, ["plan", "--fit", str(bad), "--flops", "1"]).exit_code == 2
    assert CliRunner().invoke(app, ["plan", "--fit", str(table), "--requests", "1"]).exit_code == 2


def test_trends(tmp_path: Path) -> None:
    path = tmp_path / "evals.csv"
    rows = [f"{size},{seed},{np.log10(size) + 0.01 * seed}" for size in np.geomspace(1e6, 1e9, 7) for seed in range(3)]
    path.write_text("N,seed,score\n" + "\n".join(rows) + "\n")
    found = CliRunner().invoke(app, ["trends", str(path), "--size", "N", "--metric", "score", "--seed", "seed"])
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("score  improves")
    path.write_text("N,seed,score\n" + "\n".join([*rows, rows[0]]) + "\n")
    twice = CliRunner().invoke(app, ["trends", str(path), "--size", "N", "--metric", "score", "--seed", "seed"])
    assert twice.exit_code == 2
    assert "occurs twice" in twice.stderr


def test_json_without_a_bootstrap_is_json(table: Path, tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found = CliRunner().invoke(app, ["fit", str(table), *COLUMNS, "--bootstrap", "0", "--json"])
    assert found.exit_code == 0, found.output
    body = json.loads(found.stdout, parse_constant=refuse)
    assert body["tokens_per_parameter"][0]["low"] is None
    few = tmp_path / "few.csv"
    few.write_text("N,C,loss\n1e6,1e15,3\n2e6,2e15,2.9\n")
    said = CliRunner().invoke(app, ["fit", str(few), *COLUMNS, "--json"])
    assert said.exit_code == 1
    assert json.loads(said.stdout, parse_constant=refuse)["objective"] is None


def test_the_middle_of_a_curve_of_repeats_is_no_run_of_fresh_tokens() -> None:
    rows = runs.make(
        [1e6, 1e6, 2e6, 2e6],
        [3.5, 3.0, 3.4, 2.9],
        tokens=[1e8, 4e8, 1e8, 2e8],
        unique=[1e8, 1e8, 2e8, 2e8],
        curve=["a", "a", "b", "b"],
    )
    fresh = _fresh(rows)  # a ends after four epochs: its point at one epoch is the middle of a longer schedule
    assert fresh.curve == ("b",)
    assert fresh.loss.tolist() == [2.9]
