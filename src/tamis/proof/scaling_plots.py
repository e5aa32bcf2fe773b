"""Pictures of a fitted law, of IsoFLOP levels and of a plan, as PNG or SVG by the file's name. The same bytes for the
same figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.errors import WrongUse
from tamis.proof.approaches import Frontier
from tamis.proof.planning import SERVING, Plan, amount
from tamis.proof.repeats import PUBLISHED, Repeats, effective
from tamis.proof.runs import FLOP_PER_PARAMETER_TOKEN, Runs
from tamis.proof.scaling import LossFit, law, optimum
from tamis.proof.trends import Shape, Trend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

INK, BLUE, RED, GREY = "#222222", "#1f5fa8", "#c0392b", "#8a8f98"
DRAWS = 400  # bootstrap draws of a band


class NoPicture(ValueError, WrongUse):
    """The file's name does not end in .png or .svg."""


def fit_figure(fit: LossFit) -> Figure:
    """The runs and the law: loss over compute with the optimal frontier, and the residuals with flagged runs marked.
    Raises Unreliable for a fit that is."""
    fit.require()
    runs = _runs(fit)
    figure = _figure(10.5, 4.3)
    left, right = figure.subplots(1, 2)
    sizes = np.log10(runs.params)
    dots = left.scatter(runs.flops, runs.loss, c=sizes, cmap="viridis", s=14, linewidths=0)
    span = np.geomspace(runs.flops.min(), runs.flops.max() * 10, 120)
    _band(left, span, _frontier_losses(fit, span))
    left.set(xscale="log", xlabel="training compute (FLOP)", ylabel="loss (nats a token)")
    left.set_title(f"{fit.E:.3f} + {fit.A:.4g}/N^{fit.alpha:.3f} + {fit.B:.4g}/D^{fit.beta:.3f}, {len(runs)} runs")
    figure.colorbar(dots, ax=left, label="log10 of parameters")
    left.legend(frameon=False, loc="upper right")
    residual = np.log(runs.loss) - np.log(law(fit.values, runs.params, runs.tokens))
    right.axhline(0, color=GREY, linewidth=0.8)
    right.scatter(runs.tokens / runs.params, 100 * residual, c=sizes, cmap="viridis", s=14, linewidths=0)
    flagged = {flag.row for flag in fit.flags}
    marked = np.array([row in flagged for row in runs.row])
    if marked.any():
        right.scatter(
            (runs.tokens / runs.params)[marked],
            100 * residual[marked],
            s=60,
            facecolors="none",
            edgecolors=RED,
            label=f"{int(marked.sum())} runs the fit leans on",
        )
        right.legend(frameon=False)
    right.set(xscale="log", xlabel="tokens a parameter", ylabel="loss above the law (%)", title="Residuals")
    return figure


def isoflop_figure(runs: Runs, frontier: Frontier, fit: LossFit | None = None) -> Figure:
    """The parabolas of approach 2, and optimal parameters over compute by it and, where given, by the law."""
    runs = runs.finals()
    figure = _figure(10.5, 4.3)
    left, right = figure.subplots(1, 2)
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0, 0.9, max(len(frontier.levels), 1)))
    for level, shade in zip(frontier.levels, shades, strict=False):
        n = runs.params[level.rows]
        left.scatter(n, runs.loss[level.rows], color=shade, s=12, linewidths=0)
        span = np.geomspace(n.min(), n.max(), 80)
        left.plot(span, np.polyval(level.parabola, np.log(span)), color=shade, linewidth=1, label=f"{level.flops:.1e}")
        if level.params is not None and level.loss is not None:
            left.plot(level.params, level.loss, marker="D", color=RED, markersize=4)
    left.set(xscale="log", xlabel="parameters", ylabel="loss (nats a token)", title="Runs of equal compute")
    left.legend(frameon=False, title="FLOP", fontsize=7, title_fontsize=7, ncols=2)
    lowest = [(level.flops, level.params) for level in frontier.levels if level.params is not None]
    if lowest:
        right.scatter(*np.array(lowest).T, marker="D", color=RED, s=20, label="lowest points", zorder=3)
    span = np.geomspace(runs.flops.min(), runs.flops.max() * 10, 100)
    if frontier.a is not None:
        a = frontier.a
        right.plot(
            span, frontier.params(span), color=RED, label=f"approach 2: a {a.value:.3f} [{a.low:.3f}, {a.high:.3f}]"
        )
    if fit is not None and fit.reliable:
        draws = np.stack([optimum(values, span)[0] for values in fit.samples[: DRAWS + 1]])
        label = f"approach 3: a {fit.a:.3f}"
        if fit.draws is not None:
            found = fit.interval("a")
            label += f" [{found.low:.3f}, {found.high:.3f}]"
        _band(right, span, draws, label)
    right.set(xscale="log", yscale="log", xlabel="training compute (FLOP)", ylabel="optimal parameters")
    right.set_title("Compute-optimal size")
    right.legend(frameon=False, loc="upper left")
    for axis, ends in ((left.xaxis, left.get_xlim()), (right.xaxis, right.get_xlim()), (right.yaxis, right.get_ylim())):
        _few_ticks(axis, ends)
    return figure


