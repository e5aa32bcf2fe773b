"""Makes docs/images/label-*.png again: examples/preference.yaml, labelled by made-up people, in a real browser.

    python scripts/label_screenshots.py [--out docs/images] [--only label-zh ...]

Needs the extras `people`, `train` (for Pillow) and `dev` (for playwright), and chromium with fonts for Chinese
(`apt-get install chromium fonts-noto-cjk`), or another browser of its family in TAMIS_CHROMIUM. What people answer is
drawn by a seed and the labels' clock stands still between answers, so the figures on the pages are the same each time;
pseudonyms are not, because every database draws its own.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tamis.people import task as tasks
from tamis.people.store import Assignment, Store
from tamis.web.app import create_app
from tamis.web.settings import WebSettings

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "only for these pictures"
PEOPLE = {"Olga": "owner", "Juan": "adjudicator", "Ann": "rater", "Bo": "rater", "Chen": "rater", "Dana": "rater"}
SKILL = {"Ann": 0.95, "Bo": 0.85, "Chen": 0.7}  # how often each says what most would say
WIDE, PHONE = (1180, 700), (390, 780)


class Clock:
    """Stands still until somebody works."""

    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class People:
    """A store, and people who work in it without a browser."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.task = tasks.load(ROOT / "examples" / "preference.yaml")
        self.store = Store.open(folder / "labels.sqlite", self.task, self.clock)
        self.store.secret = b"only for these pictures, the same each time"[:32]  # decides where gold and repeats come
        self.draw = random.Random(23)
        self.known = {
            row["id"]: row["answer"]
            for path in sorted((ROOT / "examples/label").glob("preference-*.jsonl"))
            for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        }
        guideline = self.store.guideline().hash
        self.numbers = {}
        for name, role in PEOPLE.items():
            account = self.store.accept(self.store.invite(role), name, self.address(name), PASSWORD)  # type: ignore[arg-type]
            self.store.guideline_shown(account.id, guideline)
            self.numbers[name] = account.id

    @staticmethod
    def address(name: str) -> str:
        return f"{name.lower()}@example.org"

    def work(self, name: str, most: int | None = None) -> None:
        """Training and test, then `most` answers, or all there are."""
        number, done = self.numbers[name], 0
        while most is None or done < most:
            given = self.store.next_for(number)
            if not isinstance(given, Assignment):
                return
            done += given.phase == "work"
            seconds = self.draw.uniform(12, 40)
            self.clock.now += seconds + 5
            note = "Both dodge the question." if self.draw.random() < 0.1 and given.phase == "work" else None
            self.store.submit(number, given.id, self.answer(name, given), given.id, seconds=seconds, note=note)

    def answer(self, name: str, given: Assignment) -> str:
        identity = given.example["id"]
        if given.phase != "work":
            return str(self.known[identity])
        names = ["response_a", "response_b", "tie"]
        right = self.known.get(identity) or random.Random(f"what most say of {identity}").choice(names[:2])
        return right if self.draw.random() < SKILL[name] else self.draw.choice(names)


@contextmanager
def listening(people: People) -> Iterator[str]:
    """The server's address while it runs in a thread."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        app = create_app(people.store, people.task, WebSettings(secret=people.store.secret))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


class Camera:
    """Takes pictures of pages as somebody sees them."""

    def __init__(self, browser: Any, address: str, out: Path, only: list[str]) -> None:
        self.browser, self.address, self.out, self.only = browser, address, out, only

    def take(
        self,
        picture: str,
        who: str,
        path: str,
        size: tuple[int, int],
        before: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> None:
        """A picture of the page at `path`, after `before` has used it."""
        if self.only and picture not in self.only:
            return
        viewport = {"width": size[0], "height": size[1]}
        context = self.browser.new_context(viewport=viewport, **{"locale": "en-GB", **options})
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(f"{self.address}/sign-in")
        page.fill("[name=name]", People.address(who))
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_url(lambda url: "/sign-in" not in url)
        page.goto(f"{self.address}{path}")
        if before:
            before(page)
        page.wait_for_load_state("networkidle")
        self.save(page.screenshot(), self.out / f"{picture}.png")
        context.close()

    @staticmethod
    def save(png: bytes, path: Path) -> None:
        """As a palette of 256 colours: a third of the size."""
        from PIL import Image

        Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size:,} bytes")


def train(page: Any) -> None:
    """Answers one example of the training and stays at what is said of it."""
    page.wait_for_selector("#answer")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_selector(".notice[role=status]")


def choose(page: Any) -> None:
    page.wait_for_selector("#answer")
    page.keyboard.press("ArrowLeft")


def in_chinese(page: Any) -> None:
    page.get_by_text("中文").click()
    page.wait_for_selector("html[lang=zh-CN]")
    choose(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("TAMIS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise SystemExit("no chromium: apt-get install chromium, or name one in TAMIS_CHROMIUM")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        people = People(Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        with listening(people) as address:
            camera = Camera(browser, address, asked.out, asked.only)
            people.work("Ann", 3)
            people.work("Bo", 3)
            camera.take("label-training", "Dana", "/label", (1180, 680), train)
            camera.take("label", "Ann", "/label", WIDE, choose)
            camera.take("label-zh", "Ann", "/label", (1180, 640), in_chinese)
            camera.take("label-phone", "Bo", "/label", PHONE, choose, has_touch=True, is_mobile=True)
            for name in SKILL:
                people.work(name)
            ann = people.numbers["Ann"]
            camera.take("label-agreement", "Olga", "/owner/agreement", (1180, 660))
            camera.take("label-raters", "Olga", "/owner/raters", (1180, 800))
            camera.take("label-confusion", "Olga", f"/owner/raters/{ann}", (1180, 660))
            camera.take("label-adjudicate", "Juan", "/adjudicate", (1180, 760))
        browser.close()
        people.store.close()


if __name__ == "__main__":
    main()
