"""The guideline as HTML. It is the task owner's text, yet raw HTML in it stays text, and links leave no trace."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup


@lru_cache(maxsize=32)
def guideline_html(markdown: str) -> Markup:
    """CommonMark with tables. HTML is escaped, pictures become links (the page's policy loads none from elsewhere),
    links other than http, https and mailto stay text."""
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")
    parser.validateLink = _allowed  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _link)
    # A guideline's title stands below the page's own.
    return Markup(parser.render(markdown))


def _allowed(url: str) -> bool:
    return url.lower().startswith(("http://", "https://", "mailto:", "#"))


def _link(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    tokens[index].attrSet("target", "_blank")
    return str(self.renderToken(tokens, index, options, env))
