"""Verbs of `tamis label` that settle labels: adjudicate and relabel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tamis.commands.label_database import DatabaseName, Target, opened, say, somebody
from tamis.commands.shared import Json, show
from tamis.errors import WrongUse


class NotAnAnswer(ValueError, WrongUse):
    """What is given as a final label does not fit the question."""


def adjudicate(
    target: Target,
    example: Annotated[str | None, typer.Argument(help="The example to decide; without, the queue is listed.")] = None,
    value: Annotated[str | None, typer.Argument(help="Its final label: a word, or JSON.")] = None,
    why: Annotated[str, typer.Option(help="The reason; it stays with the label.")] = "",
    by: Annotated[str | None, typer.Option(help="Whose decision, needed for one: e-mail address or pseudonym.")] = None,
    least: Annotated[float, typer.Option(min=0, max=1, help="List what has a lower posterior than this.")] = 0.8,
    method: Annotated[str, typer.Option(help="How labels are aggregated first; `none` to leave posteriors.")] = "auto",
    limit: Annotated[int, typer.Option(min=1)] = 20,
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """Lists examples that need a decision, the least certain first, or decides one.

    Listing aggregates the labels first and keeps the posteriors in the database, which also the web page's queue goes
    by from then on: an example that raters dispute leaves it where its posterior is high enough. `--method none` only
    lists. A decision on an example that has one counts in its place; the earlier one stays in the journal.

    Example: `tamis label adjudicate preference.yaml pair-7 response_a --why "b invents a source" --by ada@example.org`
    """
    from tamis.people.answers import BadAnswer

    with opened(target, database) as store:
        if example is not None:
            if value is None:
                raise typer.BadParameter("give the final label too")
            if by is None:
                raise typer.BadParameter("say whose decision it is: --by, with an e-mail address or a pseudonym")
            plain = store.task.kind in ("choice", "pairwise", "text", "rewrite")
            before = next((one for one in store.finals() if one.example == example), None)
            try:
                store.adjudicate(example, value if plain else _json(value), somebody(store, by), why)
            except BadAnswer as error:
                raise NotAnAnswer(f"{_short(value)} cannot be the final label of {example}: {error}") from None
            told = f": {_short(before.value)} ({before.why})" if before else ""
            say(f"{example} is decided." + (f" This replaces the decision of {before.by}{told}." if before else ""))
            return
        if method != "none" and len(store.matrix()):
            store.aggregate(method)
        found = store.adjudication(least, limit)
        if json_:
            show([asdict(one) for one in found])
            return
        for one in found:
            given = ", ".join(f"{rater} {_short(answer)}" for rater, answer, _, _ in one.answers)
            typer.echo(f"{one.example}\t{one.why}\t{given}")
        if not found:
            say("nothing needs a decision")


def relabel(
    target: Target,
    apply: Annotated[bool, typer.Option("--apply", help="Open the slots; without, they are only listed.")] = False,
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """What a change of the guideline leaves to be labelled again, and the agreement before and after it.

    Example: `tamis label relabel preference.yaml`
    """
    with opened(target, database) as store:
        stale = store.stale()
        body: dict[str, Any] = {
            "labels": stale.labels,
            "examples": list(stale.examples),
            "agreement": [
                {"guideline": guideline.hash, "number": guideline.number, **found.to_json()}
                for guideline, found in store.guideline_effect()
            ],
            "reopened": store.relabel(None) if apply else 0,
        }
        if json_:
            show(body)
            return
        typer.echo(f"{stale.labels:,} labels of {len(stale.examples):,} examples are under an older guideline")
        for guideline, found in store.guideline_effect():
            typer.echo(f"guideline {guideline.number} ({guideline.hash[:8]}): {found}")
        if apply:
            typer.echo(f"{body['reopened']:,} slots are open again")


def _json(text: str) -> Any:
    """A word as it is, anything else as JSON."""
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


VERBS: dict[str, Callable[..., None]] = {
    "adjudicate": adjudicate,
    "relabel": relabel,
}
