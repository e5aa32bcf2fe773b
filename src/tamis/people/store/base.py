"""What the parts of the store share: the database, the task, and methods that change something."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache, update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from tamis.people.store.database import Connection, Database, Transaction
from tamis.people.store.rows import Guideline, StoreError
from tamis.people.task import LabelTask

P = ParamSpec("P")
R = TypeVar("R")
Self = TypeVar("Self", bound="Base")


def write(method: Callable[Concatenate[Self, Transaction, P], R]) -> Callable[Concatenate[Self, P], R]:
    """A method that runs in the writer's transaction and returns when its change is on disk."""

    def call(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return queued(self, *args, **kwargs).result()

    def queued(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return self.database.write(lambda c: method(self, c, *args, **kwargs))

    update_wrapper(call, method)
    call.queued = queued  # type: ignore[attr-defined]  # for the asynchronous face, which needs no thread to wait in
    return call


class Base:
    """The database and the task."""

    database: Database
    task: LabelTask
    secret: bytes

    def _pseudonym(self, c: Connection, rater: int | None) -> str | None:
        if rater is None:
            return None
        found: str | None = c.value("SELECT pseudonym FROM raters WHERE id = :rater", rater=rater)
        return found

    def _known(self, c: Connection, rater: int) -> Any:
        row = c.one("SELECT * FROM raters WHERE id = :rater", rater=rater)
        if row is None or row.state == "erased":
            raise StoreError("unknown", "there is no such rater")
        return row

    def _owner(self, c: Connection, by: int | None, *also: str) -> None:
        """None stands for whoever can reach the database anyway: the command line."""
        if by is None:
            return
        row = self._known(c, by)
        if row.role not in ("owner", *also) or row.state != "active":
            raise StoreError("forbidden", f"only an {' or '.join(('owner', *also))} may do this")

    def _first_state(self, c: Connection) -> str:
        if c.value("SELECT 1 FROM examples WHERE kind = 'train' LIMIT 1"):
            return "training"
        return "qualifying" if c.value("SELECT 1 FROM examples WHERE kind = 'test' LIMIT 1") else "active"

    def _drop_leases(self, c: Transaction, rater: int) -> None:
        """Declared for this part of the store; `slots.py` has it, and `Store` joins the two."""
        raise NotImplementedError

    def _body(self, c: Connection, example: int) -> dict[str, Any]:
        """The row of an example; small ones are kept in memory, for they never change while they have labels."""
        text = self._kept.get(example)
        if text is None:
            text = c.value("SELECT body FROM bodies WHERE example = :example", example=example) or "{}"
            if len(text) <= 100_000:
                while len(self._kept) >= 2_000:
                    self._kept.pop(next(iter(self._kept)), None)
                self._kept[example] = text
        body: dict[str, Any] = json.loads(text)
        return body

    def _current(self, c: Connection) -> Guideline | None:
        row = c.one("SELECT * FROM guidelines ORDER BY number DESC LIMIT 1")
        return None if row is None else Guideline(row.hash, row.number, row.text, row.at)

    _guideline: str
    _kept: dict[int, str]


@lru_cache(maxsize=4096)
def parsed(text: str) -> Any:
    """JSON of small, often repeated texts (display orders)."""
    return json.loads(text)
