"""Verbs of `tamis label` for the server and the people who use it: serve, invite, reset-password, erase, schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.commands.label_database import DatabaseName, Target, address_of, opened, say, somebody
from tamis.commands.shared import Json, Refused, errors, show

if TYPE_CHECKING:
    from tamis.people.store import Store
    from tamis.people.task import LabelTask

ROLES = ("rater", "adjudicator", "owner")  # of people; models come by `judge` and `import`


def serve(
    task: Annotated[Path, typer.Argument(help="The task, a YAML file.")],
    database: DatabaseName = None,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for all (use a proxy with TLS).")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    https: Annotated[bool, typer.Option("--https", help="People reach it by https: through a proxy.")] = False,
    root_path: Annotated[str, typer.Option(help="The prefix that the proxy strips, as /label.")] = "",
    trusted: Annotated[str, typer.Option(help="Proxies whose forwarded addresses are believed, by commas.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Serves a labelling task: one process, one file. The first start prints a link that makes the owner's account.

    Stop it whenever you like: every acknowledged answer is on disk.

    Example: `tamis label serve examples/preference.yaml`
    """
    from tamis.people import task as tasks
    from tamis.people.store import Store
    from tamis.web.app import serve as run
    from tamis.web.settings import WebSettings

    with errors():
        loaded = tasks.load(task)
        address = address_of(str(task), database)
        new = "://" not in address and not Path(address).exists()
        if new:  # whatever refuses the task or the port leaves no database behind
            loaded.check_files()
        _listens(host, port)
        proxies = tuple(part.strip() for part in trusted.split(",") if part.strip())
        with Store.open(address, loaded) as store:
            settings = WebSettings(secret=store.secret, https=https, root_path=root_path, trusted_proxies=proxies)
            here = f"{'https' if https else 'http'}://{host}:{port}{root_path}"
            if new:
                say(f"a new database: {Path(address).absolute()} (for one elsewhere, give --database)")
            examples = store.progress().examples
            say(f"{loaded.name}: {examples:,} examples in {store.database.name}; {here}")
            if (unearned := _unearned(loaded, examples)) is not None:
                say(f"warning: {unearned}")
            _keep_url(store, here)
            if kept := store.guideline_kept():
                say(f"Guideline {kept.number}, written on the owner's page, stays: the task's file has not changed.")
            if not store.has_owner():
                say(f"Make the owner's account (once, within 7 days): {here}/join/{store.invite('owner')}")
            run(store, loaded, host, port, settings)


def _listens(host: str, port: int) -> None:
    """Raises Refused where the address cannot be listened on."""
    import socket

    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise Refused(f"{host}:{port}: {error.strerror or error}; choose another --port or --host") from None


def _unearned(task: LabelTask, examples: int) -> str | None:
    """Why a bonus cannot be earned, or None."""
    from tamis.people import examples as rows
    from tamis.people.pay import out_of_reach

    if task.pay is None or task.pay.bonus is None:
        return None
    gold = sum(1 for _ in rows.read(task, task.gold.path, answers=True)) if task.gold else 0
    return out_of_reach(task.pay, task.gold.share if task.gold else 0.0, gold, examples)


def _keep_url(store: Store, url: str) -> None:
    """Keeps where the server was reached last, for the links of `invite` and `reset-password`."""
    with store.database.reading_one() as c:
        known = c.meta("url")
    if known != url:
        store.database.write(lambda c: c.set_meta("url", url)).result()


def _base(store: Store, url: str | None) -> str:
    """Where a link leads: the given address, else the one that `serve` printed last, which is told."""
    if url is None:
        with store.database.reading_one() as c:
            url = c.meta("url") or "http://127.0.0.1:8765"
        say(f"the link is for the server at {url}; if people reach it elsewhere, give --url")
    return url.rstrip("/")


def invite(
    target: Target,
    role: Annotated[str, typer.Option(help="rater, adjudicator or owner.")] = "rater",
    email: Annotated[str | None, typer.Option(help="Only this address may use it.")] = None,
    days: Annotated[float, typer.Option(min=0.01, help="How long it can be used.")] = 7.0,
    url: Annotated[str | None, typer.Option(help="Where people reach the server; as `serve` said if absent.")] = None,
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """Makes a link for one new account.

    Example: `tamis label invite preference.yaml --email ada@example.org --url https://labels.example.org`
    """
    if role not in ROLES:
        raise typer.BadParameter(f"there is no role {role}: {', '.join(ROLES)}", param_hint="--role")
    with opened(target, database) as store:
        link = f"{_base(store, url)}/join/{store.invite(role, None, email, days)}"  # type: ignore[arg-type]
        show({"link": link, "role": role}) if json_ else typer.echo(link)


def reset_password(
    target: Target,
    who: Annotated[str, typer.Argument(help="E-mail address or pseudonym.")],
    url: Annotated[str | None, typer.Option(help="Where people reach the server; as `serve` said if absent.")] = None,
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """Makes a link with which somebody sets a new password, once and within a day.

    Example: `tamis label reset-password preference.yaml ada@example.org`
    """
    with opened(target, database) as store:
        link = f"{_base(store, url)}/reset/{store.reset_token(somebody(store, who))}"
        show({"link": link}) if json_ else typer.echo(link)


def erase(
    target: Target,
    who: Annotated[str, typer.Argument(help="E-mail address or pseudonym.")],
    texts: Annotated[bool, typer.Option("--texts", help="Also what they wrote: free text and rewrites.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    database: DatabaseName = None,
) -> None:
    """Erases a rater's personal data. Labels stay under the pseudonym, and the journal still verifies.

    Backups that were made before still hold the data: make a new one and remove the old ones.

    Example: `tamis label erase preference.yaml ada@example.org --texts`
    """
    with opened(target, database) as store:
        number = somebody(store, who)
        if not yes:
            typer.confirm(f"Erase {who} for good?", abort=True, err=True)
        store.erase(number, None, texts)
        say(f"{who} is erased.")


def schema() -> None:
    """Prints the JSON Schema of task files.

    Example: `tamis label schema > task.schema.json`
    """
    from tamis.people import task as tasks

    show(tasks.schema())


VERBS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "invite": invite,
    "reset-password": reset_password,
    "erase": erase,
    "schema": schema,
}
