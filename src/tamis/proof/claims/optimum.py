"""Claim (e): at a given compute there is a best size, and it grows in step with the tokens.

Two sources: the public table of Chinchilla's runs (read off its figure by Besiroglu et al. 2024), where a file
`scaling/chinchilla_runs.csv` is below TAMIS_DATA, and a grid of small models of equal compute trained here
(`proof.grid`). The exponent a of N ~ C^a is that of IsoFLOP parabolas (approach 2), whose exponent is sound; the
table's is the law's (approach 3). At this size it matters what is counted as a parameter, so the grid's exponent is
given with and without the head; the one with the head decides, for it is what compute is spent on. Each run has a rate
of its own length, from a sweep (`grid.rate`): at one rate for all, the rate, not the size, decides where the valley is.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.proof.claims import material
from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Table, Verdict, claim

if TYPE_CHECKING:
    from tamis.proof.grid import Grid
    from tamis.proof.scaling import LossFit

TABLE = "scaling/chinchilla_runs.csv"
DROPPED = 5  # the highest losses, as the replication does
EQUAL = (0.4, 0.6)  # of a: parameters and tokens grow in about equal proportion
TOKENS_PER_PARAMETER = 20.0


@claim(
    "compute-optimal",
    letter="e",
    # 2: rates by the length of the run; a best size is inside by run and by parabola; no run repeats tokens.
    version=2,
    statement="For every budget of compute there is a best size of model, neither the smallest nor the largest tried, "
    "and as compute grows parameters and tokens should grow in about equal proportion.",
    source="Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv 2203.15556; table and refit: "
    "Besiroglu et al. 2024, arXiv 2404.10102; what is counted: Porian et al. 2024, arXiv 2406.19146",
    rule=f"a is the power of compute with which the best size grows; about equal is {EQUAL[0]} to {EQUAL[1]}. At a "
    "budget the best size is inside when neither the lowest run nor the lowest point of its parabola is at or beyond "
    "the smallest or the largest size tried; where it is not, up to three more sizes are tried on that side. Holds "
    f"when it is inside at every budget and the 95% interval of a lies within {EQUAL[0]} to {EQUAL[1]}, in the public "
    "table and in the grid trained here. Does not hold when either interval lies wholly outside, or the best size is "
    "still at the edge after those three sizes. Anything else, no table, or no more sizes to try, is not shown. "
    "Rates by length and what counts as inside came after a first run was reviewed; this is a new run.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.proof import grid
    from tamis.proof.small_runs import Shape

    levels = [setting.pick(tiny=tiny, small=small) for tiny, small in ((2e9, 1.5e10), (4e9, 4e10), (8e9, 1e11))]
    widths = (8, 12, 16) if setting.tiny else ()
    seeds = setting.seeds(tiny=1, small=3)
    most = grid.most_tokens(levels, widths)
    documents = material.text(min(40_000_000, 2 * most + 400_000), setting.seed, setting.data)
    folder = setting.runs / "grid"
    folder.mkdir(parents=True, exist_ok=True)
    held = 20_000 if setting.tiny else grid.HELD_BYTES
    prepared = grid.prepare(grid.Listed("text", documents), folder, 1.2 * most + 65_536, held_bytes=held)
    found = grid.run(
        prepared, folder / "models", flops=levels, widths=widths, seeds=seeds, processes=setting.processes,
        bootstrap=50 if setting.tiny else 1000,
    )  # fmt: skip
    table = _public(50 if setting.tiny else 1000)
    figures = _figures(found, table)
    verdict, because = _decide(setting, found, table)
    rows = []
    for level in found.levels:
        tried, losses, best = grid.lowest(found.found, level)
        params = Shape(grid.LAYERS, tried[best]).config().parameters
        parabola = next(
            (one.params for one in found.frontiers[1].levels if abs(math.log(one.flops / level)) < 0.1), None
        )
        edge = found.edges.get(level)
        rows.append([
            level, len(tried), params, parabola, grid.tokens_for(tried[best], level) / params, losses[best],
            "yes" if edge is None else f"no: {edge.why}",
        ])  # fmt: skip
    rates = [one.job.lr for one in found.found if one.job.lr is not None]
    return Finding(
        verdict, because,
        {
            "grid": f"decoders of {grid.LAYERS} layers, {len(found.found)} runs at {len(levels)} budgets, bytes",
            "rates": f"by the length of the run, {max(rates):g} (shortest) to {min(rates):g}, from a sweep of 24 to "
            "1,024 steps at three sizes on another seed (docs/scaling-laws.md)",
            "text": material.where_text_is_from(setting.data),
            **({"left out": "; ".join(found.left_out)} if found.left_out else {}),
            "public table": "absent" if table is None else f"{DROPPED} highest losses left out",
        },
        figures, len(seeds),
        [
            Table(
                "The grid",
                ["FLOP", "sizes", "lowest run, parameters", "parabola", "tokens a parameter", "bit/byte", "inside"],
                rows, "parameters without embedding and head",
            )
        ],
        _pictures(setting.out, found, table), sum(one.cpu_seconds for one in found.found),
    )  # fmt: skip


def _public(bootstrap: int) -> LossFit | None:
    """The law of the public table, None where it is not here."""
    from tamis.proof import runs, scaling

    try:
        path = material.file(TABLE)
    except Missing:
        return None
    rows = runs.read(path, params="Model Size", loss="loss", flops="Training FLOP").without_highest(DROPPED)
    return scaling.fit(rows, bootstrap=bootstrap, profiles=False)


def _figures(found: Grid, table: LossFit | None) -> list[Figure]:
    from tamis.proof import planning

    made = []
    if table is not None and table.reliable:
        a = table.interval("a")
        count = 0 if table.runs is None else len(table.runs)
        made.append(Figure("a, public table (approach 3)", a.value, a.low, a.high, "", count, 1, "one run a row"))
        ratio = planning.plan(table, flops=5.88e23).tokens_per_parameter
        made.append(
            Figure("tokens a parameter at 5.88e23 FLOP", ratio.value, ratio.low, ratio.high, "", count, 1,
                   "Chinchilla's own budget; it had 20")
        )  # fmt: skip
    for name, frontiers in (("head counted", found.frontiers_with_head), ("head not counted", found.frontiers)):
        two = frontiers[1]
        if two.a is not None:
            made.append(
                Figure(f"a, grid trained here, {name} (approach 2)", two.a.value, two.a.low, two.a.high, "",
                       len(found.found), len({one.job.seed for one in found.found}), two.why)
            )  # fmt: skip
    made.append(
        Figure("budgets with a best size inside", float(len(found.levels) - len(found.edges)), None, None,
               f"of {len(found.levels)}", len(found.found), len({one.job.seed for one in found.found}),
               "a count: no interval")
    )  # fmt: skip
    return made


def _decide(setting: Setting, found: Grid, table: LossFit | None) -> tuple[Verdict, str]:
    frontier = found.frontiers_with_head[1]
    inside = len(found.levels) - len(found.edges)
    here = frontier.a
    public = table.interval("a") if table is not None and table.reliable else None
    said = [
        "the public table is not here" if table is None else "the public table determines no law" if public is None
        else f"a is {public.value:.3f} [{public.low:.3f}, {public.high:.3f}] in the public table",
        f"the grid determines no a ({frontier.why})" if here is None
        else f"{here.value:.3f} [{here.low:.3f}, {here.high:.3f}] in the grid trained here (head counted)",
        f"{inside} of {len(found.levels)} budgets have their best size inside the sizes tried",
        *(f"at {level:.2g} FLOP it is at the edge: {edge.why}" for level, edge in found.edges.items()),
    ]  # fmt: skip
    because = "; ".join(said)
    if setting.tiny:
        return Verdict.NOT_SHOWN, because
    known = [one for one in (public, here) if one is not None]
    outside = any(one.high < EQUAL[0] or one.low > EQUAL[1] for one in known)
    if outside or any(edge.decided for edge in found.edges.values()):
        return Verdict.DOES_NOT_HOLD, because
    within = [EQUAL[0] < one.low and one.high < EQUAL[1] for one in known]
    if len(known) == 2 and all(within) and inside == len(found.levels):
        return Verdict.HOLDS, because
    return Verdict.NOT_SHOWN, because


def _pictures(out: Path, found: Grid, table: LossFit | None) -> list[Path]:
    from tamis.proof import scaling_plots

    made: list[Path] = []
    if found.frontiers_with_head[1].levels:
        path = out / "isoflop.png"
        figure: Any = scaling_plots.isoflop_figure(
            found.table(head=True), found.frontiers_with_head[1], found.law_with_head
        )
        scaling_plots.save(figure, path)
        made.append(path)
    else:
        made.append(_scatter(out / "grid.png", found))
    if table is not None and table.reliable:
        scaling_plots.save(scaling_plots.fit_figure(table), out / "table.png")
        made.append(out / "table.png")
    return made


def _scatter(path: Path, found: Grid) -> Path:
    """The runs alone, where no level has enough of them for a parabola."""
    from matplotlib.figure import Figure as Picture

    from tamis.proof.scaling_plots import save

    picture = Picture(figsize=(6.4, 4.3), layout="constrained")
    axes = picture.subplots()
    for level in found.levels:
        mine = [one for one in found.found if one.job.named["level"] == level]
        axes.plot([one.params for one in mine], [one.nats("held out") for one in mine], "o-", label=f"{level:.1e} FLOP")
    axes.set(xscale="log", xlabel="parameters", ylabel="loss (nats a token)", title="Runs of equal compute")
    axes.legend(frameon=False)
    save(picture, path)
    return path
