from __future__ import annotations

import pytest

from tamis.verdicts.evidence import evidence

TEXT = "in stock now\nadd to basket\nin stock today\nadd to basket\nthe end comes when it does\n\n"


@pytest.mark.parametrize(
    ("signal", "value", "part", "note"),
    [
        ("repetition.top_2", 0.31, "in stock now", '"in stock" occurs 2 times and holds 31% of the characters'),
        ("repetition.dup_5", 0.5, None, None),
        ("repetition.dup_lines", 0.2, "add to basket", "this line occurs 2 times"),
        ("final.dup_line_chars", 0.2, "add to basket", "this line occurs 2 times"),
        ("final.short_lines", 0.9, "in stock now", "7 of 7 lines have at most 30 characters, here the first"),
        ("text.words", 3, None, None),
        ("lang.score", 0.3, None, None),
        ("c4.curly", 1, None, None),
    ],
)
def test_evidence_points_at_the_place(signal, value, part, note):
    found = evidence(signal, value, TEXT, TEXT)
    if part is None:
        assert found is None
        return
    assert found is not None
    assert found.text.startswith(part)
    assert TEXT[found.start : found.end].startswith(part)
    assert found.note == note


def test_final_signals_point_into_the_final_text():
    assert evidence("final.dup_line_chars", 0.1, "", "a b\na b").state == "final"
    assert evidence("c4.curly", 1, "x { y", "").state == "clean"


def test_the_repeated_passage_of_duplicate_n_grams():
    found = evidence("repetition.dup_5", 0.4, "one two three four five six. " * 3, "")
    assert found.note.endswith("occurs 3 times")
    assert found.text == "one two three four five"


def test_a_repeated_line_is_found_as_a_line_and_as_it_stands():
    text = "Shop New Releases today\n  Shop\nShop\nx y z\nShop\nx y z\n\n\nx y z"
    found = evidence("repetition.dup_lines", 0.4, text, "")
    assert (found.start, found.text) == (text.index("x y z"), "x y z")
    assert found.note == "this line occurs 3 times; 2 lines repeat, their second and later copies hold 14 characters"
    lines = text.replace("x y z", "")
    assert evidence("repetition.dup_lines", 0.4, lines, "").start == lines.index("\nShop\n") + 1
    assert evidence("repetition.dup_paragraphs", 0.4, "a b\n\nc\n\n\na b\n", "").note == "this paragraph occurs 2 times"


def test_lines_are_counted_as_the_signal_counts_them_and_one_is_shown():
    found = evidence("final.line_punct", 0.25, "", "Ends here.\nThis does not\n\nNor this")
    assert (found.text, found.note) == (
        "This does not",
        "3 of 4 lines have no mark of a sentence's end, here the first",
    )
    assert evidence("final.short_lines", 1.0, "", "\n\nshort").note.startswith("3 of 3 lines")
    assert evidence("text.ellipsis_lines", 0.5, "go on ...  \nend", "").note.startswith("1 of 2 lines end")
