"""Two architectures that are not the decoder, for claims that compare architectures: recurrent and convolutional.

Small and plain on purpose. Both take ids (B, T) and give logits (B, T, V), causal, as `models.decoder.Decoder` does,
and both carry their normalization inside, so that one training loop serves all three.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional


class Recurrent(nn.Module):
    """Two gated recurrent layers (Cho et al. 2014), embedding half as wide as the state."""

    def __init__(self, vocab: int, width: int, context: int, layers: int = 2, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.context = context
        self.embedding = nn.Embedding(vocab, width // 2)
        self.layers = nn.GRU(width // 2, width, layers, batch_first=True)
        self.head = nn.Linear(width, vocab, bias=False)
        nn.init.zeros_(self.head.weight)

    def matrices(self) -> list[nn.Parameter]:
        """Those that Muon updates."""
        return [p for p in self.layers.parameters() if p.ndim == 2]

    def forward(self, ids: Tensor) -> Tensor:
        state, _ = self.layers(_normal(self.embedding(ids)))
        return self.head(_normal(state))  # type: ignore[no-any-return]


class Convolutional(nn.Module):
    """Gated causal convolutions over 3 places, their spacing doubled from layer to layer (van den Oord et al. 2016):
    L layers see 2^(L + 1) - 1 tokens. A convolution is one matrix over the places side by side."""

    def __init__(self, vocab: int, width: int, context: int, layers: int = 6, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.context = context
        self.embedding = nn.Embedding(vocab, width)
        self.mixes = nn.ModuleList(nn.Linear(3 * width, 2 * width, bias=False) for _ in range(layers))
        self.outs = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.head = nn.Linear(width, vocab, bias=False)
        for out in [*self.outs, self.head]:
            nn.init.zeros_(out.weight)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        for layer, (mix, out) in enumerate(zip(self.mixes, self.outs, strict=True)):
            gap = 2**layer
            padded = functional.pad(_normal(x), (0, 0, 2 * gap, 0))  # nothing comes before the first token
            places = [padded[:, shift : shift + x.shape[1]] for shift in (0, gap, 2 * gap)]
            value, gate = mix(torch.cat(places, -1)).chunk(2, -1)
            x = x + out(value * torch.sigmoid(gate))
        return self.head(_normal(x))  # type: ignore[no-any-return]


def _normal(x: Tensor) -> Tensor:
    return functional.rms_norm(x, x.shape[-1:])


def count(module: nn.Module) -> int:
    """All parameters, embeddings and head included."""
    return sum(one.numel() for one in module.parameters())


@cache
def as_large(kind: type[Recurrent] | type[Convolutional], parameters: int, vocab: int, context: int) -> int:
    """The even width at which `kind` comes nearest to so many parameters."""
    sizes = {width: count(kind(vocab, width, context)) for width in range(8, 65)[::2]}
    while max(sizes.values()) < parameters:
        width = max(sizes) + 2
        sizes[width] = count(kind(vocab, width, context))
    return min(sizes, key=lambda width: abs(sizes[width] - parameters))
