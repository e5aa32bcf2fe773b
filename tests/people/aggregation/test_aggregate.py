"""The contract: nothing depends on order or names, objectives never fall, degenerate tables have answers."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.people.aggregation import METHODS, Status, aggregate
from tamis.people.labels import Labels, NotLabels

MODELS = ("majority", "one-coin", "dawid-skene", "dawid-skene-pooled", "glad", "mace-em", "mace-vb", "soft")
MONOTONE = ("one-coin", "dawid-skene", "dawid-skene-pooled", "glad", "mace-em")
OPTIONS = {"dawid-skene-pooled": {"strength": 2.0}}

tables = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=40
)  # (example, rater, label), repeats and all


def run(rows, method, **more):
    return aggregate(Labels.of(*zip(*rows, strict=True)), method, **OPTIONS.get(method, {}), **more)


@settings(max_examples=40)
@given(rows=tables, seed=st.integers(0, 10**6), method=st.sampled_from(MODELS))
def test_rows_raters_and_names_change_nothing(rows, seed, method):
    random = np.random.default_rng(seed)
    examples, raters, classes = (random.permutation(size) for size in (8, 5, 3))
    renamed = [(f"x{examples[e]}", f"r{raters[r]}", f"c{classes[c]}") for e, r, c in rows]
    random.shuffle(renamed)
    first, second = run(rows, method), run(renamed, method)
    again = {(row["example"], row["label"]): row["posterior"] for row in second.posteriors(0).to_pylist()}
    for row in first.posteriors(0).to_pylist():
        key = f"x{examples[int(row['example'])]}", f"c{classes[int(row['label'])]}"
        assert again[key] == pytest.approx(row["posterior"], abs=2e-5)
    if first.log_likelihood is not None:
        assert second.log_likelihood == pytest.approx(first.log_likelihood, rel=1e-6, abs=1e-6)


@settings(max_examples=40)
@given(rows=tables, method=st.sampled_from(MODELS), controls=st.dictionaries(st.sampled_from("0123"), st.just("0")))
def test_every_table_has_an_answer(rows, method, controls):
    controls = controls if any(label == 0 for _, _, label in rows) else {}
    found = run(rows, method, controls=controls)
    assert np.isfinite(found.posterior).all()
    assert found.posterior.sum(axis=1) == pytest.approx(1)
    for example, answer in controls.items():
        if example in found.labels.examples:
            assert found.posterior[found.labels.examples.index(example), found.labels.classes.index(answer)] == 1
    for low, skill, high in zip(found.low, found.skill, found.high, strict=True):
        assert math.isnan(skill) or (0 <= low <= high <= 1 and -1e-9 <= skill <= 1 + 1e-9)
    json.loads(json.dumps(found.to_json(), allow_nan=False))


@settings(max_examples=60)
@given(rows=tables, method=st.sampled_from(MONOTONE))
def test_objectives_never_fall(rows, method):
    trace = run(rows, method).trace
    for before, after in pairwise(trace):
        assert after >= before - 1e-8 * max(1, abs(before))


@pytest.mark.parametrize("method", MONOTONE)
def test_objectives_never_fall_on_real_labels(crowd, method):
    for name in ("bluebird", "rte", "temporal", "wsd", "example", "web"):
        trace = np.array(aggregate(crowd(name)[0], method, **OPTIONS.get(method, {})).trace)
        assert len(trace) > 2
        assert (np.diff(trace) >= -1e-9 * np.abs(trace[:-1])).all(), name


def test_order_and_names_change_nothing_on_real_labels(crowd):
    labels, _ = crowd("bluebird")
    random = np.random.default_rng(1)
    rows = [(f"e{e}", f"w{(int(r) * 7919) % 1009}", {"0": "no", "1": "a yes"}[c]) for e, r, c in labels]
    random.shuffle(rows)
    other = Labels.of(*zip(*rows, strict=True))
    for method in ("auto", *MODELS):
        first = aggregate(labels, method, **OPTIONS.get(method, {}))
        second = aggregate(other, method, **OPTIONS.get(method, {}))
        assert (first.method, first.log_likelihood) == (second.method, second.log_likelihood)  # to the last bit
        by_name = dict(zip(second.labels.examples, second.posterior, strict=True))
        for name, row in zip(first.labels.examples, first.posterior, strict=True):
            assert row.tolist() == by_name[f"e{name}"][::-1].tolist()


def test_three_hundred_raters_on_one_item_do_not_underflow():
    rows = [(item, rater, (item + (rater % 10 == 0)) % 4) for item in range(5) for rater in range(300)]
    for method in MODELS:
        found = run(rows, method)
        assert [found.labels.classes[code] for code in found.label] == ["0", "1", "2", "3", "0"], method
        assert found.log_likelihood is None or np.isfinite(found.log_likelihood)


def test_one_rater_alone_is_believed_and_not_praised():
    for method in ("auto", *MODELS):
        found = run([("a", "ann", "x"), ("b", "ann", "y")], method)
        assert [found.labels.classes[code] for code in found.label] == ["x", "y"]
        assert found.raters()[0]["skill"] is None
        assert method in ("majority", "soft") or found.status is Status.NO_OVERLAP


@pytest.mark.parametrize("method", ["one-coin", "dawid-skene", "dawid-skene-pooled", "mace-em", "mace-vb", "glad"])
def test_labels_on_examples_that_nobody_else_saw_teach_nothing(method):
    """A rater's figures are the same whether or not they have also labelled a hundred examples alone."""
    rows = [(item, rater, (item + (item % 5 == rater)) % 2) for item in range(30) for rater in range(5)]
    alone = [(100 + item, 0, item % 2) for item in range(100)]
    options = {"restarts": 1, "noise": 0.0} if method.startswith("mace") else OPTIONS.get(method, {})
    few = aggregate(Labels.of(*zip(*rows, strict=True)), method, **options)
    many = aggregate(Labels.of(*zip(*rows + alone, strict=True)), method, **options)
    assert many.skill == pytest.approx(few.skill, abs=1e-6)
    assert many.low == pytest.approx(few.low, abs=1e-6)
    assert many.log_likelihood == pytest.approx(few.log_likelihood, abs=1e-5)


