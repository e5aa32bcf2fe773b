"""Many small networks trained at once as batched matrix products: one array of weights (K, inputs, units) for K models.

One hidden layer of rectified units, gradient descent with momentum, on pictures of which some labels were made wrong.
What was trained is kept with what it cost, so that a killed claim goes on where it was and still tells its whole cost.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tamis.proof.claims import material
from tamis.proof.claims._noise import Array, wrong_labels
from tamis.proof.claims.material import Images

VERSION = 2  # raised when training changes, or what is stored of it: 2 stores CPU seconds
UNITS = 128
BATCH = 128
RATE = 0.05
MOMENTUM = 0.9
HELD = 0.1
_STORED = ("curve", "wrong", "chosen", "kept", "cpu_seconds")


@dataclass(frozen=True)
class Job:
    """K models of one data set trained at once: (shape, share wrong, seed) each, on the first n pictures of an order
    drawn by the seed. looks: how often they are looked at, evenly over the steps."""

    data: str
    n: int
    steps: int
    looks: int
    models: tuple[tuple[str, float, int], ...]
    test: int

    def __str__(self) -> str:
        return f"{self.data}, {self.n:,} pictures, {len(self.models)} models"

    def key(self, pictures: str) -> str:
        """Of everything that decides the trained models; `pictures` is the hash of the data set."""
        decides = repr((self, pictures, VERSION, UNITS, BATCH, RATE, HELD))
        return hashlib.sha256(decides.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Task:
    """A job, and where what came of it lies, so that a killed claim goes on where it was."""

    job: Job
    path: Path

    def __str__(self) -> str:
        return str(self.job)


@dataclass(frozen=True)
class Trained:
    """curve: (K, looks) test error. wrong: at the chosen and the last look, which test pictures are taken wrongly
    (K, 2, test). chosen: (K,) number of the look with the fewest errors on held-out noisy labels. kept: (K,) share
    of the wrong training labels that the model of the last look repeats. cpu_seconds: of training."""

    job: Job
    curve: Array
    wrong: Array
    chosen: Array
    kept: Array
    cpu_seconds: float = 0.0


def work(task: Task) -> Trained:
    """What is stored, else trained now. In another process, which reads its own copy of the pictures, once."""
    if task.path.is_file():
        with np.load(task.path) as stored:
            body = {name: stored[name] for name in _STORED}
        return Trained(task.job, **(body | {"cpu_seconds": float(body["cpu_seconds"])}))
    begun = time.process_time()
    found = train(task.job, _images(task.job.data))
    found = replace(found, cpu_seconds=time.process_time() - begun)
    task.path.parent.mkdir(parents=True, exist_ok=True)
    part = task.path.with_suffix(".partial.npz")
    body = {name: np.asarray(getattr(found, name)) for name in _STORED}
    np.savez_compressed(part, **body)
    part.replace(task.path)
    return found


@lru_cache(maxsize=1)
def _images(name: str) -> Images:
    read: dict[str, Callable[[], Images]] = {
        "digits": material.digits,
        "mnist": material.mnist,
        "fashion": material.fashion,
    }
    return read[name]()


def train(job: Job, images: Images) -> Trained:
    """Trains the job's models. Memory: K x (weights, momentum, gradients) and one batch of pictures for each."""
    import torch

    data = [_noisy(images, job.n, shape, share, seed) for shape, share, seed in job.models]
    held = round(job.n * HELD)
    pixels = torch.from_numpy(images.x)
    rows = torch.from_numpy(np.stack([one[0] for one in data]))
    labels = torch.from_numpy(np.stack([one[1] for one in data]))
    truth = torch.from_numpy(images.y)[rows]
    test_x, test_y = torch.from_numpy(images.test_x[: job.test]), torch.from_numpy(images.test_y[: job.test])
    made = torch.Generator().manual_seed(job.models[0][2] * 7919 + job.n)
    count = len(job.models)
    weights = _weights(count, pixels.shape[1], images.classes, [seed for *_, seed in job.models])
    velocities = [torch.zeros_like(one) for one in weights]
    looks = {round(job.steps * (place + 1) / job.looks) for place in range(job.looks)}
    curve, doubts, wrongs = [], [], []
    every = torch.arange(len(test_x)).expand(count, -1)
    for step in range(1, job.steps + 1):
        # Held-out pictures stand first in `rows`; the same places are drawn for each model of other pictures.
        places = torch.randint(held, job.n, (BATCH,), generator=made)
        x, y = pixels[rows[:, places]], labels[:, places]
        loss = torch.nn.functional.cross_entropy(_logits(weights, x).flatten(0, 1), y.flatten()) * count
        # By hand what `torch.optim.SGD` does, which takes seconds of a processor to import.
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            torch._foreach_mul_(velocities, MOMENTUM)
            torch._foreach_add_(velocities, gradients)
            torch._foreach_add_(weights, velocities, alpha=-RATE)
        if step in looks:
            with torch.inference_mode():
                wrong = _answers(weights, test_x, every) != test_y
                doubt = _answers(weights, pixels, rows[:, :held]) != labels[:, :held]
                wrongs.append(wrong.numpy())
                curve.append(wrong.float().mean(1).numpy())
                doubts.append(doubt.float().mean(1).numpy())
    with torch.inference_mode():
        some = min(job.n, held + 5000)
        answers = _answers(weights, pixels, rows[:, held:some])
        false = labels[:, held:some] != truth[:, held:some]
        repeated = ((answers == labels[:, held:some]) & false).sum(1) / false.sum(1).clamp(min=1)
    chosen = np.argmin(np.stack(doubts), axis=0)  # the earliest of equals
    stacked = np.stack(wrongs, axis=1)
    picked = np.stack([stacked[np.arange(count), chosen], stacked[:, -1]], axis=1)
    return Trained(job, np.stack(curve, axis=1), picked, chosen, repeated.numpy())


def _weights(count: int, inputs: int, classes: int, seeds: Sequence[int]) -> list[Any]:
    """He's start, drawn by each model's own seed, so that clean and noisy models of one seed start alike."""
    import torch

    first, second = [], []
    for seed in seeds:
        made = torch.Generator().manual_seed(seed)
        first.append(torch.randn(inputs, UNITS, generator=made) * (2 / inputs) ** 0.5)
        second.append(torch.randn(UNITS, classes, generator=made) * (2 / UNITS) ** 0.5)
    found = [torch.stack(first), torch.zeros(count, 1, UNITS), torch.stack(second), torch.zeros(count, 1, classes)]
    return [one.requires_grad_() for one in found]


def _logits(weights: Sequence[Any], x: Any) -> Any:
    """(K, B, inputs) -> (K, B, classes)."""
    import torch

    return torch.baddbmm(weights[3], torch.relu(torch.baddbmm(weights[1], x, weights[0])), weights[2])


def _answers(weights: Sequence[Any], pixels: Any, rows: Any, block: int = 500) -> Any:
    """What each model takes its rows (K, n) of the pixels for."""
    import torch

    starts = range(0, rows.shape[1], block)
    return torch.cat([_logits(weights, pixels[rows[:, at : at + block]]).argmax(2) for at in starts], 1)


def _noisy(images: Images, n: int, shape: str, share: float, seed: int) -> tuple[Array, Array]:
    """The pictures of one training set (numbers of rows, in order) and their labels, `share` of them wrong."""
    rng = np.random.default_rng([seed, n])
    rows = rng.permutation(len(images.x))[:n]
    truth = images.y[rows]
    return rows, wrong_labels(images.x[rows], truth, images.classes, shape, share, seed)
