"""One task in a worker: run, checked, and committed. A task writes to temporary names, syncs, renames, and writes its
manifest `_done/STAGE/TASK.json` last: the manifest is the only truth about what is whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tamis
from tamis.engine import Context
from tamis.stage import File, Manifest, Stage, Task, hash_file, key_of, package_version
from tamis.whole import part_of, sync, write_atomic


class LedgerError(RuntimeError):
    """Rows that went into a task are not the rows that came out plus the rows with a reason."""


class OtherPackages(RuntimeError):
    """A worker's packages would give another output than the driver's manifest would say."""


@dataclass(frozen=True)
class Call:
    """A task on its way to a worker."""

    work: str
    stage: Stage
    task: Task
    key: str  # as the driver computed it


def perform(context: Context, call: Call) -> Manifest:
    """Runs one task in a worker and commits it: temporary files, sync, rename, manifest last."""
    work, stage, task = Path(call.work), call.stage, call.task
    targets = [work / output for output in task.outputs]
    if key_of(stage, task) != call.key:
        raise OtherPackages(
            f"{socket.gethostname()} would not make {stage.name}/{task.name} as the driver does: it has tamis "
            f"{tamis.__version__} and {_versions(stage)}. Install the driver's versions on every node."
        )
    parts = [part_of(target) for target in targets]
    done = work / "_done" / stage.name / f"{task.name}.json"
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        summary = stage.run(
            context, {**task.params, **task.unkeyed}, [_resolve(work, f.path) for f in task.inputs], parts
        )
        check_ledger(f"{stage.name}/{task.name}", summary)
        files = []
        for part, name in zip(parts, task.outputs, strict=True):
            files.append(File(name, part.stat().st_size, hash_file(part), _rows(part, name)))
            sync(part)
        # From here on the old files go one by one: a kill between two must not leave a manifest that vouches for them.
        done.unlink(missing_ok=True)
        for target, part in zip(targets, parts, strict=True):
            os.replace(part, target)
        for folder in sorted({target.parent for target in targets}):
            sync(folder)
    except BaseException:
        for part in parts:
            with contextlib.suppress(OSError):
                shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
        raise
    manifest = Manifest(stage.name, task.name, key_of(stage, task), tuple(files), summary)
    write_atomic(done, manifest.to_json())
    return manifest


def check_ledger(name: str, summary: Mapping[str, Any]) -> None:
    """Rows in = rows out + rows per reason, where the summary counts rows. Raises LedgerError."""
    if "in" in summary and "out" in summary:
        accounted = summary["out"] + sum(summary.get("reasons", {}).values())
        if summary["in"] != accounted:
            raise LedgerError(
                f"{name} does not add up: {summary['in']:,} rows in, {summary['out']:,} out and "
                f"{accounted - summary['out']:,} with a reason. This is a defect of tamis; please report it."
            )


def _versions(stage: Stage) -> str:
    return ", ".join(f"{name} {package_version(name)}" for name in stage.packages) or "another version of the stage"


def _resolve(work: Path, path: str) -> Path:
    return work / path  # an absolute path stays what it is


def _rows(path: Path, name: str) -> int | None:
    if not name.endswith(".parquet"):
        return None
    from tamis.documents import open_shard

    with open_shard(path) as file:
        rows: int = file.metadata.num_rows
        return rows
