"""Recall of near-duplicate pairs against an exact join, for several bands x rows.

    python benchmarks/dedup_recall.py [--data DIR] [--json]

Reads `dedup/docs.parquet` and `dedup/pairs.parquet` below DIR (default: the environment's TAMIS_DATA): documents, and
all their pairs with word-5-gram Jaccard >= 0.5 (words: `\\w+` of the lower-cased text). Prints, for every setting, the
share of true pairs that have a verified edge between the classes of their two documents, and the share of which the
election at Jaccard 0.8 keeps at most one document.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis import kernels
from tamis.dedup import nominate
from tamis.dedup.classes import collapse
from tamis.dedup.components import grow
from tamis.dedup.options import Options
from tamis.dedup.sketch import sketch
from tamis.dedup.verify import Members, pick, verify
from tamis.verdicts.election import elect

SETTINGS = [(14, 8), (14, 7), (16, 7), (18, 6), (22, 5), (28, 4), (8, 14), (9, 13)]
BINS = [0.5, 0.6, 0.7, 0.8, 0.9]


def batches(text: pa.ChunkedArray) -> list[pa.Array]:
    whole = text.cast(pa.large_string()).combine_chunks()
    return [whole.slice(at, 256) for at in range(0, len(whole), 256)]


def measure(docs: pa.Table, pairs: pa.Table) -> list[dict[str, Any]]:
    """One row per setting. Memory: all sets of shingles, about the size of the text."""
    most = max(bands * rows for bands, rows in SETTINGS)
    parts = batches(docs.column("text"))
    made = [
        kernels.analyse(part, want=["content_hash", "shingle_count", "minhash"], permutations=most) for part in parts
    ]
    found = [kernels.shingles(part) for part in parts]
    sizes = np.concatenate([np.diff(offsets) for offsets, _ in found])
    sets = (np.concatenate([[0], np.cumsum(sizes)]), np.concatenate([values for _, values in found]))
    place = {name: row for row, name in enumerate(docs.column("id").to_pylist())}
    first = np.array([place[name] for name in pairs.column("a").to_pylist()])
    second = np.array([place[name] for name in pairs.column("b").to_pylist()])
    level = np.clip(np.floor(pairs.column("jaccard5").to_numpy() * 10 + 1e-9).astype(int) - 5, 0, 4)
    rows = []
    for bands, height in SETTINGS:
        options = Options(bands=bands, rows=height)
        sketches = pa.Table.from_batches(
            [sketch(part, options, analysis) for part, analysis in zip(parts, made, strict=True)]
        )
        began = time.process_time()
        left, right = nominate.stars(*nominate.keys(sketches, 0, options))
        gid, root = grow(np.zeros(0, np.uint64), np.zeros(0, np.uint64), left, right)
        chosen = gid.astype(np.int64)
        table = sketches.take(pa.array(chosen))
        for name, values in (("gid", gid), ("root", root), ("set_size", sizes[chosen])):
            table = table.append_column(name, pa.array(values))
        members = Members.of([table], options)
        edges, counts = verify(members, lambda _, chosen=chosen: pick(sets, chosen), options)
        seconds = time.process_time() - began
        rows.append(
            {"bands": bands, "rows": height, "candidates": counts["compared"], "edges": edges.num_rows}
            | {"cpu_seconds": round(seconds, 2), "documents": len(gid)}
            | recall(edges, docs, first, second, level)
        )
    return rows


def recall(edges: pa.Table, docs: pa.Table, first: Any, second: Any, level: Any) -> dict[str, Any]:
    left, right = (edges.column(name).to_numpy().astype(np.int64) for name in ("left", "right"))
    exact = edges.column("kind").to_numpy(zero_copy_only=False) == "exact"
    count = docs.num_rows
    alive, size = np.ones(count, bool), pa.compute.utf8_length(docs.column("text")).to_numpy()
    classes = collapse(left, right, exact, alive, size)
    ends = np.sort(np.stack([classes.left, classes.right]), axis=0)
    known = set((ends[0] * count + ends[1]).tolist())
    a, b = np.sort(np.stack([classes.best[first], classes.best[second]]), axis=0)
    hit = (a == b) | np.isin(a * count + b, np.fromiter(known, np.int64, len(known)))

    strong = exact | (edges.column("jaccard").to_numpy() >= np.float32(0.8))
    kept = np.ones(count, bool)
    kept[elect(left[strong], right[strong], alive, size, exact[strong]).dropped] = False
    settled = ~(kept[first] & kept[second])
    out: dict[str, Any] = {}
    for number, low in enumerate(BINS):
        inside = level == number
        out[f"edge_{low}"] = round(float(hit[inside].mean()), 4)
        out[f"elected_{low}"] = round(float(settled[inside].mean()), 4)
    out["missed_0.8"] = int((~hit & (level >= 3)).sum())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TAMIS_DATA"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.data is None:
        sys.exit("name the folder of the test data with --data, or set TAMIS_DATA")
    folder = Path(given.data) / "dedup"
    rows = measure(pq.read_table(folder / "docs.parquet"), pq.read_table(folder / "pairs.parquet"))
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    print("bands x rows  candidates  cpu s   edge .5-.6 .6-.7 .7-.8 .8-.9 .9-1   elected .8-.9 .9-1")
    for row in rows:
        edge = "  ".join(f"{row[f'edge_{low}']:.3f}" for low in BINS)
        print(
            f"{row['bands']:5d} x {row['rows']:<5d}{row['candidates']:11,d}{row['cpu_seconds']:7.2f}        {edge}"
            f"          {row['elected_0.8']:.4f}  {row['elected_0.9']:.4f}"
        )


if __name__ == "__main__":
    main()
