"""Wald's sequential probability ratio test of a rater on gold questions.

Instead of "three strikes": decide as soon as the answers say enough, and not before, with both error rates chosen
beforehand. A rater with accuracy `good` is blocked at most `false_block` of the time, however many questions are asked;
one with accuracy `bad` passes at most `false_pass` of the time. Between the two accuracies either may happen.
Source: Wald, Sequential Tests of Statistical Hypotheses (1945).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tamis.errors import WrongUse

Decision = Literal["block", "pass", "continue"]


class BadTest(ValueError, WrongUse):
    """Settings that make no test."""


@dataclass(frozen=True)
class Sprt:
    """The test. All four lie strictly between 0 and 1, bad below good.

    Wald's bounds with `block` at log(1 / false_block) and `pass` at log(false_pass): the stated rates then hold exactly
    as upper bounds, by Ville's inequality, also for raters better than `good` or worse than `bad`.

    >>> test = Sprt(good=0.85, bad=0.6, false_block=0.01, false_pass=0.05)
    >>> test.judge(right=9, wrong=2), test.judge(right=9, wrong=0), test.judge(right=1, wrong=6)
    ('continue', 'pass', 'block')
    """

    good: float = 0.85
    bad: float = 0.6
    false_block: float = 0.01
    false_pass: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.bad < self.good < 1:
            raise BadTest(f"a rater's accuracies lie as 0 < bad < good < 1, not {self.bad:g} and {self.good:g}")
        if not (0 < self.false_block < 1 and 0 < self.false_pass < 1 and self.false_block + self.false_pass < 1):
            raise BadTest("false_block and false_pass lie above 0 and below 1 together")

    def evidence(self, right: int, wrong: int) -> float:
        """Log-likelihood ratio of `bad` against `good`, in nats: above 0 the answers speak for blocking."""
        if right < 0 or wrong < 0:
            raise BadTest(f"numbers of answers are not negative: {right} right, {wrong} wrong")
        return right * math.log(self.bad / self.good) + wrong * math.log((1 - self.bad) / (1 - self.good))

    def judge(self, right: int, wrong: int) -> Decision:
        """What so many right and wrong answers say. Ask after every answer, and stop at the first decision: the rates
        hold for that, and a later answer does not undo it."""
        found = self.evidence(right, wrong)
        if found >= -math.log(self.false_block):
            return "block"
        if found <= math.log(self.false_pass):
            return "pass"
        return "continue"

    def questions(self, accuracy: float) -> float:
        """About how many gold questions a rater of this accuracy answers until a decision (Wald's approximation)."""
        step = accuracy * math.log(self.bad / self.good) + (1 - accuracy) * math.log((1 - self.bad) / (1 - self.good))
        up, down = -math.log(self.false_block), math.log(self.false_pass)
        if abs(step) < 1e-9:
            size = accuracy * math.log(self.bad / self.good) ** 2
            size += (1 - accuracy) * math.log((1 - self.bad) / (1 - self.good)) ** 2
            return -up * down / size
        power = _root(self, accuracy)
        if power * up > 500 or power * down < -500:  # one side is never reached
            return (up if step > 0 else down) / step
        block = (1 - math.exp(power * down)) / (math.exp(power * up) - math.exp(power * down))
        return (block * up + (1 - block) * down) / step


def _root(test: Sprt, accuracy: float) -> float:
    """The h other than 0 with E[exp(h z)] = 1, z the evidence of one answer."""
    right, wrong = math.log(test.bad / test.good), math.log((1 - test.bad) / (1 - test.good))

    def excess(power: float) -> float:
        return accuracy * math.exp(power * right) + (1 - accuracy) * math.exp(power * wrong) - 1

    drift = accuracy * right + (1 - accuracy) * wrong
    near, far = (-1e-6, -1.0) if drift > 0 else (1e-6, 1.0)
    while excess(far) < 0 and abs(far) < 256:
        far *= 2
    for _ in range(80):
        middle = (near + far) / 2
        near, far = (middle, far) if excess(middle) < 0 else (near, middle)
    return (near + far) / 2
