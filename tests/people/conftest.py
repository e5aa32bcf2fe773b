"""A real PostgreSQL for the tests of the people's room, and tasks to label."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def _user():
    """Whom to run PostgreSQL as: it refuses root. None where this is not root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return False


@pytest.fixture(scope="session")
def postgres(require):
    """The address of a PostgreSQL server of its own: made for this run, and gone after it."""
    require(BINARIES, "PostgreSQL is not installed under /usr/lib/postgresql")
    user = _user()
    require(user is not False, "PostgreSQL refuses root, and there is no user `postgres` to run it as")
    bins = BINARIES[-1]
    # Not under pytest's folder, which other users may not enter.
    home = Path(tempfile.mkdtemp(prefix="tamis-pg-"))
    if user:
        os.chown(home, user.pw_uid, user.pw_gid)
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    options = {**as_user, "cwd": home, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(home)}}
    data = home / "data"
    subprocess.run(
        [bins / "initdb", "-D", data, "-U", "tamis", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
        **options,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (home / "log").open("wb") as log:
        # Clients are killed in these tests, the server is not: it need not sync.
        server = subprocess.Popen(
            [bins / "postgres", "-D", data, "-p", str(port), "-k", home, "-c", "listen_addresses=127.0.0.1",
             "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=100"],
            stdout=log, stderr=log, **options,
        )  # fmt: skip
    try:
        for _ in range(300):
            ready = [bins / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            if subprocess.run(ready, check=False).returncode == 0:
                break
            if server.poll() is not None:
                pytest.fail(f"PostgreSQL did not start: {(home / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield f"postgresql+psycopg://tamis@127.0.0.1:{port}/"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(home, ignore_errors=True)


_made = iter(range(1_000_000))


def new_database(server):
    """An empty database of that server."""
    import psycopg

    name = f"labels_{os.getpid()}_{next(_made)}"
    with psycopg.connect(server.replace("+psycopg", "") + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server + name


@pytest.fixture(params=["sqlite", "postgresql"])
def make_database(request, tmp_path):
    """Makes addresses of empty databases of one kind; a test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return lambda: str(tmp_path / f"labels-{next(_made)}.sqlite")
    server = request.getfixturevalue("postgres")
    return lambda: new_database(server)


@pytest.fixture
def database(make_database):
    """An empty database; a test that asks for it runs on both kinds."""
    return make_database()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now=1_700_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def pass_(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def write_task(folder, examples=6, gold=0, train=0, test=0, **settings):
    """Writes a choice task (yes or no) with its files into a folder and loads it. Example n's right answer: n odd, yes."""
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


@pytest.fixture
def make_task(tmp_path):
    return lambda **settings: write_task(tmp_path / f"task-{next(_made)}", **settings)


def join(store, number, role="rater"):
    """An account, without the cost of a password."""

    def piece(c):
        return store._join(c, role, f"Person {number}", f"p{number}@example.org", "", "en").id

    return store.database.write(piece).result()
