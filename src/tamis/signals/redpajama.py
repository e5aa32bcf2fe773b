"""Signals `redpajama`: the quality signals of RedPajama-Data-v2 under their published names.

Measured: all that need no model and no list. Null, because what they need is not here: `ABSENT`. The published values
of `rps_lines_*` are one per line; here each is the mean over the lines of the document. Values are rounded to eight
places, as theirs are. Raw words are runs of letters, digits and _ or runs of marks; normalized text has ASCII
punctuation deleted (not replaced), is lower case and in NFD. Definitions: app/src/core/quality_signals and
document.py of togethercomputer/RedPajama-Data.
"""

from __future__ import annotations

import re
import string
import unicodedata
from functools import cache

import numpy as np
import pyarrow as pa

from tamis.kernels import unicode_tables as tables
from tamis.signals.batch import Batch
from tamis.signals.characters import Characters, Mask, Pieces, characters
from tamis.signals.group import SHARE, Column, Options, SignalGroup
from tamis.signals.ngrams import repeated
from tamis.signals.peers import DUPLICATES, TOPS
from tamis.signals.tokens import split, word_punctuation

SOURCE = "RedPajama-Data-v2"
PRECISION = 8
BULLETS = "\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u2013"
# Signal -> what it needs that is not here.
ABSENT = {
    "ccnet_bucket": "CCNet's 5-gram models of Wikipedia",
    "ccnet_perplexity": "CCNet's 5-gram models of Wikipedia",
    "ccnet_language_score": "fastText's lid.176.bin (lang.score is of its compressed form)",
    "ccnet_original_length": "the text before CCNet's removal of repeated paragraphs",
    "ccnet_original_nlines": "the text before CCNet's removal of repeated paragraphs",
    "rps_doc_books_importance": "RedPajama's bags of n-grams",
    "rps_doc_openwebtext_importance": "RedPajama's bags of n-grams",
    "rps_doc_wikipedia_importance": "RedPajama's bags of n-grams",
    "rps_doc_ml_wikiref_score": "RedPajama's fastText model",
    "rps_doc_ml_palm_score": "RedPajama's fastText model",
    "rps_doc_ml_wikipedia_score": "RedPajama's fastText model",
    "rps_doc_ldnoobw_words": "the list of LDNOOBW",
    "rps_doc_ut1_blacklist": "the blacklist of UT1",
    "rps_doc_stop_word_fraction": "the stop words of stopwords-json",
}
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SENTENCE = re.compile(r"\b[^.!?]+[.!?]*")
_WHITE = re.compile(r"\s+")


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    texts: list[str] = batch.clean.to_pylist()
    text = characters(batch)
    normal_texts = [_normalize(one) for one in texts]
    normal = Characters.of_strings(normal_texts)
    raw, words = word_punctuation(text), split(normal)
    lines = _lines(text)
    total, raw_total, chars = words.counts(), raw.counts(), words.chars()
    curly = text.per_row(text.rows_of(np.flatnonzero(text.member("{}"))))
    out = {
        "ccnet_length": _plain(text.lengths),
        "ccnet_nlines": _plain(lines.counts()),
        "rps_doc_curly_bracket": _ratio(curly, text.lengths, 0.0),
        "rps_doc_lorem_ipsum": _ratio(
            np.array([one.count("lorem ipsum") for one in normal_texts], np.int64), normal.lengths, 0.0
        ),
        "rps_doc_num_sentences": _plain(np.array([len(_SENTENCE.findall(one)) for one in texts], np.int64)),
        "rps_doc_word_count": _plain(total),
        "rps_doc_mean_word_length": _ratio(chars, total),
        "rps_doc_symbol_to_word_ratio": _ratio(
            text.occurrences("#") + text.occurrences("...") + text.occurrences("…"), raw_total
        ),
        "rps_doc_frac_no_alph_words": _one_minus(text.per_row(raw.row[raw.any(_latin(text))]), raw_total),
        "rps_doc_frac_all_caps_words": _ratio(text.per_row(raw.row[_capitals(raw)]), raw_total),
        "rps_doc_frac_unique_words": _ratio(normal.per_row(words.row[~words.copies.later]), total),
        "rps_doc_unigram_entropy": _entropy(words),
        **_of_lines(text, lines, texts, normal, words),
    }
    for grams in repeated(words):
        top = grams.n in TOPS
        name = f"rps_doc_frac_chars_{'top' if top else 'dupe'}_{grams.n}gram{'' if top else 's'}"
        out[name] = _ratio(grams.top() if top else grams.covered(), chars, 0.0)
    nothing = pa.nulls(len(batch), SHARE)
    return {**out, **dict.fromkeys(ABSENT, nothing)}


