"""`tamis prove`: which of two corpora makes the better model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tamis.commands.shared import Json, Work, errors, show


def prove(
    a: Annotated[
        str | None,
        typer.Argument(metavar="[A]", help="[WORK:]NAME of a corpus; `raw`: all that was extracted, before any rule."),
    ] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="[WORK:]NAME of the corpus that should be better.")
    ] = None,
    work: Work = Path("workspace"),
    seeds_most: Annotated[
        int | None,
        typer.Option("--seeds-most", help="Stop at so many pairs now, 12 at most; the looks stay at 4, 8 and 12."),
    ] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", min=1, help="Of each run; 1,500,000 if absent.")] = None,
    flops: Annotated[float | None, typer.Option("--flops", min=1, help="Of each run, instead of tokens.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Of CPU for each run, instead of tokens.")] = None,
    sizes: Annotated[
        str, typer.Option("--sizes", help="Models, comma-separated; the last one decides, the others test the ladder.")
    ] = "0.05M",
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--reference",
            help="Text from sources in neither corpus, which decides: [DOMAIN=]FILE, a folder, or [WORK:]NAME; repeat "
            "for more. Parquet, JSON Lines, EPUB, MediaWiki XML, text. Absent: prose of this machine.",
        ),
    ] = None,
    tokenizer: Annotated[
        str, typer.Option("--tokenizer", help="Of both arms: `bytes`, a tokenizers file, or `A`, that of corpus A.")
    ] = "bytes",
    items: Annotated[
        Path | None, typer.Option("--items", help="Multiple-choice items, JSON Lines or Parquet, to measure as well.")
    ] = None,
    law: Annotated[
        str | None,
        typer.Option(
            "--law",
            help="What the difference is worth in tokens: `here` trains A at a quarter, half and twice the tokens; or "
            "FIT.json of `tamis scale fit` or `scale run`.",
        ),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", "-j", min=1, help="Runs at once, of one thread each.")] = 2,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Instead of WORK/proofs/ID.")] = None,
    rules: Annotated[
        str | None,
        typer.Option("--rules", help="Of this corpus, instead of A and B: one rule left out at a time, as a ledger."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=2, help="Of `--rules`: pairs of each rule; 6 if absent.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Of `--rules`: train this rule; repeat for more.")
    ] = None,
    json_: Json = False,
) -> None:
    """Trains small models on two corpora, at equal tokens and paired by seed, and says which corpus is better.

    Prints first what this design can see and what it costs. Stop it whenever you like: the same command goes on, and a
    second call answers at once.

    Example: `tamis prove raw main --work tamis-demo`, or `tamis prove --rules main --work tamis-demo`
    """
    from tamis.proof import prove_plots, prove_report, proving
    from tamis.proof.preparing import BadDesign, Options
    from tamis.proof.trained_on import TrainedOn

    with errors():
        if rules is not None:
            if a or b or flops or minutes or law or items or seeds_most or tokenizer != "bytes":
                raise BadDesign("--rules goes with --tokens, --sizes, --seeds, --only and --reference, on one corpus")
            from tamis.commands import prove_rules

            body, text = prove_rules.judge(
                rules, work, tokens, sizes, seeds or 6, reference or [], only or [], processes, out
            )
            show(body) if json_ else typer.echo(text)
            return
        if seeds is not None or only:
            raise BadDesign("--seeds and --only go with --rules; of a proof --seeds-most says where to stop")
        if a is None or b is None:
            raise BadDesign("name two corpora, A and B, or the one whose rules are judged by --rules")
        first, second = TrainedOn(work, a), TrainedOn(work, b)
        home = first.work.path if ":" in a and not (work / "tamis.json").exists() else work
        options = Options(
            tuple(one.strip() for one in sizes.split(",") if one.strip()), tokens, flops, minutes,
            tuple(reference or ()), encoder=_tokenizer(tokenizer, first), items=str(items) if items else None,
        )  # fmt: skip
        most = proving.LOOKS[-1] if seeds_most is None else seeds_most
        proof = proving.prove(
            first, second, options, home, seeds_most=most, processes=processes, out=out, law=law,
            say=lambda line: typer.echo(line, err=True),
        )  # fmt: skip
        prove_plots.write(proof, proof.prepared.folder)
        prove_report.write(proof, proof.prepared.folder / "report.md")
        show(proving.finite(proof.to_json())) if json_ else typer.echo(prove_report.render(proof))


def _tokenizer(given: str, first: object) -> str:
    from tamis.proof.preparing import BadDesign
    from tamis.proof.trained_on import TrainedOn

    if given == "bytes":
        return given
    path = Path(given)
    if given == "A":
        assert isinstance(first, TrainedOn)
        if first.corpus is None:
            raise BadDesign("--tokenizer A: raw text has no tokenizer; name the corpus that has one as A, or a file")
        path = first.work.file(f"{first.corpus.home}/tokenizer.json")
    if not path.is_file():
        raise BadDesign(f"--tokenizer {given}: {path} is not there")
    return str(path)
