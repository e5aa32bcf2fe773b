"""Runs the dedup stages on given texts, in this process."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tamis import documents
from tamis.dedup import stages
from tamis.engine import Inline
from tamis.stage import File, Task, hash_file
from tamis.workspace import Workspace

EdgesOf = Callable[..., pa.Table]


def write_shards(workspace: Workspace, texts: Sequence[str | None], shards: int) -> list[File]:
    """Texts in order over `shards` files of documents; text i has position i over all shards."""
    files = []
    (workspace.path / "documents").mkdir(exist_ok=True)
    for number in range(shards):
        part = texts[number * len(texts) // shards : (number + 1) * len(texts) // shards]
        rows = [
            {"id": f"{number:016x}{row:016x}", "text": text, "source": "test", "meta": "{}"}
            for row, text in enumerate(part)
        ]
        path = workspace.file(f"documents/{number:05d}.parquet")
        documents.write_table(path, pa.Table.from_pylist(rows, documents.DOCUMENTS), documents.DOCUMENTS)
        files.append(File(f"documents/{number:05d}.parquet", path.stat().st_size, hash_file(path), len(rows)))
    return files


def sketches(workspace: Workspace, files: Sequence[File], params: Mapping[str, Any]) -> list[stages.Shard]:
    tasks = [
        Task(f"{n:05d}", (f"dedup/sketch/{n:05d}.parquet",), (file,), dict(params)) for n, file in enumerate(files)
    ]
    made = workspace.map(Inline(), stages.SKETCH, tasks)
    return [stages.Shard(file, None, manifest.files[0]) for file, manifest in zip(files, made, strict=True)]


@pytest.fixture
def given() -> SimpleNamespace:
    """The two functions above, for tests that run the stages themselves."""
    return SimpleNamespace(shards=write_shards, sketches=sketches)


@pytest.fixture
def edges_of(tmp_path: Path) -> EdgesOf:
    """edges_of(texts, shards=2, **dedup) -> EDGES with left and right as positions in `texts`."""
    numbers = itertools.count()

    def run(texts: Sequence[str | None], shards: int = 2, **params: Any) -> pa.Table:
        workspace = Workspace(tmp_path / f"work{next(numbers)}", create=True)
        params.setdefault("exact", True)
        params.setdefault("minhash", {"bands": 14, "rows": 8, "ngram": 5})
        files = write_shards(workspace, texts, shards)
        manifest = stages.find_edges(workspace, Inline(), sketches(workspace, files, params), params)
        table = documents.read_table(workspace.file(manifest.files[0].path))
        first = [number * len(texts) // shards for number in range(shards)]
        for index, name in enumerate(("left", "right")):
            places = [first[gid >> 32] + (gid & 0xFFFFFFFF) for gid in table.column(name).to_pylist()]
            table = table.set_column(index, name, pa.array(places, pa.int64()))
        return table

    return run


@pytest.fixture
def words() -> Callable[[int, int], list[str]]:
    """words(seed, n): n words drawn from a vocabulary of 4,000, rarely the same shingle twice."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(random.Random(i).choices(letters, k=3 + i % 7)) for i in range(4000)]
    return lambda seed, n: random.Random(seed * 7919 + 1).choices(vocabulary, k=n)
