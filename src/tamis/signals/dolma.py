"""Signals `dolma`: Gopher's measures as dolma's tagger `gopher_v2` takes them. Exact.

Words are `str.split()`; the length of words is their median; a symbol is counted once a word, and `...` is none;
every copy of a line counts as a duplicate; characters are divided by the characters of words; of repeated n-grams
all occurrences are summed, overlaps again, and divided by the same sum over all n-grams. Definition:
python/dolma/taggers/gopher.py of dolma 1.2.1.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tamis.signals.batch import Batch
from tamis.signals.characters import Characters, Pieces, characters
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup, count
from tamis.signals.ngrams import repeated
from tamis.signals.peers import TOPS, newline_edges, ngram_columns, shares, stop_words
from tamis.signals.tokens import split

SOURCE = "dolma 1.2.1, gopher_v2"


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    text = characters(batch)
    words = split(text)
    total, chars = words.counts(), words.chars()
    lines = text.blocks(1)
    first, last = newline_edges(text)
    every = lines.counts() + first + last
    copies = lines.where(lines.copies.repeated)
    codes = text.codes
    measured = {
        "symbol_words": (text.per_row(words.row[words.any(text.member("#…"))]), total),
        "alpha_words": (text.per_row(words.row[words.any(text.alpha)]), total),
        "bullet_lines": (text.per_row(lines.row[np.isin(codes[lines.start], (42, 45))]), every),
        "ellipsis_lines": (text.per_row(lines.row[codes[lines.end - 1] == 0x2026]), every),
        "dup_lines": (copies.counts() + 2 * first * last, every),
        "dup_line_chars": (copies.chars(), chars),
    }
    for grams in repeated(words):
        if grams.n in TOPS:
            measured[f"top_{grams.n}"] = (grams.top(single=True), chars)
        elif grams.n > max(TOPS):
            measured[f"dup_{grams.n}"] = (grams.every_copy(), grams.every_gram())
    return {
        "words": count(total),
        "median_word": _medians(words),
        "stop_words": count(stop_words(words, distinct=False)),
        **shares(measured),
    }


def _medians(words: Pieces) -> pa.Array:
    """The median length of words of each text, null where there are none."""
    text: Characters = words.text
    order = np.lexsort((words.sizes, words.row))
    sizes, total = words.sizes[order], words.counts()
    first = np.concatenate([[0], np.cumsum(total)])[:-1]
    some = np.flatnonzero(total)
    out = np.zeros(text.rows)
    low, high = first[some] + (total[some] - 1) // 2, first[some] + total[some] // 2
    out[some] = (sizes[low] + sizes[high]) / 2
    return pa.array(out, mask=total == 0)


GROUP = SignalGroup(
    name="dolma",
    version=1,
    reads="clean",
    packages=("numpy",),
    compute=compute,
    description="Gopher's measures in the dialect of dolma's gopher_v2.",
    optional=True,
    columns=(
        Column("words", INT, "words", "white-space tokens", SOURCE),
        Column("median_word", SHARE, "characters", "median length of words", SOURCE),
        Column("stop_words", INT, "words", "occurrences of Gopher's eight, in lower case, no mark attached", SOURCE),
        Column("symbol_words", SHARE, "share of words", "words that hold # or … / words", SOURCE),
        Column("alpha_words", SHARE, "share of words", "words with a letter / words", SOURCE),
        Column("bullet_lines", SHARE, "share of lines", "lines whose very first character is * or - / lines", SOURCE),
        Column("ellipsis_lines", SHARE, "share of lines", "lines whose very last character is … / lines", SOURCE),
        Column("dup_lines", SHARE, "share of lines", "lines that occur twice or more, all copies / lines", SOURCE),
        Column("dup_line_chars", SHARE, "share of characters", "their characters / characters of words", SOURCE),
        *ngram_columns(
            SOURCE,
            "its count times the characters of its words / characters of words; counts once where nothing repeats",
            "characters of all occurrences / the same of all n-grams",
        ),
    ),
)
