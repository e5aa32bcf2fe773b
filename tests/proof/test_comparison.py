import json

import numpy as np
import pytest

from tamis.proof.comparison import (
    Measured,
    Unpaired,
    compare,
    difference,
    holm,
    mean_draws,
    mean_interval,
    permutation_p,
)
from tamis.proof.equivalence import compute_equivalent, data_equivalent, nats_per_token
from tamis.proof.ladder import TooShort, decision_accuracy
from tamis.proof.rule import Rule
from tamis.proof.scaling import LossFit, Status, Unreliable


def arms(gain, n=8, seed=0):
    rng = np.random.default_rng(seed)
    luck, noise = rng.normal(3.5, 0.05, n), rng.normal(0, 0.02, n)
    loss = [{s: float(v) for s, v in enumerate(one)} for one in (luck, luck - gain + noise)]
    share = [{s: float(v) for s, v in enumerate(rng.normal(0.3, 0.03, n))} for _ in range(2)]
    return [
        {"accuracy": Measured(acc, "share", "higher"), "bits per byte": Measured(bits, "bit/byte", "lower")}
        for acc, bits in zip(share, loss, strict=True)
    ]


def test_two_arms():
    found = compare(*arms(0.1), Rule())
    assert found.decision.answer == "accept"
    assert found.differences[0].metric == "bits per byte"  # the primary one first
    assert found.differences[0].says == "B better"
    assert "would be seen 4 times in 5" in found.differences[1].says
    assert found.differences[0].sd < 0.04  # pairs share their luck
    assert json.loads(json.dumps(found.to_json()))["decision"]["answer"] == "accept"
    assert "answer    B." in str(found)
    assert compare(*arms(0.0), Rule()).decision.answer == "more"


def test_arms_that_cannot_be_paired():
    a, b = arms(0.1)
    with pytest.raises(Unpaired, match="accuracy"):
        compare(a, {"bits per byte": b["bits per byte"]}, Rule())
    short = {**b, "bits per byte": Measured({0: 1.0, 1: 2.0}, "bit/byte", "lower")}
    with pytest.raises(Unpaired, match="seeds"):
        compare(a, short, Rule())
    with pytest.raises(Unpaired, match="rule says higher"):
        compare(a, b, Rule(direction="higher"))


def test_permutation_is_exact_and_holm_is_holms():
    from scipy.stats import permutation_test

    d = np.random.default_rng(2).normal(0.5, 1, 9)
    reference = permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert permutation_p(d) == pytest.approx(reference.pvalue)
    assert permutation_p([1, 1.5, 2, 3]) == 2 / 2**4
    assert permutation_p(np.random.default_rng(0).normal(size=20)) == pytest.approx(
        permutation_p(np.random.default_rng(0).normal(size=20), seed=5), abs=0.01
    )
    assert holm([0.04, 0.01]) == [0.04, 0.02]


def test_five_true_nulls_are_rarely_found():
    found = 0
    for seed in range(300):
        d = np.random.default_rng(seed).normal(size=(5, 8))
        found += min(holm([permutation_p(one) for one in d])) <= 0.05
    assert found / 300 <= 0.08


@pytest.mark.parametrize("n", [4, 8, 12])
def test_intervals_cover(n):
    rng = np.random.default_rng(n)
    hits = 0
    for k in range(400):
        low, high, kind = mean_interval(rng.normal(size=n), seed=k)
        hits += low <= 0 <= high
    assert 0.91 <= hits / 400 <= 0.98
    assert kind == ("Student's t" if n < 8 else "bootstrap over seeds")


def test_could_see_is_seen_four_times_in_five():
    rng = np.random.default_rng(3)
    effect = difference("x", np.zeros(6), np.array([1, -1, 1, -1, 1, -1]), "", "lower").could_see
    sd = np.std([1, -1, 1, -1, 1, -1], ddof=1)
    seen = [np.sign(lo) == np.sign(hi) for lo, hi, _ in (mean_interval(rng.normal(effect, sd, 6)) for _ in range(600))]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


LAW = LossFit(A=482.0, B=2085.4, E=1.817, alpha=0.348, beta=0.366, objective=0.0, status=Status.CONVERGED, why="")


def loss(n, d):
    return LAW.E + LAW.A / n**LAW.alpha + LAW.B / d**LAW.beta


def test_data_equivalent_inverts_the_law():
    found = data_equivalent(LAW, 1e8, 2e9, loss(1e8, 2e9) - loss(1e8, 3e9))
    assert found.factor == pytest.approx(1.5)
    assert found.amount == pytest.approx(3e9)
    assert found.low == found.high == found.factor
    worse = data_equivalent(LAW, 1e8, 2e9, loss(1e8, 2e9) - loss(1e8, 1e9))
    assert worse.factor == pytest.approx(0.5)
    none = data_equivalent(LAW, 1e8, 2e9, LAW.B / 2e9**LAW.beta)
    assert none.factor == np.inf
    assert "no number of tokens" in str(none)
    drawn = data_equivalent(LAW, 1e8, 2e9, 0.1, gains=[0.05, 0.1, 0.15, 9.0])
    assert drawn.low < drawn.factor < drawn.high == np.inf
    assert 0.2 < drawn.unreachable < 0.3
    assert nats_per_token(1, 1) == pytest.approx(np.log(2))


