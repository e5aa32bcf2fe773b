"""An example's text for a page: cut where it is too long, every hidden mark visible, never markup.

For spans the page counts code points of the original text, so marks that are spelt out keep their length of one: each
is an empty element whose name the style sheet shows, and the text between them is the original, unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup, escape

from tamis.corpus.inert import visible

# What `visible` spells out, and the carriage return, which an HTML parser would turn into a line feed.
_SPELT = re.compile("⟨U\\+([0-9A-F]{4,6})⟩")


@dataclass(frozen=True)
class Shown:
    """`html` is safe on a page; `rest` counts the characters that are left out of it."""

    html: Markup
    rest: int


def shown(text: str, most: int) -> Shown:
    """The first `most` characters of a text as safe HTML, hidden and reordering marks as elements."""
    head, rest = text[:most], max(0, len(text) - most)
    if "\r" not in head and visible(head) == head:
        return Shown(escape(head), rest)
    parts: list[str] = []
    plain = 0
    for at, character in enumerate(head):
        name = _name(character)
        if name is not None:
            parts.append(f'{escape(head[plain:at])}<b class="mark" data-mark="{name}"></b>')
            plain = at + 1
    parts.append(str(escape(head[plain:])))
    return Shown(Markup("".join(parts)), rest)


def _name(character: str) -> str | None:
    if character in "abcdefghijklmnopqrstuvwxyz \n":
        return None
    if character == "\r":
        return "CR"
    spelt = _SPELT.fullmatch(visible(character))
    return f"U+{spelt[1]}" if spelt else None
