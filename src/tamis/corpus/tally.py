"""Counts per source: what sizes a mixture and what a report shows. Memory: O(sources)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Tally:
    """What one source holds. `weighted_*` count each document by the weight of its verdict (1 unless a rule says)."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0
    weighted_documents: float = 0.0
    weighted_tokens: float = 0.0
    weighted_bytes: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.documents + other.documents,
            self.bytes + other.bytes,
            self.tokens + other.tokens,
            self.weighted_documents + other.weighted_documents,
            self.weighted_tokens + other.weighted_tokens,
            self.weighted_bytes + other.weighted_bytes,
        )

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def total_by_source(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Tally]:
    """Adds up the `sources` of task summaries, in the order given; sources sorted by name. Memory: O(sources)."""
    totals: dict[str, Tally] = {}
    for summary in summaries:
        for name, tally in summary["sources"].items():
            totals[name] = totals.get(name, Tally()) + Tally(**tally)
    return dict(sorted(totals.items()))


def add_up(sources: dict[str, Tally], batch: pa.RecordBatch, tokens: np.ndarray) -> None:
    """Adds the rows of a batch (columns source, bytes, weight) and their tokens (N,) to the tally of their source."""
    if batch.num_rows == 0:
        return
    coded = batch.column("source").dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    size = batch.column("bytes").to_numpy()
    weight = batch.column("weight").to_numpy().astype(np.float64)
    for code, name in enumerate(coded.dictionary.to_pylist()):
        mine = codes == code
        tally = Tally(
            int(mine.sum()),
            int(size[mine].sum()),
            int(tokens[mine].sum()),
            float(weight[mine].sum()),
            float((weight[mine] * tokens[mine]).sum()),
            float((weight[mine] * size[mine]).sum()),
        )
        sources[name] = sources.get(name, Tally()) + tally
