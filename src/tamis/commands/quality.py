"""`tamis quality`: models of text as signals: classifiers, n-gram models, importance weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tamis.commands.shared import CorpusName, Json, Work, errors, show

app = typer.Typer(
    name="quality",
    help="Models of text that become signals: learned quality, perplexity, importance.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Names = list[str]
Out = Annotated[Path, typer.Option("--out", "-o", help="The model's file.")]
Licence = Annotated[str, typer.Option("--licence", help="A note that is written into the model.")]
TextField = Annotated[str, typer.Option("--text-field", help="Of Parquet and JSON Lines: the field of the text.")]
Where = Annotated[str | None, typer.Option("--where", help="Only rows with FIELD=VALUE.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the sample, the folds and the order of training.")]


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _room_for(out: Path) -> None:
    """Makes the folder of a model's file, before hours of training. Raises WrongUse where `out` is a folder."""
    from tamis.errors import WrongUse

    if out.is_dir():
        raise WrongUse(f"--out {out} is a folder: name a file")
    out.parent.mkdir(parents=True, exist_ok=True)


@app.command()
def train(
    good: Annotated[Names, typer.Option("--good", help="A corpus, [WORK:]NAME, or files of texts; repeat for more.")],
    bad: Annotated[Names, typer.Option("--bad", help="As --good, of the other kind.")],
    out: Out,
    work: Work = Path("workspace"),
    text_field: TextField = "text",
    bad_text_field: Annotated[str | None, typer.Option("--bad-text-field", help="Where --bad differs.")] = None,
    where_good: Annotated[
        str | None, typer.Option("--where-good", help="Of --good, only rows with FIELD=VALUE.")
    ] = None,
    where_bad: Annotated[str | None, typer.Option("--where-bad", help="Of --bad, only rows with FIELD=VALUE.")] = None,
    documents: Annotated[int, typer.Option("--documents", min=50, help="Most documents of each kind.")] = 20_000,
    ngram: Annotated[int, typer.Option("--ngram", min=1, max=5, help="Longest n-gram, in words.")] = 2,
    seed: Seed = 0,
    licence: Licence = "",
    anyway: Annotated[bool, typer.Option("--anyway", help="Write the model though it should be refused.")] = False,
    json_: Json = False,
) -> None:
    """Trains a classifier that tells good documents from bad, judges it by cross-validation, and refuses what is none.

    Example: `tamis quality train --good edu --bad main --out models/edu.quality`
    """
    from tamis.quality import report, training
    from tamis.quality.linear import Settings
    from tamis.quality.reading import Texts

    with errors():
        sides = (
            Texts(tuple(good), work, text_field, where_good),
            Texts(tuple(bad), work, bad_text_field or text_field, where_bad),
        )
        settings = Settings(ngram=ngram, seed=seed)
        _room_for(out)
        try:
            model = training.train(*sides, settings, cap=documents, licence=licence, anyway=anyway, say=_say)
        except training.NotSeparable as refusal:
            if not json_:
                typer.echo("\n".join(report.lines(refusal.report)), err=True)
            raise
        model.save(out)
        show(model.header) if json_ else typer.echo(
            "\n".join([f"{out} is written", *report.lines(model.header["report"])])
        )


@app.command()
def score(
    model: Annotated[Path, typer.Argument(help="A model of any kind that `tamis quality` makes.")],
    texts: Annotated[Names, typer.Argument(help="A corpus, [WORK:]NAME, or files of texts.")],
    work: Work = Path("workspace"),
    text_field: TextField = "text",
    where: Where = None,
    json_: Json = False,
) -> None:
    """What a model says of texts: a line a document, score first, then its URL or its beginning.

    Example: `tamis quality score models/edu.quality pages.jsonl | sort -rn | head`
    """
    from tamis.quality import scoring
    from tamis.quality.reading import Texts
    from tamis.verdicts.display import printable

    with errors():
        found = scoring.score(model, Texts(tuple(texts), work, text_field, where))
        if json_:
            show(scoring.summary(found))
        else:
            for row in found:
                typer.echo(f"{'' if row.score is None else format(row.score, '.6f')}\t{printable(row.name)}")


@app.command("show")
def show_(
    model: Annotated[Path, typer.Argument(help="A model of any kind that `tamis quality` makes.")],
    json_: Json = False,
) -> None:
    """What a model's file says of itself: data, metrics, n-grams that tell most, licence.

    Example: `tamis quality show models/edu.quality`
    """
    from tamis.quality import report, scoring

    with errors():
        header = scoring.header(model)
        show(header) if json_ else typer.echo("\n".join(report.describe(header)))


