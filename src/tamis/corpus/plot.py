"""A histogram as inline SVG, with the limits of its rules drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tamis.corpus.inert import escape
from tamis.corpus.report_data import Histogram

WIDTH, HEIGHT, BASE, TOP = 300, 92, 78, 14
_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, limit: value >= limit,
    ">": lambda value, limit: value > limit,
    "<=": lambda value, limit: value <= limit,
    "<": lambda value, limit: value < limit,
    "=": lambda value, limit: True,
    "<>": lambda value, limit: True,
}


def plot(histogram: Histogram) -> str:
    """A figure: bars over the signal's values, those beyond a limit in the colour of drops. Heights are square roots
    of the counts, so that thin tails, where limits stand, can be seen."""
    edges, counts = np.array(histogram.edges), np.array(histogram.counts, dtype=float)
    heights = np.sqrt(counts / counts.max()) * (BASE - TOP) if counts.max() else counts
    place = _scale(histogram)
    bars = []
    for at, height in enumerate(heights):
        left, right = place(edges[at]), place(edges[at + 1])
        if height <= 0:
            continue
        height = max(height, 0.8)
        middle = float(edges[at] + edges[at + 1]) / 2
        fine = all(_HOLDS[limit.operator](middle, limit.value) for limit in histogram.limits)
        # A limit that runs through a bin colours its two sides apart.
        cuts = sorted(place(limit.value) for limit in histogram.limits if left < place(limit.value) < right)
        spans = list(zip([left, *cuts], [*cuts, right], strict=True))
        for start, stop in spans:
            if len(spans) > 1:
                value = _value(histogram, (start + stop) / 2)
                fine = all(_HOLDS[limit.operator](value, limit.value) for limit in histogram.limits)
            kind = "in" if fine else "out"
            width = max(stop - start - 0.35, 0.3)
            bars.append(
                f'<rect class="{kind}" x="{start:.2f}" y="{BASE - height:.2f}" width="{width:.2f}" '
                f'height="{height:.2f}"/>'
            )
    lines = []
    for value in sorted({limit.value for limit in histogram.limits}):
        x = place(value)
        if not 0 <= x <= WIDTH:
            continue
        anchor = "end" if x > WIDTH * 0.8 else "start" if x < WIDTH * 0.2 else "middle"
        lines.append(f'<line class="limit" x1="{x:.2f}" x2="{x:.2f}" y1="{TOP - 2}" y2="{BASE}"/>')
        lines.append(
            f'<text class="limit-text" x="{x:.2f}" y="9" text-anchor="{anchor}">{escape(figure(value))}</text>'
        )
    ticks = (
        f'<text x="0" y="{HEIGHT - 3}">{escape(figure(histogram.edges[0]))}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 3}" text-anchor="end">{escape(figure(histogram.edges[-1]))}</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(histogram.unit)}'
        f"{', logarithmic' if histogram.log else ''}</text>"
    )
    rules = ", ".join(f"{limit.rule} {limit.operator} {figure(limit.value)}" for limit in histogram.limits)
    beyond = [
        f"{count:,} {what}"
        for count, what in (
            (histogram.below, "further left"),
            (histogram.above, "further right"),
            (histogram.null, "not measured"),
        )
        if count
    ]
    tail = f" {'; '.join(beyond)}." if beyond else ""
    label = escape(f"Histogram of {histogram.signal}; limits: {rules}")
    return (
        f'<figure><figcaption><span class="mono">{escape(histogram.signal)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{BASE}" y2="{BASE}"/>'
        f'{"".join(bars)}{"".join(lines)}{ticks}</svg><figcaption><span class="note">{escape(rules)}.'
        f"{escape(tail)}</span></figcaption></figure>"
    )


def _scale(histogram: Histogram) -> Callable[[float], float]:
    low, high = histogram.edges[0], histogram.edges[-1]
    if histogram.log:
        a, b = np.log1p(low), np.log1p(high)
        return lambda value: float((np.log1p(max(value, 0.0)) - a) / (b - a) * WIDTH)
    return lambda value: float((value - low) / (high - low) * WIDTH)


def _value(histogram: Histogram, x: float) -> float:
    low, high = histogram.edges[0], histogram.edges[-1]
    if histogram.log:
        a, b = np.log1p(low), np.log1p(high)
        return float(np.expm1(a + x / WIDTH * (b - a)))
    return low + x / WIDTH * (high - low)


def figure(value: float) -> str:
    """A value at an axis: three digits, thousands with commas."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
