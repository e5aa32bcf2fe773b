"""From a recipe's sources to documents: which splits there are, the stage that reads them, and what it will cost.

The driver's memory grows with the number of splits.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tamis import extend
from tamis.clean import task as clean_task
from tamis.engine import Context
from tamis.recipe import Recipe, Source
from tamis.sources import OWN, SourceSpec, Split, plan
from tamis.sources.fingerprint import fingerprint, require_unchanged
from tamis.stage import Stage, Task
from tamis.workspace import Workspace
from tamis.yaml_models import RecipeError

# What a run needs on disk, as a multiple of the raw bytes: 1.05 (web pages) to 1.7 (documentation) measured on WARC.
DISK = {"warc": 1.5, "arc": 1.5, "wet": 3.0, "jsonl": 3.0, "parquet": 3.0, "text": 3.0}


@dataclass(frozen=True)
class ReadSplit:
    """One split of one source on its way to shard `number`."""

    number: int
    source: Source
    split: Split
    fingerprint: str

    @property
    def name(self) -> str:
        return f"{self.number:05d}"


@dataclass(frozen=True)
class Preview:
    """What a run will do, said before it starts. `disk` and `free` in bytes; `disk` is an estimate."""

    sources: list[tuple[str, int, int]]  # name, splits, raw bytes
    reused: int
    shards: int
    disk: int
    free: int


class Reading:
    """The stage `documents` of a recipe: every split of its sources becomes one shard.

    Raises SourceError, where splits are asked for, for sources that are not there.
    """

    def __init__(self, recipe: Recipe, work: Workspace) -> None:
        self.recipe = recipe
        self.work = work

    @cached_property
    def splits(self) -> list[ReadSplit]:
        found = [
            (source, split, fingerprint(split))
            for source in self.recipe.sources
            for split in plan(source_spec(source, self.recipe), self.recipe.split_bytes)
        ]
        return [ReadSplit(number, *rest) for number, rest in enumerate(found)]

    @property
    def stage(self) -> Stage:
        # Encodings are detected by Resiliparse whichever extractor is used.
        packages = (
            "brotli",
            "resiliparse",
            *(("trafilatura", "lxml") if self.recipe.clean.extractor != "resiliparse" else ()),
        )
        return Stage("documents", read_task, clean_task.DOCUMENTS_VERSION, packages)

    def tasks(self) -> list[Task]:
        extract = self.recipe.clean.model_dump(mode="json", include={"extractor", "limits"})
        tasks = []
        for reading in self.splits:
            split = reading.split.as_params()
            where = {key: split.pop(key) for key in ("path", "files")}
            where["options"] = {key: split["options"].pop(key) for key in ("reader_file",) if key in split["options"]}
            params = {"source": reading.source.name, "split": split, "content": reading.fingerprint, "extract": extract}
            outputs = (f"documents/{reading.name}.parquet", f"losses/{reading.name}.parquet")
            tasks.append(Task(reading.name, outputs, params=params, unkeyed={"where": where}))
        return tasks

    def preview(self) -> Preview:
        tasks = self.tasks()
        stage = self.stage
        sizes: dict[str, tuple[int, int]] = {}
        for reading in self.splits:
            splits, size = sizes.get(reading.source.name, (0, 0))
            sizes[reading.source.name] = (splits + 1, size + reading.split.size)
        reused = [self.work.done(stage, task) is not None for task in tasks]
        disk = sum(
            DISK.get(reading.split.format, 1.0) * reading.split.size
            for reading, done in zip(self.splits, reused, strict=True)
            if not done
        )
        return Preview(
            [(name, splits, size) for name, (splits, size) in sizes.items()],
            sum(reused),
            len(tasks),
            int(disk),
            shutil.disk_usage(self.work.path).free,
        )


def read_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """`clean.task.documents_task`, told where the split lies: the place is no part of a task's key."""
    where = params.pop("where")
    split = {**params["split"], **where, "options": {**params["split"]["options"], **where["options"]}}
    reading = Split.from_params(split)
    require_unchanged(reading, params["content"], "since the run was planned")
    summary = clean_task.documents_task(context, {**params, "split": split}, inputs, outputs)
    require_unchanged(reading, params["content"], "while it was read")
    return summary


def source_spec(source: Source, recipe: Recipe) -> SourceSpec:
    options = {k: v for k, v in source.options.model_dump().items() if v is not None}
    options["record_bytes"] = recipe.clean.limits.record_bytes
    if source.reader is None:
        return SourceSpec(source.name, list(source.paths), source.format, options)
    for file in recipe.extend:
        for one in extend.load(file):
            if (one.kind, one.name) == ("source", source.reader):
                options |= {"reader": one.name, "reader_version": one.version, "reader_file": file}
                return SourceSpec(source.name, list(source.paths), OWN, options)
    raise RecipeError([f"sources: {source.name}: no file under `extend` has a source named {source.reader}"])
