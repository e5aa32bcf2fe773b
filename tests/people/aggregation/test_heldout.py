"""The choice by held-out labels: folds, and that it finds the model that made the labels."""

from __future__ import annotations

import numpy as np

from tamis.people.aggregation import aggregate, heldout
from tamis.people.aggregation.counts import Counts
from tamis.people.aggregation.simple import majority
from tamis.people.labels import Labels


def test_folds_share_out_the_raters_of_an_item(crowd):
    counts = Counts.of(crowd("rte")[0])
    fold = heldout._folds(counts)
    for item in range(10):
        assert np.bincount(fold[counts.item == item]).tolist() == [2, 2, 2, 2, 2]


def test_repeats_of_a_rater_leave_together(anaesthetists):
    counts = Counts.of(anaesthetists)
    fold = heldout._folds(counts)
    visits = {}
    for item, rater, number in zip(counts.item, counts.rater, fold, strict=True):
        assert visits.setdefault((item, rater), number) == number


def test_raters_with_one_bias_are_found_out():
    """All call many zeros one, and hardly a one zero: symmetric models cannot see it, the others can."""
    random = np.random.default_rng(5)
    rows, truth = [], {}
    for item in range(300):
        answer = item % 2
        for rater in range(8):
            wrong = random.random() < ((0.45, 0.02), (0.3, 0.1))[rater % 2][answer]
            rows.append((item, rater, answer ^ wrong))
        truth[str(item)] = str(answer)
    labels = Labels.of(*zip(*rows, strict=True))
    found = aggregate(labels)
    assert found.method not in ("majority", "one-coin")
    assert found.notes["held_out_nats"]["majority"] < max(found.notes["held_out_nats"].values())
    majority = aggregate(labels, "majority").expected_accuracy(truth)
    assert found.expected_accuracy(truth).value > majority.value + 0.03


def test_a_model_must_beat_majority_by_a_standard_error():
    def score(*by_item: float) -> heldout.Score:
        return heldout.Score(sum(by_item), 1.0, np.array(by_item))

    assert score(-1, -1, -1, -1).beats(score(-2, -2, -2, -1))
    assert not score(-1, -3, -1, -1).beats(score(-2, -1, -1.5, -2))
    assert not score(-1).beats(score(-2))


def test_two_labels_are_too_few_for_a_model():
    assert aggregate(Labels.of("aa", "xy", "01")).method == "majority"


def test_large_tables_are_sampled_by_item(crowd, monkeypatch):
    counts = Counts.of(crowd("rte")[0])
    monkeypatch.setattr(heldout, "SAMPLE", 1000)
    some = heldout._sample(counts)
    assert some.weight.sum() == 1000
    assert set(np.bincount(some.item)) == {10}
    assert some.items == 100
    assert heldout.scores(counts, {"majority": majority})["majority"].nats < 0
