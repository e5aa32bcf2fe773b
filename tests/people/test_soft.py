"""Opinions: slips, deconvolution, cross-entropy on real disagreement, and ratings."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.people.aggregation import aggregate
from tamis.people.labels import Labels, NotLabels
from tamis.people.soft import NotIdentified, cross_entropy, deconvolve, expected_accuracy, flip_rate, ratings


def test_soft_labels_are_smoothed_shares():
    found = aggregate(Labels.of("aaab", "1231", "xxyx"), "soft", smoothing=1)
    assert found.posterior.tolist() == pytest.approx(np.array([[3 / 5, 2 / 5], [2 / 3, 1 / 3]]))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_flip_rate_is_found_again(classes):
    random = np.random.default_rng(classes)
    rows = []
    for item in range(4000):
        settled = random.integers(classes)
        for _ in range(2):
            slip = random.random() < 0.12
            rows.append((item, "ann", (settled + (random.integers(1, classes) if slip else 0)) % classes))
    found = flip_rate(Labels.of(*zip(*rows, strict=True)))
    assert found.low < 0.12 < found.high
    assert found.value == pytest.approx(0.12, abs=0.015)
    assert found.pairs == found.groups == 4000


def test_the_flip_rate_of_the_first_anaesthetist(data_dir):
    with (data_dir / "crowd/dawid-skene-1979/anesthesia_long.csv").open() as file:
        rows = [(row["item"], row["rater"], row["rating"]) for row in csv.DictReader(file)]
    found = flip_rate(Labels.of(*zip(*rows, strict=True)))
    assert (found.groups, found.pairs) == (45, 135)
    assert found.differing == pytest.approx(26 / 135)
    assert found.low < found.value < found.high


def test_what_repeats_cannot_tell():
    with pytest.raises(NotIdentified, match="labelled an example twice"):
        flip_rate(Labels.of("ab", "xx", "01"))
    with pytest.raises(NotIdentified, match="by chance"):
        flip_rate(Labels.of("aabb", "xxxx", "0101"))
    with pytest.raises(NotIdentified, match=r"below 0\.5"):
        deconvolve(np.array([[0.5, 0.5]]), 0.5)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.floats(0, 0.49))
def test_deconvolution_undoes_slips(weights, flip):
    settled = np.array([weights]) / sum(weights)
    classes = settled.shape[1]
    seen = (1 - flip) * settled + flip * (1 - settled) / (classes - 1)
    assert deconvolve(seen, flip) == pytest.approx(settled, abs=1e-6)


def test_disagreement_on_hate_speech(data_dir):
    """Le-Wi-Di 2023, HS-Brexit: the train set's mean scores .388 on the test set, whose entropy is .181."""

    def opinions(split: str) -> np.ndarray:
        rows = json.loads((data_dir / f"disagreement/HS-Brexit_{split}.json").read_text())
        triples = [
            (name, rater, label)
            for name, row in rows.items()
            for rater, label in zip(row["annotators"].split(","), row["annotations"].split(","), strict=True)
        ]
        return aggregate(Labels.of(*zip(*triples, strict=True)), "majority").posterior

    train, test = opinions("train"), opinions("test")
    assert cross_entropy(test, train.mean(axis=0)) == pytest.approx(0.388, abs=1e-3)
    assert cross_entropy(test, test) == pytest.approx(0.181, abs=1e-3)
    one_hot = np.eye(2)[np.zeros(len(test), int)]
    assert cross_entropy(test, one_hot) == pytest.approx(3.62, abs=0.01)
    assert expected_accuracy(test, np.zeros(len(test), int)) == pytest.approx(test[:, 0].mean())


def test_ratings():
    labels = Labels.of("aaaaaaabbbcc", "123456712312", [1, 2, 3, 4, 5, 6, 70, 1, 2, 3, 1, 2])
    median = ratings(labels)
    assert median.value.tolist() == [4, 2, 1.5]
    assert (median.low[0], median.high[0]) == (1, 70)  # 98.4 %: six or seven order statistics are all there is
    assert np.isnan(median.low[1:]).all()
    trimmed = ratings(labels, "trimmed-mean", trim=0.2)
    assert trimmed.value[0] == 4.0  # without 1 and 70
    assert trimmed.low[0] < 4 < trimmed.high[0] < 70
    with pytest.raises(NotLabels):
        ratings(Labels.of("a", "b", "c"))
    with pytest.raises(ValueError, match="trim"):
        ratings(labels, "trimmed-mean", trim=0.5)


def test_the_interval_of_the_median_holds_what_it_says():
    random = np.random.default_rng(8)
    values = random.normal(size=(2000, 15))
    rows = [(i, r, value) for i, row in enumerate(values) for r, value in enumerate(row)]
    found = ratings(Labels.of(*zip(*rows, strict=True)))
    covered = ((found.low <= 0) & (found.high >= 0)).mean()
    assert 0.95 <= covered <= 0.98
    trimmed = ratings(Labels.of(*zip(*rows, strict=True)), "trimmed-mean", 0.1)
    assert 0.93 <= ((trimmed.low <= 0) & (trimmed.high >= 0)).mean() <= 0.97


def test_a_lenient_rater_has_a_bias():
    rows = [(i, r, i % 5 + (2 if r == "kind" else 0)) for i in range(20) for r in ("a", "b", "kind")]
    bias = {row["rater"]: row["bias"] for row in ratings(Labels.of(*zip(*rows, strict=True))).raters()}
    assert bias == {"a": -1, "b": -1, "kind": 2}


def test_an_interval_from_which_nothing_was_cut_is_students():
    from scipy.stats import t

    values = [1, 2, 2, 4, 5]
    found = ratings(Labels.of("aaaaa", "12345", values), "trimmed-mean", trim=0.1)
    low, high = t.interval(0.95, 4, np.mean(values), np.std(values, ddof=1) / 5**0.5)
    assert (found.low[0], found.high[0]) == pytest.approx((low, high))


def test_a_share_cuts_as_many_as_it_says():
    uneven = [100] * 29 + [0] * 71
    assert ratings(Labels.of(["a"] * 100, range(100), uneven), "trimmed-mean", trim=0.29).value[0] == 0
