"""Dawid-Skene against the formula written out, label by label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.people.aggregation import aggregate
from tamis.people.labels import Labels


def by_the_book(labels: Labels, steps: int) -> np.ndarray:
    """The paper's EM in plain loops over labels, without logs; all items have two raters or more."""
    items, raters, classes = len(labels.examples), len(labels.raters), len(labels.classes)
    triples = list(zip(labels.example, labels.rater, labels.label, strict=True))
    q = np.zeros((items, classes))
    for i, _, label in triples:
        q[i, label] += 1
    q /= q.sum(axis=1, keepdims=True)
    for _ in range(steps):
        p = q.mean(axis=0)
        e = np.zeros((raters, classes, classes))
        for i, w, label in triples:
            e[w, :, label] += q[i]
        pool = e.sum(axis=0)
        for w in range(raters):
            for k in range(classes):
                mass = e[w, k].sum()
                e[w, k] = e[w, k] / mass if mass > 0 else pool[k] / pool[k].sum()
        q = np.tile(p, (items, 1))
        for i, w, label in triples:
            q[i] *= e[w, :, label]
        q /= q.sum(axis=1, keepdims=True)
    return q


@settings(max_examples=25)
@given(data=st.data())
def test_equals_the_formula(data):
    raters = data.draw(st.integers(2, 4))
    rows = [
        (item, rater, data.draw(st.integers(0, 2)))
        for item in range(data.draw(st.integers(1, 6)))
        for rater in range(raters)
        for _ in range(2 if rater == 0 else 1)  # the first labels twice
    ]
    labels = Labels.of(*zip(*rows, strict=True))
    steps = data.draw(st.integers(1, 5))
    found = aggregate(labels, "dawid-skene", iterations=steps, tolerance=-1.0)
    assert found.posterior == pytest.approx(by_the_book(labels, steps), abs=1e-8)


def test_repeated_labels_multiply(anaesthetists):
    once = anaesthetists.where(np.unique(anaesthetists.example * 10 + anaesthetists.rater, return_index=True)[1])
    assert len(once) == 225 < len(anaesthetists) == 315
    one, three = (aggregate(labels, "dawid-skene") for labels in (once, anaesthetists))
    assert three.log_likelihood < one.log_likelihood - 20


def test_a_class_that_a_rater_never_met_takes_the_pooled_row():
    rows = [(item, rater, item % 3) for item in range(9) for rater in range(3)]
    rows += [(item, "new", item % 3) for item in (0, 1)]  # never sees class 2
    found = aggregate(Labels.of(*zip(*rows, strict=True)), "dawid-skene")
    new = next(row for row in found.raters() if row["rater"] == "new")
    assert new["confusion"]["2"] == {"0": 0.0, "1": 0.0}  # the pool says 2 there, which the rater never said


def test_a_strong_prior_is_the_pool(crowd):
    labels, _ = crowd("rte")
    found = aggregate(labels, "dawid-skene-pooled", strength=1e9)
    shares = np.array([row["confusion"]["1"].get("1", np.nan) for row in found.raters()])
    assert np.nanmax(shares) - np.nanmin(shares) < 1e-4
    assert found.notes["strength"] == 1e9


def test_the_strength_is_chosen_by_held_out_labels(crowd):
    found = aggregate(crowd("bluebird")[0], "dawid-skene-pooled")
    nats = found.notes["held_out_nats"]
    assert nats[f"{found.notes['strength']:g}"] == max(nats.values())
