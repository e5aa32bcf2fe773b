"""What of a training text is measured: its documents by number of copies, and which items stand in it how often.

Copies of a document are equal texts, counted in the corpus as it is trained on; a run that read the corpus several
times has seen each as many times more. An item stands in a document where `decontaminate.search` finds at least
THRESHOLD of it.

Memory: 16 bytes for each document of the corpus, the beginnings of the documents drawn, the index of the items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.decontaminate.index import make
from tamis.decontaminate.items import distinct_items
from tamis.decontaminate.search import THRESHOLD, candidates, normals, search
from tamis.proof.items import Item
from tamis.proof.metric import Ints
from tamis.proof.trained_on import Texts, TrainedOn

# Of each level of copies.
DOCUMENTS = 200
BEGINNING = 4096  # characters of a document drawn


@dataclass(frozen=True)
class Drawn:
    """Beginnings of D training documents and how often each stands in the corpus, rounded down to a power of two."""

    texts: list[str]
    copies: Ints
    documents: int


def draw(trained: Texts, *, most: int = DOCUMENTS, least: int = 200, seed: int = 17) -> Drawn:
    """At most `most` different documents of at least `least` characters for each level of copies, at random by seed."""
    parts = [np.array([_key(text) for text in texts.to_pylist()], np.uint64) for _, texts in trained.batches()]
    keys, counts = np.unique(np.concatenate([*parts, np.zeros(0, np.uint64)]), return_counts=True)
    levels = 2 ** np.floor(np.log2(np.maximum(counts, 1))).astype(np.int64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(keys))
    wanted: dict[int, int] = {}
    for level in np.unique(levels):
        # more than needed: some are short
        chosen = order[levels[order] == level][: 4 * most]
        wanted |= {int(keys[i]): int(level) for i in chosen}
    found: dict[int, str] = {}
    for _, texts in trained.batches():
        for text in texts.to_pylist():
            key = _key(text)
            if key in wanted and key not in found and len(text) >= least:
                found[key] = text[:BEGINNING]
    texts_, copies, taken = [], [], dict.fromkeys(wanted.values(), 0)
    for key, level in wanted.items():
        if key in found and taken[level] < most:
            taken[level] += 1
            texts_.append(found[key])
            copies.append(level)
    return Drawn(texts_, np.array(copies, np.int64), sum(map(len, parts)))


def copies_of_items(
    trained: Texts, items: Sequence[Item], tell: Callable[[int], None] = lambda _: None
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """(I,) in how many documents each item's prompt stands, and (I,) whether it could be searched: an item of a few
    words, or one that many items share, cannot be told from chance. tell: documents read so far."""
    rows = [(str(number), one.prompt, one.answer) for number, one in enumerate(items)]
    table = distinct_items([("items", rows)])
    index = make(table)
    numbers = [[int(name.partition("/")[2]) for name in names] for names in index.names]
    counts = np.zeros(len(index), np.int64)
    seen = 0
    for _, texts in trained.batches():
        rows_ = candidates(index, texts)
        if len(rows_):
            for normal in normals(index, texts.take(rows_)):
                for hit in search(index, normal, THRESHOLD - 1e-9):
                    counts[hit.item] += 1
        seen += len(texts)
        tell(seen)
    found, searched = np.zeros(len(items), np.int64), np.zeros(len(items), np.bool_)
    for number, group in enumerate(numbers):
        found[group], searched[group] = counts[number], not index.unsearched[number]
    return found, searched


def was_read(trained: Texts, feed: Mapping[str, Any] | None) -> bool | None:
    """Whether a model whose run.json describes its `feed` was trained on the token shards of this corpus, as they are
    now. None where that cannot be told: raw text, a file of text, a model of transformers, the arm of a proof."""
    if not isinstance(trained, TrainedOn) or trained.corpus is None or not feed or "index" not in feed:
        return None
    index = trained.work.file(f"{trained.corpus.home}/tokens/index.json")
    if not index.exists():
        return None
    return hashlib.sha256(index.read_bytes()).hexdigest() == str(feed["index"])


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