def test_all_ties_and_one_class():
    found = run([(item, rater, rater) for item in range(4) for rater in range(2)], "majority")
    assert found.ties == 4
    assert found.expected_accuracy({str(item): "0" for item in range(4)}).value == 0.5
    for method in ("auto", *MODELS):
        one = run([(item, rater, "only") for item in range(4) for rater in range(2)], method)
        assert (one.posterior == 1).all()
        assert one.ties == 0


def test_an_answer_that_nobody_gave_is_an_error_in_accuracy():
    found = run([("a", 1, "x"), ("a", 2, "x")], "majority")
    assert found.expected_accuracy({"a": "z"}).value == 0
    assert found.expected_accuracy({"b": "x"}).n == 0


def test_controls_show_who_is_right():
    """Two against one, and the one is right on all controls: with controls the one is believed."""
    rows = [(item, rater, (item + (rater != "right")) % 2) for item in range(40) for rater in ("right", "bad", "worse")]
    controls = {str(item): str(item % 2) for item in range(20)}
    truth = {str(item): str(item % 2) for item in range(20, 40)}
    for method in ("dawid-skene", "one-coin", "mace-em", "glad"):
        assert run(rows, method).expected_accuracy(truth).value == 0, method
        assert run(rows, method, controls=controls).expected_accuracy(truth).value == 1, method


def test_unknown_names_are_errors():
    rows = [("a", 1, "x"), ("a", 2, "y")]
    with pytest.raises(NotLabels, match="no rater gave: z"):
        run(rows, "majority", controls={"a": "z"})
    with pytest.raises(NotLabels, match="probabilities"):
        run(rows, "crowdlab")
    with pytest.raises(ValueError, match="no method voodoo"):
        run(rows, "voodoo")
    with pytest.raises(ValueError, match="share"):
        run(rows, "majority").keep(0)


def test_tables(crowd):
    labels, _ = crowd("wsd")
    found = aggregate(labels, "dawid-skene")
    table = found.table()
    assert table.column_names == ["example", "label", "posterior", "n", "tied", "entropy", "p_1", "p_2", "p_3"]
    assert table.num_rows == 177
    assert set(METHODS) > {"auto", "glad"}
    confusion = found.raters()[0]["confusion"]
    assert set(confusion) == {"1", "2", "3"}
    assert all(sum(row.values()) == pytest.approx(1, abs=1e-4) or not row for row in confusion.values())
