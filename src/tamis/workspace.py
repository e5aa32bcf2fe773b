"""The folder of one project: stages, keys, manifests, resume.

A stage is a pure function from input files to output files. A task is one application of it. Its key is a hash of
the stage's name and version, its parameters, the content hashes of its inputs, and the versions of the packages that
the stage names as deciding its output. A task writes to temporary names, syncs, renames, and writes its manifest
`_done/STAGE/TASK.json` last: the manifest is the only truth about what is whole. Re-running does only what changed.

Memory: one manifest per task, about 1 kB each.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tamis
from tamis.engine import Engine
from tamis.errors import SaidNo
from tamis.performing import Call, perform
from tamis.stage import File, Manifest, Stage, Task, key_of
from tamis.whole import TEMPORARY, write_atomic

# 1: the first. Bump when a file of the workspace changes its meaning; an older reader then refuses it by name.
FORMAT = 1
# A lock that is taken for longer than this is that of a run, not that of somebody who asks whether one is at work.
LOCK_SECONDS = 0.1


class WorkspaceError(RuntimeError):
    """The workspace cannot be used as asked; the message says why and what to do."""


class DamagedManifest(ValueError, SaidNo):
    """A manifest cannot be read; the message names the file and the command that mends the workspace."""


class Progress:
    """Told how a stage goes; the command line draws it. The base class is silent."""

    def begin(self, stage: str, tasks: int, reused: int) -> None:
        pass

    def advance(self, stage: str, amount: int) -> None:
        pass

    def done(self, stage: str, task: str, summary: dict[str, Any]) -> None:
        pass

    def end(self, stage: str, manifests: Sequence[Manifest], seconds: float) -> None:
        pass

    def say(self, line: str) -> None:
        pass


class Workspace:
    """Opens (or with `create`, makes) the folder of a project."""

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        self.path = Path(path)
        marker = self.path / "tamis.json"
        if not marker.exists():
            if (self.path / "_done").is_dir():
                raise WorkspaceError(f"{self.path} has lost its tamis.json. {_remade(self.path)}")
            if not create:
                raise WorkspaceError(
                    f"{self.path} is no workspace: it has no tamis.json. "
                    "Name one with --work, or make one with `tamis run RECIPE.yaml`."
                )
            if self.path.exists() and any(self.path.iterdir()):
                raise WorkspaceError(
                    f"{self.path} is not empty and no workspace; nothing was changed. "
                    "Name an empty or a new folder with --work."
                )
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                write_atomic(marker, json.dumps({"format": FORMAT, "corpora": {}}, indent=1) + "\n")
            except OSError as error:
                raise WorkspaceError(f"{self.path} cannot be made: {error.strerror}. Name another --work.") from None
        self.index()

    def index(self) -> dict[str, Any]:
        """tamis.json: format and what is known of each corpus. Derived; manifests are the truth.

        Raises WorkspaceError where it is damaged or of another format.
        """
        body = read_index(self.path)
        if body is None:
            raise WorkspaceError(f"{self.path}/tamis.json is damaged. {_remade(self.path)}")
        return body

    def update_corpus(self, name: str, **known: Any) -> None:
        body = self.index()
        body["corpora"].setdefault(name, {}).update(known)
        write_atomic(self.path / "tamis.json", json.dumps(body, indent=1, sort_keys=True) + "\n")

    def update_unreferred(self, folders: Iterable[str]) -> None:
        """Which folders of signals and edits no corpus referred to when the last run ended (see `collecting`)."""
        body = self.index()
        body["unreferred"] = sorted(folders)
        write_atomic(self.path / "tamis.json", json.dumps(body, indent=1, sort_keys=True) + "\n")

    def drop_corpus(self, name: str) -> None:
        """Removes a corpus: its manifests, its files, and what tamis.json says of it."""
        shutil.rmtree(self.path / "_done" / "corpora" / name, ignore_errors=True)
        shutil.rmtree(self.path / "corpora" / name, ignore_errors=True)
        body = self.index()
        body["corpora"].pop(name, None)
        write_atomic(self.path / "tamis.json", json.dumps(body, indent=1, sort_keys=True) + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Only one driver writes a workspace. Raises WorkspaceError when another one is at work."""
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(handle, fcntl.LOCK_EX):
                time.sleep(LOCK_SECONDS)
                if not _lock(handle, fcntl.LOCK_EX):
                    raise WorkspaceError(f"another tamis is writing to {self.path}; wait for it, or use --work")
            self._sweep()  # after a driver that was killed
            yield
            self._sweep()  # after workers that were killed while this one went on
        finally:
            os.close(handle)

    def _sweep(self) -> None:
        """Removes the temporary files of tasks that were killed. No task may be at work."""
        for left in self.path.rglob(".*.part"):
            if TEMPORARY.fullmatch(left.name):
                left.unlink(missing_ok=True)

    def busy(self) -> bool:
        """Whether a driver is writing this workspace now."""
        try:
            handle = os.open(self.path / ".lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            return not _lock(handle, fcntl.LOCK_SH)
        finally:
            os.close(handle)

    def manifest(self, stage: str, task: str) -> Manifest | None:
        """None where the task is not done. Raises DamagedManifest."""
        try:
            return self._read(self.path / "_done" / stage / f"{task}.json")
        except FileNotFoundError:
            return None

    def manifests(self, stage: str) -> list[Manifest]:
        """All finished tasks of a stage by name. A stage named `a/b` has its manifests in `_done/a/b`."""
        folder = self.path / "_done" / stage
        return [self._read(path) for path in sorted(folder.glob("*.json"))]

    def _read(self, path: Path) -> Manifest:
        try:
            return Manifest.from_json(path.read_text(encoding="utf-8"))
        except ValueError:
            raise DamagedManifest(f"{path} is a damaged manifest. {mending(self.path)}") from None

    def file(self, relative: str) -> Path:
        return self.path / relative

    def done(self, stage: Stage, task: Task) -> Manifest | None:
        """The manifest of this very task, if it is whole: same key, and every file there at its size."""
        found = self.manifest(stage.name, task.name)
        if found is None or found.key != key_of(stage, task) or not self._present(found):
            return None
        return found

    def _present(self, manifest: Manifest) -> bool:
        for file in manifest.files:
            try:
                if (self.path / file.path).stat().st_size != file.bytes:
                    return False
            except FileNotFoundError:
                return False
        return True

    def map(
        self, engine: Engine, stage: Stage, tasks: Sequence[Task], progress: Progress | None = None
    ) -> list[Manifest]:
        """Runs the tasks that are not done; returns all manifests in the order of `tasks`.

        Raises TaskFailed (what was finished stays finished), LedgerError.
        """
        progress = progress or Progress()
        found = {task.name: self.done(stage, task) for task in tasks}
        if len(found) != len(tasks):
            raise ValueError(f"stage {stage.name} has two tasks of one name")
        todo = [task for task in tasks if found[task.name] is None]
        progress.begin(stage.name, len(tasks), len(tasks) - len(todo))
        began = time.monotonic()

        def done(name: str, manifest: Manifest) -> None:
            found[name] = manifest
            progress.done(stage.name, name, manifest.summary)

        if todo:
            calls = [(task.name, Call(str(self.path.absolute()), stage, task, key_of(stage, task))) for task in todo]
            engine.map(perform, calls, done, lambda amount: progress.advance(stage.name, amount))
        manifests = [manifest for task in tasks if (manifest := found[task.name]) is not None]
        progress.end(stage.name, manifests, time.monotonic() - began)
        return manifests

    def exchange(
        self,
        engine: Engine,
        scatter: Stage,
        scatter_tasks: Sequence[Task],
        gather: Stage,
        partitions: Sequence[Callable[[tuple[File, ...]], Task]],
        progress: Progress | None = None,
    ) -> list[Manifest]:
        """Shards to partitions to results: each scatter task writes one file whose row group p is partition p, and
        the task that `partitions[p]` makes reads that row group of all of them.

        The scattered files are removed when all results are whole; their manifests stay, so that a second run sees
        from the keys that nothing is to do.
        """
        known = [self.manifest(scatter.name, task.name) for task in scatter_tasks]
        if all(
            manifest is not None and manifest.key == key_of(scatter, task)
            for manifest, task in zip(known, scatter_tasks, strict=True)
        ):
            files = tuple(manifest.files[0] for manifest in known if manifest is not None)
            tasks = [make(files) for make in partitions]
            if all(self.done(gather, task) for task in tasks):
                self._remove(files)  # a run killed between the last result and this line left some
                return self.map(engine, gather, tasks, progress)
        scattered = self.map(engine, scatter, scatter_tasks, progress)
        files = tuple(manifest.files[0] for manifest in scattered)
        results = self.map(engine, gather, [make(files) for make in partitions], progress)
        self._remove(files)
        return results

    def _remove(self, files: Iterable[File]) -> None:
        for file in files:
            self.file(file.path).unlink(missing_ok=True)

    def forget(self, stage: str, keep: Iterable[str]) -> None:
        """Drops manifests and files of tasks that the stage no longer has (fewer shards than before)."""
        kept = set(keep)
        for manifest in self.manifests(stage):
            if manifest.task not in kept:
                (self.path / "_done" / stage / f"{manifest.task}.json").unlink()
                self._remove(manifest.files)


def read_index(work: Path) -> dict[str, Any] | None:
    """What tamis.json says; None where it is damaged. Raises FileNotFoundError, WorkspaceError for another format."""
    try:
        body = json.loads((work / "tamis.json").read_text(encoding="utf-8"))
    except ValueError:
        return None
    if not isinstance(body, dict) or "format" not in body:
        return None
    if body["format"] != FORMAT:
        raise WorkspaceError(
            f"{work} has format {body['format']}; this is tamis {tamis.__version__}, which reads format {FORMAT}. "
            "Nothing was changed. Install a tamis that reads it, or start a new workspace with --work."
        )
    return body if isinstance(body.get("corpora"), dict) else None


def mending(work: Path | str) -> str:
    """What to do about a damaged file of a workspace."""
    return f"`tamis doctor --work {work} --repair` forgets what is damaged, then `tamis run` makes it again."


def _remade(work: Path) -> str:
    return (
        f"It can be made again: `tamis doctor --repair --work {work}`, then run every recipe of the workspace again, "
        "which measures nothing again."
    )


def _lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
