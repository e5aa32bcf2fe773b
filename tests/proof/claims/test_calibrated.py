"""Claim (g): items, equal compute, temperature, and the rule of the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.proof.calibration import calibration, errors
from tamis.proof.claims import calibrated as claim
from tamis.proof.claims.claim import Missing, Verdict

pytest.importorskip("torch")
pytest.importorskip("scipy")


def test_items_hold_the_true_ending_and_those_of_others() -> None:
    rng = np.random.default_rng(0)
    words = [f"{'abcdefgh'[k % 8]}word{k}" for k in range(400)]
    docs = [(str(d), " ".join(words[int(k)] for k in rng.integers(0, 400, 300))) for d in range(20)]
    found = claim.items(docs, 40, seed=1)
    flat = dict(docs)
    for one in found:
        body = flat[one.id.split("@")[0]]
        assert f"{one.prompt} {one.options[one.right]}" in body
        assert one.options[one.right] == one.answer
        assert len(one.options) == claim.OPTIONS
        assert all(other in {each.answer for each in found} for other in one.options)
    assert len({one.right for one in found}) == claim.OPTIONS  # no place is always right
    assert found == claim.items(docs, 40, seed=1)
    with pytest.raises(Missing, match="are needed"):
        claim.items(docs[:1], 4000, seed=1)


def test_equal_compute_is_equal() -> None:
    from tamis.proof.claims._training import config_of

    plan = claim.planned(claim.SHAPES, claim.BASE, 80, 128)
    assert [length for _, length in plan["equal tokens"]] == [80] * len(claim.SHAPES)
    costs = [config_of(shape, 128).flops_per_token * length for shape, length in plan["equal compute"]]
    assert len(costs) >= 4
    assert max(costs) / min(costs) < 1.05
    assert dict(plan["equal compute"])[claim.BASE] == 80


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((20_000, 5))
    p = claim._softmax(logits)
    truth = (p.cumsum(1) > rng.random((len(p), 1))).argmax(1)
    assert claim.fitted(logits, truth) == pytest.approx(1, abs=0.05)
    assert claim.fitted(3 * logits, truth) == pytest.approx(3, abs=0.15)


def test_errors_alone_are_those_of_the_whole_report() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(600)
    right = rng.random(600) < confidence**2
    whole = calibration(confidence, right, resamples=10)
    assert errors(confidence, right) == pytest.approx((whole.sweep.value, whole.debiased.value))


def _answers(rng: np.random.Generator, error: float) -> claim.Answers:
    """Right less often than it says, by `error`."""
    confidence = rng.uniform(0.3, 0.9, 4000)
    right = rng.random(4000) < confidence - error
    return claim.Answers(confidence, right, 3.0, 1.0, confidence[2000:])


def _measured(errors_by_size: list[float], seed: int) -> claim.Measured:
    rng = np.random.default_rng(seed)
    part = [(shape, 10) for shape in claim.SHAPES[: len(errors_by_size)]]
    found = [
        [dict.fromkeys(("own", "other", "items"), _answers(rng, error)) for error in errors_by_size] for _ in range(4)
    ]
    return claim.Measured.of(found, part, 128)


FALLS, RISES, FLAT = [0.25, 0.2, 0.15, 0.1], [0.1, 0.15, 0.2, 0.25], [0.15] * 4


@pytest.mark.parametrize(
    ("tokens", "compute", "verdict"),
    [
        (FALLS, FALLS, Verdict.HOLDS),
        (FALLS, RISES, Verdict.DOES_NOT_HOLD),
        (FALLS, FLAT, Verdict.NOT_SHOWN),
    ],
)
def test_verdict_asks_for_both(tokens, compute, verdict) -> None:
    measured = {"equal tokens": _measured(tokens, 1), "equal compute": _measured(compute, 2)}
    judged = claim.judge(measured)
    assert judged.verdict is verdict
    x = np.log2(measured["equal tokens"].parameters)
    assert judged.figures[0].value == pytest.approx(np.polyfit(x, tokens, 1)[0], abs=0.006)


def test_one_of_two_refutes_only_at_the_corrected_level(monkeypatch) -> None:
    slopes = np.array([-1.5, -0.5, 0.5, 1.5]) * 0.01 + 0.0225
    assert claim.interval(slopes)[1] > 0 > claim.interval(slopes, claim.REFUTES)[1]
    measured = {"equal tokens": _measured(FALLS, 1), "equal compute": _measured(FALLS, 2)}
    monkeypatch.setattr(claim.Measured, "slopes", lambda self, name: slopes)
    assert claim.judge(measured).verdict is Verdict.NOT_SHOWN
    monkeypatch.setattr(claim.Measured, "slopes", lambda self, name: slopes + 0.02)
    assert claim.judge(measured).verdict is Verdict.DOES_NOT_HOLD


def test_answers_of_a_model_that_knows_nothing_are_calibrated() -> None:
    """All bytes equally likely, and so they are: right once in 257, and that is what it says."""
    torch = pytest.importorskip("torch")

    class Flat(torch.nn.Module):
        def forward(self, ids):
            return torch.zeros(*ids.shape, 257)

    rows = np.random.default_rng(0).integers(0, 257, (32, 129))
    found = claim.answers(Flat(), rows)
    assert found.bits == pytest.approx(np.log2(257), abs=1e-4)
    assert found.confidence.mean() == pytest.approx(1 / 257, abs=1e-6)
    assert errors(found.confidence, found.right)[0] < 0.005
