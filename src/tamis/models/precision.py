"""What matrices are multiplied in on this machine: measured, because it turns on the processor.

One thread's best: on a processor with native bfloat16, bf16 is four times as fast as fp32 and `medium` (float32 to
the last digits, through oneDNN's AVX-512) twice; on one without, bf16 is emulated and three times slower. fp16 is
never a choice on a CPU (a thousandth of fp32's speed).
"""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch

Fixed = Literal["fp32", "medium", "bf16"]
CHOICES: tuple[Fixed, ...] = ("fp32", "medium", "bf16")
# Another precision than fp32 must be this much faster to be worth leaving it.
WORTH = 1.15


@dataclass(frozen=True)
class Measured:
    """chosen, and the FLOP/s of one matrix product at each precision, by CPU time of this process."""

    chosen: Fixed
    speeds: dict[str, float]

    def __str__(self) -> str:
        each = ", ".join(f"{name} {speed / 1e9:.0f}" for name, speed in self.speeds.items())
        return f"precision {self.chosen} (GFLOP/s measured: {each})"


def use(module: Any, precision: str) -> None:
    """Sets how torch multiplies float32 in this process, and what a Decoder casts to."""
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "medium")
    if "dtype" in vars(module):
        module.dtype = torch.bfloat16 if precision == "bf16" else torch.float32


def measure(width: int, tokens: int = 1024) -> Measured:
    """The fastest for a model of this width: products (tokens, D) x (D, 4D), some milliseconds each."""
    speeds: dict[str, float] = {name: speed(name, tokens, width, 4 * width) for name in CHOICES}
    best = max(CHOICES, key=lambda name: speeds[name])
    return Measured(best if speeds[best] > WORTH * speeds["fp32"] else "fp32", speeds)


def processor() -> str:
    """The processor in words: what is fastest turns on it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak(precision: str) -> float:
    """FLOP/s of this process's threads on large products at a precision: what a training step is a share of."""
    return speed(precision, 1024, 1024, 1024)


def speed(precision: str, m: int, k: int, n: int, repeats: int = 4) -> float:
    """Best FLOP/s of (m, k) x (k, n), by wall time or CPU time, whichever says less time: on a shared machine the
    wall also counts others, and with several threads CPU time counts all of them."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest" if precision == "fp32" else "medium")
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = torch.ones(m, k, dtype=kind), torch.ones(k, n, dtype=kind)
        loops = max(1, int(1e8 / (2 * m * k * n)))
        best = float("inf")
        for _ in range(repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(loops):
                torch.mm(a, b)
            best = min(best, time.perf_counter() - wall, max(time.process_time() - cpu, 1e-9))
        return 2.0 * m * k * n * loops / best
    finally:
        torch.set_float32_matmul_precision(before)
