"""Deduplicates generated documents: time, memory of the process tree, and what became of what was planted.

    python benchmarks/dedup_scale.py [--documents 1000000] [--workers 2] [--quick] [--json] [--keep DIR]

Every text is a function of its number, so the same numbers give the same bytes. Of N documents

- 3% are one page of 30 words that differs in a number: MinHash folds numbers, so all of them share all their buckets,
  and none is a duplicate (Jaccard about 0.7): the giant bucket;
- 1% are exact copies of one page;
- 31% are in clusters of 2, 3, 5, 20 or 400 documents: a base text and copies with 0 to 3 words changed (0 or 1 in the
  clusters of 400), so that the Jaccard similarity of base and copy is at least 0.8;
- 65% are like no other.

Peak memory is the anonymous resident memory of this process and all its children, read every 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis import documents, kernels
from tamis.dedup import stages
from tamis.dedup.classes import collapse
from tamis.engine import Context, Engine, Local
from tamis.stage import File, Manifest, Stage, Task
from tamis.verdicts.election import elect
from tamis.workspace import Progress, Workspace

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

SHARD = 20_000
VOCABULARY = 60_000
GIANT, COPIES, CLUSTERED = 0.03, 0.01, 0.31
SIZES = (2, 2, 2, 2, 3, 3, 5, 20, 400)  # cluster sizes in turn
LARGE = 64
PARAMS = {"exact": True, "minhash": {"bands": 14, "rows": 8, "ngram": 5}}
NUMBERED = "page not found on this server {} the address that you asked for has moved or never was here please go back to the first page or search for it there"  # noqa: E501
COPIED = "this domain is parked by its owner and will have a page soon come back later to see what is here " * 3


def mix(value: U64) -> U64:
    """SplitMix64's finalizer: a random-looking function of the number."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@dataclass(frozen=True)
class Plan:
    """Which document is what. A document's number is its place in the plan, its position where it lies in the shards;
    an affine permutation scatters neighbours over all shards."""

    count: int

    def number(self, position: I64) -> I64:
        step = 0x9E3779B1 % self.count or 1
        while np.gcd(step, self.count) != 1:
            step += 1
        return ((position.astype(object) * step + 12345) % self.count).astype(np.int64)

    @property
    def bounds(self) -> tuple[int, int, int]:
        """First number after the numbered pages, after the copies, after the clusters."""
        giant, copies = int(self.count * GIANT), int(self.count * COPIES)
        return giant, giant + copies, giant + copies + int(self.count * CLUSTERED)

    def cluster(self, number: I64) -> tuple[I64, I64, I64]:
        """(cluster, member, size) of each number: loners are clusters of one."""
        _, low, high = self.bounds
        cycle, total = np.array(SIZES), sum(SIZES)
        starts = np.concatenate([[0], np.cumsum(cycle)])
        turn, inside = np.divmod(number - low, total)
        slot = np.searchsorted(starts, inside, side="right") - 1
        # the last turn is cut where the clustered share ends
        size = np.minimum(cycle[slot], high - low - turn * total - starts[slot])
        loner = (number < low) | (number >= high)
        cluster = np.where(loner, (1 << 40) + number, turn * len(SIZES) + slot)
        return cluster, np.where(loner, 0, inside - starts[slot]), np.where(loner, 1, size)

    def texts(self, position: I64) -> pa.LargeStringArray:
        number = self.number(position)
        cluster, member, size = self.cluster(number)
        seed = mix(cluster.astype(np.uint64))
        lengths = (140 + seed % np.uint64(120)).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        words = mix(np.repeat(seed, lengths) + place.astype(np.uint64)) % np.uint64(VOCABULARY)
        own = mix(number.astype(np.uint64) ^ np.uint64(0xABCDEF))
        changes = np.where(member == 0, 0, own % np.where(size > LARGE, 2, 4).astype(np.uint64)).astype(np.int64)
        for change in range(3):
            rows = np.flatnonzero(changes > change)
            draw = mix(own[rows] + np.uint64(change + 1))
            where = offsets[:-1][rows] + (draw % lengths[rows].astype(np.uint64)).astype(np.int64)
            words[where] = (draw >> np.uint64(32)) % np.uint64(VOCABULARY)
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), vocabulary().take(pa.array(words)))
        made = pc.binary_join(lists, " ").cast(pa.large_string())
        giant, copied, _ = self.bounds
        special = [NUMBERED.format(n) if n < giant else COPIED if n < copied else None for n in number.tolist()]
        return pc.coalesce(pa.array(special, pa.large_string()), made)


