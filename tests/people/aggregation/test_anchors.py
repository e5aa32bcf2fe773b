"""Accuracies and log-likelihoods that are known: of the papers, of the authors' programs, of independent code."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.people.aggregation import aggregate
from tamis.people.labels import Labels

# set: majority with ties shared, one-coin, Dawid-Skene, MACE-VB, MACE-EM
ACCURACY = {
    "bluebird": (0.7593, 0.5833, 0.8981, 0.8611, 0.8889),
    "rte": (0.8969, 0.9250, 0.9275, 0.9262, 0.9288),
    "temporal": (0.9361, 0.9394, 0.9416, 0.9416, 0.9416),
    "wsd": (0.9944, 0.9944, 0.9944, 0.9944, 0.9944),
    "example": (0.3550, 0.2700, 0.4900, 0.8100, 0.8000),
    "web": (0.7307, 0.8078, 0.8262, 0.8387, 0.8319),
    "trec": (0.6514, 0.5604, 0.7015, 0.7090, 0.7037),
    "product": (0.8966, 0.9084, 0.9393, 0.8283, 0.8293),
}
METHODS = ("majority", "one-coin", "dawid-skene", "mace-vb", "mace-em")
LIKELIHOOD = {
    "dawid-skene": {"rte": -3679.629, "bluebird": -1888.117, "temporal": -1256.965, "wsd": -178.978},
    "mace-vb": {"rte": -3923.87, "temporal": -1379.405, "wsd": -308.361, "example": -1214.42},
    "mace-em": {"rte": -3681.433, "temporal": -1259.291, "wsd": -271.847, "example": -1081.487},
}


@pytest.mark.parametrize("name", ACCURACY)
def test_accuracies_of_the_reference_table(crowd, name):
    labels, truth = crowd(name)
    for method, expected in zip(METHODS, ACCURACY[name], strict=True):
        found = aggregate(labels, method)
        # The reference counts examples with one label as evidence of skill; on trec and web that moves a few.
        # MACE on product stops after 50 steps at what its best start came to; from seed to seed .819 to .835.
        slack = 0.0035 if name in ("trec", "web") else 0.01 if name == "product" and method.startswith("mace") else 6e-5
        assert found.expected_accuracy(truth).value == pytest.approx(expected, abs=slack), method


@pytest.mark.parametrize("method", LIKELIHOOD)
def test_log_likelihoods(crowd, method):
    for name, expected in LIKELIHOOD[method].items():
        slack = 0.001 if method == "dawid-skene" else 0.01  # random starts, not run to the end
        slack = 0.02 if name == "example" else slack
        assert aggregate(crowd(name)[0], method).log_likelihood == pytest.approx(expected, abs=slack), name


def test_the_anaesthetists_of_1979(anaesthetists):
    found = aggregate(anaesthetists, "dawid-skene")
    assert found.log_likelihood == pytest.approx(-192.8909, abs=1e-4)
    assert found.posterior.mean(axis=0) == pytest.approx([0.3996, 0.4220, 0.1118, 0.0667], abs=1e-4)
    assert found.converged


def test_the_entropy_cut_on_rte(crowd):
    labels, truth = crowd("rte")
    found = aggregate(labels, "mace-vb")
    for share, expected in ((0.9, 0.9598), (0.75, 0.9767), (0.5, 0.9850)):
        kept = found.keep(share).expected_accuracy(truth)
        assert kept.n == share * 800
        assert kept.value == pytest.approx(expected, abs=1e-4)


def test_glad_is_as_accurate_as_published_code(crowd):
    for name, expected in (("bluebird", 0.7222), ("rte", 0.9263), ("temporal", 0.9351), ("wsd", 0.9944)):
        labels, truth = crowd(name)
        assert aggregate(labels, "glad").expected_accuracy(truth).value == pytest.approx(expected, abs=0.002), name


def test_a_spammer_has_no_competence():
    """400 items, six raters at 85 %, one who always says 1, one who draws: a wrong MACE gives the spammer .565."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 400)
    rows = []
    for item, answer in enumerate(truth):
        rows += [(item, f"good {w}", answer if random.random() < 0.85 else 1 - answer) for w in range(6)]
        rows += [(item, "always 1", 1), (item, "random", random.integers(0, 2))]
    labels = Labels.of(*zip(*rows, strict=True))
    for method in ("mace-vb", "mace-em"):
        found = {row["rater"]: row["competence"] for row in aggregate(labels, method).raters()}
        assert found["always 1"] < 0.01
        assert found["random"] < 0.2
        assert min(found[f"good {w}"] for w in range(6)) > 0.6


def test_auto_is_at_least_as_accurate_as_the_best_single_method(crowd):
    """On four small sets here; docs/aggregation.md has all eight."""
    mean = dict.fromkeys(("auto", "dawid-skene", "mace-vb", "mace-em"), 0.0)
    for name in ("bluebird", "temporal", "wsd", "example"):
        labels, truth = crowd(name)
        majority = aggregate(labels, "majority").expected_accuracy(truth)
        for method in mean:
            found = aggregate(labels, method).expected_accuracy(truth)
            mean[method] += found.value / 4
            if method == "auto":
                assert found.high >= majority.value, name
    assert mean["auto"] >= max(mean.values())
