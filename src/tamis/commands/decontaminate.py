"""Verbs of `tamis decontaminate`: evaluation sets as a corpus sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tamis.commands.shared import CorpusName, Json, Work, errors, show

app = typer.Typer(no_args_is_help=True, help="Evaluation items in a corpus.")


@app.callback()
def _verbs() -> None:
    """Evaluation items in a corpus; the recipe's `decontaminate` finds them."""


@app.command()
def report(
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    threshold: Annotated[float | None, typer.Option("--threshold", help="In place of the recipe's rule.")] = None,
    as_json: Json = False,
) -> None:
    """Of every evaluation set: items found in the documents, and in those that were kept.

    tamis decontaminate report --work W
    """
    with errors():
        from tamis.audit.contaminated import contaminated
        from tamis.corpora import Corpus
        from tamis.workspace import Workspace

        result = contaminated(Corpus(Workspace(work), corpus), threshold)
        if as_json:
            show(result)
            return
        width = max([3, *(len(row["set"]) for row in result["sets"])])
        typer.echo(f"{'set':<{width}}  {'items':>8}  {'found':>8}  {'share':>6}  {'in kept':>8}  documents  kept")
        for row in result["sets"]:
            typer.echo(
                f"{row['set']:<{width}}  {row['items']:>8,}  {row['found']:>8,}  {row['share']:>6.1%}  "
                f"{row['in_kept']:>8,}  {row['documents']:>9,}  {row['kept_documents']:>4,}"
            )
        typer.echo(f"items with a score of at least {result['threshold']:g}", err=True)
