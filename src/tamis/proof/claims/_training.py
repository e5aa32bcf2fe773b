"""Training jobs that claims share: one small model on bytes, measured at stated steps of its training.

Everything is float32 on one thread, Muon, warm-up, constant rate, decay: what decides a run is in its Job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
# (module, rows (n, T + 1)) -> what is kept of them
Measure = Callable[[Any, Any], Any]

VOCABULARY = 257
CHUNK = 64  # rows at a time


@dataclass(frozen=True)
class Job:
    """network: `decoder` of the shape (layers, width, heads), or `recurrent` or `convolutional` with as many
    parameters in all as that decoder. tokens: (N,) byte ids. at: the steps after which texts are measured."""

    name: str
    tokens: npt.NDArray[np.uint16] = field(repr=False)
    steps: int
    seed: int
    measured: Mapping[str, Any] = field(repr=False)
    measure: Measure
    at: tuple[int, ...]
    shape: tuple[int, int, int] = (4, 32, 1)
    network: str = "decoder"
    context: int = 128
    batch: int = 16
    lr: float = 0.05
    decay: float = 0.4


def trained(job: Job) -> dict[int, dict[str, Any]]:
    """Step -> name of the text -> what `job.measure` gave."""
    import torch

    from tamis.models.data import ArrayFeed
    from tamis.models.loop import Step
    from tamis.models.settings import Settings
    from tamis.models.training import fit

    found: dict[int, dict[str, Any]] = {}

    def on_step(step: Step) -> None:
        if step.step in job.at:
            with torch.no_grad():
                found[step.step] = {name: job.measure(step.module, one) for name, one in job.measured.items()}

    settings = Settings(
        steps=job.steps, batch=job.batch, lr=job.lr, decay=job.decay, seed=job.seed, precision="fp32", schedule="wsd"
    )
    fit(network(job), ArrayFeed(job.tokens, job.context, job.batch, job.seed), settings, on_step)
    return found


def network(job: Job) -> Any:
    from tamis.models.decoder import Decoder
    from tamis.proof.claims import _networks

    config = config_of(job.shape, job.context)
    if job.network == "decoder":
        return Decoder(config, seed=job.seed)
    kinds = {"recurrent": _networks.Recurrent, "convolutional": _networks.Convolutional}
    kind: Any = kinds[job.network]
    width = _networks.as_large(kind, config.parameters_in_all, VOCABULARY, job.context)
    return kind(VOCABULARY, width, job.context, seed=job.seed)


def config_of(shape: tuple[int, int, int], context: int) -> Any:
    from tamis.models.decoder import Config

    layers, width, heads = shape
    return Config(VOCABULARY, context, layers, width, heads)


def log_probabilities(module: Any, rows: Rows) -> npt.NDArray[np.float32]:
    """Of what follows each token: (n, T + 1) -> (n, T, VOCABULARY), nats."""
    import torch

    parts = []
    for start in range(0, len(rows), CHUNK):
        logits = module(torch.from_numpy(rows[start : start + CHUNK, :-1]))[..., :VOCABULARY]
        parts.append(torch.log_softmax(logits.float(), -1).numpy())
    return np.concatenate(parts)


def half(module: Any, rows: Rows) -> npt.NDArray[np.float16]:
    """`log_probabilities` at half precision: for differences of models, not for sums over many tokens."""
    return np.maximum(log_probabilities(module, rows), -30).astype(np.float16)


def bits(module: Any, rows: Rows) -> npt.NDArray[np.float64]:
    """Bits per byte of each row (n,)."""
    found = np.take_along_axis(log_probabilities(module, rows), rows[:, 1:, None], 2)[..., 0]
    each: npt.NDArray[np.float64] = -found.astype(np.float64).mean(1) / np.log(2)
    return each
