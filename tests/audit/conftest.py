"""A small corpus with duplicates, near misses and evaluation items, made by the whole pipeline."""

from __future__ import annotations

import json
import random

import pytest

from evaluation_items import RIVER, SHIP, rows
from tamis.corpora import Corpus
from tamis.engine import Inline
from tamis.pipeline import Pipeline
from tamis.recipe import parse, rooted
from tamis.workspace import Workspace

RECIPE = """\
sources: [{name: notes, path: notes.jsonl}]
decontaminate:
  sets:
    - {name: rivers, path: items.jsonl, where: {set: rivers}}
    - {name: copies, path: items.jsonl, where: {set: copies}}
rules: {use: [decontaminated@13gram]}
dedup: {guard: {least: 1000}}
tokens: null
"""
WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "pe", "ra") for b in ("bel", "dor", "fin", "gul", "hast", "jom")]


@pytest.fixture(scope="package")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    rng = random.Random(3)
    texts = []
    for _ in range(30):
        words = [rng.choice(WORDS) for _ in range(160)]
        texts.append(" ".join(words))
        for changes in (0, 1, 1, 5, 8):  # an exact copy, near ones above 0.8, near ones below
            copy = list(words)
            for place in rng.sample(range(0, 160, 8), changes):
                copy[place] = "changed"
            texts.append(" ".join(copy))
    for n in range(12):
        filler = " ".join(rng.choice(WORDS) for _ in range(80))
        whole = RIVER if n % 2 else " ".join(SHIP.split()[: 16 + n])
        texts.append(f"{filler} {n}. {whole} <script>alert({n})</script> {filler}")
    (folder / "notes.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    with open(folder / "items.jsonl", "w", encoding="utf-8") as file:
        for name, every in rows():
            for identity, text, answer in every:
                file.write(json.dumps({"set": name, "id": identity, "text": text, "answer": answer}) + "\n")
    work = Workspace(folder / "w", create=True)
    Pipeline(rooted(parse(RECIPE), folder), work, Inline()).run()
    return Corpus(work)
