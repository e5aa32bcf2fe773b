"""Claims (d) and (e): what they read off losses, and how their rules decide. `--scale tiny` runs in test_frame."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("scipy")

pytest.importorskip("torch")

from tamis.models.data import bytes_of
from tamis.proof import grid, small_runs
from tamis.proof.claims import optimum, repeats
from tamis.proof.claims.claim import Figure, Missing, Setting, Verdict
from tamis.proof.repeats import RANGE, worth


def curve(*n: int) -> dict[int, SimpleNamespace]:
    """Fresh runs of n times U tokens under a power law."""
    return {k: SimpleNamespace(bits={"held out": 2 + 2 * k**-0.3}) for k in n}


@pytest.mark.parametrize("constant", [1.0, 5.0, 15.39, 60.0])
def test_a_planted_constant_of_repetition_is_found(constant: float) -> None:
    fresh = curve(1, 2, 4, 8, 16)
    seen = {
        n: SimpleNamespace(bits={"held out": 2 + 2 * float(worth(1.0, n - 1, constant)) ** -0.3}) for n in (2, 4, 8)
    }
    found = repeats._constant(fresh, seen, 1000)
    # the fresh curve is read straight between its points, so to within some per cent
    assert found == pytest.approx(constant, rel=0.35)
    four = repeats._worth(fresh, seen[4], 1000, 4)
    assert four == pytest.approx((float(worth(1.0, 3, constant)) - 1) / 3, abs=0.08)


def test_fresh_runs_are_worth_themselves_and_worse_ones_nothing() -> None:
    fresh = curve(1, 2, 4, 8, 16)
    for n in (2, 4, 8, 16):
        assert repeats._worth(fresh, fresh[n], 1000, n) == pytest.approx(1)
    assert repeats._worth(fresh, fresh[1], 1000, 8) == pytest.approx(0)
    assert repeats._worth(fresh, SimpleNamespace(bits={"held out": 4.4}), 1000, 8) < 0
    # a fresh run that came out worse than a shorter one does not turn the curve
    fresh[4] = SimpleNamespace(bits={"held out": fresh[2].bits["held out"] + 0.01})
    assert 1 < repeats._equivalent(fresh, 3.4) < 4


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of 1 to 32 kB, 3.7 MB: enough for five seeds at small."""
    random = np.random.default_rng(5)
    words = np.array([f"w{n:x}" for n in range(4096)])
    path = tmp_path_factory.mktemp("library") / "texts.jsonl"
    with path.open("w") as file:
        for size in random.integers(15, 320, 220):
            drawn = words[random.integers(0, 4096, (size, 20))]
            file.write(json.dumps({"text": "\n".join(map(" ".join, drawn))}) + "\n")
    return path


