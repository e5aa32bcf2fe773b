"""Text of strangers made harmless for a page or a Markdown file: it is shown and never obeyed.

Everything is escaped; marks that hide or reorder what follows (controls, bidirectional overrides, zero-width and tag
characters) appear by their number.
"""

from __future__ import annotations

import html
import re

# Joiners (U+200C, U+200D) stay: Persian and emoji need them, and they reorder nothing.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    """The text with every hidden or reordering character spelt as its number. Line breaks and tabs stay."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text.replace("\r\n", "\n").replace("\r", "\n"))


def escape(text: object) -> str:
    """Safe between tags and inside a quoted attribute."""
    return html.escape(visible(str(text)), quote=True)


# What Markdown obeys inside a line, and the beginnings that GitHub turns into links by itself.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~&#!@]|(?<=www)\.|:(?=//)", re.IGNORECASE)


def markdown(text: object) -> str:
    """Safe in a Markdown table or paragraph: one line, no markup, no links."""
    line = " ".join(visible(str(text)).split())
    return _MARKUP.sub(lambda found: f"&#{ord(found.group())};", line)
