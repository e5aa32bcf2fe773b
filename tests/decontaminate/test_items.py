"""Reading evaluation sets: formats, conditions, answers, and mistakes that are named."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.decontaminate import items

SETTINGS = {"name": "s", "text": "question", "answer": "answer", "id": "id", "where": {}}
RECORDS = [
    {"id": "a", "question": "What is it?", "answer": "['43']", "split": "test"},
    {"id": "b", "question": "Where is it now?", "answer": 7.0, "split": "train"},
]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
def test_formats_give_the_same_rows(tmp_path, ending):
    file = tmp_path / f"items.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist([{**r, "answer": str(r["answer"])} for r in RECORDS]), file)
    else:
        text = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
        file.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    (found,) = items.set_files("s", [str(tmp_path)])
    assert items.read_set(SETTINGS, [found], {}) == [("a", "What is it?", "43"), ("b", "Where is it now?", "7")]
    only = items.read_set({**SETTINGS, "where": {"split": "test"}}, [found], {})
    assert only == [("a", "What is it?", "43")]


@pytest.mark.parametrize(
    ("lines", "settings", "said"),
    [
        ('{"question": "x"}\nno json\n', {}, "line 2, is no JSON"),
        ("[1]\n", {}, "is no JSON object"),
        ('{"q": "x"}\n', {}, "no column 'question'"),
        ('{"question": 3}\n', {}, "is no string"),
        ('{"question": "x", "split": "dev"}\n', {"where": {"split": "test"}}, "no items with split = 'test'"),
    ],
)
def test_mistakes_name_file_and_row(tmp_path, lines, settings, said):
    file = tmp_path / "items.jsonl"
    file.write_text(lines)
    with pytest.raises(items.BadSet, match=said):
        items.read_set({**SETTINGS, **settings}, [file], {})


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path):
    with pytest.raises(items.BadSet, match="no file, glob or folder"):
        items.set_files("s", [str(tmp_path / "none*.jsonl")])
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(items.BadSet, match="neither"):
        items.set_files("s", [str(tmp_path / "a.csv")])


def test_answers_that_say_nothing_are_left_out():
    answers = ["yes"] * 10 + ["b", "forty two", None, "17"] + [f"answer {n}" for n in range(30)]
    kept = items.telling(answers)
    assert kept[:10] == [None] * 10
    assert kept[10:14] == [None, "forty two", None, "17"]


def test_equal_items_are_one_with_both_names(table):
    names = table.column("names").to_pylist()
    assert ["rivers/1", "copies/9"] in names
    assert table.num_rows == 66
    assert max(table.column("variants").to_pylist()) == 8


def test_a_file_that_breaks_off_is_named_with_the_place(tmp_path):
    lines = [json.dumps({**RECORDS[0], "id": str(number)}) + "\n" for number in range(3)]
    packed = tmp_path / "cut.jsonl.gz"
    packed.write_bytes(gzip.compress("".join(lines).encode(), mtime=0)[:-12])
    with pytest.raises(items.BadSet, match=r"cut\.jsonl\.gz cannot be read behind line"):
        items.read_set(SETTINGS, [packed], {})
    other = tmp_path / "latin.jsonl"
    other.write_bytes(b'{"question": "caf\xe9"}\n')
    with pytest.raises(items.BadSet, match="cannot be read behind line 0: it is not UTF-8"):
        items.read_set(SETTINGS, [other], {})
