"""Scoring texts from the command line with a model of any kind, by what its file says it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.quality import arpa, dsir, linear, perplexity
from tamis.quality.modelfile import read_header
from tamis.quality.reading import Texts

BEGINNING = 60


@dataclass(frozen=True)
class Row:
    """`score` is None where a document has no word; `name` its URL or how it begins."""

    score: float | None
    name: str
    bytes: int


def header(path: Path) -> dict[str, Any]:
    """What a model says of itself. Raises NotAModel."""
    with path.open("rb") as file:
        first = file.read(1)
    found = read_header(path) if first == b"{" else {"format": arpa.FORMAT, **arpa.header_of(path)}
    found.pop("_begins", None)
    return found


def score(path: Path, texts: Texts) -> Iterator[Row]:
    """Every document: the score of a classifier, the perplexity of an n-gram model, the log weight of DSIR."""
    kind = header(path)["format"]
    scorers: dict[str, Callable[[pa.Array], npt.NDArray[np.float64]]] = {
        linear.FORMAT: lambda text: linear.load(str(path)).scores(text),
        arpa.FORMAT: lambda text: perplexity.load(str(path)).perplexities(text),
        dsir.FORMAT: lambda text: dsir.load(str(path)).log_weights(text),
    }
    of = scorers[kind]
    for batch in texts:
        values = of(batch.column("text"))
        for value, text, url in zip(values, batch.column("text"), batch.column("url").to_pylist(), strict=True):
            data = text.as_buffer()
            begins = data.slice(0, min(len(data), 4 * BEGINNING)).to_pybytes().decode("utf-8", "ignore")
            name = url or " ".join(begins.split())[:BEGINNING]
            yield Row(None if np.isnan(value) else float(value), name, len(data))


def summary(rows: Iterable[Row]) -> dict[str, Any]:
    """Every row, and quantiles over all. Memory: the rows."""
    kept = list(rows)
    values = [row.score for row in kept if row.score is not None]
    return {
        "documents": len(kept),
        "quantiles": {f"{q:g}": float(np.quantile(values, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)} if values else {},
        "rows": [{"score": row.score, "name": row.name} for row in kept],
    }
