from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.people import agreement as ag
from tamis.people.agreement import KRIPPENDORFF_2011, LEVELS, NoOrder, Ratings, ac1, alpha, coincidences, fleiss, raw
from tamis.people.labels import Labels

WIKIPEDIA = ag._table([".....3412113 3.3", "1.21334 3.......", "..21344.2113 3.4"])
FLEISS_1971 = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def of_counts(rows: list[list[int]]) -> Labels:
    cells = [(e, r, v) for e, row in enumerate(rows) for r, v in enumerate(np.repeat(range(len(row)), row))]
    return Labels.of(*zip(*cells, strict=True))


@pytest.mark.parametrize(
    ("table", "level", "value"),
    [
        *zip([WIKIPEDIA] * 4, LEVELS, [0.691358, 0.806721, 0.810845, 0.808944], strict=True),
        *zip([KRIPPENDORFF_2011] * 4, LEVELS, [0.743421, 0.815388, 0.849107, 0.797403], strict=True),
    ],
)
def test_alpha_of_the_literature(table: Ratings, level: ag.Level, value: float) -> None:
    assert alpha(table, level, resamples=0).value == pytest.approx(value, abs=1e-6)


def test_one_rating_of_an_example_counts_for_nothing() -> None:
    # NLTK's two `easy` cases
    rows = [("d1", "a", "y"), ("d1", "b", "n"), ("d1", "c", "n"), ("d2", "a", "y"), ("d2", "b", "n"), ("d3", "c", "n")]
    for kept in (rows, rows[:-1]):
        found = alpha(Labels.of(*zip(*kept, strict=True)))
        assert found.value == pytest.approx(-1 / 3)
        assert (found.examples, found.raters, found.ratings) == (2, 3, 5)


def test_fleiss_of_the_paper() -> None:
    assert fleiss(of_counts(FLEISS_1971)).value == pytest.approx(0.20993, abs=1e-5)


def test_ac1_of_irr_cac() -> None:
    found = ac1(KRIPPENDORFF_2011)
    assert found.value == pytest.approx(0.77544, abs=1e-5)
    assert found.raw == pytest.approx(0.8181818, abs=1e-6)


def test_the_interval_is_near_the_published_one() -> None:
    found = alpha(KRIPPENDORFF_2011)  # irrCAC, by its own standard error: 0.419 to 1
    assert found.low == pytest.approx(0.419, abs=0.05)
    assert found.high == pytest.approx(1)


def test_prevalence_does_not_fool_ac1() -> None:
    rows = [[2, 0]] * 95 + [[1, 1]] * 5
    assert raw(of_counts(rows)).value == pytest.approx(0.95)
    assert alpha(of_counts(rows)).value < 0
    assert ac1(of_counts(rows)).value > 0.9


@pytest.mark.parametrize("measure", [alpha, fleiss, ac1])
def test_one_value_only_is_undefined_and_says_so(measure: object) -> None:
    found = measure(of_counts([[3], [3]]))  # type: ignore[operator]
    assert not found.defined
    assert "Every rating is '0'" in found.why
    assert found.raw == 1
    assert found.to_json()["value"] is None
    assert "undefined" in str(found)


@pytest.mark.parametrize("measure", [alpha, fleiss, ac1, raw])
def test_nothing_shared_is_undefined_and_says_so(measure: object) -> None:
    found = measure(Labels.of([1, 2], ["a", "b"], ["x", "y"]))  # type: ignore[operator]
    assert math.isnan(found.value)
    assert "No example was rated by two raters" in found.why


def test_fleiss_refuses_unequal_numbers() -> None:
    assert "1 to 4" in fleiss(KRIPPENDORFF_2011).why


def test_one_disagreement_among_constants_is_no_agreement() -> None:
    rows = of_counts([[2, 0]] * 9 + [[1, 1]])
    assert alpha(rows).value == pytest.approx(0, abs=1e-12)


def test_levels_need_numbers_or_an_order() -> None:
    words = Labels.of([1, 1, 2, 2], "abab", ["low", "high", "low", "low"])
    with pytest.raises(NoOrder, match="name the order"):
        alpha(words, "ordinal")
    with pytest.raises(NoOrder, match="does not name the label 'low'"):
        alpha(words, "ordinal", order=["high"])
    with pytest.raises(NoOrder, match="true zero"):
        alpha(Labels.of([1, 1], "ab", [-1, 1]), "ratio")
    with pytest.raises(NoOrder, match="no level"):
        alpha(words, "cardinal")  # type: ignore[arg-type]
    assert alpha(words, "ordinal", order=["low", "high"]).defined


