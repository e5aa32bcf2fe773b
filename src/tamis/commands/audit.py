"""Verbs of `tamis audit`: a sample for people, their verdicts read back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tamis.commands.shared import CorpusName, Json, Work, errors, show
from tamis.errors import WrongUse

app = typer.Typer(
    no_args_is_help=True,
    help="How good are the decisions? Draw a sample for people, read their verdicts back.",
)

Number = Annotated[int, typer.Option("--n", min=1, help="Examples; half of them near misses.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Another seed draws other examples.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="sample.jsonl for a label task, sample.html to judge at once.")]


@app.command()
def dedup(
    out: Out,
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    n: Number = 100,
    seed: Seed = 17,
    as_json: Json = False,
) -> None:
    """Draws dropped duplicates and near misses, as pairs of texts with what they share.

    tamis audit dedup --work W --n 200 --out sample.html
    """
    _draw("dedup", work, corpus, n, seed, out, as_json)


@app.command()
def decontamination(
    out: Out,
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    n: Number = 100,
    seed: Seed = 17,
    as_json: Json = False,
) -> None:
    """Draws documents that hold an evaluation item, and documents that hold a piece of one.

    tamis audit decontamination --work W --out sample.jsonl
    """
    _draw("decontamination", work, corpus, n, seed, out, as_json)


def _draw(kind: str, work: Path, corpus: str, n: int, seed: int, out: Path, as_json: bool) -> None:
    with errors():
        if out.suffix.lower() not in (".jsonl", ".html", ".htm"):
            raise WrongUse(
                f"--out {out}: name a file that ends in .jsonl (for a label task) or .html (to judge at once)"
            )
        from tamis.audit import sample
        from tamis.corpora import Corpus
        from tamis.workspace import Workspace

        space = Workspace(work)
        with space.locked():
            design = sample.write(Corpus(space, corpus), kind, n, seed, out)
        if as_json:
            show({**design, "out": str(out)})
            return
        width = max(len(band["name"]) for band in design["bands"])
        for band in design["bands"]:
            side = "dropped" if band["decided"] else "kept"
            typer.echo(f"{band['name']:<{width}}  {side:<7}  {band['drawn']:>5,} of {band['total']:,}")
        typer.echo(f"{out}: judge the examples, then `tamis audit read VERDICTS.csv --work {work}`", err=True)


@app.command()
def read(
    verdicts: Annotated[Path, typer.Argument(help="CSV or JSONL with the columns example, label and maybe rater.")],
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    as_json: Json = False,
) -> None:
    """Precision and recall from people's verdicts on the last sample, with 95% intervals; noted for the report.

    tamis audit read verdicts.csv --work W
    """
    with errors():
        from tamis.audit import estimate
        from tamis.corpora import Corpus
        from tamis.workspace import Workspace

        space = Workspace(work)
        with space.locked():
            result = estimate.read(Corpus(space, corpus), verdicts)
        if as_json:
            show(result)
            return
        for line in lines(result):
            typer.echo(line)


def lines(result: dict[str, Any]) -> list[str]:
    """An audit's result for people."""
    raters = f"{result['raters']} rater" + ("s" if result["raters"] > 1 else "")
    out = [f"{result['kind']} at {result['threshold']:g}: {result['judged']:,} of {result['drawn']:,} judged, {raters}"]
    for name in ("precision", "recall"):
        found = result[name]
        if found is None:
            out.append(f"{name:9}  nothing to tell it from")
        else:
            value = "   ?  " if found["value"] is None else f"{found['value']:6.1%}"
            out.append(f"{name:9}  {value}  ({found['low']:.1%} to {found['high']:.1%})")
    width = max(len(band["name"]) for band in result["bands"])
    for band in result["bands"]:
        side = "dropped" if band["decided"] else "kept"
        out.append(
            f"  {band['name']:<{width}}  {side:<7}  {band['true']:,} of {band['judged']:,} true"
            f"  ({band['low']:.0%} to {band['high']:.0%})  of {band['total']:,}"
        )
    return out
