"""Verbs of `tamis label` that carry labels in and out of their database, and prove and pay them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tamis.commands.label_database import DatabaseName, Target, address_of, opened, say
from tamis.commands.shared import Json, Refused, errors, show


def verify(
    target: Target,
    anchor: Annotated[str | None, typer.Option(help="A head written down before, as SEQ:HASH.")] = None,
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """Proves that no label and no row of the journal was altered, removed or moved. Prints the head of the chain.

    Write the head down elsewhere (in a commit, a letter): with `--anchor` it proves later that nothing was cut off.

    Example: `tamis label verify preference.yaml`
    """
    with opened(target, database) as store:
        found = store.verify(anchor)
        if json_:
            show({**asdict(found), "head": str(found.head)})
        else:
            told = f", {found.erased:,} of them erased" if found.erased else ""
            typer.echo(f"{found.rows:,} rows of the journal, {found.labels:,} labels{told}\nhead {found.head}")
        if not found.ok:
            raise Refused("\n  ".join(["the labels are not what they were:", *found.problems]))


def export(
    target: Target,
    out: Annotated[Path, typer.Argument(help="The file to write: .jsonl or .parquet; .json for other tools.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="annotations, classification, sft, preference, reward, label-studio or argilla.",
        ),
    ] = "annotations",
    method: Annotated[str, typer.Option(help="How labels are aggregated; `none` for final labels alone.")] = "auto",
    prompt: Annotated[str | None, typer.Option(help="The field that is the prompt.")] = None,
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """Writes labels with their evidence: posterior, n, pseudonyms, guideline, seconds, final decisions.

    Example: `tamis label export preference.yaml pairs.jsonl --format preference`
    """
    from tamis.people import exchange
    from tamis.people.exchange.training import must_fit

    with opened(target, database) as store:
        must_fit(format_, [question.kind for question in store.task.questions] or [store.task.kind])
        aggregated = store.aggregated(None if method == "none" else method)
        written = exchange.write(store.annotations(), aggregated, format=format_, path=out, prompt=prompt)
        told = f", {written.unused:,} examples unused: {written.unused_path}" if written.unused else ""
        show(asdict(written)) if json_ else typer.echo(f"{written.path}: {written.rows:,} rows{told}")


def import_(
    target: Target,
    file: Annotated[Path, typer.Argument(help="What `export` wrote, or Label Studio's or Argilla's JSON.")],
    format_: Annotated[str | None, typer.Option("--format", "-f", help="Told from the file where absent.")] = None,
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """Brings labels in. What is here already is left alone; overlap is never exceeded: the rest is kept as surplus.

    Example: `tamis label import preference.yaml annotations.jsonl`
    """
    from tamis.people import exchange
    from tamis.people import task as tasks
    from tamis.people.store import Store

    with errors():
        task = tasks.load(target) if target.endswith((".yaml", ".yml")) else None
        with Store.open(address_of(target, database), task) as store:
            read = exchange.read(file, format_)
            found = store.bring_in(read.annotations)
            problems = [*read.problems, *found.problems]
            if json_:
                show({**asdict(found), "left_out": read.left_out, "problems": problems})
            else:
                left = "".join(f", {n:,} left out ({why})" for why, n in sorted(read.left_out.items()))
                typer.echo(f"{found.added:,} added, {found.known:,} here already, {found.surplus:,} surplus{left}")
            for problem in _together(problems)[:20]:
                say(f"  {problem}")
            if problems:
                raise Refused(f"{len(problems):,} rows could not be brought in.")


def pay(target: Target, database: DatabaseName = None, json_: Json = False) -> None:
    """The pay ledger as CSV: answers, hours, piece rate, bonus, and what an hour comes to.

    Example: `tamis label pay preference.yaml > pay.csv`
    """
    with opened(target, database) as store:
        found = store.ledger()
        show(asdict(found)) if json_ else typer.echo(found.to_csv(), nl=False)
        if found.below:
            names = ", ".join(line.rater for line in found.below)
            wanted = f"{found.hourly:g} {found.currency}"
            say(f"{names}: an hour comes to less than {wanted}; a fair piece rate is {found.fair_piece}")


def backup(
    target: Target,
    out: Annotated[Path, typer.Argument(help="A new file: .sqlite for a copy, .jsonl.gz for an archive.")],
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """Copies the database while the server runs. An archive (.jsonl.gz) restores into SQLite and PostgreSQL alike.

    Example: `tamis label backup preference.yaml monday.jsonl.gz`
    """
    with opened(target, database) as store:
        head = store.backup(out)
        show({"path": str(out), "head": str(head)}) if json_ else typer.echo(f"{out}\nhead {head}")


def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    database: Annotated[str, typer.Argument(help="An empty database: a new SQLite file or postgresql+psycopg://...")],
    json_: Json = False,
) -> None:
    """Fills an empty database from a backup and verifies the journal in it.

    Example: `tamis label restore monday.jsonl.gz labels/preference.sqlite`
    """
    from tamis.people.store.backup import restore as fill

    with errors():
        found = fill(file, database)
        body = {**asdict(found), "head": str(found.head)}
        show(body) if json_ else typer.echo(f"{found.rows:,} rows of the journal, {found.labels:,} labels")
        if not found.ok:
            raise Refused("\n  ".join(["the backup was of labels that had been altered:", *found.problems]))


def _together(problems: list[str]) -> list[str]:
    """Problems of rows, those for one reason in one sentence."""
    groups: dict[str, list[str]] = {}
    for problem in problems:
        found = re.fullmatch(r"(example .*?, rater .*?): (.*)", problem, re.DOTALL)
        place, reason = found.groups() if found else ("", problem)
        groups.setdefault(reason, []).append(place)
    return [
        f"{len(places):,} rows: {reason} (the first: {places[0]})" if len(places) > 1 and places[0]
        else f"{places[0]}: {reason}" if places[0] else reason
        for reason, places in groups.items()
    ]  # fmt: skip


VERBS: dict[str, Callable[..., None]] = {
    "export": export,
    "import": import_,
    "pay": pay,
    "verify": verify,
    "backup": backup,
    "restore": restore,
}
