"""What evaluation, and whatever else reads a trained model, asks of it; a face for any PyTorch module that gives it.

A model is causal: what it says of a token depends on tokens before it only, so rows of different lengths are padded
on the right and the padding is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Logits held at once, in numbers (128 MB of float32): a vocabulary of 150,000 leaves room for few tokens.
MOST_LOGITS = 1 << 25


class Model(Protocol):
    """context: the longest row that it reads, in tokens."""

    @property
    def context(self) -> int: ...

    def nats(self, ids: Ids) -> F32 | F64:
        """Minus the log likelihood of ids[:, 1:]: ids (B, T + 1) with T <= context -> (B, T)."""
        ...


class Predictor(Model, Protocol):
    """A model whose whole prediction can be seen: memory B x T x V floats."""

    def logits(self, ids: Ids) -> F32 | F64:
        """Unnormalized log probabilities of what follows each token: ids (B, T) -> (B, T, V)."""
        ...


class Encoder(Protocol):
    """A tokenizer, such as `corpus.tokenizer.Tokenizer`."""

    end_of_text: int

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[Any]]: ...

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str: ...


class TorchModel:
    """A PyTorch module as a Predictor: `module(ids)` gives logits (B, T, V), or an object with `.logits`, as those of
    transformers; `module.nats(ids)` is used where it exists. Runs in evaluation mode, without gradients; the module
    is left in the mode that it was in."""

    def __init__(self, module: Any, context: int) -> None:
        self.module = module
        self._context = context

    @property
    def context(self) -> int:
        return self._context

    def nats(self, ids: Ids) -> F32:
        import torch

        if hasattr(self.module, "nats"):
            return self._run(self.module.nats, ids)

        def scored(given: Any) -> Any:
            logits = self._logits(given[:, :-1]).float()
            flat = torch.nn.functional.cross_entropy(logits.flatten(0, 1), given[:, 1:].flatten(), reduction="none")
            return flat.view(len(given), -1)

        if not ids.size or ids.shape[1] < 2:
            return np.zeros((len(ids), max(0, ids.shape[1] - 1)), np.float32)
        rows = max(1, logit_tokens(self, ids.size) // ids.shape[1])
        return np.concatenate([self._run(scored, ids[i : i + rows]) for i in range(0, len(ids), rows)])

    def logits(self, ids: Ids) -> F32:
        return self._run(self._logits, ids)

    def _logits(self, given: Any) -> Any:
        made = self.module(given)
        return getattr(made, "logits", made)

    def _run(self, call: Callable[[Any], Any], ids: Ids) -> F32:
        import torch

        training = self.module.training
        self.module.eval()
        try:
            with torch.inference_mode():
                device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
                return call(torch.from_numpy(np.ascontiguousarray(ids)).to(device)).float().cpu().numpy()  # type: ignore[no-any-return]
        finally:
            self.module.train(training)


def logit_tokens(model: Predictor, tokens: int) -> int:
    """How many of `tokens` a batch may hold so that its logits are at most `MOST_LOGITS` numbers, 1 at least. Asks the
    model once for the logits of one token."""
    return max(1, min(tokens, MOST_LOGITS // int(model.logits(np.zeros((1, 1), np.int64)).shape[-1])))


def batches(rows: Sequence[Ids], tokens: int) -> Iterator[tuple[list[int], Ids]]:
    """Rows of ids in padded batches of at most `tokens` cells (one row at least), short rows together so that little
    is padding: (numbers of the rows, ids (B, T)). The order depends on lengths and places only."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and len(rows[order[end]]) * (end + 1 - start) <= tokens:
            end += 1
        numbers = order[start:end]
        block = np.zeros((len(numbers), len(rows[numbers[-1]])), np.int64)
        for place, number in enumerate(numbers):
            block[place, : len(rows[number])] = rows[number]
        yield numbers, block
        start = end
