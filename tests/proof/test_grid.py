"""An IsoFLOP grid: its plan, its table and its fits on losses of a known law, and one trained for real."""

import csv
import gzip
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from tamis.cli import app  # noqa: E402
from tamis.commands.scale_run import TextFile  # noqa: E402
from tamis.proof import grid, runs, scaling_plots  # noqa: E402
from tamis.proof.grid import Grid, Material  # noqa: E402
from tamis.proof.small_runs import Job, Outcome, Shape  # noqa: E402

TOKENS = 100_000_000
LAW = {"A": 14.0, "B": 90.0, "E": 1.4, "alpha": 0.30, "beta": 0.36}


def outcome(job: Job, noise: float = 0.0) -> Outcome:
    """What a model that obeys LAW would give, in nats times exp(noise)."""
    config = job.shape.config(job.context)
    tokens = job.steps * job.batch * job.context
    nats = LAW["E"] + LAW["A"] * config.parameters ** -LAW["alpha"] + LAW["B"] * tokens ** -LAW["beta"]
    bits = {"held out": nats * math.exp(noise) / math.log(2)}
    head = config.parameters + 257 * job.shape.width
    return Outcome(job, config.parameters, head, tokens, job.flops, bits, {}, [], ([], []), 1.0)


@pytest.fixture
def material(tmp_path: Path) -> Material:
    path = tmp_path / "train.u2"
    path.touch()
    os.truncate(path, 2 * TOKENS)  # sparse: nothing is read
    held = tmp_path / "held.jsonl"
    held.write_text(json.dumps({"id": "a", "text": "x", "domain": "text"}) + "\n")
    return Material(path, TOKENS, held, "held out  nothing")


@pytest.fixture
def lawful(material: Material, monkeypatch: pytest.MonkeyPatch) -> Material:
    random = np.random.default_rng(1)
    noises: dict[str, float] = {}

    def outcomes(jobs, store, processes, what):  # type: ignore[no-untyped-def]
        found = []
        for job in jobs:
            name = f"{job.shape.width} {job.train} {job.seed}"
            found.append(outcome(job, noises.setdefault(name, 0.002 * random.standard_normal())))
        return found

    monkeypatch.setattr(grid, "outcomes", outcomes)
    return material


def test_sizes_of_a_level_are_neighbours_around_the_guess_and_grow_with_compute() -> None:
    before = 0.0
    for level in np.geomspace(1e10, 1e13, 7):
        widths = grid.widths_for(level)
        assert len(widths) == grid.PER_LEVEL
        at = grid.WIDTHS.index(widths[0])
        assert tuple(widths) == grid.WIDTHS[at : at + grid.PER_LEVEL]
        ratios = [grid.tokens_for(w, level) / Shape(4, w).config().parameters for w in widths]
        assert ratios[0] > grid.GUESS > ratios[-1] or widths[0] == 8 or widths[-1] == 128
        assert np.mean(widths) >= before
        before = float(np.mean(widths))


def test_every_run_of_a_level_has_its_compute(material: Material) -> None:
    for width in grid.widths_for(3e10):
        assert grid.job(material, width, 3e10, 0).flops == pytest.approx(3e10, rel=0.03)
    with pytest.raises(grid.BadGrid, match="fewer than 8 steps"):
        grid.job(material, 128, 1e9, 0)


def test_shorter_runs_have_higher_rates(material: Material) -> None:
    rates = [grid.rate(steps) for steps in (8, 24, 96, 384, 1024, 10**6)]
    assert rates == sorted(rates, reverse=True)
    assert (rates[-1], rates[0]) == grid.RATES
    # what the sweep found best, to within half a step of it
    assert grid.rate(96) == pytest.approx(0.12, rel=0.2)
    assert grid.rate(384) == pytest.approx(0.06, rel=0.2)
    jobs = [grid.job(material, width, 3e10, 0) for width in (8, 64)]
    assert [one.lr for one in jobs] == [grid.rate(one.steps) for one in jobs]
    assert jobs[0].lr < jobs[1].lr


def test_a_grid_of_a_known_law_gives_its_exponent_back(lawful: Material, tmp_path: Path) -> None:
    found = grid.run(lawful, tmp_path, flops=(1e11, 4e11, 1.6e12, 6.4e12), seeds=range(3), bootstrap=200)
    true = LAW["beta"] / (LAW["alpha"] + LAW["beta"])
    two = found.frontiers[1]
    assert two.a is not None
    assert two.a.low < true < two.a.high
    assert all(level.params is not None for level in two.levels)
    assert not found.edges
    assert found.law.reliable
    a = found.law.interval("a")
    assert a.low < true < a.high
    said = grid.render(found)
    assert "no optimum shown" not in said
    assert f"N grows with C^{two.a.value:.3f}" in said