def _few_ticks(axis: Axis, ends: tuple[float, float]) -> None:
    """On a logarithmic axis of less than two decades: labels at 1, 2 and 5, or a few more where those are fewer than
    three, so that they do not run into each other."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    if ends[1] / ends[0] >= 100:
        return
    powers = 10.0 ** np.arange(np.floor(np.log10(ends[0])), np.ceil(np.log10(ends[1])) + 1)
    for firsts in ((1, 2, 5), (1, 2, 3, 5, 7)):
        every = np.outer(powers, firsts).ravel()
        ticks = every[(every >= ends[0]) & (every <= ends[1])]
        if len(ticks) >= 3:
            break
    axis.set_major_locator(FixedLocator(ticks.tolist()))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x < 1e6 else f"{x:.0e}"))
    axis.set_minor_formatter(NullFormatter())


def plan_figure(
    fit: LossFit,
    plan: Plan,
    *,
    requests: float | None = None,
    unique: float | None = None,
    repeats: Repeats = PUBLISHED,
) -> Figure:
    """Loss over model size at the plan's compute (serving included): how much a wrong size costs."""
    figure = _figure(6.4, 4.3)
    axes = figure.subplots()
    served = requests or 0.0
    budget = plan.flops.value + plan.serving.value
    sizes = plan.params.value * np.geomspace(1 / 12, 12, 161)
    tokens = (budget - SERVING * sizes * served) / (FLOP_PER_PARAMETER_TOKEN * sizes)
    sizes, tokens = sizes[tokens > 0], tokens[tokens > 0]
    samples = fit.samples[: DRAWS + 1, None, :]
    shape: tuple[Floats, Floats] = (sizes, tokens)
    if unique is not None:
        shape = effective(samples, sizes, tokens, unique, repeats.data.value, repeats.params.value)
    losses = law(samples, *shape)
    _band(axes, sizes, losses, "the law, 95% of its draws")
    if not np.isnan(plan.params.low):
        high = min(plan.params.high, sizes.max())
        axes.axvspan(
            max(plan.params.low, sizes.min()), high, color=RED, alpha=0.08, linewidth=0, label="best size, 95%"
        )
    axes.plot(
        plan.params.value,
        plan.loss.value,
        marker="D",
        color=RED,
        linestyle="none",
        label=f"{amount(plan.params.value)} parameters, {amount(plan.tokens.value)} tokens",
    )
    low = float(losses[0].min())
    axes.set_ylim(low - 0.35 * (losses[0].max() - low), float(losses[0].max()))
    axes.set(xscale="log", xlabel="parameters", ylabel="loss (nats a token)")
    axes.set_title(f"{budget:.3g} FLOP{' with serving' if served else ''}")
    axes.legend(frameon=False)
    return figure


def trend_figure(trends: list[Trend]) -> Figure:
    """The means of each metric over size, each on its own axes, with the shape that was found."""
    columns = min(len(trends), 3)
    rows = -(-len(trends) // columns)
    figure = _figure(4.2 * columns, 3.4 * rows)
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in every[len(trends) :]:
        unused.remove()
    for axes, trend in zip(every, trends, strict=False):
        axes.plot(trend.sizes, trend.means, color=BLUE, marker="o", markersize=4, linewidth=1)
        if trend.lines is not None and trend.shape in (Shape.U, Shape.INVERTED_U):
            axes.axvline(10**trend.lines.at, color=RED, linewidth=0.8, linestyle="--")
        axes.set(xscale="log", xlabel="size", ylabel=trend.metric, title=f"{trend.metric}: {trend.shape}")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes PNG or SVG by the name. Raises NoPicture for another ending."""
    import matplotlib

    if path.suffix not in (".png", ".svg"):
        raise NoPicture(f"{path}: pictures are written as .png or .svg")
    metadata: dict[str, Any] = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "tamis"}):
        figure.savefig(path, dpi=130, metadata=metadata)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _runs(fit: LossFit) -> Runs:
    if fit.runs is None:
        raise NoPicture("the fit was read from a file without its runs: make the picture with `tamis scale fit --out`")
    return fit.runs


def _frontier_losses(fit: LossFit, span: Floats) -> Floats:
    return np.stack([law(values, *optimum(values, span)) for values in fit.samples[: DRAWS + 1]])


def _band(axes: Axes, x: Floats, values: Floats, label: str = "compute-optimal, 95% of its draws") -> None:
    """The first row as a line; of the others, where 95% lie."""
    axes.plot(x, values[0], color=BLUE, linewidth=1.4, label=label)
    if len(values) > 1:
        low, high = np.percentile(values[1:], [2.5, 97.5], axis=0)
        axes.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0)
