"""A small modern decoder: what proofs train.

Rotary positions (Su et al. 2021), RMSNorm without weights (Zhang and Sennrich 2019), queries and keys normalised
(Henry et al. 2020), an MLP of squared ReLU (So et al. 2021), no biases, an output head of its own, and projections
back into the residual stream that start at zero, so that at first every block is the identity. The mix is that of
nanochat and modded-nanogpt; trained with Muon it is more than a bit per byte better than GPT-2's form with AdamW after
600,000 bytes, at less cost (docs/training.md).

Shapes: B sequences, T tokens, D width, H heads of K = D / H, V vocabulary. Parameters are float32; what they are
multiplied in is the caller's choice (`precision`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tamis.errors import WrongUse
from tamis.models.experts import Switch
from tamis.models.fused import norm, queries_keys_values, squared_relu

ROTARY_BASE = 10_000.0
MLP = 4


class ShapeError(ValueError, WrongUse):
    """There is no model of such a shape."""


@dataclass(frozen=True)
class Config:
    """The shape of a Decoder. vocab: ids are 0 .. vocab - 1. experts: 0 for a dense MLP, else the number of experts
    of a Switch layer (`experts.py`), of which a token passes one."""

    vocab: int
    context: int = 256
    layers: int = 4
    width: int = 64
    heads: int = 1
    experts: int = 0

    def __post_init__(self) -> None:
        for name in ("vocab", "context", "layers", "width", "heads"):
            if getattr(self, name) < 1:
                raise ShapeError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.experts < 0 or self.experts == 1:
            raise ShapeError(f"experts={self.experts}: 0 is a dense MLP, a Switch layer has at least 2")
        if self.width % (2 * self.heads):
            raise ShapeError(
                f"width {self.width} with heads {self.heads}: the width of a head, width / heads, must be a whole and "
                "even number, because rotary positions turn pairs of numbers"
            )

    @property
    def active(self) -> int:
        """Parameters that one token passes, without embedding and head."""
        router = self.width * self.experts
        return self.layers * ((4 + 2 * MLP) * self.width**2 + router)

    @property
    def parameters(self) -> int:
        """All parameters without embedding and head: the N of scaling laws here."""
        return self.active + self.layers * max(0, self.experts - 1) * 2 * MLP * self.width**2

    @property
    def parameters_in_all(self) -> int:
        return self.parameters + 2 * self.vocab * self.width

    @property
    def flops_per_token(self) -> float:
        """Forward and backward: 6 for every active parameter and for the head, 12 x layers x width x context for
        attention over the whole context (Chowdhery et al. 2022, appendix B); half of that is masked but counted."""
        return 6.0 * (self.active + self.vocab * self.width) + 12.0 * self.layers * self.width * self.context


# Named by parameters, without embedding and head: 49,152, 196,608, 786,432. The two largest have the shapes that
# are known as 5.8M and 15.7M because they count an embedding of 4,096 ids: without it 4.7M and 14.2M.
LADDER = {
    "0.05M": (4, 32, 1),
    "0.2M": (4, 64, 1),
    "0.8M": (4, 128, 2),
    "5.8M": (6, 256, 4),
    "15.7M": (8, 384, 6),
}


def ladder(name: str, vocab: int, context: int = 256, experts: int = 0) -> Config:
    """The shape of a rung: ladder("0.2M", 257)."""
    if name not in LADDER:
        raise ShapeError(
            f"there is no size {name!r}; there are {', '.join(LADDER)}, or LAYERSxWIDTHxHEADS, such as 4x64x1"
        )
    layers, width, heads = LADDER[name]
    return Config(vocab, context, layers, width, heads, experts)


class Decoder(nn.Module):
    """forward(ids (B, T)) -> logits (B, T, V); nats(ids (B, T + 1)) -> (B, T), minus the log likelihood of ids[:, 1:].

    seed decides the initial weights and nothing else. dtype: what matrices are multiplied in, torch.float32 or
    torch.bfloat16; weights stay float32.
    """

    def __init__(self, config: Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.dtype = torch.float32
        width = config.width
        self.embedding = nn.Embedding(config.vocab, width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = Matrix(width, config.vocab)
        angles = torch.outer(torch.arange(config.context).float(), _frequencies(width // config.heads))
        self.turn: Tensor
        self.register_buffer("turn", torch.polar(torch.ones_like(angles), angles), persistent=False)  # (T, K / 2)
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Matrices that read the residual stream are uniform with variance 1 / D; those that write to it are zero."""
        random = torch.Generator().manual_seed(seed)
        bound = math.sqrt(3 / self.config.width)
        with torch.no_grad():
            self.embedding.weight.normal_(0, 1, generator=random)
            self.head.weight.normal_(0, 0.001, generator=random)
            for block in self.each_block():
                for weight in block.readers():
                    weight.uniform_(-bound, bound, generator=random)
                for weight in block.writers():
                    weight.zero_()

    def each_block(self) -> Iterator[Block]:
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def matrices(self) -> list[nn.Parameter]:
        """Those that Muon updates: the last two dimensions are a matrix."""
        return [p for name, p in self.blocks.named_parameters() if "router" not in name]

    def extra(self) -> Tensor | float:
        """What the routers of experts add to the loss of the last batch; 0 without experts."""
        return sum(block.mlp.loss for block in self.each_block() if isinstance(block.mlp, Switch))

    def hidden(self, ids: Tensor) -> Tensor:
        """What the head reads: (B, T) -> (B, T, D)."""
        if ids.shape[1] > self.config.context:
            raise ValueError(f"{ids.shape[1]} tokens, but the context of this model is {self.config.context}")
        turn = self.turn[: ids.shape[1]]
        x = norm(self.embedding(ids))
        for block in self.each_block():
            x = block(x, turn, self.dtype)
        return norm(x)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, V), float32."""
        logits: Tensor = self.head(self.hidden(ids), self.dtype).float()
        return logits

    def nats(self, ids: Tensor) -> Tensor:
        logits = self.forward(ids[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(ids), -1)


class Block(nn.Module):
    """x + attention, then x + MLP, each of the normalised stream."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.qkv = nn.Parameter(torch.empty(3, width, width))  # three matrices for Muon, one product
        self.out = Matrix(width, width)
        self.mlp = Switch(width, MLP * width, config.experts) if config.experts else MultiLayer(width)

    def readers(self) -> list[Tensor]:
        return [self.qkv, *self.mlp.readers()]

    def writers(self) -> list[Tensor]:
        return [self.out.weight, *self.mlp.writers()]

    def forward(self, x: Tensor, turn: Tensor, dtype: torch.dtype) -> Tensor:
        x = x + self.attention(norm(x), turn, dtype)
        made: Tensor = x + self.mlp(norm(x), dtype)
        return made

    def attention(self, x: Tensor, turn: Tensor, dtype: torch.dtype) -> Tensor:
        batch, length, width = x.shape
        qkv = F.linear(x.to(dtype), self.qkv.flatten(0, 1).to(dtype))
        q, k, v = queries_keys_values(qkv.view(batch, length, 3, self.heads, -1), turn)  # (B, H, T, K) each
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        made: Tensor = self.out(y.transpose(1, 2).reshape(batch, length, width), dtype)
        return made.float()


class MultiLayer(nn.Module):
    """D -> 4D, squared ReLU, -> D."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = Matrix(width, MLP * width)
        self.down = Matrix(MLP * width, width)

    def readers(self) -> list[Tensor]:
        return [self.up.weight]

    def writers(self) -> list[Tensor]:
        return [self.down.weight]

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        made: Tensor = self.down(squared_relu(self.up(x, dtype)), dtype)
        return made.float()


class Matrix(nn.Module):
    """A linear map without bias, whose float32 weights are multiplied as `dtype`. Not autocast: it casts more often."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        return F.linear(x.to(dtype), self.weight.to(dtype))


def _frequencies(head: int) -> Tensor:
    return ROTARY_BASE ** -(torch.arange(0, head, 2).float() / head)
