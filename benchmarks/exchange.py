"""The exchange that finds candidate duplicates, at scale. Rows {what, unit, tamis, peer_name, peer, ratio}.

    python benchmarks/exchange.py [--documents 10000000] [--workers 2] [--quick] [--json] [--keep DIR]

Generates sketch files of 14 bands a document: 35% of the documents are in clusters whose sizes follow Zipf's law and
share most of their bands, 0.5% share one hot bucket, all others are like none. Then the product's own stages run on
them, with all their files and manifests: scatter by band hash, gather to star edges, components. CPU seconds of the
process tree, and its peak of anonymous resident memory every 20 ms, by stage.

The peer is the fastest form that was found when engines were compared, run here on the same sketch files so that the
ratio is one of programs and not of machines: radix partitions of raw 16-byte rows appended to 256 files, per partition
the very function that our stage calls, and one call for connected components over all edges (scipy's). It has no
compression, checksums, manifests, syncs or resume, and holds all edges at once. Its components must be equal to ours,
or the script fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing as mp
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus import Row, machine, show
from peers.tree import anonymous_bytes, cpu_seconds
from tamis import documents
from tamis.dedup import nominate, stages
from tamis.dedup.options import Options
from tamis.dedup.sketch import schema
from tamis.engine import Context, Engine, Local
from tamis.stage import File, Manifest, Stage, Task
from tamis.workspace import Progress, Workspace

U64 = npt.NDArray[np.uint64]

SHARD = 50_000
BANDS = 14
CLUSTERED, HOT, SHARED = 0.35, 0.005, 0.93
ZIPF = 1.6
PEER_PARTITIONS = 256
LIMIT_MB = 2000
WANTED = 1.3
PARAMS: dict[str, Any] = {"exact": False, "minhash": {"bands": BANDS, "rows": 8, "ngram": 5}}


def mix(value: U64) -> U64:
    """SplitMix64's finalizer: a random-looking function of the number."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def bands_of(number: U64, count: int) -> U64:
    """Band hashes of documents: (N, 14), a function of the documents' numbers and how many there are."""
    own = mix(number[:, None] * np.uint64(BANDS) + np.arange(BANDS, dtype=np.uint64) + np.uint64(1 << 60))
    draw = mix(number + np.uint64(0xABCDEF)).astype(np.float64) / 2.0**64
    # Of N / 40 clusters, the one of rank r has a share of about r ** -ZIPF of the clustered documents.
    clusters = max(1, count // 40)
    tail = 1 - clusters ** (1 - ZIPF)
    rank = ((1 - np.minimum(draw / CLUSTERED, 1) * tail) ** (1 / (1 - ZIPF))).astype(np.uint64)
    theirs = mix(rank[:, None] * np.uint64(BANDS) + np.arange(BANDS, dtype=np.uint64))
    takes = (mix(own + np.uint64(99)).astype(np.float64) / 2.0**64 < SHARED) & (draw < CLUSTERED)[:, None]
    found = np.where(takes, theirs, own)
    hot = (draw >= CLUSTERED) & (draw < CLUSTERED + HOT)
    found[hot, 0] = np.uint64(42)
    return found


def generate_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    options = Options.of(PARAMS)
    with documents.ParquetShard(outputs[0], schema(options)) as shard:
        number = np.arange(params["first"], params["stop"], dtype=np.uint64)
        rows = len(number)
        ones = pa.array(np.ones(rows, np.int64))
        columns = [pa.nulls(rows, pa.uint64()), pa.nulls(rows, pa.uint64()), ones, ones.cast(pa.int32())]
        bands = pa.array(bands_of(number, params["count"]).ravel())
        columns.append(pa.FixedSizeListArray.from_arrays(bands, type=schema(options).field("bands").type))
        shard.write(pa.record_batch(columns, schema=schema(options)))
    return {"out": rows}


def generate(workspace: Workspace, engine: Engine, count: int) -> list[File]:
    stage = Stage("dedup/sketch", generate_task, 1)
    tasks = []
    for number, first in enumerate(range(0, count, SHARD)):
        params = {"count": count, "first": first, "stop": min(first + SHARD, count)}
        tasks.append(Task(f"{number:05d}", (f"dedup/sketch/{number:05d}.parquet",), (), params))
    return [manifest.files[0] for manifest in workspace.map(engine, stage, tasks)]


class Meter(Progress):
    """CPU, wall and peak memory of what runs between two calls of `turn`."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self._peak = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self._peak = max(self._peak, anonymous_bytes(os.getpid()))

    def turn(self, name: str) -> None:
        cpu, wall = cpu_seconds(), time.perf_counter()
        self.found[name] = {"cpu": cpu - self._cpu, "wall": wall - self._wall, "mb": self._peak / 1e6}
        self._cpu, self._wall, self._peak = cpu, wall, 0

    def end(self, stage: str, manifests: Sequence[Manifest], seconds: float) -> None:
        self.turn(stage)

    def stop(self) -> dict[str, dict[str, float]]:
        self._end.set()
        self._thread.join()
        return self.found


def ours(workspace: Workspace, engine: Engine, sketches: Sequence[File]) -> tuple[dict[str, dict[str, float]], int]:
    """The product's stages on sketch files."""
    meter = Meter()
    joined, edges = stages.join(workspace, engine, sketches, PARAMS, meter)
    assert joined.summary["documents"] > 0
    return meter.stop(), sum(manifest.summary["stars"] for manifest in edges)


def peer_scatter(folder: Path, worker: int, paths: Sequence[Path]) -> None:
    """Raw rows (hash, gid) of every second shard, appended to one file a partition."""
    files = [(folder / f"{p:03d}-{worker}").open("wb") for p in range(PEER_PARTITIONS)]
    for number, path in paths_of(worker, paths):
        bands = documents.read_table(path, ["bands"]).column("bands").combine_chunks()
        key = bands.flatten().to_numpy()
        gid = np.repeat(documents.gids(number, len(bands)), BANDS)
        partition = (key >> np.uint64(56)).astype(np.uint8)
        order = np.argsort(partition, kind="stable")
        rows = np.column_stack([key[order], gid[order]])
        stops = np.cumsum(np.bincount(partition, minlength=PEER_PARTITIONS))
        for p, (start, stop) in enumerate(zip([0, *stops[:-1].tolist()], stops.tolist(), strict=True)):
            rows[start:stop].tofile(files[p])
    for file in files:
        file.close()


def paths_of(worker: int, paths: Sequence[Path]) -> list[tuple[int, Path]]:
    return [(number, path) for number, path in enumerate(paths) if number % 2 == worker]


def peer_gather(folder: Path, worker: int) -> None:
    for p in range(worker, PEER_PARTITIONS, 2):
        rows = np.concatenate([np.fromfile(folder / f"{p:03d}-{w}", np.uint64).reshape(-1, 2) for w in (0, 1)])
        pairs = np.column_stack(nominate.stars(*np.ascontiguousarray(rows.T)))
        pairs.tofile(folder / f"edges-{p:03d}")


def peer_components(folder: Path) -> tuple[U64, U64]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    files = sorted(folder.glob("edges-*"))
    pairs = np.concatenate([np.fromfile(path, np.uint64).reshape(-1, 2) for path in files])
    nodes, flat = np.unique(pairs, return_inverse=True)
    ends = flat.reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(nodes), len(nodes)))
    _, label = connected_components(graph, directed=False)
    least = np.full(label.max() + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, label, nodes)
    return nodes, least[label]


