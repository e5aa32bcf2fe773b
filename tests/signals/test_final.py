from __future__ import annotations

import pytest

from tamis.clean.edits import from_lists
from tamis.signals import final


def measured(batch, text: str, **edits) -> dict[str, object]:
    return {name: values[0].as_py() for name, values in final.compute(batch([text], **edits), {}).items()}


def test_lines_in_both_forms(batch) -> None:
    long = "This line is much longer than thirty characters."
    row = measured(batch, f"{long}\n\nshort\n{long[:-1]}")
    assert (row["lines"], row["all_lines"]) == (3, 4)
    assert row["line_punct"] == 1 / 4
    assert row["line_punct_unicode"] == pytest.approx(1 / 3)
    assert row["short_lines"] == 2 / 4
    assert row["short_lines_nonblank"] == pytest.approx(1 / 3)
    assert row["sentences"] == 2


def test_repeated_lines_and_list_ratio(batch) -> None:
    row = measured(batch, "aaaa\nbb\naaaa")
    assert row["dup_line_chars"] == 4 / 10
    assert row["list_ratio"] == pytest.approx(2 / 3)
    assert row["list_ratio_punct"] == pytest.approx(2 / 3)
    assert measured(batch, "a, b.\nc")["list_ratio_punct"] == 1 / 5


def test_line_filters_are_applied_and_counted(batch) -> None:
    row = measured(batch, "One two.\nmenu\nThree.", c4=from_lists(1, [0], [9], [14], "", "c4.terminal"))
    assert (row["lines"], row["cuts"], row["cut_bytes"]) == (2, 1, 5)


def test_empty(batch) -> None:
    row = measured(batch, "")
    assert (row["sentences"], row["lines"], row["all_lines"]) == (0, 0, 0)
    assert row["line_punct"] is row["short_lines"] is row["list_ratio"] is None
