"""`tamis scale`: laws of loss over model and data, plans from them, and the shapes of metrics over size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.commands import scale_run
from tamis.commands.shared import Json, errors, show

if TYPE_CHECKING:
    from tamis.proof.approaches import Form, Frontier
    from tamis.proof.repeats import Repeats
    from tamis.proof.runs import Runs
    from tamis.proof.scaling import LossFit

app = typer.Typer(
    name="scale",
    help="Scaling laws: run a grid, fit a table of runs, plan a run, test the shape of metrics over size.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

app.command("run")(scale_run.run)

Table = Annotated[Path, typer.Argument(help="CSV or Parquet, one row a run.", exists=True, dir_okay=False)]
Seed = Annotated[int, typer.Option("--seed", help="Of the resamples.")]
DropHighest = Annotated[int, typer.Option("--drop-highest", min=0, help="Leave out this many runs of highest loss.")]
Loss = Annotated[str, typer.Option("--loss-function", help="`huber` (delta 1e-3 in ln L, summed) or `lad`.")]


@app.command()
def fit(
    table: Table,
    params: Annotated[str, typer.Option("--params", help="The column of parameters.")],
    loss: Annotated[str, typer.Option("--loss", help="The column of final loss, in nats a token.")],
    flops: Annotated[str | None, typer.Option("--flops", help="The column of training FLOP.")] = None,
    tokens: Annotated[str | None, typer.Option("--tokens", help="The column of tokens; FLOP / 6N if absent.")] = None,
    unique: Annotated[
        str | None, typer.Option("--unique", help="The column of distinct tokens: fits what a repeat is worth.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="The column that names a run, where rows are points of its curve.")
    ] = None,
    drop_highest: DropHighest = 0,
    loss_function: Loss = "huber",
    bootstrap: Annotated[int, typer.Option("--bootstrap", min=0, help="Resamples of the runs; 0 for none.")] = 4000,
    steps: Annotated[int, typer.Option("--steps", min=0, help="Most Newton steps from each start.")] = 300,
    seed: Seed = 42,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the fit with its draws here (JSON), for `tamis scale plan`."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write plots here (.png or .svg): NAME and NAME-isoflop.")
    ] = None,
    json_: Json = False,
) -> None:
    """Fits L = E + A/N^alpha + B/D^beta to a table of runs, with intervals, other approaches and the runs it leans on.

    A fit that stopped early, is at a bound or is not determined by the runs is no result: its status is said, exit 1.

    Example: `tamis scale fit runs.csv --params N --flops C --loss loss --out fit.json --picture fit.png`
    """
    from tamis.proof import approaches, repeats, runs, scaling
    from tamis.proof.scaling import Unreliable

    with errors():
        function = _function(loss_function)
        rows = runs.read(table, params=params, loss=loss, flops=flops, tokens=tokens, unique=unique, curve=run)
        every = rows.without_highest(drop_highest)
        fresh = _fresh(every)
        found = scaling.fit(fresh, loss_function=function, bootstrap=bootstrap, seed=seed, steps=steps)
        body = found.to_json()
        if not found.reliable:
            if json_:
                show(body)
                raise typer.Exit(1)
            raise Unreliable(f"{found.status}: {found.why}. No parameters are given.")
        frontiers = [approaches.envelope(every), approaches.isoflop(fresh)]
        forms = [approaches.kaplan(fresh), approaches.overtraining(fresh)]
        worth = repeats.fit(every, found) if unique else None
        ratios = _ratios(found)
        body |= {"dropped": len(rows) - len(every), "tokens_per_parameter": ratios}
        body["approaches"] = [one.to_json() for one in frontiers]
        body["forms"] = [one.to_json() for one in forms]
        if worth is not None:
            body["repeats"] = worth.to_json()
        if out is not None:
            written = body | {"draws": found.to_json(draws=True).get("draws")}
            out.write_text(json.dumps(written, ensure_ascii=False) + "\n", encoding="utf-8")
        if picture is not None:
            _draw(found, fresh, frontiers[1], picture)
        if json_:
            show(body)
        else:
            typer.echo("\n".join(_lines(found, frontiers, forms, worth, ratios, len(rows) - len(every))))


@app.command()
def plan(
    fit_file: Annotated[
        Path,
        typer.Option("--fit", help="A fit (`tamis scale fit --out`), or a table of runs.", exists=True, dir_okay=False),
    ],
    flops: Annotated[float | None, typer.Option("--flops", help="Training compute: the lowest loss.")] = None,
    tokens: Annotated[float | None, typer.Option("--tokens", help="Tokens: the model they are optimal for.")] = None,
    loss: Annotated[float | None, typer.Option("--loss", help="Loss in nats a token: the least compute.")] = None,
    requests: Annotated[
        float | None, typer.Option("--requests", help="Tokens to be served over the model's life: 2N FLOP each.")
    ] = None,
    unique: Annotated[
        float | None, typer.Option("--unique", help="Distinct tokens there are; more are repeats.")
    ] = None,
    columns: Annotated[
        str, typer.Option("--columns", help="Of a table: params=COLUMN,flops=COLUMN,loss=COLUMN[,tokens=COLUMN].")
    ] = "params=params,flops=flops,loss=loss",
    drop_highest: DropHighest = 0,
    picture: Annotated[Path | None, typer.Option("--picture", help="Write a plot here (.png or .svg).")] = None,
    seed: Seed = 42,
    json_: Json = False,
) -> None:
    """Parameters, tokens and epochs for a budget, with 95% intervals, in one sentence.

    Example: `tamis scale plan --fit fit.json --flops 1e21 --unique 20e9`
    """
    from tamis.proof import planning, repeats, scaling, scaling_plots

    with errors():
        worth = repeats.PUBLISHED
        if fit_file.suffix in (".csv", ".parquet"):
            rows = _read(fit_file, columns).without_highest(drop_highest)
            law = scaling.fit(rows, bootstrap=4000, seed=seed)
        else:
            body = _load(fit_file)
            law = scaling.from_json(body)
            worth = repeats.from_json(body.get("repeats")) or worth
        found = planning.plan(
            law, flops=flops, tokens=tokens, loss=loss, requests=requests, unique=unique, repeats=worth
        )
        if picture is not None:
            drawn = scaling_plots.plan_figure(law, found, requests=requests, unique=unique, repeats=worth)
            scaling_plots.save(drawn, picture)
        if json_:
            show(found.to_json())
        else:
            typer.echo("\n".join([found.sentence, *(f"note  {note}" for note in found.notes)]))


@app.command()
def trends(
    table: Annotated[
        Path, typer.Argument(help="CSV or Parquet, one row a trained model.", exists=True, dir_okay=False)
    ],
    size: Annotated[str, typer.Option("--size", help="The column of model size (or compute).")],
    metric: Annotated[
        list[str], typer.Option("--metric", help="A column; repeat for more, all are corrected together.")
    ],
    seed_column: Annotated[
        str | None, typer.Option("--seed", help="The column of seeds: a size and seed twice is refused.")
    ] = None,
    lower: Annotated[
        list[str] | None, typer.Option("--lower", help="Of these metrics lower is better; repeat for more.")
    ] = None,
    continuous: Annotated[
        list[str] | None,
        typer.Option("--continuous", help="METRIC=COLUMN: the same outputs on a continuous scale; repeat for more."),
    ] = None,
    length: Annotated[float | None, typer.Option("--length", help="Tokens of an answer, for exact match.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Write a plot here (.png or .svg).")] = None,
    json_: Json = False,
) -> None:
    """Tests whether metrics improve, get worse, are U-shaped or emerge with size. Needs 6 sizes of 3 seeds.

    Example: `tamis scale trends evals.csv --size N --seed seed --metric exact --continuous exact=p_token`
    """
    from tamis.proof import scaling_plots
    from tamis.proof import trends as shapes
    from tamis.proof.runs import read_columns

    with errors():
        pairs = _pairs(continuous or [])
        names = list(dict.fromkeys([*metric, *pairs.values()]))
        columns = read_columns(table, [size, *names, *([seed_column] if seed_column else [])])
        if seed_column:
            _no_doubles(table, columns[size], columns[seed_column])
        found = shapes.trends(
            columns[size],
            {name: columns[name] for name in names},
            lower_is_better=lower or (),
            continuous=pairs,
            length=length,
        )
        if picture is not None:
            scaling_plots.save(scaling_plots.trend_figure(found), picture)
        if json_:
            show({"trends": [one.to_json() for one in found]})
        else:
            width = max(len(one.metric) for one in found)
            typer.echo("\n".join(f"{one.metric:{width}}  {one.shape}: {one.why}" for one in found))


def _function(name: str) -> Any:
    from tamis.proof.runs import BadTable

    if name not in ("huber", "lad"):
        raise BadTable(f"--loss-function is `huber` or `lad`, not `{name}`")
    return name


def _fresh(rows: Runs) -> Runs:
    """The runs that the law of distinct tokens is fitted to: those without repeats."""
    from tamis.proof.repeats import ONCE

    if rows.unique is None:
        return rows
    ends = rows.finals()  # before choosing: a point in the middle of a curve of repeats is no run of its own
    assert ends.unique is not None
    return ends.take(ends.tokens / ends.unique <= ONCE)


def _ratios(law: LossFit) -> list[dict[str, Any]]:
    """Tokens a parameter at the optimum of a few budgets, within the fitted compute and beyond."""
    from tamis.proof import planning

    low, high = law.fitted["flops"]
    found = []
    for flops in (low, (low * high) ** 0.5, high, 10 * high, 100 * high):
        ratio = planning.plan(law, flops=flops).tokens_per_parameter
        found.append({"flops": flops, **ratio.to_json()})
    return found


def _draw(law: LossFit, rows: Runs, isoflop: Frontier, path: Path) -> None:
    from tamis.proof import scaling_plots

    scaling_plots.save(scaling_plots.fit_figure(law), path)
    if isoflop.levels:
        drawn = scaling_plots.isoflop_figure(rows, isoflop, law)
        scaling_plots.save(drawn, path.with_name(f"{path.stem}-isoflop{path.suffix}"))


def _lines(
    law: LossFit,
    frontiers: list[Frontier],
    forms: list[Form],
    worth: Repeats | None,
    ratios: list[dict[str, Any]],
    dropped: int,
) -> list[str]:
    from tamis.proof.loss_problem import NAMES

    runs = 0 if law.runs is None else len(law.runs)
    kind = f"Huber, delta {law.delta:g}, summed" if law.loss_function == "huber" else "least absolute deviations"
    lines = [
        "L = E + A/N^alpha + B/D^beta          nats a token; N parameters, D tokens",
        f"runs      {runs} fitted, {dropped} dropped on request, {len(law.flags)} flagged",
        f"status    {law.status}: {law.why}",
        f"objective {law.objective:.9g} ({kind})",
        f"{'':10}{'value':>12}  {'95% interval':^24}  {'profile':^24}",
    ]
    for name in (*NAMES, "a"):
        both = ["", ""]
        if law.draws is not None:
            found = law.interval(name)
            both[0] = f"[{found.low:.5g}, {found.high:.5g}]"
        if name in law.profile:
            both[1] = f"[{law.profile[name][0]:.5g}, {law.profile[name][1]:.5g}]"
        lines.append(f"{name:10}{getattr(law, name):>12.6g}  {both[0]:^24}  {both[1]:^24}".rstrip())
    if law.draws is not None:
        lines.append(f"intervals {len(law.draws):,} bootstraps over runs, {law.lost_draws} of them unreliable")
    lines += [
        f"optimum   at {ratio['flops']:.2e} FLOP {ratio['value']:.3g} [{ratio['low']:.3g}, {ratio['high']:.3g}] "
        "tokens a parameter"
        for ratio in ratios
    ]
    for frontier in frontiers:
        said = f"{frontier.status}: {frontier.why}" if frontier.a is None else ""
        if frontier.a is not None:
            said = f"a {frontier.a.value:.4f} [{frontier.a.low:.4f}, {frontier.a.high:.4f}], {frontier.why}"
        lines.append(f"{frontier.name.split(':')[0]} {said}")
    for form in forms:
        values = ", ".join(f"{name} {value:.4g}" for name, value in form.parameters.items())
        objective = "" if form.objective is None else f"; Huber sum {form.objective:.6g}"
        lines.append(f"{form.name}: {values or f'{form.status}: {form.why}'}{objective}")
    if worth is not None:
        pairs = (("R_D*", worth.data), ("R_N*", worth.params))
        said = ", ".join(f"{name} {one.value:.3g} [{one.low:.3g}, {one.high:.3g}]" for name, one in pairs)
        lines.append(f"repeats: {said if worth.status == 'CONVERGED' else worth.status}; {worth.why}")
    for flag in law.flags:
        lines.append(
            f"flagged   row {flag.row}: loss {flag.loss:.4g}, {flag.tokens / flag.params:.3g} tokens a parameter, "
            f"leverage {flag.leverage:.2f}; without it {flag.parameter} moves {flag.moves:.2f} standard errors"
        )
    return lines


def _load(path: Path) -> dict[str, Any]:
    from tamis.proof.runs import BadTable

    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadTable(f"{path} is no fit: {error}; make one with `tamis scale fit --out`") from None
    if not isinstance(body, dict) or "status" not in body or "objective" not in body:
        raise BadTable(f"{path} is no fit: make one with `tamis scale fit --out`")
    return body


def _read(path: Path, columns: str) -> Runs:
    from tamis.proof import runs
    from tamis.proof.runs import BadTable

    named = _pairs(columns.split(","))
    if not {"params", "loss"} <= named.keys() or not named.keys() <= {"params", "loss", "flops", "tokens"}:
        raise BadTable(f"--columns {columns}: needs params=COLUMN, loss=COLUMN and flops=COLUMN or tokens=COLUMN")
    return runs.read(
        path, params=named["params"], loss=named["loss"], flops=named.get("flops"), tokens=named.get("tokens")
    )


def _pairs(given: list[str]) -> dict[str, str]:
    from tamis.proof.runs import BadTable

    pairs = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name or not value:
            raise BadTable(f"`{one}` is not NAME=COLUMN")
        pairs[name.strip()] = value.strip()
    return pairs


def _no_doubles(path: Path, sizes: Any, seeds: Any) -> None:
    from tamis.proof.runs import BadTable

    seen = set()
    for row, pair in enumerate(zip(sizes.tolist(), seeds.tolist(), strict=True), 1):
        if pair in seen:
            raise BadTable(f"{path} row {row}: size {pair[0]:g} with seed {pair[1]:g} occurs twice; one row a model")
        seen.add(pair)
