"""The size and the depth of an HTML page, bounded from its bytes before anything parses it.

A parser's time grows with the square of the nesting, and a few kilobytes of unclosed formatting elements make it
build hundreds of millions of nodes. Content must never depend on a clock, so such pages are refused by counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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
    """Bounds of the tree that `html` (any encoding that agrees with ASCII) can give; a few microseconds per KB.

    Nodes: every "<" gives an element and a text at most; formatting elements that stay open count again with each
    later tag. Depth: over the names of elements, the sum of how many were ever open at once, where an end tag
    closes only its own name; names of `_FLAT` are left out. A page with no more than `depth_limit` tags is not
    looked at closer: it cannot be deeper than that; nor is one that has more than `node_limit` nodes by its tags
    alone (its depth is given as 0). Memory: the page and about 200 bytes a tag.
    """
    tags = html.count(b"<")
    if tags <= depth_limit and len(html) < _LONG_TAG:
        return Size(2 * tags + 1, tags)
    if node_limit is not None and 2 * tags + 1 > node_limit:
        return Size(2 * tags + 1, 0)
    data = np.frombuffer(html + b"\0" * (_NAME_BYTES + 2), dtype=np.uint8)
    at = np.flatnonzero(data[: len(html)] == ord("<"))
    # "<\/div>" is how scripts write an end tag inside a string.
    escaped = (data[at + 1] == ord("\\")) & (data[at + 2] == ord("/"))
    closing = escaped | (data[at + 1] == ord("/"))
    first = at + 1 + closing + escaped
    letters = data[first] | 0x20
    named = (letters >= ord("a")) & (letters <= ord("z"))
    at, closing, first = at[named], closing[named], first[named]
    if len(at) == 0:
        return Size(2 * tags + 1, 0)
    key = _names(data, first)
    ends = np.append(np.flatnonzero(data[: len(html)] == ord(">")), len(html))
    end = ends[np.searchsorted(ends, at)]
    attributes = _attributes(html, at, end)
    counted = ~_member(key, _FLAT_KEYS) & ~((data[end - 1] == ord("/")) & ~_member(key, _HTML_KEYS))
    depth, formatting = _depth(key[counted], closing[counted])
    nodes = 2 * tags + 1 + attributes
    if formatting > _REOPENED:
        nodes += formatting * tags
    return Size(nodes, depth)


def _names(data: npt.NDArray[np.uint8], first: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each tag's name, lower case, as one number: uint64 (tags,)."""
    window = data[first[:, None] + np.arange(_NAME_BYTES)]
    letter = ((window | 0x20) >= ord("a")) & ((window | 0x20) <= ord("z"))
    digit = (window >= ord("0")) & (window <= ord("9"))
    inside = np.logical_and.accumulate(letter | digit | (window == ord("-")), axis=1)
    window = np.where(letter, window | 0x20, window) * inside
    return np.ascontiguousarray(window).view(">u8").ravel().astype(np.uint64)


def _member(key: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    where = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
    found: npt.NDArray[np.bool_] = keys[where] == key
    return found


def _attributes(html: bytes, at: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> int:
    """Attributes of absurd tags: a parser compares each with every other, so their square is what they cost."""
    total = 0
    for start, stop in zip(*(side[end - at > _LONG_TAG].tolist() for side in (at, end)), strict=True):
        count = len(html[start:stop].split())
        if count > _ATTRIBUTES:
            total += count * count
    return total


def _depth(key: npt.NDArray[np.uint64], closing: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Sum over names of the most that were open at once, and the same over formatting elements alone."""
    if len(key) == 0:
        return 0, 0
    order = np.argsort(key, kind="stable")
    key, step = key[order], np.where(closing[order], -1, 1)
    bounds = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    depth = formatting = 0
    for start, stop in zip(bounds.tolist(), [*bounds[1:].tolist(), len(key)], strict=True):
        level = np.cumsum(step[start:stop])
        # End tags without a beginning close nothing: the level starts again from there.
        most = int((level - np.minimum(np.minimum.accumulate(level), 0)).max())
        depth += most
        if _member(key[start : start + 1], _FORMATTING_KEYS)[0]:
            formatting += most
    return depth, formatting
