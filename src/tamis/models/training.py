"""`fit` trains a module; `train` makes a run of it: a folder that is resumed exactly, and reused when it is whole.

    OUT/ID/
        run.json             config, settings, identity of the feed, versions, cost; there only when the run is whole
        model.safetensors    the weights
        tokenizer.json       what was given
        curve.parquet        step, tokens, loss, lr, grad_norm of every step
        health.parquet       of watched steps: gradient, weight, update of every parameter
        experts.parquet      and tokens of every expert, where there are experts
        logs/                for TensorBoard, where asked for
        checkpoint.safetensors    while the run goes on: weights, optimizer, curve so far

ID is a hash of all that decides the run. A run that was killed goes on from its checkpoint to the same losses, bit
for bit; `train` called again on a whole run answers at once, and while another process trains it waits for that one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from tamis.models import checkpoint, precision
from tamis.models.data import Feed, documents
from tamis.models.decoder import Config, Decoder
from tamis.models.health import Health
from tamis.models.hf import Causal, Shape
from tamis.models.loop import Curve, Loop, Step, distributed
from tamis.models.settings import Settings
from tamis.models.watching import Watching

# Part of a run's identity: bumped where the same settings would give another model. 2: four Newton-Schulz steps.
VERSION = 2


def fit(
    module: nn.Module,
    feed: Feed,
    settings: Settings,
    on_step: Callable[[Step], None] | None = None,
) -> Curve:
    """Trains `module` in place. It has nats(ids (B, T + 1)) -> (B, T), or gives logits (as those of transformers).

    Raises Diverged where the loss is no number, SettingsError where settings and feed disagree.
    """
    return Loop(module, feed, settings).run(on_step)


@dataclass(frozen=True)
class Run:
    """A trained model: its folder, what decided it, its curve and its cost. seconds: wall; cpu_seconds: of the
    process; flops: by formula, forward and backward."""

    folder: Path
    config: Config | Shape
    settings: Settings
    seconds: float
    cpu_seconds: float
    flops: float

    @property
    def id(self) -> str:
        return self.folder.name

    @cached_property
    def curve(self) -> Curve:
        table = pq.read_table(self.folder / "curve.parquet")
        return Curve(**{name: table.column(name).to_numpy() for name in table.column_names})

    def module(self) -> Decoder | Causal:
        """The trained model, in evaluation mode."""
        made = _module(self.config, 0)
        tensors, _ = checkpoint.load(self.folder / "model.safetensors")
        made.load_state_dict(tensors)
        return made.eval()

    def model(self) -> Any:
        """The trained model as evaluation takes it: a Predictor."""
        from tamis.models.model import TorchModel

        return TorchModel(self.module(), self.config.context)

    @classmethod
    def read(cls, folder: Path) -> Run:
        """A whole run. Raises FileNotFoundError where run.json is missing."""
        path = folder / "run.json"
        if not path.exists():
            raise FileNotFoundError(f"{folder} holds no whole run: {path.name} is missing")
        body = json.loads(path.read_text(encoding="utf-8"))
        config = (Shape if "transformers" in body["config"] else Config)(**body["config"])
        return cls(
            folder, config, Settings(**body["settings"]), body["seconds"], body["cpu_seconds"], body["flops"]
        )  # fmt: skip


def train(
    feed: Feed,
    config: Config | Shape,
    settings: Settings,
    out: Path,
    *,
    tokenizer: Path | None = None,
    progress: bool = False,
    logs: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Run:
    """Trains a Decoder, or a model of transformers, of `config` on `feed` into OUT/ID, or gives the run that is there.

    progress: a bar and warnings on standard error. logs: TensorBoard files in OUT/ID/logs. Under torch.distributed
    every process calls this with its own part of the feed, and the first one writes.
    Raises CheckpointError where the disk is full or a checkpoint is damaged, Diverged where the loss is no number.
    """
    settings = settle(config, settings, out)
    identity = _identity(feed, config, settings, tokenizer)
    folder = out / _name(identity)
    if not distributed() and (folder / "run.json").exists():
        return Run.read(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not (folder / "run.json").exists():
            _train(folder, identity, feed, config, settings, tokenizer, progress, logs, on_step)
        if distributed():
            torch.distributed.barrier()
    return Run.read(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While no other process trains in this folder; of several that train together the first one sees to it."""
    if distributed() and torch.distributed.get_rank():
        torch.distributed.barrier()
        yield
        return
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"another process trains {folder}: waiting for it\n")
            fcntl.flock(file, fcntl.LOCK_EX)
        checkpoint.sweep(folder)
        if distributed():
            torch.distributed.barrier()
        yield


