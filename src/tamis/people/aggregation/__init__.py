"""One label out of many: `aggregate(labels, method)`, one contract for all methods.

    from tamis.people.aggregation import aggregate
    from tamis.people.labels import Labels
    result = aggregate(Labels.read("labels.csv"))          # auto: chosen by held-out label likelihood
    result.table(), result.raters(), result.log_likelihood, result.status

Nothing depends on the order of rows or on names. Costs are linear in labels x classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tamis.people.aggregation import heldout
from tamis.people.aggregation.confusion import dawid_skene
from tamis.people.aggregation.counts import Counts, Floats
from tamis.people.aggregation.glad import glad
from tamis.people.aggregation.mace import mace_em, mace_vb
from tamis.people.aggregation.model import crowdlab
from tamis.people.aggregation.result import Accuracy, Aggregated, Fit, Status, finish
from tamis.people.aggregation.simple import majority, one_coin, soft
from tamis.people.labels import Labels, NotLabels

__all__ = ["METHODS", "Accuracy", "Aggregated", "Labels", "NotLabels", "Status", "aggregate"]

_CELLS = 250_000_000  # of the table of posteriors: 2 GB
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)

METHODS: Mapping[str, str] = {
    "auto": "the one that predicts held-out labels best",
    "majority": "the most frequent label; ties stay ties",
    "one-coin": "each rater has one accuracy",
    "dawid-skene": "each rater has a confusion matrix; maximum likelihood",
    "dawid-skene-pooled": "the same, drawn to the matrix of all raters; strength by held-out labels",
    "glad": "raters have an ability, examples a difficulty",
    "mace-em": "raters know or guess; maximum likelihood",
    "mace-vb": "raters know or guess; variational Bayes as the authors run it",
    "crowdlab": "weighs raters against a model's probabilities (needs them)",
    "soft": "the distribution of opinions, smoothed; for tasks where people may differ",
}


def aggregate(
    labels: Labels,
    method: str = "auto",
    *,
    controls: Mapping[str, str] | None = None,
    model: Mapping[str, Mapping[str, float]] | None = None,
    **options: Any,
) -> Aggregated:
    """Labels of many raters to one posterior an example.

    method: a key of `METHODS`; options go to it (`strength` for dawid-skene-pooled, `restarts`, `iterations`, ... for
    mace-*). controls: known answers by example; they stay, and teach who is right. model: {example: {class:
    probability}}, out of sample, for crowdlab.
    Raises ValueError for an unknown method, NotLabels for a control or a model with unknown classes.
    """
    if method not in METHODS:
        raise ValueError(f"there is no method {method}: {', '.join(METHODS)}")
    if method == "crowdlab" and model is None:
        raise NotLabels("crowdlab weighs people against a model: give the model's probabilities")
    if len(labels.examples) * len(labels.classes) > _CELLS:
        raise NotLabels(
            f"{len(labels.classes):,} classes on {len(labels.examples):,} examples are more than a table of posteriors "
            "can hold\n  Are these free texts, or ratings (--method median)?"
        )
    closed = method in ("majority", "soft", "crowdlab")
    counts = Counts.of(labels, controls, canonical=method not in ("majority", "soft"))
    if not closed and not counts.shared.any():
        fit = majority(counts)
        fit.status = Status.NO_OVERLAP
        fit.why = (
            "no example has labels of two raters, nor a known answer: nobody's skill can be told, labels are as given"
        )
        return finish(labels, counts, fit, method)
    if method == "auto":
        return _auto(labels, counts)
    if method == "dawid-skene-pooled" and "strength" not in options:
        candidates = {f"{strength:g}": _rough(partial(dawid_skene, strength=strength)) for strength in STRENGTHS}
        found = heldout.scores(counts, candidates)
        best = max(found, key=lambda name: found[name].nats)
        fit = dawid_skene(counts, strength=float(best), **options)
        fit.notes |= {"held_out_nats": {name: round(score.nats, 6) for name, score in found.items()}}
        return finish(labels, counts, fit, method)
    if method == "crowdlab":
        options["model"] = _probabilities(labels, counts, model or {})
    return finish(labels, counts, _FITS[method](counts, **options), method)


_FITS: Mapping[str, Callable[..., Fit]] = {
    "majority": majority,
    "one-coin": one_coin,
    "dawid-skene": dawid_skene,
    "dawid-skene-pooled": dawid_skene,
    "glad": glad,
    "mace-em": mace_em,
    "mace-vb": mace_vb,
    "crowdlab": crowdlab,
    "soft": soft,
}


def _rough(method: Callable[..., Fit]) -> heldout.Method:
    """A fit that is good enough for a comparison."""
    return partial(method, tolerance=1e-6, iterations=60)


def _auto(labels: Labels, counts: Counts) -> Aggregated:
    """The candidate with the best held-out label likelihood; majority unless that is beaten by a standard error.

    GLAD is no candidate: on the reference sets it never was the most accurate one, and it costs most.
    """
    final: dict[str, tuple[str, Callable[[Counts], Fit]]] = {
        "one-coin": ("one-coin", one_coin),
        "dawid-skene": ("dawid-skene", dawid_skene),
        "mace-em": ("mace-em", mace_em),
        "mace-vb": ("mace-vb", mace_vb),
    }
    rough: dict[str, heldout.Method] = {"majority": majority, "mace-em": partial(mace_em, restarts=5)}
    rough["mace-vb"] = partial(mace_vb, restarts=5)
    rough |= {name: _rough(fit) for name, (_, fit) in final.items() if name not in rough}
    for strength in STRENGTHS:
        fit = partial(dawid_skene, strength=strength)
        final[f"dawid-skene-pooled {strength:g}"] = ("dawid-skene-pooled", fit)
        rough[f"dawid-skene-pooled {strength:g}"] = _rough(fit)
    found = heldout.scores(counts, rough)
    best = max(found, key=lambda name: found[name].nats)
    if best != "majority" and not found[best].beats(found["majority"]):
        best = "majority"
    method, make = final.get(best, ("majority", majority))
    fitted = make(counts)
    fitted.notes |= {
        "chosen_by": "held-out label likelihood, nats a label",
        "held_out_nats": {name: round(score.nats, 6) for name, score in found.items()},
        "temperature": found[best].temperature,
    }
    return finish(labels, counts, fitted, method)


def _probabilities(labels: Labels, counts: Counts, model: Mapping[str, Mapping[str, float]]) -> Floats:
    """(I, K) in the codes of `counts`; an example that the model did not see is open."""
    classes = {name: code for code, name in enumerate(labels.classes)}
    strange = sorted({name for row in model.values() for name in row if name not in classes})
    if strange:
        raise NotLabels(
            f"the model has classes that no rater gave: {', '.join(strange[:5])}\n"
            f"  The labels know {', '.join(labels.classes[:20])}. Are they spelled the same?"
        )
    table = np.full((len(labels.examples), len(classes)), 1 / len(classes))
    for code, example in enumerate(labels.examples):
        row = model.get(example)
        if row:
            table[code] = [row.get(name, 0.0) for name in labels.classes]
    if not np.isfinite(table).all() or (table < 0).any() or (table.sum(axis=1) <= 0).any():
        raise NotLabels("the model's probabilities must be numbers of at least 0, with one above 0 on each example")
    table /= table.sum(axis=1, keepdims=True)
    return table[np.ix_(counts.item_order, counts.class_order)]
