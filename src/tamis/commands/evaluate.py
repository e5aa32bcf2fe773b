"""`tamis evaluate`: what models know, how sure they are of it, what they copied, what they cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.commands.shared import Json, Work, errors, show

if TYPE_CHECKING:
    from tamis.proof.evaluating import Tell


def evaluate(
    models: Annotated[
        list[Path], typer.Argument(help="Run folders of `tamis train`, or folders of transformers (extra `hf`).")
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            help="Bits per byte on this, by domain: FILE:COLUMN (the column names the domain), [DOMAIN=]FILE, a "
            "folder, or [WORK:]NAME of a corpus; repeat for more.",
        ),
    ] = None,
    trained: Annotated[
        str | None,
        typer.Option(
            "--train",
            help="[WORK:]NAME of the corpus the models were trained on: the text is looked up in it and what it shares "
            "is left out; memorization by copies, and the gap of items that stand in it.",
        ),
    ] = None,
    items: Annotated[
        list[Path] | None,
        typer.Option("--items", help="Questions, JSON Lines or Parquet: `text`, `answer`, perhaps `options`."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="COLUMN=VALUE of the items; two values of one column are two sets."),
    ] = None,
    choices: Annotated[
        str | None, typer.Option("--choices", help="Options of items that have none of their own: `False,True`.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Items of each set and task.")] = None,
    write: Annotated[
        int, typer.Option("--write", min=0, help="Of so many items without options the answer is written out.")
    ] = 100,
    lm_eval: Annotated[
        str | None,
        typer.Option(
            "--lm-eval",
            help="Tasks of lm-evaluation-harness (extra `eval`), comma-separated: names or YAML files. Data must be "
            "on this machine.",
        ),
    ] = None,
    temperature: Annotated[
        bool, typer.Option("--temperature", help="Fit one on half of the answers, judge it on the other.")
    ] = False,
    bytes_: Annotated[int, typer.Option("--bytes", min=1000, help="Of text at most.")] = 1_000_000,
    context: Annotated[
        int | None, typer.Option("--context", min=2, help="Read rows of at most this many tokens.")
    ] = None,
    work: Work = Path("workspace"),
    out: Annotated[Path, typer.Option("--out", "-o", help="Where report, pictures and numbers go.")] = Path(
        "evaluation"
    ),
    threads: Annotated[int, typer.Option("--threads", min=1, help="Of PyTorch.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of resamples and of what is drawn.")] = 17,
    no_cost: Annotated[bool, typer.Option("--no-cost", help="Measure neither speed nor memory.")] = False,
    json_: Json = False,
) -> None:
    """Measures models, and compares each with the first: bits per byte by domain, calibration, questions, memorization,
    contamination, agreement, cost. Every number has its unit, direction, interval and count.

    Example: `tamis evaluate runs/6e7b --text wiki.parquet:topic --train main --items boolq.jsonl --choices False,True`

    Two models, the second against the first: `tamis evaluate runs/6e7b runs/4632 --text wiki.parquet`
    """
    from tamis.proof.subjects import check, load

    with errors():
        check(models)  # before anything that takes time
        from tamis.proof import evaluation_inputs, evaluation_report
        from tamis.proof.evaluating import evaluate as measured
        from tamis.proof.evaluation import NothingAsked, Options
        from tamis.proof.trained_on import TrainedOn

        if not text and not items and not lm_eval:
            raise NothingAsked("there is nothing to measure on: give --text, --items or --lm-eval")
        import torch

        torch.set_num_threads(threads)
        subjects = load(models, context)
        offered = evaluation_inputs.read_text(text, work, bytes_, seed) if text else None
        sets = evaluation_inputs.read_sets(items or [], where or [], choices, limit)
        corpus = TrainedOn(work, trained) if trained else None
        options = Options(
            limit_bytes=bytes_, write=write, temperature=temperature, cost=not no_cost, seed=seed, task_limit=limit,
            tasks=tuple(one.strip() for one in (lm_eval or "").split(",") if one.strip()),
        )  # fmt: skip
        with _bar() as tell:
            found = measured(subjects, text=offered, sets=sets, trained=corpus, options=options, tell=tell)
        evaluation_report.write(found, out)
        if json_:
            show(
                evaluation_report.finite(
                    found.to_json() | {"cost": found.cost_json(), "report": str(out / "report.md")}
                )
            )
        else:
            typer.echo(evaluation_report.render(found))
            typer.echo(f"report    {out / 'report.md'}")


@contextmanager
def _bar() -> Iterator[Tell]:
    """What is being done and how many tokens of it are read: in place on a terminal, else a line for each thing."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(24), TextColumn("{task.fields[read]}", markup=False),
        TimeElapsedColumn(), console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    doing, began = "", time.monotonic()
    with bar:
        task = bar.add_task("", total=None, read="")

        def tell(what: str, tokens: int) -> None:
            nonlocal doing, began
            if what != doing:
                doing, began = what, time.monotonic()
                bar.reset(task, description=what, total=None)
                if not console.is_terminal:
                    sys.stderr.write(f"{what}\n")
                    sys.stderr.flush()
            speed = tokens / max(time.monotonic() - began, 1e-3)
            bar.update(task, read=f"{tokens:,} tokens  {speed:,.0f}/s" if tokens else "")

        yield tell
