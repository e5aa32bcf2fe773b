"""Jobs in processes: order, errors, deaths, one thread."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tamis.models.many import JobsFailed, many


def job(what: Any) -> Any:
    if what == "raise":
        raise ValueError("no such thing")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "threads":
        return int(os.environ["OMP_NUM_THREADS"])
    return what * 2


def test_results_stand_in_the_order_of_jobs_and_failures_are_named() -> None:
    assert many(job, []) == []
    with pytest.raises(JobsFailed) as caught:
        many(job, ["a", "raise", "b", "die", "threads", "c"], processes=2)
    assert caught.value.results == ["aa", None, "bb", None, 1, "cc"]
    assert caught.value.errors[1] == "ValueError: no such thing"
    assert "killed by signal 9" in caught.value.errors[3]
    assert "2 of 6 runs failed" in str(caught.value)
    assert "raise: ValueError" in str(caught.value)
