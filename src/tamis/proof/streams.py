"""The documents of one arm as a single row of token ids on disk, in a seeded order: what its models read.

Documents set aside for measuring (`holdout.held`) are left out. The order is that of a draw by id, the same for every
corpus, so that neither arm keeps the order of its crawl. Of a corpus larger than `most` tokens a part is taken: the
documents that come first in that order, which is a fair sample.

Memory: 32 bytes a document and one row group of text. Disk: twice the stream, 2 or 4 bytes a token.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.corpus.order import draw, id_words
from tamis.errors import SaidNo
from tamis.models.model import Encoder
from tamis.proof.holdout import held
from tamis.proof.trained_on import Texts
from tamis.whole import write_atomic

ORDER_SEED = 17


class NothingToTrainOn(ValueError, SaidNo):
    """A corpus has too little text."""


@dataclass(frozen=True)
class Stream:
    """path: the ids as a flat array of `dtype`, each document followed by end-of-text. tokens, documents, bytes (of
    text): in it. unique: tokens of the whole corpus without what is set aside, of which the stream may be a part;
    repeated: documents that a mixture gives more than once. set_aside: documents. sha256: of the ids."""

    path: str
    dtype: str
    tokens: int
    documents: int
    bytes: int
    unique: int
    repeated: int
    set_aside: int
    sha256: str

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens

    def epochs(self, tokens: float) -> float:
        """How often a model that sees `tokens` sees each token of the corpus."""
        return tokens / self.unique

    def ids(self) -> npt.NDArray[Any]:
        """(tokens,) as a memory map."""
        return np.memmap(self.path, dtype=self.dtype, mode="r", shape=(self.tokens,))


def training_texts(texts: Texts, share: float, seed: int) -> Iterator[tuple[pa.Array, pa.Array]]:
    """(ids, texts) without the documents set aside."""
    for ids, found in texts.batches():
        mask = pa.array(~held(ids, share, seed))
        yield ids.filter(mask), found.filter(mask)


def write(
    texts: Texts, path: Path, encoder: Encoder, *, most: float, share: float, seed: int, dtype: str = "<u2"
) -> Stream:
    """Writes the stream, or gives the one that is there whole. most: tokens. share, seed: of `held`. The file beside
    it, `.json`, comes last. Raises NothingToTrainOn."""
    note = path.with_suffix(".json")
    if note.exists():
        known = json.loads(note.read_text(encoding="utf-8"))
        if path.exists() and path.stat().st_size == known["tokens"] * np.dtype(dtype).itemsize:
            return Stream(**{**known, "path": str(path)})
    path.parent.mkdir(parents=True, exist_ok=True)
    keys, sizes, set_aside, repeated = _survey(texts, share, seed)
    if not len(keys):
        raise NothingToTrainOn(f"{texts.name} has no document to train on")
    per_token = _bytes_per_token(texts, encoder, share, seed)
    order = np.argsort(keys, kind="stable")
    filled = np.cumsum(sizes[order] / per_token + 1)
    taken = order[: int(np.searchsorted(filled, most)) + 1]
    arrived, lengths, text_bytes = _encode(texts, np.sort(taken), encoder, share, seed, path, dtype)
    stream_hash, tokens = _reorder(arrived, lengths, np.argsort(np.argsort(taken, kind="stable")), path, dtype)
    whole = len(taken) == len(keys)
    unique = tokens if whole else round(float(filled[-1]) * tokens / float(filled[len(taken) - 1]))
    found = Stream(str(path), dtype, tokens, len(taken), text_bytes, unique, repeated, set_aside, stream_hash)
    write_atomic(note, json.dumps(asdict(found), indent=1) + "\n")
    return found


def _survey(texts: Texts, share: float, seed: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], int, int]:
    """Of every document to train on, as it comes: the key of its place and its bytes; documents set aside; repeats."""
    words: list[npt.NDArray[np.uint64]] = [np.zeros((0, 2), np.uint64)]
    sizes: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
    seen = 0
    for ids, found in texts.batches():
        seen += len(ids)
        mask = ~held(ids, share, seed)
        words.append(id_words(ids)[mask])
        sizes.append(pc.binary_length(found).to_numpy()[mask])
    every = np.concatenate(words)
    # copies of one document, numbered as they come, so that they lie apart
    order = np.lexsort((every[:, 1], every[:, 0]))
    new = np.ones(len(every), np.bool_)
    new[1:] = (every[order][1:] != every[order][:-1]).any(1)
    first = np.maximum.accumulate(np.where(new, np.arange(len(every)), 0))
    copy = np.empty(len(every), np.int64)
    copy[order] = np.arange(len(every)) - first
    keys = draw(every, ORDER_SEED, "order of a proof", copy)
    return keys, np.concatenate(sizes), seen - len(every), int((copy > 0).sum())


def _bytes_per_token(texts: Texts, encoder: Encoder, share: float, seed: int) -> float:
    """On the first documents."""
    for _, found in training_texts(texts, share, seed):
        some = found.slice(0, 64).to_pylist()
        count = sum(len(one) for one in encoder.encode(some))
        if count:
            return max(1.0, sum(len(one.encode()) for one in some) / count)
    return 1.0


def _encode(
    texts: Texts, rows: npt.NDArray[np.int64], encoder: Encoder, share: float, seed: int, path: Path, dtype: str
) -> tuple[Path, npt.NDArray[np.int64], int]:
    """Writes the chosen documents (by their number, rising) as they come: (file, tokens of each, bytes of text)."""
    arrived = path.with_suffix(".arrived")
    lengths = np.zeros(len(rows), np.int64)
    end = np.array([encoder.end_of_text], dtype)
    number = place = size = 0
    with arrived.open("wb") as file:
        for _, found in training_texts(texts, share, seed):
            stop = int(np.searchsorted(rows, number + len(found)))
            chosen = found.take(pa.array(rows[place:stop] - number)).to_pylist()
            number += len(found)
            for ids in encoder.encode(chosen):
                file.write(np.concatenate([ids.astype(dtype), end]).tobytes())
                lengths[place] = len(ids) + 1
                place += 1
            size += sum(len(one.encode()) for one in chosen)
    return arrived, lengths, size


def _reorder(
    arrived: Path, lengths: npt.NDArray[np.int64], ranks: npt.NDArray[np.int64], path: Path, dtype: str
) -> tuple[str, int]:
    """Documents in their order: ranks[k] is the number, as it came, of the k-th. Returns (sha256, tokens)."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    source = np.memmap(arrived, dtype=dtype, mode="r", shape=(int(starts[-1]),))
    digest = hashlib.sha256()
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        for number in ranks:
            data = source[starts[number] : starts[number + 1]].tobytes()
            digest.update(data)
            file.write(data)
    del source
    os.replace(part, path)
    arrived.unlink()
    return digest.hexdigest(), int(starts[-1])
