"""Importance weights of documents, as DSIR (Xie et al. 2023): which raw documents look as if drawn from a target?

Documents are bags of hashed words and pairs of words (10,000 buckets). Target and raw text each give a distribution
over buckets; the log weight of a document is the sum over its n-grams, repeated ones too, of log p_target - log p_raw.
Both distributions are smoothed with `SMOOTHING` counts a bucket (DSIR's code adds 1e-8 to the ratio instead, which
makes one unseen bucket outweigh a document).

Log weights grow with length, as the paper's do. Adding Gumbel noise to them and taking the largest k draws k documents
without replacement in proportion to their weights (Kool et al. 2019): `noise` gives each document its own, from its id
and the recipe's seed, so that the draw does not depend on workers, order or what else is there.

Memory: 8 bytes a bucket, and one batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import kernels
from tamis.quality.modelfile import NotAModel, read_model, write_model
from tamis.quality.reading import Texts

FORMAT = "tamis.dsir"
# bumped with the reason whenever a weight of the same file changes
VERSION = 1
BUCKETS = 10_000
NGRAM = 2
SMOOTHING = 1.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """ratios: log p_target - log p_raw of each bucket, float32 (buckets,); target and raw: distributions, float64."""

    ratios: npt.NDArray[np.float32]
    target: Floats
    raw: Floats
    ngram: int
    header: dict[str, Any]

    def log_weights(self, text: pa.Array) -> Floats:
        """float64 (N,), NaN where a document has no word."""
        sums, counts = kernels.ngram_sums(text, self.ratios, self.ngram, distinct=False)
        return np.where(counts > 0, sums, np.nan)


def counts_of(text: pa.Array, buckets: int = BUCKETS, ngram: int = NGRAM) -> npt.NDArray[np.int64]:
    """How many n-grams of these documents fall into each bucket."""
    _, hashes, _, _ = kernels.word_ngrams(text, ngram, distinct=False)
    return np.bincount(kernels.bucket(hashes, buckets), minlength=buckets)


def smoothed(counts: npt.NDArray[np.int64]) -> Floats:
    """A distribution over buckets without zeros."""
    return np.asarray((counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts)), np.float64)


def train(
    target: Texts, raw: Texts, *, buckets: int = BUCKETS, ngram: int = NGRAM, licence: str = ""
) -> Importance:  # fmt: skip
    """Counts both texts. Raises NoText."""
    found = []
    for texts in (target, raw):
        counts = np.zeros(buckets, np.int64)
        for batch in texts:
            counts += counts_of(batch.column("text"), buckets, ngram)
        found.append(counts)
    p, q = (smoothed(counts) for counts in found)
    header = {
        "features": {"ngram": ngram, "buckets": buckets, "smoothing": SMOOTHING},
        "data": {"target": target.seen, "raw": raw.seen},
        "ngrams": {"target": int(found[0].sum()), "raw": int(found[1].sum())},
        "divergence": round(divergence(p, q), 4),
        "licence": licence or "not stated: that of the data decides",
    }
    return Importance(np.log(p / q).astype(np.float32), p, q, ngram, header)


def divergence(p: Floats, q: Floats) -> float:
    """Kullback-Leibler divergence of q from p, in nats."""
    return float((p * np.log(p / q)).sum())


def save(model: Importance, path: Path | str) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {"ratios": model.ratios, "target": model.target, "raw": model.raw}
    write_model(path, FORMAT, VERSION, model.header, arrays)


@lru_cache(maxsize=16)
def load(path: str, known: str = "") -> Importance:
    """The model of a file, once per process. Raises NotAModel, also where its `modelfile.identity` is not `known`."""
    found = read_model(path, FORMAT, (VERSION,))
    if known and found.identity != known:
        raise NotAModel(f"{path} has changed since the run began")
    return Importance(
        found.arrays["ratios"], found.arrays["target"], found.arrays["raw"], found.header["features"]["ngram"],
        found.header,
    )  # fmt: skip


def noise(ids: Sequence[str], seed: int, name: str) -> Floats:
    """Standard Gumbel noise of documents, from their id, the seed and the name of the signal alone: float64 (N,)."""
    key = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=16).digest()
    words = [hashlib.blake2b(one.encode(), digest_size=8, key=key).digest() for one in ids]
    bits = np.frombuffer(b"".join(words), "<u8") >> np.uint64(11)
    uniform = (bits.astype(np.float64) + 0.5) / 2.0**53  # never 0 or 1
    return np.asarray(-np.log(-np.log(uniform)), np.float64)
