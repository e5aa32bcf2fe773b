"""Line filters ("trims") of published corpora, as edits on clean text with counters per document.

`c4`: Raffel et al. 2020 (JMLR 21), section 2.2, in the order of TensorFlow Datasets' `c4_utils.clean_page`.
`c4_arxiv`: the same with three words per line, as the first arXiv version and datatrove have it.
`c4_no_terminal`: C4 as FineWeb v1 ran it (datatrove's C4QualityFilter with `filter_no_terminal_punct=False`): no
rule on the last character, and that filter's three words per line.
`refinedweb`: the line rules of RefinedWeb (Penedo et al. 2023) as DCLM's baseline configuration reads them.

Rules that end a page in C4 ("lorem ipsum", "{") are counters here, not edits: the verdict decides. Lines are those
between "\\n"; clean text has no other line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import kernels
from tamis.clean.edits import I64, from_lists, text_buffers
from tamis.clean.removal import line_spans, read_lines

TrimName = Literal["c4", "c4_arxiv", "c4_no_terminal", "refinedweb"]
Table = dict[str, npt.NDArray[Any]]
Trimmed = tuple[pa.ListArray, dict[str, I64]]

LONGEST_WORD = 1000
_MIN_WORDS = {"c4": 5, "c4_arxiv": 3, "c4_no_terminal": 3}
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_COUNTED = ("likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes", "downvotes",
            "downloads", "views", "followers")  # fmt: skip
_COUNTER = re.compile(rf"\W*\d(?:,|\.|\d)*(?:K|k|M|m|B|b)?\s+(?:{'|'.join(_COUNTED)})\W*", re.IGNORECASE)
_COUNTER_CHARS = 200
_SUBSTRING_WORDS = 10
_SUBSTRINGS = re.compile(r"\s?items in cart\s?|\s?Read more\.\.\.\s*\Z|\A\s*Sign-in\s?", re.IGNORECASE)
_PHRASES = ("{", "lorem ipsum", "javascript", "]", *_POLICY, "items in cart", "read more...", "sign-in", *_COUNTED)
_BIT = {phrase: np.uint64(1 << i) for i, phrase in enumerate(_PHRASES)}
_END_MARKS = tuple(map(ord, '.?!"'))


def _mask(phrases: Collection[str]) -> np.uint64:
    return np.uint64(sum(int(_BIT[p]) for p in phrases))


@dataclass
class _Lines:
    """Decisions about the lines of a batch: `rule` indexes `rules`, -1 stays; `inner` are edits within lines."""

    rule: npt.NDArray[np.int64]
    rules: tuple[str, ...]
    inner: list[tuple[int, int, int, str]]  # line, start, end (bytes in the document), rule
    words_lost: npt.NDArray[np.int64]  # within lines that stay


def trim(name: TrimName, clean: pa.LargeStringArray) -> Trimmed:
    """The edits of one trim on clean text (no nulls), and counters: int64 (N,) by name.

    Of all: lines (not blank), lines_dropped (of these), words_before, words_after (white-space separated). Of the C4s
    also lorem_ipsum and curly (lines that reach the rule and hold the phrase), citations (removed).
    """
    return trims([name], clean)[name]


def trims(names: Collection[TrimName], clean: pa.LargeStringArray) -> dict[TrimName, Trimmed]:
    """Several trims over one line table."""
    table = kernels.line_table(clean, _PHRASES)
    return {name: (_refinedweb if name == "refinedweb" else _c4)(name, clean, table) for name in names}


def _has(table: Table, *phrases: str) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (table["phrases"] & _mask(phrases)) != 0
    return found


def _c4(name: TrimName, clean: pa.LargeStringArray, table: Table) -> Trimmed:
    terminal = name != "c4_no_terminal"
    rules = tuple(f"{name}.{r}" for r in ("blank", "long_word", "terminal", "words", "javascript", "policy"))
    long_word = table["longest_token"] > LONGEST_WORD
    ends = np.isin(table["last_char"], _END_MARKS) & ~table["ends_ellipsis"] if terminal else None
    decided = _first(
        [
            table["nonspace_chars"] == 0,
            long_word,
            np.zeros(len(long_word), bool) if ends is None else ~ends,
            table["words"] < _MIN_WORDS[name],
        ]
    )
    lines = _Lines(decided, rules, [], np.zeros(len(decided), np.int64))
    lorem, curly = _has(table, "lorem ipsum"), _has(table, "{")
    last = _first([_has(table, "javascript"), _has(table, *_POLICY)])
    citations = np.zeros(len(decided), np.int64)
    candidates = np.flatnonzero(_has(table, "]") & ~long_word)
    for line, raw in zip(candidates.tolist(), read_lines(clean, table, candidates), strict=True):
        found = list(_CITATION.finditer(raw))
        if found:
            # Rules after the removal see the line without its marks; it is not stripped again.
            citations[line] = len(found)
            bare = _CITATION.sub("", raw.strip())
            words = len(bare.split())
            bad_end = terminal and (not bare.endswith((".", "?", "!", '"')) or bare.endswith("..."))
            # TensorFlow Datasets counts words after the removal, datatrove (so FineWeb) before.
            counted = words if terminal else int(table["words"][line])
            decided[line] = 2 if bad_end else 3 if counted < _MIN_WORDS[name] else -1
            lower = bare.lower()
            lorem[line], curly[line] = "lorem ipsum" in lower, "{" in bare
            last[line] = 0 if "javascript" in lower else 1 if any(p in lower for p in _POLICY) else -1
            lines.words_lost[line] = int(table["words"][line]) - words
            start, position = int(table["start"][line]), 0
            offset = 0
            for match in found:
                offset += len(raw[position : match.start()].encode())
                size = len(match.group().encode())
                lines.inner.append((line, start + offset, start + offset + size, f"{name}.citation"))
                position, offset = match.end(), offset + size
    reached = decided < 0
    lorem &= reached
    curly &= reached & ~lorem & (last != 0)
    lines.rule = np.where(reached & (last >= 0), last + 4, decided)
    kept = lines.rule < 0
    _strip(clean, table, kept, lines, f"{name}.strip")
    edits, counters = _finish(clean, table, lines)
    rows = len(clean)
    counters["lorem_ipsum"] = _per_document(table, lorem, rows)
    counters["curly"] = _per_document(table, curly, rows)
    counters["citations"] = _per_document(table, np.where(kept, citations, 0), rows)
    return edits, counters


def _first(conditions: list[npt.NDArray[np.bool_]]) -> npt.NDArray[np.int64]:
    """The number of the first condition that holds for each line, -1 for none."""
    stacked = np.vstack(conditions)
    found: npt.NDArray[np.int64] = np.where(stacked.any(axis=0), stacked.argmax(axis=0), -1)
    return found


def _strip(clean: pa.LargeStringArray, table: Table, kept: npt.NDArray[np.bool_], lines: _Lines, rule: str) -> None:
    """White space at the ends of lines that stay."""
    offsets, data = text_buffers(clean)
    base = offsets[table["document"]]
    at = np.flatnonzero(kept & (table["end"] > table["start"]))
    first, last = data[(base + table["start"])[at]], data[(base + table["end"])[at] - 1]
    # ASCII white space, or a byte with which other white space begins or ends.
    at = at[(first <= 0x20) | np.isin(first, (0xC2, 0xE1, 0xE2, 0xE3)) | (last <= 0x20) | (last >= 0x80)]
    for line, raw in zip(at.tolist(), read_lines(clean, table, at), strict=True):
        left, right = len(raw) - len(raw.lstrip()), len(raw) - len(raw.rstrip())
        start, end = int(table["start"][line]), int(table["end"][line])
        if left:
            lines.inner.append((line, start, start + len(raw[:left].encode()), rule))
        if right:
            lines.inner.append((line, end - len(raw[-right:].encode()), end, rule))


def _refinedweb(name: TrimName, clean: pa.LargeStringArray, table: Table) -> Trimmed:
    rules = tuple(f"{name}.{r}" for r in ("blank", "uppercase", "numeric", "counter", "words", "substring"))
    chars = np.maximum(table["chars"], 1)
    counter = np.zeros(len(chars), bool)
    candidates = np.flatnonzero(
        _has(table, *_COUNTED) & (table["digit_chars"] > 0) & (table["chars"] <= _COUNTER_CHARS)
    )
    for line, raw in zip(candidates.tolist(), read_lines(clean, table, candidates), strict=True):
        counter[line] = _COUNTER.fullmatch(raw) is not None
    decided = _first(
        [
            table["nonspace_chars"] == 0,
            table["upper_chars"] > 0.5 * chars,
            table["digit_chars"] > 0.999999 * chars,
            counter,
            table["words"] < 2,
        ]
    )
    lines = _Lines(decided, rules, [], np.zeros(len(decided), np.int64))
    some = _has(table, "items in cart", "read more...", "sign-in") & (table["words"] <= _SUBSTRING_WORDS)
    small = np.flatnonzero(some & (decided < 0))
    for line, raw in zip(small.tolist(), read_lines(clean, table, small), strict=True):
        rest = _SUBSTRINGS.sub("", raw)
        if not rest.strip():
            decided[line] = 5
        elif rest != raw:
            lines.words_lost[line] = int(table["words"][line]) - len(rest.split())
            start = int(table["start"][line])
            for match in _SUBSTRINGS.finditer(raw):
                low, high = (len(raw[:edge].encode()) for edge in match.span())
                lines.inner.append((line, start + low, start + high, f"{name}.substring"))
    return _finish(clean, table, lines)


def _per_document(table: Table, values: npt.NDArray[Any], rows: int) -> I64:
    return np.bincount(table["document"], weights=values, minlength=rows).astype(np.int64)


def _finish(clean: pa.LargeStringArray, table: Table, lines: _Lines) -> Trimmed:
    """Edits of whole lines, neighbours of one rule in one span, together with those within lines."""
    rows = len(clean)
    dropped = lines.rule >= 0
    full = table["nonspace_chars"] > 0
    words = table["words"]
    counters = {
        "lines": _per_document(table, full, rows),
        "lines_dropped": _per_document(table, full & dropped, rows),
        "words_before": _per_document(table, words, rows),
        "words_after": _per_document(table, np.where(dropped, 0, words - lines.words_lost), rows),
    }
    # An empty last line has no bytes: its line break belongs to the line before it.
    gone = dropped & ((table["end"] > table["start"]) | ~_last_of_document(table))
    spans = line_spans(clean, table, gone)
    rule = lines.rule[gone]
    apart = np.ones(len(rule), bool)
    apart[1:] = (spans.row[1:] != spans.row[:-1]) | (spans.start[1:] != spans.end[:-1])
    # A blank line among dropped ones takes the rule of the line before it.
    carrier = np.maximum.accumulate(np.where((rule != 0) | apart, np.arange(len(rule)), 0)) if len(rule) else rule
    rule = rule[carrier]
    apart[1:] |= rule[1:] != rule[:-1]
    opening = np.flatnonzero(apart)
    closing = np.append(opening[1:], len(rule)) - 1 if len(rule) else opening
    row, start, end = spans.row[opening], spans.start[opening], spans.end[closing]
    names = [lines.rules[i] for i in rule[opening].tolist()]
    inner = [edit for edit in lines.inner if lines.rule[edit[0]] < 0]
    if inner:
        row = np.concatenate([row, table["document"][[edit[0] for edit in inner]]])
        start = np.concatenate([start, [edit[1] for edit in inner]])
        end = np.concatenate([end, [edit[2] for edit in inner]])
        names += [edit[3] for edit in inner]
        order = np.lexsort((start, row))
        row, start, end = row[order], start[order], end[order]
        names = [names[i] for i in order.tolist()]
    return from_lists(rows, row, start, end, "", names), counters


def _last_of_document(table: Table) -> npt.NDArray[np.bool_]:
    document = table["document"]
    return np.append(document[1:] != document[:-1], True)[-len(document) :] if len(document) else document != 0
