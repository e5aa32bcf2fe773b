"""Runs the same tasks as Ray core tasks, on this machine or on a cluster that shares the workspace's file system.

A Ray task does not run the work itself: the Ray worker keeps one `engine.Local` worker as its child and gives it the
task. So what a page may do to its process (die, hang) is noticed, charged and retried on the node where it happened,
with the very code of the local engine, and Ray sees a task that ends. Ray's part is to place tasks and to notice that
a worker or a node is gone; such a task is started again elsewhere, and nobody is charged for a node.

Functions and arguments travel sealed (pickled once by the driver, opened in the child), and results come back so. The
Ray worker therefore imports neither the rooms nor Arrow.

Every node needs the same Python, the same packages and the same path to the workspace and the sources.

Memory: in the driver, what is in flight: at most two tasks a slot, and one more for each of the first few.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import secrets
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tamis.engine import HANG_SECONDS, MOST_DEATHS, Context, Local, TaskFailed, patience
from tamis.errors import WrongUse

# Tasks wait on a node for a free slot, so that no slot waits for the driver.
AHEAD = 2
# Nodes may go for reasons of their own (a cloud takes them back), but not for ever under one task.
MOST_NODES_LOST = 20
PROGRESS_SECONDS = 1.0
RECOUNT_SECONDS = 5.0  # nodes come and go
REACH_SECONDS = 10.0
OBJECT_STORE_BYTES = 100 << 20  # results are manifests: small, and sent without it


class RayUnavailable(RuntimeError, WrongUse):
    """Ray is not installed, or there is no cluster at the address."""


@dataclass
class _Task:
    name: str
    sealed: bytes
    deaths: int = 0
    nodes_lost: int = 0


class Ray:
    """Ray core tasks. Use as a context manager, or call close().

    workers: tasks at one time; all CPUs (of the machine, or of the cluster as it grows) if None.
    address: of a running cluster ("auto" for the one that this machine belongs to); None starts one on this machine,
    closed to others by a token of its own, and ends it in `close`. A cluster that this process is connected to already
    is used as it is.
    num_cpus, memory: what Ray reserves for a task (CPUs, more than 0; bytes or None).
    """

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        *,
        hang_seconds: float | None = None,
        num_cpus: float = 1,
        memory: int | None = None,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        self.hang_seconds = HANG_SECONDS * patience() if hang_seconds is None else hang_seconds
        if address is None:
            _close_to_others()
        self._ray = _imported()
        self._limit = workers
        self._cpus = num_cpus
        self._own = not self._ray.is_initialized()
        if self._own:
            self._start(workers, address)
        options: dict[str, Any] = {"num_cpus": num_cpus, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        if memory is not None:
            options["memory"] = memory
        self._remote = self._ray.remote(_host).options(**options)
        self._board: Any = None
        self._slots, self._counted = self._count(), time.monotonic()

    @property
    def workers(self) -> int:
        """How many tasks run at one time, as the cluster is now."""
        return min(self._count(), self._limit or sys.maxsize)

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(
        self,
        function: Callable[[Context, Any], Any],
        items: Sequence[tuple[str, Any]],
        on_done: Callable[[str, Any], None],
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """As `Engine.map`."""
        todo = deque(items)
        again: deque[_Task] = deque()
        running: dict[Any, _Task] = {}
        failure: TaskFailed | None = None
        board = self._progress() if on_progress else None
        seen, asked = self._read(board, 0), time.monotonic()
        try:
            while True:
                while failure is None and (again or todo) and len(running) < self._window():
                    task = again.popleft() if again else _Task(todo[0][0], self._sealed(function, todo.popleft()[1]))
                    running[self._remote.remote(task.sealed, task.name, self.hang_seconds, board)] = task
                if not running:
                    break
                ready, _ = self._ray.wait(list(running), num_returns=1, timeout=PROGRESS_SECONDS)
                for reference in ready:
                    failure = self._collect(reference, running.pop(reference), again, on_done) or failure
                if on_progress and (time.monotonic() - asked > PROGRESS_SECONDS or not running):
                    now, asked = self._read(board, seen), time.monotonic()
                    if now > seen:
                        on_progress(now - seen)
                        seen = now
        except BaseException:
            for reference in running:
                with contextlib.suppress(Exception):  # the cluster may be what is gone
                    self._ray.cancel(reference, force=True)
            raise
        if failure:
            raise failure

    def close(self) -> None:
        """Ends the cluster that this engine started, or leaves the one that it joined."""
        self._board = None
        if self._own:
            self._ray.shutdown()
            self._own = False

    def _start(self, workers: int | None, address: str | None) -> None:
        local = address is None
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Without an address Ray would join whatever cluster a file in the temp folder remembers, dead or alive.
        options: dict[str, Any] = {"address": "local" if local else address, "logging_level": logging.WARNING}
        if local:
            options |= {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
            options["object_store_memory"] = OBJECT_STORE_BYTES
        try:
            _reach(address)
            self._ray.init(**options)
        except (OSError, ValueError, RuntimeError, self._ray.exceptions.RayError) as error:
            where = "on this machine" if local else f"at {address}"
            first = _line(error).rstrip(".")
            raise RayUnavailable(
                f"no Ray cluster {where}: {first}. `ray status --address ADDRESS` says whether one runs; a cluster "
                "with token authentication needs RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here too."
            ) from error

    def _window(self) -> int:
        """How many tasks are given to Ray at one time."""
        if time.monotonic() - self._counted > RECOUNT_SECONDS:
            self._slots, self._counted = self._count(), time.monotonic()
        return self._limit if self._limit and self._limit < self._slots else AHEAD * self._slots

    def _count(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 0) / self._cpus))

    def _sealed(self, function: Callable[..., Any], argument: Any) -> bytes:
        return pickle.dumps((os.getcwd(), sys.path, self._ray.cloudpickle.dumps((function, argument))))

    def _collect(
        self, reference: Any, task: _Task, again: deque[_Task], on_done: Callable[[str, Any], None]
    ) -> TaskFailed | None:
        errors = self._ray.exceptions
        try:
            ok, result = self._ray.get(reference)
        except (errors.NodeDiedError, errors.LocalRayletDiedError) as error:
            task.nodes_lost += 1
            lost, most, what = task.nodes_lost, MOST_NODES_LOST, f"its nodes were lost ({_line(error)})"
        except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            task.deaths += 1
            lost, most, what = task.deaths, MOST_DEATHS, f"its Ray workers died ({_line(error)})"
        except errors.RayError as error:
            return TaskFailed(task.name, f"Ray could not run it: {_line(error)}", str(error))
        else:
            if ok:
                on_done(task.name, pickle.loads(result))
                return None
            return TaskFailed(task.name, *result)
        if lost >= most:
            return TaskFailed(task.name, f"{what}, {lost} times", passing=True)
        again.append(task)
        return None

    def _progress(self) -> Any:
        """The actor that adds up progress, on the driver's own node."""
        if self._board is None:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=True)
            self._board = self._ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()
        return self._board

    def _read(self, board: Any, known: int) -> int:
        """What the board says, or what was known where it does not answer: progress is for show alone."""
        if board is not None:
            with contextlib.suppress(self._ray.exceptions.RayError):
                return int(self._ray.get(board.read.remote(), timeout=5))
        return known


