"""How far raters agree on spans of a text: kappa of tokens, and F1 of spans, exact and by overlap.

Unit-based alphas of spans mislead (Braylan et al., Measuring annotator agreement generally across complex annotation
tasks, 2022); the two here are read easily: what share of tokens two raters call the same beyond chance, and what share
of one's spans the other has as well. Spans are `(start, end, label)` in code points of one text; memory is one rater's
tokens of one text at a time, and the counts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from tamis.people.agreement import CONFIDENCE, RESAMPLES, SEED, interval
from tamis.people.units import BLOCK, Floats

OUTSIDE = ""
FIGURES = tuple(f"{name}{end}" for name in ("kappa", "exact", "overlap") for end in ("", "_low", "_high"))
_TOKEN = re.compile(r"\w+|[^\w\s]")


class Span(NamedTuple):
    """Code points start (inclusive) to end (exclusive) of a text, and what they are called."""

    start: int
    end: int
    label: str


Marked = Mapping[str, Mapping[str, Sequence[Span]]]  # example -> rater -> spans; no spans is an answer, absent is none


@dataclass(frozen=True)
class SpanAgreement:
    """Two raters, or all pairs of them, on the examples that both marked.

    kappa: Cohen's, of tokens, a token being called by the span that covers its first character (or by none). exact and
    overlap: F1 of spans with equal label and equal ends, or with equal label and a character in common (each span
    matched once). low and high as percentile bootstrap over examples. nan, with a sentence, where undefined.
    """

    first: str
    second: str
    examples: int
    tokens: int
    spans: int
    kappa: float
    kappa_low: float
    kappa_high: float
    exact: float
    exact_low: float
    exact_high: float
    overlap: float
    overlap_low: float
    overlap_high: float
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON; nan as null."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}


def tokens(text: str) -> list[tuple[int, int]]:
    """(start, end) of words and of single other marks; Han, Kana and Thai characters are one token each.

    >>> tokens("It's 好的.")
    [(0, 2), (2, 3), (3, 4), (5, 6), (6, 7), (7, 8)]
    """
    found = []
    for match in _TOKEN.finditer(text):
        start = match.start()
        for place in range(match.start(), match.end()):
            if _alone(text[place]):
                if start < place:
                    found.append((start, place))
                found.append((place, place + 1))
                start = place + 1
        if start < match.end():
            found.append((start, match.end()))
    return found


def token_labels(text_tokens: Sequence[tuple[int, int]], spans: Iterable[Span]) -> list[str]:
    """What each token is called: the first span, by start, that covers its first character."""
    names = [OUTSIDE] * len(text_tokens)
    starts = np.array([start for start, _ in text_tokens])
    for span in sorted(spans):
        for place in range(*np.searchsorted(starts, [span.start, span.end])):
            if names[place] == OUTSIDE:
                names[place] = span.label
    return names


def matches(first: Sequence[Span], second: Sequence[Span], *, exact: bool) -> int:
    """How many spans of the one the other has, each used once; with overlap, the earliest end first, which is best."""
    if exact:
        return sum((Counter(map(Span._make, first)) & Counter(map(Span._make, second))).values())
    found = 0
    for label in sorted({span.label for span in first}):
        left = sorted((s for s in first if s.label == label), key=lambda s: (s.end, s.start))
        right = sorted((s for s in second if s.label == label), key=lambda s: (s.end, s.start))
        found += _most_overlaps(left, right)
    return found


def agreement(
    texts: Mapping[str, str],
    marked: Marked,
    first: str,
    second: str,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
) -> SpanAgreement:
    """Two raters on the examples that both marked. Raises KeyError for an example without its text."""
    shared = sorted(example for example, by in marked.items() if first in by and second in by)
    return _of(texts, marked, [(e, first, second) for e in shared], (first, second), (resamples, seed, confidence))


def each_pair(texts: Mapping[str, str], marked: Marked, **settings: Any) -> list[SpanAgreement]:
    """Every two raters that marked an example in common, in the order of names."""
    pairs = {(a, b) for by in marked.values() for a in by for b in by if a < b}
    return [agreement(texts, marked, a, b, **settings) for a, b in sorted(pairs)]


def _of(
    texts: Mapping[str, str],
    marked: Marked,
    rows: Sequence[tuple[str, str, str]],
    names: tuple[str, str],
    drawing: tuple[int, int, float],
) -> SpanAgreement:
    about: dict[str, Any] = {"first": names[0], "second": names[1], "examples": len(rows)}
    if not rows:
        about["why"] = f"{names[0]} and {names[1]} marked no example in common."
        about |= dict.fromkeys(FIGURES, math.nan)
        return SpanAgreement(tokens=0, spans=0, **about)
    labels = sorted({s.label for e, a, b in rows for who in (a, b) for s in marked[e][who]})
    codes = {name: code for code, name in enumerate([OUTSIDE, *labels])}
    size = len(codes)
    tables = np.zeros((len(rows), size * size))
    spans = np.zeros((len(rows), 3))  # exact matches, overlaps, spans of both
    for row, (example, a, b) in enumerate(rows):
        places = tokens(texts[example])
        one, other = (token_labels(places, marked[example][who]) for who in (a, b))
        np.add.at(tables[row], [codes[x] * size + codes[y] for x, y in zip(one, other, strict=True)], 1)
        mine, yours = marked[example][a], marked[example][b]
        spans[row] = (
            matches(mine, yours, exact=True), matches(mine, yours, exact=False), len(mine) + len(yours),
        )  # fmt: skip
    both = np.concatenate([tables, spans], axis=1)
    measures: list[Callable[[Floats], Floats]] = [
        lambda sums: _kappa(sums[:, : size * size].reshape(-1, size, size)),
        lambda sums: 2 * sums[:, -3] / np.where(sums[:, -1] > 0, sums[:, -1], np.nan),
        lambda sums: 2 * sums[:, -2] / np.where(sums[:, -1] > 0, sums[:, -1], np.nan),
    ]
    drawn = _sums(both, drawing[0], drawing[1])
    figures: list[float] = []
    for measure in measures:
        value = float(measure(both.sum(0)[None, :])[0])
        low, high = interval(measure(drawn), drawing[2])[:2] if len(rows) > 1 else (math.nan, math.nan)
        figures += [value, low, high]
    if not spans[:, 2].any():
        about["why"] = "Neither rater marked anything: there are no spans to compare."
    about |= zip(FIGURES, figures, strict=True)
    return SpanAgreement(tokens=int(tables.sum()), spans=int(spans[:, 2].sum()), **about)


def _kappa(tables: Floats) -> Floats:
    total = tables.sum((1, 2))
    seen = np.trace(tables, axis1=1, axis2=2) / np.maximum(total, 1)
    chance = (tables.sum(1) * tables.sum(2)).sum(1) / np.maximum(total, 1) ** 2
    kappas: Floats = (seen - chance) / np.where((chance < 1 - 1e-12) & (total > 0), 1 - chance, np.nan)
    return kappas


def _sums(rows: Floats, resamples: int, seed: int) -> Floats:
    """(resamples, k) sums over resampled rows."""
    rng = np.random.default_rng(seed)
    number = len(rows)
    step = max(1, BLOCK // (number + rows.shape[1]))
    blocks = [np.zeros((0, rows.shape[1]))]
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(0, number, (size, number)) + number * np.arange(size)[:, None]
        blocks.append(np.bincount(drawn.ravel(), minlength=size * number).reshape(size, number) @ rows)
    return np.concatenate(blocks)


def _most_overlaps(left: Sequence[Span], right: Sequence[Span]) -> int:
    """The largest number of pairs that overlap: each span of `left`, by its end, takes the free one that ends first."""
    used = [False] * len(right)
    found = 0
    for span in left:
        for place, other in enumerate(right):
            if not used[place] and other.start < span.end and span.start < other.end:
                used[place] = True
                found += 1
                break
    return found


def _alone(mark: str) -> bool:
    code = ord(mark)
    return (
        0x0E00 <= code <= 0x0EFF or 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0x20000 <= code <= 0x3FFFF
    )
