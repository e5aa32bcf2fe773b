"""Many independent jobs on a few processes of one thread each.

Two arms of a comparison on two cores: two processes of one thread never wait for each other, as two threads of one
process do after every product. A process ends with the one that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from tamis.errors import SaidNo

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class JobsFailed(RuntimeError, SaidNo):
    """Some jobs failed; the others were finished. errors: number of the job -> what went wrong. results: of all
    jobs in order, None where one failed."""

    def __init__(self, message: str, errors: dict[int, str], results: list[Any]) -> None:
        super().__init__(message)
        self.errors, self.results = errors, results


def many(
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    processes: int = 2,
    describe: Callable[[Any], str] = str,
    title: str = "runs",
) -> list[Any]:
    """[function(job) for job in jobs], in spawned processes of one thread; results in the order of jobs.

    function is importable by name (module level), jobs and results are pickled. A process that dies is charged to its
    job. Raises JobsFailed, when all others are done, naming each job that failed with its error; the first one's
    traceback goes to standard error. Memory: the results.
    """
    workers = [_Worker(function) for _ in range(min(processes, len(jobs)))]
    waiting = list(range(len(jobs)))[::-1]
    results: list[Any] = [None] * len(jobs)
    errors: dict[int, str] = {}
    done = 0
    try:
        with _Progress(title, len(jobs)) as progress:
            while waiting or any(worker.job is not None for worker in workers):
                for place, worker in enumerate(workers):
                    if worker.job is None and waiting:
                        if not worker.process.is_alive():
                            workers[place] = worker = _Worker(function)
                        number = waiting.pop()
                        worker.give(number, jobs[number])
                        progress.say(done, describe(jobs[number]))
                busy = {worker.pipe: worker for worker in workers if worker.job is not None}
                for pipe in wait(list(busy)):
                    worker = busy[pipe]  # type: ignore[index]
                    number, result, error = worker.take()
                    if error is None:
                        results[number] = result
                    else:
                        if not errors:
                            sys.stderr.write(error)
                        errors[number] = error.strip().splitlines()[-1]
                    done += 1
                    progress.say(done, describe(jobs[number]))
    finally:
        for worker in workers:
            worker.end()
    if errors:
        told = "; ".join(f"{describe(jobs[number])}: {error}" for number, error in sorted(errors.items()))
        raise JobsFailed(f"{len(errors)} of {len(jobs)} {title} failed ({told})", errors, results)
    return results


class _Worker:
    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        kept = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(dict.fromkeys(THREADS, "1"))  # read when the child imports numpy and torch
        try:
            self.process = context.Process(target=_serve, args=(function, theirs), daemon=True)
            self.process.start()
        finally:
            for name, value in kept.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        theirs.close()
        self.job: int | None = None

    def give(self, number: int, job: Any) -> None:
        self.job = number
        with contextlib.suppress(BrokenPipeError):  # died before its first job: `take` says so
            self.pipe.send(job)

    def take(self) -> tuple[int, Any, str | None]:
        """Number of the job, its result, its error (a traceback)."""
        number, self.job = self.job, None
        assert number is not None
        try:
            result, error = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"left with code {code}"
            return number, None, f"its process {how}; out of memory, perhaps"
        return number, result, error

    def end(self) -> None:
        self.pipe.close()
        if self.job is not None:
            self.process.terminate()
        self.process.join()


def _serve(function: Callable[[Any], Any], pipe: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:  # functions that need no torch
        pass
    while True:
        try:
            job = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send((function(job), None))
        except KeyboardInterrupt:
            return
        except Exception:
            pipe.send((None, traceback.format_exc()))


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes: they would train on beside those of the same command begun
    again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Progress:
    """A bar on standard error where that is a terminal; elsewhere silent."""

    def __init__(self, title: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._bar = Progress(
            TextColumn(title), *columns, console=console, disable=not console.is_terminal, transient=True
        )
        self._task = self._bar.add_task("", total=total)

    def say(self, done: int, what: str) -> None:
        self._bar.update(self._task, completed=done, description=what)

    def __enter__(self) -> _Progress:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)