_VOCABULARY: list[pa.StringArray] = []


def vocabulary() -> pa.StringArray:
    if not _VOCABULARY:
        codes = mix(np.arange(VOCABULARY, dtype=np.uint64))
        letters = "etaoinshrdlucmfw"
        words = ["".join(letters[code >> 4 * i & 15] for i in range(3 + code % 7)) for code in codes.tolist()]
        _VOCABULARY.append(pa.array(words))
    return _VOCABULARY[0]


def generate_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """Documents `first` to `stop` of a plan of `count`."""
    plan = Plan(params["count"])
    with documents.ParquetShard(outputs[0], documents.DOCUMENTS) as shard:
        for first in range(params["first"], params["stop"], 2_000):
            position = np.arange(first, min(first + 2_000, params["stop"]))
            text = plan.texts(position)
            rows = len(position)
            columns = {
                "id": pa.array([f"{p:032x}" for p in position.tolist()]),
                "text": text,
                "source": pa.array(["generated"] * rows),
                "meta": pa.array(["{}"] * rows),
            }
            nulls = pa.nulls(rows, pa.string())
            shard.write(
                pa.record_batch([columns.get(n, nulls) for n in documents.DOCUMENTS.names], schema=documents.DOCUMENTS)
            )
    return {"out": shard.rows}


GENERATE = Stage("documents", generate_task, 1)


def generate(workspace: Workspace, engine: Engine, count: int) -> list[File]:
    tasks = []
    for number, first in enumerate(range(0, count, SHARD)):
        params = {"count": count, "first": first, "stop": min(first + SHARD, count)}
        tasks.append(Task(f"{number:05d}", (f"documents/{number:05d}.parquet",), (), params))
    return [manifest.files[0] for manifest in workspace.map(engine, GENERATE, tasks)]


class Memory(threading.Thread):
    """Highest anonymous resident memory of this process and its children during each stage, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stage = "start"
        self.peaks: dict[str, int] = {}
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.05):
            used = sum(map(anonymous, tree(os.getpid())))
            self.peaks[self.stage] = max(self.peaks.get(self.stage, 0), used)

    def stop(self) -> dict[str, int]:
        self._end.set()
        self.join()
        return self.peaks


class Watch(Progress):
    """Notes which stage runs, and how long each took."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.seconds: dict[str, float] = {}

    def begin(self, stage: str, tasks: int, reused: int) -> None:
        self.memory.stage = stage

    def end(self, stage: str, manifests: Sequence[Manifest], seconds: float) -> None:
        self.seconds[stage] = seconds


