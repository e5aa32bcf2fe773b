"""Is a run well? Gradients, updates and activations layer by layer, and warnings tied to documents.

Every `log_every` steps one step is watched: the norm of each parameter's gradient (after clipping), the size of its
update beside its own (about 1e-3 is usual late in a run; none or above 0.1 is a sign), hidden units that no token of
the batch switches on, and the size of the residual stream. The loss of every step is looked at for spikes and
plateaus. What is watched does not change the run.

Memory: one copy of the weights during a watched step, and a row per parameter and watched step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

WINDOW = 50  # steps that a spike or a plateau is judged by
SPIKE = 6.0  # standard deviations above the window's mean, and
SPIKE_NATS = 0.3  # at least this many nats
DEAD = 0.5  # share of hidden units without use
EXPLODING = 1e3  # root mean square of the residual stream
UPDATE = 0.1  # of a weight's own size in one step
FLAT = 0.02  # of the loss above which a plateau is none yet: a window must have gained at least this share


@dataclass(frozen=True)
class Row:
    """One parameter at one watched step. update: norm of the update / norm of the weight; NaN at zero weights."""

    step: int
    name: str
    gradient: float
    weight: float
    update: float


@dataclass(frozen=True)
class Warning:
    """kind: spike, plateau, saddle, dead, exploding, update. documents: in the batch (shard and row, or number)."""

    step: int
    kind: str
    message: str
    documents: tuple[str, ...] = ()


class Health:
    """Watches a module over a run. rows and warnings grow; `state` and `load` carry them over a resume."""

    def __init__(self, module: nn.Module, documents: Callable[[int], Sequence[str]] | None = None) -> None:
        self.module, self.documents = module, documents or (lambda _step: ())
        self.rows: list[Row] = []
        self.warnings: list[Warning] = []
        self._before: dict[str, Tensor] = {}
        self._hooks: list[Any] = []
        self._seen: dict[str, float] = {}

    def begin(self) -> None:
        """Before a step that is to be watched."""
        self._before = {name: p.detach().clone() for name, p in self.module.named_parameters()}
        self._seen = {}
        for name, part in self.module.named_modules():
            if name.endswith("mlp.up"):
                self._hooks.append(part.register_forward_hook(self._dead(name)))
            elif name.startswith("blocks.") and name.count(".") == 1:
                self._hooks.append(part.register_forward_hook(self._size(name)))

    def end(self, step: int) -> None:
        """After it: `step` steps are done."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        with torch.no_grad():
            for name, p in self.module.named_parameters():
                was = self._before[name]
                weight, change = float(was.norm()), float((p - was).norm())
                gradient = 0.0 if p.grad is None else float(p.grad.norm())
                ratio = change / weight if weight > 0 else math.nan
                self.rows.append(Row(step, name, gradient, weight, ratio))
                if weight > 1e-3 * math.sqrt(p.numel()) and ratio > UPDATE and step > WINDOW:
                    self._warn(step, "update", f"{name} changes by {ratio:.0%} of its size in one step: lower the rate")
        self._before = {}
        for name, value in self._seen.items():
            if name.endswith("mlp.up") and value > DEAD:
                self._warn(step, "dead", f"{name}: no token of the batch switches on {value:.0%} of the hidden units")
            elif not name.endswith("mlp.up") and not value < EXPLODING:
                self._warn(step, "exploding", f"{name}: the residual stream has grown to {value:.3g}")

    def look(self, losses: np.ndarray, norms: np.ndarray, share: float) -> None:
        """After every step: all losses and gradient norms so far, and the learning rate as a share of its peak."""
        step = len(losses)
        if step <= WINDOW:
            return
        window = losses[-WINDOW - 1 : -1]
        spread = float(np.std(np.diff(window))) / math.sqrt(2)  # of noise alone: a falling loss has none of it
        above = float(losses[-1] - window[-WINDOW // 2 :].mean())
        if above > max(SPIKE * spread, SPIKE_NATS):
            self._warn(
                step, "spike", f"the loss jumped by {above:.2f} nats, {above / max(spread, 1e-9):.0f} times its noise",
                tuple(self.documents(step)),
            )  # fmt: skip
        if step % WINDOW == 0 and step >= 4 * WINDOW and share == 1.0:
            first, last = losses[-2 * WINDOW : -WINDOW], losses[-WINDOW:]
            error = math.sqrt(first.var() / WINDOW + last.var() / WINDOW)
            if last.mean() > first.mean() - 2 * error and last.mean() > (1 - FLAT) * losses[-4 * WINDOW :].mean():
                small = float(np.median(norms[-WINDOW:])) < 0.1 * float(np.median(norms[:WINDOW]))
                kind = "saddle" if small else "plateau"
                why = (
                    "and the gradient has fallen below a tenth of what it was: a saddle point, or the end of learning"
                    if small
                    else "though the gradient is alive: the rate is too high for what is left, or the data are learned"
                )
                self._warn(step, kind, f"the loss has not fallen for {2 * WINDOW} steps at the full rate, {why}")

    def state(self) -> dict[str, Any]:
        return {"rows": [asdict(row) for row in self.rows], "warnings": [asdict(one) for one in self.warnings]}

    def load(self, state: dict[str, Any]) -> None:
        self.rows = [Row(**row) for row in state["rows"]]
        self.warnings = [Warning(**one | {"documents": tuple(one["documents"])}) for one in state["warnings"]]

    def _warn(self, step: int, kind: str, message: str, documents: tuple[str, ...] = ()) -> None:
        """The same trouble is told once in a window."""
        if any(one.kind == kind and one.step > step - WINDOW and one.message[:20] == message[:20]
               for one in self.warnings):  # fmt: skip
            return
        self.warnings.append(Warning(step, kind, message, documents))

    def _dead(self, name: str) -> Any:
        def hook(_module: Any, _given: Any, made: Tensor) -> None:
            self._seen[name] = float((made.detach().flatten(0, -2) <= 0).all(0).float().mean())

        return hook

    def _size(self, name: str) -> Any:
        def hook(_module: Any, _given: Any, made: Tensor) -> None:
            self._seen[name] = float(made.detach().float().square().mean().sqrt())

        return hook
