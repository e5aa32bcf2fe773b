"""Kernels: MB/s of UTF-8 on one core, and their share of the machine's limits.

    TAMIS_DATA=... python benchmarks/kernels.py [--quick] [--json] [--data FILE.parquet]

The text is the column `text` of a Parquet file (default: TAMIS_DATA/text/english.parquet and multilingual.parquet).
Rows are {what, unit, tamis, peer_name, peer, ratio}; the peer is the limit that bounds the kernel, measured on the
same bytes in the same process, or the plain Python reference. Best of several runs, in CPU seconds, pinned to one
core; on a busy machine only the ratios mean much.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis import kernels
from tamis.kernels import reference

PHRASES = ["javascript", "lorem ipsum", "terms of use", "privacy policy", "cookie policy", "uses cookies", "{"]


def best(work: Callable[[], object], runs: int) -> float:
    """Least CPU seconds of several runs."""
    out = float("inf")
    for _ in range(runs):
        start = time.process_time()
        work()
        out = min(out, time.process_time() - start)
    return out


def load(path: Path, limit: int) -> pa.Array:
    """The first documents of a file, `limit` bytes of text or all."""
    column = pq.read_table(path, columns=["text"])["text"].drop_null().combine_chunks()
    sizes = np.cumsum([len(t.as_buffer()) if t.is_valid else 0 for t in column])
    return column.slice(0, max(1, int(np.searchsorted(sizes, limit))))


def limits(text: pa.Array, runs: int) -> dict[str, float]:
    """Bytes per second of passes that any kernel needs in some form."""
    size = sum(len(t.as_buffer()) for t in text)
    encoded = [t.as_buffer().to_pybytes() for t in text]
    out = {
        "UTF-8 validation (Arrow)": best(lambda: text.validate(full=True), runs),
        "bytes.decode": best(lambda: [b.decode() for b in encoded], runs),
    }
    try:
        xxhash = importlib.import_module("xxhash")
    except ImportError:
        print("xxhash is not installed: its limit is left out", file=sys.stderr)
    else:
        out["XXH64"] = best(lambda: [xxhash.xxh64_intdigest(b) for b in encoded], runs)
    return {name: size / seconds for name, seconds in out.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 MB of each file and three runs")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--data", type=Path, action="append", help="a Parquet file with a column text")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    files = options.data
    if not files:
        if "TAMIS_DATA" not in os.environ:
            parser.error("name files with --data, or set TAMIS_DATA")
        files = [Path(os.environ["TAMIS_DATA"]) / "text" / f"{n}.parquet" for n in ("english", "multilingual")]
    runs = 3 if options.quick else 7
    generator = np.random.default_rng(1)
    table = kernels.ngram_table(generator.integers(1, 1 << 63, 50_000 if options.quick else 1_000_000, dtype=np.uint64))
    a, b = kernels._permutations32(112, 1)
    works: dict[str, tuple[Callable[[pa.Array], object], Callable[[pa.Array], object] | None]] = {
        "text and line statistics": (kernels.text_stats, reference.text_stats),
        "repetition, script words": (kernels.repetition, reference.repetition),
        "repetition, whitespace words": (lambda t: kernels.repetition(t, "whitespace"), None),
        "normalization": (kernels.normalize, reference.normalize),
        "content hash": (kernels.content_hash, reference.content_hash),
        "MinHash 112 x 32 bit": (kernels.minhash, lambda t: reference.minhash(t, a, b, 5)),
        "MinHash 112 x 64 bit, compatible": (kernels.minhash64, None),
        "13-gram lookup": (lambda t: kernels.ngram_hits(t, table), None),
        "shingle sets": (kernels.shingles, None),
        "line table, 7 phrases": (lambda t: kernels.line_table(t, PHRASES), None),
        "screen": (kernels.screen, reference.screen),
        "all fused": (kernels.analyse, None),
    }
    rows: list[dict[str, Any]] = []

    def row(what: str, tamis: float, peer_name: str, peer: float) -> None:
        ratio = round(tamis / peer, 3)
        rows.append({"what": what, "unit": "MB/s", "tamis": round(tamis / 1e6, 1), "peer_name": peer_name,
                     "peer": round(peer / 1e6, 1), "ratio": ratio})  # fmt: skip

    for path in files:
        text = load(path, 4_000_000 if options.quick else 1 << 40)
        size = sum(len(t.as_buffer()) for t in text)
        small = text.slice(0, max(1, len(text) * 300_000 // size))
        small_size = sum(len(t.as_buffer()) for t in small)
        bounds = limits(text, runs)
        for name, (work, slow) in works.items():
            speed = size / best(lambda work=work, text=text: work(text), runs)  # type: ignore[misc]
            what = f"{name} ({path.stem})"
            for limit, bound in bounds.items():
                row(what, speed, f"limit: {limit}", bound)
            if slow is not None:
                seconds = best(lambda slow=slow, small=small: slow(small), 1)  # type: ignore[misc]
                row(what, speed, "plain Python reference", small_size / seconds)
    if options.json:
        print(json.dumps({"kernels": kernels.describe(), "load": os.getloadavg(), "rows": rows}, indent=1))
        return 0
    print(f"{kernels.describe()}; load average {os.getloadavg()[0]:.1f}")
    for entry in rows:
        print(f"{entry['what']:48} {entry['tamis']:9.1f} MB/s  {entry['ratio']:9.3f} x {entry['peer_name']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
