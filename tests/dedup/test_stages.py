"""The stages in a workspace: content does not depend on workers or partitions, and nothing is done twice."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from tamis import documents
from tamis.dedup import stages
from tamis.engine import Engine, Inline, Local
from tamis.stage import File, hash_file
from tamis.workspace import Workspace

PARAMS = {"exact": True, "minhash": {"bands": 14, "rows": 8, "ngram": 5}}


def texts() -> list[str | None]:
    random_ = random.Random(3)
    found: list[str | None] = [None, "short text"]
    for _ in range(12):
        base = [f"w{random_.randrange(5000)}" for _ in range(60)]
        found += [" ".join([*base, f"tail{i % 3}"]) for i in range(random_.randrange(1, 7))]
    random_.shuffle(found)
    return found


def edges(given: SimpleNamespace, folder: Path, engine: Engine) -> bytes:
    workspace = Workspace(folder, create=True)
    shards = given.sketches(workspace, given.shards(workspace, texts(), 3), PARAMS)
    stages.find_edges(workspace, engine, shards, PARAMS)
    return workspace.file("dedup/edges/00000.parquet").read_bytes()


def test_partitions_and_workers_do_not_show(
    given: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = edges(given, tmp_path / "one", Inline())
    monkeypatch.setattr(stages, "KEYS_A_PARTITION", 100)
    monkeypatch.setattr(stages, "CANDIDATES_A_PARTITION", 5)
    with Local(2) as engine:
        many = edges(given, tmp_path / "many", engine)
    assert len(list((tmp_path / "many/dedup/verified").iterdir())) > 3
    assert many == one


def test_a_second_run_does_nothing(given: SimpleNamespace, tmp_path: Path) -> None:
    edges(given, tmp_path / "work", Inline())
    workspace = Workspace(tmp_path / "work")
    before = {path: path.stat().st_mtime_ns for path in workspace.path.rglob("*.parquet")}
    files = [manifest.files[0] for manifest in workspace.manifests("dedup/sketch")]
    shards = given.sketches(workspace, known_shards(workspace), PARAMS)
    assert [shard.sketch for shard in shards] == files

    class NoEngine(Inline):
        def map(self, *arguments: object, **named: object) -> None:
            raise AssertionError("a task ran again")

    stages.find_edges(workspace, NoEngine(), shards, PARAMS | {"jaccard": 0.6})
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(workspace.path.glob("dedup/keys/*.parquet")), "exchange files are removed"


def known_shards(workspace: Workspace) -> list[File]:
    found = []
    for path in sorted(workspace.path.glob("documents/*.parquet")):
        rows = documents.open_shard(path).metadata.num_rows
        found.append(File(f"documents/{path.name}", path.stat().st_size, hash_file(path), rows))
    return found


def test_every_edge_is_ordered_and_of_known_documents(given: SimpleNamespace, tmp_path: Path) -> None:
    edges(given, tmp_path / "work", Inline())
    table = documents.read_table(tmp_path / "work/dedup/edges/00000.parquet")
    pairs = list(zip(table.column("left").to_pylist(), table.column("right").to_pylist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert all(left < right and right >> 32 < 3 for left, right in pairs)
    assert table.num_rows > 10
