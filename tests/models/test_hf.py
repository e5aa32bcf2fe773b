"""Families of transformers train through the loop of our own decoder."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tamis.models.data import ArrayFeed
from tamis.models.loop import Step
from tamis.models.settings import Settings
from tamis.models.training import Run, fit, train

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


def test_a_configuration_makes_a_run_that_is_resumed_and_read(
    tmp_path: Path, require: Callable[[object, str], None]
) -> None:
    require(importlib.util.find_spec("transformers"), "transformers (extra hf) is not installed")
    from tamis.models.hf import shape

    torch.set_num_threads(1)
    # With dropout, whose draws must be those of one sitting.
    words = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "resid_pdrop": 0.2, "eos_token_id": 50256}
    (tmp_path / "config.json").write_text(json.dumps(words))
    config = shape(tmp_path / "config.json", vocab=16, context=16)
    assert (config.vocab, config.width, config.family) == (16, 32, "gpt2")
    assert config.parameters == 2 * (12 * 32 * 32 + 13 * 32) + 2 * 32  # with biases and norms
    assert config.flops_per_token == 6 * (config.parameters + 16 * 32) + 12 * 2 * 32 * 16
    feed = ArrayFeed(np.tile(np.arange(7), 200).astype(np.uint16), 16, 4)
    settings = Settings(steps=12, batch=4, optimizer="adamw", lr=0.01, checkpoint_every=4, seed=3)
    whole = train(feed, config, settings, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(step: Step) -> None:
        if step.step == 6:
            raise Stop

    with pytest.raises(Stop):
        train(feed, config, settings, tmp_path / "killed", on_step=stop)
    torch.manual_seed(99)
    seen: list[int] = []
    run = train(feed, config, settings, tmp_path / "killed", on_step=lambda step: seen.append(step.step))
    assert seen[0] == 5
    assert run.id == whole.id
    np.testing.assert_array_equal(run.curve.loss, whole.curve.loss)
    assert run.curve.loss[-1] < run.curve.loss[0]
    again = Run.read(run.folder)
    assert again.config == config
    ids = feed(0, 0)
    np.testing.assert_array_equal(again.model().nats(ids), whole.model().nats(ids))
    other = train(feed, replace(config, transformers=config.transformers | {"n_layer": 1}),
                  settings, tmp_path / "whole")  # fmt: skip
    assert other.id != whole.id


def test_configurations_that_cannot_be_trained_are_refused(
    tmp_path: Path, require: Callable[[object, str], None]
) -> None:
    require(importlib.util.find_spec("transformers"), "transformers (extra hf) is not installed")
    from tamis.models.hf import BadConfiguration, shape

    path = tmp_path / "config.json"
    for words, said in (
        ("{", "no JSON"), ("[1]", "model_type"), ('{"model_type": "bert-of-mine"}', "bert-of-mine"),
        ('{"model_type": "gpt2", "n_positions": 8}', "sequences have 16 tokens"),
        ('{"model_type": "gpt2", "vocab_size": 8}', "the data have 16 ids"),
    ):  # fmt: skip
        path.write_text(words)
        with pytest.raises(BadConfiguration, match=said):
            shape(path, vocab=16, context=16)
    with pytest.raises(BadConfiguration, match="neither a file nor"):
        shape("no-such-family", vocab=16, context=16)
