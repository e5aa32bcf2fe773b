"""Small plots as SVG made on the server. Positions are attributes, colours are classes of the style sheet: the page's
policy allows no inline style. Every plot has a table beside it on its page, so nothing is told by a picture alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tamis.corpus.inert import escape
from tamis.corpus.plot import figure

WIDTH = 640


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; None where it is undefined. `n` is what it rests on."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


def over_time(points: Sequence[Estimate], label: str, low: float = 0.0, high: float = 1.0) -> Markup:
    """A line through estimates in the order of time, the interval as a band. Gaps where a value is undefined."""
    height, left, right, top, base = 190, 40, 12, 12, 160
    low = min([low, *[point.low for point in points if point.low is not None]])
    span = WIDTH - left - right

    def x(at: int) -> float:
        return left + (span * at / (len(points) - 1) if len(points) > 1 else span / 2)

    def y(value: float) -> float:
        return base - (min(max(value, low), high) - low) / (high - low) * (base - top)

    parts = [_grid(y, low, high, left, WIDTH - right)]
    for run in _runs(points):
        upper = [f"{x(at):.1f},{y(high_):.1f}" for at, _, _, high_ in run]
        lower = [f"{x(at):.1f},{y(low_):.1f}" for at, _, low_, _ in reversed(run)]
        parts.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
        line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value, _, _ in run)
        parts.append(f'<polyline class="line" points="{line}"/>')
        parts += [f'<circle class="dot" cx="{x(at):.1f}" cy="{y(value):.1f}" r="3"/>' for at, value, _, _ in run]
    step = max(1, math.ceil(len(points) / 6))
    for at in range(0, len(points), step):
        anchor = "start" if at == 0 and len(points) > 1 else "end" if at == len(points) - 1 else "middle"
        parts.append(f'<text x="{x(at):.1f}" y="{height - 8}" text-anchor="{anchor}">{escape(points[at].name)}</text>')
    return _svg(height, label, parts)


def forest(rows: Sequence[Estimate], label: str, marks: Sequence[tuple[float, str]] = ()) -> Markup:
    """One row an estimate: name, interval as a bar, value as a dot, figures at the right. Marks are vertical lines."""
    row, top, left, right = 26, 26, 150, 150
    height = top + row * len(rows) + 22
    known = [value for each in rows for value in (each.low, each.value, each.high) if value is not None]
    low = min([0.0, *known])
    high = max([1.0, *known])
    span = WIDTH - left - right

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * span

    base = top + row * len(rows)
    parts = []
    for tick in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 4}" y2="{base}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{base + 14}" text-anchor="middle">{figure(tick)}</text>')
    for value, name in marks:
        parts.append(f'<line class="limit" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top - 8}" y2="{base}"/>')
        parts.append(
            f'<text class="limit-text" x="{x(value):.1f}" y="{top - 12}" text-anchor="middle">{escape(name)}</text>'
        )
    for at, each in enumerate(rows):
        y = top + row * (at + 0.5)
        parts.append(
            f'<text class="name" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{_short(each.name, 20)}</text>'
        )
        words = "undefined"
        if each.value is not None:
            words = f"{each.value:.2f}"
            if each.low is not None and each.high is not None:
                parts.append(
                    f'<line class="interval" x1="{x(each.low):.1f}" x2="{x(each.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                )
                words += f"  {each.low:.2f} to {each.high:.2f}"
            parts.append(f'<circle class="dot" cx="{x(each.value):.1f}" cy="{y:.1f}" r="4"/>')
        parts.append(f'<text x="{WIDTH - right + 12}" y="{y + 4:.1f}">{words}, n {each.n}</text>')
    return _svg(height, label, parts)


def confusion(names: Sequence[str], counts: Sequence[Sequence[float]], label: str, rows: str, columns: str) -> Markup:
    """Counts of what a rater said (columns) where another answer holds (rows), shaded by the share of the row."""
    cell, left, top = 76, 130, 56
    size = len(names)
    width = left + cell * size + 10
    parts = [
        f'<text class="name" x="{left}" y="14">{escape(columns)} →</text>',
        f'<text class="name" x="{left - 10}" y="{top - 10}" text-anchor="end">{escape(rows)} ↓</text>',
    ]
    for at, name in enumerate(names):
        middle = left + cell * (at + 0.5)
        parts.append(f'<text x="{middle:.1f}" y="{top - 10}" text-anchor="middle">{_short(name, 11)}</text>')
        parts.append(
            f'<text x="{left - 10}" y="{top + cell * (at + 0.5) + 4:.1f}" text-anchor="end">{_short(name, 16)}</text>'
        )
    for at, line in enumerate(counts):
        total = sum(line)
        for to, count in enumerate(line):
            share = count / total if total else 0.0
            kind = "right" if at == to else "wrong"
            parts.append(
                f'<rect class="cell {kind}" x="{left + cell * to + 1}" y="{top + cell * at + 1}" width="{cell - 2}" '
                f'height="{cell - 2}" rx="3" fill-opacity="{0.06 + 0.94 * share:.3f}"/>'
            )
            heavy = " heavy" if share > 0.55 else ""
            parts.append(
                f'<text class="count{heavy}" x="{left + cell * (to + 0.5):.1f}" '
                f'y="{top + cell * (at + 0.5) + 4:.1f}" text-anchor="middle">{figure(count)}</text>'
            )
    return _svg(top + cell * size + 10, label, parts, width)


def _svg(height: float, label: str, parts: Sequence[str], width: float = WIDTH) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _grid(y: Callable[[float], float], low: float, high: float, left: float, right: float) -> str:
    parts = []
    for tick in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{figure(tick)}</text>')
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """About five round values between two."""
    raw = (high - low) / 4 or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(at * step, 10) for at in range(first, math.floor(high / step + 1e-9) + 1)]


def _runs(points: Sequence[Estimate]) -> list[list[tuple[int, float, float, float]]]:
    """Stretches of defined points as (place, value, low, high); without an interval the band has no width."""
    runs: list[list[tuple[int, float, float, float]]] = [[]]
    for at, point in enumerate(points):
        if point.value is None:
            runs.append([])
            continue
        low = point.value if point.low is None else point.low
        high = point.value if point.high is None else point.high
        runs[-1].append((at, point.value, low, high))
    return [run for run in runs if run]


def _short(name: str, most: int) -> str:
    return escape(name if len(name) <= most else name[: most - 1] + "…")
