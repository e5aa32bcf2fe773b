import json
import shutil

import numpy as np
import pytest

from tamis.proof.likelihood import text_losses
from tamis.proof.subjects import BadModel, load


@pytest.fixture(scope="module")
def run(require, tmp_path_factory):
    try:
        import torch
    except ImportError:
        require(False, "torch is not installed")
    from tamis.models.data import ArrayFeed
    from tamis.models.decoder import Config
    from tamis.models.settings import Settings
    from tamis.models.training import train

    torch.set_num_threads(1)
    feed = ArrayFeed(np.arange(4000) % 250, 16, 4)
    out = tmp_path_factory.mktemp("runs")
    return train(feed, Config(vocab=257, context=16, layers=1, width=16, heads=1), Settings(steps=2, batch=4), out)


def test_a_run_of_ours(run):
    (found,) = load([run.folder])
    assert (found.name, found.tokens, found.model.context) == (run.folder.name, "bytes", 16)
    assert found.trained_tokens == 2 * 4 * 16
    assert text_losses(found.model, found.encoder, ["héllo"]).bytes.tolist() == [6]
    assert load([run.folder], context=8)[0].model.context == 8


def test_what_is_no_model_is_said(run, tmp_path):
    with pytest.raises(BadModel, match=f"it holds the runs {run.folder.name}"):
        load([run.folder.parent])
    with pytest.raises(BadModel, match="neither"):
        load([tmp_path])
    with pytest.raises(BadModel, match="there is no model"):
        load([tmp_path / "none"])
    with pytest.raises(BadModel, match="named twice"):
        load([run.folder, run.folder])


def copied(run, tmp_path, **changes):
    folder = tmp_path / "copy"
    shutil.copytree(run.folder, folder)
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | changes))
    return folder


def test_bytes_are_read_only_where_the_run_read_bytes(run, tmp_path):
    shape = json.loads((run.folder / "run.json").read_text())["config"]
    folder = copied(run, tmp_path, config=shape | {"vocab": 4096})
    with pytest.raises(BadModel, match=r"tokenizer.json is missing: .* 4,096 ids.*tamis prove --tokenizer"):
        load([folder])
    (folder / "run.json").write_bytes((run.folder / "run.json").read_bytes())
    assert load([folder])[0].tokens == "bytes"
    shutil.rmtree(folder)
    folder = copied(run, tmp_path, tokenizer="0" * 64)  # of 257 ids, which are no bytes
    with pytest.raises(BadModel, match=r"tokenizer\.json is missing"):
        load([folder])
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BadModel, match="not the tokenizer that this model was trained with"):
        load([folder])


def test_a_damaged_run_says_which_file_and_what_to_do(run, tmp_path):
    folder = copied(run, tmp_path)
    weights = folder / "model.safetensors"
    whole = bytearray(weights.read_bytes())
    for data in (whole[:100], whole[:-8] + bytes(b ^ 1 for b in whole[-8:])):
        weights.write_bytes(data)
        with pytest.raises(BadModel, match=r"model.safetensors is damaged: .*Copy the run's folder again") as told:
            load([folder])
        assert "Remove it" not in str(told.value)
    weights.unlink()
    with pytest.raises(BadModel, match=r"model\.safetensors is missing"):
        load([folder])
    for text in ('{"config": ', "{}", "[]"):
        (folder / "run.json").write_text(text)
        with pytest.raises(BadModel, match=r"run\.json is damaged"):
            load([folder])
    (folder / "run.json").unlink()
    (folder / "checkpoint.safetensors").touch()
    with pytest.raises(BadModel, match="its training has not ended"):
        load([folder])


def test_a_folder_of_transformers(require, tmp_path):
    try:
        from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    except ImportError:
        require(False, "transformers is not installed")
    import torch

    from tamis.corpus import tokenizer

    made = tokenizer.train(iter(["some text and some more text"] * 20), 280)
    (tmp_path / "t.json").write_bytes(made)
    folder = tmp_path / "gpt2"
    torch.manual_seed(0)
    shape = GPT2Config(vocab_size=280, n_positions=24, n_embd=16, n_layer=1, n_head=1)
    module = GPT2LMHeadModel(shape)
    module.save_pretrained(folder)
    own = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "t.json"), eos_token="<|endoftext|>")
    own.save_pretrained(folder)
    (found,) = load([folder])
    assert found.kind == "transformers gpt2"
    assert found.model.context == 24
    text = "some more text"
    (ids,) = found.encoder.encode([text])
    row = torch.tensor([[found.encoder.end_of_text, *ids.tolist()]])
    with torch.no_grad():
        logs = module.eval()(row[:, :-1]).logits.log_softmax(-1)
    expected = -logs.gather(2, row[:, 1:, None]).sum().item()
    assert text_losses(found.model, found.encoder, [text]).nats[0] == pytest.approx(expected, rel=1e-5)
    (folder / "config.json").write_text(json.dumps({"model_type": "no such"}))
    with pytest.raises(BadModel, match="cannot be read"):
        load([folder])
