"""The seeded global order of a corpus, as an exchange: scatter by key range, sort each range, write the shards.

The key of a copy is a draw from the document's id, so the order depends on the documents, the seed and nothing else.
Partitions are ranges of the key: partition p sorted, one after the other, is the whole sorted. Memory: scatter holds
one shard of kept text and ids, gather one partition (`partitions` chooses their number for about 64 MB of text).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.corpus import order
from tamis.corpus.mixture import copies
from tamis.corpus.schemas import SCATTERED, SCATTERED_TEXT, TEXT, UNTOKENISED
from tamis.corpus.tally import Tally, add_up
from tamis.documents import DamagedFile, ParquetShard, open_shard, read_table

# Parts of the stages' keys.
SCATTER_VERSION = 1
GATHER_VERSION = 1

PARTITION_BYTES = 64 << 20


def partitions(text_bytes: float, partition_bytes: int = PARTITION_BYTES) -> int:
    """How many partitions hold about `partition_bytes` of text each; at least one."""
    return max(1, round(text_bytes / partition_bytes))


def scatter_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: kept, tokens of one shard; or kept alone. outputs: one file, row group p = partition p.

    params: seed, partitions, rates ({source: copies per document of weight 1}). `out` counts copies, so it may
    exceed `in`: `reasons` holds what was left out and, negative, what was added.
    """
    kept = read_table(inputs[0]).combine_chunks()
    tokens = read_table(inputs[1]).combine_chunks() if len(inputs) > 1 else None
    if tokens is not None and not kept.column("gid").equals(tokens.column("gid")):
        raise ValueError(f"{inputs[1]} does not hold the tokens of {inputs[0]}: delete it and rerun")
    schema = SCATTERED_TEXT if tokens is None else SCATTERED
    rates, seed, count = params["rates"], params["seed"], params["partitions"]
    words = order.id_words(kept.column("id"))
    names = kept.column("source").to_pylist()
    unknown = sorted(set(names) - set(rates))
    if unknown:
        raise ValueError(f"{inputs[0]} holds documents of source `{unknown[0]}`, which the mixture does not name")
    rate = np.array([rates[name] for name in names], dtype=np.float64) * kept.column("weight").to_numpy()
    times = copies(words, rate, seed)
    rows = np.repeat(np.arange(len(times)), times)  # (M,) row of each copy
    copy = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)  # (M,) 0, 1, ... within a row
    keys = order.draw(words[rows], seed, "shuffle", copy)
    place = order.partition(keys, count)
    with ParquetShard(outputs[0], schema) as shard:
        for p in range(count):
            context.heartbeat(f"{inputs[0].name} partition {p}")
            mine = np.flatnonzero(place == p)
            picked = pa.array(rows[mine])
            text = kept.take(picked)
            columns = {name: text.column(name) for name in ("id", "gid", "source", "url", "text", "bytes")}
            if tokens is not None:
                ids = tokens.take(picked)
                columns |= {name: ids.column(name) for name in ("n_tokens", "ids")}
            columns |= {"key": pa.array(keys[mine]), "copy": pa.array(copy[mine], pa.int16())}
            shard.write_group(pa.table({name: columns[name] for name in schema.names}, schema=schema))
    left_out, added = int((times == 0).sum()), int(np.maximum(times - 1, 0).sum())
    reasons = {"mixture": left_out} | ({"copies": -added} if added else {})
    return {"in": len(times), "out": len(rows), "reasons": reasons}


