"""Bits per byte of several models on several domains, side by side, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from tamis.corpus.inert import visible
from tamis.proof.likelihood import Losses

_COLOURS = ("#2a6f97", "#c8553d", "#588157", "#7a5195", "#8a6d3b", "#444444")


def bits_per_byte(losses: Mapping[str, Losses], path: Path) -> None:
    """Writes a picture (PNG or SVG by its name): domains below each other, all documents at the top, a point and its
    95% interval for every model. losses: by model. Needs matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install 'tamis[train]'") from error

    first = next(iter(losses.values()))
    by = {name: one.by_domain() for name, one in losses.items()}
    domains = sorted(set(first.domains))
    shown = ["all", *domains] if len(domains) > 1 else ["all"]
    figure = Figure(figsize=(6.4, 1.3 + 0.32 * len(shown) * max(1, 0.6 * len(losses))), layout="constrained")
    axes = figure.subplots()
    for k, (name, one) in enumerate(losses.items()):
        metrics = [one.bits_per_byte() if domain == "all" else by[name][domain] for domain in shown]
        at = [i + (k - (len(losses) - 1) / 2) * 0.6 / max(1, len(losses)) for i in range(len(shown))]
        errors = [
            [max(0.0, m.value - m.low) if math.isfinite(m.low) else 0.0 for m in metrics],
            [max(0.0, m.high - m.value) if math.isfinite(m.high) else 0.0 for m in metrics],
        ]
        axes.errorbar(
            [m.value for m in metrics], at, xerr=errors, fmt="o", markersize=4, linewidth=1.2, capsize=2,
            color=_COLOURS[k % len(_COLOURS)], label=_short(name),
        )  # fmt: skip
    counts = {"all": len(first), **{domain: first.domains.count(domain) for domain in domains}}
    axes.set_yticks(range(len(shown)), [f"{_short(one)} ({counts[one]:,})" for one in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set(xlabel="bits per byte (lower is better), 95% interval over documents")
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(losses) > 1:
        axes.legend(frameon=False, fontsize=8)
    kind = path.suffix.lower().lstrip(".")
    figure.savefig(
        path, dpi=120, metadata={"Software": None} if kind == "png" else {"Date": None} if kind == "svg" else None
    )


def _short(text: str) -> str:
    """A name as it can be drawn; a dollar sign would begin mathematics."""
    text = " ".join(visible(text).split()).replace("$", r"\$")
    return text if len(text) <= 40 else text[:39] + "…"
