"""A model's probabilities beside people's labels: CROWDLAB (Goh, Tkachenko, Mueller 2022).

    p_i  ~  weight_model p_model(i)  +  sum_w weight_w ( P if k = l_iw else (1 - P) / (K - 1) )

P is the share of labels that agree with their example's consensus; weights are 1 - error / A, with A the error of
always naming the most frequent class. The model's weight is multiplied by the root of the mean number of labels. All
are measured on examples with two labels or more, and are at least 1e-6.

A model that gives names and no probabilities is one more rater: `Labels.and_rater`.
"""

from __future__ import annotations

import numpy as np

from tamis.people.aggregation.counts import Counts, Floats, sums
from tamis.people.aggregation.result import Fit, Status
from tamis.people.labels import NotLabels

_LEAST = 1e-6


def crowdlab(counts: Counts, model: Floats) -> Fit:
    """model (I, K): the model's probabilities, out of sample, in the codes of `counts`. Raises NotLabels where no
    example has two labels: nothing can be weighed then."""
    several = counts.shared & (counts.size > 0)
    if not several.any():
        raise NotLabels("no example has labels of two raters: neither raters nor the model can be weighed")
    votes = counts.votes + 1e-6 * model  # the model breaks ties of the vote
    consensus = votes.argmax(axis=1)
    consensus = np.where(counts.known >= 0, counts.known, consensus)
    share = counts.votes[np.arange(counts.items), consensus][several] / counts.size[several]
    agreed = float(np.clip(share.mean(), _LEAST, 1 - _LEAST))
    usual = np.bincount(consensus[several], minlength=counts.classes).max() / several.sum()
    chance = max(1 - float(usual), _LEAST)
    model_error = float((model[several].argmax(axis=1) != consensus[several]).mean())
    mean_labels = float(counts.size[several].mean())
    model_weight = max(1 - model_error / chance, _LEAST) * mean_labels**0.5
    agrees = _with_others(counts)
    weight = np.maximum(1 - (1 - agrees) / chance, _LEAST)
    other = (1 - agreed) / max(counts.classes - 1, 1)
    given = counts.weight * weight[counts.rater]
    total = sums(counts.item, given, counts.items)
    bonus = sums(counts.cell, given * (agreed - other), counts.votes.size).reshape(counts.votes.shape)
    posterior = model_weight * model + bonus + (total * other)[:, None]
    posterior /= posterior.sum(axis=1, keepdims=True)
    why = (
        f"the model weighs {model_weight:.3g}, a rater on average {weight.mean():.3g}; labels agree with the consensus "
    )
    why += f"on {agreed:.3f} of shared examples"
    fit = Fit(counts.clamp(posterior), status=Status.CLOSED_FORM, why=why, rater={"weight": weight})
    fit.notes = {"model_weight": model_weight}
    return fit


def _with_others(counts: Counts) -> Floats:
    """(W,) share of the other raters' labels on the same examples that are the same; who is alone gets the mean."""
    others = counts.size[counts.item] - counts.weight
    same = counts.votes.ravel()[counts.cell] - counts.weight
    agrees = sums(counts.rater, counts.weight * same, counts.raters)
    met = sums(counts.rater, counts.weight * others, counts.raters)
    mean = agrees.sum() / max(met.sum(), 1)
    share: Floats = np.divide(agrees, met, out=np.full(counts.raters, mean), where=met > 0)
    return share
