"""GPT-3's way: matches are cut out of a document with what stands around them, the rest stays (Brown et al. 2020,
appendix C; 13-grams, 200 characters on each side, pieces under 200 characters dropped, documents with more than 10
cuts dropped whole).

Every n-gram of an item is a match, unless it is boilerplate: it stands in more than `index.MOST_ITEMS` items, or in
more than `index.FREE_DOCUMENTS` documents of the sample beyond those of its item. Short items are matches as wholes
where they score as found (`search.THRESHOLD`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.clean.extra import ExtraEdits
from tamis.decontaminate.index import Index
from tamis.decontaminate.search import (
    THRESHOLD,
    byte_offsets,
    candidates,
    normals,
    seeds,
    whole_hits,
    word_spans,
)
from tamis.decontaminate.stages import load_index, settings_of
from tamis.documents import EDITS
from tamis.recipe import Decontaminate, Window

# 1: the first. Part of the stage's key.
VERSION = 1
RULE = "decontaminate.window"

Spans = list[tuple[int, int]]


def extra_edits(settings: Decontaminate) -> ExtraEdits:
    """The edits that cut items out of the text when the corpus is written. Raises BadSet."""
    params, paths = settings_of(settings)
    window = settings.window or Window()
    params["window"] = window.model_dump()
    return ExtraEdits(
        name="window",
        make="tamis.decontaminate.window:editor",
        version=VERSION,
        params=params,
        paths=paths,
        prepare="tamis.decontaminate.stages:prepare",
    )


def editor(params: Mapping[str, Any], paths: Mapping[str, str]) -> Any:
    """From texts to lists of EDIT, one per text."""
    window = Window(**params["window"])

    def edit(text: pa.LargeStringArray) -> pa.ListArray:
        index = load_index(params, paths)
        rows: list[list[dict[str, Any]]] = [[] for _ in range(len(text))]
        found = candidates(index, text)
        for row, normal in zip(found.tolist(), normals(index, text.take(pa.array(found))), strict=True):
            raw = text[row].as_py()
            spans = cuts(index, raw, normal, window)
            offsets = byte_offsets(raw)
            rows[row] = [
                {"start": int(offsets[a]), "end": int(offsets[b]), "replacement": "", "rule": RULE}
                for a, b in removed(spans, len(raw), window)
            ]
        return pa.array(rows, EDITS.field("edits").type)

    return edit


def cuts(index: Index, text: str, normal: str, window: Window) -> Spans:
    """Character spans of all matches with `window.chars` on each side, those that touch joined."""
    numbers = index.numbers(normal)
    places, grams = seeds(index, numbers)
    places = places[~index.common[grams]]
    starts, ends = [places], [places + index.size - 1]
    for hit in whole_hits(index, numbers):
        if hit.score >= THRESHOLD:
            starts.append(np.array([hit.first]))
            ends.append(np.array([hit.last]))
    first, last = np.concatenate(starts), np.concatenate(ends)
    if not len(first):
        return []
    begins, stops = word_spans(text, normal)
    return _joined(begins[first] - window.chars, stops[last] + window.chars, len(text))


def _joined(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], length: int) -> Spans:
    spans: Spans = []
    for start, end in sorted(zip(starts.tolist(), ends.tolist(), strict=True)):
        start, end = max(0, start), min(length, end)
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return spans


def removed(spans: Spans, length: int, window: Window) -> Spans:
    """What is cut of a text of `length` characters: the spans and the short pieces between them; all of it where
    there are more than `window.most`."""
    if not spans:
        return []
    if len(spans) > window.most:
        return [(0, length)]
    wider: Spans = []
    kept_until = 0
    for start, end in [*spans, (length, length)]:
        if start - kept_until < window.least:
            start = kept_until
        if wider and start <= wider[-1][1]:
            wider[-1] = (wider[-1][0], end)
        elif start < end:
            wider.append((start, end))
        kept_until = end
    return wider
