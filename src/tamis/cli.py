"""The command line: one thin command per verb. Everything heavy is imported by the command that needs it.

Exit codes: 0 done, 1 the data or a check says no, 2 wrong use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import tamis
from tamis.commands import audit, decontaminate, label, quality, scale
from tamis.commands import claim as claims
from tamis.commands import evaluate as evaluations
from tamis.commands import prove as proofs
from tamis.commands import rules as rule_verbs
from tamis.commands import train as training
from tamis.commands.shared import CorpusName, EngineName, Json, Refused, Work, Workers, errors, show

app = typer.Typer(
    name="tamis",
    help="A data engine for language models: from a raw crawl to training shards, with a receipt for every document."
    "\n\n"
    "Start with `tamis demo`, then `tamis run RECIPE.yaml`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


rules_app = typer.Typer(rich_markup_mode="markdown")


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"tamis {tamis.__version__}")
        raise typer.Exit


@app.command()
def demo(
    work: Work = Path("tamis-demo"),
    source: Annotated[
        str | None,
        typer.Option("--from", help="A Common Crawl WARC (file or URL) instead of this machine's own pages."),
    ] = None,
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """The whole way in under three minutes, without network or data: pages of this machine become token shards.

    Makes a crawl out of the Python installed here (docstrings, package descriptions, manual pages), writes it as
    `.warc.gz`, and runs a recipe on it: the same code as `tamis run`.

    Example: `tamis demo`, then open the report that it names.
    """
    from tamis import demonstration

    with errors():
        outcome = demonstration.run(work, source, workers)
        if json_:
            show(outcome.to_json())
        else:
            typer.echo("\n".join(demonstration.explain(outcome)))


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    work: Work = Path("workspace"),
    workers: Workers = None,
    engine: EngineName = "local",
    address: Annotated[str | None, typer.Option("--address", help="Of a Ray cluster, with `--engine ray`.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Drop corpora that stand on other documents.")] = False,
    json_: Json = False,
) -> None:
    """Runs a recipe: raw sources to a corpus and its token shards. Does only what is not done yet.

    Kill it whenever you like: the next run goes on at the first file that is missing, and the bytes are the same.

    Example: `tamis run web.yaml --work ./web`
    """
    from tamis import running

    with errors():
        outcome = running.run(recipe, work, workers, engine, replace, address)
        if json_:
            show(outcome.to_json())


@app.command()
def check(
    recipe: Annotated[Path | None, typer.Argument(help="The recipe, a YAML file.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes and leave.")] = False,
    json_: Json = False,
) -> None:
    """Validates a recipe without running it: keys, rules, signals, sources. Points at the line of a mistake.

    Example: `tamis check web.yaml`
    """
    from tamis import recipe as recipes
    from tamis import running

    if schema:
        show(recipes.schema())
        return
    if recipe is None:
        raise typer.BadParameter("name a recipe, or --schema")
    with errors():
        found = running.check(recipe)
        if json_:
            show(found)
        else:
            typer.echo(running.describe_check(recipe, found))


@app.command()
def why(
    document: Annotated[str, typer.Argument(help="An id, the beginning of one, or a URL.")],
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    json_: Json = False,
) -> None:
    """The receipt of one document: every rule's value and limit, what it lost to, its edits, what would keep it.

    Example: `tamis why 9f3c --work ./web`
    """
    from tamis.corpora import Corpus
    from tamis.verdicts import receipt, receipt_text
    from tamis.verdicts.lookup import Ambiguous, NotFound
    from tamis.workspace import Workspace

    with errors():
        reader = Corpus(Workspace(work), corpus)
        try:
            found = receipt.receipt(reader, document, signals=reader.catalogue)
        except (NotFound, Ambiguous) as error:
            raise Refused(str(error)) from None
        if json_:
            show(receipt.to_json(found))
        else:
            typer.echo(receipt_text.render(found))


@app.command("what-if")
def what_if(
    changes: Annotated[list[str], typer.Argument(help="RULE='expression' or RULE=off, any number of them.")],
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    examples: Annotated[int, typer.Option(min=0, help="Documents nearest to the line to show.")] = 5,
    json_: Json = False,
) -> None:
    """What other rules would win and lose, in seconds: nothing is measured again, nothing is written.

    Example: `tamis what-if top_2='repetition.top_2 <= 0.31' short=off`
    """
    from tamis.corpora import Corpus
    from tamis.verdicts import what_if as asking
    from tamis.verdicts import what_if_text
    from tamis.workspace import Workspace

    settings = dict(_setting(change) for change in changes)
    with errors():
        reader = Corpus(Workspace(work), corpus)
        answer = asking.what_if(
            reader, settings, signals=reader.catalogue, examples=examples, bytes_per_token=reader.bytes_per_token
        )
        if json_:
            show(asking.to_json(answer))
        else:
            typer.echo(what_if_text.render(answer))


@rules_app.callback(invoke_without_command=True)
def rules(
    context: typer.Context,
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    presets: Annotated[
        bool, typer.Option("--presets", help="The presets that come with Tamis, and their rules.")
    ] = False,
    signals: Annotated[
        bool,
        typer.Option(
            "--signals", help="Every signal that a rule may read, with its unit; of a recipe's own with --work."
        ),
    ] = False,
    json_: Json = False,
) -> None:
    """The rules of a corpus and how many documents each drops; or what presets and signals there are.

    Example: `tamis rules --signals`
    """
    if context.invoked_subcommand is not None:
        return
    from tamis import running
    from tamis.corpora import Corpus
    from tamis.workspace import Workspace

    with errors():
        if signals:
            given = [context.get_parameter_source(name) for name in ("work", "corpus")]
            asked = any(source is not None and source.name != "DEFAULT" for source in given)
            found = running.signal_list(Corpus(Workspace(work), corpus) if asked else None)
        elif presets:
            found = running.preset_list()
        else:
            found = running.rule_counts(work, corpus)
        show(found) if json_ else typer.echo(running.table(found))


@app.command()
def report(work: Work = Path("workspace"), corpus: CorpusName = "main", json_: Json = False) -> None:
    """Writes the report (one HTML file) and the data card of a corpus again, and says where they are.

    Example: `tamis report --work ./web`
    """
    from tamis import running
    from tamis.corpora import Corpus
    from tamis.workspace import Workspace

    with errors():
        paths = running.write_report(Corpus(Workspace(work), corpus))
        show({"report": str(paths[0]), "card": str(paths[1])}) if json_ else typer.echo("\n".join(map(str, paths)))


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A corpus, as [WORK:]NAME.")],
    after: Annotated[str, typer.Argument(help="Another one, as [WORK:]NAME.")],
    work: Work = Path("workspace"),
    json_: Json = False,
) -> None:
    """What two corpora have in common and what not: documents, tokens, recipe, by source, language and reason.

    Example: `tamis diff main strict`, or `tamis diff ./old:main ./new:main`
    """
    from tamis import running

    with errors():
        found = running.compare(before, after, work)
        show(found.to_json()) if json_ else typer.echo(found.render())


@app.command()
def doctor(
    work: Annotated[Path | None, typer.Option("--work", "-w", help="Also verify this workspace.")] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Forget damaged files, which `tamis run` then makes again; remove what killed runs left."
        ),
    ] = False,
    json_: Json = False,
) -> None:
    """Says which kernels and packages are in use; with --work, verifies every file against its manifest.

    Names what is damaged, the corpora that need it and the command that makes it again, and what killed runs left.

    Example: `tamis doctor --work ./web`
    """
    from tamis.doctor import describe, examine

    with errors():
        found = examine(work, repair)
        show(found) if json_ else typer.echo(describe(found))
        if found.get("damaged") and not repair:
            count = len(found["damaged"])
            raise Refused(
                f"{count} {'file is' if count == 1 else 'files are'} damaged or missing: `tamis doctor --work {work} "
                "--repair` forgets them, then `tamis run` makes them again."
            )


rules_app.command("diff")(rule_verbs.diff)
rules_app.command("tune")(rule_verbs.tune)
app.add_typer(rules_app, name="rules")
app.add_typer(decontaminate.app, name="decontaminate")
app.add_typer(audit.app, name="audit")
app.add_typer(label.app, name="label")
app.add_typer(quality.app, name="quality")
app.add_typer(scale.app, name="scale")
app.command()(claims.claim)
app.command()(evaluations.evaluate)
app.command()(proofs.prove)
app.command()(training.train)


def _setting(change: str) -> tuple[str, str | bool]:
    name, equals, value = change.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise typer.BadParameter(f"{change!r} is not RULE='expression' or RULE=off")
    return name.strip(), value.strip()


def main() -> None:
    """The entry point of the console script."""
    app(prog_name="tamis")
