"""`tamis label`: tasks, labels, and what they are worth. One thin command per verb; rooms do the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tamis.commands import label_aggregate, label_decide, label_records, label_serve
from tamis.commands.shared import CorpusName, Json, Work, errors, show

app = typer.Typer(
    name="label",
    help="People and models judge data: tasks, labels, agreement, aggregation, and labels as signals.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
for _verbs in (label_serve.VERBS, label_decide.VERBS, label_records.VERBS, label_aggregate.VERBS):
    for _name, _verb in _verbs.items():
        app.command(_name)(_verb)

Resamples = Annotated[int, typer.Option(min=0, help="Resamples of the examples for the intervals; 0 for none.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides what is drawn at random.")]


@app.command()
def agreement(
    file: Annotated[Path, typer.Argument(help="CSV, JSONL or Parquet: example, rater, label, and perhaps `at`.")],
    level: Annotated[str, typer.Option(help="nominal, ordinal, interval or ratio: which differences are large.")] = (
        "nominal"
    ),
    order: Annotated[
        str | None, typer.Option(help="For ordinal words: the labels from low to high, by commas.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Of Cohen's kappa: none, linear or quadratic.")] = "none",
    raters: Annotated[bool, typer.Option("--raters", help="Also each rater against the others.")] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also Cohen's kappa of every two raters.")] = False,
    over: Annotated[str | None, typer.Option(help="Also over time, by hour, day, week or month (needs `at`).")] = None,
    question: Annotated[str | None, typer.Option(help="Of a file with answers to several questions.")] = None,
    resamples: Resamples = 1000,
    seed: Seed = 17,
    json_: Json = False,
) -> None:
    """How far raters agree beyond chance: Krippendorff's alpha, Gwet's AC1, Fleiss' and Cohen's kappa, with intervals.

    Example: `tamis label agreement labels.csv --level ordinal --raters`
    """
    from tamis.people import agreement_report

    with errors():
        marked = agreement_report.span_report(file, question, resamples, seed)
        if marked is not None:
            show(marked.to_json()) if json_ else typer.echo(marked.render())
            return
        found = agreement_report.report(
            file,
            level,
            order=order.split(",") if order else None,
            weights=weights,
            raters=raters,
            pairs=pairs,
            over=over,
            question=question,
            resamples=resamples,
            seed=seed,
        )
        show(found.to_json()) if json_ else typer.echo(found.render())


@app.command()
def plan(
    examples: Annotated[int, typer.Option(min=1, help="How many examples.")] = 500,
    accuracy: Annotated[float, typer.Option(help="How often a rater is right, from 0 to 1.")] = 0.75,
    target: Annotated[float, typer.Option(help="The posterior at which an example is done.")] = 0.95,
    classes: Annotated[int, typer.Option(min=2, help="How many labels there are to choose from.")] = 2,
    spread: Annotated[float, typer.Option(min=0, help="Standard deviation of accuracy between raters.")] = 0.0,
    most: Annotated[int, typer.Option(min=1, help="The most labels of one example.")] = 25,
    least: Annotated[int, typer.Option(min=1, help="The fewest.")] = 1,
    budget: Annotated[int | None, typer.Option(min=1, help="The most labels in all.")] = None,
    cost: Annotated[float | None, typer.Option(min=0, help="Of one label, in any currency.")] = None,
    projects: Annotated[int, typer.Option(min=1, help="Projects to simulate.")] = 200,
    seed: Seed = 17,
    json_: Json = False,
) -> None:
    """Simulates a labelling project before anybody is asked: labels, accuracy and cost of adaptive and fixed overlap.

    Example: `tamis label plan --examples 500 --accuracy .75 --target .95 --classes 4 --most 6`
    """
    from tamis.people import planning

    with errors():
        settings = planning.Settings(examples, accuracy, target, classes, spread, most, least, budget, cost)
        found = planning.plan(settings, projects=projects, seed=seed)
        show(found.to_json()) if json_ else typer.echo(planning.describe(found))


@app.command()
def judge(
    task: Annotated[Path | None, typer.Argument(help="The task, a YAML file; with --check: people's labels.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible URL, up to and with /v1. The key: --key-from.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name there.")] = None,
    local: Annotated[str | None, typer.Option(help="A transformers model on this machine, instead.")] = None,
    out: Annotated[Path, typer.Option(help="JSON Lines; answers that are in it are not asked for again.")] = Path(
        "judged.jsonl"
    ),
    check: Annotated[Path | None, typer.Option(help="Check a file of judgements instead of making one.")] = None,
    gold: Annotated[Path | None, typer.Option(help="With --check: more known answers (example, truth).")] = None,
    orders: Annotated[str, typer.Option(help="Comparisons in `both` orders, or as `given`.")] = "both",
    most: Annotated[int | None, typer.Option(min=1, help="Only so many examples.")] = None,
    per_minute: Annotated[float | None, typer.Option(min=0.001, help="Requests a minute at most.")] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds of one try.")] = 60.0,
    retries: Annotated[int, typer.Option(min=0, help="Tries after the first, with growing pauses.")] = 5,
    workers: Annotated[int, typer.Option("--workers", "-j", min=1, help="Requests at a time.")] = 4,
    key_from: Annotated[str, typer.Option(help="The environment variable that holds the key.")] = "OPENAI_API_KEY",
    json_: Json = False,
) -> None:
    """A model as one more rater; or checks one: position bias, length bias, agreement with people, gold.

    Asks about the task's examples and its gold questions. `tamis label import` brings the answers to the others.

    Example: `tamis label judge task.yaml --endpoint http://127.0.0.1:8000/v1 --model NAME --out judged.jsonl`, then
    `tamis label judge --check judged.jsonl people.csv`
    """
    from itertools import chain, islice

    from tamis.people import examples, judges
    from tamis.people import task as tasks
    from tamis.people.judges import checks
    from tamis.people.labels import Labels, read_truth

    with errors():
        if check is not None:
            people = Labels.read(task) if task is not None else None
            found = checks.check(judges.read(check), people, read_truth(gold) if gold is not None else None)
            show([one.to_json() for one in found]) if json_ else typer.echo("\n\n".join(one.render() for one in found))
            return
        if task is None or (local is None) == (endpoint is None) or (endpoint is not None and model is None):
            raise typer.BadParameter("give a task and either --endpoint with --model, or --local; or --check FILE")
        if orders not in ("both", "given"):
            raise typer.BadParameter("--orders is `both` or `given`")
        loaded = tasks.load(task)
        rows = chain(islice(loaded.rows(), most), examples.read(loaded, loaded.gold.path, True) if loaded.gold else ())
        name = model or str(local)
        if endpoint is not None:
            where = judges.Endpoint(endpoint, name, key_from, timeout, retries, per_minute)
            with judges.Client(where) as client:
                run = judges.judge(loaded, rows, client.ask, out, name=name, orders=orders, workers=workers)  # type: ignore[arg-type]
        else:
            ask = judges.local(name)
            run = judges.judge(loaded, rows, ask, out, name=name, orders=orders, workers=1)  # type: ignore[arg-type]
        show(run.to_json()) if json_ else typer.echo(run.render())


@app.command()
def sample(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="How many documents.")] = 100,
    out: Annotated[Path, typer.Option(help="JSON Lines of id, url, text: the `examples.path` of a task.")] = Path(
        "examples.jsonl"
    ),
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    reason: Annotated[
        list[str] | None, typer.Option(help="Only documents dropped by this rule, or `kept`; repeatable.")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="So many of every reason, not in all.")] = False,
    seed: Seed = 17,
    json_: Json = False,
) -> None:
    """Draws documents of a corpus for people to judge, kept and dropped, without saying which.

    Example: `tamis label sample --work ./web -n 200 --reason kept --reason top_2 --each --out examples.jsonl`
    """
    from tamis.corpora import Corpus
    from tamis.people import sampling
    from tamis.workspace import Workspace

    with errors():
        reader = Corpus(Workspace(work), corpus)
        drawn = sampling.sample(reader, out, n, reasons=tuple(reason or ()), each=each, seed=seed)
        show(drawn.to_json()) if json_ else typer.echo(drawn.render())


@app.command()
def signals(
    file: Annotated[Path, typer.Argument(help="Aggregated labels: Parquet, JSONL or CSV, a row per document.")],
    name: Annotated[str, typer.Option(help="The column's name: labels.NAME in rules.")] = "judged",
    example: Annotated[str, typer.Option(help="The file's column of document ids.")] = "example",
    label: Annotated[str, typer.Option(help="The file's column of labels.")] = "label",
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    json_: Json = False,
) -> None:
    """Says which documents of a corpus a file of labels covers, and prints what to write into the recipe.

    Example: `tamis label signals judged.parquet --name edu --work ./web`
    """
    from tamis.corpora import Corpus
    from tamis.people import coverage
    from tamis.workspace import Workspace

    with errors():
        found = coverage.coverage(Corpus(Workspace(work), corpus), file, name, example, label)
        show(found.to_json()) if json_ else typer.echo(found.render())
