"""The table of labels: headers, kinds of files, gaps, and that the order of rows is forgotten."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.people.labels import Labels, NotLabels, read_truth

ROWS = [("b", "ann", "yes"), ("a", "bob", "no"), ("a", "ann", "yes"), ("b", "bob", "no")]


def test_every_kind_of_file_gives_the_same_table(tmp_path):
    expected = Labels.of(*zip(*ROWS, strict=True))
    csv = "item,worker,label\n" + "\n".join(",".join(row) for row in ROWS) + "\n"
    (tmp_path / "l.csv").write_text(csv)
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + csv.replace("\n", "\r\n").encode())
    (tmp_path / "l.tsv").write_text(csv.replace(",", "\t"))
    (tmp_path / "l.csv.gz").write_bytes(gzip.compress(csv.encode()))
    (tmp_path / "l.jsonl").write_text(
        "\n".join(f'{{"task": "{e}", "annotator": "{r}", "label": "{c}", "seconds": 3}}' for e, r, c in ROWS)
    )
    columns = [list(column) for column in zip(*ROWS, strict=True)]
    table = pa.table({"example": columns[0], "Rater": pa.array(columns[1]).dictionary_encode(), "label": columns[2]})
    pq.write_table(table, tmp_path / "l.parquet")
    for name in ("l.csv", "bom.csv", "l.tsv", "l.csv.gz", "l.jsonl", "l.parquet"):
        found = Labels.read(tmp_path / name)
        assert list(found) == list(expected) == sorted(ROWS), name
        assert (found.examples, found.raters, found.classes) == (("a", "b"), ("ann", "bob"), ("no", "yes"))
    assert Labels.read(tmp_path / "l.jsonl").ignored == ("seconds",)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("question,worker,label", "no column for the example"),
        ("item,user,label", "no column for the rater"),
        ("item,worker,answer", "no column for the label"),
        ("item,task,worker,label", "two columns for the example: item, task"),
    ],
)
def test_another_header_is_an_error_that_names_the_columns(tmp_path, header, says):
    (tmp_path / "l.csv").write_text(f"{header}\n{','.join('x' for _ in header.split(','))}\n")
    with pytest.raises(NotLabels) as error:
        Labels.read(tmp_path / "l.csv")
    assert says in str(error.value)
    assert header.replace(",", ", ") in str(error.value)
    assert "example or item or task, rater or worker or annotator, label" in str(error.value)


def test_semicolons_are_named(tmp_path):
    (tmp_path / "l.csv").write_text("item;worker;label\n1;a;x\n")
    with pytest.raises(NotLabels, match="separated by `;`"):
        Labels.read(tmp_path / "l.csv")


def test_gaps(tmp_path):
    (tmp_path / "l.csv").write_text("item,worker,label\n1,a,x\n2,a,\n3,a,NaN\n4,b, x \n")
    found = Labels.read(tmp_path / "l.csv")
    assert list(found) == [("1", "a", "x"), ("4", "b", "x")]
    assert found.unlabelled == 2
    assert found.examples == ("1", "4")
    (tmp_path / "l.csv").write_text("item,worker,label\n1,a,x\n2,a,\n3,,x\n")
    with pytest.raises(NotLabels, match="line 4: the rater is empty"):
        Labels.read(tmp_path / "l.csv")
    (tmp_path / "l.csv").write_text("item,worker,label\n1,a,\n")
    with pytest.raises(NotLabels, match="none of the 1 rows has a label"):
        Labels.read(tmp_path / "l.csv")
    (tmp_path / "l.csv").write_text("item,worker,label\n")
    with pytest.raises(NotLabels, match="no labels below the header"):
        Labels.read(tmp_path / "l.csv")
    (tmp_path / "l.csv").write_text("")
    with pytest.raises(NotLabels, match="is empty"):
        Labels.read(tmp_path / "l.csv")
    with pytest.raises(NotLabels, match="no such file"):
        Labels.read(tmp_path / "none.csv")
    with pytest.raises(NotLabels, match="what kind of file"):
        Labels.read(tmp_path / "l.xlsx")
    (tmp_path / "l.csv").write_text("item,worker,label\n1,a\n")
    with pytest.raises(NotLabels, match="Expected 3 columns"):
        Labels.read(tmp_path / "l.csv")


def test_numbers_are_names_and_sort_as_numbers(tmp_path):
    table = pa.table({"item": [10, 9], "worker": [1, 1], "label": [2.0, None]})
    pq.write_table(table, tmp_path / "l.parquet")
    assert list(Labels.read(tmp_path / "l.parquet")) == [("10", "1", "2")]
    found = Labels.of([10, 9, 9], [1, 2, 3], [1.5, 10, 9.0])
    assert (found.examples, found.classes) == (("9", "10"), ("1.5", "9", "10"))
    assert found.values.tolist() == [1.5, 9, 10]
    with pytest.raises(NotLabels, match="must be numbers"):
        _ = Labels.of(["a"], ["b"], ["c"]).values
    (tmp_path / "l.csv").write_text("item,worker,label\n007,1,NA\n")
    assert list(Labels.read(tmp_path / "l.csv")) == [("007", "1", "NA")]


def test_text_of_any_kind_survives(tmp_path):
    (tmp_path / "l.csv").write_text('item,worker,label\n"a,""b""\nc",é,是\n')
    assert list(Labels.read(tmp_path / "l.csv")) == [('a,"b"\nc', "é", "是")]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 2)), min_size=1), st.randoms())
def test_the_order_of_rows_is_forgotten(rows, random):
    first = Labels.of(*zip(*rows, strict=True))
    random.shuffle(rows)
    second = Labels.of(*zip(*rows, strict=True))
    for name in ("example", "rater", "label"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == np.int32
    assert sorted(map(str, map(tuple, first))) == sorted(str((str(e), str(r), str(c))) for e, r, c in rows)


def test_parts(tmp_path):
    labels = Labels.of(*zip(*ROWS, strict=True))
    ann = labels.where(labels.rater == 0)
    assert (len(ann), ann.raters, ann.compact().raters, ann.compact().classes) == (
        2,
        ("ann", "bob"),
        ("ann",),
        ("yes",),
    )
    with pytest.raises(NotLabels, match="1 examples, 2 raters, 1 labels"):
        Labels.of("a", "bc", "d")


def test_truth(tmp_path):
    (tmp_path / "t.csv").write_text("item,truth\n1,x\n2,\n1,x\n")
    assert read_truth(tmp_path / "t.csv") == {"1": "x"}
    (tmp_path / "t.csv").write_text("example,gold,label\n1,x,y\n")
    assert read_truth(tmp_path / "t.csv") == {"1": "x"}
    (tmp_path / "t.csv").write_text("item,truth\n1,x\n1,y\n")
    with pytest.raises(NotLabels, match="two answers, x and y"):
        read_truth(tmp_path / "t.csv")


def test_the_crowd_sets(data_dir):
    found = Labels.read(data_dir / "crowd/trec/label.csv")
    assert (len(found), len(found.examples), len(found.raters), found.classes) == (88_385, 19_033, 762, ("0", "1"))
    with pytest.raises(NotLabels, match="item, rater, rating, repeat"):
        Labels.read(data_dir / "crowd/dawid-skene-1979/anesthesia_long.csv")
