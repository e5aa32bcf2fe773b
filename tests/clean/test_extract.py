"""Extraction: limits, reasons, and quality on pages with gold text."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tamis.clean.extract import ExtractOptions, MissingExtractor, extract

PAGE = b"""<!doctype html><html><head><title> A  title </title></head><body><nav><a href=/>Home</a></nav><article>
<h1>Heading</h1><p>A first paragraph that is long enough to be taken for the text of a page by anybody.</p>
<ul><li>one<li>two</ul><p>Second.</p></article><footer>Imprint</footer></body></html>"""


def test_a_page() -> None:
    found = extract(PAGE, "html")
    assert found.text is not None
    assert found.reason is None
    assert found.meta == {"charset": "ascii", "title": "A title"}
    assert [line for line in found.text.split("\n") if line] == [
        "Heading",
        "A first paragraph that is long enough to be taken for the text of a page by anybody.",
        "  • one",
        "  • two",
        "Second.",
    ]


def test_plain_text_keeps_everything_but_foreign_line_breaks() -> None:
    found = extract(b"  a\r\nb\rc\n\n<p>\t", "text")
    assert found.text == "  a\nb\nc\n\n<p>\t"


@pytest.mark.parametrize(
    ("payload", "kind", "reason"),
    [
        (b"x" * 2001, "text", "extract.too_large"),
        (b" \n\t", "text", "extract.empty"),
        (b"", "html", "extract.empty"),
        (b"<html><script>alert(1)</script>", "html", "extract.empty"),
        (b"<div>" * 60 + b"x", "html", "extract.too_deep"),
        (b"<p>x" * 400, "html", "extract.too_many_nodes"),
    ],
)
def test_reasons(payload: bytes, kind: str, reason: str) -> None:
    options = ExtractOptions(max_bytes=2000, max_nodes=500, max_depth=50)
    found = extract(payload, kind, options=options)  # type: ignore[arg-type]
    assert (found.text, found.reason) == (None, reason)


@pytest.mark.parametrize(
    "page",
    [
        b"<div>" * 200_000 + b"x",
        b"".join(b"<font size=%d>" % n for n in range(5000)) + b"<p>x" * 5000,
        b"<b>" * 100_000,
        b"<table><tr><td>" * 100_000,
        b"<a" * 5_000_000,
        b"<svg>" + b"<g>" * 100_000,
        b"<p " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">",
    ],
)
def test_hostile_pages_are_refused_before_they_are_parsed(page: bytes) -> None:
    assert extract(page, "html").reason in ("extract.too_deep", "extract.too_many_nodes")


def test_surrogates_and_controls_in_entities() -> None:
    found = extract(b"<p>" + b"a&#xD800;b&#0;c&#13;d " * 30, "html")
    assert found.text is not None
    found.text.encode()
    assert "\r" not in found.text


def test_trafilatura_is_an_option(require: Callable[[object, str], None]) -> None:
    require(find_spec("trafilatura"), "trafilatura is not installed: pip install 'tamis[extract]'")
    found = extract(PAGE.replace(b"Second.", b"Second. " * 60), "html", options=ExtractOptions("trafilatura"))
    assert found.text is not None
    assert "Second." in found.text
    assert found.meta["title"] == "A title"


def test_a_missing_extractor_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(MissingExtractor, match="pip install"):
        extract(PAGE, "html", options=ExtractOptions("trafilatura"))


def test_options_from_the_recipe() -> None:
    options = ExtractOptions.from_params({"extractor": "trafilatura", "unicode": True, "limits": {"bytes": 5}})
    assert options == ExtractOptions("trafilatura", max_bytes=5)


TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")


def test_quality_on_pages_with_gold_text(data_dir: Path) -> None:
    """Mean token F1 over the first pages stays at what was measured when the settings were chosen (0.84)."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    gold = {row["url"]: row["text"] for row in pq.read_table(data_dir / "web" / "pages-gold.parquet").to_pylist()}
    scores = []
    with open(data_dir / "web" / "pages.warc.gz", "rb") as stream:
        for record in ArchiveIterator(stream, parse_http=True, record_types=WarcRecordType.response):
            url = record.headers.get("WARC-Target-URI")
            if url in gold:
                text = extract(record.reader.read(), "html", record.http_charset).text or ""
                made, wanted = (Counter(TOKEN.findall(t.lower())) for t in (text, gold[url]))
                scores.append(2 * (made & wanted).total() / max(1, made.total() + wanted.total()))
            if len(scores) == 120:
                break
    assert sum(scores) / len(scores) > 0.8
