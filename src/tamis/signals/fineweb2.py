"""Signals `fineweb2`: the limits of FineWeb2 for the language of each document, and what only its rules read.

FineWeb2 runs datatrove's filters with thresholds of their own for each language; `fineweb2.tsv` holds those of the
languages in it, from the project's configuration files. A rule compares a measure with a limit of this group
(`datatrove.dup_lines <= fineweb2.max_dup_lines`); for other languages, limits are null and so is the rule. Chinese,
Japanese, Thai and Korean are cut into words by analysers that have no likeness here: their limits on words are null,
those on lines are not. Languages are by `lang.code`, not by GlotLID.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pyarrow as pa

from tamis.signals import language
from tamis.signals.batch import Batch
from tamis.signals.characters import I64, characters
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup, count, share
from tamis.signals.peers import DUPLICATES, TOPS
from tamis.signals.tokens import spacy_like

SOURCE = "huggingface/fineweb-2, configs"
# Their words come from an analyser (jieba, Japanese and Thai segmenters, Kiwi), not from white space.
ANALYSED = frozenset(("zh", "ja", "th", "ko"))
_ON_LINES = ("dup_lines", "line_punct")
_ON_WORDS = (
    "min_mean_word", "max_mean_word", "alpha_tokens", "list_ratio",
    *(f"top_{n}" for n in TOPS), *(f"dup_{n}" for n in DUPLICATES),
)  # fmt: skip
_LIMITS = {
    "dup_lines": "max_dup_lines", "line_punct": "min_line_punct", "alpha_tokens": "min_alpha_tokens",
    "list_ratio": "max_list_ratio", **{f"top_{n}": f"max_top_{n}" for n in TOPS},
    **{f"dup_{n}": f"max_dup_{n}" for n in DUPLICATES},
}  # fmt: skip


@dataclass(frozen=True)
class Thresholds:
    """Of one language: its configuration, its limits by name, and its stop words."""

    config: str
    limits: Mapping[str, float]
    stop_words: tuple[str, ...]


@cache
def thresholds() -> dict[str, Thresholds]:
    """By the code of `lang.code`."""
    text = (resources.files(__package__) / "fineweb2.tsv").read_text(encoding="utf-8")
    head, *rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    out = {}
    for row in rows:
        known = dict(zip(head, row, strict=True))
        numbers = {name: float(known[name]) for name in (*_ON_LINES, *_ON_WORDS)}
        out[known["code"]] = Thresholds(known["config"], numbers, tuple(known["stop_words"].split(" ")))
    return out


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    table = thresholds()
    codes = language.compute(batch, options)["code"].to_pylist()
    known = [code if code in table else None for code in codes]
    worded = [None if code in ANALYSED else code for code in known]
    stats = batch.analysis("clean")["stats"]
    out = {
        "language": pa.array([table[code].config if code else None for code in known], pa.string()),
        "line_punct": share(stats["unicode_terminal_lines"], stats["nonblank_lines"]),
        "dup_line_chars": share(stats["dup_line_chars"], stats["chars"] - stats["newlines"]),
        "stop_words": count(_stop_words(batch, worded)),
    }
    for names, of in ((_ON_LINES, known), (_ON_WORDS, worded)):
        for name in names:
            limits = [table[code].limits[name] if code else None for code in of]
            out[_LIMITS.get(name, name)] = pa.array(limits, SHARE)
    out["min_stop_words"] = pa.array([2 if code else None for code in worded], INT)
    return out


def _stop_words(batch: Batch, codes: list[str | None]) -> I64:
    """How many different stop words of its language each text holds."""
    table = thresholds()
    names = sorted(table)
    words = sorted({word for one in table.values() for word in one.stop_words})
    belongs = np.zeros((len(names) + 1, len(words)), np.bool_)
    for i, name in enumerate(names):
        belongs[i] = np.isin(words, table[name].stop_words)
    of = np.array([names.index(code) if code else len(names) for code in codes], np.int64)
    tokens = spacy_like(characters(batch))
    found = tokens.equal_to(words)
    hits = np.flatnonzero(found >= 0)
    rows, found = tokens.row[hits], found[hits]
    own = belongs[of[rows], found]
    pairs = np.unique(rows[own] * len(words) + found[own])
    return np.bincount(pairs // len(words), minlength=len(batch)).astype(np.int64)


def _limit(name: str) -> Column:
    return Column(_LIMITS.get(name, name), SHARE, "", f"limit on {name} for the language; null outside", SOURCE)


GROUP = SignalGroup(
    name="fineweb2",
    version=1,
    reads="clean",
    packages=("numpy", *language.GROUP.packages, "unicodedata"),
    compute=compute,
    description="FineWeb2's limits for the language of each document, and its measures that no other group has.",
    analyses=("stats",),
    optional=True,
    columns=(
        Column("language", pa.string(), "", "the configuration that applies; null for other languages", SOURCE),
        Column("line_punct", SHARE, "share of lines", "lines that end in a terminal mark of some script", SOURCE),
        Column("dup_line_chars", SHARE, "share of characters", "second and later copies / without newlines", SOURCE),
        Column("stop_words", INT, "words", "different stop words of the language", SOURCE),
        Column("min_stop_words", INT, "words", "2; null outside and where words come from an analyser", SOURCE),
        *map(_limit, (*_ON_LINES, *_ON_WORDS)),
    ),
)
