"""Speed of trained models and what their training takes, beside scikit-learn and KenLM.

    python benchmarks/quality.py [--quick] [--json]

Reads the real texts that TAMIS_DATA names. CPU seconds of one thread, best of three. Rows are {what, unit, tamis,
peer_name, peer, ratio}; ratio > 1: Tamis is better.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis import kernels
from tamis.quality import dsir, linear, perplexity, training
from tamis.quality.reading import Texts


def best(function: Callable[[], Any], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def row(what: str, unit: str, tamis: float, peer_name: str = "", peer: float | None = None) -> dict[str, Any]:
    ratio = None if peer is None else round(tamis / peer if unit != "s" else peer / tamis, 2)
    return {
        "what": what, "unit": unit, "tamis": round(tamis, 1), "peer_name": peer_name,
        "peer": None if peer is None else round(peer, 2), "ratio": ratio,
    }  # fmt: skip


def run(data: Path, quick: bool) -> list[dict[str, Any]]:
    text = pq.read_table(data / "text" / "english.parquet", columns=["text"])["text"].combine_chunks()
    if isinstance(text, pa.ChunkedArray):
        text = text.chunk(0)
    text = text.slice(0, 800 if quick else 4000).cast(pa.large_string())
    documents = text.to_pylist()
    megabytes = sum(len(t.encode()) for t in documents) / 1e6
    few = documents[: len(documents) // 8]
    few_megabytes = sum(len(t.encode()) for t in few) / 1e6
    weights = np.random.default_rng(0).normal(size=1 << 20).astype(np.float32)
    model = linear.Linear(weights, 0.0, 1.0, 0.0, 2, {})
    rows = []

    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(n_features=1 << 20, ngram_range=(1, 2), alternate_sign=False)
    dense = weights.astype(np.float64)
    theirs = few_megabytes / best(lambda: vectorizer.transform(few) @ dense, 1)
    ours = megabytes / best(lambda: model.scores(text))
    rows.append(row("classifier, scoring", "MB/s", ours, "scikit-learn hashing", theirs))

    ratios = weights[:10_000].copy()
    importance = dsir.Importance(ratios, np.ones(1), np.ones(1), 2, {})
    rows.append(row("importance weights, scoring", "MB/s", megabytes / best(lambda: importance.log_weights(text))))

    with tempfile.TemporaryDirectory() as folder:
        pages = Texts((str(data / "web" / "pages-gold.parquet"),))
        out = Path(folder) / "m.arpa"
        start = time.process_time()
        perplexity.train(pages, out, 5, (0, 0, 1))
        seconds = time.process_time() - start
        rows.append(row("5-gram model, training", "MB/s", pages.seen["bytes"] / 1e6 / seconds))
        scorer = perplexity.load(str(out))
        ours = megabytes / best(lambda: scorer.perplexities(text))
        try:
            import kenlm
        except ImportError:
            rows.append(row("5-gram model, scoring", "MB/s", ours))
        else:
            peer = kenlm.Model(str(out))

            def theirs_score() -> None:
                lines = [line for document in few for line in document.split("\n")]
                for line in kernels.normalize(pa.array(lines, pa.large_string())).to_pylist():
                    if line:
                        peer.score(line)

            theirs = few_megabytes / best(theirs_score, 1)
            rows.append(row("5-gram model, scoring (KenLM with our normalization)", "MB/s", ours, "kenlm", theirs))
        start = time.process_time()
        bad = Texts((str(data / "text" / "english.parquet"),))
        training.train(pages, bad, cap=500 if quick else 3000)
        rows.append(row("classifier, training with its report", "s", time.process_time() - start))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data = os.environ.get("TAMIS_DATA")
    if not data:
        raise SystemExit("TAMIS_DATA is not set: it names the folder of real texts")
    rows = run(Path(data), arguments.quick)
    if arguments.json:
        print(json.dumps({"machine": kernels.describe(), "rows": rows}, indent=1))
        return
    for r in rows:
        peer = "" if r["peer"] is None else f"{r['peer_name']} {r['peer']} (x {r['ratio']})"
        print(f"{r['what']:<55} {r['tamis']:>8} {r['unit']:<5} {peer}")


if __name__ == "__main__":
    main()
