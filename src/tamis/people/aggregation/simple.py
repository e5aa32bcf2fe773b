"""Majority vote, and the one-coin model: the two that need no confusion matrix."""

from __future__ import annotations

import numpy as np

from tamis.people.aggregation.confusion import TINY
from tamis.people.aggregation.counts import Counts, Floats, sums
from tamis.people.aggregation.result import Fit, Status, skills


def majority(counts: Counts) -> Fit:
    """The most frequent label. The posterior is its share; two equal shares are a tie, which stays one."""
    return Fit(counts.shares(), why="shares of the labels; no model of raters")


def soft(counts: Counts, *, smoothing: float = 0.5) -> Fit:
    """(n_k + smoothing) / (n + K smoothing): the distribution of opinions, for tasks where people may differ."""
    size = counts.size[:, None] + counts.classes * smoothing
    return Fit(counts.clamp((counts.votes + smoothing) / size), why=f"shares smoothed by {smoothing:g} a class")


def one_coin(counts: Counts, *, tolerance: float = 1e-9, iterations: int = 2000) -> Fit:
    """Every rater is right with one probability s_w and errs evenly over the other classes. Maximum likelihood by EM
    from the soft majority vote: s_w = mean_i q_i[l_iw], p_k = mean_i q_ik. It fails where raters share a bias."""
    shared, cell = counts.shared, counts.cell
    teaches = shared[counts.item]
    weight = counts.weight * teaches
    size = sums(counts.rater, weight, counts.raters)
    posterior = counts.shares()
    wrong_classes = max(counts.classes - 1, 1)
    trace: list[float] = []
    status = Status.NOT_CONVERGED
    for _ in range(iterations):
        right = sums(counts.rater, weight * posterior.ravel()[cell], counts.raters)
        pooled = right.sum() / size.sum()
        skill = np.divide(right, size, out=np.full(counts.raters, pooled), where=size > 0)
        prior = counts.frequency(posterior)
        hit, miss = np.log(np.maximum(skill, TINY)), np.log(np.maximum((1 - skill) / wrong_classes, TINY))
        base: Floats = sums(counts.item, counts.weight * miss[counts.rater], counts.items)
        bonus: Floats = sums(cell, counts.weight * (hit - miss)[counts.rater], counts.votes.size)
        log_joint: Floats = np.log(np.maximum(prior, TINY)) + base[:, None] + bonus.reshape(counts.votes.shape)
        posterior, evidence = counts.normalise(log_joint)
        trace.append(float(evidence[shared].sum()))
        if len(trace) > 1 and trace[-1] - trace[-2] <= tolerance * abs(trace[-1]):
            status = Status.CONVERGED
            break
    why = f"the last of {len(trace)} steps raised the log-likelihood by {_rise(trace):.2g}"
    found = Fit(posterior, trace[-1], "log-likelihood", trace, status, why, prior=prior)
    _, low, high = skills(right, size)
    found.rater = {"accuracy": skill, "accuracy_low": low, "accuracy_high": high}
    found.confusion = _confusion(counts, skill)
    return found


def _rise(trace: list[float]) -> float:
    return trace[-1] - trace[-2] if len(trace) > 1 else float("nan")


def _confusion(counts: Counts, skill: Floats) -> Floats:
    """(P, K) the matrix that the coin stands for."""
    miss = (1 - skill) / max(counts.classes - 1, 1)
    shares = np.repeat(miss[counts.pair_rater][:, None], counts.classes, axis=1)
    shares[np.arange(len(shares)), counts.pair_label] = skill[counts.pair_rater]
    return shares