def test_who_repeats_himself_agrees_with_nobody_by_it() -> None:
    once = [(e, r, v) for e, (x, y) in enumerate(["aa", "ab", "bb"]) for r, v in (("p", x), ("q", y))]
    again = [*once, (0, "p", "a"), (2, "q", "b")]
    assert alpha(Labels.of(*zip(*again, strict=True))).value == alpha(Labels.of(*zip(*once, strict=True))).value
    torn = ag.ratings_of(Labels.of(*zip(*[*once, (0, "p", "b")], strict=True)))
    assert torn.left_out == 1
    assert len(torn.value) == 5


def slow_alpha(table: Ratings, level: ag.Level) -> float:
    """By the definition: differences between all pairs, example by example and over all."""
    kept = [i for i in range(len(table.value)) if (table.example == table.example[i]).sum() > 1]
    numbers = ag.scale_of(table.values, level)
    counts = np.bincount(table.value[kept], minlength=len(table.values))

    def apart(c: int, k: int) -> float:
        if level == "nominal":
            return float(c != k)
        if level == "ordinal":
            low, high = sorted((c, k))
            return float(counts[low : high + 1].sum() - (counts[c] + counts[k]) / 2) ** 2
        a, b = numbers[c], numbers[k]
        if level == "interval":
            return float((a - b) ** 2)
        return float(((a - b) / (a + b)) ** 2) if a + b else 0.0

    pairs = list(itertools.permutations(kept, 2))
    inside = [
        apart(table.value[i], table.value[j]) / ((table.example == table.example[i]).sum() - 1)
        for i, j in pairs
        if table.example[i] == table.example[j]
    ]
    between = sum(apart(table.value[i], table.value[j]) for i, j in pairs) / (len(kept) - 1)
    return 1 - sum(inside) / between if between else math.nan


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    cells = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=20, unique=True))
    return [(e, r, draw(st.integers(0, 4))) for e, r in cells]


@given(tables(), st.sampled_from(LEVELS))
@settings(max_examples=150)
def test_alpha_is_its_definition(rows: list[tuple[int, int, int]], level: ag.Level) -> None:
    labels = ag.ratings_of(Labels.of(*zip(*rows, strict=True)))
    found, expected = alpha(labels, level, resamples=0).value, math.nan
    if labels.units.with_at_least(2).examples:
        expected = slow_alpha(labels, level)
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_order_and_names_change_nothing(rows: list[tuple[int, int, int]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    raters, values = list(range(4)), list("vwxyz")
    random.shuffle(raters)  # type: ignore[attr-defined]
    random.shuffle(values)  # type: ignore[attr-defined]
    renamed = [(e, f"rater {raters[r]}", values[v]) for e, r, v in shuffled]
    one, other = (Labels.of(*zip(*table, strict=True)) for table in (rows, renamed))
    for measure in (alpha, ac1, fleiss, raw):
        a, b = (measure(labels, resamples=40) for labels in (one, other))
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), abs=1e-12, nan_ok=True)
    same = Labels.of(*zip(*shuffled, strict=True))
    for level in LEVELS:
        assert alpha(one, level, resamples=20).to_json() == alpha(same, level, resamples=20).to_json()


def test_coincidences_add_up() -> None:
    table = coincidences(KRIPPENDORFF_2011)
    assert np.allclose(table, table.T)
    assert table.sum() == pytest.approx(40)
    assert np.diag(table) == pytest.approx([7, 10, 8, 4, 3])  # the table of the paper


def test_intervals_depend_on_the_seed_and_cover() -> None:
    assert alpha(KRIPPENDORFF_2011, seed=1).low == alpha(KRIPPENDORFF_2011, seed=1).low
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(60):  # two raters who copy the truth 8 times in 10: population alpha 0.5625 by the definition
        truth = rng.integers(0, 2, 150)
        said = [np.where(rng.random(150) < 0.75, truth, rng.integers(0, 2, 150)) for _ in range(2)]
        labels = Labels.of([*range(150)] * 2, ["a"] * 150 + ["b"] * 150, np.concatenate(said).tolist())
        found = alpha(labels, resamples=300)
        hits += found.low <= 0.5625 <= found.high
    assert hits >= 51


@pytest.mark.parametrize(
    ("name", "value", "fleiss_value"),
    [
        ("bluebird", 0.1255, 0.1253), ("rte", 0.2415, 0.2414), ("web", 0.2104, None),
        ("trec", 0.1145, None), ("product", 0.1575, None),
    ],
)  # fmt: skip
def test_alpha_of_crowds(data_dir: object, name: str, value: float, fleiss_value: float | None) -> None:
    labels = Labels.read(data_dir / "crowd" / name / "label.csv")  # type: ignore[operator]
    found = alpha(labels)
    assert found.value == pytest.approx(value, abs=5e-5)
    assert found.low < found.value < found.high
    if fleiss_value is not None:
        assert fleiss(labels, resamples=0).value == pytest.approx(fleiss_value, abs=5e-5)


def test_the_docstrings_say_what_is_true() -> None:
    import doctest

    assert doctest.testmod(ag).failed == 0
