"""What it would take for a document to pass a rule: the rule with its broken thresholds moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tamis.verdicts.expression import Limit, Value, constant


def relaxed(limits: Sequence[Limit], found: Mapping[str, Value | None]) -> str:
    """A rule's expression with the broken thresholds moved to a document's values `found`; `off` where the rule is no
    conjunction of thresholds. Rounded outwards to three digits, so that the document does pass."""
    parts = []
    for limit in limits:
        moved = _relax(limit, found[limit.column])
        if moved is None:
            return "off"
        parts.append(moved)
    return " and ".join(parts) if parts else "off"


def _relax(limit: Limit, value: Value | None) -> str | None:
    if limit.holds(value) is not False:
        return str(limit)
    if isinstance(value, str) and limit.operator == "=":
        return f"{limit.column} in ({constant(limit.constant)}, {constant(value)})"
    if isinstance(value, bool) or not isinstance(value, int | float) or isinstance(limit.constant, str):
        return None
    downwards = value < limit.constant
    if limit.operator == "<>" or (value == limit.constant and limit.operator in ("<", ">")):
        downwards = limit.operator == ">"
    number = value if isinstance(value, int) else _outwards(value, downwards)
    return None if limit.operator == "<>" else f"{limit.column} {'>=' if downwards else '<='} {constant(number)}"


def _outwards(value: float, downwards: bool) -> float:
    """Three significant digits, not above (or not below) the value."""
    if value == 0 or not math.isfinite(value):
        return value
    digits = 2 - math.floor(math.log10(abs(value)))
    scale = 10.0**digits
    rounded = (math.floor if downwards else math.ceil)(value * scale) / scale
    if rounded > value if downwards else rounded < value:  # the division itself may have rounded the wrong way
        rounded = float(np.nextafter(rounded, -np.inf if downwards else np.inf))
    return rounded
