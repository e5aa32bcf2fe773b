"""Task functions of the engine's tests: spawned workers import them by name."""

import os
import signal
import time
from pathlib import Path

from tamis.engine import Died, Hung


def double(context, number):
    context.advance(1)
    return 2 * number


def fail_on_three(context, number):
    if number == 3:
        raise ValueError("three is refused")
    return number


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
