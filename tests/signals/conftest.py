"""Batches made of plain strings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest

from tamis.signals.batch import Batch


@pytest.fixture
def batch() -> Callable[..., Batch]:
    def make(texts: Sequence[str | None], urls: Sequence[str | None] | None = None, **edits: pa.ListArray) -> Batch:
        columns = {
            "text": pa.array(texts, pa.large_string()),
            "url": pa.array(urls if urls is not None else [None] * len(texts), pa.string()),
        }
        return Batch(pa.RecordBatch.from_pydict(columns), edits)

    return make
