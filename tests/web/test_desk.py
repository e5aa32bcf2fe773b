from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.people.answers import BadAnswer
from tamis.people.store import Assignment
from tamis.web.desk import diff_html, find_passage
from tamis.web.forms import Form
from tamis.web.language import Words
from tamis.web.site import Site
from web.serving import Server

Serve = Callable[..., Server]


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_diff_shows_both_texts(old: str, new: str) -> None:
    page = diff_html(old, new)
    assert page.count("<del>") == page.count("</del>")
    assert page.count("<ins>") == page.count("</ins>")
    if old == new:
        assert "<ins>" not in page


def test_a_passage_is_found_where_it_stands() -> None:
    text = "one two\r\none two"
    assert find_passage(text, "one", 2) == (9, 12)
    assert find_passage(text, "two\r\none", 1) == (4, 12)
    assert find_passage("a\nb", "a\r\nb", 1) == (0, 3)
    assert find_passage(text, " two ", 1) == (4, 7)
    assert find_passage(text, "one", 3) is None
    assert find_passage(text, "", 1) is None


def test_keys_hide_names_and_come_back(serve: Serve) -> None:
    server = serve("preference")
    desks = Site(server.store, server.task, server.settings).desks
    names = ["answers_of.1", "answers_of.2", "answers_of.3"]
    value = [["answers_of.2"], ["answers_of.1", "answers_of.3"]]
    keyed = desks.keyed("7", value)
    assert "answers_of" not in str(keyed)
    assert desks.named("7", keyed) == value
    assert desks.named("8", keyed) != value
    row = next(iter(server.task.rows()))
    desk = desks.desk(Assignment("7", row, tuple(names), "work", 0.0, "h", 1, None, value), Words("en"))
    assert [part.place for part in desk.candidates] == [2, 1, 2]


@pytest.mark.parametrize("fields", [[], [("answer.item", "a"), ("answer.place", "")]])
def test_an_order_without_a_best_one_is_refused(serve: Serve, fields: list[tuple[str, str]]) -> None:
    server = serve("preference")
    desks = Site(server.store, server.task, server.settings).desks
    if fields:
        with pytest.raises(BadAnswer):
            desks.value(Form(fields), "7")
    else:
        assert desks.value(Form(fields), "7") == []
