"""How the learning rate goes over a run: warm-up, then constant, cosine, or constant with a decay at the end.

The schedule must end where the run ends: a run read before the end of its decay is no run of that length (Hoffmann
et al. 2022, section 3.1). WSD (Hu et al. 2024, "MiniCPM") is the default: one run's stable part serves many lengths.
"""

from __future__ import annotations

import math
from typing import Literal

Name = Literal["wsd", "cosine", "constant"]
FLOOR = 0.1  # of the peak, where a cosine ends (Hoffmann et al. 2022)


def factor(step: int, steps: int, name: Name = "wsd", warmup: int = 0, decay: float = 0.4) -> float:
    """The share of the peak rate, (0, 1], at step 0 .. steps - 1. warmup: steps of a linear rise. decay: the share of
    all steps over which WSD falls linearly to (nearly) zero.

    >>> [round(factor(s, 10, "wsd", warmup=2, decay=.4), 2) for s in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup:
        return (step + 1) / warmup
    if name == "constant":
        return 1.0
    if name == "cosine":
        done = (step - warmup) / max(1, steps - warmup)
        return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * done)) / 2
    falling = max(1, round(decay * steps))
    return min(1.0, (steps - step) / falling)
