"""A seeded sample of decisions as examples for people: the texts and what they share, never what was decided.

Half of the sample goes to decided units and half to missed ones; inside, to bands in proportion to the root of their
size, at least `LEAST` each (or all there are): small bands near the threshold tell most, large ones weigh most. Inside
a band the units with the smallest hashes of (seed, gids) are taken, so the sample depends on nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.audit.frame import U64, Frame, frame
from tamis.corpora import Corpus
from tamis.verdicts.align import align
from tamis.verdicts.lookup import read_row_table
from tamis.whole import write_atomic

LEAST = 5
# Characters of a text, or around a match, that a person is asked to read.
MOST = 20_000
AROUND = 1_500


@dataclass(frozen=True)
class Drawn:
    """One unit of the sample. `id` says nothing about what was decided."""

    id: str
    left: int
    right: int
    band: int


def allocate(totals: Sequence[int], n: int) -> list[int]:
    """How many of each band, at most what it has: `LEAST` each first, the rest by the root of the size.

    >>> allocate([10_000, 100, 3], 60)
    [52, 5, 3]
    """
    given = [min(total, LEAST) for total in totals]
    if sum(given) > n:  # too few for all: one each, the largest bands first
        order = sorted(range(len(totals)), key=lambda b: (-totals[b], b))
        given = [0] * len(totals)
        for turn in range(n):
            given[order[turn % len(order)]] += 1
        return [min(a, b) for a, b in zip(given, totals, strict=True)]
    while sum(given) < n:
        open_ = [b for b in range(len(totals)) if given[b] < totals[b]]
        if not open_:
            break
        # D'Hondt's rule: the band that is furthest below its share
        best = max(open_, key=lambda b: (totals[b] ** 0.5 / (given[b] + 1), -b))
        given[best] += 1
    return given


def draw(units: Frame, n: int, seed: int) -> list[Drawn]:
    """`n` units (fewer where there are not so many), in an order that tells nothing."""
    if n < 1:
        raise ValueError(f"n={n}: draw at least one")
    totals = units.totals
    decided = [b for b, band in enumerate(units.bands) if band.decided]
    missed = [b for b, band in enumerate(units.bands) if not band.decided]
    sizes = [sum(totals[b] for b in side) for side in (decided, missed)]
    first = min(sizes[0], n - min(sizes[1], n // 2))
    wanted = [0] * len(totals)
    for side, share in ((decided, first), (missed, min(sizes[1], n - first))):
        for b, count in zip(side, allocate([totals[b] for b in side], share), strict=True):
            wanted[b] = count
    keys = _keys(units, seed)
    chosen = []
    for b, count in enumerate(wanted):
        rows = np.flatnonzero(units.band == b)
        chosen += rows[np.lexsort((units.left[rows], keys[rows]))[:count]].tolist()
    chosen.sort(key=lambda row: (int(keys[row]) * 0x9E3779B97F4A7C15 & (1 << 64) - 1, row))
    prefix = "d" if units.kind == "dedup" else "c"
    return [
        Drawn(f"{prefix}{int(keys[row]):016x}", int(units.left[row]), int(units.right[row]), int(units.band[row]))
        for row in chosen
    ]


def _keys(units: Frame, seed: int) -> U64:
    """SplitMix64's finalizer over seed and gids: uint64 (U,)."""
    values: U64 = units.left * np.uint64(0x9E3779B97F4A7C15) + units.right + np.uint64(seed * 2 + 1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    made: U64 = values ^ (values >> np.uint64(31))
    return made


def examples(corpus: Corpus, kind: str, drawn: Sequence[Drawn]) -> Iterator[dict[str, Any]]:
    """What people see, in the order of `drawn`."""
    make = _pair if kind == "dedup" else _item(corpus)
    for unit in drawn:
        yield {"id": unit.id, **make(corpus, unit)}


def clean_text(corpus: Corpus, gid: int) -> str:
    """The clean text of one document."""
    from tamis.clean.edits import apply_edits

    shard, row = gid >> 32, gid & 0xFFFFFFFF
    text = read_row_table(corpus.documents(shard), row, ["text"]).column("text").combine_chunks().fill_null("")
    path = corpus.edits("clean", shard)
    if path is not None:
        text = apply_edits(text, read_row_table(path, row, ["edits"]).column("edits").combine_chunks())
    found: str = text[0].as_py()
    return found


def _pair(corpus: Corpus, unit: Drawn) -> dict[str, Any]:
    """Two texts, in an order that does not say which was dropped, and the passages that they share (characters)."""
    first, second = sorted((unit.left, unit.right), key=lambda gid: (gid * 0xD1342543DE82EF95) & (1 << 64) - 1)
    a, b = clean_text(corpus, first), clean_text(corpus, second)
    shared = align(a[:MOST], b[:MOST])
    return {
        "a": a[:MOST],
        "b": b[:MOST],
        "a_url": corpus.url(first),
        "b_url": corpus.url(second),
        "whole": len(a) <= MOST and len(b) <= MOST,
        "evidence": [
            {"a": list(passage.left), "b": list(passage.right), "words": passage.words}
            for passage in shared.passages
            if passage.kind == "same"
        ],
    }


def _item(corpus: Corpus) -> Any:
    """Makes examples of contamination: what stands around the best match, and the item."""
    from tamis.decontaminate import search, stages

    group = corpus.extras["eval"]
    places = {name: str(corpus.work.file(path)) for name, path in stages.prepared(group.params).items()}
    index = stages.load_index(group.params, places)

    def make(corpus: Corpus, unit: Drawn) -> dict[str, Any]:
        text = clean_text(corpus, unit.left)
        normal = search.normals(index, pa.array([text], pa.large_string()))[0]
        hits = search.search(index, normal)
        if not hits:
            raise AssertionError(f"document {unit.left} had a match when it was measured and has none now")
        best = hits[0]
        starts, ends = search.word_spans(text, normal)
        start, end = int(starts[best.first]), int(ends[best.last])
        low, high = max(0, start - AROUND), min(len(text), min(end, start + MOST) + AROUND)
        return {
            "document": text[low:high],
            "url": corpus.url(unit.left),
            "item": index.shown[best.item],
            "item_name": index.names[best.item][0],
            "evidence": [{"document": [start - low, min(end, high) - low]}],
        }

    return make


def write(corpus: Corpus, kind: str, n: int, seed: int, out: Path) -> dict[str, Any]:
    """Draws a sample, writes it to `out` (.jsonl or .html) and its design into the workspace; returns the design
    without its examples. Raises NothingToAudit, NotMeasured."""
    units = frame(corpus, kind)
    drawn = draw(units, n, seed)
    shown = examples(corpus, kind, drawn)
    if out.suffix.lower() in (".html", ".htm"):
        from tamis.audit.page import page

        write_atomic(out, page(kind, list(shown)))
    else:
        write_atomic(out, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in shown))
    counts = np.bincount([unit.band for unit in drawn], minlength=len(units.bands)).tolist()
    design = {
        "kind": kind,
        "seed": seed,
        "threshold": units.threshold,
        "digest": units.digest,
        "bands": [
            {"name": band.name, "decided": band.decided, "total": total, "drawn": count}
            for band, total, count in zip(units.bands, units.totals, counts, strict=True)
        ],
    }
    body = {**design, "examples": {unit.id: unit.band for unit in drawn}}
    target = design_path(corpus, kind)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, json.dumps(body, indent=1, sort_keys=True) + "\n")
    return design


def design_path(corpus: Corpus, kind: str) -> Path:
    """Where the design of the last sample of a kind lies."""
    return corpus.work.file(f"{corpus.home}/audit/{kind}.json")
