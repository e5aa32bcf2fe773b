"""Bounds of a page's tree against trees that are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.clean.limits import measure


@pytest.mark.parametrize(
    ("page", "depth"),
    [
        (b"<div>" * 1000 + b"</div>" * 1000, 1000),
        (b"<div></div>" * 1000, 1),
        (b"</div>" * 1000 + b"<div>" * 1000, 1000),  # end tags without a beginning do not pay for later ones
        (b"<div></span>" * 1000, 1000),
        (b"<DIV><Div>" * 500, 1000),
        (b"<p>" * 1000 + b"<li>" * 1000 + b"<td>" * 10 + b"<br><img src=x>" * 1000, 0),  # never nest
        (b"<svg><path d=''/><g/></svg>" * 1000, 1),  # "/>" closes in SVG,
        (b"<div/>" * 1000, 1000),  # but not in HTML
        (b"<x-card><b>" * 300, 600),
        (b"<div>\" + '<\\/div>'" * 1000, 1),
        (b"< a <3 <= <", 0),
        (b"", 0),
    ],
)
def test_depth(page: bytes, depth: int) -> None:
    assert measure(page).depth == depth


def test_nodes_count_what_formatting_elements_repeat() -> None:
    page = b"".join(b"<font size=%d>" % n for n in range(500)) + b"<p>x" * 5000
    assert measure(page).nodes > 1_000_000
    assert measure(b"<p>x</p>" * 5000).nodes < 25_000


def test_absurd_attributes_count() -> None:
    page = b"<p " + b" ".join(b"a%d=1" % n for n in range(50_000)) + b">"
    assert measure(page, 500).nodes > 1_000_000


@given(
    st.binary(max_size=60), st.lists(st.sampled_from([b"<", b"</", b"<div", b">", b"/>", b"<b ", b"<\\/"]), max_size=30)
)
def test_any_bytes(junk: bytes, parts: list[bytes]) -> None:
    size = measure(junk.join(parts) + junk)
    assert size.nodes >= 1
    assert size.depth >= 0
