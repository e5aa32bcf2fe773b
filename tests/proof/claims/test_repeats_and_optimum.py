"""Claims (d) and (e): what they read off losses, and how their rules decide. `--scale tiny` runs in test_frame."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("scipy")

from tamis.proof.claims import optimum, repeats
from tamis.proof.claims.claim import Figure, Setting, Verdict
from tamis.proof.repeats import worth


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
    ("here", "public", "inside", "verdict"),
    [
        ((0.45, 0.55), (0.48, 0.56), 3, Verdict.HOLDS),
        ((0.45, 0.65), (0.48, 0.56), 3, Verdict.NOT_SHOWN),
        ((0.45, 0.55), (0.48, 0.56), 2, Verdict.NOT_SHOWN),
        ((0.45, 0.55), None, 3, Verdict.NOT_SHOWN),
        (None, (0.48, 0.56), 3, Verdict.NOT_SHOWN),
        ((0.65, 0.8), (0.48, 0.56), 3, Verdict.DOES_NOT_HOLD),
        ((0.45, 0.55), (0.7, 0.76), 3, Verdict.DOES_NOT_HOLD),
    ],
)
def test_the_rule_of_the_optimum_decides_by_intervals(here, public, inside, verdict, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    levels = [SimpleNamespace(params=5000.0 if n < inside else None) for n in range(3)]
    frontier = SimpleNamespace(levels=levels, a=None if here is None else exponent(*here), why="too few")
    found = SimpleNamespace(frontiers_with_head=[None, frontier], levels=[1e10, 3e10, 9e10])
    table = None if public is None else SimpleNamespace(reliable=True, interval=lambda _: exponent(*public))
    assert optimum._decide(Setting("small", tmp_path, tmp_path), found, table)[0] is verdict


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
