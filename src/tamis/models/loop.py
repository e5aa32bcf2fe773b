"""The training loop: any module on a Feed; no files, nothing printed.

A step reads `accumulate` batches of the feed, adds up their gradients, clips, and updates. Batch number n of the run
is batch n % steps of epoch n // steps of the feed, so the data of a step depend on the feed and the step alone, and a
run that goes on from a checkpoint sees what it would have seen. On one thread, two runs with equal seeds give equal
losses bit for bit.

Under torchrun or `accelerate launch` (torch.distributed is initialised, the feed gives this rank's part of the batch)
gradients are averaged over processes: W processes of B sequences step as one of W x B would.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tamis.errors import SaidNo
from tamis.models import muon, precision, schedule
from tamis.models.data import Feed
from tamis.models.settings import Settings, SettingsError

F64 = npt.NDArray[np.float64]


class Diverged(ValueError, SaidNo):
    """The loss or the gradient is not a finite number."""


@dataclass(frozen=True)
class Curve:
    """Of S steps: step (S,) from 1, tokens (S,) seen after it, loss (S,) nats per token of the step's batch before
    its update, lr (S,), grad_norm (S,) before clipping."""

    step: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    loss: F64
    lr: F64
    grad_norm: F64

    def __len__(self) -> int:
        return len(self.step)

    def final(self, share: float = 0.05) -> float:
        """Mean loss of the last `share` of the steps: less noisy than the last one."""
        return float(self.loss[-max(1, round(share * len(self))) :].mean())


@dataclass(frozen=True)
class Step:
    """What `on_step` sees after an update. step: from 1. seconds: CPU seconds of this process so far."""

    step: int
    steps: int
    tokens: int
    loss: float
    lr: float
    grad_norm: float
    seconds: float
    module: Any = field(repr=False)
    optimizer: Any = field(repr=False, default=None)


class Loop:
    """A run that can be stopped between steps: `state()` and `load()` are all that a resume needs."""

    def __init__(self, module: nn.Module, feed: Feed, settings: Settings) -> None:
        self.module, self.feed, self.settings = module, feed, settings
        self.world = torch.distributed.get_world_size() if distributed() else 1
        rows, columns = feed(0, 0).shape
        if rows * self.world != settings.batch:
            raise SettingsError(
                f"the feed gives {rows} sequences to each of {self.world} processes, but the settings say batch="
                f"{settings.batch}"
            )
        self.sequences = rows
        self.tokens_per_step = rows * self.world * (columns - 1) * settings.accumulate
        self.steps = settings.length(self.tokens_per_step)
        self.warmup = round(0.02 * self.steps) if settings.warmup is None else settings.warmup
        if settings.precision == "auto":
            raise SettingsError("precision auto is settled by `train`; here say fp32, medium or bf16")
        precision.use(module, settings.precision)
        self.optimizer = muon.Optimizer(groups(module, settings))
        self.losses, self.rates, self.norms = (np.full(self.steps, np.nan) for _ in range(3))
        self.done = 0
        self.began = time.process_time()

    @property
    def curve(self) -> Curve:
        step = np.arange(1, self.done + 1)
        return Curve(
            step, step * self.tokens_per_step, self.losses[: self.done].copy(), self.rates[: self.done].copy(),
            self.norms[: self.done].copy(),
        )  # fmt: skip

    def run(self, on_step: Callable[[Step], None] | None = None) -> Curve:
        """The steps that are left."""
        self.module.train()
        while self.done < self.steps:
            made = self.step()
            if on_step is not None:
                on_step(made)
        return self.curve

    def step(self) -> Step:
        """One update."""
        for parameter in self.module.parameters():
            parameter.grad = None
        parts = self.settings.accumulate
        total = torch.zeros(())
        for epoch, at in self.batches(self.done):
            loss, extra = objective(self.module, torch.from_numpy(self.feed(epoch, at)))
            ((loss + extra) / parts).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() / parts
        norm = self._clip()
        value = float(self._mean(total))
        if not np.isfinite(value) or not np.isfinite(norm):
            raise Diverged(
                f"step {self.done + 1}: the loss is {value:g} and the gradient's norm {norm:g}. Train with a smaller "
                f"learning rate than {self.settings.rate:g}, a longer warm-up, or clip below {self.settings.clip:g}."
            )
        share = schedule.factor(self.done, self.steps, self.settings.schedule, self.warmup, self.settings.decay)
        self.optimizer.step(share)
        rate = share * self.settings.rate
        self.losses[self.done], self.rates[self.done], self.norms[self.done] = value, rate, norm
        self.done += 1
        return Step(
            self.done, self.steps, self.done * self.tokens_per_step, value, rate, norm,
            time.process_time() - self.began, self.module, self.optimizer,
        )  # fmt: skip

    def share(self, step: int) -> float:
        """The learning rate of a step, 0 .. steps - 1, as a share of its peak."""
        return schedule.factor(step, self.steps, self.settings.schedule, self.warmup, self.settings.decay)

    def batches(self, step: int) -> list[tuple[int, int]]:
        """(epoch, step of the feed) of every batch that a step of the run reads."""
        parts = self.settings.accumulate
        return [divmod(step * parts + part, self.feed.steps) for part in range(parts)]

    def _clip(self) -> float:
        gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
        if self.world > 1:
            flat = torch.cat([g.flatten() for g in gradients])
            torch.distributed.all_reduce(flat)
            for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient) / self.world)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self.settings.clip and norm > self.settings.clip:
            torch._foreach_mul_(gradients, self.settings.clip / norm)
        return float(norm)

    def _mean(self, value: Tensor) -> Tensor:
        if self.world > 1:
            torch.distributed.all_reduce(value)
        return value / self.world

    def state(self) -> dict[str, Tensor]:
        """Parameters, the optimizer's state, and the curve so far."""
        found = {f"model.{name}": p.detach() for name, p in self.module.named_parameters()}
        found |= {f"model.{name}": b for name, b in self.module.named_buffers() if name in self.module.state_dict()}
        found |= {f"optimizer.{name}": value for name, value in self.optimizer.state.items()}
        for name in ("losses", "rates", "norms"):
            found[f"curve.{name}"] = torch.from_numpy(getattr(self, name)[: self.done].copy())
        return found

    def load(self, state: dict[str, Tensor]) -> None:
        """What `state()` gave. Raises ValueError where it is of another model; nothing is loaded then."""
        weights = _part(state, "model.")
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in _part(self.state(), "model.").items()}:
            raise ValueError("the weights are of another model: other names or shapes")
        self.module.load_state_dict(weights, strict=False)  # shared weights stand once in a state
        self.done = len(state["curve.losses"])
        self.optimizer.load(_part(state, "optimizer."), self.done)
        for name in ("losses", "rates", "norms"):
            getattr(self, name)[: self.done] = state[f"curve.{name}"].numpy()


