from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tamis.verdicts.display import amount, columns, number, printable, value
from tamis.verdicts.expression import Limit


@given(st.text())
def test_printable_text_is_one_harmless_line(text):
    shown = printable(text)
    assert len(shown) >= len(text)
    assert not any(character in shown for character in "\n\r\x1b\u202e\u200b\u2028\x07")


def test_escapes_say_what_was_there():
    assert printable("a\x1b[31mb\n\u202ec") == "a\\x1b[31mb\\n\\u202ec"
    assert printable("abcdefgh", 6) == "abc..."


def test_numbers_stand_on_their_side_of_the_limit():
    limit = [Limit("a.b", "<=", 0.2)]
    assert number(0.2003, limit) == "0.2003"
    assert number(0.31, limit) == "0.31"
    assert number(0.0144, [Limit("a.b", "<", 0.01)]) == "0.014"  # not "0.01 < 0.01"
    assert number(0.01, [Limit("a.b", "<", 0.01)]) == "0.01"
    assert number(0.797, [Limit("a.b", "<=", 0.8)]) == "0.797"
    assert number(0.2, limit) == "0.20"
    assert number(0.0004, limit) == "0.0004"
    assert number(1234, []) == "1,234"
    assert number(None, limit) == "-"


def test_values_and_amounts():
    assert [value(one) for one in (None, True, 1234, 0.5, "x\n")] == ["-", "yes", "1,234", "0.50", "x\\n"]
    assert [amount(one) for one in (812, 41_300, 2_100_000, 1.4e9)] == ["812", "41.3 k", "2.1 M", "1.4 G"]


def test_columns_are_aligned():
    assert columns([["a", "bb"], ["ccc", "d"]], (False, True)) == ["a    bb", "ccc   d"]
