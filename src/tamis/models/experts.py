"""A layer of experts: every token passes one of E MLPs, chosen by a router (Fedus, Zoph and Shazeer 2021, "Switch").

Each expert has the size of the dense MLP, so that a token costs what it costs there, plus the router. The router is
float32. Two terms keep it in order: balance, E x sum of f_i P_i (f_i: share of tokens that expert i got, P_i: mean
probability it was given; 1 at balance), which pushes through P alone; and z, the mean square of the log-sum-exp of
the router's logits (Zoph et al. 2022, "ST-MoE").

In training an expert takes at most CAPACITY x tokens / E, in order of position; what is over passes the layer by on
the residual stream. In evaluation there is no limit, so padding, or whatever else shares the batch, changes nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tamis.models.fused import squared_relu

CAPACITY = 1.25
BALANCE = 1e-2
Z = 1e-3


class Switch(nn.Module):
    """(B, T, D) -> (B, T, D). After a call: loss, the two terms (a scalar with its gradient), load (E,) tokens that
    chose each expert, and dropped, the share of tokens over capacity."""

    def __init__(self, width: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.router = nn.Parameter(torch.empty(experts, width))
        self.up = nn.Parameter(torch.empty(experts, hidden, width))
        self.down = nn.Parameter(torch.empty(experts, width, hidden))
        self.loss: Tensor | float = 0.0
        self.load = torch.zeros(experts)
        self.dropped = 0.0

    def readers(self) -> list[Tensor]:
        return [self.router, self.up]

    def writers(self) -> list[Tensor]:
        return [self.down]

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        tokens = x.flatten(0, 1)  # (N, D)
        experts = len(self.router)
        logits = F.linear(tokens.float(), self.router)  # (N, E)
        chance = logits.softmax(-1)
        best, chosen = chance.max(-1)  # (N,), (N,)
        load = torch.bincount(chosen, minlength=experts)
        share = load / len(tokens)
        self.loss = BALANCE * experts * (share * chance.mean(0)).sum() + Z * logits.logsumexp(-1).square().mean()
        self.load = load
        limit = math.ceil(CAPACITY * len(tokens) / experts) if self.training else len(tokens)
        self.dropped = float((load - limit).clamp_min(0).sum() / len(tokens))
        order = chosen.argsort(stable=True)  # by expert, then by position
        given = torch.split(order, load.tolist())
        out = torch.zeros_like(tokens, dtype=torch.float32)
        for expert, mine in enumerate(given):
            mine = mine[:limit]
            if not len(mine):
                continue
            hidden = squared_relu(F.linear(tokens[mine].to(dtype), self.up[expert].to(dtype)))
            made = F.linear(hidden, self.down[expert].to(dtype)).float()
            out = out.index_add(0, mine, made * best[mine, None])
        return out.view(x.shape)

    def unused(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """(E,): the share of each expert's hidden units that none of its tokens in x switches on; NaN where it has
        none. As dear as the first half of a forward pass."""
        tokens = x.flatten(0, 1)
        chosen = F.linear(tokens.float(), self.router).argmax(-1)
        found = torch.full((len(self.router),), math.nan)
        for expert, up in enumerate(self.up):
            mine = tokens[chosen == expert]
            if len(mine):
                found[expert] = (F.linear(mine.to(dtype), up.to(dtype)) <= 0).all(0).float().mean()
        return found