class _Board:
    """The progress of all tasks of a driver, added up."""

    def __init__(self) -> None:
        self.amount = 0

    def add(self, amount: int) -> None:
        self.amount += amount

    def read(self) -> int:
        return self.amount


class _Child(Local):
    """The one worker of a Ray worker. It must not import Ray's own main module, as a spawned process would."""

    def _start(self) -> Any:
        main = sys.modules["__main__"]
        kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
        for name in kept:
            setattr(main, name, None)
        try:
            return super()._start()
        finally:
            for name, value in kept.items():
                setattr(main, name, value)


@cache
def _child(hang_seconds: float) -> _Child:
    return _Child(1, hang_seconds=hang_seconds)


def _host(sealed: bytes, name: str, hang_seconds: float, board: Any) -> tuple[bool, Any]:
    """In a Ray worker: (True, the sealed result of a task), or (False, (what went wrong, its trace))."""
    results: list[bytes] = []
    waiting, told = 0, time.monotonic()

    def relay(amount: int) -> None:
        nonlocal waiting, told
        waiting += amount
        if board is not None and time.monotonic() - told > PROGRESS_SECONDS:
            board.add.remote(waiting)
            waiting, told = 0, time.monotonic()

    try:
        _child(hang_seconds).map(_opened, [(name, sealed)], lambda _, result: results.append(result), relay)
    except TaskFailed as failure:
        return False, (failure.message, failure.detail, failure.passing)
    finally:
        if board is not None and waiting:
            board.add.remote(waiting)
    return True, results[0]


def _opened(context: Context, sealed: bytes) -> bytes:
    """In the child: looks for files and modules where the driver does."""
    folder, paths, inner = pickle.loads(sealed)
    with contextlib.suppress(OSError):  # another node may not have it: then the paths must be absolute
        os.chdir(folder)
    sys.path += [path for path in paths if path not in sys.path]
    function, argument = pickle.loads(inner)
    return pickle.dumps(function(context, argument))


def _imported() -> Any:
    try:
        import ray
        import ray.cloudpickle
    except ImportError as error:
        raise RayUnavailable(f"engine ray needs Ray ({error}): pip install 'tamis[ray]'") from error
    return ray


def _reach(address: str | None) -> None:
    """Raises OSError where nobody listens at HOST:PORT: Ray itself would try for a quarter of an hour."""
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


def _close_to_others() -> None:
    """Closes a cluster of this machine to its other users: whoever may submit a task runs code as us.

    The token lives in the environment of this process and of what it starts, and ends with it (Ray's own default
    writes one to the home folder). Ray looks once, when it is imported; what the user has set counts.
    """
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if "ray" not in sys.modules and not any(name in os.environ for name in names):
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


def _line(error: BaseException) -> str:
    """The first line of what Ray says, which may go on for a page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
