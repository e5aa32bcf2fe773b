"""The loop and runs: learning, equal losses after SIGKILL, accumulation, several processes, checkpoints, health."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
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
from tamis.models.loop import Diverged, Loop, Step
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
    seed = train(ArrayFeed(tokens(), 16, 4, seed=7), CONFIG, replace(auto, seed=7), tmp_path)
    assert seed.settings.precision == "bf16"  # seeds of one width on one machine are trained alike
    assert len(list(tmp_path.glob("precision-*.json"))) == 1


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
t.train(feed, replace(t.CONFIG, experts=2), replace(t.SETTINGS, steps=2, batch=8), Path({out!r}))
torch.distributed.destroy_process_group()
"""


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node=2"],
    "accelerate": [
        "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no",
        "--dynamo_backend=no", "--main_process_port=0",
    ],
}  # fmt: skip


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_step_as_one_of_twice_the_batch(
    launcher: str, tmp_path: Path, require: Callable[[object, str], None]
) -> None:
    if launcher == "accelerate":
        require(importlib.util.find_spec("accelerate"), "accelerate (extra hf) is not installed")
    script = tmp_path / "process.py"
    script.write_text(PROCESS.format(here=str(Path(__file__).parent), out=str(tmp_path / "two")))
    subprocess.run(
        [sys.executable, "-m", *LAUNCHERS[launcher], str(script)],
        check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300, capture_output=True,
    )  # fmt: skip
    one = train(feed(8), CONFIG, replace(SETTINGS, steps=6, batch=8), tmp_path / "one")
    two = Run.read(tmp_path / "two" / one.id)
    np.testing.assert_allclose(two.curve.loss, one.curve.loss, rtol=1e-5)
    assert json.loads((two.folder / "run.json").read_text())["processes"] == 2
    # Each process balances experts over its own part of a batch: another model, so another run.
    alone = train(feed(8), replace(CONFIG, experts=2), replace(SETTINGS, steps=2, batch=8), tmp_path / "one")
    assert {one.name for one in (tmp_path / "two").iterdir()} - {two.id, alone.id} != set()
    assert not (tmp_path / "two" / alone.id).exists()


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
    rows = {row.name: row for row in health.last()}
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
    again.load(json.loads(json.dumps(health.state())), health.tensors())
    assert (again.last()[0], again.warnings) == (health.last()[0], health.warnings)
    assert again.table().num_rows == len(health.names)


def test_a_long_run_can_still_be_saved(tmp_path: Path) -> None:
    """What is written down of every watched step stands in tensors: a header of 100 MB cannot be read again."""
    health = Health(Decoder(CONFIG))
    health.steps = list(range(60_000))
    health.values = [np.zeros((len(health.names), 3))] * 60_000
    assert len(json.dumps(health.state())) < 1000
    checkpoint.save(tmp_path / "c", health.tensors(), {"health": health.state()})
    tensors, words = checkpoint.load(tmp_path / "c")
    again = Health(Decoder(CONFIG))
    again.load(words["health"], tensors)
    assert len(again.values) == 60_000


def test_experts_without_tokens_and_their_dead_units_are_told(tmp_path: Path) -> None:
    config = replace(CONFIG, experts=2)
    module = Decoder(config)
    with torch.no_grad():
        for block in module.each_block():
            block.mlp.router.zero_()  # every token goes to the first
        module.blocks[0].mlp.up[0].zero_()
    health = Health(module)
    loop = Loop(module, feed(), replace(SETTINGS, steps=1))
    health.begin()
    loop.step()
    health.end(1)
    told = [one.message for one in health.warnings if one.kind == "dead"]
    assert "blocks.0.mlp: 1 of 2 experts got no token" in told
    assert "blocks.0.mlp.up: no token of the batch switches on 100% of the hidden units of one expert" in told
    assert not any(one.startswith("blocks.1.mlp.up") for one in told)
    rows = health.experts().to_pylist()
    assert rows[:2] == [
        {"step": 1, "name": "blocks.0.mlp", "expert": 0, "tokens": 64},
        {"step": 1, "name": "blocks.0.mlp", "expert": 1, "tokens": 0},
    ]
    run = train(feed(), config, replace(SETTINGS, steps=2, log_every=1), tmp_path)
    assert pq.read_table(run.folder / "experts.parquet").num_rows == 2 * 2 * 2


def test_weights_of_another_model_are_refused() -> None:
    state = Loop(Decoder(CONFIG), feed(), SETTINGS).state()
    for other in (replace(CONFIG, layers=1), replace(CONFIG, vocab=32)):
        loop = Loop(Decoder(other), feed(), SETTINGS)
        with pytest.raises(ValueError, match="of another model"):
            loop.load(state)


def test_a_resume_with_other_threads_says_so_and_sweeps_up(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(step: Step) -> None:
        if step.step == 9:
            raise Stop

    with pytest.raises(Stop):
        train(feed(), CONFIG, SETTINGS, tmp_path, on_step=stop)
    (place,) = tmp_path.glob("*/checkpoint.safetensors")
    (place.parent / ".checkpoint.safetensors.4711.tmp").write_bytes(b"half")
    tensors, words = checkpoint.load(place)
    checkpoint.save(place, tensors, words | {"threads": 2})
    run = train(feed(), CONFIG, SETTINGS, tmp_path)
    (told,) = [one for one in json.loads((run.folder / "run.json").read_text())["warnings"] if one["kind"] == "resumed"]
    assert told["step"] == 8
    assert "1 threads after 2" in told["message"]
    assert not list(run.folder.glob(".*.tmp"))


def test_two_processes_of_one_run_train_it_once(tmp_path: Path) -> None:
    """The second waits for the lock and finds a whole run."""
    seen: list[int] = []
    first = threading.Event()

    def on(step: Step) -> None:
        seen.append(step.step)
        first.set()

    short = replace(SETTINGS, steps=6)
    thread = threading.Thread(target=train, args=(feed(), CONFIG, short, tmp_path), kwargs={"on_step": on})
    thread.start()
    assert first.wait(60)
    train(feed(), CONFIG, short, tmp_path, on_step=on)
    thread.join()
    assert seen == [1, 2, 3, 4, 5, 6]


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
