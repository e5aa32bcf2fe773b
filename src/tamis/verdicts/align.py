"""What two texts share, as aligned passages: word runs, found by shared word n-grams and extended as far as they go.

Linear in the words of both (difflib is quadratic in the worst case); the first `MOST_WORDS` words of each are looked
at. Words are white-space tokens with edge punctuation stripped, lower case; the texts themselves are shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_WORDS = 20_000
NGRAM = 4
# Occurrences of one n-gram that are tried: a text that repeats one phrase for ever stays linear.
_TRIED = 16
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
    "|[^\\s\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
_STRIPPED = (
    "".join(chr(code) for code in range(0x21, 0x7F) if not chr(code).isalnum())
    + "…–—“”‘’«»„·•。、，！？：；（）「」『』"
)


@dataclass(frozen=True)
class Passage:
    """A run of words in one text (`left`), in the other (`right`), or in both; character spans, empty where absent."""

    kind: str  # same, left, right
    left: tuple[int, int]
    right: tuple[int, int]
    words: int


@dataclass(frozen=True)
class Alignment:
    """Passages in the order of the left text. `shared`: share of the left words that are in aligned passages;
    `whole`: whether both texts were looked at to their ends."""

    passages: tuple[Passage, ...]
    shared: float
    whole: bool


def words_of(text: str, limit: int = MOST_WORDS, *, fold: bool = True) -> tuple[list[str], list[tuple[int, int]], bool]:
    """Words, their character spans, and whether the text ended before the limit. Each character of a script without
    spaces is a word. `fold`: lower case."""
    words: list[str] = []
    spans: list[tuple[int, int]] = []
    for match in _UNSPACED.finditer(text):
        word = match.group().strip(_STRIPPED)
        if not word:
            continue
        if len(words) == limit:
            return words, spans, False
        words.append(word.lower() if fold else word)
        spans.append(match.span())
    return words, spans, True


def align(left: str, right: str) -> Alignment:
    """Aligns two texts. Passages that were moved appear as present on one side only: the order is kept."""
    a, a_spans, a_whole = words_of(left)
    b, b_spans, b_whole = words_of(right)
    matches = _matches(a, b)
    passages: list[Passage] = []
    at_a = at_b = 0
    for start_a, start_b, length in [*matches, (len(a), len(b), 0)]:
        if start_a > at_a:
            passages.append(Passage("left", _span(a_spans, at_a, start_a), (0, 0), start_a - at_a))
        if start_b > at_b:
            passages.append(Passage("right", (0, 0), _span(b_spans, at_b, start_b), start_b - at_b))
        if length:
            spans = _span(a_spans, start_a, start_a + length), _span(b_spans, start_b, start_b + length)
            passages.append(Passage("same", *spans, length))
        at_a, at_b = start_a + length, start_b + length
    shared = sum(length for _, _, length in matches)
    return Alignment(tuple(passages), shared / len(a) if a else 0.0, a_whole and b_whole)


def _matches(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int, int]]:
    """(start in a, start in b, words), both starts ascending; the words before, between and after are not shared, or
    in shorter runs than an n-gram."""
    size = max(1, min(NGRAM, len(a), len(b)))
    places: dict[tuple[str, ...], list[int]] = {}
    for start in range(len(b) - size + 1):
        places.setdefault(tuple(b[start : start + size]), []).append(start)
    found: list[tuple[int, int, int]] = []
    at_a = at_b = 0
    while at_a <= len(a) - size:
        candidates = places.get(tuple(a[at_a : at_a + size]), ())
        ahead = [start for start in candidates[: _TRIED * 4] if start >= at_b][:_TRIED]
        best, length = -1, 0
        for start in ahead:
            run = _run(a, b, at_a, start)
            if run > length:
                best, length = start, run
        if best < 0 or best - at_b > 8 * length + 200:  # a far jump for a short run would lose what lies between
            at_a += 1
            continue
        found.append((at_a, best, length))
        at_a, at_b = at_a + length, best + length
    return found


def _run(a: Sequence[str], b: Sequence[str], at_a: int, at_b: int) -> int:
    length = 0
    most = min(len(a) - at_a, len(b) - at_b)
    while length < most and a[at_a + length] == b[at_b + length]:
        length += 1
    return length


def _span(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    return spans[start][0], spans[end - 1][1]
