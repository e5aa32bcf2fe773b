"""Bounds of the tree that a page of HTML can give: the plain specification of the native `html_bounds`.

Memory: the page and about 200 bytes a tag.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]

NAME_BYTES = 8


def html_bounds(
    html: bytes, flat: U64, known: U64, formatting: U64, long_tag: int, many: int
) -> tuple[int, int, int, int]:
    """(tags, attributes, depth, formatting) as `tamis.kernels.html_bounds` defines them."""
    tags = html.count(b"<")
    data = np.frombuffer(html + b"\0" * (NAME_BYTES + 4), dtype=np.uint8)
    at = np.flatnonzero(data[: len(html)] == ord("<"))
    # "<\\/div>" is how scripts write an end tag inside a string.
    escaped = (data[at + 1] == ord("\\")) & (data[at + 2] == ord("/"))
    closing = escaped | (data[at + 1] == ord("/"))
    first = at + 1 + closing + escaped
    letters = data[first] | 0x20
    named = (letters >= ord("a")) & (letters <= ord("z"))
    at, closing, first = at[named], closing[named], first[named]
    if len(at) == 0:
        return tags, 0, 0, 0
    key = _names(data, first)
    ends = np.append(np.flatnonzero(data[: len(html)] == ord(">")), len(html))
    end = ends[np.searchsorted(ends, at)]
    attributes = _attributes(html, at, end, long_tag, many)
    counted = ~_member(key, flat) & ~((data[end - 1] == ord("/")) & ~_member(key, known))
    depth, open_formatting = _depth(key[counted], closing[counted], formatting)
    return tags, attributes, depth, open_formatting


def _names(data: npt.NDArray[np.uint8], first: npt.NDArray[np.int64]) -> U64:
    """The first eight bytes of each tag's name, lower case, as one number: uint64 (tags,)."""
    window = data[first[:, None] + np.arange(NAME_BYTES)]
    letter = ((window | 0x20) >= ord("a")) & ((window | 0x20) <= ord("z"))
    digit = (window >= ord("0")) & (window <= ord("9"))
    inside = np.logical_and.accumulate(letter | digit | (window == ord("-")), axis=1)
    window = np.where(letter, window | 0x20, window) * inside
    return np.ascontiguousarray(window).view(">u8").ravel().astype(np.uint64)


def _member(key: U64, keys: U64) -> npt.NDArray[np.bool_]:
    where = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
    found: npt.NDArray[np.bool_] = keys[where] == key
    return found


def _attributes(html: bytes, at: npt.NDArray[np.int64], end: npt.NDArray[np.int64], long_tag: int, many: int) -> int:
    total = 0
    for start, stop in zip(*(side[end - at > long_tag].tolist() for side in (at, end)), strict=True):
        count = len(html[start:stop].split())
        if count > many:
            total += count * count
    return total


def _depth(key: U64, closing: npt.NDArray[np.bool_], formatting: U64) -> tuple[int, int]:
    """Sum over names of the most that were open at once, and the same over formatting elements alone."""
    if len(key) == 0:
        return 0, 0
    order = np.argsort(key, kind="stable")
    key, step = key[order], np.where(closing[order], -1, 1)
    bounds = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    depth = open_formatting = 0
    for start, stop in zip(bounds.tolist(), [*bounds[1:].tolist(), len(key)], strict=True):
        level = np.cumsum(step[start:stop])
        # End tags without a beginning close nothing: the level starts again from there.
        most = int((level - np.minimum(np.minimum.accumulate(level), 0)).max())
        depth += most
        if _member(key[start : start + 1], formatting)[0]:
            open_formatting += most
    return depth, open_formatting
