"""The loop and runs: learning, equal losses after SIGKILL, accumulation, several processes, checkpoints, health."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tamis.models import checkpoint, schedule
from tamis.models.data import ArrayFeed
from tamis.models.decoder import Config, Decoder
from tamis.models.health import Health
from tamis.models.loop import Diverged, Loop
from tamis.models.settings import Settings, SettingsError
from tamis.models.training import Run, fit, train

CONFIG = Config(vocab=24, context=16, layers=2, width=16, heads=1)
SETTINGS = Settings(steps=24, batch=4, log_every=5, checkpoint_every=4, seed=2)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def tokens() -> np.ndarray:
    """Rows that a model can learn: a number follows from the one before, but for a little noise."""
    random = np.random.default_rng(0)
    noise = random.random(2000) < 0.1
    return np.where(noise, random.integers(0, 24, 2000), np.arange(2000) % 24).astype(np.uint16)


def feed(batch: int = 4, **more: int) -> ArrayFeed:
    return ArrayFeed(tokens(), 16, batch, seed=1, **more)


def test_a_decoder_learns_under_both_optimizers_and_with_experts() -> None:
    for config, settings in (
        (CONFIG, replace(SETTINGS, steps=60)),
        (CONFIG, replace(SETTINGS, steps=60, optimizer="adamw", lr=0.01, schedule="cosine")),
        (replace(CONFIG, experts=2), replace(SETTINGS, steps=60)),
    ):
        curve = fit(Decoder(config), feed(), settings)
        assert curve.loss[0] == pytest.approx(np.log(24), abs=0.01)
        assert curve.final() < 0.6 * curve.loss[0]
        assert curve.tokens[-1] == 60 * 4 * 16
        assert len(curve.lr) == len(curve.grad_norm) == 60


def test_accumulated_batches_are_one_larger_batch() -> None:
    steps = []
    whole = fit(Decoder(CONFIG), feed(8), replace(SETTINGS, steps=6, batch=8))
    parts = fit(Decoder(CONFIG), feed(4), replace(SETTINGS, steps=6, accumulate=2), lambda s: steps.append(s.step))
    np.testing.assert_allclose(whole.loss, parts.loss, rtol=1e-5)
    np.testing.assert_array_equal(whole.tokens, parts.tokens)
    assert steps == [1, 2, 3, 4, 5, 6]


def test_schedules() -> None:
    cosine = [schedule.factor(s, 100, "cosine", warmup=10) for s in range(100)]
    assert cosine[0] == 0.1
    assert cosine[10] == 1.0
    assert cosine[-1] == pytest.approx(0.1, abs=0.01)
    wsd = [schedule.factor(s, 100, "wsd", warmup=10, decay=0.2) for s in range(100)]
    assert wsd[10:81] == [1.0] * 71
    assert wsd[-1] == pytest.approx(0.05)
    assert {schedule.factor(s, 100, "constant") for s in range(100)} == {1.0}


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match="either tokens or steps"):
        Settings()
    with pytest.raises(SettingsError, match="less than one step"):
        fit(Decoder(CONFIG), feed(), Settings(tokens=10, batch=4))
    with pytest.raises(SettingsError, match="gives 4 sequences"):
        fit(Decoder(CONFIG), feed(), Settings(steps=10, batch=8))
    with pytest.raises(SettingsError, match="settled by `train`"):
        fit(Decoder(CONFIG), feed(), replace(SETTINGS, precision="auto"))


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    module = Decoder(CONFIG)
    with torch.no_grad():
        module.head.weight[0, 0] = torch.nan
    with pytest.raises(Diverged, match="step 1: the loss is nan"):
        fit(module, feed(), SETTINGS)


def test_a_run_is_whole_reused_and_can_be_read(tmp_path: Path) -> None:
    seen: list[int] = []
    run = train(feed(), CONFIG, SETTINGS, tmp_path, logs=True, on_step=lambda step: seen.append(step.step))
    again = train(feed(), CONFIG, replace(SETTINGS, log_every=7), tmp_path, on_step=lambda step: seen.append(-1))
    assert again.folder == run.folder
    assert seen == list(range(1, 25))
    body = json.loads((run.folder / "run.json").read_text())
    assert body["tokens"] == 24 * 4 * 16
    assert body["flops"] == pytest.approx(CONFIG.flops_per_token * 24 * 64)
    assert 0 < body["share_of_peak"] < 1
    assert not (run.folder / "checkpoint.safetensors").exists()
    health = pq.read_table(run.folder / "health.parquet").to_pydict()
    assert sorted(set(health["step"])) == [5, 10, 15, 20]
    assert "blocks.0.mlp.up.weight" in health["name"]
    assert any((run.folder / "logs").iterdir())
    plain = fit(Decoder(CONFIG, 2), feed(), SETTINGS)
    np.testing.assert_array_equal(run.curve.loss, plain.loss)  # watching changes nothing
    ids = feed()(0, 0)
    model = Run.read(run.folder).model()
    assert model.context == 16
    assert float(model.nats(ids).mean()) < plain.loss[0]
    np.testing.assert_allclose(model.logits(ids[:, :-1]).shape, (4, 16, 24))


def test_other_settings_are_another_run(tmp_path: Path) -> None:
    short = replace(SETTINGS, steps=2)
    names = {
        train(feed(), CONFIG, short, tmp_path).id,
        train(feed(), CONFIG, replace(short, seed=3), tmp_path).id,
        train(feed(), CONFIG, replace(short, lr=0.01), tmp_path).id,
        train(feed(), replace(CONFIG, layers=1), short, tmp_path).id,
        train(ArrayFeed(tokens()[:1500], 16, 4, seed=1), CONFIG, short, tmp_path).id,
    }
    assert len(names) == 5


def test_precision_auto_is_settled_once_and_is_part_of_the_run(tmp_path: Path) -> None:
    auto = replace(SETTINGS, steps=2, precision="auto")
    run = train(feed(), CONFIG, auto, tmp_path)
    assert run.settings.precision in ("fp32", "medium", "bf16")
    (kept,) = tmp_path.glob("precision-*.json")
    kept.write_text(json.dumps({"chosen": "bf16"}))
    other = train(feed(), CONFIG, auto, tmp_path)
    assert other.settings.precision == "bf16"
    assert train(feed(), CONFIG, replace(auto, precision="bf16"), tmp_path).id == other.id


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import torch
import test_training as t
torch.set_num_threads(1)
def on(step):
    if step.step == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
t.train(t.feed(), t.CONFIG, t.SETTINGS, Path({out!r}), on_step=on)
"""


