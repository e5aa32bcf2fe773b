from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.clean.edits import from_lists
from tamis.documents import DOCUMENTS, EDITS, read_table, write_table
from tamis.engine import Died
from tamis.signals import GROUPS
from tamis.signals import task as task_module
from tamis.signals.task import signals_task

TEXTS = ["Mail jane@site.org now.", None, "", "One two three.\nmenu\n" * 3, "这是一个句子。还有一个。"]


class Context:
    def __init__(self, *suspects: str) -> None:
        self.suspects = frozenset(suspects)
        self.items: list[str] = []
        self.deadly = True

    def heartbeat(self, item: str) -> None:
        if item:
            self.items.append(item)

    def alone(self, function, *arguments, seconds: float):
        self.items.append("alone")
        if self.deadly:
            raise Died("signal 11")
        return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(arguments)))))


def shard(folder: Path, texts: list[str | None]) -> Path:
    n = len(texts)
    columns = {
        "id": [f"{i:032x}" for i in range(n)],
        "text": pa.array(texts, pa.large_string()),
        "reason": pa.array([None if t is not None else "extract.empty" for t in texts], pa.string()),
        "text_hash": pa.nulls(n, pa.string()),
        "source": ["s"] * n,
        "url": [f"http://www.site{i}.co.uk/a" for i in range(n)],
        "date": pa.nulls(n, pa.string()),
        "meta": ["{}"] * n,
    }
    path = folder / "documents.parquet"
    write_table(path, pa.table(columns, schema=DOCUMENTS), DOCUMENTS)
    return path


def edits_file(folder: Path, name: str, edits: pa.ListArray) -> Path:
    path = folder / f"{name}.parquet"
    write_table(path, pa.table([edits], schema=EDITS), EDITS)
    return path


def run(folder: Path, documents: Path, groups: list[str], context: Context | None = None, **edits: Path):
    outputs = [folder / f"out-{name}.parquet" for name in groups]
    params = {"groups": groups, "edits": {name: i + 1 for i, name in enumerate(edits)}, "options": {}}
    summary = signals_task(context or Context(), params, [documents, *edits.values()], outputs)
    return summary, {name: read_table(path) for name, path in zip(groups, outputs, strict=True)}


def test_all_groups_in_one_pass(tmp_path) -> None:
    clean = edits_file(tmp_path, "clean", from_lists(5, [3], [15], [20], "", "boilerplate"))
    summary, tables = run(tmp_path, shard(tmp_path, TEXTS), list(GROUPS), clean=clean)
    assert (summary["in"], summary["out"], summary["failed"]) == (5, 5, {})
    for name, table in tables.items():
        assert table.num_rows == 5
        assert table.schema == GROUPS[name].schema
        nulls = [table[column][1].as_py() is None for column in table.column_names]
        if GROUPS[name].reads != "document":
            assert all(nulls), name
    assert tables["document"]["extracted"].to_pylist() == [True, False, True, True, True]
    assert tables["url"]["domain"].to_pylist()[1] == "site1.co.uk"
    assert tables["text"]["words"].to_pylist() == [3, None, 0, 11, 1]
    assert tables["final"]["sentences"].to_pylist()[4] == 2
    assert tables["pii"]["emails"].to_pylist() == [1, None, 0, 0, 0]
    assert tables["lang"]["code"].to_pylist()[4] == "zh"
    assert summary["sums"]["text.words"] == 15
    assert summary["sums"]["document.clean_bytes"] == 5


def test_batches_do_not_show_in_the_output(tmp_path, monkeypatch) -> None:
    texts = [f"Line {i} of a text.\n" * (i % 7) if i % 5 else None for i in range(40)]
    clean = edits_file(tmp_path, "clean", from_lists(40, [1, 6, 39], [0, 0, 0], [4, 4, 4], "", "x"))
    documents = shard(tmp_path, texts)
    run(tmp_path, documents, list(GROUPS), clean=clean)
    before = [(tmp_path / f"out-{name}.parquet").read_bytes() for name in GROUPS]
    monkeypatch.setattr(task_module, "BATCH_BYTES", 100)
    context = Context()
    run(tmp_path, documents, list(GROUPS), context, clean=clean)
    assert len(context.items) > 5
    assert [(tmp_path / f"out-{name}.parquet").read_bytes() for name in GROUPS] == before


