"""What a model costs: time, memory and arithmetic, as Metrics.

Arithmetic is counted twice: by `forward_flops`, the formula that scaling laws use (2 for every weight that a token is
multiplied with, and attention over the whole context, half of which is masked but counted), and by `counted_flops`,
which runs the model under PyTorch's counter. Speed is measured: it belongs to one machine at one time, and to nothing
that must come out the same twice.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tamis.models.model import Ids, Model
from tamis.proof.metric import Direction, Metric, ratio

_SECONDS = 2.0


def exact(
    name: str, value: float, unit: str, direction: Direction = "lower", note: str = "", of: str = "models"
) -> Metric:
    """A number that is counted, not estimated: its interval is itself."""
    return Metric(name, unit, direction, value, value, value, 1, of=of, note=note)


def parameters(module: Any) -> list[Metric]:
    """How many numbers the model consists of, and their bytes; what two names share counts once."""
    seen = {p.data_ptr(): p for p in module.parameters()}.values()
    return [
        exact("parameters", sum(p.numel() for p in seen), "", "neither", "with embedding and head"),
        exact("memory of parameters", sum(p.numel() * p.element_size() for p in seen), "byte"),
    ]


def peak_memory() -> Metric:
    """The most memory that this process has held since it began (resident set)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = peak if sys.platform == "darwin" else peak * 1024
    return exact("peak memory of this process", size, "byte", note="resident, since it began", of="processes")


def evaluation_speed(model: Model, ids: Ids, seconds: float = _SECONDS) -> Metric:
    """Tokens that the model scores in a second, for rows ids (B, T + 1) read again and again: one pass to warm up, then
    at least 5 passes and `seconds`. The interval resamples passes; wall clock, with the threads that PyTorch has."""
    tokens = ids.shape[0] * (ids.shape[1] - 1)
    model.nats(ids)
    taken: list[float] = []
    while len(taken) < 5 or sum(taken) < seconds:
        began = time.perf_counter()
        model.nats(ids)
        taken.append(time.perf_counter() - began)
    return ratio(
        "speed of evaluation", [tokens] * len(taken), taken, unit="token/s", direction="higher", of="passes",
        note=f"{ids.shape[0]} rows of {ids.shape[1] - 1}",
    )  # fmt: skip


def training_speed(tokens: int, seconds: float, cpu_seconds: float | None = None) -> list[Metric]:
    """Of a finished run, whole: with reading, checkpoints and logs."""
    found = [exact("speed of training", tokens / seconds, "token/s", "higher", "wall clock of the run", "runs")]
    if cpu_seconds:
        note = "of the process, all threads"
        found.append(exact("speed of training, CPU time", tokens / cpu_seconds, "token/s", "higher", note, "runs"))
    return found


def forward_flops(matrices: int, layers: int, width: int, context: int) -> float:
    """FLOP of a token's forward pass. matrices: weights that it is multiplied with, the head included, an embedding
    that is only looked up not. Kaplan et al. 2020, table 1; attention as Chowdhery et al. 2022, appendix B.

    >>> forward_flops(matrices=196_608 + 264 * 64, layers=4, width=64, context=256)
    689152.0
    """
    return 2.0 * matrices + 4.0 * layers * width * context


def flops(forward: float, trained_tokens: int | None = None) -> list[Metric]:
    """A token's forward pass, and training on that many tokens: three times as much, for the backward pass costs two
    forward ones."""
    found = [exact("FLOP of a token, forward", forward, "FLOP/token")]
    if trained_tokens is not None:
        note = f"3 x forward x {trained_tokens:,} tokens"
        found.append(exact("FLOP of training", 3 * forward * trained_tokens, "FLOP", "lower", note, "runs"))
    return found


def counted_flops(module: Any, context: int, ids: Sequence[int] | None = None) -> float:
    """FLOP of a token's forward pass over a whole context, by `torch.utils.flop_counter`: matrix products and
    attention. Attention runs in its plain form meanwhile, for the counter does not know the CPU's fused one."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    row = torch.from_numpy(np.asarray(ids if ids is not None else np.zeros(context), np.int64))[None]
    training = module.training
    module.eval()
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            module(row)
    finally:
        module.train(training)
    return float(counter.get_total_flops()) / row.shape[1]
