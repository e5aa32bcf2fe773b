"""The pages in a real browser, served by a real server: keyboard only, hostile text, phone, Chinese, no script."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tamis.people import task as tasks
from tamis.people.store import Store
from tamis.web.app import create_app
from tamis.web.settings import WebSettings
from web.hostile import HOSTILE
from web.serving import PASSWORD, Server

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
EXAMPLE = Path(__file__).parents[2] / "examples" / "preference.yaml"


@pytest.fixture(scope="module")
def browser(require: Callable[[object, str], None]) -> Iterator[Any]:
    require(find_spec("playwright"), "playwright is not installed: pip install 'tamis[dev]'")
    chromium = os.environ.get("TAMIS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    require(chromium, "no chromium: apt-get install chromium, or name one in TAMIS_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@contextmanager
def listening(server: Server) -> Iterator[str]:
    """The server's address while it runs in a thread."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            create_app(server.store, server.task, server.settings), log_level="warning", lifespan="off"
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join(20)


@dataclass
class Watched:
    """A page that remembers every request elsewhere and every complaint."""

    page: Any
    address: str
    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def sign_in(self, name: str) -> None:
        """By keyboard, once the first field has the focus."""
        self.page.goto(f"{self.address}/sign-in")
        self.page.focus("[name=name]")
        self.type(name)
        self.press("Tab")
        self.type(PASSWORD)
        self.press("Enter")
        self.page.wait_for_url(lambda url: "/sign-in" not in url)

    def done(self, count: int) -> None:
        """Waits until the page says that so many are done."""
        self.page.wait_for_function(
            "n => new RegExp(`(^|\\\\D)${n}(\\\\D|$)`).test(document.querySelector('.progress')?.textContent ?? '')",
            arg=count,
        )


@contextmanager
def watched(browser: Any, address: str, **options: Any) -> Iterator[Watched]:
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, "locale": "en-GB", **options})
    context.set_default_timeout(60_000)  # two workers may share one core
    page = context.new_page()
    seen = Watched(page, address)
    page.on("request", lambda asked: None if asked.url.startswith(address) else seen.elsewhere.append(asked.url))
    page.on("console", lambda line: seen.complaints.append(f"{line.type}: {line.text}"))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (seen.complaints.append(dialog.message), dialog.dismiss()))
    try:
        yield seen
    finally:
        context.close()


Serve = Callable[..., Server]


def test_two_browsers_label_the_example_by_keyboard_only(browser: Any, tmp_path: Path) -> None:
    task = tasks.load(EXAMPLE)
    answers = {}
    for file in EXAMPLE.parent.glob("label/preference-*.jsonl"):
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            pair = row["response_a"], row["response_b"]
            answers[frozenset(pair)] = row.get(row.get("answer", ""), "")
    with Store.open(tmp_path / "labels.sqlite", task) as store:
        server = Server(store, task, WebSettings(secret=store.secret))
        for name in ("ann", "bob"):
            server.person(name, read=False)
        with (
            listening(server) as address,
            watched(browser, address) as ann,
            watched(browser, address, viewport={"width": 390, "height": 800}) as bob,
        ):
            for who, name in ((ann, "ann@example.org"), (bob, "bob@example.org")):
                who.sign_in(name)
                who.page.wait_for_selector(".guide-page")
                who.press("Enter")
                who.page.wait_for_selector("#answer")
            open_ = [ann, bob]
            for turn in range(400):
                if not open_:
                    break
                who = open_[turn % len(open_)]
                before = who.page.input_value("#answer [name=token]")
                left, right = who.page.eval_on_selector_all(".pair .text", "all => all.map((one) => one.textContent)")
                # People who know what is known, and agree on most of the rest.
                known = answers.get(frozenset((left, right)), max(left, right, key=len) if turn % 7 else "")
                key = "ArrowLeft" if known == left else "ArrowRight" if known == right else "ArrowDown"
                who.press(key, "Enter")
                who.page.wait_for_function(
                    "old => document.querySelector('#work').isConnected && "
                    "document.querySelector('#answer [name=token]')?.value !== old",
                    arg=before,
                )
                if not who.page.query_selector("#answer") and "Continue" in who.page.inner_text("#work"):
                    who.press("Enter")  # what was said of a training example has been read
                    who.page.wait_for_selector("#answer")
                if not who.page.query_selector("#answer"):
                    open_.remove(who)
            assert not open_
            for who in (ann, bob):
                assert who.complaints == []
                assert who.elsewhere == []
                assert "All done" in who.page.inner_text("#work")
        progress = store.progress()
        assert progress.labels == 2 * progress.examples
        assert store.verify().ok
        assert {one.value for one in store.answers() if one.kind == "work"} >= {"response_a", "response_b"}


