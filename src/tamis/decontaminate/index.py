"""A file of items made searchable: word n-grams with their weights, and short items as wholes.

Words are the words of the normalized text. The weight of an n-gram g for an item i is

    w(g, i) = 1 / items(g)  x  10 / (10 + max(0, documents(g) - documents(i)))

items(g): in how many distinct items g stands. An n-gram of more than `MOST_ITEMS` (a template, an instruction, options)
weighs nothing. documents(g): in how many documents of a sample of the corpus g stands; documents(i) is what a
tenth of the n-grams of i do not exceed, so an n-gram counts as a common phrase (a licence, a quotation) only as far as
it is more common than the item itself: an item that was copied a thousand times keeps its weight. 1 where no sample
was counted. A word of an item weighs as much as the heaviest n-gram around it.

An item of fewer words than an n-gram, or whose n-grams all weigh nothing, is searched as a whole, from its first words
on. One of fewer than `least_words` words is not searched, nothing can be said about it; nor is one that more than
`MOST_VARIANTS` different items become when they are normalized, for what tells them apart is gone.

Memory: about 120 bytes for every word of the items in each worker, 170 while it is made (measured: 92,500 items with
5.2 million words and 2.9 million n-grams take 0.6 GB, 0.9 GB at peak, and 9 s). It does not grow with the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis import kernels
from tamis.documents import read_table
from tamis.kernels import reference

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
F32 = npt.NDArray[np.float32]

MOST_ITEMS = 50
MOST_VARIANTS = 4
FREE_DOCUMENTS = 10
# Words of the n-grams by which a match is extended around its seeds.
FINE = 5

# Documents of a sample of the corpus in which an n-gram of the items stands; n-grams without any are left out.
COMMON = pa.schema([pa.field("ngram", pa.uint64(), nullable=False), pa.field("documents", pa.int64(), nullable=False)])

_P1 = np.uint64(reference.P1)
_P2 = np.uint64(reference.P2)
_P3 = np.uint64(reference.P3)


def avalanche(h: U64) -> U64:
    """`reference.avalanche` of an array."""
    h = h ^ (h >> np.uint64(33))
    h = h * _P2
    h ^= h >> np.uint64(29)
    h *= _P3
    return h ^ (h >> np.uint64(32))


def rolled(hashes: U64, size: int) -> U64:
    """The kernels' hash of every n-gram of `size` words: (max(0, words - size + 1),), 0 stored as 1 as in their
    tables. hashes: (words,) `word_hash` of each."""
    count = len(hashes) - size + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    h = np.zeros(count, np.uint64)
    for k in range(size):
        h = h * _P1 + hashes[k : k + count]
    return np.maximum(avalanche(h), np.uint64(1))


@dataclass(frozen=True)
class Index:
    """I items with W words in all, G n-grams.

    names, shown: of each item, for people. starts: (I + 1,) where the words of each begin in `words` (W,), numbers
    into `vocabulary`; weights: (W,) float32 of each word, 0 where only boilerplate covers it. answers: (I,) words of
    the answer or None. grams: (G,) sorted hashes of the n-grams that weigh something; the items of gram g are
    ``posted[posts[g]:posts[g + 1]]``; common: (G,) whether it is a common phrase of the corpus. short, long: the
    items that are searched as wholes, by the hash of their first words (`least_words`, or `size` where they have that
    many). unsearched: (I,) items of which nothing can be said. boilerplate: n-grams that weigh nothing.
    """

    size: int
    form: str
    names: list[list[str]]
    shown: list[str]
    vocabulary: dict[str, int]
    hashes: U64
    starts: I64
    words: npt.NDArray[np.int32]
    weights: F32
    answers: list[npt.NDArray[np.int32] | None]
    grams: U64
    posts: I64
    posted: npt.NDArray[np.int32]
    common: npt.NDArray[np.bool_]
    short: dict[int, list[int]]
    long: dict[int, list[int]]
    unsearched: npt.NDArray[np.bool_]
    boilerplate: int
    table: U64
    short_table: U64 | None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def least_words(self) -> int:
        """An item with fewer words is not searched: too many texts hold such a phrase."""
        return least_words(self.size)

    def item(self, number: int) -> npt.NDArray[np.int32]:
        """The words of an item."""
        return self.words[self.starts[number] : self.starts[number + 1]]

    def item_weights(self, number: int) -> F32:
        return self.weights[self.starts[number] : self.starts[number + 1]]

    @cached_property
    def whole(self) -> npt.NDArray[np.bool_]:
        """(I,) items that are searched as wholes."""
        found = np.zeros(len(self), np.bool_)
        for table in (self.short, self.long):
            for numbers in table.values():
                found[numbers] = True
        return found

    def numbers(self, normal: str) -> npt.NDArray[np.int32]:
        """The words of a normalized text as numbers into the vocabulary, -1 for words of no item."""
        words = normal.split(" ") if normal else []
        get = self.vocabulary.get
        return np.fromiter((get(word, -1) for word in words), np.int32, len(words))

    def ngrams(self, numbers: npt.NDArray[np.int32], size: int) -> tuple[U64, npt.NDArray[np.bool_]]:
        """(hash of every n-gram of `size` words, whether all its words are known)."""
        count = max(0, len(numbers) - size + 1)
        unknown = np.concatenate([[0], np.cumsum(numbers < 0)])
        known = unknown[size : size + count] == unknown[:count] if count else np.zeros(0, np.bool_)
        return rolled(self.hashes[numbers], size), known


def least_words(size: int) -> int:
    """3 of 5 of an n-gram: 8 of 13."""
    return max(2, -(-3 * size // 5))


def make(
    items: pa.Table,
    size: int = 13,
    form: str = "script",
    common: pa.Table | None = None,
    *,
    most_items: int = MOST_ITEMS,
) -> Index:
    """The index of ITEMS; `common`: COMMON counts of a sample of the corpus."""
    texts = items.column("text").combine_chunks()
    split = pc.split_pattern(texts, " ")
    coded = split.flatten().dictionary_encode() if len(split) else pa.array([], pa.string()).dictionary_encode()
    answers = items.column("answer").combine_chunks()
    vocabulary = {word: number for number, word in enumerate(coded.dictionary.to_pylist())}
    answer_words: list[npt.NDArray[np.int32] | None] = []
    for answer in answers.to_pylist():
        found = [vocabulary.setdefault(word, len(vocabulary)) for word in answer.split(" ")] if answer else None
        answer_words.append(np.array(found, np.int32) if found else None)
    # the last one is that of unknown words (number -1): n-grams with them are masked, never looked up
    hashes = np.array([*(reference.word_hash(word.encode()) for word in vocabulary), 0], np.uint64)
    words = coded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    starts = split.offsets.to_numpy().astype(np.int64) - (split.offsets[0].as_py() if len(split) else 0)
    del split, coded
    pa.default_memory_pool().release_unused()
    lengths = np.diff(starts)
    count = len(lengths)

    item_of = np.repeat(np.arange(count, dtype=np.int32), lengths)
    every = rolled(hashes[words], size)
    inside = item_of[: len(every)] == item_of[size - 1 :] if len(every) else np.zeros(0, np.bool_)
    places = np.flatnonzero(inside)  # where an n-gram of an item begins
    owner = item_of[places]
    grams, number = np.unique(every[places], return_inverse=True)
    del every, inside
    pair = np.sort(number.astype(np.int64) * count + owner)
    if len(pair):
        pair = pair[np.concatenate([[True], pair[1:] != pair[:-1]])]  # an n-gram twice in an item counts once
    hidden = items.column("variants").to_numpy() > MOST_VARIANTS
    pair = pair[~hidden[pair % count]]
    posted, post_gram = (pair % count).astype(np.int32), pair // count
    holders = np.bincount(post_gram, minlength=len(grams))
    useful = (holders > 0) & (holders <= most_items)
    weight = np.where(useful, 1.0 / np.maximum(holders, 1), 0.0)[number] * ~hidden[owner]
    phrase = np.zeros(len(grams), np.bool_)
    if common is not None and common.num_rows and len(places):
        excess = _excess(grams, number, owner, count, common)
        weight = weight * (FREE_DOCUMENTS / (FREE_DOCUMENTS + excess))
        phrase[:] = True  # unless it is no more common than one of its items
        phrase[number[excess <= FREE_DOCUMENTS]] = False
    weight = weight.astype(np.float32)

    weights, begin = np.zeros(len(words), np.float32), np.zeros(len(words), np.float32)
    begin[places] = weight
    for k in range(min(size, len(words))):
        np.maximum(weights[k:], begin[: len(words) - k], out=weights[k:])

    kept = np.flatnonzero(useful[post_gram])
    renumber = np.cumsum(useful) - 1
    posts = np.searchsorted(renumber[post_gram[kept]], np.arange(int(useful.sum()) + 1))
    weighty = np.bincount(item_of, weights=weights, minlength=count) > 0
    least = least_words(size)
    short: dict[int, list[int]] = {}
    long: dict[int, list[int]] = {}
    for item in np.flatnonzero(~weighty & ~hidden & (lengths >= least)).tolist():
        width, table = (size, long) if lengths[item] >= size else (least, short)
        first = rolled(hashes[words[starts[item] : starts[item] + width]], width)
        table.setdefault(int(first[0]), []).append(item)
    grams = grams[useful]
    return Index(
        size=size,
        form=form,
        names=items.column("names").to_pylist(),
        shown=items.column("shown").to_pylist(),
        vocabulary=vocabulary,
        hashes=hashes,
        starts=starts,
        words=words,
        weights=weights,
        answers=answer_words,
        grams=grams,
        posts=posts,
        posted=posted[kept],
        common=phrase[useful],
        short=short,
        long=long,
        unsearched=~weighty & ((lengths < least) | hidden),
        boilerplate=int(np.count_nonzero(holders > most_items)),
        **_tables(texts, size, form, grams, short, long),
    )


def _tables(
    texts: pa.Array, size: int, form: str, grams: U64, short: dict[int, list[int]], long: dict[int, list[int]]
) -> dict[str, Any]:
    """What the kernel looks up first. It knows `script` words only: for `whitespace` words every `script` n-gram of
    the items is looked up, which no match can lack, and the search decides."""
    least = least_words(size)
    if form == "script":
        first = kernels.ngram_table(np.concatenate([grams, np.array(sorted(long), np.uint64)]))
        second = kernels.ngram_table(np.array(sorted(short), np.uint64)) if short else None
    else:
        first = kernels.ngram_table(kernels.shingles(texts, size, False)[1])
        second = kernels.ngram_table(kernels.shingles(texts, least, False)[1]) if short else None
    return {"table": first, "short_table": second}


def _excess(grams: U64, number: I64, owner: npt.NDArray[np.int32], count: int, common: pa.Table) -> I64:
    """Documents of the n-gram beyond those of its item, for every n-gram of every item."""
    known = common.column("ngram").to_numpy()
    at = np.minimum(np.searchsorted(known, grams), len(known) - 1)
    documents = np.where(known[at] == grams, common.column("documents").to_numpy()[at], 0)[number]
    order = np.lexsort((documents, owner))
    sizes = np.bincount(owner, minlength=count)
    begins = np.cumsum(sizes) - sizes
    decile = np.zeros(count, np.int64)
    has = sizes > 0
    decile[has] = documents[order][begins[has] + sizes[has] // 10]
    excess: I64 = np.maximum(0, documents - decile[owner])
    return excess


@lru_cache(maxsize=2)
def load(path: str, size: int, form: str, common: str | None, key: str) -> Index:
    """The index of a file of ITEMS and one of COMMON, kept in the process. `key`: hashes of their content."""
    counts = read_table(Path(common)) if common else None
    made = make(read_table(Path(path)), size, form, counts)
    pa.default_memory_pool().release_unused()
    return made