def test_a_killed_run_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    script = KILLED.format(here=str(Path(__file__).parent), at=11, out=str(tmp_path / "killed"))
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    seen: list[int] = []
    resumed = train(feed(), CONFIG, SETTINGS, tmp_path / "killed", on_step=lambda step: seen.append(step.step))
    assert seen[0] == 9  # after the checkpoint of step 8
    whole = train(feed(), CONFIG, SETTINGS, tmp_path / "whole")
    assert resumed.id == whole.id
    for name in ("loss", "lr", "grad_norm", "tokens"):
        np.testing.assert_array_equal(getattr(resumed.curve, name), getattr(whole.curve, name))
    for name, value in whole.module().state_dict().items():
        assert torch.equal(value, resumed.module().state_dict()[name]), name
    assert pq.read_table(resumed.folder / "health.parquet").equals(pq.read_table(whole.folder / "health.parquet"))


def test_a_damaged_checkpoint_and_a_full_disk_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, {"a": torch.arange(1000.0)}, {"step": 1})
    whole = path.read_bytes()
    assert checkpoint.load(path)[1] == {"step": 1}
    path.write_bytes(whole[:-10])
    with pytest.raises(checkpoint.CheckpointError, match="is damaged"):
        checkpoint.load(path)
    flipped = bytearray(whole)
    flipped[-1234] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(checkpoint.CheckpointError, match="not those that were written"):
        checkpoint.load(path)
    path.write_bytes(whole)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(checkpoint.CheckpointError, match=r"No space left on device.*make room"):
        checkpoint.save(path, {"a": torch.zeros(3)}, {"step": 2})
    assert path.read_bytes() == whole
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


