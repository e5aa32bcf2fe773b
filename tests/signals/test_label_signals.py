from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.recipe import LabelFile
from tamis.signals.batch import Batch
from tamis.signals.labels import NotLabels, extra_groups, load

IDS = [f"{number:032x}" for number in range(6)]


def compute(settings: dict[str, LabelFile], ids: list[str] = IDS) -> dict[str, list[Any]]:
    (extra,) = extra_groups(settings)
    group = extra.group
    documents = pa.RecordBatch.from_pydict(
        {"id": ids, "text": [None, *["x"] * (len(ids) - 1)], "url": [None] * len(ids)}
    )
    found = group.compute(Batch(documents), {})
    assert {name: column.type for name, column in found.items()} == {c.name: c.type for c in group.columns}
    return {name: column.to_pylist() for name, column in found.items()}


def test_labels_find_their_documents(tmp_path: Path) -> None:
    rows = [{"example": IDS[4], "label": "good", "posterior": 0.9, "n": 3, "p_good": 0.9}]
    rows += [{"example": IDS[0], "label": "bad", "posterior": 0.6, "n": 2, "p_good": 0.4}]
    rows += [{"example": IDS[2], "label": None, "posterior": None, "n": 0, "p_good": 0.5}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text(f"doc,stars\n{IDS[1]},4\n{IDS[5]},2.5\nunknown,1\n{IDS[3]},\n")
    found = compute(
        {
            "tone": LabelFile(path=str(tmp_path / "a.parquet")),
            "stars": LabelFile(path=str(tmp_path / "b.csv"), example="doc", label="stars"),
        }
    )
    assert found == {
        "tone": ["bad", None, None, None, "good", None],  # a document without a text may have a label, too
        "tone_posterior": [0.6, None, None, None, 0.9, None],
        "tone_n": [2, None, 0, None, 3, None],
        "stars": [None, 4.0, None, None, None, 2.5],
    }


def test_other_files_are_other_signals(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    folders = set()
    for label in ("x", "y"):
        path.write_text(json.dumps({"example": IDS[0], "label": label}) + "\n")
        (extra,) = extra_groups({"a": LabelFile(path=str(path))})
        folders.add(extra.folder())
        assert compute({"a": LabelFile(path=str(path))})["a"][0] == label
    assert len(folders) == 2
    assert extra_groups({}) == []


def test_words_and_numbers_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {"example": IDS[0], "label": True},
        {"example": IDS[1], "label": ["a", "b"]},
        {"example": IDS[2], "label": 3},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert compute({"a": LabelFile(path=str(path))})["a"][:3] == ["true", '["a", "b"]', "3"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "item,label\nx,1\n", "no column 'example'; it has item, label"),
        ("a.csv", "example,label\nx,1\nx,2\n", "row 2: document x is labelled a second time"),
        ("a.csv", "example,label\n,1\n", "row 1: no document id"),
        ("a.csv", "example,label,n\nx,1,many\n", "'many' in column n is no number"),
        ("a.jsonl", "{", "a.jsonl:1: not JSON"),
        ("a.jsonl", "[1]", "an object with named columns"),
        ("a.parquet", "PAR", "not Parquet"),
        ("a.txt", "", r"read from \.parquet"),
    ],
)
def test_files_that_are_no_labels(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(NotLabels, match=message):
        extra_groups({"a": LabelFile(path=str(tmp_path / name))})


def test_two_files_cannot_make_one_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("example,label,n\nx,1,2\n")
    file = LabelFile(path=str(tmp_path / "a.csv"))
    with pytest.raises(NotLabels, match="both make a column tone_n"):
        extra_groups({"tone": file, "tone_n": file})
    with pytest.raises(FileNotFoundError):
        extra_groups({"a": LabelFile(path=str(tmp_path / "none.csv"))})


def test_many_ids_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    ids = [f"{value:032x}" for value in rng.integers(0, 1 << 62, 4000).tolist()]
    given = {id_: number % 7 for number, id_ in enumerate(ids) if number % 3 == 0}
    pq.write_table(pa.table({"example": list(given), "label": list(given.values())}), tmp_path / "a.parquet")
    found = compute({"a": LabelFile(path=str(tmp_path / "a.parquet"))}, ids)["a"]
    assert found == [None if id_ not in given else float(given[id_]) for id_ in ids]
    assert load(str(tmp_path / "a.parquet"), "h", "example", "label").rows(pa.array([], pa.string())).to_pylist() == []
