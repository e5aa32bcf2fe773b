"""Which items stand in a text, and how much of each.

A kernel looks every document's word n-grams up first; only a document with a hit is looked at here:

1. its n-grams of `size` words that are in the index are seeds;
2. for every item with seeds, the stretch of the text with most of its seeds is taken, widened by the item's length;
3. a word of the item is found if an n-gram of 5 words around it stands in that stretch: a copy with a word put in or
   changed keeps its place, a template does not count, for its words weigh nothing;
4. score = weight of the item's words that were found / weight of all its words. For an item searched as a whole,
   words / size, at most 1;
5. with the answer near (within `REACH` words of the match, or for a long answer half of its 5-grams), half of what is
   missing to 1 is added. An answer that the item itself holds, such as an option, counts only outside the item's copy:
   the shortest stretch with every 5-gram of the item that stands there, as often as the item has it. Any other answer
   counts wherever it stands: worked answers say parts of the question again, and what repeats them is no copy.

Time: linear in the text, and under a millisecond for each item with a seed (a page that holds all of GSM8K: 9 s).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import kernels
from tamis.decontaminate.index import FINE, Index, rolled

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

# Words before or behind a match in which its answer is looked for.
REACH = 50
# From this score on an item counts as found, in `items` and by the preset. docs/decontamination.md: of 0.5 to 0.9 the
# lowest at which no document of four real corpora was flagged.
THRESHOLD = 0.7


@dataclass(frozen=True)
class Hit:
    """One item in one text. score in [0, 1]; grams: how many of its n-grams stand there (0 of a whole item);
    first, last: the words of the text between which it stands, last included; answer: whether that is near."""

    item: int
    score: float
    grams: int
    answer: bool
    first: int
    last: int


def candidates(index: Index, text: pa.LargeStringArray) -> I64:
    """Rows whose text holds an n-gram of the index: all others have no hit."""
    hits = kernels.ngram_hits(text, index.table, index.size, False) > 0
    if index.short_table is not None:
        hits |= kernels.ngram_hits(text, index.short_table, index.least_words, False) > 0
    return np.flatnonzero(hits)


def normals(index: Index, text: pa.LargeStringArray) -> list[str]:
    """Normalized texts in the index's word form."""
    made: list[str] = kernels.normalize(text, False, index.form == "script").to_pylist()
    return made


def search(index: Index, normal: str, floor: float = 0.0) -> list[Hit]:
    """The items in one normalized text with a score above `floor`, best first (then most n-grams, then their order)."""
    numbers = index.numbers(normal)
    found = [*_seeded(index, numbers), *whole_hits(index, numbers)]
    kept = [hit for hit in found if hit.score > floor]
    return sorted(kept, key=lambda hit: (-hit.score, -hit.grams, hit.item))


def seeds(index: Index, numbers: I32) -> tuple[I64, I64]:
    """(position in the text, number of the n-gram) of every n-gram of the index."""
    hashes, known = index.ngrams(numbers, index.size)
    places = np.flatnonzero(known)
    if not len(index.grams):
        return places[:0], places[:0]
    at = np.minimum(np.searchsorted(index.grams, hashes[places]), len(index.grams) - 1)
    same = index.grams[at] == hashes[places]
    return places[same], at[same]


def _seeded(index: Index, numbers: I32) -> list[Hit]:
    places, grams = seeds(index, numbers)
    if not len(places):
        return []
    sizes = index.posts[grams + 1] - index.posts[grams]
    begins = np.cumsum(sizes) - sizes
    every = np.arange(int(sizes.sum())) - np.repeat(begins, sizes) + np.repeat(index.posts[grams], sizes)
    items, where, what = index.posted[every], np.repeat(places, sizes), np.repeat(grams, sizes)
    order = np.lexsort((where, items))
    items, where, what = items[order], where[order], what[order]
    cuts = np.flatnonzero(np.concatenate([[True], items[1:] != items[:-1], [True]]))
    fine, known = index.ngrams(numbers, FINE)
    fine = np.where(known, fine, np.uint64(0))
    return [
        _score(index, numbers, fine, int(items[a]), where[a:b], what[a:b])
        for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
    ]


def _score(index: Index, numbers: I32, fine: npt.NDArray[np.uint64], item: int, where: I64, what: I64) -> Hit:
    words, weights = index.item(item), index.item_weights(item)
    first, last = _densest(where, what, 2 * len(words) + index.size)
    low = max(0, first - len(words))
    high = min(len(numbers), last + index.size + len(words))
    own = rolled(index.hashes[words], FINE)
    near = fine[low : max(low, high - FINE + 1)]
    there = np.isin(own, near)
    covered = np.zeros(len(words), np.bool_)
    for k in range(FINE):
        covered[k : k + len(own)] |= there
    total = float(weights.sum(dtype=np.float64))
    score = float(weights[covered].sum(dtype=np.float64)) / total
    matched = np.flatnonzero(np.isin(near, own))  # never empty: a seed holds n-grams of 5
    begin, end = _copy(own, near[matched], matched + low)
    every = (int(matched[0]) + low, int(matched[-1]) + low + FINE - 1)
    answer = _answered(index, numbers, fine, item, (begin, end), every)
    inside = (where >= first) & (where <= last)
    return Hit(item, _raised(score, answer), len(np.unique(what[inside])), answer, begin, end)


