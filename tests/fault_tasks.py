"""What the fault tests put in the place of parts of a run: spawned workers import it by name."""

import os
import signal
import time
from pathlib import Path

from tamis import quarantine
from tamis.clean import task
from tamis.signals import GROUPS
from tamis.signals import task as signals_task
from tamis.sources import Split
from tamis.workspace import Progress, Workspace

_extract = task.extract


class At(Progress):
    """Calls `strike` when the first task of a stage is done."""

    def __init__(self, stage, strike):
        self.stage, self.strike = stage, strike

    def done(self, stage, task, summary):
        if stage == self.stage:
            self.stage = None
            self.strike()


def drive(recipe, work, engine, progress=None):
    from tamis.pipeline import Pipeline
    from tamis.running import load

    return Pipeline(load(Path(recipe)), Workspace(work, create=True), engine, progress, label="test").run()


def hostile_extract(payload, *arguments):
    if b"HANGS" in payload:
        time.sleep(600)
    if b"KILLS" in payload:
        os.kill(os.getpid(), signal.SIGKILL)
    return _extract(payload, *arguments)


def hostile_documents(context, params, inputs, outputs):
    """`documents_task` with an extractor that some pages hang or kill."""
    task.extract, task.ALONE_SECONDS = hostile_extract, 8.0
    return task.documents_task(context, {**params, "split": {**params["split"], **params["where"]}}, inputs, outputs)


def hostile_signals(context, params, inputs, outputs):
    """`signals_task` with a group `text` that raises on, hangs at, or dies of some documents."""
    quarantine.ALONE_SECONDS = 8.0
    signals_task._measured = hostile_measured
    return signals_task.signals_task(context, params, inputs, outputs)


_measured, _compute = signals_task._measured, signals_task._compute


def hostile_measured(batch, wanted, options, failures):
    text = " ".join(batch.clean.to_pylist())
    if "SLEEPS" in text:
        time.sleep(600)
    if "DEADLY" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    signals_task._compute = hostile_compute
    return _measured(batch, wanted, options, failures)


def hostile_compute(group, batch, options):
    if group is GROUPS["text"] and any("RAISES" in text for text in batch.clean.to_pylist()):
        raise ZeroDivisionError("a row that raises")
    return _compute(group, batch, options)


def changing_documents(context, params, inputs, outputs):
    """`read_task` of a file to which somebody appends while it is read."""
    from tamis.reading import read_task

    task.read = appending_read
    return read_task(context, params, inputs, outputs)


_read = task.read


def appending_read(split: Split):
    for number, item in enumerate(_read(split)):
        if number == 3:
            with Path(split.path).open("a") as file:
                file.write('{"text": "one more line"}\n')
        yield item
