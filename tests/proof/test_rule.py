import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.proof.rule import BadRule, Rule

RULE = Rule()
TRIALS = 20_000


def outcomes(d):
    """By the t-tests written out: share accepted, share rejected as worse. d (trials, 12)."""
    answer = np.zeros(len(d))
    for n, edge in zip(RULE.looks, RULE.critical, strict=True):
        t = d[:, :n].mean(1) / (d[:, :n].std(1, ddof=1) / np.sqrt(n))
        answer = np.where((answer == 0) & (np.abs(t) > edge), -np.sign(t), answer)
    return np.mean(answer == 1), np.mean(answer == -1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, shape: rng.normal(size=shape),
        lambda rng, shape: rng.laplace(size=shape),
        lambda rng, shape: rng.standard_t(3, shape),
        lambda rng, shape: rng.lognormal(size=shape) - rng.lognormal(size=shape),  # skewed arms, paired
        lambda rng, shape: rng.uniform(-1, 1, shape),
    ],
)
def test_a_against_a_is_accepted_at_most_one_time_in_a_hundred(draw):
    accepted, rejected = outcomes(draw(np.random.default_rng(11), (TRIALS, 12)))
    assert accepted <= 0.01
    assert rejected <= 0.01


def test_normal_differences_err_at_most_alpha_in_all():
    accepted, rejected = outcomes(np.random.default_rng(12).normal(size=(TRIALS, 12)))
    assert accepted + rejected <= 0.01


@pytest.mark.parametrize("sd", [1.0, 0.05])
def test_the_stated_effect_is_accepted_four_times_in_five(sd):
    effect = RULE.smallest_effect(sd)
    accepted, rejected = outcomes(sd * np.random.default_rng(13).normal(size=(TRIALS, 12)) - effect)
    assert accepted >= 0.8
    assert rejected == 0
    assert accepted < 0.83  # and it is the smallest
    assert RULE.chances(effect, sd)[-1] == pytest.approx(accepted, abs=0.01)


def test_decide_does_what_the_simulation_does():
    rng = np.random.default_rng(14)
    d = rng.normal(size=(400, 12)) - 1.3
    found = [RULE.decide(one).answer == "accept" for one in d]
    assert np.mean(found) == pytest.approx(outcomes(d)[0])


def test_looks_come_when_they_come():
    assert sum(RULE.spends) == pytest.approx(0.01)
    one = RULE.decide([-1.0, -1.1])
    assert (one.answer, one.more, one.look) == ("more", 2, 0)
    sure = [-1.0, -1.1, -0.9, -1.05]
    one = RULE.decide([*sure, 50.0, 50.0])  # a crossed look is final
    assert (one.answer, one.look) == ("accept", 4)
    assert one.high < 0
    assert RULE.decide([-x for x in sure]).answer == "reject"
    assert Rule(direction="higher").decide([-x for x in sure]).answer == "accept"
    one = RULE.decide(np.random.default_rng(0).normal(size=6))
    assert (one.answer, one.more, one.look) == ("more", 2, 4)
    assert "no difference shown" in RULE.decide(np.random.default_rng(0).normal(size=12)).why


def test_no_scatter_decides_nothing():
    assert RULE.decide([0.0] * 12).answer == "reject"
    assert RULE.decide([-0.1] * 4).answer == "more"
    with pytest.raises(ValueError, match="a run failed"):
        RULE.decide([0.1, np.nan, 0.2, 0.3])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=14))
def test_the_interval_excludes_zero_exactly_where_a_look_decided(d):
    found = RULE.decide(d)
    if found.look and "scatter" not in found.why:
        decided = found.answer == "accept" or (found.answer == "reject" and "worse" in found.why)
        assert decided == (not found.low <= 0 <= found.high)


def test_what_can_be_seen_is_said_before():
    said = RULE.announce(0.05, "bit/byte", "8 earlier pairs")
    assert "0.0651 bit/byte 80% of the time" in said
    assert "8 earlier pairs" in said
    assert RULE.needed(RULE.smallest_effect(1), 1) <= 13
    with pytest.raises(BadRule):
        Rule(looks=(8, 4))
    with pytest.raises(BadRule):
        Rule(direction="neither")
