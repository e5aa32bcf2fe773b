"""The report in a real browser, made by the pipeline from hostile pages."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tamis import running
from tamis.engine import Inline

HOSTILE = [
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 2</script>",
    "</div></section><img src=https://evil.example/x.png onerror='window.ran = 3'>",
    "\"><svg onload=window.ran=4> ' onmouseover='window.ran=5",
    "<style>body{display:none}</style><link rel=stylesheet href=https://evil.example/x.css>",
    "<iframe src=https://evil.example/></iframe><base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "مرحبا بالعالم، هذا نص عربي \u202eأيضا\u202c",
    "這是一個沒有空格的很長的句子" * 30,
    "w" * 900,
    "\u0000\u0008 \ufeff\U000e0041 &lt;b&gt; &#x3c;script&#x3e;",
]
WORDS = tuple(re.findall(r"\w+", "the cat sat on a mat and saw that with have been of to be in river mountain"))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    good = [" ".join(WORDS[(n * k) % len(WORDS)] for k in range(1, 90)) + f" {n}" for n in range(40)]
    # Long ones are near duplicates of each other, so that hostile text is shown aligned too.
    long = [f"{text} {good[0]} {good[1]} {good[2]} {end}" for text in HOSTILE for end in ("one", "two")]
    lines = [
        json.dumps({"text": text, "url": f"https://example.org/{n}?{HOSTILE[n % len(HOSTILE)]}"})
        for n, text in enumerate([*HOSTILE, *good, *long])
    ]
    (folder / "docs.jsonl").write_text("\n".join([*lines, "{<script>window.ran = 6</script>"]) + "\n")
    body = {
        "seed": 3,
        "sources": [{"name": "docs", "path": str(folder / "docs.jsonl"), "licence": HOSTILE[1]}],
        "rules": {"set": {"short": "text.script_words >= 30", "upper": "text.upper_ratio <= 0.5"}},
        "tokens": {"tokenizer": {"vocab": 600, "sample_bytes": 100_000}, "context": 64},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(body, allow_unicode=True), encoding="utf-8")
    done = running.run_recipe(running.load(folder / "recipe.yaml"), folder / "work", Inline(), label=HOSTILE[2])
    return done.report


@pytest.fixture(scope="module")
def browser(require: Callable[[object, str], None]) -> Iterator[Any]:
    require(find_spec("playwright"), "playwright is not installed: pip install 'tamis[dev]'")
    chromium = os.environ.get("TAMIS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    require(chromium, "no chromium: apt-get install chromium, or name one in TAMIS_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """A page that remembers every request and every complaint."""

    def __init__(self, browser: Any, report: Path, width: int) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda line: self.complaints.append(f"{line.type}: {line.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.address = report.as_uri()
        self.page.goto(self.address)


@pytest.fixture(params=[1200, 500])
def seen(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    watched = Watched(browser, report, request.param)
    yield watched
    watched.page.close()


def test_text_of_documents_does_nothing(seen: Watched) -> None:
    page = seen.page
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for sample in page.query_selector_all("article.sample")[:40]:
        sample.scroll_into_view_if_needed()
        sample.hover()
    assert "window.ran = 1" in page.inner_text("main"), "the hostile documents are among those shown"
    assert page.evaluate("window.ran") is None
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.querySelectorAll('img, iframe, base, link, object, embed').length") == 0
    assert page.url == seen.address
    assert seen.requests == [seen.address]
    assert seen.complaints == []


def test_every_section_is_seen_and_nothing_overflows(seen: Watched) -> None:
    page = seen.page
    links = page.eval_on_selector_all("nav a", "all => all.map((one) => one.getAttribute('href').slice(1))")
    assert {"funnel", "rules", "sources", "languages", "signals", "duplicates", "mixture", "ledger", "losses"} < {
        *links
    }
    assert links == page.eval_on_selector_all("section", "all => all.map((one) => one.id)")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for name in links:
        assert page.locator(f"section#{name} h2").is_visible()
        assert page.locator(f"section#{name}").bounding_box()["height"] > 40
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_tables_sort_and_the_theme_switches(seen: Watched) -> None:
    page = seen.page
    head = page.locator("section#rules table.sortable th.n").first
    column = "section#rules table.sortable tbody tr td:nth-child(3)"
    values = "all => all.map((one) => Number(one.dataset.v))"
    head.locator("button").click()
    down = page.eval_on_selector_all(column, values)
    assert head.get_attribute("aria-sort") == "descending"
    assert len(set(down)) > 1
    assert down == sorted(down, reverse=True)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.eval_on_selector_all(column, values) == sorted(down)

    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.click("#theme")
    page.wait_for_timeout(300)
    after = page.evaluate(ground)
    assert after != before
    page.click("#theme")
    page.wait_for_timeout(300)
    assert page.evaluate(ground) == before
    assert seen.complaints == []
