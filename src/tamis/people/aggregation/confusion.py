"""Dawid and Skene (1979): every rater has a confusion matrix. Plain maximum likelihood, and shrunk to the pool.

    q_ik  ~  p_k  prod_w e_w[k, l_iw]            posterior of class k for item i
    p_k   =  mean_i q_ik                         how frequent a class is
    e_w[k, l]  ~  sum_i q_ik 1[l_iw = l]         how often rater w says l where k is true      (+ strength * pool[k, l])

Repeated labels by one rater on one item multiply, as the first anaesthetist's in the paper. Work in log space; each
iteration costs labels x classes.
"""

from __future__ import annotations

import numpy as np

from tamis.people.aggregation.counts import Counts, Floats
from tamis.people.aggregation.result import Fit, Status

TINY = 1e-300  # log of a share that is 0: -690, so that one impossible label decides and two can still be compared


def dawid_skene(
    counts: Counts,
    *,
    strength: float = 0.0,
    tolerance: float = 1e-9,
    iterations: int = 2000,
    start: Floats | None = None,
) -> Fit:
    """EM from the soft majority vote until the objective rises by less than `tolerance` of itself.

    strength 0: maximum likelihood, as in the paper. Above 0: a prior of that many labels per class on every rater,
    spread like the pooled confusion of all raters; the pool is re-estimated each step until it stands, then held, and
    from then on the objective is the penalised log-likelihood.
    Only items that two raters have seen (or whose answer is known) teach; the others are decoded at the end.
    A class that a rater never met takes the pooled row.
    """
    shared = counts.shared
    posterior = counts.shares() if start is None else start
    pool, held = _pool(counts, counts.teaching @ posterior), strength == 0
    trace: list[float] = []
    status = Status.NOT_CONVERGED
    for iteration in range(iterations):
        mass = counts.teaching @ posterior  # (P, K)
        fresh = pool if held and strength else _pool(counts, mass)
        if strength and not held:
            held = bool(np.abs(fresh - pool).max() < 1e-4) or iteration >= 99
        pool = fresh
        shares = confusion(counts, mass, pool, strength)
        prior = counts.frequency(posterior)
        posterior, evidence = counts.normalise(np.log(np.maximum(prior, TINY)) + counts.by_item @ _log(shares))
        likelihood = float(evidence[shared].sum())
        if not held:
            continue
        trace.append(likelihood + (strength * float((pool[counts.pair_label] * _log(shares)).sum()) if strength else 0))
        if strength:
            trace[-1] += strength * _unseen(counts, mass, pool, strength)
        if len(trace) > 1 and trace[-1] - trace[-2] <= tolerance * abs(trace[-1]):
            status = Status.CONVERGED
            break
    unseen = np.flatnonzero(mass.sum(axis=1) == 0)  # pairs that occur only where a rater is alone
    if len(unseen):
        shares[unseen] = pool[counts.pair_label[unseen]]
        posterior, _ = counts.normalise(np.log(np.maximum(prior, TINY)) + counts.by_item @ _log(shares))
    rise = trace[-1] - trace[-2] if len(trace) > 1 else float("nan")
    return Fit(
        posterior,
        likelihood,
        "penalised log-likelihood" if strength else "log-likelihood",
        trace,
        status,
        f"the last of {len(trace)} steps raised the objective by {rise:.2g}",
        confusion=shares,
        prior=prior,
        notes={"strength": strength} if strength else {},
    )


def confusion(counts: Counts, mass: Floats, pool: Floats, strength: float) -> Floats:
    """(P, K) share of a pair's label among what its rater says of class k. mass: (P, K) expected counts; pool (K, K)
    [label, class]. Without any mass the row is the pooled one, not a uniform one."""
    total = (counts.of_rater @ mass)[counts.pair_rater] + strength  # (P, K)
    pooled = pool[counts.pair_label]
    shares: Floats = np.divide(mass + strength * pooled, total, out=pooled.copy(), where=total > 0)
    return shares


def _pool(counts: Counts, mass: Floats) -> Floats:
    """(K, K) [label, class]: the confusion of all raters together; uniform for a class that nobody met."""
    pooled: Floats = counts.of_label @ mass
    total = pooled.sum(axis=0)
    shares: Floats = np.divide(pooled, total, out=np.full(pooled.shape, 1 / counts.classes), where=total > 0)
    return shares


def _log(shares: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(shares, TINY))
    return logs


def _unseen(counts: Counts, mass: Floats, pool: Floats, strength: float) -> float:
    """Sum over labels that a rater never gave of pool * log share: the part of the penalty outside the pairs."""
    total = counts.of_rater @ mass + strength  # (W, K)
    used = np.zeros((counts.raters, counts.classes), bool)
    used[counts.pair_rater, counts.pair_label] = True
    logs = np.log(strength / total)  # (W, K) [rater, class]; share = strength * pool / total
    pooled = np.where(pool > 0, pool, 1)
    left = (~used).astype(float) @ pool  # (W, K) sum over labels not given of pool[l, k]
    entropies = (~used).astype(float) @ (pool * np.log(pooled))
    return float((left * logs + entropies).sum())
