"""What a difference is worth in tokens, where the first arm was trained for other lengths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tamis.proof.worth import here

TOKENS = 1_000_000


def losses(share, noise=0.0, seed=0):
    rng = np.random.default_rng([seed, int(100 * share)])
    return {s: 2 + (share * TOKENS) ** -0.3 * 40 + noise * rng.normal() for s in (1, 2)}


def asked(factor, noise=0.0, seed=0, pairs=4):
    """What is said where B is as good as A with `factor` times the tokens."""
    rng = np.random.default_rng([seed, 7])
    gain = losses(1.0)[1] - losses(factor)[1]
    others = {x: losses(x, noise, seed) for x in (0.25, 0.5, 2.0)}
    return here(losses(1.0, noise, seed), others, -gain + 1.4 * noise * rng.normal(size=pairs), TOKENS)


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.8, 1.0, 1.3, 1.9])
def test_the_factor_is_found(factor):
    found = asked(factor)
    assert found.factor == pytest.approx(factor, rel=0.01)
    assert f"{found.factor:.3g}x its tokens" in str(found)


def test_what_lies_outside_is_said():
    far, near = asked(3.0, 1e-3), asked(0.1, 1e-3)
    assert math.isinf(far.factor)
    assert "A needs more than 2x its tokens" in str(far)
    assert near.factor == 0
    assert "A needs less than a quarter of its tokens" in str(near)


def test_intervals_cover():
    hits = 0
    for seed in range(60):
        found = asked(1.2, 0.004, seed)
        hits += found.low <= 1.2 <= found.high
    assert hits >= 53


def test_more_tokens_that_seem_to_harm_are_no_way_back():
    """By noise A at half its tokens is better than at all of them: no difference is still worth 1x."""
    found = here(
        {1: 3.0, 2: 3.0}, {0.25: {1: 3.4, 2: 3.4}, 0.5: {1: 2.9, 2: 2.9}, 2.0: {1: 2.8, 2: 2.8}}, [0, 0], TOKENS
    )
    assert found.factor == pytest.approx(1.0)


def test_one_seed_has_no_scatter():
    with pytest.raises(ValueError, match="fewer than 2 seeds"):
        here({1: 3.0}, {0.5: {1: 3.1}}, [0.1, 0.2], TOKENS)
