"""Drivers of the Ray tests: a run that does something at its n-th finished task."""

import os
import signal
import sys
from pathlib import Path

from tamis.pipeline import Pipeline
from tamis.running import load
from tamis.workspace import Progress, Workspace


class At(Progress):
    """Calls `strike` when the task of that number, counted over all stages, is done."""

    def __init__(self, moments, strike):
        self.left = sorted(moments)
        self.strike = strike
        self.count = 0

    def done(self, stage, task, summary):
        self.count += 1
        if self.left and self.count == self.left[0]:
            self.left.pop(0)
            self.strike()


def drive(recipe, work, engine, moments=(), strike=None):
    """Runs a recipe; how many tasks were run."""
    progress = At(moments, strike)
    Pipeline(load(Path(recipe)), Workspace(work, create=True), engine, progress, label="test").run()
    return progress.count


def main():
    from tamis.ray_engine import Ray

    recipe, work, address, moment = sys.argv[1:]
    with Ray(address=address) as engine:
        drive(recipe, work, engine, [int(moment)], lambda: os.kill(os.getpid(), signal.SIGKILL))


if __name__ == "__main__":
    main()
