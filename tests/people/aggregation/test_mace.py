"""MACE against its equations in plain loops, and its control items."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma

from tamis.people.aggregation import aggregate
from tamis.people.labels import Labels


def by_the_book(labels: Labels, steps: int, bayes: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """From the even start (no noise): posterior, know, log-marginal."""
    items, raters, classes = len(labels.examples), len(labels.raters), len(labels.classes)
    triples = list(zip(labels.example, labels.rater, labels.label, strict=True))
    know, guess = np.full(raters, 0.5), np.full(raters, 0.5)
    strategy = np.full((raters, classes), 1 / classes)

    def expect() -> tuple[np.ndarray, float]:
        joint = np.full((items, classes), 1 / classes)
        for i, w, label in triples:
            for k in range(classes):
                joint[i, k] *= guess[w] * strategy[w, label] + know[w] * (k == label)
        return joint / joint.sum(axis=1, keepdims=True), float(np.log(joint.sum(axis=1)).sum())

    q, value = expect()
    for _ in range(steps):
        knew, guessed = np.zeros(raters), np.zeros((raters, classes))
        for i, w, label in triples:
            share = q[i, label] * know[w] / (guess[w] * strategy[w, label] + know[w])
            knew[w] += share
            guessed[w, label] += 1 - share
        for w in range(raters):
            if bayes:
                both = digamma(knew[w] + guessed[w].sum() + 1)
                know[w] = np.exp(digamma(knew[w] + 0.5) - both)
                guess[w] = np.exp(digamma(guessed[w].sum() + 0.5) - both)
                strategy[w] = np.exp(digamma(guessed[w] + 10) - digamma(guessed[w].sum() + 10 * classes))
            else:
                delta = 0.01 / classes
                total = knew[w] + guessed[w].sum() + 2 * delta
                know[w], guess[w] = (knew[w] + delta) / total, (guessed[w].sum() + delta) / total
                strategy[w] = (guessed[w] + delta) / (guessed[w].sum() + 0.01)
        q, value = expect()
    return q, know / (know + guess), value


@pytest.mark.parametrize("method", ["mace-em", "mace-vb"])
def test_equals_the_equations(method):
    random = np.random.default_rng(3)
    rows = [(item, rater, random.integers(0, 3)) for item in range(12) for rater in range(4) if random.random() < 0.9]
    labels = Labels.of(*zip(*rows, strict=True))
    found = aggregate(labels, method, restarts=1, noise=0.0, iterations=7)
    posterior, know, value = by_the_book(labels, 7, method == "mace-vb")
    assert found.posterior == pytest.approx(posterior, abs=1e-9)
    assert found.rater["competence"] == pytest.approx(know, abs=1e-9)
    assert found.log_likelihood == pytest.approx(value, abs=1e-8)


def test_starts_differ_and_the_best_stays(crowd):
    labels, _ = crowd("example")
    best = [aggregate(labels, "mace-em", restarts=number, iterations=20).log_likelihood for number in (1, 3, 10)]
    assert best[0] < best[1] <= best[2]


def test_controls_are_clamped_and_wrong_answers_on_them_are_guesses(data_dir):
    """The authors' small example of parts of speech, whose first item is a control."""
    rows = [line.split(",") for line in (data_dir / "crowd/mace/pos.csv").read_text().splitlines()]
    triples = [(i, w, label) for i, row in enumerate(rows) for w, label in enumerate(row) if label]
    labels = Labels.of(*zip(*triples, strict=True))
    found = aggregate(labels, "mace-em", controls={"0": "PRON"})
    assert found.labels.classes[found.label[0]] == "PRON"
    assert found.posterior[0].max() == 1
    competence = dict(zip(found.labels.raters, found.rater["competence"], strict=True))
    assert competence["4"] > competence["0"]


def test_many_items_are_worked_on_start_by_start(crowd, monkeypatch):
    labels, _ = crowd("wsd")
    together = aggregate(labels, "mace-vb")
    monkeypatch.setattr("tamis.people.aggregation.mace._CELLS", 600)
    apart = aggregate(labels, "mace-vb")
    assert apart.log_likelihood == pytest.approx(together.log_likelihood, abs=1e-9)
    assert apart.posterior == pytest.approx(together.posterior, abs=1e-9)
