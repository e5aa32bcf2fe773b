"""What-if over a made-up workspace of a million documents: seconds, the share of each part, and the answer.

    python benchmarks/whatif.py [--quick] [--json] [--documents N] [--work FOLDER]

The workspace has the signals of the presets, 64 shards, and verified edges among 35 % of its documents in clusters,
one of them of 5,000. Its texts are short, because a what-if never reads them; its verdicts are made by the tasks of
a run. What is timed is a process of its own: start, imports, reading, deciding, electing, printing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.documents import DOCUMENTS, EDGES, write_table
from tamis.verdicts.election import Strength
from tamis.verdicts.reader import Folder
from tamis.verdicts.rules import catalogue, load_rules
from tamis.verdicts.task import elect_task, rules_task, verdict_task

LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", "ja", "ar", "hi", "pt")
SPACED = np.array([code not in ("zh", "ja") for code in LANGUAGES])
CHANGES = {"top_2": "repetition.top_2 <= 0.31", "short": "off"}


class Quiet:
    """A context for tasks that are called directly."""

    suspects: frozenset[str] = frozenset()

    def heartbeat(self, item: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def alone(self, function: Any, *arguments: Any, seconds: float) -> Any:
        return function(*arguments)


def make(path: Path, documents: int, shards: int) -> Folder:
    """Writes documents, signals and edges. The same arguments give the same bytes."""
    rng = np.random.default_rng(17)
    folder = Folder(path)
    types = catalogue()
    groups = sorted({name.split(".", 1)[0] for name in types})
    rows = [documents // shards] * shards
    rows[-1] += documents - sum(rows)
    for shard, count in enumerate(rows):
        language = np.minimum(rng.geometric(0.45, count) - 1, len(LANGUAGES) - 1)
        missing = rng.random(count) < 0.01
        badness = rng.beta(0.8, 8.0, count)  # what is repetitive in one way is so in others
        for group in groups:
            data = {
                name.split(".", 1)[1]: _signal(name, kind, count, rng, language, badness, missing)
                for name, kind in types.items()
                if name.startswith(group + ".")
            }
            _write(path / "signals" / group / f"{shard:05d}.parquet", pa.table(data))
        _write(folder.documents(shard), _documents(shard, count, missing, rng))
    _write(path / "dedup" / "edges" / "00000.parquet", _edges(documents, rows, rng))
    return folder


def _signal(
    name: str,
    kind: pa.DataType,
    count: int,
    rng: np.random.Generator,
    language: np.ndarray,
    badness: np.ndarray,
    missing: np.ndarray,
) -> pa.Array:
    if name == "document.extracted":
        return pa.array(~missing)
    if name == "lang.code":
        return pa.array(np.array(LANGUAGES)[language], mask=missing)
    if name == "lang.spaced":
        return pa.array(SPACED[language], mask=missing)
    if kind == pa.bool_():
        return pa.array(rng.random(count) < 0.95, mask=missing)
    if pa.types.is_integer(kind):
        return pa.array((rng.lognormal(6.0, 1.4, count)).astype(np.int64), kind, mask=missing)
    if pa.types.is_floating(kind):
        rising = name in ("text.alpha_words", "final.line_punct", "lang.score")
        share = badness * rng.uniform(0.2, 1.0, count) * (0.05 if name == "final.dup_line_chars" else 1.0)
        share = 4.7 + 3 * (share - 0.1) if name == "text.mean_word" else 1 - share if rising else share
        return pa.array(share, kind, mask=missing)
    return pa.array([None] * count, kind)


def _documents(shard: int, count: int, missing: np.ndarray, rng: np.random.Generator) -> pa.Table:
    ids = rng.bytes(16 * count).hex()
    return pa.table(
        {
            "id": [ids[32 * row : 32 * row + 32] for row in range(count)],
            "text": pa.array([f"document {row}" for row in range(count)], mask=missing),
            "reason": pa.array(["extract.empty"] * count, mask=~missing),
            "text_hash": pa.nulls(count, pa.string()),
            "source": np.array(["crawl", "books", "forum"])[rng.integers(0, 3, count)],
            "url": [f"https://site{row % 997}.example/{shard}/{row}" for row in range(count)],
            "date": pa.nulls(count, pa.string()),
            "meta": ["{}"] * count,
        }
    ).cast(DOCUMENTS)


def _edges(documents: int, rows: list[int], rng: np.random.Generator) -> pa.Table:
    """Clusters of 2 to 12 over 35 % of the documents, each member with edges to the two before it, and a giant."""
    gid = np.concatenate([(np.uint64(s) << np.uint64(32)) + np.arange(n, dtype=np.uint64) for s, n in enumerate(rows)])
    members = rng.permutation(documents)[: int(documents * 0.35)]
    giant = min(5000, len(members) // 10)
    cluster = np.concatenate(
        [np.zeros(giant, np.int64), 1 + np.repeat(np.arange(len(members)), rng.integers(2, 13, len(members)))]
    )
    cluster = cluster[: len(members)]
    pairs = []
    for step in (1, 2):
        same = cluster[:-step] == cluster[step:]
        pairs.append(np.stack([members[:-step][same], members[step:][same]], axis=1))
    ends = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
    jaccard = rng.uniform(0.5, 1.0, len(ends)).astype(np.float32)
    return pa.table(
        {
            "left": gid[ends[:, 0]],
            "right": gid[ends[:, 1]],
            "kind": np.where(rng.random(len(ends)) < 0.2, "exact", "near"),
            "jaccard": jaccard,
            "containment": np.maximum(jaccard, np.float32(0.8)),
            "bands": np.ones(len(ends), np.int16),
        },
        EDGES,
    )


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table, table.schema)


def decide(folder: Folder) -> None:
    """The verdicts of two presets, by the tasks of a run."""
    rules = load_rules(["gopher@paper", "fineweb@v1"], {})
    strength = {"jaccard": 0.8, "containment": None}
    folder.decide(rules, Strength(0.8))
    shards = range(folder.shards)
    for path in (folder.mask(0), folder.verdicts(0)):
        path.parent.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        files = [found for group in rules.groups if (found := folder.signals(group, shard))]
        rules_task(Quiet(), {"rules": rules.to_json(), "groups": list(rules.groups)}, files, [folder.mask(shard)])
    finals = [found for shard in shards if (found := folder.signals("final", shard))]
    inputs = [*(folder.mask(s) for s in shards), *finals, *(folder.documents(s) for s in shards), *folder.edges()]
    elect_task(Quiet(), {"shards": len(shards), "strength": strength}, inputs, [folder.duplicates()])
    for shard in shards:
        lang = folder.signals("lang", shard)
        assert lang is not None
        files = [folder.mask(shard), folder.documents(shard), finals[shard], lang, folder.duplicates()]
        verdict_task(Quiet(), {"shard": shard, "rules": rules.to_json()}, files, [folder.verdicts(shard)])


ASK = """
import json, resource, sys, time
began = time.perf_counter()
from tamis.verdicts.reader import Folder
from tamis.verdicts.what_if import what_if
from tamis.verdicts.what_if_text import render
imported = time.perf_counter()
text = render(what_if(Folder(sys.argv[1]), json.loads(sys.argv[2])))
done = time.perf_counter()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"import": imported - began, "answer": done - imported, "memory": memory, "text": text}))
"""


def measure(folder: Folder, repeats: int) -> dict[str, Any]:
    """The median of whole processes, seconds."""
    runs = []
    for _ in range(repeats):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(folder.path), json.dumps(CHANGES)],
            check=True,
            capture_output=True,
            text=True,
        )
        runs.append({**json.loads(done.stdout), "wall": time.perf_counter() - began})
    return sorted(runs, key=lambda run: run["wall"])[len(runs) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50,000 documents")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="keep the workspace here, or use it if it is there")
    given = parser.parse_args()
    documents = 50_000 if given.quick else given.documents
    with tempfile.TemporaryDirectory() as scratch:
        path = given.work or Path(scratch) / "work"
        folder = Folder(path)
        if not (path / "documents").exists():
            folder = make(path, documents, shards=8 if given.quick else 64)
        if not folder.duplicates().exists():
            decide(folder)
        found = measure(folder, repeats=5)
    rows = [
        {"what": f"what-if over {documents:,} documents, whole process", "unit": "s", "tamis": round(found["wall"], 2)},
        {"what": "of which imports", "unit": "s", "tamis": round(found["import"], 2)},
        {"what": "of which the answer", "unit": "s", "tamis": round(found["answer"], 2)},
        {"what": "memory of the process", "unit": "MB", "tamis": round(found["memory"])},
    ]
    if given.json:
        print(json.dumps(rows))
        return
    print(found["text"])
    for row in rows:
        print(f"{row['what']:<52} {row['tamis']:>10} {row['unit']}")


if __name__ == "__main__":
    main()