def broken(monkeypatch, bad: str) -> None:
    good = GROUPS["text"]

    def compute(batch, options):
        if any(t is not None and bad in t for t in batch.documents.column("text").to_pylist()):
            raise ZeroDivisionError("bad")
        return good.compute(batch, options)

    monkeypatch.setitem(GROUPS, "text", replace(good, compute=compute))


def test_a_row_that_raises_is_null_and_counted(tmp_path, monkeypatch) -> None:
    broken(monkeypatch, "row 7.")
    summary, tables = run(tmp_path, shard(tmp_path, [f"This is row {i}." for i in range(20)]), ["text", "final"])
    assert summary["failed"] == {"text": {"ZeroDivisionError": 1}}
    assert tables["text"]["words"].to_pylist() == [4] * 7 + [None] + [4] * 12
    assert tables["final"]["words"].to_pylist() == [4] * 20


def test_a_group_that_always_raises_is_a_defect(tmp_path, monkeypatch) -> None:
    broken(monkeypatch, "row")
    with pytest.raises(ZeroDivisionError) as caught:
        run(tmp_path, shard(tmp_path, [f"This is row {i}." for i in range(20)]), ["text"])
    assert any("all 20 documents" in note for note in caught.value.__notes__)


def test_suspects_are_taken_row_by_row_and_left_out(tmp_path) -> None:
    documents = shard(tmp_path, ["a b", "c d", "e f"])
    context = Context("rows 0-2")
    _, tables = run(tmp_path, documents, ["text"], context)
    assert context.items == ["row 0", "row 1", "row 2"]
    assert tables["text"]["words"].to_pylist() == [2, 2, 2]
    context = Context("rows 0-2", "row 1")
    summary, tables = run(tmp_path, documents, ["text"], context)
    assert context.items == ["row 0", "alone", "row 2"]
    assert tables["text"]["words"].to_pylist() == [2, None, 2]
    assert summary["failed"] == {"text": {"Died": 1}}
    context = Context("rows 0-2", "row 1")
    context.deadly = False
    summary, tables = run(tmp_path, documents, ["text"], context)
    assert tables["text"]["words"].to_pylist() == [2, 2, 2]
    assert summary["failed"] == {}


def test_failures_of_what_ran_alone_are_counted_on(tmp_path, monkeypatch) -> None:
    broken(monkeypatch, "row 1")
    context = Context("rows 0-2", "row 0", "row 1")
    context.deadly = False
    texts = ["This is row 1.", "This is row 1 too.", "A third."]
    summary, tables = run(tmp_path, shard(tmp_path, texts), ["text"], context)
    assert tables["text"]["words"].to_pylist() == [None, None, 2]
    assert summary["failed"] == {"text": {"ZeroDivisionError": 2}}


def test_wrong_inputs_are_named(tmp_path) -> None:
    documents = shard(tmp_path, ["a", "b"])
    with pytest.raises(ValueError, match="edits of another shard"):
        run(tmp_path, documents, ["text"], clean=edits_file(tmp_path, "clean", from_lists(3, [], [], [], "", "")))
    with pytest.raises(KeyError, match="no signal group 'texts'"):
        run(tmp_path, documents, ["texts"])
    with pytest.raises(ValueError, match="output files"):
        signals_task(Context(), {"groups": ["text"]}, [documents], [])


def test_no_documents(tmp_path) -> None:
    summary, tables = run(tmp_path, shard(tmp_path, []), list(GROUPS))
    assert summary["in"] == 0
    assert all(table.num_rows == 0 for table in tables.values())


def test_real_pages(data_dir, tmp_path) -> None:
    texts = pq.read_table(data_dir / "text/multilingual.parquet", columns=["text"])["text"].to_pylist()[:150]
    summary, tables = run(tmp_path, shard(tmp_path, texts), list(GROUPS))
    assert summary["failed"] == {}
    for name, table in tables.items():
        for column in GROUPS[name].columns:
            if column.unit.startswith("share"):
                values = [v for v in table[column.name].to_pylist() if v is not None]
                assert all(0 <= v <= 1 for v in values), (name, column.name)
