"""Is a run well? Gradients, updates and activations layer by layer, and warnings tied to documents.

Every `log_every` steps one step is watched: the norm of each parameter's gradient (after clipping), the size of its
update beside its own (about 1e-3 is usual late in a run; none or above 0.1 is a sign), hidden units that no token of
the batch switches on, how many tokens each expert got, and the size of the residual stream. The loss of every step is
looked at for spikes and plateaus. What is watched does not change the run.

Memory: one copy of the weights during a watched step, and 24 bytes per parameter tensor and watched step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from tamis.models.experts import Switch

WINDOW = 50  # steps that a spike or a plateau is judged by
SPIKE = 6.0  # standard deviations above the window's mean, and
SPIKE_NATS = 0.3  # at least this many nats
DEAD = 0.5  # share of hidden units without use
FEW = 16  # tokens of an expert, below which its hidden units are not judged
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
    """kind: spike, plateau, saddle, dead, exploding, update, resumed. documents: in the batch, by id or number."""

    step: int
    kind: str
    message: str
    documents: tuple[str, ...] = ()


class Health:
    """Watches a module over a run. What it wrote down grows; `state`, `tensors` and `load` carry it over a resume."""

    def __init__(self, module: nn.Module, documents: Callable[[int], Sequence[str]] | None = None) -> None:
        self.module, self.documents = module, documents or (lambda _step: ())
        self.names = [name for name, _ in module.named_parameters()]
        self.layers = [name for name, part in module.named_modules() if isinstance(part, Switch)]
        self.steps: list[int] = []
        self.values: list[np.ndarray] = []  # of a watched step: (P, 3), gradient, weight and update of every parameter
        self.loads: list[np.ndarray] = []  # and (L, E), tokens that chose each expert of each layer
        self.warnings: list[Warning] = []
        self._before: dict[str, Tensor] = {}
        self._hooks: list[Any] = []
        self._seen: dict[str, float] = {}
        self._load: dict[str, np.ndarray] = {}

    def begin(self) -> None:
        """Before a step that is to be watched."""
        self._before = {name: p.detach().clone() for name, p in self.module.named_parameters()}
        self._seen, self._load = {}, {}
        for name, part in self.module.named_modules():
            if isinstance(part, Switch):
                self._hooks.append(part.register_forward_hook(self._experts(name)))
            elif name.endswith("mlp.up"):
                self._hooks.append(part.register_forward_hook(self._dead(name)))
            elif name.startswith("blocks.") and name.count(".") == 1:
                self._hooks.append(part.register_forward_hook(self._size(name)))

    def end(self, step: int) -> None:
        """After it: `step` steps are done."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        values = np.empty((len(self.names), 3))
        with torch.no_grad():
            for place, (name, p) in enumerate(self.module.named_parameters()):
                was = self._before[name]
                weight, change = float(was.norm()), float((p - was).norm())
                gradient = 0.0 if p.grad is None else float(p.grad.norm())
                ratio = change / weight if weight > 0 else math.nan
                values[place] = gradient, weight, ratio
                if weight > 1e-3 * math.sqrt(p.numel()) and ratio > UPDATE and step > WINDOW:
                    self._warn(step, "update", f"{name} changes by {ratio:.0%} of its size in one step: lower the rate")
        self._before = {}
        self.steps.append(step)
        self.values.append(values)
        if self.layers:
            self.loads.append(np.stack([self._load[name] for name in self.layers]))
        for name, load in self._load.items():
            if not load.all():
                self._warn(step, "dead", f"{name}: {int((load == 0).sum())} of {len(load)} experts got no token")
        for name, value in self._seen.items():
            units = "mlp" in name
            whose = "hidden units of one expert" if self.layers else "hidden units"
            if units and value > DEAD:
                self._warn(step, "dead", f"{name}: no token of the batch switches on {value:.0%} of the {whose}")
            elif not units and not value < EXPLODING:
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

    def last(self) -> list[Row]:
        """Of the last watched step."""
        pairs = zip(self.names, self.values[-1].tolist(), strict=True) if self.steps else ()
        return [Row(self.steps[-1], name, *of) for name, of in pairs]

    def table(self) -> pa.Table:
        """Of all watched steps: step, name, gradient, weight, update."""
        values = np.concatenate([np.empty((0, 3)), *self.values])
        step = np.repeat(np.array(self.steps, np.int64), len(self.names))
        columns = {"step": step, "name": pa.array(self.names * len(self.steps), pa.string())}
        return pa.table(columns | {name: values[:, at] for at, name in enumerate(("gradient", "weight", "update"))})

    def experts(self) -> pa.Table:
        """Of all watched steps: step, name of the layer, expert, tokens of the batch that chose it."""
        loads = np.array(self.loads, np.int64).reshape(len(self.loads), len(self.layers), -1)
        step, layer, expert = np.indices(loads.shape).reshape(3, -1)
        names = pa.array(self.layers, pa.string()).take(pa.array(layer))
        return pa.table(
            {"step": np.array(self.steps, np.int64)[step], "name": names, "expert": expert, "tokens": loads.ravel()}
        )

    def state(self) -> dict[str, Any]:
        """Words of a checkpoint: few, because they stand in its header."""
        return {"warnings": [asdict(one) for one in self.warnings]}

    def tensors(self) -> dict[str, Tensor]:
        """What grows with steps, for a checkpoint."""
        found = {"health.steps": torch.tensor(self.steps, dtype=torch.int64)}
        for name, parts in (("values", self.values), ("loads", self.loads)):
            if parts:
                found[f"health.{name}"] = torch.from_numpy(np.stack(parts))
        return found

    def load(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """What `state()` and `tensors()` gave."""
        self.steps = tensors["health.steps"].tolist() if "health.steps" in tensors else []
        self.values = list(tensors["health.values"].numpy()) if "health.values" in tensors else []
        self.loads = list(tensors["health.loads"].numpy()) if "health.loads" in tensors else []
        self.warnings = [Warning(**one | {"documents": tuple(one["documents"])}) for one in state["warnings"]]

    def resumed(self, step: int, message: str) -> None:
        """Writes down that the rest of the run is not what one process would have given bit for bit."""
        self.warnings.append(Warning(step, "resumed", message))

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

    def _experts(self, name: str) -> Any:
        def hook(module: Any, given: Any, _made: Tensor) -> None:
            self._load[name] = self._load.get(name, 0) + module.load.numpy()
            with torch.no_grad():  # of experts with tokens enough to judge by
                self._seen[f"{name}.up"] = float(module.unused(*given).where(module.load >= FEW, 0.0).max())

        return hook

    def _size(self, name: str) -> Any:
        def hook(_module: Any, _given: Any, made: Tensor) -> None:
            self._seen[name] = float(made.detach().float().square().mean().sqrt())

        return hook
