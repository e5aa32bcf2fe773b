"""Jobs for `tamis.models.many`: in a module that spawned processes can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def job(what: Any) -> Any:
    if what == "raise":
        raise ValueError("no such thing")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "threads":
        return int(os.environ["OMP_NUM_THREADS"])
    return what * 2


def linger(place: str) -> None:
    Path(place).write_text(str(os.getpid()))
    time.sleep(600)
