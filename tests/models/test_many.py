"""Jobs in processes: order, errors, deaths, one thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from many_jobs import job
from tamis.models.many import JobsFailed, many

PARENT = """
import sys
sys.path.insert(0, {here!r})
import many_jobs as t
from tamis.models.many import many
if __name__ == "__main__":
    many(t.linger, [{place!r}], processes=1)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    place, script = tmp_path / "worker", tmp_path / "parent.py"
    script.write_text(PARENT.format(here=str(Path(__file__).parents[1]), place=str(place)))
    parent = subprocess.Popen([sys.executable, str(script)])
    worker = 0
    try:
        assert _soon(lambda: place.exists() and place.read_text() != "")
        worker = int(place.read_text())
        parent.kill()
        parent.wait()
        assert _soon(lambda: not _alive(worker))
    finally:
        parent.kill()
        if worker and _alive(worker):
            os.kill(worker, signal.SIGKILL)


def _soon(true: Callable[[], bool], seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _alive(process: int) -> bool:
    """Does it run? One that has ended but that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_stand_in_the_order_of_jobs_and_failures_are_named() -> None:
    assert many(job, []) == []
    with pytest.raises(JobsFailed) as caught:
        many(job, ["a", "raise", "b", "die", "threads", "c"], processes=2)
    assert caught.value.results == ["aa", None, "bb", None, 1, "cc"]
    assert caught.value.errors[1] == "ValueError: no such thing"
    assert "killed by signal 9" in caught.value.errors[3]
    assert "2 of 6 runs failed" in str(caught.value)
    assert "raise: ValueError" in str(caught.value)