@app.command()
def ngram(
    train: Annotated[Names, typer.Option("--train", help="A corpus, [WORK:]NAME, or files of texts; repeat for more.")],
    out: Annotated[Path, typer.Option("--out", "-o", help=".arpa, .arpa.gz, or .bin (a table that workers share).")],
    order: Annotated[int, typer.Option("--order", min=1, max=8, help="Longest n-gram, in words.")] = 5,
    prune: Annotated[
        str,
        typer.Option("--prune", help="Of each order the count up to which n-grams go, as 0,0,1; the last holds on."),
    ] = "0",
    buckets: Annotated[
        list[str] | None, typer.Option("--buckets", help="A corpus or files whose thirds are head, middle and tail.")
    ] = None,
    work: Work = Path("workspace"),
    text_field: TextField = "text",
    where: Where = None,
    memory: Annotated[str, typer.Option("--memory", help="Of counting; what does not fit goes to --scratch.")] = "1GB",
    scratch: Annotated[Path | None, typer.Option("--scratch", help="Folder for temporary files.")] = None,
    licence: Licence = "",
    json_: Json = False,
) -> None:
    """Trains an n-gram model with modified Kneser-Ney smoothing, out of core; KenLM reads the ARPA file.

    Example: `tamis quality ngram --train wiki --buckets main --out models/wiki.arpa.gz`
    """
    from tamis.errors import WrongUse
    from tamis.quality import perplexity, report
    from tamis.quality.reading import Texts

    with errors():
        if not all(part.strip().isdigit() for part in prune.split(",")):
            raise WrongUse(f"--prune {prune}: counts with commas between, as 0,0,1")
        limits = [int(part) for part in prune.split(",")]
        if limits[0] or limits != sorted(limits):
            raise WrongUse(f"--prune {prune}: it begins with 0 (words are never pruned) and never falls")
        _room_for(out)
        reference = Texts(tuple(buckets), work, text_field) if buckets else None
        header = perplexity.train(
            Texts(tuple(train), work, text_field, where), out, order, limits, reference,
            licence=licence, memory=memory, folder=scratch, say=_say,
        )  # fmt: skip
        show(header) if json_ else typer.echo("\n".join([f"{out} is written", *report.describe(header)]))


@app.command()
def importance(
    target: Annotated[Names, typer.Option("--target", help="A corpus, [WORK:]NAME, or files: what is wanted.")],
    raw: Annotated[Names, typer.Option("--raw", help="As --target: what there is.")],
    out: Out,
    work: Work = Path("workspace"),
    text_field: TextField = "text",
    raw_text_field: Annotated[str | None, typer.Option("--raw-text-field", help="Where --raw differs.")] = None,
    licence: Licence = "",
    json_: Json = False,
) -> None:
    """Counts hashed words and pairs in a target and in raw text: log importance weights, as DSIR.

    Example: `tamis quality importance --target wiki --raw main --out models/wiki.dsir`
    """
    from tamis.quality import dsir, report
    from tamis.quality.reading import Texts

    with errors():
        _room_for(out)
        model = dsir.train(
            Texts(tuple(target), work, text_field), Texts(tuple(raw), work, raw_text_field or text_field),
            licence=licence,
        )  # fmt: skip
        dsir.save(model, out)
        header = {"format": dsir.FORMAT, **model.header}
        show(header) if json_ else typer.echo("\n".join([f"{out} is written", *report.describe(header)]))


@app.command()
def resample(
    signal: Annotated[str, typer.Option("--signal", help="The signal to cut, as importance.NAME_key.")],
    work: Work = Path("workspace"),
    corpus: CorpusName = "main",
    documents: Annotated[int | None, typer.Option("--documents", min=1, help="How many to keep.")] = None,
    share: Annotated[float | None, typer.Option("--share", help="Which share of the measured ones to keep.")] = None,
    json_: Json = False,
) -> None:
    """The rule that keeps exactly N of the documents that a corpus keeps now: the largest values of a signal.

    Of importance.NAME_key these are a draw in proportion to importance weights (Gumbel top-k). Nothing is written:
    put the rule into the recipe.

    Example: `tamis quality resample --signal importance.wiki_key --share 0.25`
    """
    from tamis.corpora import Corpus
    from tamis.quality import resampling
    from tamis.workspace import Workspace

    with errors():
        found = resampling.answer(Corpus(Workspace(work), corpus), signal, documents, share)
        show(found) if json_ else typer.echo("\n".join(resampling.lines(found)))
