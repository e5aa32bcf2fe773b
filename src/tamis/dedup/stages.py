"""The dedup tasks as stages of a workspace, from sketches to one file of verified edges."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.dedup import components, edges, nominate, shingles, sketch, verify
from tamis.dedup.options import Options
from tamis.engine import Engine
from tamis.stage import File, Manifest, Stage, Task
from tamis.workspace import Progress, Workspace

SKETCH = Stage("dedup/sketch", sketch.sketch_task, sketch.VERSION)
SCATTER_KEYS = Stage("dedup/keys", nominate.scatter_task, nominate.VERSION)
GATHER_KEYS = Stage("dedup/stars", nominate.gather_task, nominate.VERSION)
COMPONENTS = Stage("dedup/components", components.components_task, components.VERSION)
SCATTER_SHINGLES = Stage("dedup/shingles", shingles.scatter_task, shingles.VERSION)
GATHER_SHINGLES = Stage("dedup/verified", verify.verify_task, verify.VERSION)
MERGE = Stage("dedup/edges", edges.merge_task, edges.VERSION)

# Sizes of a partition. They bound memory (about 120 MB a worker) and change no content.
KEYS_A_PARTITION = 2_000_000
CANDIDATES_A_PARTITION = 16_384


@dataclass(frozen=True)
class Shard:
    """What dedup reads of one shard; `edits` is None where cleaning changed nothing."""

    documents: File
    edits: File | None
    sketch: File

    @property
    def texts(self) -> tuple[File, ...]:
        return (self.documents, self.edits) if self.edits else (self.documents,)


def find_edges(
    workspace: Workspace,
    engine: Engine,
    shards: Sequence[Shard],
    params: Mapping[str, Any],
    progress: Progress | None = None,
) -> Manifest:
    """Verified edges of all shards in `dedup/edges/00000.parquet`; its manifest. Shard s of the list has gids s << 32.

    `params` is the recipe's `dedup` mapping (`Options.of`); thresholds in it do not reach a key.
    """
    given = _given(params)
    joined, _ = join(workspace, engine, [shard.sketch for shard in shards], given, progress)
    verified = _exchange(
        workspace,
        engine,
        (SCATTER_SHINGLES, [(joined.files[0], shard.sketch, *shard.texts) for shard in shards]),
        GATHER_SHINGLES,
        given,
        _ceil(joined.summary["documents"], CANDIDATES_A_PARTITION),
        progress,
    )
    inputs = tuple(manifest.files[0] for manifest in verified)
    merge = Task("00000", outputs=("dedup/edges/00000.parquet",), inputs=inputs)
    (merged,) = workspace.map(engine, MERGE, [merge], progress)
    return merged


def join(
    workspace: Workspace,
    engine: Engine,
    sketches: Sequence[File],
    params: Mapping[str, Any],
    progress: Progress | None = None,
) -> tuple[Manifest, list[Manifest]]:
    """Which documents must be brought together: the manifest of all components, and those of the star edges."""
    given = _given(params)
    rows = sum(sketch.rows or 0 for sketch in sketches)
    stars = _exchange(
        workspace,
        engine,
        (SCATTER_KEYS, [(sketch,) for sketch in sketches]),
        GATHER_KEYS,
        given,
        _ceil(rows * (Options.of(given).bands + 1), KEYS_A_PARTITION),
        progress,
    )
    everything = Task(
        "all",
        outputs=("dedup/components/all.parquet",),
        inputs=tuple(manifest.files[0] for manifest in stars),
        params={"shards": len(sketches)},
    )
    (joined,) = workspace.map(engine, COMPONENTS, [everything], progress)
    return joined, stars


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the recipe's `dedup` that decides which pairs are found."""
    return {name: params[name] for name in ("exact", "minhash") if name in params}


def _exchange(
    workspace: Workspace,
    engine: Engine,
    scatter: tuple[Stage, Sequence[tuple[File, ...]]],
    gather: Stage,
    params: Mapping[str, Any],
    partitions: int,
    progress: Progress | None,
) -> list[Manifest]:
    stage, inputs = scatter
    names = [f"{number:05d}" for number in range(len(inputs))]
    tasks = [
        Task(name, (f"{stage.name}/{name}.parquet",), files, {**params, "shard": number, "partitions": partitions})
        for number, (name, files) in enumerate(zip(names, inputs, strict=True))
    ]
    makers = [functools.partial(_gather_task, gather, params, number) for number in range(partitions)]
    workspace.forget(stage.name, names)
    manifests = workspace.exchange(engine, stage, tasks, gather, makers, progress)
    workspace.forget(gather.name, [manifest.task for manifest in manifests])
    return manifests


def _gather_task(stage: Stage, params: Mapping[str, Any], partition: int, files: tuple[File, ...]) -> Task:
    name = f"{partition:05d}"
    return Task(name, (f"{stage.name}/{name}.parquet",), files, {**params, "partition": partition})


def _ceil(count: int, size: int) -> int:
    return max(1, -(-count // size))
