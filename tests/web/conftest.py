"""Servers for the tests of the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from people_store import draw_by_name
from tamis.people import task as tasks
from tamis.people.store import Store
from tamis.web.settings import WebSettings
from web.serving import Server, write_task


@pytest.fixture(autouse=True)
def _drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_by_name(monkeypatch, request.node.nodeid)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`serve(kind, **changes of the task)`: a fresh server."""
    opened: list[Store] = []

    def make(kind: str = "choice", settings: dict[str, Any] | None = None, **changes: Any) -> Server:
        folder = tmp_path / f"task{len(opened)}"
        task = tasks.load(write_task(folder, kind, **changes))
        store = Store.open(folder / "labels.sqlite", task)
        opened.append(store)
        return Server(store, task, WebSettings(secret=store.secret, **(settings or {})))

    yield make
    for store in opened:
        store.close()
