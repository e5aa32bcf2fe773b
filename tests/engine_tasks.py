"""Task functions of the engine's tests: spawned workers import them by name."""

import multiprocessing as mp
import os
import signal
import time
from pathlib import Path

from tamis.clean import cleaning, task
from tamis.dedup import shingles, sketch
from tamis.engine import Died, Hung, item_name
from tamis.quarantine import guarded


def double(context, number):
    context.advance(1)
    return 2 * number


def fail_on_three(context, number):
    if number == 3:
        raise ValueError("three is refused")
    return number


def raise_errno(context, number):
    raise OSError(number, os.strerror(number))


def die_at_items(context, argument):
    """Works through items; the deadly ones kill the worker unless they are run alone."""
    items, deadly = argument
    marked = []
    for item in items:
        context.heartbeat(item)
        if item in context.suspects:
            try:
                context.alone(touch, item, deadly, seconds=20)
            except Died:
                marked.append(item)
        else:
            touch(item, deadly)
    return marked


def touch(item, deadly):
    if item in deadly:
        os.kill(os.getpid(), signal.SIGKILL)


def always_die(context, argument):
    context.heartbeat("poison")
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(context, marker):
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "second time"


def hang_at_item(context, item):
    context.heartbeat(item)
    if item in context.suspects:
        try:
            context.alone(sleep_long, seconds=0.5)
        except Hung:
            return "marked"
    sleep_long()
    return None


def sleep_long():
    time.sleep(600)


def upper(context, params, inputs, outputs):
    """A workspace task: upper-cases a text file."""
    text = inputs[0].read_text()
    if params.get("fail"):
        outputs[0].write_text("half")
        raise ValueError("asked to fail")
    outputs[0].write_text(text.upper() + params.get("tail", ""))
    return {"in": len(text), "out": len(text) - params.get("lose", 0), "reasons": {}}


def scatter(context, params, inputs, outputs):
    outputs[0].write_text(inputs[0].read_text())
    return {}


def gather(context, params, inputs, outputs):
    part = params["partition"]
    outputs[0].write_text("".join(path.read_text()[part] for path in inputs))
    return {}


def pair(context, params, inputs, outputs):
    """The input twice."""
    for path in outputs:
        path.write_bytes(inputs[0].read_bytes())
    return {}


def interrupted():
    """What a terminal does to every process of a run on Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


def suspected(context, item):
    """Kills its worker at the item until the item is among the suspects."""
    context.heartbeat(item)
    if item_name(item) not in context.suspects:
        os.kill(os.getpid(), signal.SIGKILL)
    return "found"


def lengths(words):
    """The lengths of words, in a worker; "kill" and "hang" do so even alone, "tired" only where others came before."""
    for at, word in enumerate(words):
        if word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "hang" or (word == "tired" and mp.current_process().name == "tamis-worker"):
            sleep_long()
        if word == "fat" and (at or len(words) > 1):
            os.kill(os.getpid(), signal.SIGKILL)
    return [len(word) for word in words]


def guarded_lengths(context, words):
    rows = range(10, 10 + len(words))
    seconds = 4 if "hang" in words else 60
    return [made for _, _, made in guarded(context, rows, Words(words), lengths, seconds=seconds)]


class Words(list):
    def __call__(self, start, stop):
        return self[start:stop]


def deadly_stage(context, argument):
    """A task of the house whose work on a text with the word DEADLY kills its process, alone or not."""
    kind, params, inputs, outputs = argument
    if kind == "edits":
        cleaning.clean_edits = deadly_edits
        return cleaning.edits_task(context, params, inputs, outputs)
    if kind == "trims":
        cleaning._trim_edits = deadly_trims
        return cleaning.trims_task(context, params, inputs, outputs)
    if kind == "sketch":
        sketch.sketch = deadly_sketch
        return sketch.sketch_task(context, params, inputs, outputs)
    shingles._sets = deadly_sets
    return shingles.scatter_task(context, params, inputs, outputs)


def refuse(text):
    if any(t and "DEADLY" in t for t in text.to_pylist()):
        os.kill(os.getpid(), signal.SIGKILL)


_edits, _trims, _sketch, _sets = cleaning.clean_edits, cleaning._trim_edits, sketch.sketch, shingles._sets


def deadly_edits(text, options, extra):
    refuse(text)
    return _edits(text, options, extra)


def deadly_trims(piece, names):
    refuse(piece[0])
    return _trims(piece, names)


def deadly_sketch(text, options):
    refuse(text)
    return _sketch(text, options)


def deadly_sets(text, ngram):
    refuse(text)
    return _sets(text, ngram)


def endless_reading(context, argument):
    params, outputs = argument
    task.read = never
    return task.documents_task(context, params, [], outputs)


def never(split):
    sleep_long()
    yield
