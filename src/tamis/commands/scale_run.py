"""`tamis scale run`: an IsoFLOP grid of small models on this machine, and the laws that it shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.commands.shared import Json, Work, errors, show

if TYPE_CHECKING:
    from tamis.proof.grid import Grid
    from tamis.proof.trained_on import Texts


def run(
    corpus: Annotated[str, typer.Argument(help="A corpus, as [WORK:]NAME, or a .parquet or .jsonl file with `text`.")],
    work: Work = Path("workspace"),
    flops: Annotated[
        str, typer.Option("--flops", help="Budgets of training compute, with commas; each gets several sizes.")
    ] = "1e11,2e11,4e11,8e11",
    widths: Annotated[
        str, typer.Option("--widths", help="Widths of the models, with commas; chosen for each budget if absent.")
    ] = "",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Models of each size and budget.")] = 1,
    bootstrap: Annotated[int, typer.Option("--bootstrap", min=0, help="Resamples of the runs; 0 for none.")] = 1000,
    processes: Annotated[int, typer.Option("--processes", "-j", min=1, help="At once, of one thread each.")] = 2,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of runs, table, fit and pictures.")] = Path("grid"),
    json_: Json = False,
) -> None:
    """Trains models of several sizes at equal compute and fits scaling laws; writes RUNS.csv, which `tamis scale fit`
    reads, and pictures.

    Runs are stored in --out and used again. A fit that the runs do not determine is said to be none.

    Example: `tamis scale run main --work ./web --flops 1e11,2e11,4e11 --out grid`
    """
    from tamis.proof import grid
    from tamis.whole import write_atomic

    with errors():
        levels = [_number(one) for one in flops.split(",")]
        chosen = [int(_number(one)) for one in widths.split(",") if one]
        most = max((grid.tokens_for(w, max(levels)) for w in chosen or grid.widths_for(max(levels))), default=0)
        out.mkdir(parents=True, exist_ok=True)
        material = grid.prepare(_texts(corpus, work), out, most + (1 << 16))
        found = grid.run(
            material, out / "models", flops=levels, widths=chosen, seeds=range(seeds), processes=processes,
            bootstrap=bootstrap, say=lambda line: typer.echo(line, err=True),
        )  # fmt: skip
        write_atomic(out / "RUNS.csv", found.csv())
        pictures = _draw(found, out)
        if json_:
            show({**found.to_json(), "table": str(out / "RUNS.csv"), "pictures": list(map(str, pictures))})
        else:
            typer.echo(grid.render(found))
            typer.echo(f"table     {out / 'RUNS.csv'}   pictures {', '.join(map(str, pictures))}")


def _number(text: str) -> float:
    from tamis.proof.grid import BadGrid

    try:
        return float(text)
    except ValueError:
        raise BadGrid(f"`{text}` is no number") from None


def _texts(corpus: str, work: Path) -> Texts:
    """A file of texts where there is one of that name, else a corpus."""
    from tamis.proof.claims import material
    from tamis.proof.grid import Listed
    from tamis.proof.trained_on import TrainedOn

    path = Path(corpus)
    if path.is_file():
        return Listed(path.name, material.text(MOST_BYTES, 0, path))
    return TrainedOn(work, corpus)


# Of a file: a grid on a laptop trains on less.
MOST_BYTES = 64_000_000


def _draw(found: Grid, out: Path) -> list[Path]:
    from tamis.proof import scaling_plots

    made = []
    for law, frontiers, head in (
        (found.law, found.frontiers, False),
        (found.law_with_head, found.frontiers_with_head, True),
    ):
        name = "isoflop-with-head.png" if head else "isoflop.png"
        if frontiers[1].levels:
            scaling_plots.save(scaling_plots.isoflop_figure(found.table(head=head), frontiers[1], law), out / name)
            made.append(out / name)
        if law.reliable and not head:
            scaling_plots.save(scaling_plots.fit_figure(law), out / "fit.png")
            made.append(out / "fit.png")
    return made