def gather_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: every scatter file. outputs: text .parquet, tokens .bin, offsets .idx.npy of one partition.

    params: partition, dtype ("<u2" or "<u4"), end_of_text (id). The .bin is flat ids, each document followed by
    end_of_text; the offsets (D + 1,) int64 are in tokens: document d is offsets[d] to offsets[d + 1] - 1.
    """
    text_path, bin_path, index_path = outputs
    table = _partition(context, inputs, params["partition"], SCATTERED)
    by = _sorted(table)
    dtype = np.dtype(params["dtype"])
    digest = hashlib.sha256()
    sources: dict[str, Tally] = {}
    lengths = table.column("n_tokens").to_numpy()[by].astype(np.int64)
    offsets = np.zeros(len(by) + 1, dtype=np.int64)
    np.cumsum(lengths + 1, out=offsets[1:])
    with ParquetShard(text_path, TEXT) as shard, bin_path.open("wb") as flat:
        for chosen in _chunks(by, table.column("bytes").to_numpy()[by]):
            context.heartbeat(f"partition {params['partition']} row {shard.rows}")
            for batch in table.take(pa.array(chosen)).combine_chunks().to_batches():
                shard.write(batch.select(TEXT.names))
                block = with_separators(batch.column("ids"), dtype, params["end_of_text"]).tobytes()
                digest.update(block)
                flat.write(block)
                counts = batch.column("n_tokens").to_numpy().astype(np.int64)
                add_up(sources, _once(batch), counts)
    with index_path.open("wb") as file:  # np.save would add a suffix to a temporary name
        np.save(file, offsets)
    return {
        "in": len(by),
        "out": shard.rows,
        "reasons": {},
        "tokens": int(offsets[-1]),
        "documents": len(by),
        "sha256": digest.hexdigest(),
        "sources": {name: tally.to_json() for name, tally in sorted(sources.items())},
    }


def gather_text_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: every scatter file of a corpus without tokens. outputs: text .parquet of one partition, n_tokens null.

    params: partition.
    """
    table = _partition(context, inputs, params["partition"], SCATTERED_TEXT)
    by = _sorted(table)
    sources: dict[str, Tally] = {}
    with ParquetShard(outputs[0], UNTOKENISED) as shard:
        for chosen in _chunks(by, table.column("bytes").to_numpy()[by]):
            context.heartbeat(f"partition {params['partition']} row {shard.rows}")
            for batch in table.take(pa.array(chosen)).combine_chunks().to_batches():
                tokens = pa.nulls(batch.num_rows, pa.int32())
                shard.write(batch.append_column("n_tokens", tokens).select(UNTOKENISED.names))
                add_up(sources, _once(batch), np.zeros(batch.num_rows, dtype=np.int64))
    return {
        "in": len(by),
        "out": shard.rows,
        "reasons": {},
        "documents": len(by),
        "sources": {name: tally.to_json() for name, tally in sorted(sources.items())},
    }


def _sorted(table: pa.Table) -> npt.NDArray[np.int64]:
    """The rows of a partition in final order: int64 (M,)."""
    words = order.id_words(table.column("id"))
    # Equal keys are all but impossible; the id settles them so that the order never rests on arrival.
    by: npt.NDArray[np.int64] = np.lexsort(
        (table.column("copy").to_numpy(), words[:, 1], words[:, 0], table.column("key").to_numpy())
    )
    return by


def _once(batch: pa.RecordBatch) -> pa.RecordBatch:
    """With weight 1: the copies of a document are rows of their own."""
    return batch.append_column("weight", pa.array(np.ones(batch.num_rows, dtype=np.float32)))


def _partition(context: Any, paths: list[Path], number: int, schema: pa.Schema) -> pa.Table:
    parts = []
    for path in paths:
        context.heartbeat(f"partition {number} of {path.name}")
        with open_shard(path) as file:
            try:
                parts.append(file.read_row_group(number, use_threads=False))
            except (pa.ArrowInvalid, OSError) as error:
                raise DamagedFile(f"{path}, row group {number}, is damaged: {error}") from error
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _chunks(rows: npt.NDArray[np.int64], size: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Consecutive rows of about 4 MB of text each."""
    bounds = np.flatnonzero(np.diff(np.cumsum(size) // (4 << 20))) + 1
    yield from (part for part in np.split(rows, bounds) if len(part))


def with_separators(ids: pa.Array, dtype: np.dtype[Any], end_of_text: int) -> np.ndarray:
    """Flat ids of some documents, each followed by end_of_text: (sum of n_tokens + N,) of `dtype`."""
    if len(ids) == 0:
        return np.zeros(0, dtype)
    bounds = np.frombuffer(ids.buffers()[1], dtype=np.int64)[ids.offset : ids.offset + len(ids) + 1]
    data = ids.buffers()[2]
    flat = np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]].view(dtype) if data else np.zeros(0, dtype)
    ends = (bounds[1:] - bounds[0]) // dtype.itemsize
    return np.insert(flat, ends, dtype.type(end_of_text))
