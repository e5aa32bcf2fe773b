"""The page is made from real documents and from hostile ones; what matters is that text stays text."""

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.corpus import card
from tamis.corpus.inert import escape, markdown, visible
from tamis.corpus.report import render
from tamis.corpus.report_data import (
    ClusterRow,
    Count,
    Histogram,
    LedgerRow,
    Limit,
    LossRow,
    ReportData,
    RuleRow,
    Sample,
    ShardRow,
    SourceRow,
    StageRow,
    TextRow,
    TokensRow,
    align,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)> ' onmouseover='x",
    "javascript:alert(1) \u202etxt.exe\u202c \u0000 \U000e0041",
    "| a | b |\n# [click](javascript:alert(1)) `x` <b>",
]
LANGUAGES = [
    "en",
    "de",
    "fr",
    "es",
    "ru",
    "zh",
    "ja",
    "ko",
    "ar",
    "he",
    "fa",
    "hi",
    "bn",
    "th",
    "vi",
    "tr",
    "pl",
    "nl",
    "pt",
    "it",
    "cs",
    "sv",
    "da",
    "fi",
    "nb",
    "hu",
    "el",
    "ro",
    "bg",
    "uk",
    "sk",
    "sl",
    "lt",
    "ca",
    "und",
]


def digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def report_data(folder: Path) -> ReportData:
    """Realistic figures around real documents in nine languages and a few hostile ones."""
    draws = np.random.default_rng(3)
    table = pq.read_table(folder / "text" / "multilingual.parquet").slice(0, 4000).to_pylist()
    by_language: dict[str, list[dict[str, str]]] = {}
    for row in table:
        by_language.setdefault(row["lang"], []).append(row)

    def sample(row: dict[str, str], *reasons: str) -> Sample:
        text = row["text"]
        return Sample(digest(text), "debdocs", row["lang"], row["url"], text[:700], len(text), reasons)

    picked = [rows[len(rows) // 2] for rows in by_language.values()]
    hostile = [
        Sample(digest(text), "pages", "und", f"https://example.org/{text}", text, len(text), ("mean_word",))
        for text in HOSTILE
    ]
    names = {
        "short": ("text.words >= 50", "gopher: Rae et al. 2021, Table A1"),
        "mean_word": ("text.mean_word between 3 and 10", "gopher: Rae et al. 2021, Table A1"),
        "top_2": ("repetition.top_2 <= 0.2", "gopher: Rae et al. 2021, Table A1"),
        "dup_lines": ("repetition.dup_line_chars <= 0.2", "gopher: Rae et al. 2021, Table A1"),
        "line_punct": ("final.line_punct >= 0.12  (where lang.spaced)", "fineweb: Penedo et al. 2024, 3.6"),
        "lorem_ipsum": ("c4.lorem_ipsum = 0", "c4: Raffel et al. 2020, section 2.2"),
    }
    counts = []
    for source, weight in (("pages", 0.12), ("debdocs", 1.0)):
        for place, language in enumerate(LANGUAGES):
            whole = int(weight * 5200 / (1 + place) ** 1.1) + 3
            for reason, share in ((None, 0.62), ("duplicate", 0.14), ("short", 0.1), ("top_2", 0.07)):
                n = int(whole * share)
                counts.append(Count(source, language, reason, n, n * int(draws.integers(2000, 9000))))
    first = {"duplicate": 0, "short": 0, "top_2": 0}
    for count in counts:
        if count.reason:
            first[count.reason] += count.documents
    chosen = {"short": picked[:3], "top_2": picked[3:6], "mean_word": []}
    rules = [
        RuleRow(
            name,
            expression,
            source,
            first.get(name, 0),
            first.get(name, 0) * 2 + 7,
            first.get(name, 0) // 2,
            tuple(hostile) if name == "mean_word" else tuple(sample(row, name) for row in chosen.get(name, ())),
        )
        for name, (expression, source) in names.items()
    ]
    rules.append(RuleRow("duplicate", "a verified edge to a kept document", "dedup", first["duplicate"], 900, 700))

    def histogram(signal: str, unit: str, values: np.ndarray, log: bool, *limits: Limit) -> Histogram:
        low, high = 0.0, float(np.quantile(values, 0.995))
        edges = np.expm1(np.linspace(0, np.log1p(high), 49)) if log else np.linspace(low, high, 49)
        found = np.histogram(np.clip(values, low, high), edges)[0]
        above = int((values > high).sum())
        return Histogram(signal, unit, "", tuple(edges.tolist()), tuple(found.tolist()), 0, above, 31, log, limits)

    words = np.array([len(row["text"].split()) for row in table], float)
    histograms = (
        histogram("text.words", "words", words, True, Limit("short", ">=", 50), Limit("long", "<=", 100_000)),
        histogram(
            "text.mean_word",
            "characters per word",
            np.array([len(row["text"]) / max(1, len(row["text"].split())) for row in table]),
            False,
            Limit("mean_word", ">=", 3),
            Limit("mean_word", "<=", 10),
        ),
        histogram("repetition.top_2", "share", draws.beta(2, 18, 4000), False, Limit("top_2", "<=", 0.2)),
        histogram("final.line_punct", "share", draws.beta(2, 3, 4000), False, Limit("line_punct", ">=", 0.12)),
    )
    one = by_language["de"][0] if "de" in by_language else table[0]
    changed = {**one, "text": one["text"].replace("und", "oder").replace(" die ", " <b>die</b> ")}
    clusters = (ClusterRow(41, 0.873, sample(one), sample(changed, "duplicate"), align(one["text"], changed["text"])),)
    documents = sum(count.documents for count in counts)
    tally = {"web": 9_100_000, "books": 2_300_000}
    return ReportData(
        name="web",
        recipe_label="web.yaml",
        recipe_digest=digest("recipe"),
        recipe="name: web\nseed: 17\nsources:\n  - {name: pages, path: '<b>data</b>/*.warc.gz'}\n",
        seed=17,
        sources=(
            SourceRow("pages", ("data/pages.warc.gz",), "third-party pages", 2300, 0),
            SourceRow("debdocs", ("data/debdocs-*.warc.gz",), "GFDL, GPL, CC-BY-SA", documents, 0),
        ),
        counts=tuple(counts),
        rules=tuple(rules),
        histograms=histograms,
        clusters=clusters,
        duplicates=first["duplicate"],
        survivors=903,
        mixture=tuple(
            {
                "source": name,
                "weight": 0.5,
                "rate": 1.25,
                "available_tokens": n,
                "planned_tokens": n,
                "tokens": n - 991,
                "planned_share": 0.5,
                "share": 0.499,
                "documents": n // 900,
            }
            for name, n in tally.items()
        ),
        limited_by=("books",),
        text=TextRow(3, 12_000),
        tokens=TokensRow(
            11_400_000,
            12_000,
            "uint16",
            16_384,
            digest("t") * 2,
            2048,
            tuple(ShardRow(f"{n:05d}.bin", 3_800_000, 4000, digest(str(n)) * 2) for n in range(3)),
        ),
        ledger=(
            LedgerRow(
                "documents", "records", documents + 2300, documents, {"skipped.request": 2000, "skipped.mime": 300}
            ),
            LedgerRow("verdicts", "documents", documents, documents - sum(first.values()), first),
        ),
        losses=(
            LossRow("skipped.request", 2000, (("pages.warc.gz", 4096, ""),)),
            LossRow("skipped.mime", 300, (("pages.warc.gz", 9120, "image/png <x>"),)),
        ),
        lineage=(StageRow("documents", 8, 41_000_000, digest("a")), StageRow("signals", 56, 3_100_000, digest("b"))),
        versions={"tamis": "0.1.0", "kernels": "native kernels (avx512)", "pyarrow": "26.0.1"},
    )


@pytest.fixture(scope="module")
def data(data_dir: Path) -> ReportData:
    return report_data(data_dir)


class Elements(HTMLParser):
    """Collects every element with its attributes, and the text outside of style and script."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text.append(data)


OURS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "div",
    "nav",
    "a",
    "button",
    "main",
    "header",
    "h1",
    "h2",
    "h3",
    "p",
    "code",
    "section",
    "span",
    "b",
    "i",
    "table",
    "thead",
    "tr",
    "th",
    "tbody",
    "td",
    "figure",
    "figcaption",
    "svg",
    "rect",
    "line",
    "text",
    "details",
    "summary",
    "article",
    "ins",
    "del",
    "br",
    "pre",
    "em",
    "script",
}


def test_text_of_documents_is_inert(data: ReportData) -> None:
    page = render(data)
    seen = Elements()
    seen.feed(page)
    assert {tag for tag, _ in seen.found} <= OURS
    assert [tag for tag, _ in seen.found].count("script") == 1
    for tag, attributes in seen.found:
        assert not any(name.startswith("on") or name in ("src", "srcset", "action") for name in attributes)
        if "href" in attributes:
            assert (tag, (attributes["href"] or "")[0]) == ("a", "#")
    text = "".join(seen.text)
    for one in HOSTILE:
        assert visible(one) in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", page)


def test_nothing_is_fetched(data: ReportData) -> None:
    page = render(data)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    script = page[page.rindex("<script>") + 8 : page.rindex("</script>")]
    assert not re.search(r"fetch|XMLHttp|innerHTML|import|eval", script)


def test_the_same_data_give_the_same_page(data: ReportData) -> None:
    assert render(data) == render(data)
    assert card.render(data) == card.render(data)


def test_an_empty_corpus_has_a_page() -> None:
    empty = ReportData("none", "x.yaml", "0" * 32, "", 1, (), (), ())
    assert "No records were read" in render(empty)
    assert "none" in card.render(empty)


def test_the_card_holds_no_live_markup(data: ReportData) -> None:
    text = card.render(data)
    assert "<script" not in text
    assert "| debdocs |" in text
    assert "| GFDL, GPL, CC-BY-SA |" in text


def test_markdown_makes_no_link_or_markup() -> None:
    line = markdown("see https://x.org, WWW.x.org, a@b.c, [t](u), <b>, `x`\n| y")
    assert "://" not in line
    assert "WWW." not in line
    assert not set("@[]<>`|\n") & set(line)


@given(st.text())
def test_escaped_text_cannot_leave_its_place(text: str) -> None:
    assert not set("<>\"'") & set(escape(text))
    assert not set("\n|<>[]`*_#") & set(re.sub(r"&#\d+;", "", markdown(text)))


def test_alignment_shows_what_differs() -> None:
    same = " ".join(f"w{n}" for n in range(60))
    found = align(f"{same} red end", f"{same} blue end")
    assert ("kept", "red") in found
    assert ("lost", "blue") in found
    assert found[0][0] == "gap"
    assert align("", "") == ()
