"""Signals `datatrove`: Gopher's measures as datatrove 0.10's filters take them.

Words are the tokens of spaCy, punctuation included, here approximated by `tokens.spacy_like`; lines and paragraphs
are exact. What differs from the paper: punctuation tokens stand in the denominators; a duplicate is the second and
every later copy; characters are divided by all characters of the text; the most frequent n-gram counts even where
nothing repeats; repeated n-grams are taken greedily from left to right. Definitions: gopher_quality_filter.py,
gopher_repetition_filter.py and utils/text.py of datatrove 0.10.1.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tamis.kernels import unicode_tables as tables
from tamis.signals.batch import Batch
from tamis.signals.characters import I64, Characters, Mask, Pieces, characters, member
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup, count
from tamis.signals.ngrams import repeated
from tamis.signals.peers import TOPS, newline_edges, ngram_columns, shares, stop_words
from tamis.signals.tokens import spacy_like

SOURCE = "datatrove 0.10.1"
# Its PUNCTUATION but for control characters; its terminal marks are those of the tables.
PUNCTUATION = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    text = characters(batch)
    stats = batch.analysis("clean")["stats"]
    tokens = spacy_like(text)
    total, chars = tokens.counts(), text.lengths
    words = tokens.where(tokens.any(~_punctuation(text)))
    measured = {
        "mean_word": (words.chars(), words.counts()),
        "hash_ratio": (stats["hashes"], total),
        "ellipsis_ratio": (stats["ellipses"], total),
        "bullet_lines": (stats["bullet_lines"] - stats["star_lines"], stats["lines"]),
        "ellipsis_lines": (stats["ellipsis_lines"], stats["lines"]),
        "alpha_tokens": (text.per_row(tokens.row[tokens.any(text.alpha)]), total),
        "list_ratio": (stats["newlines"], total),
        **_blocks(text),
    }
    for grams in repeated(tokens):
        if grams.n in TOPS:
            measured[f"top_{grams.n}"] = (grams.top(joints=True, single=True), chars)
        elif grams.n > max(TOPS):
            measured[f"dup_{grams.n}"] = (grams.greedy(), chars)
    return {
        "words": count(words.counts()),
        "tokens": count(total),
        "stop_words": count(stop_words(tokens, distinct=True)),
        **shares(measured),
    }


def _punctuation(text: Characters) -> Mask:
    codes = text.codes
    control = (codes < 32) & (codes != 9) & (codes != 10) | (codes >= 127) & (codes < 160)
    found: Mask = member(PUNCTUATION, codes) | ((text.flags & tables.TERMINAL) != 0) | control
    return found


def _blocks(text: Characters) -> dict[str, tuple[I64, I64]]:
    """Second and later copies of lines (cut at runs of newlines) and of paragraphs (at runs of two or more)."""
    lines = text.blocks(1)
    first, last = newline_edges(text)
    again = lines.where(lines.copies.later)
    whole = Pieces(text, text.offsets[:-1], text.offsets[1:], np.arange(text.rows)).stripped()
    inside = whole.mask()
    newlines = text.runs((text.codes == 10) & inside)
    paragraphs = text.runs(inside & ~newlines.where(newlines.sizes > 1).mask())
    copies = paragraphs.where(paragraphs.copies.later)
    chars = text.lengths
    return {
        "dup_lines": (again.counts() + first * last, lines.counts() + first + last),
        "dup_line_chars": (again.chars(), chars),
        "dup_paragraphs": (copies.counts(), paragraphs.counts()),
        "dup_paragraph_chars": (copies.chars(), chars),
    }


GROUP = SignalGroup(
    name="datatrove",
    version=1,
    reads="clean",
    packages=("numpy", "unicodedata"),
    compute=compute,
    description="Gopher's measures in the dialect of datatrove 0.10; words are close to its tokens.",
    analyses=("stats",),
    optional=True,
    columns=(
        Column("words", INT, "tokens", "tokens that are not all punctuation", SOURCE),
        Column("tokens", INT, "tokens", "words and punctuation marks, close to spaCy's", SOURCE),
        Column("stop_words", INT, "words, 0 to 8", "different ones of Gopher's eight, in lower case", SOURCE),
        Column("mean_word", SHARE, "characters per word", "characters of words / words", SOURCE),
        Column("hash_ratio", SHARE, "symbols per token", "number of # / tokens", SOURCE),
        Column("ellipsis_ratio", SHARE, "symbols per token", "number of ... and … / tokens", SOURCE),
        Column("bullet_lines", SHARE, "share of lines", "lines that begin with • or - / lines", SOURCE),
        Column("ellipsis_lines", SHARE, "share of lines", "lines that end in ... or … / lines", SOURCE),
        Column("alpha_tokens", SHARE, "share of tokens", "tokens with a letter / tokens, punctuation included", SOURCE),
        Column("list_ratio", SHARE, "newlines per token", "newlines / tokens", SOURCE),
        Column("dup_lines", SHARE, "share of lines", "second and later copies / lines cut at runs of newlines", SOURCE),
        Column("dup_line_chars", SHARE, "share of characters", "their characters / characters", SOURCE),
        Column("dup_paragraphs", SHARE, "share of paragraphs", "second and later copies / paragraphs", SOURCE),
        Column("dup_paragraph_chars", SHARE, "share of characters", "their characters / characters", SOURCE),
        *ngram_columns(
            SOURCE,
            "its count times its length with spaces / characters; counts once where nothing repeats",
            "characters of those met again, reading on behind each / characters",
        ),
    ),
)
