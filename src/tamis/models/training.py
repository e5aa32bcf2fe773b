"""`fit` trains a module; `train` makes a run of it: a folder that is resumed exactly, and reused when it is whole.

    OUT/ID/
        run.json             config, settings, identity of the feed, versions, cost; there only when the run is whole
        model.safetensors    the weights
        tokenizer.json       what was given
        curve.parquet        step, tokens, loss, lr, grad_norm of every step
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
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from tamis.models import checkpoint
from tamis.models.data import Feed
from tamis.models.decoder import Config, Decoder
from tamis.models.loop import Curve, Loop, Step
from tamis.models.settings import Settings

# Part of a run's identity: bumped where the same settings would give another model.
VERSION = 1


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
        """The trained model as evaluation takes it: a proof.model.Predictor."""
        from tamis.proof.model import TorchModel

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
    on_step: Callable[[Step], None] | None = None,
) -> Run:
    """Trains a Decoder of `config` on `feed` into OUT/ID, or gives the run that is there.

    Raises CheckpointError where the disk is full or a checkpoint is damaged, Diverged where the loss is no number.
    """
    identity = _identity(feed, config, settings, tokenizer)
    folder = out / _name(identity)
    if (folder / "run.json").exists():
        return Run.read(folder)
    folder.mkdir(parents=True, exist_ok=True)
    loop = Loop(Decoder(config, settings.seed), feed, settings)
    place = folder / "checkpoint.safetensors"
    spent = {"seconds": 0.0, "cpu_seconds": 0.0}
    if place.exists():
        tensors, words = checkpoint.load(place)
        loop.load(tensors)
        spent = words["spent"]
    began, cpu = time.monotonic(), _cpu()

    def cost() -> dict[str, float]:
        return {
            "seconds": spent["seconds"] + time.monotonic() - began,
            "cpu_seconds": spent["cpu_seconds"] + _cpu() - cpu,
        }

    def each(step: Step) -> None:
        if step.step % settings.checkpoint_every == 0 and step.step < step.steps:
            checkpoint.save(place, loop.state(), {"identity": identity, "spent": cost()})
        if on_step is not None:
            on_step(step)

    curve = loop.run(each)
    checkpoint.save(folder / "model.safetensors", loop.module.state_dict(), {"config": asdict(config)})
    _write_curve(curve, folder / "curve.parquet")
    if tokenizer is not None:
        shutil.copyfile(tokenizer, folder / "tokenizer.json")
    body = {
        **identity,
        "tokens": int(curve.tokens[-1]),
        "flops": config.flops_per_token * int(curve.tokens[-1]),
        "final_loss": curve.final(),
        **cost(),
    }
    _write(folder / "run.json", json.dumps(body, indent=1, sort_keys=True) + "\n")
    place.unlink(missing_ok=True)
    return Run.read(folder)


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


def _write_curve(curve: Curve, path: Path) -> None:
    table = pa.table({name: np.asarray(value) for name, value in asdict(curve).items()})
    partial = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
    partial.replace(path)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.tmp")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
