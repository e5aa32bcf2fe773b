"""Contamination the other way round: of every evaluation set, how many items stand in how many documents.

Memory: the names of all items and one number for each that was found.
"""

from __future__ import annotations

import json
from typing import Any

from tamis.audit.frame import NotMeasured, eval_threshold
from tamis.corpora import Corpus
from tamis.decontaminate import stages
from tamis.documents import read_table

MOST_SHOWN = 20


def contaminated(corpus: Corpus, threshold: float | None = None) -> dict[str, Any]:
    """Per set: items, items found in at least one document at `threshold` (the corpus's rule's where None), and in at
    least one *kept* document; documents that hold any of them; and the items found most often.

    A copy of an item in another set counts for both sets. Raises NotMeasured.
    """
    from tamis.signals.contamination import LISTED

    limit = eval_threshold(corpus) if threshold is None else threshold
    if limit < LISTED:
        raise NotMeasured(f"items below a score of {LISTED} are not listed: ask for a threshold from {LISTED} on")
    if "eval" not in corpus.extras:
        raise NotMeasured(f"corpus {corpus.corpus} has no signals `eval`: add `decontaminate` to its recipe and run it")
    group = corpus.extras["eval"]
    place = corpus.work.file(stages.prepared(group.params)["items"])
    names: dict[str, list[str]] = {one[0]: one for one in read_table(place, ["names"]).column("names").to_pylist()}
    found: dict[str, list[int]] = {}  # item: documents, of these kept
    documents: dict[str, list[int]] = {}
    for shard in range(corpus.shards):
        path = corpus.signals("eval", shard)
        if path is None:
            raise NotMeasured(f"signals/eval of shard {shard} are not whole: run the recipe again")
        column = read_table(path, ["found"]).column("found").to_pylist()
        keeps = read_table(corpus.verdicts(shard), ["keep"]).column("keep").to_pylist()
        for text, keep in zip(column, keeps, strict=True):
            if not text or text == "[]":
                continue
            items = [name for name, score in json.loads(text) if score >= limit]
            for name in items:
                counts = found.setdefault(name, [0, 0])
                counts[0] += 1
                counts[1] += keep
            for one in sorted({name.split("/", 1)[0] for item in items for name in names[item]}):
                counts = documents.setdefault(one, [0, 0])
                counts[0] += 1
                counts[1] += keep
    sets: dict[str, dict[str, int]] = {}
    for first, every in names.items():
        for name in every:
            row = sets.setdefault(name.split("/", 1)[0], {"items": 0, "found": 0, "in_kept": 0})
            row["items"] += 1
            row["found"] += first in found
            row["in_kept"] += first in found and found[first][1] > 0
    for name, row in sets.items():
        row["documents"], row["kept_documents"] = documents.get(name, [0, 0])
    most = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))[:MOST_SHOWN]
    return {
        "corpus": corpus.corpus,
        "threshold": limit,
        "sets": [{"set": name, **row, "share": row["found"] / row["items"]} for name, row in sorted(sets.items())],
        "most": [{"item": name, "documents": counts[0], "kept": counts[1]} for name, counts in most],
    }
