from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.people.agreement import NoOrder, alpha, fleiss, ratings_of
from tamis.people.kappa import cohen, each_pair, kappa_of, light, pairs_of
from tamis.people.labels import Labels


def of_table(table: list[list[int]]) -> Labels:
    rows = [(c, k) for c, row in enumerate(table) for k, times in enumerate(row) for _ in range(times)]
    first, second = zip(*rows, strict=True)
    return Labels.of([*range(len(rows))] * 2, ["a"] * len(rows) + ["b"] * len(rows), [*first, *second])


def test_the_tables_of_the_literature() -> None:
    assert cohen(of_table([[20, 5], [10, 15]])).value == pytest.approx(0.4)
    abstractors = cohen(of_table([[13, 0, 0], [0, 20, 7], [0, 4, 56]]))
    assert abstractors.value == pytest.approx(0.796, abs=5e-4)
    assert (abstractors.low, abstractors.high) == pytest.approx((0.68, 0.913), abs=0.02)  # irrCAC's own interval


def test_prevalence_makes_kappa_small() -> None:
    found = cohen(of_table([[95, 3], [2, 0]]))
    assert found.raw == 0.95
    assert found.value == pytest.approx(-0.025, abs=5e-4)


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=3, max_size=3), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_weights_are_their_definition(table: list[list[int]], power: int) -> None:
    counts = np.array(table, float)
    seen = chance = 0.0
    for c in range(3):
        for k in range(3):
            seen += abs(c - k) ** power * counts[c, k]
            chance += abs(c - k) ** power * counts[c].sum() * counts[:, k].sum() / max(counts.sum(), 1)
    apart = np.abs(np.subtract.outer(range(3), range(3))).astype(float) ** power
    assert float(kappa_of(counts, apart)) == pytest.approx(1 - seen / chance if chance else math.nan, nan_ok=True)


def test_weights_take_numbers_as_numbers() -> None:
    labels = of_table([[5, 1, 0], [1, 5, 1], [0, 1, 5]])
    assert cohen(labels, weights="quadratic").value > cohen(labels, weights="linear").value > cohen(labels).value
    with pytest.raises(NoOrder):
        cohen(Labels.of([1, 1], "ab", ["x", "y"]), weights="linear")
    with pytest.raises(NoOrder):
        cohen(labels, weights="cubic")  # type: ignore[arg-type]


def test_only_shared_examples_count() -> None:
    labels = Labels.of([1, 1, 2, 2, 3, 4], "ababab", ["x", "x", "y", "x", "y", "y"])
    assert cohen(labels).examples == 2
    apart = cohen(Labels.of([1, 2], "ab", ["x", "x"]), "a", "b")
    assert apart.why == "a and b rated no example in common."
    assert "said 'x' every time" in cohen(of_table([[3]]).of([1, 1, 2, 2], "abab", "xxxx")).why
    with pytest.raises(KeyError, match="nobody"):
        cohen(labels, "a", "nobody")
    with pytest.raises(KeyError, match="of two raters"):
        cohen(Labels.of([1, 1, 1], "abc", "xyx"))


def test_pairs_are_all_pairs() -> None:
    labels = ratings_of(Labels.of([1, 1, 1, 2, 2, 3], "abcaba", "xxyyxx"))
    pairs = pairs_of(labels)
    assert sorted(zip(pairs.first[pairs.pair], pairs.second[pairs.pair], pairs.example, strict=True)) == [
        (0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 2, 0),
    ]  # fmt: skip


def test_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 120)
    rows = [(e, r, v if rng.random() < 0.8 else rng.integers(0, 3)) for r in "abcd" for e, v in enumerate(truth)]
    labels = Labels.of(*zip(*rows, strict=True))
    pairs = list(each_pair(labels, resamples=0))
    found = light(labels, resamples=200)
    assert len(pairs) == 6
    assert found.value == pytest.approx(np.mean([k.value for *_, k in pairs]))
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(fleiss(labels, resamples=0).value, abs=0.02)
    assert "No two raters" in light(Labels.of([1, 1], "ab", "xy")).why


def test_annotators_of_pandalm(data_dir: Path) -> None:
    rows = json.loads((data_dir / "preference" / "pandalm_testset_v1.json").read_text())
    triples = [(row["idx"], k, row[f"annotator{k}"]) for row in rows for k in (1, 2, 3)]
    labels = Labels.of(*zip(*triples, strict=True))
    kappas = [k.value for *_, k in each_pair(labels, resamples=0)]
    assert kappas == pytest.approx([0.8520, 0.8789, 0.8617], abs=5e-5)
    assert alpha(labels, resamples=0).value == pytest.approx(0.8642, abs=5e-5)
    assert fleiss(labels, resamples=0).value == pytest.approx(0.8642, abs=5e-5)
    assert sum(len({row[f"annotator{k}"] for k in (1, 2, 3)}) == 1 for row in rows) / 999 == pytest.approx(
        0.8799, abs=5e-5
    )


def test_a_thousand_pairs_of_a_crowd(data_dir: Path) -> None:
    found = light(Labels.read(data_dir / "crowd" / "rte" / "label.csv"), resamples=100)
    assert "1,254 pairs" in found.name
    assert found.low < found.value < found.high
