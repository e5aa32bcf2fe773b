"""`tamis rules diff` and `tamis rules tune`: rule sets side by side, and thresholds from two corpora."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.commands.shared import CorpusName, Json, Work, errors, show

if TYPE_CHECKING:
    from tamis.corpora import Corpus
    from tamis.verdicts.rules import RuleSet


def diff(
    first: Annotated[str, typer.Argument(help="A preset, a corpus as [WORK:]NAME, or a recipe (.yaml).")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    documents: Annotated[
        int | None, typer.Option("--documents", "-n", min=1, help="How many to look at, spread evenly.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Documents nearest to the line to show.")] = 5,
    json_: Json = False,
) -> None:
    """Where two rule sets disagree on the documents of a workspace: per rule, overall, with examples at the line.

    Signals that the workspace has are read; others are measured for the answer on 2,000 documents spread evenly, or
    on as many as --documents says. Duplicates are not looked at. Nothing is written.

    Example: `tamis rules diff gopher@paper gopher@datatrove-0.10~ --work ./web`
    """
    from tamis.corpora import Corpus
    from tamis.verdicts import disagreement
    from tamis.workspace import Workspace

    with errors():
        reader = Corpus(Workspace(work), corpus)
        sets = (_rules(first, reader), _rules(second, reader))
        found = disagreement.disagreement(
            reader,
            (first, second),
            sets,
            line_filters=reader.known["trims"],
            documents=documents,
            examples=examples,
        )
        show(found.to_json()) if json_ else typer.echo(disagreement.render(found))


def tune(
    good: Annotated[
        list[str], typer.Option("--good", help="A corpus, [WORK:]NAME, or files of texts; repeat for more.")
    ],
    bad: Annotated[list[str], typer.Option("--bad", help="As --good, of the other kind.")],
    work: Work = Path("workspace"),
    text_field: Annotated[
        str, typer.Option("--text-field", help="Of Parquet and JSON Lines: the text's field.")
    ] = "text",
    where_good: Annotated[
        str | None, typer.Option("--where-good", help="Of --good, only rows with FIELD=VALUE.")
    ] = None,
    where_bad: Annotated[str | None, typer.Option("--where-bad", help="Of --bad, only rows with FIELD=VALUE.")] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", "-g", help="Signal groups; text, repetition and final if absent.")
    ] = None,
    documents: Annotated[
        int, typer.Option("--documents", "-n", min=30, help="How many of each kind, drawn from all of them.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Decides which are drawn.")] = 17,
    most_good: Annotated[
        float, typer.Option("--most-good", min=0.0, max=0.5, help="Share of good documents that a rule may remove.")
    ] = 0.05,
    rules: Annotated[int, typer.Option("--rules", min=1, help="How many candidates to print.")] = 10,
    json_: Json = False,
) -> None:
    """Candidate thresholds from a good and a bad corpus, by the distance of their distributions, as FineWeb's were.

    Prints every numeric signal with its distance, and rules ready for a recipe. They are candidates: prove them.

    Example: `tamis rules tune --good gold.jsonl --bad main --work ./web`
    """
    from tamis.quality.reading import Texts
    from tamis.signals import GROUPS
    from tamis.verdicts import tune as tuning

    groups = tuple(group or tuning.DEFAULT_GROUPS)
    for name in groups:
        if name not in GROUPS:
            raise typer.BadParameter(f"there is no signal group {name}; there are {', '.join(GROUPS)}")
    with errors():
        one, two = (
            tuning.measured(Texts(tuple(names), work, text_field, where), groups, documents, seed)
            for names, where in ((good, where_good), (bad, where_bad))
        )
        found = tuning.tune(one, two, tuning.numeric_signals(groups), most_good=most_good, show=rules)
        show(found.to_json()) if json_ else typer.echo(tuning.render(found))


def _rules(name: str, reader: Corpus) -> RuleSet:
    """The rules of a preset, of a recipe, or of a corpus. A preset may read what the recipe of `reader` measured."""
    from tamis import recipe
    from tamis.corpora import Corpus
    from tamis.pipeline import rules_of
    from tamis.verdicts.rules import RuleError, load_rules, preset_names
    from tamis.workspace import Workspace, WorkspaceError
    from tamis.yaml_models import near

    if name in preset_names():
        return load_rules([name], {}, reader.catalogue)
    if name.endswith((".yaml", ".yml")):
        return rules_of(recipe.load(Path(name)))
    folder, colon, last = name.rpartition(":")
    try:
        return Corpus(Workspace(folder) if colon else reader.work, last).rules
    except WorkspaceError as error:
        if colon:
            raise
        close = [preset for preset in preset_names() if preset.startswith(f"{name}@")]
        hint = f"; did you mean {' or '.join(close)}?" if close else near(name, list(preset_names()))
        raise RuleError(
            f"{name} is no preset ({', '.join(preset_names())}), no .yaml file, and {error}{hint}", ()
        ) from None
