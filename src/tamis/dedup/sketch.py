"""The sketch of a document: a 128-bit content hash and the MinHash band hashes that nominate it.

Broder (1997) for MinHash, Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4 for banding;
14 bands of 8 rows over 5-word shingles are FineWeb's (Penedo et al. 2024). Words, normalization and hashes are
those of `tamis.kernels`: `script` words, numbers folded for MinHash and kept for the content hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis import documents, kernels
from tamis.dedup.options import Options
from tamis.dedup.texts import clean_texts
from tamis.engine import Context
from tamis.quarantine import Slices, guarded

# 1: the first.
VERSION = 1


def schema(options: Options) -> pa.Schema:
    """One row per document of the shard, in its order.

    hash_hi, hash_lo: the content hash, null where there is no text or nothing but punctuation in it.
    chars: characters of the clean text; the more complete of two duplicates leads.
    shingles: their number, repeated ones included. bands: null where there are fewer than `min_shingles`: a text
    of one shingle can only equal another one, and the content hash finds that whatever the length.
    """
    fields = [
        pa.field("hash_hi", pa.uint64()),
        pa.field("hash_lo", pa.uint64()),
        pa.field("chars", pa.int64(), nullable=False),
        pa.field("shingles", pa.int32(), nullable=False),
    ]
    if options.bands:
        fields.append(pa.field("bands", pa.list_(pa.uint64(), options.bands)))
    return pa.schema(fields)


def sketch(
    clean: pa.LargeStringArray, options: Options, analysis: Mapping[str, npt.NDArray[Any]] | None = None
) -> pa.RecordBatch:
    """Sketches of N clean texts (nulls allowed): a batch of `schema(options)`, N rows in the same order.

    `analysis`: what `kernels.analyse` said of the same N texts (nulls as ""), where a fused pass has already
    made `minhash` (of `options.permutations`, `ngram`, `seed`), `content_hash` and `shingle_count`.
    """
    valid = clean.is_valid().to_numpy(zero_copy_only=False)
    text = pc.fill_null(clean, "") if clean.null_count else clean
    if analysis is None:
        want = ["content_hash", "shingle_count", *(["minhash"] if options.bands else [])]
        analysis = kernels.analyse(
            text, want=want, permutations=max(1, options.permutations), ngram=options.ngram, seed=options.seed
        )
    hashes = analysis["content_hash"]
    shingles = np.where(valid, analysis["shingle_count"], 0).astype(np.int32)
    empty = shingles == 0
    columns = [
        pa.array(hashes[:, 0], pa.uint64(), mask=empty),
        pa.array(hashes[:, 1], pa.uint64(), mask=empty),
        pc.utf8_length(text).cast(pa.int64()),
        pa.array(shingles),
    ]
    if options.bands:
        bands = kernels.band_hashes(analysis["minhash"], options.bands, options.rows)
        columns.append(
            pa.FixedSizeListArray.from_arrays(
                pa.array(bands.ravel(), pa.uint64()),
                type=schema(options).field("bands").type,
                mask=pa.array(shingles < options.min_shingles),
            )
        )
    return pa.record_batch(columns, schema=schema(options))


def sketch_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: documents, then (optional) clean edits; outputs: the sketch. params: the recipe's `dedup` part.

    A document that kills or hangs its worker even alone has the sketch of one without text and is counted as `lost`.
    Memory: one batch of text and one row group of sketches.
    """
    options = Options.of(params)
    nominated = lost = 0
    with documents.ParquetShard(outputs[0], schema(options)) as shard:
        for text, valid in clean_texts(inputs[0], inputs[1] if len(inputs) > 1 else None):
            rows = range(shard.rows, shard.rows + len(text))
            given = pc.if_else(pa.array(valid), text, None)
            for start, stop, made in guarded(context, rows, Slices(given), sketch, options):
                lost += made is None
                batch = sketch(pa.nulls(stop - start, pa.large_string()), options) if made is None else made
                nominated += batch.num_rows - batch.column(0).null_count
                shard.write(batch)
            context.advance(len(text))
    return {"in": shard.rows, "out": shard.rows, "nominated": nominated, "lost": lost}
