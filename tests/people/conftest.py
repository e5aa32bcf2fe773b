"""A real PostgreSQL for the tests of the people's room, and tasks to label."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from people_store import Clock, draw_by_name, write_task

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


@pytest.fixture(autouse=True)
def _drawn(request, monkeypatch):
    draw_by_name(monkeypatch, request.node.nodeid)


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
        server.send_signal(signal.SIGQUIT)  # at once: nothing in it is kept
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(home, ignore_errors=True)


_made = iter(range(1_000_000))


def new_database(server):
    """A schema of its own in one database: as empty as a new database, and without its 7 MB."""
    import psycopg

    name = f"labels_{os.getpid()}_{next(_made)}"
    with psycopg.connect(server.replace("+psycopg", "") + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{server}postgres?options=-csearch_path%3D{name}"


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


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_task(tmp_path):
    return lambda **settings: write_task(tmp_path / f"task-{next(_made)}", **settings)
