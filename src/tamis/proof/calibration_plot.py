"""The reliability diagram: how often answers were right against how sure the model was."""

from __future__ import annotations

from pathlib import Path

from tamis.proof.calibration import Calibration


def reliability_diagram(found: Calibration, path: Path | str, title: str = "") -> None:
    """Writes a picture (PNG, SVG or PDF by its name): equal-mass bins with Wilson intervals, the isotonic curve, and
    below them where the confidences lie. Needs matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install 'tamis[train]'") from error

    figure = Figure(figsize=(5.2, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    upper.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfect")
    upper.plot(*found.curve, color="#2a6f97", linewidth=1.4, alpha=0.6, label="isotonic regression")
    x = [one.confidence for one in found.diagram]
    y = [one.right for one in found.diagram]
    errors = [[max(0.0, b.right - b.low) for b in found.diagram], [max(0.0, b.high - b.right) for b in found.diagram]]
    cases = f"{min(b.n for b in found.diagram):,} to {max(b.n for b in found.diagram):,} answers each"
    upper.errorbar(
        x, y, yerr=errors, fmt="o", color="#c8553d", markersize=4, linewidth=1, capsize=2, label=f"bins, {cases}"
    )
    upper.set(ylabel="share right", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    upper.legend(frameon=False, fontsize=8, loc="upper left")
    ece, rms = found.sweep, found.debiased
    upper.set_title(
        f"{title}\n"
        * bool(title)
        + f"n = {found.n:,}; ECE (monotone bins) {ece.value:.3f} [{ece.low:.3f}, {ece.high:.3f}]\n"
        f"RMS (debiased) {rms.value:.3f} [{rms.low:.3f}, {rms.high:.3f}]; Brier {found.brier.value:.3f}\n"
        f"a perfect model would show ECE {found.perfect['sweep']:.3f}",
        fontsize=9,
    )
    lower.hist(found.curve[0], bins=40, range=(0, 1), color="0.7")
    lower.set(xlabel=f"confidence: {found.confidence}", ylabel="answers")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    kind = Path(path).suffix.lower().lstrip(".")
    figure.savefig(
        path, dpi=120, metadata={"Software": None} if kind == "png" else {"Date": None} if kind == "svg" else None
    )
