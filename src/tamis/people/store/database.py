"""One database, SQLite or PostgreSQL, with one writer.

Every change goes through a thread that takes what waits, runs each piece in a savepoint of one transaction, commits
once, and only then answers: so many submits share one sync of the disk, and nothing is acknowledged before it is safe.
On SQLite the transaction is BEGIN IMMEDIATE with WAL and synchronous=FULL; on PostgreSQL it first locks one row. Either
way transactions of several processes follow one another, which the journal's chain needs anyhow. Reads use connections
of their own and never wait for the writer.
"""

from __future__ import annotations

import os
import queue
import re
import sqlite3
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from tamis.people.store import migrations
from tamis.people.store.rows import Head, StoreError

T = TypeVar("T")
BATCH = 128  # pieces of one transaction at most: bounds how long the first of them waits
BUSY_SECONDS = 30
GENESIS = "0" * 64
_NAME = re.compile(r"(?<![:\w]):(\w+)")


class Connection:
    """Runs SQL with `:name` parameters on either database; rows are tuples with names."""

    def __init__(self, raw: sa.Connection) -> None:
        self.raw, self.dialect = raw, raw.dialect.name

    def run(self, sql: str, **values: Any) -> sa.CursorResult[Any]:
        return self.raw.exec_driver_sql(sql if self.dialect == "sqlite" else _pyformat(sql), values)

    def many(self, sql: str, rows: list[dict[str, Any]]) -> None:
        """The same statement for many rows."""
        if rows:
            self.raw.exec_driver_sql(sql if self.dialect == "sqlite" else _pyformat(sql), rows)

    def all(self, sql: str, **values: Any) -> list[Any]:
        return list(self.run(sql, **values).all())

    def one(self, sql: str, **values: Any) -> Any:
        """The first row, or None."""
        return self.run(sql, **values).first()

    def value(self, sql: str, **values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.run(sql, **values).first()
        return None if row is None else row[0]

    def stream(self, sql: str, **values: Any) -> Iterator[Any]:
        """Rows as they come, a thousand at a time."""
        statement = sql if self.dialect == "sqlite" else _pyformat(sql)
        result = self.raw.exec_driver_sql(statement, values, execution_options={"stream_results": True})
        for part in result.partitions(1_000):
            yield from part

    def set_counter(self, name: str, change: int) -> None:
        self.run(
            "INSERT INTO counters (name, value) VALUES (:name, :change) "
            "ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
            name=name,
            change=change,
        )

    def meta(self, name: str) -> str | None:
        found: str | None = self.value("SELECT value FROM meta WHERE name = :name", name=name)
        return found

    def set_meta(self, name: str, value: str) -> None:
        self.run(
            "INSERT INTO meta (name, value) VALUES (:name, :value) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name=name,
            value=value,
        )


class Transaction(Connection):
    """A connection inside the writer's transaction. `now` is when the piece began, `head` the end of the journal.

    Statements go to the driver's own cursor: a submit has fifteen of them, and SQLAlchemy's result objects would take
    more of its time than SQLite does.
    """

    def __init__(self, raw: sa.Connection, now: float) -> None:
        super().__init__(raw)
        self.now = now
        self.head = Head(0, GENESIS)
        self.committed: list[Callable[[], None]] = []  # what memory must follow once the change is on disk
        self._cursor: Any = raw.connection.cursor()

    def run(self, sql: str, **values: Any) -> Any:
        return self._cursor.execute(sql if self.dialect == "sqlite" else _pyformat(sql), values)

    def all(self, sql: str, **values: Any) -> list[Any]:
        self.run(sql, **values)
        row = _row_of(self._cursor.description)
        return [row._make(one) for one in self._cursor.fetchall()]

    def one(self, sql: str, **values: Any) -> Any:
        self.run(sql, **values)
        found = self._cursor.fetchone()
        return None if found is None else _row_of(self._cursor.description)._make(found)

    def value(self, sql: str, **values: Any) -> Any:
        self.run(sql, **values)
        found = self._cursor.fetchone()
        return None if found is None else found[0]

    def read_head(self) -> None:
        row = self.one("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")
        self.head = Head(row.seq, row.hash) if row else Head(0, GENESIS)


Piece = Callable[[Transaction], Any]


def new_secret() -> bytes:
    """What a database signs with, and what hangs on it: where gold comes, what is repeated. Drawn once."""
    return os.urandom(32)


class Database:
    """Opens, migrates, reads and writes. `before` runs first in every transaction (leases that have ended)."""

    def __init__(
        self, address: str | Path, clock: Callable[[], float] = time.time, before: Piece | None = None
    ) -> None:
        self.url = url_of(address)
        self.clock, self.before = clock, before
        self.engine = _engine(self.url)
        self.dialect = self.engine.dialect.name
        try:
            self._migrate()
        except OperationalError as error:
            self.engine.dispose()
            raise StoreError("unknown", f"{self.name} cannot be opened: {error.orig}") from None
        except BaseException:
            self.engine.dispose()
            raise
        self._queue: queue.SimpleQueue[tuple[Piece, Future[Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="tamis-labels-writer", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The database for people: a path, or the address without its password."""
        return str(self.url.database) if self.dialect == "sqlite" else self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reads, on one state of the database."""
        with self.engine.connect() as raw:
            one = Connection(raw)
            one.run("BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield one
            finally:
                one.run("ROLLBACK")

    @contextmanager
    def reading_one(self) -> Iterator[Connection]:
        """A connection for a single read."""
        with self.engine.connect() as raw:
            yield Connection(raw)

    def write(self, piece: Callable[[Transaction], T]) -> Future[T]:
        """Queues a change; the future is done once it is on disk, or has failed and left nothing."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise StoreError("busy", f"{self.name} is closed")
            self._queue.put((piece, future))
        return future

    def close(self) -> None:
        """Finishes what waits, then closes."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self.engine.dispose()

    # --- the writer ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        open_ = True
        raw: sa.Connection | None = None
        while open_:
            first = self._queue.get()
            if first is None:
                break
            batch = [first]
            while len(batch) < BATCH:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    open_ = False
                    break
                batch.append(item)
            # Who asked may be gone (a request that was cancelled): from here on the future is ours alone, and setting
            # it cannot fail.
            batch = [item for item in batch if item[1].set_running_or_notify_cancel()]
            if not batch:
                continue
            try:
                raw = raw or self.engine.connect()
                outcomes = self._transaction(raw, [piece for piece, _ in batch])
            except BaseException as error:
                # Nothing of the batch is in the database: each caller learns why, and a fresh connection follows.
                if raw is not None:
                    raw.invalidate()
                    raw.close()
                    raw = None
                failure = StoreError("busy", f"{self.name}: {error}") if _of_driver(error) else error
                for _, future in batch:
                    future.set_exception(failure)
                continue
            for (_, future), (result, failed) in zip(batch, outcomes, strict=True):
                if failed is None:
                    future.set_result(result)
                else:
                    future.set_exception(failed)
        if raw is not None:
            raw.close()

    def _transaction(self, raw: sa.Connection, pieces: list[Piece]) -> list[tuple[Any, BaseException | None]]:
        one = Transaction(raw, self.clock())
        if self.dialect == "sqlite":
            one.run("BEGIN IMMEDIATE")
        else:
            one.run("BEGIN")
            one.run("SELECT value FROM meta WHERE name = 'lock' FOR UPDATE")
        try:
            one.read_head()
            if self.before:
                self.before(one)
            outcomes: list[tuple[Any, BaseException | None]] = []
            for piece in pieces:
                head, committed = one.head, len(one.committed)
                one.run("SAVEPOINT piece")
                try:
                    one.now = self.clock()
                    result = piece(one)
                    one.run("RELEASE SAVEPOINT piece")
                except Exception as error:
                    one.run("ROLLBACK TO SAVEPOINT piece")
                    one.run("RELEASE SAVEPOINT piece")
                    one.head = head
                    del one.committed[committed:]
                    outcomes.append((None, error))
                else:
                    outcomes.append((result, None))
            one.run("COMMIT")
        except BaseException:
            if not raw.invalidated:
                one.run("ROLLBACK")
            raise
        for follow in one.committed:
            follow()
        return outcomes

    # --- the schema ---------------------------------------------------------------------------------------------

    def _migrate(self) -> None:
        with self.engine.connect() as raw:
            one = Connection(raw)
            if self.dialect == "sqlite":
                one.run("BEGIN IMMEDIATE")
            else:
                one.run("BEGIN")
                one.run("SELECT pg_advisory_xact_lock(7461)")  # two first starts at once
            try:
                known = set(sa.inspect(raw).get_table_names())
                version = int(one.meta("schema") or 0) if "meta" in known else 0
                for number, step in migrations.pending(version, self.name):
                    for statement in migrations.statements(step, self.dialect):
                        one.run(statement)
                    one.set_meta("schema", str(number))
                one.run("INSERT INTO meta (name, value) VALUES ('lock', '') ON CONFLICT (name) DO NOTHING")
                one.run(
                    "INSERT INTO meta (name, value) VALUES ('secret', :secret) ON CONFLICT (name) DO NOTHING",
                    secret=new_secret().hex(),
                )
                one.run("COMMIT")
            except BaseException:
                one.run("ROLLBACK")
                raise


def url_of(address: str | Path) -> sa.URL:
    """A path is SQLite; anything with :// is an address of SQLAlchemy's."""
    if isinstance(address, Path) or "://" not in address:
        return sa.URL.create("sqlite", database=str(Path(address).absolute()))
    try:
        url = sa.make_url(address)
    except sa.exc.ArgumentError:
        raise StoreError("unknown", f"{address} is no address of a database") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError("unknown", f"labels are kept in SQLite or PostgreSQL, not {url.get_backend_name()}")
    return url


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "cached_statements": 512},
        )

        @sa.event.listens_for(engine, "connect")
        def _settings(connection: Any, _: Any) -> None:
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",  # the default of WAL loses the last commits with the power
                f"busy_timeout={BUSY_SECONDS * 1000}",
                "secure_delete=ON",  # what is erased is overwritten
                "cache_size=-65536",
            ):
                connection.execute(f"PRAGMA {pragma}")

        return engine
    return sa.create_engine(url, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True, pool_pre_ping=True)


def _of_driver(error: BaseException) -> bool:
    """Whether the database failed, and not the program."""
    if isinstance(error, DBAPIError | sqlite3.Error):
        return True
    return type(error).__module__.partition(".")[0] == "psycopg"


def _row_of(description: Any) -> Any:
    return _row_named(tuple(column[0] for column in description))


@lru_cache(maxsize=512)
def _row_named(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)


@lru_cache(maxsize=512)
def _pyformat(sql: str) -> str:
    return _NAME.sub(r"%(\1)s", sql.replace("%", "%%"))


def json_row(row: Any) -> Mapping[str, Any]:
    """A row as an object."""
    return dict(row._mapping)
