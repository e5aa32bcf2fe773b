"""Evaluation items in a document: how much of the best matching one, which, how many, and whether the answer is there.

Reads the clean text. What a score means stands in `tamis.decontaminate.search`, what an n-gram weighs in `.index`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tamis.decontaminate.index import Index
from tamis.decontaminate.search import THRESHOLD, Hit, byte_offsets, candidates, normals, search, seeds, word_spans
from tamis.decontaminate.stages import load_index, settings_of
from tamis.decontaminate.window import cuts
from tamis.recipe import Decontaminate, Window
from tamis.signals.batch import Batch
from tamis.signals.extra import ExtraGroup, Finding
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup

# 1: the first. 2: answers that say words of their item again are found; `why` shows the item's copy without them.
VERSION = 2

NAME = "eval"
# `found` lists items from this score on, so that a threshold can be moved either way without a new measurement.
LISTED = 0.5
SHOWN = 5  # items in a receipt

COLUMNS = (
    Column("score", SHARE, "share", "of the best matching item's words, by weight, that stand in the document"),
    Column("matched", INT, "n-grams", "of that item that stand in the document"),
    Column("item", pa.string(), "", "that item: SET/ID; null where no n-gram of any item stands in the document"),
    Column("items", INT, "items", f"with a score of at least {THRESHOLD}", total=True),
    Column("answer", pa.bool_(), "", "whether the answer of that item stands near the match"),
    Column("cuts", INT, "cuts", "windows that GPT-3's rule would cut out", source="Brown et al. 2020, appendix C"),
    Column("found", pa.string(), "JSON", f"[SET/ID, score] of every item with a score of at least {LISTED}"),
)


def extra_groups(settings: Decontaminate) -> list[ExtraGroup]:
    """The group `eval` for the recipe's `decontaminate`. Raises BadSet for sets without files."""
    params, paths = settings_of(settings)
    params["window"] = (settings.window or Window()).model_dump()
    return [
        ExtraGroup(
            name=NAME,
            make="tamis.signals.contamination:make",
            params=params,
            paths=paths,
            explain="tamis.signals.contamination:explain",
            prepare="tamis.decontaminate.stages:prepare",
        )
    ]


def make(params: Mapping[str, Any], paths: Mapping[str, str]) -> SignalGroup:
    """The group; the index is loaded by the first computation and kept in the process."""
    window = Window(**params["window"])

    def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
        return measure(load_index(params, paths), batch.clean, window)

    return SignalGroup(
        name=NAME,
        version=VERSION,
        reads="clean",
        columns=COLUMNS,
        packages=(),
        compute=compute,
        description="Evaluation items found in the document, where the recipe has `decontaminate`.",
    )


def measure(index: Index, text: pa.LargeStringArray, window: Window) -> dict[str, pa.Array]:
    """The columns for texts without nulls."""
    rows = len(text)
    score, matched, items, cut = [0.0] * rows, [0] * rows, [0] * rows, [0] * rows
    item: list[str | None] = [None] * rows
    answer, found = [False] * rows, ["[]"] * rows
    likely = candidates(index, text)
    for row, normal in zip(likely.tolist(), normals(index, text.take(pa.array(likely))), strict=True):
        hits = search(index, normal)
        if not hits:
            continue
        best = hits[0]
        score[row], matched[row], item[row], answer[row] = (
            best.score,
            best.grams,
            index.names[best.item][0],
            best.answer,
        )
        items[row] = sum(hit.score >= THRESHOLD for hit in hits)
        cut[row] = len(cuts(index, text[row].as_py(), normal, window))
        listed = [[index.names[hit.item][0], round(hit.score, 4)] for hit in hits if hit.score >= LISTED]
        found[row] = json.dumps(listed, ensure_ascii=False)
    columns = (score, matched, item, items, answer, cut, found)
    return {c.name: pa.array(values, c.type) for c, values in zip(COLUMNS, columns, strict=True)}


def explain(text: str, params: Mapping[str, Any], paths: Mapping[str, str]) -> list[Finding]:
    """The best matching items of a text: where each stands, how much of it, and an n-gram that gave it away."""
    index = load_index(params, paths)
    array = pa.array([text], pa.large_string())
    if not len(candidates(index, array)):
        return []
    normal = normals(index, array)[0]
    starts, ends = word_spans(text, normal)
    offsets = byte_offsets(text)
    words = normal.split(" ")
    places, _ = seeds(index, index.numbers(normal))
    found = []
    for hit in search(index, normal)[:SHOWN]:
        inside = places[(places >= hit.first) & (places <= hit.last)]
        at = int(inside[0]) if len(inside) else hit.first
        gram = " ".join(words[at : min(at + index.size, hit.last + 1)])
        start, end = int(offsets[starts[hit.first]]), int(offsets[ends[hit.last]])
        found.append(Finding(start, end, f"{NAME}.score", _said(index, hit, gram)))
    return found


def _said(index: Index, hit: Hit, gram: str) -> str:
    names = index.names[hit.item]
    more = f" (and {len(names) - 1} copies of it)" if len(names) > 1 else ""
    how = f"{hit.grams} of its {index.size}-grams" if hit.grams else "the whole item"
    near = ", its answer near" if hit.answer else ""
    return f'item {names[0]}{more}: score {hit.score:.2f}, {how}{near}; "{gram}"'
