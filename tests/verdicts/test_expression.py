from __future__ import annotations

import pyarrow as pa
import pytest

from tamis.verdicts.expression import ExpressionError, Limit, parse, unknown_signal
from tamis.verdicts.sql import Parser


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("text.words >= 50", [("text.words", ">=", 50)]),
        ("50 <= text.words", [("text.words", ">=", 50)]),
        ("text.mean_word between 3 and 10", [("text.mean_word", ">=", 3), ("text.mean_word", "<=", 10)]),
        ("lang.code = 'en' and lang.score >= 0.65", [("lang.code", "=", "en"), ("lang.score", ">=", 0.65)]),
        ("lang.spaced", [("lang.spaced", "=", True)]),
        ("not lang.spaced", [("lang.spaced", "=", False)]),
        ("document.extracted = true", [("document.extracted", "=", True)]),
        ("text.mean_word > -1.5", [("text.mean_word", ">", -1.5)]),
        ("text.words > 1 or text.lines > 2", []),
        ("text.words > text.lines", []),
        ("text.words * 2 > 10", []),
        ("url.blocked is null", []),
        ("lang.code in ('en', 'de')", []),
        ("text.words > 3 -- a comment", [("text.words", ">", 3)]),
    ],
)
def test_thresholds_are_read_from_conjunctions_only(signals, text, limits):
    with Parser() as parser:
        assert parse(text, signals, parser).limits == tuple(Limit(*limit) for limit in limits)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("text.words", "bigint"),
        ("text.words >", "no SQL expression"),
        ("(select true)", "subquery"),
        ("exists (select 1)", "subquery"),
        ("text.words > (select 1)", "subquery"),
        ("count(*) > 1", "count_star"),
        ("sum(text.words) > 1", "sum"),
        ("row_number() over () > 1", "window"),
        ("$1 > 2", "parameter"),
        ("read_text('x') is null", "read_text"),
        ("getenv('HOME') = 'x'", "getenv"),
        ("random() > 0.5", "random"),
        ("now() is null", "now"),
        ("current_setting('threads') = '1'", "current_setting"),
        ("nextval('x') > 1", "nextval"),
        ("[x for x in [1]] is null", "not allowed"),
        ("1; drop table x", "no SQL expression"),
        ("true) from (select 1", "not a query"),
        ("true), (true", "not a query"),
        ("true) where (true", "not a query"),
        ("lang.code > 2", "types do not fit"),
        ("cast(lang.code as integer) > 2", "types do not fit"),
        ("signals.position > 2", "unknown signal"),
    ],
)
def test_anything_but_a_boolean_over_signals_is_refused(signals, text, part):
    with Parser() as parser, pytest.raises(ExpressionError, match=part):
        parse(text, signals, parser)


def test_an_unknown_signal_gets_the_near_name_and_its_group(signals):
    with Parser() as parser, pytest.raises(ExpressionError) as error:
        parse("text.word > 3", signals, parser)
    assert error.value.signal == "text.word"
    assert "did you mean text.words?" in str(error.value)
    assert "Group `text` has bytes, chars, words" in str(error.value)


def test_a_bare_column_name_is_completed(signals):
    with Parser() as parser, pytest.raises(ExpressionError, match=r"did you mean lang\.score\?"):
        parse("score > 0.5", signals, parser)


def test_names_are_exact_and_columns_keep_the_order_of_the_text():
    signals = {"a.x": pa.int64(), "b.y": pa.float64()}
    with Parser() as parser:
        found = parse("b.y > 1 and a.x < 2 and b.y < 3", signals, parser)
        assert found.columns == ("b.y", "a.x")
        with pytest.raises(ExpressionError, match="unknown signal"):
            parse("A.x < 2", signals, parser)


def test_signals_that_a_recipe_asks_for_name_their_key() -> None:
    assert "with `decontaminate`" in unknown_signal("eval.score", {"text.words": pa.int64()})
    assert "did you mean eval.score?" in unknown_signal("eval.scor", {"eval.score": pa.float64()})


def test_the_verb_named_lists_the_signals() -> None:
    signals = {"eval.score": pa.float64(), "text.words": pa.int64()}
    assert "(`tamis rules --signals --work W` lists all" in unknown_signal("eval.scor", signals)
    assert "(`tamis rules --signals` lists all" in unknown_signal("text.wrods", signals)
    assert "(`tamis rules --signals` lists all" in unknown_signal("nothing.like_it", signals)
