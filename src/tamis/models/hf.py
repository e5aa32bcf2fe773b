"""Any causal model of transformers as a module that the same loop trains. Needs the extra `hf`.

    module = causal("gpt2", vocab=257, context=256, seed=0, n_embd=64, n_layer=4, n_head=1)
    fit(module, feed, Settings(tokens=1_000_000, optimizer="adamw"))

Nothing is downloaded: a configuration is made here, weights are drawn from the seed. Tried on a CPU: gpt2, llama
(attention), mamba (state space) and rwkv (recurrent); Mamba's CPU path is a Python loop over positions, so keep its
context short.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import WrongUse

# What a family calls its longest input, where its configuration has one.
_LENGTHS = ("n_positions", "max_position_embeddings", "context_length")


class MissingExtra(ImportError, WrongUse):
    """transformers is not installed."""


class Causal(nn.Module):
    """A transformers model: ids (B, T) -> logits (B, T, V); nats(ids (B, T + 1)) -> (B, T). bf16 is autocast, because
    the model's own code decides what it multiplies."""

    def __init__(self, model: nn.Module, context: int) -> None:
        super().__init__()
        self.model, self.context = model, context
        self.dtype = torch.float32

    def forward(self, ids: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits.float()

    def nats(self, ids: Tensor) -> Tensor:
        logits = self.forward(ids[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        return loss.view(len(ids), -1)

    def get_output_embeddings(self) -> Any:
        return self.model.get_output_embeddings()  # type: ignore[operator]


def causal(config: Any, *, vocab: int | None = None, context: int | None = None, seed: int = 0, **shape: Any) -> Causal:
    """A model with fresh weights. config: a family's name (`gpt2`, `llama`, `mamba`, `rwkv` ...) with its own words for
    its shape in `shape`, or a configuration object as it is. Dropout is 0 unless asked for.

    Raises MissingExtra without transformers, ValueError for a family that it does not know.
    """
    try:
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError as error:
        raise MissingExtra("transformers is not installed: pip install 'tamis[hf]'") from error
    if isinstance(config, str):
        none = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
        quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0} if config == "gpt2" else {}
        given = none | quiet | ({"vocab_size": vocab} if vocab else {}) | shape
        made = AutoConfig.for_model(config, **given)
        if context:
            for name in _LENGTHS:
                if hasattr(made, name):
                    setattr(made, name, context)
    else:
        made = config
    length = context or next((getattr(made, name) for name in _LENGTHS if getattr(made, name, None)), None)
    if not length:
        raise ValueError(f"{type(made).__name__} names no longest input: say context=")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(made)  # type: ignore[no-untyped-call]
    return Causal(model.float(), int(length))