def _normalize(text: str) -> str:
    text = text.translate(_PUNCTUATION).lower().strip()
    return unicodedata.normalize("NFD", _WHITE.sub(" ", text))


def _lines(text: Characters) -> Pieces:
    """Lines, empty ones too, but for the one behind a last newline."""
    lines = text.lines()
    return lines.where((lines.sizes > 0) | (lines.end < text.offsets[1:][lines.row]))


def _of_lines(
    text: Characters, lines: Pieces, texts: list[str], normal: Characters, words: Pieces
) -> dict[str, pa.Array]:
    """Means over lines of the signals that are published line by line, and the share of those with an ellipsis."""
    stripped = lines.stripped()
    last = text.codes[stripped.end - 1]
    first = text.codes[stripped.start]
    some = stripped.sizes >= 3
    dots = some & (last == 46)
    for i in (2, 3):
        dots &= text.codes[np.maximum(stripped.end - i, 0)] == 46
    count = lines.counts()
    whole = lines.sizes + (lines.end < text.offsets[1:][lines.row])  # with their newline
    upper = lines.sums((text.flags & tables.UPPER) != 0)
    digits = lines.sums(_numeric()[text.codes] & ~text.member(string.punctuation))
    scripts = normal.per_row(words.row[words.equal_to(("javascript",)) == 0])

    def mean(pieces: Pieces, chosen: Mask) -> pa.Array:
        return _ratio(text.per_row(pieces.row[chosen]), count)

    return {
        "rps_doc_frac_lines_end_with_ellipsis": mean(stripped, dots | (last == 0x2026)),
        "rps_lines_ending_with_terminal_punctution_mark": mean(stripped, np.isin(last, [ord(c) for c in ".!?”"])),
        "rps_lines_start_with_bulletpoint": mean(stripped, np.isin(first, [ord(c) for c in BULLETS])),
        "rps_lines_javascript_counts": _ratio(scripts, count),
        "rps_lines_num_words": _ratio(words.counts(), count),
        "rps_lines_uppercase_letter_fraction": _mean(text, lines, upper, whole, count),
        "rps_lines_numerical_chars_fraction": _mean(text, lines, digits, whole, count),
    }


def _mean(text: Characters, lines: Pieces, part: np.ndarray, whole: np.ndarray, count: np.ndarray) -> pa.Array:
    """Mean over lines of part / whole, each rounded."""
    each = np.round(part / np.maximum(whole, 1), PRECISION)
    total = np.bincount(lines.row, weights=each, minlength=text.rows)
    return _rounded(total / np.maximum(count, 1), count == 0)


def _capitals(words: Pieces) -> Mask:
    """str.isupper: a letter in upper case and none in lower or title case."""
    text = words.text
    return words.any((text.flags & tables.UPPER) != 0) & ~words.any(_small()[text.codes])


def _entropy(words: Pieces) -> pa.Array:
    """Entropy of the words of each text in nats."""
    copies, total = words.copies, words.counts()
    row = words.row[copies.first]
    share = copies.count / np.maximum(total[row], 1)
    value = np.bincount(row, weights=-share * np.log(share), minlength=words.text.rows)
    return _rounded(value, total == 0)


