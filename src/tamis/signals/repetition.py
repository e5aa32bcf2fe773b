"""Signals `repetition`: duplicate lines, paragraphs and n-grams of the clean text (Rae et al. 2021, Table A1).

The paper's words: "the proportion of lines and paragraphs that are duplicates, as well as the proportion of
characters contained within those duplicates"; "for each n in {2, 3, 4}, the fraction of characters contained within
the most frequently-occurring n-gram; and for each n in {5, ..., 10}, the fraction of characters contained within
all duplicate n-grams, taking care not to count characters that occur in overlapping n-grams more than once".

What it leaves open, and what was chosen here:

- A *duplicate* is the second and every later copy (k - 1 of k): what would go if one copy stayed. A text without
  repeats measures 0, and one line twice among others is one duplicate, not two.
- Lines are cut at newlines, paragraphs at blank lines; blank ones are no lines and no paragraphs. Characters of
  lines and paragraphs are divided by all characters of the text.
- `top_n`: characters of all occurrences of the n-gram, with one character for each gap between its words, divided
  by all characters of the text: both sides count the spaces. An n-gram that occurs once scores 0. Occurrences may
  overlap ("a a a"), so the share is capped at 1.
- `dup_n`: the text is read from left to right; an n-gram of words seen before counts with the characters of its
  words and reading goes on after it, so no character counts twice. Divided by the characters of all words: neither
  side counts spaces or punctuation between words.
- Words are `script` words, so that Chinese, Japanese and Thai have n-grams at all. Five characters of Chinese are
  about three words of English: thresholds for such languages must be set for them.
"""

from __future__ import annotations

import pyarrow as pa

from tamis.signals.batch import Batch
from tamis.signals.group import SHARE, Column, Options, SignalGroup, share

SOURCE = "Rae et al. 2021, Table A1"


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    a, grams = batch.analysis("clean")["stats"], batch.analysis("clean")["repetition"]
    out = {
        "dup_lines": share(a["dup_lines"], a["nonblank_lines"]),
        "dup_line_chars": share(a["dup_line_chars"], a["chars"]),
        "dup_paragraphs": share(a["dup_paragraphs"], a["paragraphs"]),
        "dup_paragraph_chars": share(a["dup_paragraph_chars"], a["chars"]),
    }
    for n in (2, 3, 4):
        out[f"top_{n}"] = share(grams[f"top_{n}"], a["chars"], most=1.0)
    for n in range(5, 11):
        out[f"dup_{n}"] = share(grams[f"dup_{n}"], grams["word_chars"])
    return out


GROUP = SignalGroup(
    name="repetition",
    version=1,
    reads="clean",
    packages=(),
    compute=compute,
    description="Duplicate lines, paragraphs and n-grams of the clean text.",
    analyses=("stats", "repetition"),
    columns=(
        Column(
            "dup_lines", SHARE, "share of lines", "second and later copies of a line / lines that are not blank", SOURCE
        ),
        Column("dup_line_chars", SHARE, "share of characters", "characters of those lines / characters", SOURCE),
        Column("dup_paragraphs", SHARE, "share of paragraphs", "second and later copies / paragraphs", SOURCE),
        Column(
            "dup_paragraph_chars", SHARE, "share of characters", "characters of those paragraphs / characters", SOURCE
        ),
        *(
            Column(
                f"top_{n}",
                SHARE,
                "share of characters",
                f"characters of all occurrences of the most frequent {n}-gram (of those, the first) with the gaps "
                "between its words / characters; 0 if none occurs twice, at most 1",
                SOURCE,
            )
            for n in (2, 3, 4)
        ),
        *(
            Column(
                f"dup_{n}",
                SHARE,
                "share of characters",
                f"characters of words in {n}-grams that occurred before, none counted twice / characters of words",
                SOURCE,
            )
            for n in range(5, 11)
        ),
    ),
)