def test_a_level_whose_lowest_run_is_at_the_edge_gets_more_sizes(
    lawful: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(grid, "widths_for", lambda flops: list(grid.WIDTHS[6:]))  # far too large
        found = grid.run(lawful, tmp_path, flops=(1e11,), bootstrap=0, say=said.append)
    widths, _, _best = grid.lowest(found.found, 1e11)
    assert len(said) == grid.EXTENSIONS
    assert widths[0] == grid.WIDTHS[6 - grid.EXTENSIONS]
    # still at the edge, after as many sizes as there may be: that decides
    assert found.edges[1e11] == grid.Edge(-1, "3 more sizes were tried", True)
    # widths that were asked for are not added to
    found = grid.run(lawful, tmp_path, flops=(1e11,), widths=[64, 80, 96], bootstrap=0, say=said.append)
    assert sorted({one.job.shape.width for one in found.found}) == [64, 80, 96]
    assert len(said) == grid.EXTENSIONS
    assert found.edges[1e11] == grid.Edge(-1, "the widths were given", False)
    assert "at the edge: no optimum shown (the widths were given)" in grid.render(found)


def test_a_level_is_at_the_edge_by_its_parabola_too(material: Material) -> None:
    def found(losses: list[float]) -> list[Outcome]:
        made = [outcome(grid.job(material, width, 1e11, 0)) for width in grid.WIDTHS[2:9]]
        return [replace(one, bits={"held out": bits}) for one, bits in zip(made, losses, strict=True)]

    assert grid._side(found([3.3, 3.1, 3.0, 2.95, 3.0, 3.1, 3.3]), 1e11) == 0
    # the lowest run is the second, by chance; the curve still falls towards smaller sizes
    assert grid._side(found([2.91, 2.9, 3.0, 3.05, 3.1, 3.15, 3.2]), 1e11) == -1
    assert grid._side(found([3.2, 3.15, 3.1, 3.05, 3.0, 2.9, 2.91]), 1e11) == 1
    assert grid._side(found([2.9, 3.1, 3.2, 3.2, 3.2, 3.1, 3.0]), 1e11) == -1


def test_sizes_that_would_repeat_tokens_are_left_out(lawful: Material, tmp_path: Path) -> None:
    width = grid.widths_for(1e11)[0]
    needed = grid.tokens_for(width, 1e11)
    short = replace(lawful, tokens=round(0.9 * needed))
    found = grid.run(short, tmp_path, flops=(1e11,), bootstrap=0)
    assert all(one.tokens <= 1.02 * short.tokens for one in found.found)
    assert width not in {one.job.shape.width for one in found.found}
    (why,) = found.left_out
    assert f"{needed:,} tokens" in why
    assert f"left out  {why}" in grid.render(found)
    with pytest.raises(grid.BadGrid, match="more text"):
        grid.run(replace(lawful, tokens=10_000), tmp_path, flops=(1e11,), bootstrap=0)
    # a stream of this length leaves none out, whatever is added
    assert grid.most_tokens((1e10, 1e11)) == grid.tokens_for(grid.WIDTHS[0], 1e11) > needed
    assert grid.most_tokens((1e10, 1e11), [64, 32]) == grid.tokens_for(32, 1e11)
    with pytest.raises(grid.BadGrid, match="no width 33"):
        grid.most_tokens((1e10,), [33])


def test_an_unreliable_fit_gives_no_parameters(lawful: Material, tmp_path: Path) -> None:
    found = grid.run(lawful, tmp_path, flops=(1e11,), bootstrap=0)
    assert not found.law.reliable
    said = grid.render(found)
    assert "No parameters are given" in said
    assert "alpha 0" not in said
    body = found.to_json()
    assert body["params"]["law"]["parameters"] is None


def test_the_table_is_what_fit_reads(lawful: Material, tmp_path: Path) -> None:
    found: Grid = grid.run(lawful, tmp_path, flops=(1e11, 4e11, 1.6e12), seeds=(0, 1), bootstrap=0)
    path = tmp_path / "RUNS.csv"
    path.write_text(found.csv())
    read = runs.read(path, params="params", loss="loss", flops="flops", tokens="tokens", unique="unique")
    assert len(read) == len(found.found)
    mine = found.table()
    assert sorted(read.loss) == pytest.approx(sorted(mine.loss), abs=1e-6)
    assert sorted(read.flops) == pytest.approx(sorted(mine.flops), rel=1e-5)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert all(int(row["params_with_head"]) == int(row["params"]) + 257 * int(row["width"]) for row in rows)
    assert all(float(row["loss"]) == pytest.approx(float(row["bits_per_byte"]) * math.log(2), abs=1e-5) for row in rows)
    assert all(row["unique"] == row["tokens"] for row in rows)
    assert mine.unique is not None
    assert (mine.unique == mine.tokens).all()


def test_curves_of_approach_one_are_sizes_over_levels(lawful: Material, tmp_path: Path) -> None:
    widths = grid.WIDTHS[2:10]
    found = grid.run(lawful, tmp_path, flops=np.geomspace(5e10, 2e12, 6).tolist(), widths=widths, bootstrap=0)
    one = found.frontiers[0]
    assert one.a is not None
    assert 0.3 < one.a.value < 0.8


def test_a_grid_is_trained_and_used_again(tmp_path: Path) -> None:
    texts = [
        " ".join(f"Number {n * k} follows {n * k - 1} and nothing else does in list {n}, item {k}." for k in range(9))
        for n in range(1, 400)
    ]
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in texts) + "\n")
    asked = ["scale", "run", str(file), "--flops", "1e9", "--widths", "8,12,16", "--bootstrap", "0", "-j", "1",
             "--out", str(tmp_path / "grid"), "--json"]  # fmt: skip
    first = CliRunner().invoke(app, asked)
    assert first.exit_code == 2, first.output  # 1e9 FLOP are too few for a width of 16
    assert "fewer than 8 steps" in first.output
    asked[4] = "2e9"
    first = CliRunner().invoke(app, asked)
    assert first.exit_code == 0, first.output
    body = json.loads(first.stdout)
    assert body["runs"] == 3
    assert body["params"]["law"]["status"] == "TOO_FEW_POINTS"
    stored = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "grid/models").iterdir()}
    assert len(stored) == 3
    again = CliRunner().invoke(app, asked)
    assert json.loads(again.stdout) == body
    assert stored == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "grid/models").iterdir()}
    with (tmp_path / "grid/RUNS.csv").open() as opened:
        losses = [float(row["loss"]) for row in csv.DictReader(opened)]
    assert all(0.5 < loss < 5.6 for loss in losses)


