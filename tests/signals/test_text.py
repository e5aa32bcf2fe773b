from __future__ import annotations

import pytest

from tamis.signals import text


def measured(batch, *texts: str | None) -> list[dict[str, object]]:
    columns = text.compute(batch(texts), {})
    return [{name: values[i].as_py() for name, values in columns.items()} for i in range(len(texts))]


def test_a_page_by_hand(batch) -> None:
    (row,) = measured(batch, 'The cat, "that" sat...\n- 12 and 3.5\n\n# END')
    # tokens: The cat, "that" sat... - 12 and 3.5 # END; words drop the lone marks
    assert row["words"] == row["script_words"] == 8
    assert row["mean_word"] == pytest.approx((3 + 3 + 4 + 3 + 2 + 3 + 3 + 3) / 8)
    assert row["alpha_words"] == 6 / 10
    assert row["alpha_words_punct"] == pytest.approx(6 / (8 + 1 + 2 + 3 + 1 + 1))
    assert row["stop_words"] == 2  # that, and; "The" is not lower case
    assert row["hash_ratio"] == row["ellipsis_ratio"] == 1 / 8
    assert row["symbol_ratio"] == 2 / 8
    assert row["lines"] == 4
    assert row["bullet_lines"] == row["ellipsis_lines"] == 1 / 4
    assert row["newline_ratio"] == 3 / 8
    assert row["upper_ratio"] == pytest.approx(4 / 19)


def test_nothing_to_measure_is_null_and_counts_are_zero(batch) -> None:
    empty, marks = measured(batch, "", "...")
    assert [empty[name] for name in ("bytes", "words", "stop_words", "lines")] == [0, 0, 0, 0]
    assert empty["mean_word"] is empty["alpha_words"] is empty["upper_ratio"] is empty["bullet_lines"] is None
    assert marks["words"] == 0
    assert marks["hash_ratio"] is None
    assert marks["alpha_words"] == 0


def test_languages_without_spaces_have_script_words(batch) -> None:
    (row,) = measured(batch, "我们今天去公园。Hello world")
    assert row["words"] == 2
    assert row["script_words"] == 9


def test_shares_equal_their_decimal_literals(batch) -> None:
    (row,) = measured(batch, "- a\n" * 3 + "b\n" * 7)
    assert row["bullet_lines"] == 0.3
