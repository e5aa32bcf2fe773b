"""The vectorised count against a plain reading of its own rule."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.signals.sentences import CLOSERS, SPACED, SPACES, WIDE, sentences

_RUN = re.compile(f"[{re.escape(SPACED + WIDE)}]+")
_ALL_CLOSERS = re.compile(f"[{re.escape(CLOSERS)}]{{0,3}}")


def spec(text: str) -> int:
    count, last = 0, 0
    for run in _RUN.finditer(text):
        start, end = run.span()
        closers = _ALL_CLOSERS.match(text, end)
        assert closers
        after = closers.end()
        wide = any(c in WIDE for c in run.group())
        if not (wide or after == len(text) or text[after] in SPACES):
            continue
        if run.group() == "." and start:
            line = text[:start].rpartition("\n")[2]
            if text[start - 1] in "\t\n\v\f\r " or re.fullmatch(r"[0-9]{1,3}", line):
                continue
        count, last = count + 1, after
    return count + bool(text[last:].strip(" \t\n\v\f\r"))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n", 0),
        ("Home", 1),
        ("One. Two! Three?", 3),
        ("It costs 3.14 at example.org. Fine.", 2),
        ('He said "Stop!" and left. (Really?) Yes', 4),
        ("Wait... what?!", 2),
        ("今天天气很好。我们去公园吧！好吗？", 3),
        ("これは本です。「はい。」それだけ", 3),
        ("यह एक वाक्य है। यह दूसरा है।", 2),
        ("هل هذا صحيح؟ نعم.", 2),
        ("1. Introduction\n2. Methods\n", 1),
        ("Wait . . . done. End.", 2),
        ("In 1984. Then.", 2),
    ],
)
def test_examples(text: str, count: int) -> None:
    assert sentences(pa.array([text], pa.large_string())).tolist() == [count]
    assert spec(text) == count


_ALPHABET = "a1 .!?…\n\t\"')»”。！।؟\u3000\xa0\u2003漢é"


@given(st.lists(st.text(alphabet=_ALPHABET, max_size=30), max_size=5))
def test_equals_the_specification(texts: list[str]) -> None:
    assert sentences(pa.array(texts, pa.large_string())).tolist() == [spec(text) for text in texts]


@given(st.lists(st.text(max_size=20), min_size=2, max_size=4))
def test_documents_do_not_touch_each_other(texts: list[str]) -> None:
    array = pa.array(texts, pa.large_string())
    alone = [int(sentences(array.slice(i, 1))[0]) for i in range(len(texts))]
    assert sentences(array).tolist() == alone
