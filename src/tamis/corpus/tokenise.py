"""Kept text to token ids, one file per shard beside the text, rows in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.corpus.schemas import TOKENS
from tamis.corpus.tally import Tally, add_up
from tamis.corpus.tokenizer import Tokenizer
from tamis.documents import ParquetShard, read_batches

# Part of the stage's key. 2: tallies weigh bytes; the rows are those of 1.
VERSION = 2


def tokenise_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: kept, tokenizer.json. outputs: TOKENS. params: end_of_text (a name or null).

    Memory: one row group of text, and about 100 MB that the encoder needs for a batch; a longer document whose
    tokenizer does not allow cutting it needs 100 bytes a byte.
    """
    kept, tokenizer_path = inputs
    tokenizer = Tokenizer.load(tokenizer_path, params.get("end_of_text"))
    sources: dict[str, Tally] = {}
    with ParquetShard(outputs[0], TOKENS) as shard:
        for batch in read_batches(kept, ["gid", "source", "weight", "bytes", "text"]):
            context.heartbeat(f"{kept.name} row {shard.rows}")
            ids = tokenizer.encode(batch.column("text").to_pylist())
            counts = np.array([len(one) for one in ids], dtype=np.int64)
            columns = [batch.column("gid"), pa.array(counts, pa.int32()), as_binary(ids, tokenizer.dtype)]
            shard.write(pa.RecordBatch.from_arrays(columns, schema=TOKENS))
            add_up(sources, batch, counts)
    return {
        "in": shard.rows,
        "out": shard.rows,
        "reasons": {},
        "tokens": sum(tally.tokens for tally in sources.values()),
        "sources": {name: tally.to_json() for name, tally in sorted(sources.items())},
    }


def as_binary(ids: list[np.ndarray], dtype: str) -> pa.Array:
    """N arrays of ids as one large_binary array of N values."""
    offsets = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum([one.nbytes for one in ids], out=offsets[1:])
    data = np.concatenate(ids).astype(dtype, copy=False) if ids else np.zeros(0, dtype)
    return pa.Array.from_buffers(pa.large_binary(), len(ids), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
