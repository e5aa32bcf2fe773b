"""Signals `dclm`: Gopher's measures as DCLM's content filters take them. Exact but for the words of two measures.

Lines and paragraphs are stripped and those that are empty left out; every copy counts as a duplicate and characters
are divided by those of lines; n-grams are of Unicode words that begin with a letter or digit (`tokens.unicode_words`,
close to uniseg's), an n-gram that occurs once scores 0, of equally frequent ones the longest counts, and a word in
several repeated n-grams counts once. Definition: baselines/mappers/filters/content_filters.py and
dclm_baseline_refinedweb.yaml of mlfoundations/dclm.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tamis.signals.batch import Batch
from tamis.signals.characters import U32, Characters, Mask, Pieces, characters
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup, count
from tamis.signals.ngrams import repeated
from tamis.signals.peers import STOP_WORDS, TOPS, ngram_columns, shares
from tamis.signals.tokens import split, unicode_words

SOURCE = "DCLM, content_filters.py"


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    text = characters(batch)
    tokens, words = split(text), unicode_words(text)
    total, chars = tokens.counts(), words.chars()
    lines, paragraphs = text.blocks(1).stripped(), text.blocks(2).stripped()
    symbols = sum(text.occurrences(mark) for mark in ("#", "...", ". . .", "…"))
    measured = {
        "mean_word": (tokens.chars(), total),
        "symbol_ratio": (np.asarray(symbols), total),
        "bullet_lines": (text.per_row(lines.row[text.member("●•*-")[lines.start]]), lines.counts()),
        "ellipsis_lines": (text.per_row(lines.row[_ellipsis(lines)]), lines.counts()),
        "no_alpha_words": (text.per_row(tokens.row[~tokens.any(text.alpha)]), total),
    }
    for name, pieces in (("line", lines), ("paragraph", paragraphs)):
        copies = pieces.where(pieces.copies.repeated)
        measured[f"dup_{name}s"] = (copies.counts(), pieces.counts())
        measured[f"dup_{name}_chars"] = (copies.chars(), pieces.chars())
    for grams in repeated(words):
        if grams.n in TOPS:
            measured[f"top_{grams.n}"] = (grams.top(longest=True), chars)
        elif grams.n > max(TOPS):
            measured[f"dup_{grams.n}"] = (grams.covered(), chars)
    lower = Characters(_lower(text), text.offsets)
    stops = Pieces(lower, tokens.start, tokens.end, tokens.row).equal_to(STOP_WORDS) >= 0
    return {
        "words": count(words.counts()),
        "stop_words": count(text.per_row(tokens.row[stops])),
        **shares(measured),
    }


def _ellipsis(lines: Pieces) -> Mask:
    """Lines that end in `...`, `. . .` or `…`."""
    codes = lines.text.codes

    def ends(mark: str) -> Mask:
        found = lines.sizes >= len(mark)
        for i, character in enumerate(reversed(mark), 1):
            found &= codes[np.maximum(lines.end - i, 0)] == ord(character)
        return found

    return ends("...") | ends(". . .") | ends("…")


def _lower(text: Characters) -> U32:
    """Code points with ASCII letters in lower case: no other letter becomes one of an English stop word."""
    codes = text.codes
    return np.where((codes >= 65) & (codes <= 90), codes + np.uint32(32), codes)


GROUP = SignalGroup(
    name="dclm",
    version=1,
    reads="clean",
    packages=("numpy", "unicodedata"),
    compute=compute,
    description="Gopher's measures in the dialect of DCLM.",
    optional=True,
    columns=(
        Column("words", INT, "words", "Unicode words that begin with a letter or digit", SOURCE),
        Column("stop_words", INT, "words", "white-space tokens that are one of Gopher's eight, in any case", SOURCE),
        Column("mean_word", SHARE, "characters per word", "characters of white-space tokens / tokens", SOURCE),
        Column("symbol_ratio", SHARE, "symbols per word", "number of #, ..., . . . and … / white-space tokens", SOURCE),
        Column("bullet_lines", SHARE, "share of lines", "lines that begin with ●, •, * or - / lines", SOURCE),
        Column("ellipsis_lines", SHARE, "share of lines", "lines that end in ..., . . . or … / lines", SOURCE),
        Column("no_alpha_words", SHARE, "share of words", "white-space tokens without a letter / tokens", SOURCE),
        Column("dup_lines", SHARE, "share of lines", "lines that occur twice or more, all copies / lines", SOURCE),
        Column("dup_line_chars", SHARE, "share of characters", "their characters / characters of lines", SOURCE),
        Column("dup_paragraphs", SHARE, "share of paragraphs", "as dup_lines, cut at blank lines", SOURCE),
        Column("dup_paragraph_chars", SHARE, "share of characters", "as dup_line_chars", SOURCE),
        *ngram_columns(
            SOURCE,
            "its count times the characters of its words / characters of words; 0 where nothing repeats",
            "characters of the words within them / characters of words",
        ),
    ),
)
