"""The store: one database of one task's raters, labels and journal. See `Store.open`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from tamis.people.store import journal
from tamis.people.store.accounts import Accounts
from tamis.people.store.database import Database
from tamis.people.store.exchanging import Exchanging
from tamis.people.store.loading import Loading
from tamis.people.store.rows import Entry, Head, StoreError, Verdict
from tamis.people.task import LabelTask


class Store(Accounts, Loading, Exchanging):
    """Everything that raters, adjudicators and owners do, on SQLite or PostgreSQL.

    Thread-safe. A method that changes something returns once the change is on disk. `store.a` has the same methods as
    awaitables.
    """

    def __init__(self, database: Database, task: LabelTask) -> None:
        self.database, self.task = database, task
        self._kept: dict[int, str] = {}
        self._guideline = ""
        with database.reading_one() as c:
            self.secret = bytes.fromhex(c.meta("secret") or "")
            current = self._current(c)
            self._guideline = current.hash if current else ""
        self.a = Asynchronous(self)

    @classmethod
    def open(
        cls,
        database: str | Path,
        task: LabelTask | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Store:
        """Opens or makes the database at a path (SQLite) or an address, and brings it up to date.

        With a task, its examples, gold, tests and guideline are loaded. Without one, the task that the database holds
        is used as it was, for reports, exports and checks. Raises StoreError, TaskError.
        """
        if task is None and "://" not in str(database) and not Path(database).exists():
            raise StoreError("unknown", f"{database}: there is no such database of labels")
        opened = Database(database, clock)
        try:
            known = task or _kept_task(opened)
            store = cls(opened, known)
            opened.before = store._expire
            if task is not None:
                store.load()
        except BaseException:
            opened.close()
            raise
        return store

    def close(self) -> None:
        """Finishes what waits and closes. Further changes are refused."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the journal --------------------------------------------------------------------------------------------

    def journal(self, first: int = 1, limit: int = 100) -> list[Entry]:
        """Rows of the journal from a number on."""
        with self.database.reading_one() as c:
            return journal.entries(c, first, limit)

    def head(self) -> Head:
        """The end of the journal: write it down elsewhere, and `verify` with it later proves that nothing was cut."""
        with self.database.reading_one() as c:
            row = c.one("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")
        return Head(row.seq, row.hash) if row else Head(0, "0" * 64)

    def verify(self, anchor: Head | str | None = None) -> Verdict:
        """Whether the journal and the labels are what they were; see `journal.verify`."""
        if isinstance(anchor, str):
            anchor = Head.parse(anchor)
        with self.database.reading() as c:
            return journal.verify(c, anchor)

    def backup(self, path: str | Path) -> Head:
        """Copies the database while it is in use; see `tamis.people.store.backup`. Returns the head of the copy."""
        from tamis.people.store.backup import backup

        return backup(self.database, Path(path))


class Asynchronous:
    """The store's methods as awaitables: changes wait for the writer without a thread, reads run in one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)
        queued: Callable[..., Future[Any]] | None = getattr(method, "queued", None)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if queued is not None:
                return await asyncio.wrap_future(queued(self._store, *args, **kwargs))
            return await asyncio.to_thread(partial(method, *args, **kwargs))

        self.__dict__[name] = call
        return call


def _kept_task(database: Database) -> LabelTask:
    import json

    with database.reading_one() as c:
        text = c.meta("settings")
    if text is None:
        raise StoreError("unknown", f"{database.name} holds no task yet: start with `tamis label serve TASK.yaml`")
    return LabelTask.model_validate(json.loads(text))