@pytest.mark.parametrize(
    ("constant", "end", "verdict"),
    [(15.4, 0.4, Verdict.HOLDS), (1.0, 0.4, Verdict.DOES_NOT_HOLD), (15.4, -0.2, Verdict.DOES_NOT_HOLD)],
)
def test_planted_losses_are_judged_right_from_text_to_verdict(
    constant: float, end: float, verdict: Verdict, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses under the law with this R*; over-training ends so much above its loss after 16 epochs."""
    seen: list[small_runs.Job] = []

    def outcomes(jobs, store, processes, what):  # type: ignore[no-untyped-def]
        seen[:] = jobs
        random = np.random.default_rng(2)
        made = []
        for job in jobs:
            n = job.named["n"]
            fresh = n if job.named["kind"] == "fresh" else float(worth(1.0, n - 1, constant))
            bits = 2 + 2 * fresh**-0.3 + 0.001 * random.standard_normal()
            along = [(mark, {"held out": 3.0}) for mark in job.at]
            if job.named["kind"] == "over":
                bits = 3.0 + end + 0.01 * random.standard_normal()
            made.append(SimpleNamespace(job=job, bits={"held out": bits}, along=along, cpu_seconds=1.0))
        return made

    monkeypatch.setattr(small_runs, "outcomes", outcomes)
    out = tmp_path / "out"
    out.mkdir()
    found = repeats.run(Setting("small", out, tmp_path / "runs", data=library))
    assert found.verdict is verdict
    figures = {one.name: one for one in found.figures}
    assert figures["R*"].value == pytest.approx(constant, rel=0.35)
    assert figures["worth of a repeated token at 16 epochs"].n >= repeats.HELD_LEAST
    # U, what is beside it, and over-training come from many documents; U is the first part of the fresh tokens
    by = {row[0]: int(str(row[2]).split()[0]) for row in found.tables[1].rows}
    assert by["U, repeated"] > 25
    assert by["over-training"] > 20
    mine = [job for job in seen if job.seed == 0]
    assert len({job.tokens for job in mine}) == 1
    for job in mine:
        n, kind = job.named["n"], job.named["kind"]
        assert job.train == (8192 * 64 if kind == "over" else 32_768 * n)
        assert job.unique == {"fresh": job.train, "repeated": 32_768, "over": 8192}[kind] + 1
    rates = [[job.lr for job in mine if job.named["kind"] == kind] for kind in ("fresh", "repeated")]
    assert rates[0][1:] == rates[1]


def test_windows_keep_the_text_and_lose_its_order() -> None:
    documents = [chr(65 + n) * (300 + 70 * n) for n in range(20)]
    most = 128 * 64
    ids, sources = repeats._windows(documents, most, 1)
    stream = bytes_of(documents)
    assert len(ids) == most + 1
    rows = {bytes(row.astype(np.uint8)) for row in stream[:most].reshape(-1, 128)}
    assert {bytes(row.astype(np.uint8)) for row in ids[:most].reshape(-1, 128)} == rows
    first = [chr(int(one)) if one < 256 else "" for one in ids[:most:128]]
    assert all(letter in ("", documents[source][0]) for letter, source in zip(first, sources, strict=True))
    assert len(set(sources[:8].tolist())) > 4
    assert (repeats._windows(documents, most, 2)[0] != ids).any()


def test_too_little_text_is_missing_and_never_repeated(tmp_path: Path) -> None:
    lines = [f"line {n} of a text that is not like the line before it, {n * n}" for n in range(400)]
    path = tmp_path / "few.jsonl"  # 25 kB: for one seed of tiny, not for two
    path.write_text("".join(json.dumps({"text": "\n".join(lines[n : n + 20])}) + "\n" for n in range(0, 400, 20)))
    with pytest.raises(Missing, match="2 seeds need 16,384 bytes of text each"):
        repeats.run(Setting("tiny", tmp_path, tmp_path / "runs", data=path))


def test_an_r_star_at_the_end_of_the_search_enters_no_mean() -> None:
    inside = repeats._r_star(np.array([4.0, 9.0, 16.0]), 50)
    assert inside.value == pytest.approx(576 ** (1 / 3))
    assert inside.low is not None
    assert inside.low < inside.value < (inside.high or 0)
    assert (inside.n, inside.seeds) == (50, 3)
    for end in RANGE:
        bound = repeats._r_star(np.array([4.0, 9.0, end]), 50)
        assert bound.value == (9.0 if end > 9 else 4.0)
        assert (bound.low, bound.high) == (None, None)
        assert "AT_BOUND in 1 of 3 seeds" in bound.note


def figure(low: float, high: float) -> Figure:
    return Figure("x", (low + high) / 2, low, high, "", 4, 4)


@pytest.mark.parametrize(
    ("four", "drop", "up", "verdict"),
    [
        ((0.8, 0.95), (-0.5, -0.2), (0.1, 0.3), Verdict.HOLDS),
        ((0.7, 0.95), (-0.5, -0.2), (0.1, 0.3), Verdict.NOT_SHOWN),
        ((0.8, 0.95), (-0.5, 0.2), (0.1, 0.3), Verdict.NOT_SHOWN),
        ((0.4, 0.6), (-0.5, -0.2), (0.1, 0.3), Verdict.DOES_NOT_HOLD),
        ((0.8, 0.95), (0.1, 0.2), (0.1, 0.3), Verdict.DOES_NOT_HOLD),
        ((0.8, 0.95), (-0.5, -0.2), (-0.3, -0.1), Verdict.DOES_NOT_HOLD),
    ],
)
def test_the_rule_of_repeats_decides_by_intervals(four, drop, up, verdict, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    setting = Setting("small", tmp_path, tmp_path)
    assert repeats._decide(setting, figure(*four), figure(*drop), figure(*up))[0] is verdict
    tiny = Setting("tiny", tmp_path, tmp_path)
    assert repeats._decide(tiny, figure(*four), figure(*drop), figure(*up))[0] is Verdict.NOT_SHOWN


def exponent(low: float, high: float) -> SimpleNamespace:
    return SimpleNamespace(value=(low + high) / 2, low=low, high=high)


@pytest.mark.parametrize(
    ("here", "public", "edge", "verdict"),
    [
        ((0.45, 0.55), (0.48, 0.56), None, Verdict.HOLDS),
        ((0.45, 0.65), (0.48, 0.56), None, Verdict.NOT_SHOWN),
        ((0.45, 0.55), None, None, Verdict.NOT_SHOWN),
        (None, (0.48, 0.56), None, Verdict.NOT_SHOWN),
        ((0.65, 0.8), (0.48, 0.56), None, Verdict.DOES_NOT_HOLD),
        ((0.45, 0.55), (0.7, 0.76), None, Verdict.DOES_NOT_HOLD),
        # no more sizes to try says nothing; still at the edge after three more refutes the first half
        ((0.45, 0.55), (0.48, 0.56), grid.Edge(-1, "there is no width beyond 8", False), Verdict.NOT_SHOWN),
        ((0.45, 0.55), (0.48, 0.56), grid.Edge(1, "3 more sizes were tried", True), Verdict.DOES_NOT_HOLD),
    ],
)
def test_the_rule_of_the_optimum_decides_by_intervals(here, public, edge, verdict, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    frontier = SimpleNamespace(a=None if here is None else exponent(*here), why="too few")
    edges = {} if edge is None else {3e10: edge}
    found = SimpleNamespace(frontiers_with_head=[None, frontier], levels=[1e10, 3e10, 9e10], edges=edges)
    table = None if public is None else SimpleNamespace(reliable=True, interval=lambda _: exponent(*public))
    said, because = optimum._decide(Setting("small", tmp_path, tmp_path), found, table)
    assert said is verdict
    assert f"{3 - len(edges)} of 3 budgets have their best size inside" in because


def test_the_public_table_says_that_both_grow_alike(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_DATA", str(data_dir))
    law = optimum._public(100)
    assert law is not None
    assert law.reliable
    a = law.interval("a")
    assert a.value == pytest.approx(0.5139, abs=1e-3)
    assert optimum.EQUAL[0] < a.low < a.high < optimum.EQUAL[1]
    monkeypatch.delenv("TAMIS_DATA")
    assert optimum._public(10) is None


def test_over_training_is_measured_at_rising_epochs() -> None:
    assert repeats._marks(8) == [1, 2, 3, 4, 6]
    assert np.all(np.diff(repeats._marks(64)) > 0)
