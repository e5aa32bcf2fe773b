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

# Elements that never hold the text of a page: controls, dialogs, and what authors hide from readers of the screen.
_SKIP = ("button", "[role=navigation]", "[aria-hidden=true]", "[role=dialog]", "[role=alert]")
_FRAME = ("nav", "aside", "footer", "header", *_SKIP)
# The main-content heuristics find little on some pages. Where they give fewer than _SHORT characters, or less than
# _SHARE of all text outside the page's frame (looked at when they give less than _SPARSE of the HTML), all text
# outside the frame is taken.
_SHORT = 400
_SPARSE = 0.005
_SHARE = 0.15
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
    """(text, title, failure). Parses once; a page with little main text is walked twice."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLParserException, HTMLTree

    try:
        tree = HTMLTree.parse(source)
        title = " ".join((tree.title or "").split())
        text: str = extract_plain_text(tree, main_content=True, alt_texts=False, noscript=True, skip_elements=_SKIP)
        if len(text) < max(_SHORT, _SPARSE * len(source)):
            whole: str = extract_plain_text(tree, alt_texts=False, noscript=True, skip_elements=_FRAME)
            if len(text) < max(_SHORT, _SHARE * len(whole)):
                text = whole
    except (HTMLParserException, UnicodeError) as error:
        return "", "", f"{type(error).__name__}: {error}"[:200]
    return text, title, ""


def _trafilatura(source: str) -> tuple[str, str, str]:
    try:
        import trafilatura
        from lxml.etree import LxmlError  # type: ignore[import-untyped]
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