def peer(folder: Path, paths: Sequence[Path]) -> tuple[dict[str, dict[str, float]], str]:
    """The radix files; (figures by step, digest of the components)."""
    folder.mkdir()
    meter = Meter()
    spawn = mp.get_context("spawn")

    def both(step: Callable[..., None], *more: Any) -> None:
        running = [spawn.Process(target=step, args=(folder, worker, *more)) for worker in (0, 1)]
        for process in running:
            process.start()
        for process in running:
            process.join()
            if process.exitcode:
                raise RuntimeError(f"{step.__name__} ended with {process.exitcode}")

    both(peer_scatter, paths)
    meter.turn("scatter")
    both(peer_gather)
    meter.turn("gather")
    nodes, root = peer_components(folder)
    meter.turn("components")
    return meter.stop(), digest(nodes, root)


def digest(nodes: U64, root: U64) -> str:
    return hashlib.blake2b(nodes.tobytes() + root.tobytes(), digest_size=16).hexdigest()


def warm(context: Context, number: int) -> int:
    """Imports what the tasks need, so that start-up is counted for neither side."""
    return number + len(nominate.KEYS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="300,000 documents")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="a new folder, kept afterwards")
    given = parser.parse_args()
    count = 300_000 if given.quick else given.documents
    folder = given.keep or Path(tempfile.mkdtemp(prefix="tamis-exchange-")) / "run"
    folder.mkdir(parents=True)
    try:
        workspace = Workspace(folder / "work", create=True)
        with Local(given.workers) as engine:
            sketches = generate(workspace, engine, count)
            engine.map(warm, [(str(i), i) for i in range(given.workers)], lambda name, result: None)
            mine, edges = ours(workspace, engine, sketches)
        table = documents.read_table(workspace.file("dedup/components/all.parquet"))
        nodes, root = (table.column(name).to_numpy() for name in ("gid", "root"))
        mine_digest = digest(nodes, root)
        del table, nodes, root
        other, other_digest = peer(folder / "peer", [workspace.file(file.path) for file in sketches])
        if mine_digest != other_digest:
            raise SystemExit("the two sides found different components")
    finally:
        if not given.keep:
            shutil.rmtree(folder.parent)
    rows = report(mine, other, count, given.workers)
    for side, found in (("tamis", mine), ("radix files", other)):
        for name, figures in found.items():
            spelled = ", ".join(f"{key} {value:.2f}" for key, value in figures.items())
            print(f"  {side:<12} {name:<18} {spelled}", file=sys.stderr)
    print(f"  {edges:,} star edges, components equal ({mine_digest})", file=sys.stderr)
    said: dict[str, Any] = machine()
    if given.json:
        print(json.dumps({"machine": said, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        show(said, rows)


def report(mine: Any, other: Any, count: int, workers: int) -> list[Row]:
    def total(found: dict[str, dict[str, float]], names: Sequence[str], figure: str) -> float:
        return sum(found[name][figure] for name in names)

    rows = []
    pairs = {
        "scatter and gather to edges": (["dedup/keys", "dedup/stars"], ["scatter", "gather"]),
        "components": (["dedup/components"], ["components"]),
        "all three": (["dedup/keys", "dedup/stars", "dedup/components"], ["scatter", "gather", "components"]),
    }
    for what, (our, their) in pairs.items():
        a, b = total(mine, our, "cpu"), total(other, their, "cpu")
        rows.append(
            Row(f"{what}, {count:,} documents", "CPU s", round(a, 2), "radix files", round(b, 2), round(b / a, 2))
        )
    peak = max(figures["mb"] for figures in mine.values())
    peers = max(figures["mb"] for figures in other.values())
    rows.append(
        Row(f"peak memory, {workers} workers", "MB", round(peak), "radix files", round(peers), round(peers / peak, 2))
    )
    rows.append(Row("peak memory beside the limit", "MB", round(peak), "limit", LIMIT_MB, round(LIMIT_MB / peak, 2)))
    return rows


if __name__ == "__main__":
    main()
