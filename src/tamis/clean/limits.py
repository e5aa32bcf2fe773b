"""The size and the depth of an HTML page, bounded from its bytes before anything parses it.

A parser's time grows with the square of the nesting, and a few kilobytes of unclosed formatting elements make it
build hundreds of millions of nodes. Content must never depend on a clock, so such pages are refused by counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.kernels import html_bounds

# Elements that never contain others, or that HTML closes by itself where the next one of their kind begins
# (HTML standard, 13.1.2.4): many pages leave them open thousands of times, and the tree stays flat. `a` is closed
# by the next `a` (13.2.6.4.7).
_FLAT = """area a base br col embed hr img input link meta param source track wbr frame keygen basefont bgsound command
    p li dt dd tr td th tbody thead tfoot colgroup caption option optgroup rb rp rt rtc html head body script style
    textarea title noscript iframe xmp"""
# HTML elements: "/>" does not close them. Everything else is taken for SVG or MathML, where it does.
_HTML = """abbr acronym address applet article aside audio b bdi bdo big blockquote button canvas center cite code data
    datalist del details dfn dialog dir div dl em fieldset figcaption figure font footer form frameset h1 h2 h3 h4 h5
    h6 header hgroup i ins kbd label legend main map mark marquee menu meter nav nobr object ol output picture pre
    progress q ruby s samp section select slot small span strike strong sub summary sup svg table template time tt u
    ul var video math"""
# Formatting elements (13.2.4.3) that stay open are opened again in every block that follows.
_FORMATTING = "b big code em font i nobr s small strike strong tt u"
_NAME_BYTES = 8
_REOPENED = 64  # open formatting elements up to here are ordinary; above, every later element may repeat them
_LONG_TAG = 1 << 16
_ATTRIBUTES = 20_000


class Size(NamedTuple):
    """Upper bounds for a page: `nodes` of its tree and `depth` of nesting."""

    nodes: int
    depth: int


def _pack(names: str) -> npt.NDArray[np.uint64]:
    padded = [name.encode()[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0") for name in names.split()]
    return np.unique(np.frombuffer(b"".join(padded), dtype=">u8").astype(np.uint64))


_FLAT_KEYS, _HTML_KEYS, _FORMATTING_KEYS = _pack(_FLAT), _pack(_HTML), _pack(_FORMATTING)


def measure(html: bytes, depth_limit: int = 0, node_limit: int | None = None) -> Size:
    """Bounds of the tree that `html` (any encoding that agrees with ASCII) can give; a microsecond per KB.

    Nodes: every "<" gives an element and a text at most; formatting elements that stay open count again with each
    later tag; attributes of absurd tags count by their square, for a parser compares each with every other. Depth:
    over the names of elements, the sum of how many were ever open at once, where an end tag closes only its own
    name; names of `_FLAT` are left out. A page with no more than `depth_limit` tags is not looked at closer: it
    cannot be deeper than that; nor is one that has more than `node_limit` nodes by its tags alone (its depth is
    given as 0).
    """
    tags = html.count(b"<")
    if tags <= depth_limit and len(html) < _LONG_TAG:
        return Size(2 * tags + 1, tags)
    if node_limit is not None and 2 * tags + 1 > node_limit:
        return Size(2 * tags + 1, 0)
    tags, attributes, depth, formatting = html_bounds(
        html, _FLAT_KEYS, _HTML_KEYS, _FORMATTING_KEYS, _LONG_TAG, _ATTRIBUTES
    )
    nodes = 2 * tags + 1 + attributes
    if formatting > _REOPENED:
        nodes += formatting * tags
    return Size(nodes, depth)
