"""The picture of the claim on noisy labels. Titles say what is shown, never what to conclude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tamis.proof.claims._noise import SHAPES
from tamis.proof.claims._noisy_found import HALF, Found
from tamis.proof.claims.material import Images

COLOURS = {"another class": "#2a6f97", "any class": "#7fb069", "next class": "#c8553d", "look-alike": "#8e6c8a"}


def draw(found: Found, sets: Sequence[Images], path: Any) -> None:
    """Error against the share of wrong labels, by shape; for the large set against the number of pictures too."""
    from matplotlib.figure import Figure as Canvas

    curves = [one for one in sets if one.name != "fashion"]
    large = [one for one in sets if one.name == "fashion"]
    panels = len(curves) + 2 * len(large)
    wide = 2 if panels > 1 else 1
    canvas = Canvas(figsize=(5.2 * wide, 4.0 * -(-panels // wide)), layout="constrained")
    axes = list(np.atleast_1d(canvas.subplots(-(-panels // wide), wide)).ravel())
    for place, one in enumerate(curves):
        _curves(axes[place], found, one, legend=place == 0)
    for one in large:
        _bars(axes[len(curves)], found, one)
        _by_pictures(axes[len(curves) + 1], found)
    for unused in axes[panels:]:
        unused.remove()
    for used in axes[:panels]:
        used.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=110, metadata={"Software": None})


def _curves(axes: Any, found: Found, one: Images, legend: bool) -> None:
    n = len(one.x)
    for shape in SHAPES:
        shares = found.shares(one.name, n, shape)
        for last in (False, True):
            means = [found.error(one.name, n, shape if share else "clean", share, last) for share in shares]
            x, y = [100 * share for share in shares], [100 * mean.value for mean in means]
            style = {"color": COLOURS[shape], "linewidth": 1.6, "marker": "o", "markersize": 3}
            axes.plot(x, y, linestyle="--" if last else "-", label=None if last else shape, **style)
            if not last:
                low, high = [100 * mean.low for mean in means], [100 * mean.high for mean in means]
                axes.fill_between(x, low, high, color=COLOURS[shape], alpha=0.15, linewidth=0)
    axes.plot([0, 80], [0, 80], color="0.6", linewidth=0.8, linestyle=":", label="error = noise")
    axes.plot([], [], color="0.3", label="chosen epoch, 95% band")
    axes.plot([], [], color="0.3", linestyle="--", label="last epoch")
    axes.set(xlabel="wrong training labels, %", ylabel="test error, %", ylim=(0, 102))
    axes.set_title(f"{one.name}: {n:,} training pictures", fontsize=10)
    if legend:
        axes.legend(frameon=False, fontsize=8, loc="upper left")


def _bars(axes: Any, found: Found, one: Images) -> None:
    n = len(one.x)
    kinds = [("clean", 0.0), *((shape, HALF) for shape in SHAPES)]
    for place, (shape, share) in enumerate(kinds):
        colour = COLOURS.get(shape, "0.5")
        for last in (False, True):
            mean = found.error(one.name, n, shape, share, last)
            errors = [[100 * (mean.value - mean.low)], [100 * (mean.high - mean.value)]]
            face = "white" if last else colour
            x = place + (0.14 if last else -0.14)
            axes.errorbar(
                x,
                100 * mean.value,
                yerr=errors,
                fmt="s" if last else "o",
                color=colour,
                markerfacecolor=face,
                capsize=2,
            )
    axes.set_xticks(range(len(kinds)), [shape.replace(" ", "\n") for shape, _ in kinds], fontsize=8)
    axes.set(ylabel="test error, %", ylim=(0, None))
    axes.set_title(f"{one.name}: {n:,} pictures, half wrong (filled: chosen epoch, open: last)", fontsize=10)


def _by_pictures(axes: Any, found: Found) -> None:
    counts = sorted({n for data, n, shape, _ in found.keys if data == "fashion" and shape == "another class"})
    for last in (False, True):
        for shape, share, colour, label in (
            ("clean", 0.0, "0.5", "clean"),
            ("another class", HALF, COLOURS["another class"], "half wrong"),
        ):
            means = [found.error("fashion", n, shape, share, last) for n in counts]
            y = [100 * mean.value for mean in means]
            axes.plot(counts, y, color=colour, linestyle="--" if last else "-", marker="o", markersize=3,
                      label=f"{label}, {'last' if last else 'chosen'} epoch")  # fmt: skip
            if not last:
                band = [100 * mean.low for mean in means], [100 * mean.high for mean in means]
                axes.fill_between(counts, *band, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set(xlabel="training pictures (equal steps)", ylabel="test error, %", ylim=(0, None))
    axes.set_title("fashion: error by number of training pictures, equal steps", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
