"""Muon for matrices, AdamW for the rest: one optimizer with one state.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks") replaces the momentum of a matrix
by the nearest orthogonal one, found by four Newton-Schulz steps, so that every direction of a layer learns at the
same pace. An update then has a spectral norm of about 1, times sqrt(outputs / inputs): with that factor a learning
rate holds over widths (Yang, Simon and Bernstein 2023, "A spectral condition for feature learning").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Four odd quintics a x + b x^3 + c x^5, each the best approximation of 1 on the interval that the one before leaves of
# singular values in [0.005, 1] (Amsel et al. 2025, "The Polar Express"); together they end in 1 +- 0.083. Five steps
# with Jordan's constant coefficients cost a quarter more for the same loss within seeds, three lose 0.05 bits per byte
# (docs/training.md).
QUINTICS = (
    (8.2987, -24.4305, 18.0903),
    (3.9152, -2.9211, 0.5592),
    (3.1746, -2.3804, 0.4978),
    (2.1895, -1.5672, 0.4079),
)


@dataclass(frozen=True)
class Group:
    """Parameters that are updated alike. rate: learning rate at a schedule of 1. kind: `muon` or `adamw`."""

    kind: str
    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    rate: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.8, 0.95)


class Optimizer:
    """step(schedule) updates every parameter from its gradient. state: name -> tensor, all that a resume needs."""

    def __init__(self, groups: Sequence[Group], momentum: float = 0.95) -> None:
        self.groups, self.momentum, self.steps = list(groups), momentum, 0
        self.state: dict[str, Tensor] = {}
        for group in self.groups:
            for name, parameter in zip(group.names, group.parameters, strict=True):
                kinds = ("momentum",) if group.kind == "muon" else ("mean", "square")
                for kind in kinds:
                    self.state[f"{name}.{kind}"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, schedule: float) -> None:
        """One update at `schedule` (0 .. 1) times every group's rate."""
        self.steps += 1
        for group in self.groups:
            (self._muon if group.kind == "muon" else self._adamw)(group, schedule * group.rate)

    def _muon(self, group: Group, rate: float) -> None:
        # Momentum is warmed up from .85 over 300 steps, as in nanochat.
        momentum = self.momentum - 0.1 * max(0.0, 1 - self.steps / 300)
        stacks: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for name, parameter in zip(group.names, group.parameters, strict=True):
            if parameter.grad is None:
                continue
            held = self.state[f"{name}.momentum"]
            held.lerp_(parameter.grad, 1 - momentum)
            stacks[(parameter.shape[-2], parameter.shape[-1])].append((parameter, parameter.grad.lerp(held, momentum)))
        for (outputs, inputs), found in stacks.items():
            updates = orthogonal(torch.cat([update.reshape(-1, outputs, inputs) for _, update in found]))
            size = (outputs / inputs) ** 0.5 * rate
            start = 0
            for parameter, _ in found:
                many = parameter.numel() // (outputs * inputs)
                if group.weight_decay:
                    parameter.mul_(1 - rate * group.weight_decay)
                parameter.add_(updates[start : start + many].view_as(parameter), alpha=-size)
                start += many

    def _adamw(self, group: Group, rate: float) -> None:
        first, second = group.betas
        live = [(n, p) for n, p in zip(group.names, group.parameters, strict=True) if p.grad is not None]
        if not live:
            return
        parameters: list[Tensor] = [p for _, p in live]
        torch._fused_adamw_(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [self.state[f"{n}.mean"] for n, _ in live],
            [self.state[f"{n}.square"] for n, _ in live],
            [],
            [torch.tensor(float(self.steps)) for _ in live],
            amsgrad=False, lr=rate, beta1=first, beta2=second, weight_decay=group.weight_decay, eps=1e-10,
            maximize=False,
        )  # fmt: skip

    def load(self, state: dict[str, Tensor], steps: int) -> None:
        """What `state` and `steps` were. Raises ValueError where the names or shapes are of another model."""
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in self.state.items()}:
            raise ValueError("the optimizer's state is of another model")
        for name, value in state.items():
            self.state[name].copy_(value)
        self.steps = steps


def orthogonal(x: Tensor) -> Tensor:
    """The nearest (half) orthogonal matrices of a stack: (S, m, n) -> (S, m, n).

    Singular values above .005 of the Frobenius norm end in 1 +- 0.09, smaller ones are raised 330 times at most. In
    float32: bfloat16 saves time only where the processor multiplies it natively.
    """
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) * 1.01 + 1e-7)
    x = _long(x) if x.shape[2] >= 3 * x.shape[1] else _square(x)
    return x.mT if tall else x


def _square(x: Tensor) -> Tensor:
    for a, b, c in QUINTICS:
        gram = x @ x.mT  # (S, m, m), m <= n
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _long(x: Tensor) -> Tensor:
    """The same on m x m matrices alone: every factor is a polynomial of the first Gram matrix, so they commute, and x
    is touched twice. At n = 4 m this is half the work."""
    gram = x @ x.mT
    eye = torch.eye(gram.shape[1], dtype=x.dtype)
    whole = eye
    for number, (a, b, c) in enumerate(QUINTICS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + a * eye
        whole = whole @ factor if number else factor
        if number + 1 < len(QUINTICS):
            gram = factor @ gram @ factor
    return whole @ x


def matrices(module: Any) -> list[nn.Parameter]:
    """Those of a module that Muon may update: what its own `matrices()` says, else the weights of linear layers that
    are neither its output head nor shared with an embedding."""
    if hasattr(module, "matrices"):
        return list(module.matrices())
    head = getattr(module, "get_output_embeddings", lambda: None)() or getattr(module, "head", None)
    avoid = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    avoid |= {id(p) for p in head.parameters()} if head is not None else set()
    linear = [m for m in module.modules() if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"]
    return [m.weight for m in linear if m.weight.ndim == 2 and id(m.weight) not in avoid]
