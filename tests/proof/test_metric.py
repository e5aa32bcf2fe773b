import numpy as np
import pytest

from tamis.proof.metric import NothingCounted, interval, mean, paired, ratio, resampled_sums, share, wilson


def test_a_ratio_is_of_sums_and_keeps_its_cases():
    found = ratio("bits per byte", [8, 2], [4, 2], unit="bit/byte", direction="lower", of="documents")
    assert found.value == 10 / 6
    assert found.per_item.tolist() == [2, 1]
    assert "only 2 documents" in found.note
    assert str(found).startswith("bits per byte 1.667 bit/byte [")
    assert "per_item" not in found.to_json()


def test_nothing_counted_is_said():
    with pytest.raises(NothingCounted, match="no items"):
        mean("loss", [], unit="nat", direction="lower")
    with pytest.raises(NothingCounted):
        share("accuracy", [], direction="higher")


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for k in range(300):
        size = rng.integers(50, 500, 80).astype(float)
        bits = size * (2 + 0.5 * rng.standard_normal(80))
        found = ratio("x", bits, size, unit="", direction="lower", seed=k)
        hits += found.low <= 2 <= found.high
    assert 0.90 <= hits / 300 <= 0.985


def test_wilson_is_brown_cai_dasgupta():
    assert [round(x, 4) for x in wilson(8, 10)] == [0.4902, 0.9433]
    assert wilson(0, 0) == (0.0, 1.0)


def test_pairs_are_resampled_together():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 10, 200)  # documents differ far more than models do
    a = mean("loss", hard, unit="nat", direction="lower")
    b = mean("loss", hard - 0.1 + rng.normal(0, 0.05, 200), unit="nat", direction="lower")
    found = paired("loss, difference", a, b)
    assert found.low < -0.09
    assert found.high > -0.11
    assert found.high < 0
    with pytest.raises(ValueError, match="same cases"):
        paired("x", a, mean("loss", hard[:5], unit="nat", direction="lower"))


def test_blocks_do_not_change_the_draws(monkeypatch):
    columns = np.arange(14.0).reshape(2, 7)
    whole = resampled_sums(columns, 50)
    assert np.allclose(whole[1] - whole[0], 49)  # the same documents in both columns
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))
    monkeypatch.setattr("tamis.proof.metric._BLOCK", 7)
    assert np.array_equal(resampled_sums(columns, 50), whole)