def objective(module: Any, ids: Tensor) -> tuple[Tensor, Tensor | float]:
    """Mean nats per token of ids (B, T + 1), and what is added to be minimised with it (a router's balance)."""
    if hasattr(module, "nats"):
        loss = module.nats(ids).mean()
        return loss, module.extra() if hasattr(module, "extra") else 0.0
    logits = module(ids[:, :-1])
    logits = getattr(logits, "logits", logits)
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten()), 0.0


def groups(module: nn.Module, settings: Settings) -> list[muon.Group]:
    """Which parameters learn how. Under AdamW all at one rate (weight decay on matrices only); under Muon embeddings,
    head and vectors at rates of their own that go with `lr`."""
    live = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if settings.optimizer == "adamw":
        wide = tuple(name for name, p in live.items() if p.ndim >= 2)
        thin = tuple(name for name in live if name not in wide)
        return [
            muon.Group("adamw", names, tuple(live[n] for n in names), settings.rate, decay, (0.9, 0.95))
            for names, decay in ((wide, settings.weight_decay), (thin, 0.0))
            if names
        ]
    own = {id(p) for p in muon.matrices(module)}
    tables = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    kinds: dict[str, list[str]] = {"matrix": [], "table": [], "rest": []}
    for name, p in live.items():
        kinds["matrix" if id(p) in own else "table" if id(p) in tables else "rest"].append(name)
    made = {
        "matrix": ("muon", settings.rate, settings.weight_decay),
        "table": ("adamw", settings.rate * EMBEDDING, 0.0),
        "rest": ("adamw", settings.rate * REST, 0.0),
    }
    return [
        muon.Group(made[kind][0], tuple(names), tuple(live[n] for n in names), made[kind][1], made[kind][2])
        for kind, names in kinds.items()
        if names
    ]


# Rates of AdamW's groups beside Muon's, as in nanochat: embeddings ten times, head and vectors a fifth.
EMBEDDING = 10.0
REST = 0.2


def distributed() -> bool:
    """Is this process one of several that train together?"""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
