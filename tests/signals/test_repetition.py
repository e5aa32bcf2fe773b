from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.signals import repetition


def measured(batch, text: str) -> dict[str, float | None]:
    return {name: values[0].as_py() for name, values in repetition.compute(batch([text]), {}).items()}


def test_a_text_without_repeats_measures_zero(batch) -> None:
    row = measured(batch, "one two three four five six seven eight nine ten eleven\n\ntwelve")
    assert set(row.values()) == {0.0}


def test_lines_and_paragraphs_count_second_copies(batch) -> None:
    row = measured(batch, "aaaa\nbb\naaaa\n\ncc\n\ncc")
    assert row["dup_lines"] == 2 / 5
    assert row["dup_line_chars"] == pytest.approx((4 + 2) / 20)
    assert row["dup_paragraphs"] == 1 / 3
    assert row["dup_paragraph_chars"] == pytest.approx(2 / 20)


def test_top_grams_count_all_occurrences_with_their_gaps(batch) -> None:
    row = measured(batch, "ab cd ef ab cd")  # "ab cd" twice: 2 * 5 of 14 characters
    assert row["top_2"] == pytest.approx(10 / 14)
    assert row["top_3"] == 0.0
    assert measured(batch, "a a a a")["top_2"] == 1.0  # overlapping, capped


def test_duplicate_grams_count_no_character_twice(batch) -> None:
    row = measured(batch, "v w x y z " * 2)
    assert row["dup_5"] == 0.5
    assert row["dup_6"] == 0.0


def test_chinese_has_grams(batch) -> None:
    assert measured(batch, "今天天气很好今天天气很好")["dup_6"] == 0.5


def test_empty_is_null(batch) -> None:
    assert set(measured(batch, "").values()) == {None}


@given(st.text(alphabet="ab \n.,漢", max_size=80))
def test_shares_lie_in_the_unit_interval(text: str) -> None:
    import pyarrow as pa

    from tamis.signals.batch import Batch

    columns = {"text": pa.array([text], pa.large_string()), "url": pa.nulls(1, pa.string())}
    out = repetition.compute(Batch(pa.RecordBatch.from_pydict(columns)), {})
    assert all(value[0].as_py() is None or 0 <= value[0].as_py() <= 1 for value in out.values())
