import itertools
import json

import numpy as np
import pytest

from tamis.proof import calibration as module
from tamis.proof.calibration import Groups, _plain_width, _sweep, brier, brier_parts, calibration
from tamis.proof.calibration_plot import reliability_diagram
from tamis.proof.metric import NothingCounted
from tamis.proof.temperature import temperature


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(module, "PERFECT", 100)


def answers(n, right, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 2, n)
    return confidence, rng.random(n) < right(confidence)


def reference_sweep(confidence, correct):
    """Roelofs et al. 2022, algorithm 1, as plainly as it can be written."""
    pairs = sorted(zip(confidence, correct, strict=True))
    error = None
    for bins in range(1, len(pairs) + 1):
        cut = [pairs[b * len(pairs) // bins : (b + 1) * len(pairs) // bins] for b in range(bins)]
        shares = [sum(y for _, y in part) / len(part) for part in cut]
        if any(b < a - 1e-12 for a, b in itertools.pairwise(shares)):
            return error, bins - 1
        gaps = [abs(sum(y for _, y in part) - sum(c for c, _ in part)) for part in cut]
        error = sum(gaps) / len(pairs)
    return error, len(pairs)


def reference_ece(confidence, correct, bins):
    """Guo et al. 2017: equal-width bins (lo, hi]."""
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("n", [1, 2, 7, 60, 301])
def test_the_plain_references(n):
    for seed in range(10):
        confidence, correct = answers(n, lambda c: c**2, seed)
        groups = Groups.make(confidence, correct)
        error, bins = _sweep(groups.confidence, groups.shared(groups.correct))
        assert (error, bins) == (
            pytest.approx(reference_sweep(confidence, correct)[0]),
            reference_sweep(confidence, correct)[1],
        )
        assert _plain_width(confidence, correct.astype(float), 10) == pytest.approx(
            reference_ece(confidence, correct, 10)
        )


def test_brier_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    confidence, correct = answers(400, lambda c: c**1.5)
    found = calibration(confidence, correct, resamples=50)
    assert found.brier.value == pytest.approx(sklearn.brier_score_loss(correct, confidence))
    p = np.random.default_rng(0).dirichlet([1, 2, 3], 300)
    labels = np.random.default_rng(1).integers(0, 3, 300)
    both = sklearn.brier_score_loss(labels, p, labels=[0, 1, 2], scale_by_half=False)
    assert brier(p, labels).value == pytest.approx(both)
    assert brier(np.stack([1 - confidence, confidence], 1), correct).value == pytest.approx(2 * found.brier.value)


def test_brier_parts_add_up():
    confidence, correct = answers(500, lambda c: c**2)
    parts = brier_parts(confidence, correct)
    score = np.mean((confidence - correct) ** 2)
    assert parts.miscalibration - parts.discrimination + parts.uncertainty == pytest.approx(score)
    assert parts.miscalibration >= 0
    assert parts.discrimination >= 0
    # of confidences that are constant within bins, the unbiased parts give the score as well
    binned = np.repeat(np.linspace(0.1, 0.9, 10), 50)
    y = np.random.default_rng(0).random(500) < binned
    parts = brier_parts(binned, y, bins=10)
    total = parts.reliability - parts.resolution + parts.uncertainty_unbiased
    assert total == pytest.approx(np.mean((binned - y) ** 2))


def test_a_perfect_model_is_not_blamed():
    signed, plain, covered = [], [], 0
    for seed in range(60):
        confidence, correct = answers(500, lambda c: c, seed)
        found = calibration(confidence, correct, resamples=40, seed=seed)
        signed.append(module._debiased(*sorted_shared(confidence, correct), found.bins))
        plain.append(found.plain.value)
        covered += found.sweep.low == 0 and found.debiased.low == 0
    squares = np.sign(signed) * np.square(signed)
    assert abs(squares.mean()) < 3 * squares.std() / np.sqrt(60)  # unbiased
    assert np.mean(plain) > 0.04  # the plain one is not
    assert covered >= 54
    assert np.mean(plain) == pytest.approx(found.perfect["plain"], abs=0.01)


def sorted_shared(confidence, correct):
    groups = Groups.make(confidence, correct)
    return groups.confidence, groups.shared(groups.correct)


def test_intervals_cover_the_true_error():
    truth = 0.1  # mean and root mean square alike
    sweep = debiased = 0
    for seed in range(80):
        confidence, correct = answers(600, lambda c: np.clip(c - 0.1, 0, 1), seed)
        found = calibration(confidence, correct, resamples=100, seed=seed)
        sweep += found.sweep.low <= truth + 1e-3 and truth - 1e-3 <= found.sweep.high
        debiased += found.debiased.low <= truth + 1e-3 and truth - 1e-3 <= found.debiased.high
        assert found.gap.value > 0
        assert found.p_perfect < 0.05
    assert sweep >= 70
    assert debiased >= 70


def test_answers_of_one_document_count_as_one():
    rng = np.random.default_rng(3)
    documents = np.repeat(np.arange(12), 100)
    confidence = rng.uniform(0.4, 0.9, len(documents))
    right = rng.random(len(documents)) < confidence + rng.normal(0, 0.15, 12)[documents]  # easy documents, hard ones
    alone = calibration(confidence, right, resamples=200)
    told = calibration(confidence, right, resamples=200, documents=documents)
    for name in ("plain", "brier", "gap"):
        a, b = getattr(alone, name), getattr(told, name)
        assert b.value == pytest.approx(a.value)
        assert b.high - b.low > 1.5 * (a.high - a.low), name
        assert (b.n, b.of) == (1200, "answers")
        assert "12 documents resampled" in b.note
    order = rng.permutation(len(documents))
    again = calibration(confidence[order], right[order], resamples=200, documents=documents[order])
    assert (again.sweep.low, again.sweep.high) == (told.sweep.low, told.sweep.high)
    one = calibration(confidence[:100], right[:100], resamples=20, documents=np.zeros(100, int))
    assert np.isnan([one.plain.low, one.plain.high, one.gap.low]).all()
    with pytest.raises(ValueError, match="documents do not fit"):
        calibration(confidence, right, documents=documents[1:])


def test_the_order_of_rows_is_nothing():
    rng = np.random.default_rng(5)
    confidence, correct = np.round(rng.random(300), 1), rng.random(300) < 0.5
    order = rng.permutation(300)
    one, other = (
        calibration(confidence, correct, resamples=30),
        calibration(confidence[order], correct[order], resamples=30),
    )
    assert one.to_json() == other.to_json()
    assert calibration(np.full(50, 0.8), np.arange(50) < 30, resamples=30).sweep.value == pytest.approx(0.2)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="not logits"):
        calibration([1.5], [True])
    with pytest.raises(NothingCounted):
        calibration([], [])
    with pytest.raises(ValueError, match="shape"):
        calibration([0.5, 0.5], [True])
    rounded = calibration([1 + 1e-7, 0.5, -1e-8], [True, False, False], resamples=20)
    assert rounded.brier.value == pytest.approx(0.25 / 3)
    one = calibration([0.7], [True], resamples=20)
    assert (one.bins, one.sweep_bins, one.sweep.low) == (1, 1, 0)
    assert one.sweep.value == pytest.approx(0.3)
    few = calibration([0.5, 0.6, 0.7], [True, False, True], resamples=20)
    assert few.bins == 1
    assert "few" in str(few)


def test_temperature_is_found_again():
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(2000, 4)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random(2000)[:, None] > p.cumsum(1)).sum(1)
    found = temperature(3 * logits, labels)
    assert found.low < 3 < found.high
    assert found.value == pytest.approx(3, rel=0.2)
    assert found.nats_after < found.nats_before
    assert found.after.sweep.value < found.before.sweep.value / 2
    with pytest.raises(NothingCounted):
        temperature(logits[:5], labels[:5])


def test_temperatures_at_the_end_of_the_range_and_of_uneven_items():
    sure = np.tile([2.0, 0.0], (40, 1))
    found = temperature(sure, np.zeros(40, int))
    assert found.at_bound
    assert json.loads(json.dumps(found.to_json()))["at_bound"] is True
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    wider = np.concatenate([logits, np.full((200, 2), -np.inf)], 1)
    assert temperature(wider, labels).value == pytest.approx(temperature(logits, labels).value)
    with pytest.raises(ValueError, match="not a finite number"):
        temperature(wider, np.full(200, 4))
    with pytest.raises(ValueError, match="do not fit"):
        temperature(logits, labels + 1)


def test_the_diagram_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    found = calibration(*answers(500, lambda c: c**2), resamples=30)
    for name in ("one.png", "two.png", "three.svg"):
        reliability_diagram(found, tmp_path / name, "test")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert b"<svg" in (tmp_path / "three.svg").read_bytes()
    assert sum(one.n for one in found.diagram) == 500
