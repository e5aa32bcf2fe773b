"""A model beside people: the formula of CROWDLAB by hand, and a model that joins as a rater."""

from __future__ import annotations

import pytest

from tamis.people.aggregation import aggregate
from tamis.people.aggregation.predictions import read_predictions
from tamis.people.labels import Labels, NotLabels

ROWS = [("a", 1, "x"), ("a", 2, "x"), ("a", 3, "y"), ("b", 1, "y"), ("b", 2, "y"), ("c", 1, "x"), ("c", 3, "y")]
MODEL = {"a": {"x": 0.9, "y": 0.1}, "b": {"x": 0.2, "y": 0.8}, "c": {"x": 0.4, "y": 0.6}}


def test_crowdlab_by_hand():
    found = aggregate(Labels.of(*zip(*ROWS, strict=True)), "crowdlab", model=MODEL)
    # Consensus x, y, and y where the model breaks the tie of c. A = 1/3 (y is most frequent), P = (2/3 + 1 + 1/2) / 3.
    agreed, chance = (2 / 3 + 1 + 0.5) / 3, 1 / 3
    with_others = {"1": 2 / 4, "2": 2 / 3, "3": 0.0}
    weights = {rater: max(1 - (1 - share) / chance, 1e-6) for rater, share in with_others.items()}
    model_weight = (7 / 3) ** 0.5  # no error of the model, 7 labels of 3 examples
    assert {row["rater"]: row["weight"] for row in found.raters()} == pytest.approx(weights)
    x = model_weight * 0.9 + (weights["1"] + weights["2"]) * agreed + weights["3"] * (1 - agreed)
    y = model_weight * 0.1 + (weights["1"] + weights["2"]) * (1 - agreed) + weights["3"] * agreed
    assert found.posterior[0, 0] == pytest.approx(x / (x + y))


def test_crowdlab_needs_overlap_and_known_classes():
    with pytest.raises(NotLabels, match="two raters"):
        aggregate(Labels.of(["a"], [1], ["x"]), "crowdlab", model={"a": {"x": 1.0}})
    with pytest.raises(NotLabels, match="no rater gave: z"):
        aggregate(Labels.of(*zip(*ROWS, strict=True)), "crowdlab", model={"a": {"z": 1.0}})
    with pytest.raises(NotLabels, match="at least 0"):
        aggregate(Labels.of(*zip(*ROWS, strict=True)), "crowdlab", model={"a": {"x": -1.0}})


def test_predictions_are_read_from_what_is_written(tmp_path):
    import pyarrow.csv as csv

    found = aggregate(Labels.of(*zip(*ROWS, strict=True)), "soft")
    csv.write_csv(found.table(), tmp_path / "p.csv")
    predictions = read_predictions(tmp_path / "p.csv")
    assert predictions.probabilities["b"] == pytest.approx({"x": 0.5 / 3, "y": 2.5 / 3})
    assert predictions.as_names()["b"] == "y"
    (tmp_path / "n.csv").write_text("item,label\na,x\nb,y\n")
    assert read_predictions(tmp_path / "n.csv").as_names() == {"a": "x", "b": "y"}
    (tmp_path / "bad.csv").write_text("item,guess\na,x\n")
    with pytest.raises(NotLabels, match="Found: item, guess"):
        read_predictions(tmp_path / "bad.csv")
    (tmp_path / "twice.csv").write_text("item,label\na,x\na,y\n")
    with pytest.raises(NotLabels, match="twice"):
        read_predictions(tmp_path / "twice.csv")


def test_a_model_joins_as_a_rater(crowd):
    labels, truth = crowd("bluebird")
    joined = labels.and_rater("model", truth)
    assert len(joined) == len(labels) + 108
    before, after = (aggregate(one, "dawid-skene") for one in (labels, joined))
    assert after.expected_accuracy(truth).value > before.expected_accuracy(truth).value
    assert next(row for row in after.raters() if row["rater"] == "model")["low"] > 0.8
    with pytest.raises(NotLabels, match="already"):
        joined.and_rater("model", truth)
