"""A trained n-gram model: how surprised it is by a document, and whether that is head, middle or tail.

Perplexity is 10 ** (-log10 probability / tokens), tokens being words and ends of lines, as CCNet forms it from the
lines of a document (Wenzek et al. 2020, section 3.4). Words are those of `kernels.sentences`: lower case, no marks or
punctuation, numbers as 0, each character of a script without spaces by itself. Buckets are CCNet's thirds: up to the
first tercile of a reference corpus head, up to the second middle, above tail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import kernels
from tamis.quality import arpa
from tamis.quality.counting import Estimate
from tamis.quality.modelfile import NotAModel
from tamis.quality.reading import Texts
from tamis.stage import hash_file

Floats = npt.NDArray[np.float64]
BUCKETS = ("head", "middle", "tail")


@dataclass(frozen=True)
class Perplexity:
    """A model to score with. `header` is {} for an ARPA file made by other hands."""

    table: npt.NDArray[np.uint64]
    order: int
    header: dict[str, Any]

    def perplexities(self, text: pa.Array) -> Floats:
        """Per word of each document: float64 (N,), NaN where it has no word."""
        total, tokens, _ = kernels.lm_scores(text, self.table, self.order)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.where(tokens > 0, 10.0 ** (-total / tokens), np.nan)

    @property
    def terciles(self) -> tuple[float, float] | None:
        found = self.header.get("terciles")
        return (found["head"], found["middle"]) if found else None


def bucket(perplexities: Floats, terciles: tuple[float, float] | None) -> pa.StringArray:
    """head, middle or tail; null without a perplexity or without terciles."""
    if terciles is None:
        return pa.nulls(len(perplexities), pa.string())
    known = ~np.isnan(perplexities)
    index = np.searchsorted(terciles, np.where(known, perplexities, 0), side="left")
    return pa.array(
        [BUCKETS[i] if k else None for i, k in zip(index.tolist(), known.tolist(), strict=True)], pa.string()
    )


@lru_cache(maxsize=4)
def load(path: str, digest: str = "") -> Perplexity:
    """The model of a file, once per process. Raises NotAModel, also where the file has another `digest`."""
    if digest and hash_file(Path(path)) != digest:
        raise NotAModel(f"{path} has changed since the run began")
    return Perplexity(*arpa.read(path))


def train(
    texts: Texts,
    out: Path,
    order: int = 5,
    prune: Sequence[int] = (),
    reference: Texts | None = None,
    *,
    licence: str = "",
    memory: str = "1GB",
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Estimates a model of `texts` and writes it to `out`; gives its header. Terciles are those of the documents of
    `reference`, without which there are no buckets. Raises NoText, NoWords. Memory: as `counting`, 8 bytes a document
    of the reference, and, for terciles or a `.bin`, 24 to 48 bytes an n-gram."""
    with Estimate(order, prune, memory, folder) as estimate:
        estimate.run(texts, say)
        header: dict[str, Any] = {
            "order": order,
            "words": "script, of kernels.normalize: lower case, no marks, no punctuation, numbers as 0",
            "data": texts.seen,
            "licence": licence or "not stated: that of the training data decides",
            "sentences": estimate.sentences,
            "tokens": estimate.tokens,
            "vocabulary": len(estimate.vocabulary),
            "prune": estimate.limits,
            "orders": estimate.describe(),
        }
        if reference is not None:
            say("measuring the reference")
            model = Perplexity(arpa.table_of(estimate), order, {})
            header["terciles"] = _terciles(model, reference)
        say(f"writing {out}")
        arpa.write(estimate, out, header)
    return header


def _terciles(model: Perplexity, reference: Texts) -> dict[str, Any]:
    values = np.concatenate([model.perplexities(batch.column("text")) for batch in reference])
    values = values[~np.isnan(values)]
    head, middle = np.quantile(values, [1 / 3, 2 / 3])
    return {"head": float(head), "middle": float(middle), "data": reference.seen}