def test_compute_equivalent_follows_the_frontier():
    def best(c):
        n = np.geomspace(1e5, 1e13, 200_001)
        return loss(n, c / (6 * n)).min()

    start = best(1e20)
    n = 3e9
    d = (LAW.B / (start - LAW.E - LAW.A / n**LAW.alpha)) ** (1 / LAW.beta)  # the same loss, off the frontier
    found = compute_equivalent(LAW, n, d, start - best(2e20))
    assert found.factor == pytest.approx(2, rel=1e-3)
    bad = LossFit(*LAW.values, objective=1.0, status=Status.FLAT, why="two sizes")
    with pytest.raises(Unreliable):
        compute_equivalent(bad, 1e8, 1e9, 0.1)


def test_better_is_said_by_the_rule_and_by_corrected_p():
    """Intervals that exclude 0 do not: several of them do in a proof where nothing differs."""
    noise = np.array([-0.02, 0.01, 0.02, -0.01])
    base = dict(zip(range(1, 5), [3.0, 3.1, 2.9, 3.0], strict=True))
    names = ["bits per byte", "one", "two", "three"]
    gains = dict(zip(names, [0.0, -0.1, 0.0, 0.0], strict=True))
    a = {name: Measured(base, "bit/byte", "lower") for name in names}
    b = {
        name: Measured(
            {s: v + gains[name] + n for (s, v), n in zip(base.items(), noise, strict=True)}, "bit/byte", "lower"
        )
        for name in names
    }
    one = compare(a, b, Rule()).differences[1]
    assert one.high < 0
    assert one.p_holm > 0.05
    assert one.says == "not shown; B better only by this interval alone, uncorrected"
    # of the primary metric the rule says it, at looks that err less than 5 %
    b["bits per byte"] = Measured(
        {s: v - 0.03 + n for (s, v), n in zip(base.items(), noise, strict=True)}, "bit/byte", "lower"
    )
    undecided = compare(a, b, Rule())
    assert undecided.decision.answer == "more"
    assert undecided.differences[0].says != "B better"
    b["bits per byte"] = Measured(
        {s: v + 0.5 + n for (s, v), n in zip(base.items(), noise, strict=True)}, "bit/byte", "lower"
    )
    assert compare(a, b, Rule()).differences[0].says == "A better"


@pytest.mark.parametrize("n", [4, 8, 12])
def test_draws_of_a_mean_cover(n):
    rng = np.random.default_rng(n)
    hits = 0
    for k in range(300):
        low, high = np.quantile(mean_draws(rng.normal(size=n), seed=k), [0.025, 0.975])
        hits += low <= 0 <= high
    assert 0.91 <= hits / 300 <= 0.985


def test_seeds_of_a_ladder_are_paired():
    """What a seed does to both corpora alike hides no order."""
    luck = np.array([0.0, 1.0, -1.0, 0.5])
    values = {size: {"a": 3.0 + luck, "b": 2.9 + luck + [0.01, 0, -0.01, 0]} for size in (1.0, 2.0)}
    (paired,) = decision_accuracy(values, paired=True)
    assert (paired.low, paired.accuracy, paired.clear_pairs) == (1.0, 1.0, 1)
    (apart,) = decision_accuracy(values)
    assert apart.low < 1
    assert apart.clear_pairs == 0
    with pytest.raises(ValueError, match="paired by seed"):
        decision_accuracy({1.0: {"a": [1, 2], "b": [1, 2]}, 2.0: {"a": [1, 2], "b": [1, 2, 3]}}, paired=True)


def test_decision_accuracy():
    rng = np.random.default_rng(0)
    quality = {"a": 3.0, "b": 2.9, "c": 2.8, "d": 2.795}
    values = {
        size: {name: q + noise * rng.normal(size=5) for name, q in quality.items()}
        for size, noise in ((5e4, 0.2), (2e5, 0.02), (8e5, 0.001))
    }
    small, middle = decision_accuracy(values)
    assert (small.size, middle.target, middle.pairs) == (5e4, 8e5, 6)
    assert middle.accuracy >= 5 / 6
    assert middle.clear >= 5 / 6
    assert middle.low <= middle.accuracy <= middle.high
    assert small.high - small.low > middle.high - middle.low
    flipped = {1.0: {"a": [1.0, 1.1, 1.05], "b": [2.0, 2.1, 2.05]}, 2.0: {"a": [2.0, 2.1, 2.05], "b": [1.0, 1.1, 1.05]}}
    (found,) = decision_accuracy(flipped)
    assert found.accuracy == 0
    assert found.flipped == [("a", "b")]
    assert "flips a and b" in str(found)
    with pytest.raises(TooShort):
        decision_accuracy({1.0: quality})
