"""What decides a training run beside its data and its shape."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tamis.errors import WrongUse
from tamis.models import schedule

Precision = Literal["auto", "fp32", "medium", "bf16"]


class SettingsError(ValueError, WrongUse):
    """Settings that cannot be trained with."""


@dataclass(frozen=True)
class Settings:
    """tokens or steps: how long; tokens are rounded down to whole steps. batch: sequences that the feed gives at a
    time (over all processes). lr: of matrices under Muon, of everything under AdamW; None takes RATES. warmup: steps,
    None for 2% of the run. decay: the share of the run over which WSD falls. clip: largest norm of the gradient.
    precision: what matrices are multiplied in; `auto` measures once and is then part of the run. accumulate: batches
    of the feed in one step."""

    tokens: int | None = None
    steps: int | None = None
    batch: int = 16
    lr: float | None = None
    optimizer: Literal["muon", "adamw"] = "muon"
    schedule: schedule.Name = "wsd"
    warmup: int | None = None
    decay: float = 0.4
    weight_decay: float = 0.0
    clip: float = 1.0
    precision: Precision = "fp32"
    accumulate: int = 1
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        if (self.tokens is None) == (self.steps is None):
            raise SettingsError("say how long to train: either tokens or steps")
        for name in ("batch", "accumulate", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise SettingsError(f"a learning rate is a number above 0, not {self.lr}")
        if not 0 <= self.decay <= 1:
            raise SettingsError(f"decay is a share of the run, in [0, 1], not {self.decay}")

    def length(self, tokens_per_step: int) -> int:
        """Steps of the run. Raises SettingsError where there would be none."""
        steps = self.steps if self.steps is not None else int(self.tokens or 0) // tokens_per_step
        if steps < 1:
            raise SettingsError(f"{self.tokens:,} tokens are less than one step of {tokens_per_step:,}")
        return steps

    @property
    def rate(self) -> float:
        return RATES[self.optimizer] if self.lr is None else self.lr

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


# From the sweep in docs/training.md. Runs are named by settings where lr may be None: a change here bumps
# training.VERSION.
RATES = {"muon": 0.03, "adamw": 0.004}
