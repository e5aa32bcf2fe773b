"""A record's payload to text: HTML by Resiliparse (default) or Trafilatura, plain text and Markdown as they are.

The settings were chosen by token F1 on pages with gold text; docs/cleaning.md has the figures.
"""

from __future__ import annotations

import html as html_entities
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tamis.clean.encoding import decode
from tamis.clean.limits import measure

Extractor = Literal["resiliparse", "trafilatura"]

# Elements that never hold the text of a page: its frame, controls, dialogs, and what authors hide from readers.
_SKIP = [
    "nav", "aside", "footer", "header", "button", "[role=navigation]", "[aria-hidden=true]", "[role=dialog]",
    "[role=alert]", ".sidebar", "#sidebar", ".footer", "#footer", ".header", "#header", ".navbar", ".menu",
    ".breadcrumb",
]  # fmt: skip
# How pages name the element that holds their text, the most telling name first: HTML's own, schema.org's, and those
# of common publishing systems. A name counts where exactly one element has it and it holds enough characters.
_MAIN = [
    ("class", "entry-content"), ("class", "post-content"), ("class", "article-body"), ("class", "article-content"),
    ("class", "post-body"), ("class", "story-body"), ("id", "article-body"), ("itemprop", "articleBody"),
    ("id", "mw-content-text"), ("tag", "article"), ("tag", "main"), ("role", "main"), ("id", "main-content"),
    ("class", "main-content"), ("id", "content"), ("id", "main"),
]  # fmt: skip
_ENOUGH = 800
_TITLE = re.compile(r"<title[^>]{0,200}>(.{0,2000}?)</title", re.IGNORECASE | re.DOTALL)


class MissingExtractor(RuntimeError):
    """The recipe asks for an extractor whose package is not installed."""


@dataclass(frozen=True)
class ExtractOptions:
    """How text is extracted, and the limits beyond which a page is refused: all of them decide content."""

    extractor: Extractor = "resiliparse"
    max_bytes: int = 10 << 20  # of the payload
    max_nodes: int = 200_000  # bound of the tree's nodes, `limits.measure`
    max_depth: int = 500  # bound of the tree's depth

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ExtractOptions:
        """From the recipe's section: {"extractor": name, "limits": {"bytes": n, "nodes": n, "depth": n}}."""
        limits = params.get("limits", {})
        return cls(
            extractor=params.get("extractor", cls.extractor),
            max_bytes=limits.get("bytes", cls.max_bytes),
            max_nodes=limits.get("nodes", cls.max_nodes),
            max_depth=limits.get("depth", cls.max_depth),
        )


@dataclass(slots=True)
class Extracted:
    """`text` (valid UTF-8, "\\n" as the only line break) or None with a `reason`; `meta`: charset, title, detail."""

    text: str | None
    reason: str | None
    meta: dict[str, Any] = field(default_factory=dict)


def extract(
    payload: bytes,
    kind: Literal["html", "text"],
    charset: str | None = None,
    mime: str | None = None,
    options: ExtractOptions = ExtractOptions(),
) -> Extracted:
    """The text of one record.

    `charset` is what the transport claims; see `encoding.decode`. Reasons for a null text: extract.too_large,
    extract.too_many_nodes, extract.too_deep, extract.empty, extract.failed. The result is a function of the
    arguments alone. Raises MissingExtractor if the package of `options.extractor` is not installed.
    """
    if len(payload) > options.max_bytes:
        return Extracted(None, "extract.too_large", {"detail": f"{len(payload)} bytes"})
    source, encoding = decode(payload, charset, html=kind == "html")
    meta: dict[str, Any] = {"charset": encoding}
    if kind == "text":
        return _result(source, meta)
    size = measure(source.encode() if encoding.startswith("utf-16") else payload, options.max_depth, options.max_nodes)
    if size.nodes > options.max_nodes:
        return Extracted(None, "extract.too_many_nodes", meta | {"detail": f"up to {size.nodes} nodes"})
    if size.depth > options.max_depth:
        return Extracted(None, "extract.too_deep", meta | {"detail": f"depth up to {size.depth}"})
    text, title, failure = _EXTRACTORS[options.extractor](source)
    if title:
        meta["title"] = title
    if failure:
        return Extracted(None, "extract.failed", meta | {"detail": failure})
    return _result(text, meta)


def _result(text: str, meta: dict[str, Any]) -> Extracted:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text or text.isspace():
        return Extracted(None, "extract.empty", meta)
    return Extracted(text, None, meta)


def _resiliparse(source: str) -> tuple[str, str, str]:
    """(text, title, failure). One parse and one walk: of the main element where a page names one, else of the body.

    Resiliparse's own main-content rules cost three times as much and find less; docs/cleaning.md has the figures.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLParserException, HTMLTree

    try:
        tree = HTMLTree.parse(source)
        title = " ".join((tree.title or "").split())
        body = tree.body
        main = None if body is None else _main_element(body, source)
        if body is not None and main is not None and main != body:
            main.parent.remove_child(main)
            for child in list(body.child_nodes):
                body.remove_child(child)
            body.append_child(main)
        text: str = extract_plain_text(tree, alt_texts=False, noscript=True, skip_elements=_SKIP)
    except (HTMLParserException, UnicodeError) as error:
        return "", "", f"{type(error).__name__}: {error}"[:200]
    return text, title, ""


def _main_element(body: Any, source: str) -> Any:
    """The element that holds the page's text, or None. Asks the tree only for names that occur in the source."""
    for kind, name in _MAIN:
        if (f"<{name}" if kind == "tag" else name) not in source:
            continue
        if kind == "id":
            element = body.get_element_by_id(name)
            found = [] if element is None else [element]
        elif kind == "tag":
            found = body.get_elements_by_tag_name(name)
        elif kind == "class":
            found = body.get_elements_by_class_name(name)
        else:
            found = body.get_elements_by_attr(kind, name)
        if len(found) == 1 and len(found[0].text) >= _ENOUGH:
            return found[0]
    return None


def _trafilatura(source: str) -> tuple[str, str, str]:
    try:
        import trafilatura
        from lxml.etree import LxmlError
    except ImportError as error:
        raise MissingExtractor(
            f"extractor: trafilatura needs a package that is not installed ({error}): pip install 'tamis[extract]', "
            "or write extractor: resiliparse in the recipe's section clean"
        ) from error
    match = _TITLE.search(source)
    title = " ".join(html_entities.unescape(match.group(1)).split()) if match else ""
    try:
        text = trafilatura.extract(source, include_comments=True, include_tables=True) or ""
        text.encode()
    except (LxmlError, ValueError, TypeError, AttributeError, IndexError, KeyError, RecursionError) as error:
        # Trafilatura works on hostile trees in plain Python; what it is known to raise concerns this page alone.
        return "", title, f"{type(error).__name__}: {error}"[:200]
    return text, title, ""


_EXTRACTORS = {"resiliparse": _resiliparse, "trafilatura": _trafilatura}
