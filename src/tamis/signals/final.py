"""Signals `final`: the final text, as the rules of C4 and FineWeb see it after the line filters.

FineWeb's three rules and their undocumented fourth are from Penedo et al. 2024 ("The FineWeb Datasets", section 3.6
and appendix E) and the code that made the corpus: lines are cut at newlines and blank lines are lines (its first
form, "v1"). Later versions of that code leave blank lines out and take a Unicode set of marks: `*_nonblank`,
`line_punct_unicode`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.signals.batch import Batch
from tamis.signals.document import edited
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup, count, share
from tamis.signals.sentences import sentences

V1 = "FineWeb v1 (Penedo et al. 2024, 3.6)"
V2 = "FineWeb code since December 2024"
OWN = "Tamis"


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    a = batch.analysis("final")["stats"]
    every, nonblank, words = a["all_lines"], a["nonblank_lines"], a["words"]
    every = every * (a["chars"] > 0)  # no text, no lines
    cuts, _ = edited(batch, [name for name in batch.edits if name != "clean"])
    return {
        "bytes": count(a["bytes"]),
        "chars": count(a["chars"]),
        "words": count(words),
        "script_words": count(a["script_words"]),
        "sentences": count(sentences(batch.final)),
        "lines": count(nonblank),
        "all_lines": count(every),
        "line_punct": share(a["terminal_lines"], every),
        "line_punct_unicode": share(a["unicode_terminal_lines"], nonblank),
        "short_lines": share(a["short_lines"] + every - nonblank, every),
        "short_lines_nonblank": share(a["short_lines"], nonblank),
        "dup_line_chars": share(a["dup_line_chars"], a["chars"] - a["newlines"]),
        "list_ratio": share(a["newlines"], words),
        "list_ratio_punct": share(a["newlines"], words + a["stripped_marks"]),
        "cuts": count(cuts),
        "cut_bytes": count(np.asarray(pc.binary_length(batch.clean)) - a["bytes"]),
    }


GROUP = SignalGroup(
    name="final",
    version=1,
    reads="final",
    packages=(),
    compute=compute,
    description="The final text: what is left after the line filters that the recipe's presets ask for.",
    analyses=("stats",),
    columns=(
        Column("bytes", INT, "bytes", "UTF-8 bytes", OWN, total=True),
        Column("chars", INT, "characters", "Unicode code points", OWN, total=True),
        Column("words", INT, "words", "as text.words", OWN, total=True),
        Column("script_words", INT, "words", "as text.script_words", OWN, total=True),
        Column("sentences", INT, "sentences", 'ends of sentences by Unicode terminators, see "Sentences"', OWN),
        Column("lines", INT, "lines", "lines that are not blank, cut at newlines", OWN),
        Column("all_lines", INT, "lines", "lines, blank ones too, cut at newlines", OWN),
        Column(
            "line_punct",
            SHARE,
            "share of lines",
            "lines whose last character is one of . ' \" ! ? / all lines, blank ones too",
            V1,
        ),
        Column(
            "line_punct_unicode",
            SHARE,
            "share of lines",
            "lines whose last character ends a sentence in some script / lines that are not blank",
            V2,
        ),
        Column("short_lines", SHARE, "share of lines", "lines of at most 30 characters or blank / all lines", V1),
        Column(
            "short_lines_nonblank",
            SHARE,
            "share of lines",
            "lines of at most 30 characters / both without blank lines",
            V2,
        ),
        Column(
            "dup_line_chars",
            SHARE,
            "share of characters",
            "characters of second and later copies of lines / characters without newlines",
            V1,
        ),
        Column("list_ratio", SHARE, "newlines per word", "newlines / words", V2),
        Column(
            "list_ratio_punct",
            SHARE,
            "newlines per token",
            "newlines / (words + punctuation marks at the edge of a token): near the tokens of the original code",
            V1,
        ),
        Column("cuts", INT, "edits", "edits of the line filters, each filter's own", OWN, total=True),
        Column("cut_bytes", INT, "bytes", "bytes of clean text that they removed together", OWN, total=True),
    ),
)
