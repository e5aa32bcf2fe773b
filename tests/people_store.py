"""What the tests of the labels' store share: a clock, a small task, accounts, and what must hold of the tables."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now=1_700_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def pass_(self, seconds):
        self.now += seconds


def draw_by_name(monkeypatch, name):
    """Databases' secrets, pseudonyms and tokens drawn by a test's name rather than anew in every run: gold, repeats and
    the order of responses hang on them. `monkeypatch` of the test."""
    draw = random.Random(name)
    monkeypatch.setattr("tamis.people.store.database.new_secret", lambda: draw.randbytes(32))
    secrets = SimpleNamespace(token_hex=lambda size: draw.randbytes(size).hex())
    monkeypatch.setattr("tamis.people.store.accounts.secrets", secrets)


def write_task(folder, examples=6, gold=0, train=0, test=0, **settings):
    """Writes a choice task (yes or no) with its files into a folder and loads it. Right for example n: yes if odd."""
    from tamis.people import task as tasks

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "guide.md").write_text("# Guideline\nSay yes to odd numbers.\n", encoding="utf-8")

    def write(name, kind, count, answers):
        rows = []
        for number in range(count):
            row = {"id": f"{kind}-{number}", "text": f"Is {number} odd? ({kind})"}
            if answers:
                row |= {"answer": "yes" if number % 2 else "no", "explanation": f"{number} it is"}
            rows.append(json.dumps(row))
        (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
        return str(folder / name)

    body = {
        "name": "odd",
        "kind": "choice",
        "labels": [{"name": "yes"}, {"name": "no"}],
        "guideline": str(folder / "guide.md"),
        "examples": {"path": write("examples.jsonl", "e", examples, answers=False)},
        "overlap": 3,
        "lease": 60,
        **settings,
    }
    if gold:
        body["gold"] = {"path": write("gold.jsonl", "g", gold, answers=True), **settings.get("gold", {})}
    if train or test:
        body["qualification"] = {**settings.get("qualification", {})}
        if train:
            body["qualification"]["train"] = write("train.jsonl", "t", train, answers=True)
        if test:
            body["qualification"]["path"] = write("test.jsonl", "q", test, answers=True)
    return tasks.LabelTask.model_validate(body)


def join(store, number, role="rater"):
    """An account, without the cost of a password."""

    def piece(c):
        return store._join(c, role, f"Person {number}", f"p{number}@example.org", "", "en").id

    return store.database.write(piece).result()


def check(store, overlap=None):
    """Fails where the queue or the journal is wrong. `overlap`: the most live labels that an example may have."""
    with store.database.reading() as c:
        for row in c.all(
            "SELECT e.name, e.need, e.taken, e.done, e.open, "
            "(SELECT count(*) FROM labels l WHERE l.example = e.id AND l.state = 'live' AND l.kind = 'work') AS live, "
            "(SELECT count(*) FROM assignments a WHERE a.example = e.id AND a.state = 'open' "
            "AND a.kind = 'work') AS leases "
            "FROM examples e WHERE e.kind = 'work'"
        ):
            assert row.done == row.live, (row.name, "done is the number of live labels")
            assert row.taken == row.live + row.leases, (row.name, "a slot is taken by a label or a lease")
            assert row.taken <= row.need, (row.name, "overlap is never exceeded, leases included")
            assert row.open == (1 if row.taken < row.need else 0), (row.name, "open where a slot is free")
            if overlap is not None:
                assert row.live <= overlap, (row.name, "overlap is never exceeded")
        twice = c.all(
            "SELECT rater, example, kind, count(*) FROM labels WHERE state IN ('live', 'surplus') "
            "AND kind IN ('work', 'gold', 'repeat') GROUP BY rater, example, kind HAVING count(*) > 1"
        )
        assert not twice, "a rater has answered an example twice"
        assert not c.all("SELECT rater FROM assignments WHERE state = 'open' GROUP BY rater HAVING count(*) > 2"), (
            "a rater holds the example in hand and at most one taken back"
        )
        for row in c.all(
            "SELECT r.id, r.done, r.gold_right, r.gold_wrong, "
            "(SELECT count(*) FROM labels l WHERE l.rater = r.id AND l.kind IN ('work', 'gold', 'repeat') "
            "AND l.state IN ('live', 'surplus', 'outdated', 'void')) AS answers, "
            "(SELECT count(*) FROM labels l WHERE l.rater = r.id AND l.kind = 'gold' AND l.state = 'live') AS gold "
            "FROM raters r"
        ):
            assert row.done == row.answers, (row.id, "answers are counted")
            assert row.gold_right + row.gold_wrong == row.gold, (row.id, "gold answers are counted")
    verdict = store.verify()
    assert verdict.ok, verdict.problems


def finish(store, raters, clock, answer=lambda assignment: "yes"):
    """Lets raters work until nothing is left for anybody."""
    from tamis.people.store import Done

    clock.pass_(store.task.lease * 2)
    rest = list(raters)
    rounds = 0
    while rest:
        rounds += 1
        assert rounds < 10_000, "the queue does not come to an end"
        for rater in list(rest):
            found = store.next_for(rater)
            if isinstance(found, Done):
                rest.remove(rater)
            else:
                store.submit(rater, found.id, answer(found), f"end-{found.id}-{rounds}")


def exactly(store, overlap):
    """Every example has as many live labels as the task asks for."""
    with store.database.reading() as c:
        wrong = c.all(
            "SELECT e.name, e.done FROM examples e WHERE e.kind = 'work' AND (e.done <> :overlap OR "
            "(SELECT count(DISTINCT l.rater) FROM labels l WHERE l.example = e.id AND l.state = 'live' "
            "AND l.kind = 'work') <> :overlap)",
            overlap=overlap,
        )
    assert not wrong, [tuple(row) for row in wrong]


def quick_clock():
    """Forty seconds in one, so that leases of five end while a test runs."""
    import time

    return time.time() * 40


def work(address, raters, log, seed):
    """A process of a few raters, a thread each: answers, is late, skips, submits twice. Writes a line for every answer
    that was acknowledged. Runs in a spawned process that may be killed at any moment."""
    import os
    import random
    import threading
    import time

    from tamis.people.store import Assignment, Store, StoreError

    store = Store.open(address, None, quick_clock)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def one(rater):
        rng = random.Random(f"{seed}-{rater}")
        idle = 0
        while idle < 20:
            found = store.next_for(rater)
            if not isinstance(found, Assignment):
                idle += 1
                time.sleep(0.02)
                continue
            if rng.random() < 0.05:
                time.sleep(0.2)  # longer than the lease
            token = f"{seed}-{rater}-{rng.random()}"
            try:
                if rng.random() < 0.05:
                    store.skip(rater, found.id, "unclear", token)
                    continue
                answer = rng.choice(["yes", "no"])
                done = store.submit(rater, found.id, answer, token, 1.0)
                os.write(out, f"{rater} {found.id} {answer} {done.status}\n".encode())
                if rng.random() < 0.2:
                    assert store.submit(rater, found.id, answer, token, 1.0).status == "again"
            except StoreError as error:
                assert error.code == "not-open", error  # noqa: PT017

    threads = [threading.Thread(target=one, args=(rater,)) for rater in raters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
