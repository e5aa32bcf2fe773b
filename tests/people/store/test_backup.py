"""Backup under load, restore into either database, migrations from version 1, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
import threading

import pytest

from people_store import check, finish, join
from tamis.people.store import Done, Store, StoreError, migrations
from tamis.people.store.backup import restore
from tamis.people.store.database import Database


def rows(store):
    with store.database.reading() as c:
        return {table: sorted(map(str, map(tuple, c.all(f"SELECT * FROM {table}")))) for table in migrations.TABLES}


def filled(address, task, clock):
    store = Store.open(address, task, clock)
    for number in range(2):
        rater = join(store, number)
        finish(store, [rater], clock)
    store.adjudicate("e-0", "no", None, "why not")
    store.aggregate("majority")
    return store


@pytest.mark.parametrize("name", ["copy.sqlite", "archive.jsonl.gz"])
def test_a_backup_restores_what_was_there(make_database, make_task, clock, tmp_path, name):
    address = make_database()
    # PostgreSQL has no SQLite copy: its archives are called anything.
    out = tmp_path / (name if "://" not in address else name + ".gz")
    with filled(address, make_task(gold=2, repeats=0.2, overlap=2), clock) as store:
        head = store.backup(out)
        assert head == store.head()
        assert out.stat().st_mode & 0o077 == 0, "there are password hashes in it"
        before = rows(store)
        with pytest.raises(StoreError, match="is there already"):
            store.backup(out)
    target = make_database()
    verdict = restore(out, target)
    assert verdict.ok
    assert verdict.head == head
    with Store.open(target, None, clock) as store:
        assert rows(store) == before
        rater = join(store, 7)  # numbers go on where they were
        assert store.next_for(rater).reason == "finished"
        check(store, 2)
    with pytest.raises(StoreError) as error:
        restore(out, target)
    assert error.value.code == "not-empty"


def test_an_archive_moves_between_the_databases(postgres, make_task, clock, tmp_path):
    import psycopg

    from people_store import write_task

    with psycopg.connect(postgres.replace("+psycopg", "") + "postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE moved")
    task = write_task(tmp_path / "task", gold=2, overlap=2)
    with filled(tmp_path / "a.sqlite", task, clock) as store:
        store.backup(tmp_path / "one.jsonl.gz")
        before = rows(store)
    assert restore(tmp_path / "one.jsonl.gz", postgres + "moved").ok
    with Store.open(postgres + "moved", None, clock) as store:
        assert rows(store) == before
        store.backup(tmp_path / "two.jsonl.gz")
    assert restore(tmp_path / "two.jsonl.gz", tmp_path / "b.sqlite").ok
    with Store.open(tmp_path / "b.sqlite", task, clock) as store:
        assert rows(store) == before


def test_a_backup_under_load_is_one_moment(make_database, make_task, tmp_path):
    address = make_database()
    with Store.open(address, make_task(examples=150, overlap=1)) as store:
        raters = [join(store, number) for number in range(3)]

        def one(rater):
            found, number = store.next_for(rater), 0
            while not isinstance(found, Done):
                number += 1
                found = store.submit(rater, found.id, "yes", f"{number}").next

        threads = [threading.Thread(target=one, args=(rater,)) for rater in raters]
        for thread in threads:
            thread.start()
        heads = [store.backup(tmp_path / f"{number}.jsonl.gz") for number in range(2)]
        if "://" not in address:
            heads.append(store.backup(tmp_path / "2.sqlite"))
        for thread in threads:
            thread.join()
        for head in heads:
            assert store.verify(head).ok, "what was backed up is a beginning of what is here"
    for number, head in enumerate(heads):
        out = tmp_path / (f"{number}.jsonl.gz" if number < 2 else "2.sqlite")
        target = tmp_path / f"restored-{number}.sqlite"
        assert restore(out, target).head == head
        with Store.open(target) as store:
            check(store, 1)


@pytest.mark.parametrize("damage", ["cut", "flip", "row", "nonsense"])
def test_a_damaged_archive_is_refused_and_leaves_nothing(tmp_path, make_task, clock, damage):
    with filled(tmp_path / "a.sqlite", make_task(overlap=2), clock) as store:
        store.backup(tmp_path / "a.jsonl.gz")
    data = (tmp_path / "a.jsonl.gz").read_bytes()
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data = data[:2000] + bytes([data[2000] ^ 1]) + data[2001:]
    elif damage == "row":
        data = gzip.compress(gzip.decompress(data).replace(b'\\"yes\\"', b'\\"no\\"', 1))
    else:
        data = b"what is this"
    (tmp_path / "bad.jsonl.gz").write_bytes(data)
    with pytest.raises(StoreError) as error:
        restore(tmp_path / "bad.jsonl.gz", tmp_path / "b.sqlite")
    assert error.value.code == "damaged"
    assert not (tmp_path / "b.sqlite").exists()


def test_an_old_database_is_brought_up_to_date_with_its_labels(make_database, make_task, clock, monkeypatch):
    address, task = make_database(), make_task(examples=3, overlap=1)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:1])
        patch.setattr(migrations, "VERSION", 1)
        old = Database(address, clock)
    # Rows as version 1 had them, without what later versions added.
    from tamis.people.store import journal
    from tamis.people.task import digest_of

    digest = digest_of({"id": "old"})

    def fill(c):
        every = hashlib.sha256(digest.encode()).hexdigest()
        journal.append(c, "examples", {"kind": "work", "added": 1, "digest": every})
        c.run(
            "INSERT INTO raters (pseudonym, role, state, joined, language) VALUES ('r-1', 'rater', 'active', 1, 'en')"
        )
        journal.append(c, "join", {"rater": "r-1", "role": "rater", "commitment": "x"})
        c.run("INSERT INTO people (rater, name, email, password, salt) VALUES (1, 'Ada', 'ada@example.org', 'x', 'y')")
        c.run(
            "INSERT INTO examples (kind, name, digest, position, need, taken, done, open) "
            "VALUES ('work', 'old', :digest, 1, 1, 1, 1, 0)",
            digest=digest,
        )
        c.run('INSERT INTO bodies (example, body) VALUES (1, \'{"id": "old"}\')')
        c.run(
            "INSERT INTO assignments (rater, example, kind, state, opened, until, shown, guideline) "
            "VALUES (1, 1, 'work', 'done', 1, 2, '[]', 'g')"
        )
        seq = journal.append(c, "label", {"state": "live", "value": "yes"})
        c.run(
            "INSERT INTO labels (assignment, rater, example, kind, state, value, at, guideline, seq) "
            "VALUES (1, 1, 1, 'work', 'live', '\"yes\"', :now, 'g', :seq)",
            now=c.now,
            seq=seq,
        )
        c.run("UPDATE raters SET done = 1")

    old.write(fill).result()
    with old.reading() as c:
        assert c.meta("schema") == "1"
    old.close()
    with Store.open(address, task, clock) as store:
        with store.database.reading() as c:
            assert int(c.meta("schema")) == migrations.VERSION
        assert list(store.matrix()) == [("old", "r-1", "yes")]
        finish(store, [1, join(store, 2)], clock)
        store.adjudicate("old", "no", None, "new tables work")
        assert store.progress().labels == 4
        check(store, 1)


def test_a_newer_database_is_refused_by_name(make_database, make_task, clock):
    address = make_database()
    with Store.open(address, make_task(), clock) as store:
        store.database.write(lambda c: c.set_meta("schema", "99")).result()
    with pytest.raises(StoreError, match="schema version 99, and this Tamis knows up to"):
        Store.open(address, None, clock)


def test_a_database_holds_one_task(make_database, make_task, clock):
    address = make_database()
    with Store.open(address, make_task(), clock):
        pass
    with pytest.raises(StoreError, match="holds the labels of task odd, not even"):
        Store.open(address, make_task(name="even"), clock)


def test_sqlite_is_as_safe_as_it_says(tmp_path, make_task):
    with Store.open(tmp_path / "a.sqlite", make_task()) as store:

        def settings(c):
            return [c.value(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "secure_delete")]

        assert store.database.write(settings).result() == ["wal", 2, 1]
    assert sqlite3.connect(tmp_path / "a.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)
