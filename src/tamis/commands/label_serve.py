"""Verbs of `tamis label` that stand on the labels' database: serve, invite, export, import, adjudicate, verify, ..."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.commands.shared import Json, Refused, errors, show
from tamis.errors import WrongUse

if TYPE_CHECKING:
    from tamis.people.store import Store
    from tamis.people.task import LabelTask

Target = Annotated[str, typer.Argument(help="The task's YAML file, its SQLite file, or postgresql+psycopg://...")]
DatabaseName = Annotated[
    str | None,
    typer.Option("--database", "-d", help="SQLite file or postgresql+psycopg://...; labels/NAME.sqlite where absent."),
]

ROLES = ("rater", "adjudicator", "owner")  # of people; models come by `judge` and `import`


class NotAnAnswer(ValueError, WrongUse):
    """What is given as a final label does not fit the question."""


def _address(target: str, database: str | None) -> str:
    """A task's database is labels/NAME.sqlite under the current folder; anything else is the database itself."""
    if database is not None:
        return database
    if target.endswith((".yaml", ".yml")):
        from tamis.people import task as tasks

        return str(Path("labels") / f"{tasks.load(target).name}.sqlite")
    return target


@contextmanager
def _opened(target: str, database: str | None) -> Iterator[Store]:
    from tamis.people.store import Store

    with errors(), Store.open(_address(target, database)) as store:
        yield store


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _somebody(store: Store, who: str) -> int:
    """The number of an account by its e-mail address or pseudonym."""
    for rater in store.raters():
        if who.strip().lower() in (rater.email, rater.pseudonym):
            return rater.id
    raise Refused(f"there is no account {who}: give an e-mail address or a pseudonym (r-...)")


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
        address = _address(str(task), database)
        new = "://" not in address and not Path(address).exists()
        if new:  # whatever refuses the task or the port leaves no database behind
            loaded.check_files()
        _listens(host, port)
        proxies = tuple(part.strip() for part in trusted.split(",") if part.strip())
        with Store.open(address, loaded) as store:
            settings = WebSettings(secret=store.secret, https=https, root_path=root_path, trusted_proxies=proxies)
            here = f"{'https' if https else 'http'}://{host}:{port}{root_path}"
            if new:
                _say(f"a new database: {Path(address).absolute()} (for one elsewhere, give --database)")
            examples = store.progress().examples
            _say(f"{loaded.name}: {examples:,} examples in {store.database.name}; {here}")
            if (unearned := _unearned(loaded, examples)) is not None:
                _say(f"warning: {unearned}")
            _keep_url(store, here)
            if kept := store.guideline_kept():
                _say(f"Guideline {kept.number}, written on the owner's page, stays: the task's file has not changed.")
            if not store.has_owner():
                _say(f"Make the owner's account (once, within 7 days): {here}/join/{store.invite('owner')}")
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
        _say(f"the link is for the server at {url}; if people reach it elsewhere, give --url")
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
    with _opened(target, database) as store:
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
    with _opened(target, database) as store:
        link = f"{_base(store, url)}/reset/{store.reset_token(_somebody(store, who))}"
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
    with _opened(target, database) as store:
        number = _somebody(store, who)
        if not yes:
            typer.confirm(f"Erase {who} for good?", abort=True, err=True)
        store.erase(number, None, texts)
        _say(f"{who} is erased.")


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
    with _opened(target, database) as store:
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

    with _opened(target, database) as store:
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
        with Store.open(_address(target, database), task) as store:
            read = exchange.read(file, format_)
            found = store.bring_in(read.annotations)
            problems = [*read.problems, *found.problems]
            if json_:
                show({**asdict(found), "left_out": read.left_out, "problems": problems})
            else:
                left = "".join(f", {n:,} left out ({why})" for why, n in sorted(read.left_out.items()))
                typer.echo(f"{found.added:,} added, {found.known:,} here already, {found.surplus:,} surplus{left}")
            for problem in _together(problems)[:20]:
                _say(f"  {problem}")
            if problems:
                raise Refused(f"{len(problems):,} rows could not be brought in.")


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

    with _opened(target, database) as store:
        if example is not None:
            if value is None:
                raise typer.BadParameter("give the final label too")
            if by is None:
                raise typer.BadParameter("say whose decision it is: --by, with an e-mail address or a pseudonym")
            plain = store.task.kind in ("choice", "pairwise", "text", "rewrite")
            before = next((one for one in store.finals() if one.example == example), None)
            try:
                store.adjudicate(example, value if plain else _json(value), _somebody(store, by), why)
            except BadAnswer as error:
                raise NotAnAnswer(f"{_short(value)} cannot be the final label of {example}: {error}") from None
            told = f": {_short(before.value)} ({before.why})" if before else ""
            _say(f"{example} is decided." + (f" This replaces the decision of {before.by}{told}." if before else ""))
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
            _say("nothing needs a decision")


def relabel(
    target: Target,
    apply: Annotated[bool, typer.Option("--apply", help="Open the slots; without, they are only listed.")] = False,
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """What a change of the guideline leaves to be labelled again, and the agreement before and after it.

    Example: `tamis label relabel preference.yaml`
    """
    with _opened(target, database) as store:
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


def pay(target: Target, database: DatabaseName = None, json_: Json = False) -> None:
    """The pay ledger as CSV: answers, hours, piece rate, bonus, and what an hour comes to.

    Example: `tamis label pay preference.yaml > pay.csv`
    """
    with _opened(target, database) as store:
        found = store.ledger()
        show(asdict(found)) if json_ else typer.echo(found.to_csv(), nl=False)
        if found.below:
            names = ", ".join(line.rater for line in found.below)
            wanted = f"{found.hourly:g} {found.currency}"
            _say(f"{names}: an hour comes to less than {wanted}; a fair piece rate is {found.fair_piece}")


def backup(
    target: Target,
    out: Annotated[Path, typer.Argument(help="A new file: .sqlite for a copy, .jsonl.gz for an archive.")],
    database: DatabaseName = None,
    json_: Json = False,
) -> None:
    """Copies the database while the server runs. An archive (.jsonl.gz) restores into SQLite and PostgreSQL alike.

    Example: `tamis label backup preference.yaml monday.jsonl.gz`
    """
    with _opened(target, database) as store:
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


def schema() -> None:
    """Prints the JSON Schema of task files.

    Example: `tamis label schema > task.schema.json`
    """
    from tamis.people import task as tasks

    show(tasks.schema())


def _json(text: str) -> Any:
    """A word as it is, anything else as JSON."""
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


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


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


VERBS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "invite": invite,
    "adjudicate": adjudicate,
    "relabel": relabel,
    "export": export,
    "import": import_,
    "pay": pay,
    "verify": verify,
    "backup": backup,
    "restore": restore,
    "reset-password": reset_password,
    "erase": erase,
    "schema": schema,
}