def tree(root: int) -> list[int]:
    """Process ids of `root` and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue  # it has ended
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def anonymous(process: int) -> int:
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended
    return 0


def judge(workspace: Workspace, plan: Plan) -> dict[str, Any]:
    """What became of the planted documents, from the edges and an election at Jaccard 0.8."""
    table = documents.read_table(workspace.file("dedup/edges/00000.parquet"))
    gids = [table.column(name).to_numpy() for name in ("left", "right")]
    left, right = (
        (g >> np.uint64(32)).astype(np.int64) * SHARD + (g & np.uint64(0xFFFFFFFF)).astype(np.int64) for g in gids
    )
    exact = pc.equal(table.column("kind"), "exact").to_numpy(zero_copy_only=False)
    chars = np.concatenate(
        [
            documents.read_table(workspace.file(m.files[0].path), ["chars"]).column(0).to_numpy()
            for m in workspace.manifests("dedup/sketch")
        ]
    )
    strong = exact | (table.column("jaccard").to_numpy() >= np.float32(0.8))
    alive = np.ones(plan.count, bool)
    classes = collapse(left, right, exact, alive, chars)
    kept = alive.copy()
    kept[elect(left[strong], right[strong], alive, chars, exact[strong]).dropped] = False

    position = np.arange(plan.count)
    number = plan.number(position)
    cluster, member, size = plan.cluster(number)
    giant, copied, high = plan.bounds
    clustered = (number >= copied) & (number < high)
    base_of = np.full(int(cluster[clustered].max(initial=0)) + 1, -1)
    bases = clustered & (member == 0)
    base_of[cluster[bases]] = position[bases]
    copies = np.flatnonzero(clustered & (member > 0))
    base = base_of[cluster[copies]]
    ends = np.sort(np.stack([classes.left[strong], classes.right[strong]]), axis=0)
    known = np.unique(ends[0] * plan.count + ends[1])
    a, b = np.sort(np.stack([classes.best[base], classes.best[copies]]), axis=0)
    edge = (a == b) | np.isin(a * plan.count + b, known)
    small = size[copies] <= LARGE
    alone = (number >= high) | (number < giant)
    parked = (number >= giant) & (number < copied)
    big = clustered & (size > LARGE)
    return {
        "edges": table.num_rows,
        "exact_edges": int(exact.sum()),
        "recall_small_clusters": round(float(edge[small].mean()), 5),
        "recall_by_election": round(float((~(kept[base] & kept[copies])).mean()), 5),
        "kept_per_large_cluster": round(float(kept[big].sum() / max(1, len(np.unique(cluster[big])))), 3),
        "false_removals": int((alone & ~kept).sum()),
        "exact_copies": int(parked.sum()),
        "exact_copies_kept": int(kept[parked].sum()),
        "removed": int((~kept).sum()),
    }


def run(count: int, workers: int, folder: Path) -> dict[str, Any]:
    workspace = Workspace(folder, create=True)
    with Local(workers) as engine:
        files = generate(workspace, engine, count)
    memory, began, before = Memory(), time.monotonic(), cpu()
    memory.start()
    watch = Watch(memory)
    with Local(workers) as engine:
        tasks = [Task(f"{n:05d}", (f"dedup/sketch/{n:05d}.parquet",), (file,), PARAMS) for n, file in enumerate(files)]
        sketches = workspace.map(engine, stages.SKETCH, tasks, watch)
        shards = [stages.Shard(file, None, made.files[0]) for file, made in zip(files, sketches, strict=True)]
        stages.find_edges(workspace, engine, shards, PARAMS, watch)
    wall, used = time.monotonic() - began, cpu() - before
    peaks = memory.stop()
    verified = [manifest.summary for manifest in workspace.manifests("dedup/verified")]
    return {
        "documents": count,
        "kernels": kernels.backend(),
        "workers": workers,
        "parquet_bytes": sum(file.bytes for file in files),
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(used, 1),
        **{f"{name}_seconds": round(value, 1) for name, value in watch.seconds.items()},
        **{f"{name}_peak_bytes": value for name, value in peaks.items()},
        "peak_bytes": max(peaks.values()),
        "compared": sum(summary["compared"] for summary in verified),
        "in_components": sum(summary["documents"] for summary in verified),
        **judge(workspace, Plan(count)),
    }


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="20,000 documents")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="a new folder for the workspace, kept afterwards")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="dedup_scale_")) / "work"
    try:
        result = run(20_000 if given.quick else given.documents, given.workers, folder)
    finally:
        if not given.keep:
            shutil.rmtree(folder.parent)
    if given.json:
        json.dump(result, sys.stdout, indent=1)
        print()
    else:
        for name, value in result.items():
            print(f"{name:32} {value:,}" if isinstance(value, int | float) else f"{name:32} {value}")


if __name__ == "__main__":
    main()
