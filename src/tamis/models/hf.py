"""Any causal model of transformers as a module that the same loop trains. Needs the extra `hf`.

    module = causal("gpt2", vocab=257, context=256, seed=0, n_embd=64, n_layer=4, n_head=1)
    fit(module, feed, Settings(tokens=1_000_000, optimizer="adamw"))
    train(feed, shape("config.json", vocab=257, context=256), settings, Path("runs"))   # a run folder, with resume

Nothing is downloaded: a configuration is made here, weights are drawn from the seed. Tried on a CPU: gpt2, llama
(attention), mamba (state space) and rwkv (recurrent); Mamba's CPU path is a Python loop over positions, so keep its
context short.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import WrongUse

# What a family calls its longest input, where its configuration has one.
_LENGTHS = ("n_positions", "max_position_embeddings", "context_length")


class MissingExtra(ImportError, WrongUse):
    """transformers is not installed."""


class BadConfiguration(ValueError, WrongUse):
    """A configuration of transformers cannot be trained as asked."""


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
    _needed()
    from transformers import AutoConfig, AutoModelForCausalLM

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
        model = AutoModelForCausalLM.from_config(made, trust_remote_code=False)  # type: ignore[no-untyped-call]
    return Causal(model.float(), int(length))


@dataclass(frozen=True)
class Shape:
    """What `train` takes beside a decoder's Config. transformers: the words of a configuration, all of them, so that
    another version's defaults change nothing."""

    transformers: dict[str, Any]
    context: int

    @cached_property
    def _made(self) -> Any:
        _needed()
        from transformers import AutoConfig

        words = dict(self.transformers)
        return AutoConfig.for_model(words.pop("model_type"), **words)

    @property
    def family(self) -> str:
        return str(self.transformers["model_type"])

    @property
    def vocab(self) -> int:
        return int(self._made.vocab_size)

    @property
    def width(self) -> int:
        return int(self._made.hidden_size)

    @cached_property
    def parameters(self) -> int:
        """Without embeddings (positions too) and head."""
        with torch.device("meta"):
            module = self.module(0)
        head = module.get_output_embeddings()
        left = {id(p) for part in module.modules() if isinstance(part, nn.Embedding) for p in part.parameters()}
        left |= {id(p) for p in head.parameters()} if head is not None else set()
        return sum(p.numel() for p in module.parameters() if id(p) not in left)

    @property
    def flops_per_token(self) -> float:
        """As of a Decoder: 6 for every parameter and for the head; 12 x layers x width x context where the family has
        attention. Experts all count, though a token passes few."""
        attention = 12.0 * self._made.num_hidden_layers * self.width * self.context
        return 6.0 * (self.parameters + self.vocab * self.width) + (
            attention if getattr(self._made, "num_attention_heads", None) else 0.0
        )

    def module(self, seed: int) -> Causal:
        """Fresh weights, or a plan without any under torch.device("meta")."""
        return causal(self._made, context=self.context, seed=seed)


def shape(source: str | Path, *, vocab: int, context: int) -> Shape:
    """source: a file with a configuration (`config.json`: model_type, and whatever the family calls its shape), or a
    family's name, which has its default shape then. vocab and context hold where the file names none.

    Raises MissingExtra, and BadConfiguration where the file cannot be read, no causal model is called so, or its
    vocabulary or its longest input is too small.
    """
    _needed()
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    words: Any = {"model_type": str(source)}
    if Path(source).is_file():
        try:
            words = json.loads(Path(source).read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadConfiguration(f"{source} is no JSON: {error}") from error
    family = words.get("model_type") if isinstance(words, dict) else None
    if not isinstance(family, str) or family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise BadConfiguration(
            f"{source}: {family!r} is neither a file nor a causal family that transformers knows, such as gpt2, llama "
            "and mamba; a file is a JSON object with model_type"
        )
    words = {k: v for k, v in words.items() if k not in ("model_type", "transformers_version", "auto_map")}
    quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0} if family == "gpt2" else {}
    marks = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))  # of another tokenizer than the data's
    made = AutoConfig.for_model(family, **quiet | {"vocab_size": vocab} | words | marks)
    said = {made.attribute_map.get(name, name) for name in words}
    for name in _LENGTHS:
        if hasattr(made, name) and made.attribute_map.get(name, name) not in said:
            setattr(made, name, context)
        elif getattr(made, name, context) < context:
            raise BadConfiguration(f"{source}: {name} is {getattr(made, name)}, but sequences have {context} tokens")
    if made.vocab_size < vocab:
        raise BadConfiguration(f"{source}: a vocabulary of {made.vocab_size}, but the data have {vocab} ids")
    full = json.loads(made.to_json_string(use_diff=False))
    full.pop("transformers_version", None)
    return Shape(full, context)


def _needed() -> None:
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra("transformers is not installed: pip install 'tamis[hf]'") from error
