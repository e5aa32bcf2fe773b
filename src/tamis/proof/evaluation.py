"""What an evaluation is asked for, and what it finds: `evaluating` fills it, `evaluation_report` shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tamis.errors import WrongUse
from tamis.proof.calibration import Calibration
from tamis.proof.holdout import Proof
from tamis.proof.items import Item
from tamis.proof.likelihood import Losses
from tamis.proof.metric import Metric
from tamis.proof.proportions import ShareDifference
from tamis.proof.temperature import Temperature

COST = "cost"  # the group of what a clock decides


class NothingAsked(ValueError, WrongUse):
    """Neither a text, nor items, nor tasks were given."""


@dataclass(frozen=True)
class ItemSet:
    """Items under a name; `items[i].options` decides what they can be asked as."""

    name: str
    items: list[Item]


@dataclass(frozen=True)
class Options:
    """limit_bytes: of the text. write: of so many items without options the answer is written out; 0 for none.
    tokens: how many tokens at most. temperature: fit one. cost: measure speed and memory."""

    limit_bytes: int = 1_000_000
    write: int = 100
    tokens: int = 64
    temperature: bool = False
    cost: bool = True
    tasks: tuple[str, ...] = ()
    task_limit: int | None = None
    seed: int = 17


@dataclass(frozen=True)
class Row:
    """One metric of one model, or of two (`B - A`), under what it was measured on."""

    group: str
    model: str
    metric: Metric

    def to_json(self) -> dict[str, Any]:
        return {"group": self.group, "model": self.model, **self.metric.to_json()}


@dataclass
class Evaluation:
    """rows: all metrics. calibrations, temperatures: by (model, group). proof: that the text is not in the training
    text. trained: of each model, whether the training text that was given is what it read. losses: of every document,
    by model. notes: what a reader must know."""

    models: list[dict[str, Any]]
    rows: list[Row] = field(default_factory=list)
    calibrations: dict[tuple[str, str], Calibration] = field(default_factory=dict)
    temperatures: dict[tuple[str, str], Temperature] = field(default_factory=dict)
    tests: list[tuple[str, str, ShareDifference]] = field(default_factory=list)
    proof: Proof | None = None
    trained: list[str] = field(default_factory=list)
    losses: dict[str, Losses] = field(default_factory=dict)
    text: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Without what a clock decides: see `cost_json`."""
        return {
            "models": self.models,
            "text": self.text,
            "proof": self.proof.to_json() if self.proof else None,
            "training_text": self.trained,
            "metrics": [row.to_json() for row in self.rows if row.group != COST],
            "tests": [{"group": group, "model": name, **vars(one)} for group, name, one in self.tests],
            "calibration": [
                {"model": name, "group": group, **one.to_json()} for (name, group), one in self.calibrations.items()
            ],
            "temperature": [
                {"model": name, "group": group, **one.to_json()} for (name, group), one in self.temperatures.items()
            ],
            "notes": self.notes,
        }

    def cost_json(self) -> list[dict[str, Any]]:
        return [row.to_json() for row in self.rows if row.group == COST]
