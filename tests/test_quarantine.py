"""Deadly and endless rows on spawned workers: only what fails alone is lost."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engine_tasks as tasks
from tamis.dedup.exchange import read_partition, write_partitions
from tamis.dedup.sketch import sketch_task
from tamis.documents import DOCUMENTS, read_table, write_table
from tamis.engine import InlineContext, Local, TaskFailed
from tamis.quarantine import guarded
from tamis.sources import Split

GOOD = "A sentence of some ten words that ends with a full stop. " * 4
TEXTS = [GOOD + "Zero\u200b.", None, GOOD + "DEADLY\u200b.", GOOD + "Three\u200b."]


def collect(function, argument, hang_seconds=60.0):
    found = {}
    with Local(1, hang_seconds=hang_seconds) as engine:
        engine.map(function, [("t", argument)], lambda name, result: found.__setitem__(name, result))
    return found["t"]


def test_pieces_cover_the_rows() -> None:
    words = ["a", "bb", "ccc"]
    assert list(guarded(InlineContext(), range(3), tasks.Words(words), tasks.lengths)) == [(0, 3, [1, 2, 3])]
    assert list(guarded(InlineContext(), [], tasks.Words(), tasks.lengths)) == []


def test_a_deadly_row_is_lost_and_no_other() -> None:
    assert collect(tasks.guarded_lengths, ["a", "kill", "ccc"]) == [[1], None, [3]]


def test_what_dies_only_in_company_is_not_lost() -> None:
    assert collect(tasks.guarded_lengths, ["a", "fat", "cc"]) == [[1], [3], [2]]


def test_what_ends_alone_is_not_lost_and_what_does_not_is() -> None:
    assert collect(tasks.guarded_lengths, ["a", "tired"], hang_seconds=1.0) == [[1], [5]]
    assert collect(tasks.guarded_lengths, ["a", "hang"], hang_seconds=1.0) == [[1], None]


@pytest.fixture
def documents(tmp_path):
    n = len(TEXTS)
    columns = {
        "id": [f"{i:032x}" for i in range(n)],
        "text": pa.array(TEXTS, pa.large_string()),
        "reason": pa.nulls(n, pa.string()),
        "text_hash": pa.nulls(n, pa.string()),
        "source": ["s"] * n,
        "url": pa.nulls(n, pa.string()),
        "date": pa.nulls(n, pa.string()),
        "meta": ["{}"] * n,
    }
    path = tmp_path / "documents.parquet"
    write_table(path, pa.table(columns, schema=DOCUMENTS), DOCUMENTS)
    return path


def test_a_deadly_document_has_no_edits(documents, tmp_path) -> None:
    clean, trimmed, lang = tmp_path / "clean.parquet", tmp_path / "c4.parquet", tmp_path / "lang.parquet"
    summary = collect(tasks.deadly_stage, ("edits", {}, [documents], [clean]))
    assert summary["lost"] == 1
    assert summary["edits"]["clean"] == {"unicode.zero_width": 2}
    assert [len(edits) for edits in read_table(clean)["edits"].to_pylist()] == [1, 0, 0, 1]
    pq.write_table(pa.table({"spaced": [True] * len(TEXTS)}), lang)
    summary = collect(tasks.deadly_stage, ("trims", {"trims": ["c4"]}, [documents, clean, lang], [trimmed]))
    assert (summary["in"], summary["out"], summary["lost"]) == (4, 4, 1)
    assert read_table(trimmed)["edits"].to_pylist()[2] == []


def test_a_deadly_document_has_no_sketch_and_no_shingles(documents, tmp_path) -> None:
    sketched, scattered, members = tmp_path / "sketch.parquet", tmp_path / "sets.parquet", tmp_path / "members.parquet"
    summary = collect(tasks.deadly_stage, ("sketch", {}, [documents], [sketched]))
    assert summary == {"in": 4, "out": 4, "nominated": 2, "lost": 1}
    assert read_table(sketched)["hash_hi"].is_valid().to_pylist() == [True, False, False, True]
    gid = np.array([0, 2, 3], np.uint64)
    table = pa.table({"gid": gid, "root": np.zeros(3, np.uint64)})
    write_partitions(members, table, np.zeros(3, np.int64), 1)
    params = {"shard": 0, "partitions": 1}
    whole = tmp_path / "whole.parquet"
    sketch_task(InlineContext(), {}, [documents], [whole])
    summary = collect(tasks.deadly_stage, ("shingles", params, [members, whole, documents], [scattered]))
    assert (summary["candidates"], summary["lost"]) == (3, 1)
    sizes = read_partition(scattered, 0)["set_size"].to_pylist()
    assert sizes[1] == 0
    assert min(sizes[0], sizes[2]) > 5


def test_reading_that_never_ends_fails_the_task_and_says_where(tmp_path) -> None:
    split = Split(path=str(tmp_path / "a.warc"), relative="a.warc", format="warc", start=7)
    argument = ({"split": split.as_params(), "source": "s"}, [tmp_path / "d.parquet", tmp_path / "l.parquet"])
    with pytest.raises(TaskFailed, match=r"3 times \(it hung\), the last time at 'reading a.warc after position 7'"):
        collect(tasks.endless_reading, argument, hang_seconds=0.5)
