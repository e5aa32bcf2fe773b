"""How a ledger judges: what its design can see, which rules it trains, and the row of each rule.

A two-sided paired t-test a rule, corrected for the number of trained rules by Holm (1979). The interval of a row is the
t-interval at the level at which Holm decided it, so it excludes 0 exactly where a change is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.proof.comparison import Difference, difference, holm
from tamis.proof.left_out import LeftOut, Whole
from tamis.proof.metric import Floats
from tamis.proof.small_runs import Outcome

PLACEBO = 0.1  # share of the sequences that the placebo replaces
LEVEL, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Sees:
    """What the design can see. scatter: standard deviation of the paired differences in bits per byte, and where it
    is from; effect: the smallest difference that is shown `POWER` of the time at the level of Holm's first step;
    slope: how much lower the loss is for e times more tokens; share: of the text, if worth nothing, that makes such a
    difference (1 where none does)."""

    scatter: float
    where: str
    seeds: int
    rules: int
    effect: float
    slope: float | None
    share: float | None

    def __str__(self) -> str:
        said = (
            f"can see   a change of {self.effect:.4f} bits per byte {POWER:.0%} of the time: {self.seeds} pairs by "
            f"seed, {LEVEL:g} over {self.rules} rules (Holm), scatter {self.scatter:.4f} ({self.where})"
        )
        if self.share is not None and self.slope is not None:
            said += (
                f"\n          that is {self.share:.1%} of the text, were it worth nothing: the loss falls by "
                f"{self.slope:.3f} for e times more tokens"
            )
        return said


@dataclass(frozen=True)
class Row:
    """One rule. share: of the corpus without it that is text which it alone removes. change: loss without the rule
    less loss with it, None where it was not trained (`why`); p: of the paired t-test, p_holm: corrected; low, high: the
    t-interval of the change at `level`, at which Holm decided. domains: change by domain of the reference; own: on text
    held out of the corpus, which favours the corpus and decides nothing."""

    rule: str
    where: str
    fails: int
    documents: int
    gone: int
    tokens: int
    share: float
    change: Difference | None
    domains: dict[str, float]
    p: float | None
    p_holm: float | None
    low: float | None
    high: float | None
    level: float | None
    own: float | None
    cpu: float | None
    groups: tuple[str, ...]
    why: str = ""

    @property
    def says(self) -> str:
        if self.change is None or self.p_holm is None:
            return self.why
        if self.p_holm >= LEVEL:
            return f"no change shown; {self.change.could_see:.4f} would be seen 4 times in 5 (this rule alone)"
        return "the rule helps" if self.change.value > 0 else "the rule hurts"


def sees(scatter: float, where: str, seeds: int, rules: int, slope: float | None) -> Sees:
    """What `seeds` pairs show of `rules` rules. Source of the power: the noncentral t distribution."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    edge = float(t.isf(LEVEL / (2 * max(1, rules)), seeds - 1))
    size = float(brentq(lambda e: nct.sf(edge, seeds - 1, e * math.sqrt(seeds)) - POWER, 0.0, 20 * edge))
    effect = scatter * size
    share = None
    if slope is not None:
        # without a share s of useful text the loss is that of (1 - s) x the tokens: slope x -ln(1 - s) higher
        share = 1 - math.exp(-effect / slope) if slope > 0 else 1.0
    return Sees(scatter, where, seeds, rules, effect, slope, share)


def chosen(
    rules: list[LeftOut], shares: dict[str, float], scatter: float, seeds: int, slope: float, least: float | None,
    every: bool,
) -> tuple[Sees, list[LeftOut]]:  # fmt: skip
    """What the design sees, and the rules to train: the most of them of which each removes enough text to be seen
    among so many (more tests see less)."""
    where = f"of the placebo, {PLACEBO:.0%} replaced by other text of the corpus"
    order = sorted(rules, key=lambda rule: -shares[rule.rule])
    for many in range(len(order), 0, -1):
        found = sees(scatter, where, seeds, many, slope)
        wanted = least if least is not None else found.share
        if every or (wanted is not None and shares[order[many - 1].rule] >= wanted):
            names = {rule.rule for rule in order[:many]}
            return found, [rule for rule in rules if rule.rule in names]
    return sees(scatter, where, seeds, 1, slope), []