def _copy(own: npt.NDArray[np.uint64], found: npt.NDArray[np.uint64], places: I64) -> tuple[int, int]:
    """The first and last word of the item's copy. own: the item's 5-grams; found: those that stand in the text at
    `places` (ascending). It is the shortest stretch that holds each of them as often as the item does, where there are
    so many: the question, and not the answer behind it that says some of its words again."""
    grams, of = np.unique(found, return_inverse=True)
    items, counts = np.unique(own, return_counts=True)
    there = np.bincount(of)
    need = np.minimum(counts[np.searchsorted(items, grams)], there)
    if np.array_equal(need, there):
        return int(places[0]), int(places[-1]) + FINE - 1
    which, where, missing = of.tolist(), places.tolist(), need.tolist()
    open_, low = int(need.sum()), 0
    best = (where[0], where[-1])
    for high, gram in enumerate(which):
        open_ -= missing[gram] > 0
        missing[gram] -= 1
        while missing[which[low]] < 0:  # one too many: the stretch can begin later
            missing[which[low]] += 1
            low += 1
        if not open_ and where[high] - where[low] < best[1] - best[0]:
            best = (where[low], where[high])
    return best[0], best[1] + FINE - 1


def _densest(where: I64, what: I64, width: int) -> tuple[int, int]:
    """The first and last seed of the stretch of at most `width` words with most seeds."""
    ends = np.searchsorted(where, where + width)
    best = int(np.argmax(ends - np.arange(len(where))))
    return int(where[best]), int(where[ends[best] - 1])


def whole_hits(index: Index, numbers: I32) -> list[Hit]:
    """Items that are searched as wholes: each where it scores best."""
    found: dict[int, Hit] = {}
    fine = None
    for table, width in ((index.short, index.least_words), (index.long, index.size)):
        if not table:
            continue
        hashes, known = index.ngrams(numbers, width)
        starts = np.array(sorted(table), np.uint64)
        at = np.minimum(np.searchsorted(starts, hashes), len(starts) - 1)
        for place in np.flatnonzero(known & (starts[at] == hashes)).tolist():
            for item in table[int(hashes[place])]:
                words = index.item(item)
                if not np.array_equal(numbers[place : place + len(words)], words):
                    continue
                if fine is None:
                    values, sure = index.ngrams(numbers, FINE)
                    fine = np.where(sure, values, np.uint64(0))
                end = place + len(words) - 1
                answer = _answered(index, numbers, fine, item, (place, end), (place, end))
                score = _raised(min(1.0, len(words) / index.size), answer)
                if item not in found or score > found[item].score:
                    found[item] = Hit(item, score, 0, answer, place, end)
    return list(found.values())


def _raised(score: float, answer: bool) -> float:
    return score + (1 - score) / 2 if answer else score


def _answered(
    index: Index,
    numbers: I32,
    fine: npt.NDArray[np.uint64],
    item: int,
    copy: tuple[int, int],
    every: tuple[int, int],
) -> bool:
    """Whether the item's answer stands near. copy: first and last word of the item's copy, out of which an answer that
    the item itself holds is not taken; every: of all that is the item's around it, from which `REACH` counts."""
    words = index.answers[item]
    if words is None:
        return False
    if len(words) < index.size:
        inside = _contains(index.item(item), words)
        reach = REACH + len(words)
    else:
        grams, known = rolled(index.hashes[words], FINE), rolled(index.hashes[index.item(item)], FINE)
        new = grams[~np.isin(grams, known)]
        inside = len(new) * 2 < len(grams)
        grams = grams if inside else new
        reach = REACH + 2 * len(words)
    if inside:
        stretches = [(copy[1] + 1, copy[1] + 1 + reach), (max(0, copy[0] - reach), copy[0])]
    else:
        stretches = [(max(0, every[0] - reach), every[1] + 1 + reach)]
    for low, high in stretches:
        if len(words) >= index.size:
            near = fine[low : max(low, min(high, len(numbers)) - FINE + 1)]
            if np.count_nonzero(np.isin(grams, near)) * 2 >= len(grams):
                return True
        elif _contains(numbers[low:high], words):
            return True
    return False


def _contains(text: I32, words: I32) -> bool:
    starts = np.flatnonzero(text[: max(0, len(text) - len(words) + 1)] == words[0])
    return any(np.array_equal(text[at : at + len(words)], words) for at in starts.tolist())


def word_spans(text: str, normal: str) -> tuple[I64, I64]:
    """Where each word of the normalized text stands in the text: (start, end) in characters.

    Normalization works code point by code point, so each code point of the text gives so many characters of the
    normalized words, and counting leads back.
    """
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    different, which = np.unique(points, return_inverse=True)
    singles = pa.array([chr(point) for point in different.tolist()], pa.large_string())
    folded = kernels.normalize(singles, False, True).to_pylist()
    gives = np.array([len(one.replace(" ", "")) for one in folded], np.int64)[which]
    source = np.repeat(np.arange(len(points)), gives)
    lengths = np.array([len(word) for word in normal.split(" ")] if normal else [], np.int64)
    ends = np.cumsum(lengths)
    if len(source) != (ends[-1] if len(ends) else 0):
        raise AssertionError("normalization is no longer code point by code point")
    return source[ends - lengths], source[ends - 1] + 1


def byte_offsets(text: str) -> I64:
    """UTF-8 byte offset of every character and of the end: (characters + 1,)."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def search_texts(index: Index, texts: Sequence[str], floor: float = 0.0) -> list[list[Hit]]:
    """`search` of raw texts, kernel first."""
    array = pa.array(texts, pa.large_string())
    found: list[list[Hit]] = [[] for _ in texts]
    rows = candidates(index, array)
    for row, normal in zip(rows.tolist(), normals(index, array.take(pa.array(rows))), strict=True):
        found[row] = search(index, normal, floor)
    return found
