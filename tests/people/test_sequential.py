from __future__ import annotations

import doctest

import numpy as np
import pytest

from tamis.people import sequential
from tamis.people.sequential import BadTest, Sprt


def outcomes(test: Sprt, accuracy: float, raters: int, most: int = 400, seed: int = 3) -> dict[str, float]:
    """Shares of decisions, and the mean number of questions; each rater is judged after every answer."""
    rng = np.random.default_rng(seed)
    right = (rng.random((raters, most)) < accuracy).cumsum(1)
    wrong = np.arange(1, most + 1) - right
    evidence = right * test.evidence(1, 0) + wrong * test.evidence(0, 1)
    block = evidence >= -np.log(test.false_block)
    passed = evidence <= np.log(test.false_pass)
    first = np.where((block | passed).any(1), (block | passed).argmax(1), most - 1)
    rows = np.arange(raters)
    return {"block": block[rows, first].mean(), "pass": passed[rows, first].mean(), "questions": first.mean() + 1}


def test_the_docstrings_say_what_is_true() -> None:
    assert doctest.testmod(sequential).failed == 0


@pytest.mark.parametrize(("false_block", "false_pass"), [(0.01, 0.05), (0.05, 0.05), (0.001, 0.2)])
def test_the_stated_rates_hold(false_block: float, false_pass: float) -> None:
    test = Sprt(0.85, 0.6, false_block, false_pass)
    good, better, bad = (outcomes(test, accuracy, 20_000) for accuracy in (0.85, 0.92, 0.6))
    noise = 3 * (false_block / 20_000) ** 0.5
    assert good["block"] <= false_block + noise
    assert good["block"] >= false_block / 5  # and it is not held by never blocking
    assert better["block"] <= good["block"] + noise
    assert bad["pass"] <= false_pass + 3 * (false_pass / 20_000) ** 0.5
    assert bad["block"] >= 1 - false_pass - 0.01


def test_three_strikes_would_not_hold_it() -> None:
    """What the test is instead of: in 40 questions, nearly every good rater makes three mistakes."""
    rng = np.random.default_rng(1)
    assert ((rng.random((2000, 40)) > 0.85).sum(1) >= 3).mean() > 0.9


@pytest.mark.parametrize("accuracy", [0.5, 0.6, 0.75, 0.85, 0.95])
def test_the_number_of_questions_is_about_right(accuracy: float) -> None:
    test = Sprt()
    assert test.questions(accuracy) == pytest.approx(outcomes(test, accuracy, 4000)["questions"], rel=0.2, abs=3)


def test_judging_counts_only() -> None:
    test = Sprt()
    assert test.judge(0, 0) == "continue"
    assert test.judge(0, 5) == "block"
    assert test.judge(50, 0) == "pass"
    assert test.evidence(3, 1) == pytest.approx(3 * test.evidence(1, 0) + test.evidence(0, 1))


@pytest.mark.parametrize(
    "wrong", [{"good": 0.5}, {"bad": 0.0}, {"false_block": 0}, {"false_block": 0.6, "false_pass": 0.5}]
)
def test_settings_that_make_no_test(wrong: dict[str, float]) -> None:
    with pytest.raises(BadTest):
        Sprt(**wrong)
    with pytest.raises(BadTest):
        Sprt().judge(-1, 0)
