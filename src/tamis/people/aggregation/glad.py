"""GLAD (Whitehill, Ruvolo, Wu, Bergsma, Movellan 2009): raters have an ability, items a difficulty.

    P(rater w is right on item i) = sigmoid(ability_w * exp(ease_i)),   errors spread evenly over the other classes

Maximised directly: the log-marginal over true classes (uniform a priori) plus normal priors N(1, 1) on ability and
ease, by L-BFGS on its exact gradient, which is the E step's: d/dx = posterior of the label given - sigmoid(x),
x = ability * exp(ease). Accepted steps never lower the objective. Memory: the labels, and ten rows of W + I numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from tamis.people.aggregation.counts import Counts, Floats, sums
from tamis.people.aggregation.result import Fit, Status


def glad(counts: Counts, *, tolerance: float = 1e-8, iterations: int = 500) -> Fit:
    """Posterior mode of abilities and eases; `rater["ability"]`. Above 0 better than chance, below 0 worse."""
    shared = counts.shared
    teaches = counts.weight * shared[counts.item]
    wrong_classes = max(counts.classes - 1, 1)

    def expect(ability: Floats, ease: Floats) -> tuple[Floats, Floats, Floats]:
        x = ability[counts.rater] * np.exp(ease)[counts.item]  # (M,)
        log_miss = -np.logaddexp(0, x) - np.log(wrong_classes)
        bonus = np.bincount(counts.cell, counts.weight * (x + np.log(wrong_classes)), counts.votes.size)
        rest = sums(counts.item, counts.weight * log_miss, counts.items)
        log_joint = bonus.reshape(counts.votes.shape) + (rest - np.log(counts.classes))[:, None]
        return (*counts.normalise(log_joint), x)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        ability, ease = parameters[: counts.raters], parameters[counts.raters :]
        posterior, evidence, x = expect(ability, ease)
        value = evidence[shared].sum() - 0.5 * ((parameters - 1) ** 2).sum()
        slope = teaches * (posterior.ravel()[counts.cell] - expit(x))
        scale = np.exp(ease)[counts.item]
        gradient = np.concatenate(
            [
                sums(counts.rater, slope * scale, counts.raters),
                sums(counts.item, slope * x, counts.items),
            ]
        )
        return -float(value), -(gradient - (parameters - 1))

    start = np.ones(counts.raters + counts.items)
    trace = [-loss(start)[0]]

    def note(intermediate_result: Any) -> None:
        trace.append(-float(intermediate_result.fun))

    options: Any = {"maxiter": iterations, "ftol": tolerance, "gtol": 1e-6 * max(1.0, float(teaches.sum()) ** 0.5)}
    objective: Any = loss
    found = minimize(objective, start, jac=True, method="L-BFGS-B", callback=note, options=options)
    ability, ease = found.x[: counts.raters], found.x[counts.raters :]
    posterior, evidence, _ = expect(ability, ease)
    fit = Fit(posterior, float(evidence[shared].sum()), "penalised log-likelihood", trace)
    fit.status = Status.CONVERGED if found.success else Status.NOT_CONVERGED
    fit.why = f"{found.nit} steps of L-BFGS: {found.message}"
    scale = np.exp(ease)[counts.item]
    right = expit(ability[counts.rater] * scale)
    known = (
        sums(counts.rater, teaches * right * (1 - right) * scale**2, counts.raters) + 1
    )  # information, and the prior's
    width = 1.959963984540054 / np.sqrt(known)
    fit.rater = {"ability": ability, "ability_low": ability - width, "ability_high": ability + width}
    return fit
