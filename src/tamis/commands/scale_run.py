"""`tamis scale run`: an IsoFLOP grid of small models on this machine, and the laws that it shows."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.commands.shared import Json, Work, errors, show

if TYPE_CHECKING:
    import pyarrow as pa

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
        most = grid.most_tokens(levels, chosen)
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
    from tamis.proof.trained_on import TrainedOn

    path = Path(corpus)
    return TextFile(path) if path.is_file() else TrainedOn(work, corpus)


class TextFile:
    """Fulfils `trained_on.Texts`: a Parquet or JSONL file (.jsonl, .jsonl.gz) as it is; only empty texts are passed
    over. Ids are of the row. Raises BadGrid where it cannot be read so. Memory: a batch."""

    def __init__(self, path: Path) -> None:
        from tamis.proof.grid import BadGrid

        if path.suffix != ".parquet" and not path.name.endswith((".jsonl", ".jsonl.gz")):
            raise BadGrid(f"{path}: a file of texts is .parquet, .jsonl or .jsonl.gz")
        self.path, self.name = path, path.name

    def identity(self) -> dict[str, Any]:
        from tamis.stage import hash_file

        return {"kind": "file", "hash": hash_file(self.path)}

    def batches(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        import pyarrow as pa

        row = 0
        for texts in self._parquet() if self.path.suffix == ".parquet" else self._lines():
            ids = [hashlib.blake2b(str(row + at).encode(), digest_size=16).hexdigest() for at in range(len(texts))]
            row += len(texts)
            kept = [(one, text) for one, text in zip(ids, texts, strict=True) if text]
            if kept:
                yield pa.array([one for one, _ in kept]), pa.array([text for _, text in kept], pa.large_string())

    def _parquet(self) -> Iterator[list[str | None]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from tamis.proof.grid import BadGrid

        try:
            source = pq.ParquetFile(self.path, page_checksum_verification=True)
            if "text" not in source.schema_arrow.names:
                raise BadGrid(f"{self.path}: it has no column `text`; it has {', '.join(source.schema_arrow.names)}")
            kind = source.schema_arrow.field("text").type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise BadGrid(f"{self.path}: its column `text` is of {kind}, not of text")
            for batch in source.iter_batches(BATCH_ROWS, columns=["text"]):
                yield batch.column(0).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise BadGrid(f"{self.path} is no whole Parquet file: {error}") from None

    def _lines(self) -> Iterator[list[str | None]]:
        from tamis.proof.grid import BadGrid

        texts: list[str | None] = []
        with gzip.open(self.path, "rb") if self.path.suffix == ".gz" else self.path.open("rb") as lines:
            for place, line in enumerate(lines, 1):
                try:
                    text = json.loads(line)["text"]
                    if text is not None:
                        text.encode()  # fails on what is no text, and on halves of surrogate pairs
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise BadGrid(f"{self.path} line {place}: it is no JSON object with a text under `text`") from None
                texts.append(text)
                if len(texts) == BATCH_ROWS:
                    yield texts
                    texts = []
        yield texts


BATCH_ROWS = 1024


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