def test_listed_texts_change_their_identity_with_their_content() -> None:
    one = grid.Listed("x", [("a", "first"), ("b", "second")])
    assert one.identity() == grid.Listed("y", [("a", "first"), ("b", "second")]).identity()
    assert one.identity() != replace(one, documents=[("a", "first"), ("b", "other")]).identity()
    (batch,) = one.batches()
    assert [len(name) for name in batch[0].to_pylist()] == [32, 32]
    assert batch[1].to_pylist() == ["first", "second"]


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    texts = ["short", "x" * 50_000, "", "short", "two\nlines \u00e9"]
    lines, packed, table = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "a.parquet"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    pq.write_table(pa.table({"n": range(6), "text": [*texts, None]}), table)
    for path in (lines, packed, table):
        ((ids, found),) = TextFile(path).batches()
        assert found.to_pylist() == [text for text in texts if text]
        assert len(set(ids.to_pylist())) == 4
        assert all(len(one) == 32 for one in ids.to_pylist())
    assert TextFile(lines).identity() != TextFile(table).identity()
    bad = tmp_path / "b.jsonl"
    bad.write_text('{"text": "a"}\n{"body": "b"}\n')
    with pytest.raises(grid.BadGrid, match=r"b\.jsonl line 2"):
        list(TextFile(bad).batches())
    pq.write_table(pa.table({"n": [1]}), table)
    with pytest.raises(grid.BadGrid, match="no column `text`"):
        list(TextFile(table).batches())
    with pytest.raises(grid.BadGrid, match=r"is \.parquet, \.jsonl"):
        TextFile(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ((4e3, 1.2e5), ["5,000", "10,000", "20,000", "50,000", "100,000"]),
        ((2.9e10, 9.2e10), ["3e+10", "5e+10", "7e+10"]),
        ((0.9e10, 4.2e10), ["1e+10", "2e+10", "3e+10"]),
    ],
)
def test_labels_of_a_narrow_axis_are_few(ends: tuple[float, float], labels: list[str]) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.set(xscale="log", xlim=ends)
    scaling_plots._few_ticks(axes.xaxis, ends)
    assert [label.get_text() for label in axes.get_xticklabels(which="both") if label.get_text()] == labels