def _train(
    folder: Path, identity: dict[str, Any], feed: Feed, config: Config | Shape, settings: Settings,
    tokenizer: Path | None, progress: bool, logs: bool, on_step: Callable[[Step], None] | None,
) -> None:  # fmt: skip
    writes = not distributed() or torch.distributed.get_rank() == 0
    loop = Loop(_module(config, settings.seed), feed, settings)
    health = Health(loop.module, lambda step: [d for e, s in loop.batches(step - 1) for d in documents(feed, e, s)])
    place = folder / "checkpoint.safetensors"
    spent = {"seconds": 0.0, "cpu_seconds": 0.0}
    how = {"threads": torch.get_num_threads(), "processes": loop.world}
    if place.exists():
        tensors, words = checkpoint.load(place)
        loop.load(tensors)
        health.load(words["health"], tensors)
        spent = words["spent"]
        for name, now in how.items():
            if words.get(name, now) != now:
                health.resumed(
                    loop.done,
                    f"resumed with {now} {name} after {words[name]}: from here on losses are equal to those of one "
                    "sitting up to rounding only, not bit for bit",
                )
    began, cpu, resumed = time.monotonic(), _cpu(), loop.done

    def cost() -> dict[str, float]:
        return {
            "seconds": spent["seconds"] + time.monotonic() - began,
            "cpu_seconds": spent["cpu_seconds"] + _cpu() - cpu,
        }

    with Watching(folder.name, loop, progress and writes, folder / "logs" if logs and writes else None) as watching:
        loop.module.train()
        while loop.done < loop.steps:
            watched = writes and (loop.done + 1) % settings.log_every == 0
            if watched:
                health.begin()
            if isinstance(config, Shape):  # dropout, where the configuration has it, is a part of the resume
                torch.manual_seed(settings.seed * 1_000_003 + loop.done)
            step = loop.step()
            if watched:
                health.end(step.step)
            if writes:
                health.look(loop.losses[: loop.done], loop.norms[: loop.done], loop.share(loop.done - 1))
                watching.at(step, health, watched)
                if step.step % settings.checkpoint_every == 0 and step.step < step.steps:
                    words = {"identity": identity, "spent": cost(), "health": health.state()} | how
                    checkpoint.save(place, loop.state() | health.tensors(), words)
            if on_step is not None:
                on_step(step)
    if writes:
        _finish(folder, config, loop, health, identity, cost(), resumed, tokenizer)


def settle(config: Config | Shape, settings: Settings, out: Path) -> Settings:
    """The settings with precision `auto` replaced by the fastest measured here. The answer for a width, a processor and
    a torch is kept in OUT, so that seeds are trained alike and the same call finds the same run again; another machine,
    or another OUT, may choose otherwise, and makes another run.
    """
    if settings.precision != "auto":
        return settings
    key = {"width": config.width, "processor": precision.processor(), "torch": torch.__version__}
    path = out / f"precision-{config.width}-{_digest(key)}.json"
    rank = torch.distributed.get_rank() if distributed() else 0
    if rank == 0 and not path.exists():
        measured = precision.measure(config.width)
        out.mkdir(parents=True, exist_ok=True)
        body = {"chosen": measured.chosen, "flops_per_second": measured.speeds}
        write_whole(path, json.dumps(key | body) + "\n")
    if distributed():
        torch.distributed.barrier()
    return replace(settings, precision=json.loads(path.read_text())["chosen"])


def _module(config: Config | Shape, seed: int) -> Decoder | Causal:
    return Decoder(config, seed) if isinstance(config, Config) else config.module(seed)


def _finish(
    folder: Path, config: Config | Shape, loop: Loop, health: Health, identity: dict[str, Any], cost: dict[str, float],
    resumed: int, tokenizer: Path | None,
) -> None:  # fmt: skip
    """Writes what a whole run holds, run.json last."""
    curve = loop.curve
    checkpoint.save(folder / "model.safetensors", loop.module.state_dict(), {"config": asdict(config)})
    _write_table(pa.table({name: np.asarray(value) for name, value in asdict(curve).items()}), folder / "curve.parquet")
    if health.steps:
        _write_table(health.table(), folder / "health.parquet")
    if health.loads:
        _write_table(health.experts(), folder / "experts.parquet")
    if tokenizer is not None:
        shutil.copyfile(tokenizer, folder / "tokenizer.json")
    tokens = int(curve.tokens[-1])
    flops = config.flops_per_token * tokens
    top = precision.peak(loop.settings.precision)
    body = {
        **identity,
        **cost,
        "tokens": tokens,
        "epochs": loop.done * loop.settings.accumulate / loop.feed.steps,
        "flops": flops,
        "final_loss": curve.final(),
        "matmul_flops_per_second": top,
        "share_of_peak": flops / loop.world / cost["cpu_seconds"] / top,
        "resumed_at_step": resumed,
        "threads": torch.get_num_threads(),
        "processes": loop.world,
        "warnings": health.state()["warnings"],
    }
    write_whole(folder / "run.json", json.dumps(body, indent=1, sort_keys=True) + "\n")
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)


def _identity(feed: Feed, config: Config | Shape, settings: Settings, tokenizer: Path | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "version": VERSION,
        "config": asdict(config),
        "settings": settings.to_json(),
        "feed": feed.identity(),
        "tokenizer": hashlib.sha256(tokenizer.read_bytes()).hexdigest() if tokenizer else None,
        "torch": torch.__version__,
    }
    world = torch.distributed.get_world_size() if distributed() else 1
    if isinstance(config, Shape):
        found["transformers"] = version("transformers")
    if world > 1 and (isinstance(config, Shape) or config.experts):
        found["processes"] = world  # each balances its experts, or draws its dropout, over its own part of a batch
    return found


def _name(identity: dict[str, Any]) -> str:
    """What does not change the model does not change the name: how often is logged and saved."""
    decides = dict(identity["settings"])
    for name in ("log_every", "checkpoint_every"):
        decides.pop(name)
    return _digest(identity | {"settings": decides})


def _digest(words: dict[str, Any]) -> str:
    text = json.dumps(words, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _write_table(table: pa.Table, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
    partial.replace(path)


def write_whole(path: Path, text: str) -> None:
    """A small file, whole or not there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
