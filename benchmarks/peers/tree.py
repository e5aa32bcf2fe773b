"""CPU time and memory of a process and all that descend from it (Linux). Standard library only: peers run it too."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def processes(root: int) -> list[int]:
    """Ids of `root` and of all living processes that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def cpu_seconds() -> float:
    """User and system seconds of this process, of its living descendants, and of all that have ended and were
    waited for."""
    total = 0.0
    for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)):
        total += usage.ru_utime + usage.ru_stime
    for process in processes(os.getpid())[1:]:
        fields = _stat(process)
        if fields:  # utime, stime, cutime, cstime in ticks
            total += sum(map(int, fields[11:15])) / _TICK
    return total


def anonymous_bytes(root: int) -> int:
    """Anonymous resident memory of `root` and its descendants: what they hold themselves, without mapped files."""
    return sum(map(_anonymous, processes(root)))


def _anonymous(process: int) -> int:
    try:
        with open(f"/proc/{process}/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    return 0


def _stat(process: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, ...; None where the process has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Window:
    """`with Window() as window: ...`, then `window.cpu` and `window.wall` in seconds, over the process tree."""

    cpu = wall = 0.0

    def __enter__(self) -> Window:
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = cpu_seconds() - self._cpu
