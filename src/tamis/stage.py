"""Stages, tasks and their manifests, and the key that says whether an output is that of this very task.

A stage is a pure function from input files to output files; a task is one application of it. Its key is a hash of
the stage's name and version, its parameters, the content hashes of its inputs, and the versions of the packages that
the stage names as deciding its output.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tamis.engine import Context

Run = Callable[[Context, dict[str, Any], list[Path], list[Path]], dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """A pure function from files to files. `version` is bumped by hand when its output changes for the same input;
    `packages` are those whose version decides the output."""

    name: str
    run: Run
    version: int
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """One whole file: path relative to the workspace (or absolute for raw input), size, content hash, rows."""

    path: str
    bytes: int
    hash: str
    rows: int | None = None


@dataclass(frozen=True)
class Task:
    """One application of a stage: inputs as whole files, outputs as paths relative to the workspace.

    `unkeyed` parameters reach the task but not its key: where raw input lies (its content has a fingerprint among
    `inputs` or `params`), never anything that decides the output.
    """

    name: str
    outputs: tuple[str, ...]
    inputs: tuple[File, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    unkeyed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a finished task left: read it, never the folder."""

    stage: str
    task: str
    key: str
    files: tuple[File, ...]
    summary: dict[str, Any]

    def to_json(self) -> str:
        body = {
            "stage": self.stage,
            "task": self.task,
            "key": self.key,
            "files": [vars(file) for file in self.files],
            "summary": self.summary,
        }
        return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Raises ValueError for anything but a manifest."""
        body = json.loads(text)
        try:
            files = tuple(File(**file) for file in body["files"])
            summary = dict(body["summary"])
            return Manifest(body["stage"], body["task"], body["key"], files, summary)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no manifest: {error}") from None


def key_of(stage: Stage, task: Task) -> str:
    """The identity of a task's output, 32 hexadecimal digits."""
    body = [
        stage.name,
        stage.version,
        [[package, package_version(package)] for package in stage.packages],
        task.params,
        [file.hash for file in task.inputs],
        list(task.outputs),
    ]
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@cache
def package_version(name: str) -> str:
    """The installed version, or "absent". `unicodedata` is Python's own table."""
    if name == "unicodedata":
        return unicodedata.unidata_version
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def hash_file(path: Path) -> str:
    """BLAKE2b-128 of a file's bytes, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def hash_tree(path: Path) -> str:
    """Of a file, or of all files below a folder with their names."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(str(file.relative_to(path.parent)).encode("utf-8", "surrogateescape"))
        digest.update(hash_file(file).encode())
    return digest.hexdigest()
