"""How verbs of `tamis label` name and open the labels' database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.commands.shared import Refused, errors

if TYPE_CHECKING:
    from tamis.people.store import Store

Target = Annotated[str, typer.Argument(help="The task's YAML file, its SQLite file, or postgresql+psycopg://...")]
DatabaseName = Annotated[
    str | None,
    typer.Option("--database", "-d", help="SQLite file or postgresql+psycopg://...; labels/NAME.sqlite where absent."),
]


def address_of(target: str, database: str | None) -> str:
    """A task's database is labels/NAME.sqlite under the current folder; anything else is the database itself."""
    if database is not None:
        return database
    if target.endswith((".yaml", ".yml")):
        from tamis.people import task as tasks

        return str(Path("labels") / f"{tasks.load(target).name}.sqlite")
    return target


@contextmanager
def opened(target: str, database: str | None) -> Iterator[Store]:
    from tamis.people.store import Store

    with errors(), Store.open(address_of(target, database)) as store:
        yield store


def say(text: str) -> None:
    typer.echo(text, err=True)


def somebody(store: Store, who: str) -> int:
    """The number of an account by its e-mail address or pseudonym."""
    for rater in store.raters():
        if who.strip().lower() in (rater.email, rater.pseudonym):
            return rater.id
    raise Refused(f"there is no account {who}: give an e-mail address or a pseudonym (r-...)")
