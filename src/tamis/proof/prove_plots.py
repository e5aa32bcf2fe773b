"""Pictures of a proof: every difference with its interval and its pairs, and the loss on the reference on the way.
The same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tamis.proof.arm_runs import Measured
from tamis.proof.preparing import REFERENCE
from tamis.proof.proving import Proof
from tamis.verdicts.display import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED, GREY = "#1f5fa8", "#c0392b", "#8a8f98"


def write(proof: Proof, folder: Path) -> list[Path]:
    """differences.png and curves.png."""
    found = []
    for name, figure in (("differences", differences(proof)), ("curves", curves(proof))):
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=130, metadata={"Software": None})
        found.append(path)
    return found


def differences(proof: Proof) -> Figure:
    """One panel a size and kind of unit; a row a metric: the pairs as dots, their mean with its interval, and in grey
    what this many pairs could not have seen."""
    groups = [
        (size, unit, [d for d in comparison.differences if d.unit == unit])
        for size, comparison in proof.comparisons.items()
        for unit in dict.fromkeys(d.unit for d in comparison.differences)
    ]
    heights = [len(rows) + 1.2 for _, _, rows in groups]
    figure = _figure(8.2, 0.42 * sum(heights) + 0.5)
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (size, unit, rows) in zip(panels, groups, strict=True):
        for place, d in enumerate(rows):
            colour = {"B better": BLUE, "A better": RED}.get(d.says, "#444444")
            axes.barh(place, 2 * d.could_see, left=-d.could_see, height=0.7, color="#eceef1", linewidth=0)
            axes.plot(d.differences, np.full(d.n, place + 0.22), "o", color=GREY, markersize=2.6, alpha=0.8)
            axes.plot([d.low, d.high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(d.value, place, "o", color=colour, markersize=5.5)
        axes.axvline(0, color="#222222", linewidth=0.8)
        names = [_text(d.metric, 44) for d in rows]
        axes.set_yticks(range(len(rows)), names, fontsize=8.5)
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.invert_yaxis()
        better = "left: B better" if rows[0].direction == "lower" else "right: B better"
        axes.set_xlabel(f"B - A in {unit}; {better}; grey: seen less than 4 times in 5", fontsize=8.5)
        axes.set_title(f"{size}: {_names(proof)}, {rows[0].n} pairs by seed", fontsize=9.5)
        _plain(axes)
    return figure


def curves(proof: Proof) -> Figure:
    """Bits per byte of the reference while training, thin for each seed, heavy for the mean of the arm; below, the
    difference of each pair on the way."""
    sizes = proof.prepared.options.sizes
    figure = _figure(5.6 * len(sizes) + 0.4, 5.2)
    panels = figure.subplots(2, len(sizes), squeeze=False, sharex="col", height_ratios=[3, 2])
    text = proof.prepared.primary[0]
    where = "the reference" if text == REFERENCE else f"the text held out of {text}"
    for (upper, lower), size in zip(panels.T, sizes, strict=True):
        found = {}
        for arm, colour in (("A", RED), ("B", BLUE)):
            mine = [one for one in proof.results if one.arm == arm and one.size == size]
            found[arm] = {one.seed: np.array(one.probe) for one in mine if len(one.probe) > 1}
            _arm(upper, mine, found[arm].values(), colour, f"{arm} {_text(proof.prepared.arms[arm].name, 24)}", text)
        upper.set(ylabel="bits per byte")
        upper.set_title(f"{size}: {where} on the way\n(lines: the first of its documents; dots: all)", fontsize=9.5)
        upper.legend(frameon=False, fontsize=8.5)
        both = [(found["A"][seed], found["B"][seed]) for seed in found["A"] if seed in found["B"]]
        gaps = [(a[:, 0], b[:, 1] - a[:, 1]) for a, b in both if np.array_equal(a[:, 0], b[:, 0])]
        for tokens, gap in gaps:
            lower.plot(tokens, gap, color=GREY, linewidth=0.8)
        if gaps:
            lower.plot(gaps[0][0], np.mean([gap for _, gap in gaps], axis=0), color="#222222", linewidth=2)
        lower.axhline(0, color="#222222", linewidth=0.8)
        lower.set(xlabel="tokens seen", ylabel="B - A, pairs and mean")
        lower.xaxis.set_major_formatter(_thousands)
        for axes in (upper, lower):
            _plain(axes)
    return figure


def _arm(
    axes: Axes, runs: Sequence[Measured], seen: Iterable[npt.NDArray[np.float64]], colour: str, name: str, text: str
) -> None:
    points = list(seen)
    for one in points:
        axes.plot(one[:, 0], one[:, 1], color=colour, linewidth=0.7, alpha=0.4)
    if points and len({one.shape for one in points}) == 1:
        mean = np.mean(points, axis=0)
        axes.plot(mean[:, 0], mean[:, 1], color=colour, linewidth=2, label=name)
        name = ""
    ends = np.array([[one.tokens, one.bits[text][""]] for one in runs])
    axes.plot(ends[:, 0], ends[:, 1], "o", color=colour, markersize=4, alpha=0.6, label=name or None)


def _thousands(value: float, _: int) -> str:
    return f"{value / 1e6:g} M" if abs(value) >= 1e6 else f"{value / 1e3:g} k" if value else "0"


def _names(proof: Proof) -> str:
    a, b = (_text(proof.prepared.arms[arm].name, 24) for arm in "AB")
    return f"B {b} against A {a}"


def _text(name: str, width: int) -> str:
    """A dollar would begin a formula."""
    return printable(name, width).replace("$", r"\$")


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure as Made
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'tamis[train]'") from error
    return Made(figsize=(width, height), layout="constrained")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
