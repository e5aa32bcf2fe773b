"""Wilson's interval of a share that was counted: the one interval that every room needs."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(hits: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share at `level`, in [0, 1]; (0, 1) without trials. Counts may be weighted.

    Brown, Cai and DasGupta 2001 compare it with others. Raises ValueError where the counts are no share.

    >>> [round(x, 4) for x in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")
    if not trials:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = hits / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    below = 1 + z * z / trials
    # The ends of none and of all are exact; a rounding error must not leave a share outside its own interval.
    low, high = max(0.0, (middle - half) / below), min(1.0, (middle + half) / below)
    return 0.0 if not hits else low, 1.0 if hits == trials else high
