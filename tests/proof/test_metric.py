import numpy as np
import pytest

from tamis.proof.metric import NothingCounted, interval, mean, paired, ratio, resampled_sums, share, widened


def test_a_ratio_is_of_sums_and_keeps_its_cases():
    found = ratio("bits per byte", [8, 2], [4, 2], unit="bit/byte", direction="lower", of="documents")
    assert found.value == 10 / 6
    assert found.per_item.tolist() == [2, 1]
    assert "only 2 documents" in found.note
    assert str(found).startswith("bits per byte 1.667 bit/byte [")
    assert "per_item" not in found.to_json()


@pytest.mark.parametrize("n", [12, 150])
def test_the_bootstrap_is_scipys(n):
    from scipy.stats import bootstrap

    rng = np.random.default_rng(n)
    size = rng.integers(50, 500, n).astype(float)
    bits = size * rng.lognormal(0.5, 0.4, n)
    level = widened(0.95, n)

    def reference(statistic, *columns):
        made = bootstrap(
            columns, statistic, paired=len(columns) > 1, method="percentile", n_resamples=20_000, vectorized=True,
            confidence_level=level, random_state=rng,
        )  # fmt: skip
        return made.confidence_interval, made.standard_error

    (low, high), error = reference(lambda x, axis: x.mean(axis), bits)
    found = mean("x", bits, unit="", direction="lower")
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.2 * error)
    (low, high), error = reference(lambda x, y, axis: x.sum(axis) / y.sum(axis), bits, size)
    found = ratio("x", bits, size, unit="", direction="lower")
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.2 * error)
    other = bits * rng.lognormal(0, 0.05, n)
    (low, high), error = reference(lambda x, y, z, axis: (x - y).sum(axis) / z.sum(axis), other, bits, size)
    gap = paired("d", found, ratio("x", other, size, unit="", direction="lower"), below=size)
    assert [gap.low, gap.high] == pytest.approx([low, high], abs=0.2 * error)


def test_many_cases_are_drawn_from_the_normal_limit(monkeypatch):
    rng = np.random.default_rng(1)
    size = rng.integers(1, 100, 3000).astype(float)
    bits = size * rng.lognormal(0, 0.5, 3000)
    slow = ratio("x", bits, size, unit="", direction="lower")
    monkeypatch.setattr("tamis.proof.metric._MANY", 100)
    fast = ratio("x", bits, size, unit="", direction="lower")
    wide = slow.high - slow.low
    assert [fast.low, fast.high] == pytest.approx([slow.low, slow.high], abs=0.08 * wide)


def test_few_empty_and_broken_cases():
    one = mean("x", [3.0], unit="", direction="lower")
    assert one.value == 3
    assert np.isnan(one.low)
    assert one.to_json()["high"] is None
    assert "no interval" in one.note
    empty = ratio("x", [0.0, 4, 6, 0], [0.0, 2, 2, 0], unit="", direction="lower", of="documents")
    assert (empty.value, empty.n) == (2.5, 2)
    assert np.isfinite([empty.low, empty.high]).all()
    with pytest.raises(ValueError, match="2 of 3 items have no finite value, the first is number 1"):
        mean("x", [1, np.nan, np.inf], unit="", direction="lower")


def test_nothing_counted_is_said():
    with pytest.raises(NothingCounted, match="no items"):
        mean("loss", [], unit="nat", direction="lower")
    with pytest.raises(NothingCounted):
        share("accuracy", [], direction="higher")


@pytest.mark.parametrize("n", [10, 80])
def test_the_interval_covers_as_often_as_it_says(n):
    rng = np.random.default_rng(3)
    hits = 0
    for k in range(300):
        size = rng.integers(50, 500, n).astype(float)
        bits = size * (2 + 0.5 * rng.standard_normal(n))
        found = ratio("x", bits, size, unit="", direction="lower", seed=k)
        hits += found.low <= 2 <= found.high
    assert 0.915 <= hits / 300 <= 0.985


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