PROCESS = """
import os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import torch
import test_training as t
from dataclasses import replace
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
feed = t.feed(4, rank=rank, world=2)
t.train(feed, t.CONFIG, replace(t.SETTINGS, steps=6, batch=8), Path({out!r}))
torch.distributed.destroy_process_group()
"""


def test_two_processes_step_as_one_of_twice_the_batch(tmp_path: Path) -> None:
    script = tmp_path / "process.py"
    script.write_text(PROCESS.format(here=str(Path(__file__).parent), out=str(tmp_path / "two")))
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)],
        check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300, capture_output=True,
    )  # fmt: skip
    one = train(feed(8), CONFIG, replace(SETTINGS, steps=6, batch=8), tmp_path / "one")
    two = Run.read(tmp_path / "two" / one.id)
    np.testing.assert_allclose(two.curve.loss, one.curve.loss, rtol=1e-5)
    assert json.loads((two.folder / "run.json").read_text())["processes"] == 2


def test_health_tells_of_dead_units_explosions_and_of_documents_in_a_spike() -> None:
    module = Decoder(CONFIG)
    loop = Loop(module, feed(), replace(SETTINGS, steps=3))
    with torch.no_grad():
        module.blocks[0].mlp.up.weight.zero_()
        module.blocks[1].mlp.up.weight.mul_(1e3)
        module.blocks[1].mlp.down.weight.fill_(1.0)
    health = Health(module, lambda step: [f"document of step {step}"])
    health.begin()
    step = loop.step()
    health.end(step.step)
    kinds = {(one.kind, one.message.split(":")[0]) for one in health.warnings}
    assert ("dead", "blocks.0.mlp.up") in kinds
    assert ("exploding", "blocks.1") in kinds
    rows = {row.name: row for row in health.rows}
    assert rows["embedding.weight"].gradient > 0
    assert rows["blocks.0.qkv"].gradient == 0  # its output projection is still zero
    assert 0 < rows["embedding.weight"].update < 1

    random = np.random.default_rng(0)
    losses = 3 + 0.05 * random.standard_normal(120)
    losses[100] += 2
    for end in range(1, 121):
        health.look(losses[:end], np.ones(end), 0.5)
    (spike,) = [one for one in health.warnings if one.kind == "spike"]
    assert (spike.step, spike.documents) == (101, ("document of step 101",))
    again = Health(module)
    again.load(json.loads(json.dumps(health.state())))
    assert (again.rows[0], again.warnings) == (health.rows[0], health.warnings)


def test_a_plateau_and_a_saddle_are_told_but_not_a_falling_loss() -> None:
    random = np.random.default_rng(0)
    noise = 0.05 * random.standard_normal(300)
    falling, flat = 3 * np.exp(-np.arange(300) / 200) + noise, 3 + noise
    for losses, norms, want in (
        (falling, np.ones(300), set()),
        (flat, np.ones(300), {"plateau"}),
        (flat, np.where(np.arange(300) < 100, 1.0, 0.01), {"saddle"}),
    ):
        health = Health(Decoder(CONFIG))
        for end in range(1, 301):
            health.look(losses[:end], norms[:end], 1.0)
        assert {one.kind for one in health.warnings} == want


@pytest.mark.parametrize("shape", [(6, 256, 4), (8, 384, 6)])
def test_larger_shapes_step_resume_and_come_back(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """With a short context and few rows: what grows with parameters is what is tried."""
    layers, width, heads = shape
    config = Config(64, 8, layers, width, heads)
    ids = ArrayFeed(np.arange(200) % 64, 8, 2)
    loop = Loop(Decoder(config), ids, Settings(steps=3, batch=2))
    loop.step()
    checkpoint.save(tmp_path / "c", loop.state(), {})
    other = Loop(Decoder(config, seed=9), ids, Settings(steps=3, batch=2))
    other.load(checkpoint.load(tmp_path / "c")[0])
    assert [loop.step().loss, loop.step().loss] == [other.step().loss, other.step().loss]
