"""Runs functions over many items on worker processes of this machine.

An engine knows nothing of files, stages or documents: it takes a module-level function and a list of items, runs
`function(context, item)` for each, and hands back the results. The workspace decides what an item is. Ray gets the
same interface, so nothing above this module knows which engine runs.

Workers are spawned, one thread each, with a pipe of their own, so that a death is charged to the task that caused
it. A task names what it is working on (`Context.heartbeat`); when its worker dies, or stays at one item for longer
than it may, the task is started again with that item among `Context.suspects`, which the task then runs in
a process of its own (`Context.alone`) or marks. A task that keeps dying without naming a new item is given up with
its name and its item: it is never retried for ever.

How long a worker may stay at one item: `HANG_SECONDS`, times `patience()` where the slow kernels are in use, and twice
as long for each time that the task was charged at the same place. The limit is there to end a stall, not to judge: a
machine under load may pass it, so what passed it is tried again in smaller pieces and at last alone, and only what does
not end even then is marked (`tamis.quarantine`).

Memory: the items and results that are in flight; nothing grows with the data.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import multiprocessing as mp
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

ITEM_BYTES = 1024
# A worker that dies this often on one task without naming a new item is not started again.
MOST_DEATHS = 3
# Nor is one whose items kill more workers than this: the fault is the machine's or the stage's, not the items'.
MOST_SUSPECTS = 100
HANG_SECONDS = 120.0
# Of the machine or the network, so that the same task may do well another time.
_PASSING = frozenset(
    getattr(errno, name)
    for name in ("EAGAIN", "EDQUOT", "EFBIG", "EHOSTUNREACH", "EINTR", "EIO", "EMFILE", "ENETUNREACH", "ENFILE",
                 "ENOMEM", "ENOSPC", "EROFS", "ESTALE", "ETIMEDOUT")
    if hasattr(errno, name)
)  # fmt: skip
# The reference kernels need some hundred times the time of the native ones, but not all work is theirs.
REFERENCE_PATIENCE = 20.0


def item_name(item: str) -> str:
    """The name under which an item is charged: what `Context.suspects` holds for what was given to `heartbeat`.

    Names travel in a buffer of fixed size, as UTF-8 ended by a zero byte; a name that does not fit as it is (too
    long, with zero bytes or lone surrogates) is cut and ends in its hash. Names of other items stay different, and
    the name of a name is the same.
    """
    exact = item.encode("utf-8", "surrogatepass")
    name = item.encode("utf-8", "replace").replace(b"\0", b"?")
    if name == exact and len(name) < ITEM_BYTES:
        return item
    digest = hashlib.blake2b(exact, digest_size=16).hexdigest()
    return name[: ITEM_BYTES - len(digest) - 8].decode("utf-8", "ignore") + "..." + digest


def patience() -> float:
    """How many times longer than usual an item may take with the kernels in use here."""
    from tamis import kernels

    return REFERENCE_PATIENCE if kernels.backend() == "reference" else 1.0


class Hung(RuntimeError):
    """A function run alone did not end in time."""


class Died(RuntimeError):
    """A function run alone ended its process (a crash, a signal, out of memory)."""


class TaskFailed(RuntimeError):
    """A task raised, or killed its workers again and again. `.name` is the task's, `.message` what is said of it;
    `.passing`: the cause may be gone when the task is tried again (a death, a full disk)."""

    def __init__(self, name: str, message: str, detail: str = "", passing: bool = False) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.detail = detail
        self.passing = passing


class Context(Protocol):
    """What a task may ask of the engine that runs it."""

    suspects: frozenset[str]

    def heartbeat(self, item: str) -> None:
        """Names the item being worked on; an empty name means that nothing can be charged.

        A task that is started again finds `item_name(item)` among its suspects.
        """

    def advance(self, amount: int) -> None:
        """Reports progress in units of the stage's choice (documents, bytes)."""

    def alone(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        """The function's result from a process of its own. Raises Hung, Died, or what the function raised."""


class Engine(Protocol):
    """Runs `function(context, item)` for every item; order of completion is not defined."""

    @property
    def workers(self) -> int:
        """How many items run at one time."""

    def map(
        self,
        function: Callable[[Context, Any], Any],
        items: Sequence[tuple[str, Any]],
        on_done: Callable[[str, Any], None],
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """`items` are (name, argument). Raises TaskFailed; items that were running then are finished first."""

    def close(self) -> None:
        """Ends the workers."""


class Inline:
    """Runs in this process, for tests and for tools that need one small answer. Nothing is killable."""

    workers = 1

    def map(
        self,
        function: Callable[[Context, Any], Any],
        items: Sequence[tuple[str, Any]],
        on_done: Callable[[str, Any], None],
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        context = InlineContext(on_progress)
        for name, argument in items:
            try:
                result = function(context, argument)
            except Exception as error:
                raise TaskFailed(name, _say(error), _trace(error), _passes(error)) from error
            on_done(name, result)

    def close(self) -> None:
        pass


class InlineContext:
    """The context of a task that runs in this very process."""

    def __init__(self, on_progress: Callable[[int], None] | None = None) -> None:
        self.suspects: frozenset[str] = frozenset()
        self._on_progress = on_progress

    def heartbeat(self, item: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        if self._on_progress:
            self._on_progress(amount)

    def alone(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        return run_alone(function, arguments, seconds)


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    item: Any  # ctypes array shared with the worker: what it works on
    beats: Any  # shared counter: changes with every heartbeat
    amount: Any  # shared counter: progress
    task: _Task | None = None
    beats_seen: int = -1
    since: float = 0.0


@dataclass
class _Task:
    name: str
    argument: Any
    suspects: set[str] = field(default_factory=set)
    deaths: int = 0
    hung: bool = False  # the last time


class Local:
    """Spawned worker processes on this machine. Use as a context manager, or call close()."""

    def __init__(self, workers: int | None = None, *, hang_seconds: float | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        self.hang_seconds = HANG_SECONDS * patience() if hang_seconds is None else hang_seconds
        self._spawn = mp.get_context("spawn")
        self._pool: list[_Worker] = []

    def __enter__(self) -> Local:
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
        todo = deque(_Task(name, argument) for name, argument in items)
        failure: TaskFailed | None = None
        while len(self._pool) < min(self.workers, len(todo)):
            self._pool.append(self._start())
        moved = sum(worker.amount.value for worker in self._pool)
        try:
            while todo or any(worker.task for worker in self._pool):
                for worker in self._pool:
                    if worker.task is None and todo and failure is None:
                        self._give(worker, function, todo.popleft())
                busy = [worker for worker in self._pool if worker.task]
                if not busy:
                    break
                ready = wait([worker.pipe for worker in busy], timeout=0.2)
                for worker in busy:
                    if worker.pipe in ready:
                        failure = self._collect(worker, todo, on_done) or failure
                    elif self._hangs(worker):
                        assert worker.task is not None
                        worker.task.hung = True
                        worker.process.kill()
                if on_progress:
                    now = sum(worker.amount.value for worker in self._pool)
                    if now > moved:
                        on_progress(now - moved)
                        moved = now
        except BaseException:
            self.close(kill=True)
            raise
        if failure:
            raise failure

    def close(self, kill: bool = False) -> None:
        for worker in self._pool:
            if kill:
                worker.process.kill()
            with contextlib.suppress(OSError):
                worker.pipe.close()  # the worker reads the end of its pipe and leaves
        for worker in self._pool:
            worker.process.join(timeout=10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._pool = []

    def _start(self) -> _Worker:
        here, there = self._spawn.Pipe()
        item = self._spawn.RawArray(ctypes.c_char, ITEM_BYTES)
        beats, amount = self._spawn.RawValue(ctypes.c_uint64, 0), self._spawn.RawValue(ctypes.c_uint64, 0)
        process = self._spawn.Process(
            target=_serve, args=(there, item, beats, amount, os.getpid()), daemon=False, name="tamis-worker"
        )
        with _single_threaded():
            process.start()
        there.close()
        return _Worker(process, here, item, beats, amount)

    def _give(self, worker: _Worker, function: Callable[..., Any], task: _Task) -> None:
        worker.item.value = b""
        worker.task, worker.beats_seen, worker.since = task, worker.beats.value, time.monotonic()
        # A worker that died between two tasks shows in `_collect`, which charges nobody.
        with contextlib.suppress(BrokenPipeError):
            worker.pipe.send((function, task.argument, frozenset(task.suspects)))

    def _hangs(self, worker: _Worker) -> bool:
        beats = worker.beats.value
        if beats != worker.beats_seen:
            worker.beats_seen, worker.since = beats, time.monotonic()
        limit = self.hang_seconds * 2 ** (worker.task.deaths if worker.task else 0)
        return bool(worker.item.value) and time.monotonic() - worker.since > limit

    def _collect(self, worker: _Worker, todo: deque[_Task], on_done: Callable[[str, Any], None]) -> TaskFailed | None:
        task = worker.task
        assert task is not None
        try:
            ok, result = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            return self._bury(worker, task, todo)
        worker.task = None
        if ok:
            on_done(task.name, result)
            return None
        return TaskFailed(task.name, *result)

    def _bury(self, worker: _Worker, task: _Task, todo: deque[_Task]) -> TaskFailed | None:
        item = worker.item.value.decode("utf-8", "replace")
        worker.process.join()
        code = worker.process.exitcode
        worker.pipe.close()
        place = self._pool.index(worker)
        fresh = self._start()
        fresh.amount.value = worker.amount.value  # progress never runs backwards
        self._pool[place] = fresh
        task.deaths = 1 if item and item not in task.suspects else task.deaths + 1
        if item:
            task.suspects.add(item)
        if task.deaths >= MOST_DEATHS or len(task.suspects) > MOST_SUSPECTS:
            where = f", the last time at {item!r}" if item else ""
            how = "it hung" if task.hung else _exit(code)
            times = max(task.deaths, len(task.suspects))
            return TaskFailed(task.name, f"its workers died {times} times ({how}){where}", passing=True)
        task.hung = False
        todo.appendleft(task)
        return None


def run_alone(function: Callable[..., Any], arguments: Sequence[Any], seconds: float) -> Any:
    """The function's result from a process of its own, killed after `seconds`. Raises Hung or Died."""
    spawn = mp.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_answer, args=(there, os.getpid(), function, tuple(arguments)))
    with _single_threaded():
        process.start()
    there.close()
    try:
        if not here.poll(seconds):
            raise Hung(f"{function.__name__} did not end within {seconds:g} seconds")
        try:
            ok, result = here.recv()
        except EOFError:
            process.join()
            raise Died(f"{function.__name__} ended its process ({_exit(process.exitcode)})") from None
    finally:
        process.kill()
        process.join()
        here.close()
    if not ok:
        raise RuntimeError(result[0])
    return result


class _WorkerContext:
    def __init__(self, item: Any, beats: Any, amount: Any, suspects: frozenset[str]) -> None:
        self.suspects = suspects
        self._item, self._beats, self._amount = item, beats, amount

    def heartbeat(self, item: str) -> None:
        self._item.value = item_name(item).encode()
        self._beats.value += 1

    def advance(self, amount: int) -> None:
        self._amount.value += amount

    def alone(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        self.heartbeat("")  # the clock of `run_alone` is the one that counts now
        return run_alone(function, arguments, seconds)


def _serve(pipe: Connection, item: Any, beats: Any, amount: Any, parent: int) -> None:
    """The life of a worker: take a task, run it, answer; leave when the pipe ends."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt means
    while True:
        try:
            function, argument, suspects = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, function(_WorkerContext(item, beats, amount, suspects), argument))
        except Exception as error:
            answer = (False, (_say(error), _trace(error), _passes(error)))
        item.value = b""
        try:
            pipe.send(answer)
        except (BrokenPipeError, OSError):
            return
        del answer
        _give_back()


def _give_back() -> None:
    """Returns freed memory to the system: a worker lives on, and must not hold the most that any task needed."""
    if "pyarrow" in sys.modules:
        import pyarrow

        pyarrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # a C library other than glibc
            ctypes.CDLL(None).malloc_trim(0)


def _answer(pipe: Connection, parent: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # else Ctrl-C would look like the fault of what runs alone
    try:
        answer = (True, function(*arguments))
    except Exception as error:
        answer = (False, (_say(error), traceback.format_exc()))
    pipe.send(answer)


def _die_with(parent: int) -> None:
    """Ends this process when its parent ends, even by SIGKILL (Linux; elsewhere the closed pipe does it later)."""
    if sys.platform == "linux":
        prctl_set_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(prctl_set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


@contextlib.contextmanager
def _single_threaded() -> Any:
    """Worker processes are the unit of parallelism: the libraries inside them get one thread each."""
    names = [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "ARROW_NUM_THREADS",
    ]
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _say(error: BaseException) -> str:
    plain = isinstance(error, ValueError) or type(error).__module__.startswith("tamis.")
    said = str(error) if plain else f"{type(error).__name__}: {error}"
    return ": ".join([*getattr(error, "__notes__", ()), said])


def _trace(error: BaseException) -> str:
    """Where an error came from, for a defect; nothing for what Tamis itself says of its input."""
    expected = type(error).__module__.startswith("tamis.") or isinstance(error, OSError)
    return "" if expected else traceback.format_exc()


def _passes(error: BaseException) -> bool:
    """Whether the cause may be gone the next time: the machine's or the network's, not the data's or the code's."""
    if isinstance(error, OSError):
        return isinstance(error, ConnectionError | TimeoutError) or error.errno in _PASSING
    return isinstance(error, MemoryError | Died | Hung)


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
