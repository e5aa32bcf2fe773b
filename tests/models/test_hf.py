"""Families of transformers train through the loop of our own decoder."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tamis.models.data import ArrayFeed
from tamis.models.settings import Settings
from tamis.models.training import fit

SHAPES = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    "llama": {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "rwkv": {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 2},
}  # fmt: skip


@pytest.mark.parametrize("family", SHAPES)
def test_a_family_learns_and_looks_only_back(family: str, require: Callable[[object, str], None]) -> None:
    require(importlib.util.find_spec("transformers"), "transformers (extra hf) is not installed")
    from tamis.models.hf import causal

    torch.set_num_threads(1)
    module = causal(family, vocab=16, context=16, seed=3, **SHAPES[family])
    again = causal(family, vocab=16, context=16, seed=3, **SHAPES[family])
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))
    tokens = np.tile(np.arange(7), 200).astype(np.uint16)
    curve = fit(module, ArrayFeed(tokens, 16, 8), Settings(steps=25, batch=8, optimizer="adamw", lr=0.01))
    assert curve.loss[-1] < 0.6 * curve.loss[0]
    module.eval()
    ids = torch.arange(12)[None] % 7
    changed = ids.clone()
    changed[0, 8:] = 9
    with torch.no_grad():
        torch.testing.assert_close(module(ids)[:, :8], module(changed)[:, :8])
