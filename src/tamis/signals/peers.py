"""What the groups of the dialects share: names and columns of Gopher's rules, and the shares they are made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from tamis.signals.characters import I64, Characters, Pieces
from tamis.signals.group import SHARE, Column, share

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
TOPS, DUPLICATES = (2, 3, 4), (5, 6, 7, 8, 9, 10)


def ngram_columns(source: str, top: str, duplicate: str) -> tuple[Column, ...]:
    """top_2 ... dup_10, described as `top` and `duplicate` say."""
    return (
        *(Column(f"top_{n}", SHARE, "share of characters", f"most frequent {n}-gram: {top}", source) for n in TOPS),
        *(
            Column(f"dup_{n}", SHARE, "share of characters", f"repeated {n}-grams: {duplicate}", source)
            for n in DUPLICATES
        ),
    )


def stop_words(words: Pieces, *, distinct: bool) -> I64:
    """How many of Gopher's eight occur among the words of each text, or how often; capitals count as others."""
    found = words.equal_to(STOP_WORDS)
    hits = found >= 0
    rows, found = words.row[hits], found[hits]
    if not distinct:
        return words.text.per_row(rows)
    seen = np.zeros((words.text.rows, len(STOP_WORDS)), np.bool_)
    seen[rows, found] = True
    total: I64 = seen.sum(axis=1)
    return total


def newline_edges(text: Characters) -> tuple[I64, I64]:
    """Empty first and last lines of `re.split("\\n+")`: 1 where a text begins, or ends, with a newline."""
    some = np.flatnonzero(text.lengths > 0)
    first, last = np.zeros(text.rows, np.int64), np.zeros(text.rows, np.int64)
    first[some] = text.codes[text.offsets[some]] == 10
    last[some] = text.codes[text.offsets[some + 1] - 1] == 10
    return first, last


def shares(values: Mapping[str, tuple[I64, I64]]) -> dict[str, pa.Array]:
    """numerator / denominator of each, null where the denominator is 0."""
    return {name: share(*pair) for name, pair in values.items()}
