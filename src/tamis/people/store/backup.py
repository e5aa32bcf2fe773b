"""Backup while the server runs, and restore.

A path that ends in .sqlite (or .db) of a SQLite database: SQLite's own online copy, page by page. Anything else
(name it .jsonl.gz): a logical archive of JSON lines, one per row, from either database and for either. Its first line
names version and head, its last one has row counts and the SHA-256 of everything before; a torn archive is refused.
Both hold personal data, password hashes and the secret that signs sessions: keep them as safely as the database.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tamis.people.store import journal, migrations
from tamis.people.store.database import Connection, Database, json_row, url_of
from tamis.people.store.rows import Head, StoreError, Verdict

FORMAT = "tamis labels backup"


def backup(database: Database, path: Path) -> Head:
    """Writes a backup and returns the head of its journal: written down beside it, it proves later that it is whole.
    The file appears when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise StoreError("not-empty", f"{path} is there already: name a new file")
    temporary = path.with_name(path.name + ".partial")
    temporary.unlink(missing_ok=True)
    # Not readable by others: there are password hashes in it.
    os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    if database.dialect == "sqlite" and path.suffix in (".sqlite", ".db"):
        head = _copy(database, temporary)
    else:
        with database.reading() as c:
            head = _archive(c, temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.rename(path)
    return head


def restore(path: str | Path, address: str | Path) -> Verdict:
    """Fills an empty database from a backup, checks the journal, and returns what the check found. Raises StoreError
    for a database that holds anything and for a damaged backup; the database is then as empty as before."""
    path = Path(path)
    if not path.is_file():
        raise StoreError("unknown", f"{path}: there is no such backup")
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"SQLite format 3"):
        _restore_copy(path, address)
    elif start.startswith(b"\x1f\x8b"):
        _restore_archive(path, address)
    else:
        raise StoreError("damaged", f"{path} is no backup of labels")
    database = Database(address)
    try:
        with database.reading() as c:
            return journal.verify(c)
    finally:
        database.close()


def _copy(database: Database, path: Path) -> Head:
    source = sqlite3.connect(str(database.url.database))
    target = sqlite3.connect(path)
    try:
        source.backup(target, pages=1_000)
        row = target.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        target.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
    finally:
        target.close()
        source.close()
    return Head(*row) if row else Head(0, "0" * 64)


def _restore_copy(path: Path, address: str | Path) -> None:
    url = url_of(address)
    if url.get_backend_name() != "sqlite":
        raise StoreError("unknown", f"{path} is a copy of SQLite: make a .jsonl.gz archive to move to PostgreSQL")
    target = Path(str(url.database))
    if target.exists():
        raise StoreError("not-empty", f"{target} is there already: restore to a new file")
    source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found = [row[0] for row in source.execute("PRAGMA integrity_check")]
        if found != ["ok"]:
            raise StoreError("damaged", f"{path} is damaged: {found[0]}")
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = sqlite3.connect(target)
        try:
            source.backup(copy)
        finally:
            copy.close()
    except sqlite3.DatabaseError as error:
        raise StoreError("damaged", f"{path} is damaged: {error}") from None
    finally:
        source.close()
    os.chmod(target, 0o600)


def _archive(c: Connection, path: Path) -> Head:
    row = c.one("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")
    head = Head(row.seq, row.hash) if row else Head(0, "0" * 64)
    digest = hashlib.sha256()
    counts: dict[str, int] = {}
    with gzip.open(path, "wb", compresslevel=6) as out:

        def line(body: Any) -> None:
            data = (json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
            digest.update(data)
            out.write(data)

        line({"format": FORMAT, "schema": int(c.meta("schema") or 0), "head": str(head)})
        for table in migrations.TABLES:
            counts[table] = 0
            for one in c.stream(f"SELECT * FROM {table}"):
                line([table, dict(json_row(one))])
                counts[table] += 1
        line({"rows": counts, "sha256": digest.hexdigest()})
    return head


def _lines(path: Path) -> Iterator[Any]:
    """The archive's lines, checked as they come; the last one only when everything before it was whole."""
    digest = hashlib.sha256()
    last = None
    try:
        with gzip.open(path, "rb") as file:
            for data in file:
                if last is not None:
                    digest.update(last)
                    yield json.loads(last)
                last = data
        end = json.loads(last or b"null")
    except (OSError, EOFError, ValueError) as error:
        raise StoreError("damaged", f"{path} is damaged or was not finished: {error}") from None
    if not isinstance(end, dict) or end.get("sha256") != digest.hexdigest():
        raise StoreError("damaged", f"{path} is damaged or was not finished: its rows do not give its checksum")
    yield end


def _restore_archive(path: Path, address: str | Path) -> None:
    for number, line in enumerate(_lines(path)):  # all of it, before anything is written
        if number == 0 and (not isinstance(line, dict) or line.get("format") != FORMAT):
            raise StoreError("damaged", f"{path} is no backup of labels")
        if number == 0:
            migrations.pending(line["schema"], str(path))  # refuses a newer one
    database = Database(address)
    try:
        with database.reading_one() as c:
            for table in migrations.TABLES:
                if table != "meta" and c.value(f"SELECT 1 FROM {table} LIMIT 1") is not None:
                    raise StoreError("not-empty", f"{database.name} holds labels already: restore to an empty database")
        database.write(lambda c: _fill(c, path)).result()
    finally:
        database.close()


def _fill(c: Connection, path: Path) -> None:
    for line in _lines(path):
        if isinstance(line, list):
            table, row = line
            if table not in migrations.TABLES or not all(name.isidentifier() for name in row):
                raise StoreError("damaged", f"{path} names a table or column that there is not: {table}")
            if table == "meta":
                # The schema is this program's: up to version 3, steps only add, so older rows fit by their names.
                if row["name"] not in ("schema", "lock"):
                    c.set_meta(row["name"], row["value"])
                continue
            names = ", ".join(row)
            c.run(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})", **row)
    if c.dialect == "postgresql":
        for table in migrations.IDENTITIES:
            c.run(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "
                f"(SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
            )