def _latin(text: Characters) -> Mask:
    folded = text.codes | np.uint32(32)
    return (folded >= 97) & (folded <= 122) & (text.codes < 128)


def _plain(values: np.ndarray) -> pa.Array:
    return pa.array(np.asarray(values, np.float64))


def _one_minus(part: np.ndarray, whole: np.ndarray) -> pa.Array:
    return _rounded(1.0 - part / np.maximum(whole, 1), whole == 0)


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float | None = None) -> pa.Array:
    """part / whole; where whole is 0, `empty`, or null."""
    values = part / np.maximum(whole, 1)
    if empty is not None:
        return _rounded(np.where(whole == 0, empty, values), np.zeros(len(values), np.bool_))
    return _rounded(values, whole == 0)


def _rounded(values: np.ndarray, missing: Mask) -> pa.Array:
    return pa.array(np.round(values, PRECISION), mask=missing)


@cache
def _small() -> Mask:
    """str.islower or str.istitle, of every code point."""
    found = np.zeros(0x110000, np.bool_)
    found[[c for c in range(0x20000) if chr(c).islower() or unicodedata.category(chr(c)) == "Lt"]] = True
    return found


@cache
def _numeric() -> Mask:
    """str.isnumeric, of every code point."""
    found = np.zeros(0x110000, np.bool_)
    found[[c for c in range(0x30000) if chr(c).isnumeric()]] = True
    return found


def _column(name: str, unit: str, description: str) -> Column:
    return Column(name, SHARE, unit, description, SOURCE)


GROUP = SignalGroup(
    name="redpajama",
    version=1,
    reads="clean",
    packages=("numpy", "unicodedata"),
    compute=compute,
    description="The signals of RedPajama-Data-v2 that need no model, under their names; the others are null.",
    optional=True,
    columns=(
        _column("ccnet_length", "characters", "characters"),
        _column("ccnet_nlines", "lines", "lines"),
        _column("rps_doc_curly_bracket", "per character", "{ and } / characters"),
        _column("rps_doc_lorem_ipsum", "per character", "occurrences in normalized text / its characters"),
        _column("rps_doc_num_sentences", "sentences", "runs that end in marks of . ! ?"),
        _column("rps_doc_word_count", "words", "normalized words"),
        _column("rps_doc_mean_word_length", "characters per word", "of normalized words"),
        _column("rps_doc_symbol_to_word_ratio", "symbols per word", "#, ... and … / raw words"),
        _column("rps_doc_frac_no_alph_words", "share of words", "raw words without a letter of A to Z / raw words"),
        _column("rps_doc_frac_all_caps_words", "share of words", "raw words in capitals / raw words"),
        _column("rps_doc_frac_unique_words", "share of words", "different normalized words / normalized words"),
        _column("rps_doc_unigram_entropy", "nats", "entropy of the normalized words"),
        _column("rps_doc_frac_lines_end_with_ellipsis", "share of lines", "lines that end in ... or …"),
        _column("rps_lines_ending_with_terminal_punctution_mark", "share of lines", "that end in . ! ? or ” (sic)"),
        _column("rps_lines_start_with_bulletpoint", "share of lines", "that begin with one of ten bullets, - not one"),
        _column("rps_lines_javascript_counts", "per line", 'the normalized word "javascript"'),
        _column("rps_lines_num_words", "words per line", "normalized words"),
        _column("rps_lines_uppercase_letter_fraction", "share of characters", "mean over lines"),
        _column("rps_lines_numerical_chars_fraction", "share of characters", "mean over lines"),
        *(
            _column(f"rps_doc_frac_chars_top_{n}gram", "share of characters", f"the most frequent {n}-gram's")
            for n in TOPS
        ),
        *(
            _column(f"rps_doc_frac_chars_dupe_{n}grams", "share of characters", f"words in repeated {n}-grams")
            for n in DUPLICATES
        ),
        *(_column(name, "", f"null: needs {need}") for name, need in ABSENT.items()),
    ),
)
