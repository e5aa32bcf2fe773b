"""Signals `text`: size, words and characters of the clean text, as the quality rules of Gopher need them.

Source of most definitions: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training
Gopher", appendix A1.1 (quality filtering). Where the paper leaves a choice open, the column says what was chosen.
"""

from __future__ import annotations

import pyarrow as pa

from tamis.signals.batch import Batch
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup, count, share

GOPHER = "Rae et al. 2021, A1.1"
OWN = "Tamis"


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    a = batch.analysis("clean")["stats"]
    words, tokens, chars, lines = a["words"], a["tokens"], a["chars"], a["lines"]
    return {
        "bytes": count(a["bytes"]),
        "chars": count(chars),
        "words": count(words),
        "script_words": count(a["script_words"]),
        "mean_word": share(a["word_chars"], words),
        "alpha_words": share(a["alpha_tokens"], tokens),
        "alpha_words_punct": share(a["alpha_tokens"], words + a["stripped_marks"]),
        "stop_words": count(a["stop_words"]),
        "hash_ratio": share(a["hashes"], words),
        "ellipsis_ratio": share(a["ellipses"], words),
        "symbol_ratio": share(a["hashes"] + a["ellipses"], words),
        "lines": count(lines),
        "mean_line": share(chars - a["newlines"], a["nonblank_lines"]),
        "bullet_lines": share(a["bullet_lines"], lines),
        "ellipsis_lines": share(a["ellipsis_lines"], lines),
        "newline_ratio": share(a["newlines"], words),
        "upper_ratio": share(a["upper_chars"], a["alpha_chars"]),
        "digit_ratio": share(a["digit_chars"], chars),
        "alpha_ratio": share(a["alpha_chars"], chars),
        "curly": count(a["curly"]),
    }


GROUP = SignalGroup(
    name="text",
    version=1,
    reads="clean",
    packages=(),
    compute=compute,
    description="Size, words and characters of the clean text.",
    analyses=("stats",),
    columns=(
        Column("bytes", INT, "bytes", "UTF-8 bytes", OWN, total=True),
        Column("chars", INT, "characters", "Unicode code points", OWN, total=True),
        Column(
            "words",
            INT,
            "words",
            "tokens between white space, stripped of punctuation on both sides, empty ones not counted; "
            "of little use for languages without spaces",
            GOPHER,
            total=True,
        ),
        Column(
            "script_words",
            INT,
            "words",
            "as words, but each Han, Hiragana, Katakana, Thai, Lao, Khmer and Burmese character is a word of its "
            "own; equal to words in languages with spaces",
            OWN,
            total=True,
        ),
        Column("mean_word", SHARE, "characters per word", "characters of words / words", GOPHER),
        Column(
            "alpha_words",
            SHARE,
            "share of tokens",
            "tokens between white space that hold a letter / all of them (the paper's form)",
            GOPHER,
        ),
        Column(
            "alpha_words_punct",
            SHARE,
            "share of tokens",
            "the same number of tokens / (words + each punctuation mark at the edge of a token): close to filters "
            "whose tokenizer splits punctuation off (on 416 web pages 0.83 in the mean, alpha_words 0.95)",
            "datatrove 0.10 (measured)",
        ),
        Column(
            "stop_words",
            INT,
            "words, 0 to 8",
            "how many different ones of the, be, to, of, and, that, have, with occur as words, in lower case",
            GOPHER,
        ),
        Column("hash_ratio", SHARE, "symbols per word", "number of # / words", GOPHER),
        Column("ellipsis_ratio", SHARE, "symbols per word", "number of ... and … / words", GOPHER),
        Column("symbol_ratio", SHARE, "symbols per word", "number of #, ... and … together / words", "RedPajama-v2"),
        Column("lines", INT, "lines", "lines, blank ones too, cut at every Unicode line break", OWN),
        Column(
            "mean_line", SHARE, "characters per line", "characters without newlines / lines that are not blank", OWN
        ),
        Column(
            "bullet_lines",
            SHARE,
            "share of lines",
            "lines whose first character after white space is •, - or * / lines (blank ones count below the line "
            "too, as in every implementation read)",
            GOPHER,
        ),
        Column("ellipsis_lines", SHARE, "share of lines", "lines that end in ... or … / lines", GOPHER),
        Column("newline_ratio", SHARE, "newlines per word", "newlines / words", OWN),
        Column("upper_ratio", SHARE, "share of letters", "upper-case characters / letters", OWN),
        Column("digit_ratio", SHARE, "share of characters", "decimal digits / characters", OWN),
        Column("alpha_ratio", SHARE, "share of characters", "letters / characters", OWN),
        Column("curly", INT, "characters", "number of { and }", "Raffel et al. 2020, 2.2"),
    ),
)
