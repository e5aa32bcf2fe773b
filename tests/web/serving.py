"""A task of every kind over a real store, and a client that signs in as a browser would."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from fastapi.testclient import TestClient

from tamis.people import task as tasks
from tamis.people.store import Store
from tamis.web.app import create_app
from tamis.web.settings import WebSettings
from web.hostile import HOSTILE

PASSWORD = "a long enough sentence"
GUIDELINE = "# How to judge\n\nPrefer the **true**.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<script>ran = 9</script>\n"
CHOICES: dict[str, Any] = {"labels": ["good", {"name": "bad", "title": {"en": "bad", "zh": "差"}, "help": "not good"}]}
KINDS: dict[str, dict[str, Any]] = {
    "choice": {"ask": {"en": "Is it good?", "zh": "好吗？"}, **CHOICES},
    "multi": {"ask": "Which?", "labels": ["red", "green", "blue"], "least": 1},
    "rating": {"scale": {"from": 1, "to": 7, "words": {1: "awful", 7: "great"}}},
    "pairwise": {"ask": "Which is better?"},
    "preference": {},
    "ranking": {},
    "span": {"labels": ["name", "place"]},
    "text": {"ask": "Answer it", "least": 3},
    "rewrite": {"ask": "Improve it"},
    "rubric": {
        "questions": [
            {"name": "clear", "kind": "choice", "ask": "Clear?", "labels": ["yes", "no"]},
            {"name": "score", "kind": "rating", "ask": "Score?"},
            {"name": "flaws", "kind": "multi", "ask": "Flaws?", "labels": ["long", "rude"], "optional": True},
            {"name": "why", "kind": "text", "ask": "Why?", "optional": True},
        ]
    },
}
RESPONSES: dict[str, Any] = {
    "pairwise": ["first_model", "second_model"],
    "preference": "answers_of",
    "ranking": "answers_of",
}


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"secret-id-{n}",
            "prompt": f"Prompt number {n}. {HOSTILE[n % len(HOSTILE)]}",
            "text": f"Ann met Bob in Paris, example {n}. {HOSTILE[(n + 3) % len(HOSTILE)]}",
            "first_model": f"The first answer to {n}. {HOSTILE[(n + 5) % len(HOSTILE)]}",
            "second_model": f"The second answer to {n}.",
            "answers_of": [f"One {n}", f"Two {n}", f"Three {n}"],
        }
        for n in range(count)
    ]


def write_task(folder: Path, kind: str, count: int = 6, **changes: Any) -> Path:
    """A task's files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "guideline.md").write_text(GUIDELINE)
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, changes.pop("rows", None) or rows(count))))
    examples: dict[str, Any] = {"path": "rows.jsonl", "show": ["prompt"]}
    if kind in RESPONSES:
        examples["responses"] = RESPONSES[kind]
    body = {
        "name": "demo",
        "title": {"en": "A demonstration", "zh": "演示任务"},
        "kind": kind,
        "guideline": "guideline.md",
        "examples": examples,
        "overlap": 2,
        **KINDS[kind],
        **changes,
    }
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(body, allow_unicode=True), encoding="utf-8")
    return path


@dataclass
class Server:
    """A store, its application, and the people in it."""

    store: Store
    task: tasks.LabelTask
    settings: WebSettings
    raters: dict[str, int] = field(default_factory=dict)

    def person(self, name: str, role: str = "rater", read: bool = True) -> int:
        """An account; with `read`, one that has seen the guideline."""
        token = self.store.invite(role)
        rater = self.store.accept(token, name, f"{name}@example.org", PASSWORD)
        if read:
            self.store.guideline_shown(rater.id, self.store.guideline().hash)
        self.raters[name] = rater.id
        return rater.id

    def client(self, name: str | None = None, **headers: str) -> Browser:
        return Browser(self, name, headers)


class Browser(TestClient):
    """A client with cookies that finds form tokens in the pages it read, as a browser without scripts does."""

    def __init__(self, server: Server, name: str | None, headers: dict[str, str]) -> None:
        app = create_app(server.store, server.task, server.settings)
        super().__init__(app, follow_redirects=False, headers={"accept-language": "en", **headers})
        self.page = ""
        if name:
            self.see("/sign-in")
            done = self.post_form("/sign-in", name=f"{name}@example.org", password=PASSWORD)
            assert done.status_code == 303, done.text

    def see(self, path: str, status: int = 200) -> str:
        found = self.get(path)
        assert found.status_code == status, (found.status_code, found.text[:2000])
        self.page = found.text
        return self.page

    def post_form(self, path: str, data: dict[str, Any] | None = None, **fields: Any) -> Any:
        done = self.post(path, data={"csrf": self.token, **(data or {}), **fields})
        if done.headers.get("content-type", "").startswith("text/html"):
            self.page = done.text
        return done

    @property
    def token(self) -> str:
        return self.field("csrf")

    def field(self, name: str) -> str:
        found = re.search(f'name="{re.escape(name)}" value="([^"]*)"', self.page)
        assert found, f"no field {name} in {self.page[:1500]}"
        return found[1]

    def answer(self, path: str = "/label/answer", **fields: Any) -> Any:
        """Sends the answer form of the page that was read last."""
        data = {name: self.field(name) for name in ("assignment", "token", "phase")}
        return self.post_form(path, {**data, **fields})
