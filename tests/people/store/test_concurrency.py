"""Many clients at once, in threads and processes, some of them killed: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import threading
import time

import pytest

from people_store import check, exactly, finish, join, quick_clock, work, write_task
from tamis.people.store import Done, Store, StoreError

OVERLAP = 3


def test_processes_that_are_killed_lose_nothing_and_double_nothing(make_database, make_task, tmp_path):
    address = make_database()
    task = make_task(examples=40, overlap=OVERLAP, lease=5, repeats=0.1, gold=5)
    with Store.open(address, task, quick_clock) as store:
        raters = [join(store, number) for number in range(8)]
    log = tmp_path / "acknowledged"
    context = multiprocessing.get_context("spawn")
    groups = [raters[0:3], raters[3:6], raters[6:8]]
    rng = random.Random(17)

    def start(number, seed):
        process = context.Process(target=work, args=(address, groups[number], str(log), seed), daemon=True)
        process.start()
        return process

    running = [start(number, f"{number}") for number in range(3)]
    for kill in range(2):
        before = log.stat().st_size if log.exists() else 0
        for _ in range(200):  # until it is at work
            time.sleep(0.05)
            if log.exists() and log.stat().st_size > before + 200:
                break
        victim = rng.randrange(3)
        running[victim].kill()
        running[victim].join()
        running[victim] = start(victim, f"again-{kill}")
    for process in running:
        process.join(120)
        assert process.exitcode == 0

    class Later:
        """The clock of the finish: past every lease."""

        ahead = 0.0

        def __call__(self):
            return quick_clock() + self.ahead

        def pass_(self, seconds):
            self.ahead += seconds

    clock = Later()
    with Store.open(address, None, clock) as store:
        check(store, OVERLAP)
        acknowledged = [line.split() for line in log.read_text().splitlines()]
        assert len(acknowledged) > 50
        with store.database.reading() as c:
            kept = {
                (row.rater, str(row.assignment)): (row.value, row.state)
                for row in c.all("SELECT rater, assignment, value, state FROM labels")
            }
        for rater, assignment, answer, status in acknowledged:
            value, state = kept[(int(rater), assignment)]
            assert value == f'"{answer}"'
            assert (state == "surplus") == (status == "surplus")
        fresh = [join(store, 100 + number) for number in range(OVERLAP)]
        finish(store, [*raters, *fresh], clock)
        check(store, OVERLAP)
        exactly(store, OVERLAP)


def test_threads_share_commits(make_database, make_task):
    task = make_task(examples=30, overlap=OVERLAP, gold=5, repeats=0.1)
    with Store.open(make_database(), task) as store:
        raters = [join(store, number) for number in range(8)]
        failures = []

        def one(rater):
            try:
                found, number = store.next_for(rater), 0
                while not isinstance(found, Done):
                    number += 1
                    found = store.submit(rater, found.id, "yes", f"{number}").next
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=one, args=(rater,)) for rater in raters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        check(store, OVERLAP)
        exactly(store, OVERLAP)


def test_the_asynchronous_face_does_the_same(make_database, make_task):
    async def all_of_them(store, raters):
        async def one(rater):
            found, number = await store.a.next_for(rater), 0
            while not isinstance(found, Done):
                number += 1
                found = (await store.a.submit(rater, found.id, "yes", f"{number}", seconds=1.0)).next
            return await store.a.mine(rater)

        return await asyncio.gather(*(one(rater) for rater in raters))

    with Store.open(make_database(), make_task(examples=20, overlap=2)) as store:
        raters = [join(store, number) for number in range(4)]
        found = asyncio.run(all_of_them(store, raters))
        assert sum(mine.done for mine in found) == 40
        exactly(store, 2)


def test_one_failing_piece_does_not_fail_its_batch(make_database, make_task):
    with Store.open(make_database(), make_task()) as store:
        gate = threading.Event()
        first = store.database.write(lambda c: gate.wait(5))  # so that the others are one batch

        def fail(c):
            c.run("UPDATE meta SET value = 'lost' WHERE name = 'task'")
            c.run("INSERT INTO nowhere (a) VALUES (1)")

        before = store.head()
        good = store.database.write(lambda c: c.set_meta("good", "1"))
        bad = store.database.write(fail)
        join_later = store.database.write(lambda c: store._join(c, "rater", "Ada", "ada@example.org", "", "en"))
        gate.set()
        first.result()
        good.result()
        assert bad.exception() is not None
        assert join_later.result().pseudonym.startswith("r-")
        with store.database.reading() as c:
            assert c.meta("task") == "odd"
            assert c.meta("good") == "1"
        assert store.head().seq == before.seq + 1
        assert store.verify().ok


def test_a_lost_database_connection_is_told_and_mended(postgres, tmp_path):
    import psycopg

    name = f"lost_{tmp_path.name[-8:]}".replace("-", "_").lower()
    with psycopg.connect(postgres.replace("+psycopg", "") + "postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        with Store.open(postgres + name, write_task(tmp_path / "task", overlap=1)) as store:
            rater = join(store, 1)
            found = store.next_for(rater)
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            with pytest.raises(StoreError) as error:
                store.submit(rater, found.id, "yes", "once")
            assert error.value.code == "busy"
            assert store.submit(rater, found.id, "yes", "once").status == "accepted", "the same form, sent again"
            check(store, 1)


def test_a_caller_who_goes_away_stops_nobody(database, make_task, clock):
    """A cancelled request must not end the writer, which everybody waits for."""
    with Store.open(database, make_task(examples=4), clock) as store:
        rater = join(store, 1)
        held = threading.Event()
        first = store.database.write(lambda c: held.wait(10))
        gone = store.database.write(lambda c: c.run("UPDATE raters SET done = 99"))
        last = store.database.write(lambda c: 7)
        assert gone.cancel()
        held.set()
        assert (first.result(10), last.result(10)) == (True, 7)

        async def leave():
            waiting = asyncio.create_task(store.a.next_for(rater))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            return await store.a.next_for(rater)

        assert asyncio.run(leave()).phase == "work"
        assert store.mine(rater).done == 0
        check(store)


def test_one_bad_piece_of_a_batch_fails_alone(database, make_task, clock):
    with Store.open(database, make_task(examples=4), clock) as store:
        head = store.head()
        held = threading.Event()
        store.database.write(lambda c: held.wait(10))

        def bad(c):
            store._join(c, "rater", "Nobody", "nobody@example.org", "", "en")
            c.run("INSERT INTO nowhere (id) VALUES (1)")

        futures = [
            store.database.write(lambda c: store._join(c, "rater", "One", "one@example.org", "", "en").id),
            store.database.write(bad),
            store.database.write(lambda c: store._join(c, "rater", "Two", "two@example.org", "", "en").id),
        ]
        held.set()
        assert {futures[0].result(10), futures[2].result(10)} == {one.id for one in store.raters()}
        with pytest.raises(Exception, match="nowhere"):
            futures[1].result(10)
        assert [one.name for one in store.raters()] == ["One", "Two"]
        assert store.head().seq == head.seq + 2, "the chain has no row of what failed"
        check(store)