def rows(
    whole: Whole, asked: list[LeftOut], trained: list[LeftOut], arms: list[list[Outcome]], full: Floats,
    full_found: list[Outcome], shares: dict[str, float], costs: dict[str, float], least: float | None,
) -> list[Row]:  # fmt: skip
    """asked: rules that could be trained; arms: of each trained rule the outcomes by seed; full, full_found: of the
    whole recipe. Trained rules come first, by change."""
    changes = [difference("bits per byte", full, bits(arm, "reference"), "bit/byte", "lower") for arm in arms]
    raw = [paired_t(one.differences) for one in changes]
    corrected, levels = holm(raw) if raw else [], holm_levels(raw)
    by_rule = {rule.rule: at for at, rule in enumerate(trained)}
    measured: list[Row] = []
    others: list[Row] = []
    for rule in whole.rules:
        base = (
            rule.rule, rule.where, rule.fails, len(rule.back), len(rule.gone), rule.bytes_back + len(rule.back),
            shares.get(rule.rule, 0.0),
        )  # fmt: skip
        cpu, at = _cost(rule, costs), by_rule.get(rule.rule)
        if at is None:
            why = _why(rule, asked, shares, least)
            others.append(Row(*base, None, {}, None, None, None, None, None, None, cpu, rule.groups, why))
            continue
        low, high = t_interval(changes[at].differences, levels[at])
        own = None
        if all("own" in one.bits for one in (*full_found, *arms[at])):
            own = float(np.mean(bits(arms[at], "own") - bits(full_found, "own")))
        measured.append(
            Row(*base, changes[at], _domains(full_found, arms[at]), raw[at], corrected[at], low, high, levels[at], own,
                cpu, rule.groups)
        )  # fmt: skip
    measured.sort(key=lambda row: -(row.change.value if row.change else 0.0))
    others.sort(key=lambda row: -row.tokens)
    return measured + others


def holm_levels(p: Sequence[float]) -> list[float]:
    """The level at which Holm decides each: LEVEL over the hypotheses left at its step, and for those that are not
    rejected that of the step at which it stopped. p < its level exactly where the corrected p is below LEVEL."""
    order = sorted(range(len(p)), key=lambda at: p[at])
    found = [0.0] * len(p)
    left = len(p)
    for at in order:
        found[at] = LEVEL / left
        if p[at] < found[at]:
            left -= 1
    return found


def t_interval(differences: Floats, level: float) -> tuple[float, float]:
    """Of the mean, two-sided, wrong `level` of the time."""
    from scipy.stats import t

    half = float(t.isf(level / 2, len(differences) - 1)) * float(np.std(differences, ddof=1)) / len(differences) ** 0.5
    return float(np.mean(differences)) - half, float(np.mean(differences)) + half


def _cost(rule: LeftOut, costs: dict[str, float]) -> float | None:
    known = bool(rule.groups) and all(group in costs for group in rule.groups)
    return sum(costs[group] for group in rule.groups) if known else None


def _why(rule: LeftOut, asked: list[LeftOut], shares: dict[str, float], least: float | None) -> str:
    if not len(rule.back):
        return "nothing comes back: other rules drop the same documents"
    if rule not in asked:
        return "not asked for"
    if shares[rule.rule] >= (least or 0):
        return "too little text comes back to train on, without what is set aside"
    return f"too little to measure: {shares[rule.rule]:.2%} of the text, {least or 0:.2%} is needed"


def _domains(full: list[Outcome], arm: list[Outcome]) -> dict[str, float]:
    """Mean change by domain of the reference."""
    names = full[0].domains.get("reference", {})
    return {
        name: float(np.mean([b.domains["reference"][name] - a.domains["reference"][name]
                             for a, b in zip(full, arm, strict=True)]))
        for name in names
    }  # fmt: skip


def paired_t(differences: Floats) -> float:
    """Two-sided p of a paired t-test; 1 where nothing scatters."""
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue) if float(np.std(differences)) > 0 else 1.0


def bits(found: Sequence[Outcome], text: str) -> Floats:
    """Bits per byte of one held-out text, in the order of the outcomes."""
    return np.array([one.bits[text] for one in found])
