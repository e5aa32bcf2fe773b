"""`fit` trains a module; `train` makes a run of it: a folder that is resumed exactly, and reused when it is whole.

    OUT/ID/
        run.json             config, settings, identity of the feed, versions, cost; there only when the run is whole
        model.safetensors    the weights
        tokenizer.json       what was given
        curve.parquet        step, tokens, loss, lr, grad_norm of every step
        health.parquet       of watched steps: gradient, weight, update of every parameter
        logs/                for TensorBoard, where asked for
        checkpoint.safetensors    while the run goes on: weights, optimizer, curve so far

ID is a hash of all that decides the run. A run that was killed goes on from its checkpoint to the same losses, bit
for bit; `train` called again on a whole run answers at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
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
    config: Config
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

    def module(self) -> Decoder:
        """The trained model, in evaluation mode."""
        made = Decoder(self.config)
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
        return cls(
            folder, Config(**body["config"]), Settings(**body["settings"]), body["seconds"], body["cpu_seconds"],
            body["flops"],
        )  # fmt: skip


def train(
    feed: Feed,
    config: Config,
    settings: Settings,
    out: Path,
    *,
    tokenizer: Path | None = None,
    progress: bool = False,
    logs: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Run:
    """Trains a Decoder of `config` on `feed` into OUT/ID, or gives the run that is there.

    progress: a bar and warnings on standard error. logs: TensorBoard files in OUT/ID/logs. Under torch.distributed
    every process calls this with its own part of the feed, and the first one writes.
    Raises CheckpointError where the disk is full or a checkpoint is damaged, Diverged where the loss is no number.
    """
    settings = settle(feed, config, settings, out, tokenizer)
    identity = _identity(feed, config, settings, tokenizer)
    folder = out / _name(identity)
    if (folder / "run.json").exists():
        return Run.read(folder)
    rank = torch.distributed.get_rank() if distributed() else 0
    writes = rank == 0
    folder.mkdir(parents=True, exist_ok=True)
    loop = Loop(Decoder(config, settings.seed), feed, settings)
    health = Health(loop.module, lambda step: [d for e, s in loop.batches(step - 1) for d in documents(feed, e, s)])
    place = folder / "checkpoint.safetensors"
    spent = {"seconds": 0.0, "cpu_seconds": 0.0}
    if place.exists():
        tensors, words = checkpoint.load(place)
        loop.load(tensors)
        health.load(words["health"])
        spent = words["spent"]
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
            step = loop.step()
            if watched:
                health.end(step.step)
            if writes:
                health.look(loop.losses[: loop.done], loop.norms[: loop.done], loop.share(loop.done - 1))
                watching.at(step, health, watched)
                if step.step % settings.checkpoint_every == 0 and step.step < step.steps:
                    words = {"identity": identity, "spent": cost(), "health": health.state()}
                    checkpoint.save(place, loop.state(), words)
            if on_step is not None:
                on_step(step)
    if writes:
        _finish(folder, loop, health, identity, cost(), resumed, tokenizer)
    if distributed():
        torch.distributed.barrier()
    return Run.read(folder)


def settle(feed: Feed, config: Config, settings: Settings, out: Path, tokenizer: Path | None = None) -> Settings:
    """The settings with precision `auto` replaced by the fastest measured here. The answer is kept in OUT, so that the
    same call finds the same run again; another machine, or another OUT, may choose otherwise, and makes another run.
    """
    if settings.precision != "auto":
        return settings
    path = out / f"precision-{_name(_identity(feed, config, settings, tokenizer))}.json"
    rank = torch.distributed.get_rank() if distributed() else 0
    if rank == 0 and not path.exists():
        measured = precision.measure(config.width)
        out.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"chosen": measured.chosen, "flops_per_second": measured.speeds}) + "\n")
    if distributed():
        torch.distributed.barrier()
    return replace(settings, precision=json.loads(path.read_text())["chosen"])


def _finish(
    folder: Path, loop: Loop, health: Health, identity: dict[str, Any], cost: dict[str, float], resumed: int,
    tokenizer: Path | None,
) -> None:  # fmt: skip
    """Writes what a whole run holds, run.json last."""
    curve, config = loop.curve, loop.module.config
    assert isinstance(config, Config)
    checkpoint.save(folder / "model.safetensors", loop.module.state_dict(), {"config": asdict(config)})
    _write_table(pa.table({name: np.asarray(value) for name, value in asdict(curve).items()}), folder / "curve.parquet")
    rows = health.state()["rows"]
    if rows:
        _write_table(pa.Table.from_pylist(rows), folder / "health.parquet")
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


def _identity(feed: Feed, config: Config, settings: Settings, tokenizer: Path | None) -> dict[str, Any]:
    return {
        "version": VERSION,
        "config": asdict(config),
        "settings": settings.to_json(),
        "feed": feed.identity(),
        "tokenizer": hashlib.sha256(tokenizer.read_bytes()).hexdigest() if tokenizer else None,
        "torch": torch.__version__,
    }


def _name(identity: dict[str, Any]) -> str:
    """What does not change the model does not change the name: how often is logged and saved."""
    decides = dict(identity["settings"])
    for name in ("log_every", "checkpoint_every"):
        decides.pop(name)
    text = json.dumps(identity | {"settings": decides}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _write_table(table: pa.Table, path: Path) -> None:
    partial = path.with_name(f".{path.name}.tmp")
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