def test_undo_skip_help_and_notes_by_keyboard(browser: Any, serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    with listening(server) as address, watched(browser, address) as ann:
        ann.sign_in("ann@example.org")
        page = ann.page
        ann.press("1", "Enter")
        ann.done(1)
        ann.press("u")
        ann.done(0)
        page.wait_for_selector("input[value=good]:checked", state="attached")
        ann.press("2", "Enter")
        ann.done(1)
        ann.press("s")
        ann.press("ArrowDown", "Tab")
        ann.type("it is u 1 s Welsh?")
        ann.press("Enter")
        page.wait_for_function("() => !document.querySelector('#skip').open")
        ann.press("?")
        assert page.locator("#keys").is_visible()
        page.locator("#at-once").focus()
        ann.press("Space", "Escape")
        assert not page.locator("#keys").is_visible()
        ann.press("1")
        ann.done(2)
        assert ann.complaints == []
    assert [one.value for one in server.store.answers() if one.state == "live"] == ["bad", "good"]
    assert [skip.reason for skip in server.store.skips()] == ["language: it is u 1 s Welsh?"]


def test_spans_by_keyboard_count_code_points(browser: Any, serve: Serve) -> None:
    text = "\u202eAnn \U0001f600 met\r\nBob in 東京 <b>"
    server = serve("span", rows=[{"id": "1", "prompt": "p", "text": text}])
    server.person("ann")
    with listening(server) as address, watched(browser, address) as ann:
        ann.sign_in("ann@example.org")
        ann.press("ArrowRight", "1")
        for _ in range(2):
            ann.press("ArrowRight")
        ann.press("Shift+ArrowRight", "2", "Backspace", "1")
        ann.press("ArrowRight", "ArrowRight", "2")
        # With the mouse: the last word by a double click.
        ann.page.mouse.dblclick(*_middle(ann.page, "met"))
        ann.page.click(".span-label >> nth=1")
        ann.press("Enter")
        ann.page.wait_for_selector("#go")
        assert ann.complaints == []
    (answer,) = server.store.answers()
    found = [(text[span["start"] : span["end"]], span["label"]) for span in answer.value]
    assert found == [("Ann", "name"), ("met", "place"), ("Bob in", "name"), ("京", "place")] or found == [
        ("Ann", "name"),
        ("met", "place"),
        ("Bob in", "name"),
        ("東", "place"),
    ]


def _middle(page: Any, word: str) -> tuple[float, float]:
    """Where a word stands on the screen."""
    box = page.evaluate(
        """word => {
          const walker = document.createTreeWalker(document.querySelector('.span-text'), NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            const at = walker.currentNode.data.indexOf(word);
            if (at < 0) continue;
            const range = document.createRange();
            range.setStart(walker.currentNode, at);
            range.setEnd(walker.currentNode, at + word.length);
            const { x, y, width, height } = range.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
          }
        }""",
        word,
    )
    return box[0], box[1]


@pytest.mark.parametrize("kind", ["pairwise", "span", "rewrite"])
def test_hostile_text_is_shown_and_never_obeyed(browser: Any, serve: Serve, kind: str) -> None:
    count = len(HOSTILE)
    rows = [
        {"id": f"{n}", "prompt": text, "text": f"{text} end", "first_model": text, "second_model": f"{text} two",
         "answers_of": [text, f"{text} two", "three"]}
        for n, text in enumerate(HOSTILE)
    ]  # fmt: skip
    server = serve(kind, rows=rows)
    server.person("ann")
    with listening(server) as address, watched(browser, address, viewport={"width": 500, "height": 800}) as ann:
        ann.sign_in("ann@example.org")
        page = ann.page
        shown = ""
        for n in range(count):
            shown += page.inner_text("#work")
            page.hover("#work .text")
            assert page.evaluate("document.querySelectorAll('#work :is(img, iframe, base, meta, script)').length") == 0
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
            if kind == "rewrite":
                page.keyboard.type(f"{n} ")
                page.click("text=Show the changes")
                page.wait_for_selector(".diff ins")
                page.keyboard.press("Control+Enter")
            else:
                ann.press("1", "Enter")
            ann.done(n + 1)
        assert "<script>window.ran = 1</script>" in shown
        assert page.evaluate("window.ran") is None
        assert page.title().endswith("Tamis")
        assert (ann.complaints, ann.elsewhere) == ([], [])


def test_five_megabytes_leave_the_page_usable(browser: Any, serve: Serve) -> None:
    server = serve("choice", rows=[{"id": "1", "prompt": "<script>window.ran=1</script>\u202e word\n" * 125_000}])
    server.person("ann")
    with listening(server) as address, watched(browser, address) as ann:
        ann.sign_in("ann@example.org")
        page = ann.page
        assert page.locator("#send").is_visible()
        box = page.locator(".text").first.bounding_box()
        assert box["height"] < 800
        with page.expect_popup() as opened:
            page.click("text=Show the whole text")
        whole = opened.value
        whole.wait_for_load_state()
        assert whole.evaluate("document.contentType") == "text/plain"
        assert whole.evaluate("window.ran") is None
        whole.close()
        ann.press("2", "Enter")
        page.wait_for_selector("#go")
        assert ann.complaints == []


@pytest.mark.parametrize("kind", ["pairwise", "ranking", "rubric"])
def test_a_phone_shows_everything_with_big_targets(browser: Any, serve: Serve, kind: str) -> None:
    server = serve(kind, rows=[{"id": "1", "prompt": "p", "text": "t", "first_model": "a", "second_model": "b",
                                "answers_of": ["a", "b", "c"]}])  # fmt: skip
    server.person("ann")
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    with listening(server) as address, watched(browser, address, **phone) as ann:
        ann.sign_in("ann@example.org")
        page = ann.page
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        sizes = page.eval_on_selector_all(
            ".answer, .bar .button, .place",
            "all => all.map((one) => one.getBoundingClientRect()).map((box) => [box.width, box.height])",
        )
        assert min(min(size) for size in sizes) >= 43
        assert ann.complaints == []


def test_the_interface_is_chinese_for_a_chinese_browser(browser: Any, serve: Serve) -> None:
    server = serve("choice", languages=["en", "zh"])
    with listening(server) as address, watched(browser, address, locale="zh-CN") as guest:
        guest.page.goto(f"{address}/sign-in")
        assert guest.page.inner_text("h1") == "登录"
        guest.page.click("button:has-text('English')")
        guest.page.wait_for_selector("h1:has-text('Sign in')")


def test_everything_works_without_a_script(browser: Any, serve: Serve) -> None:
    server = serve("pairwise", count=2)
    server.person("ann")
    with listening(server) as address, watched(browser, address, java_script_enabled=False) as ann:
        ann.sign_in("ann@example.org")
        page = ann.page
        page.click(".answer >> nth=0")
        page.click("#send")
        page.click("#undo")
        assert page.is_checked(".answer >> nth=0 >> input")
        page.click(".answer >> nth=1")
        page.click("#send")
        page.click("#skip summary")
        page.select_option("[name=reason]", "unclear")
        page.click("#skip button")
        page.reload()
        assert ann.complaints == []
    assert [one.value for one in server.store.answers() if one.state == "live"] == ["tie"]
    assert [skip.reason for skip in server.store.skips()] == ["unclear"]


def test_a_lost_connection_loses_nothing(browser: Any, serve: Serve) -> None:
    server = serve("choice")
    server.person("ann")
    with listening(server) as address, watched(browser, address) as ann:
        ann.sign_in("ann@example.org")
        ann.press("1")
        ann.page.context.set_offline(True)
        ann.press("Enter")
        ann.page.wait_for_selector("#state.bad")
        assert "Not saved" in ann.page.inner_text("#state")
        ann.page.context.set_offline(False)
        ann.press("Enter")
        ann.done(1)
    assert [one.value for one in server.store.answers()] == ["good"]
