import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.proof.evaluation_inputs import BadInput, read_sets, read_text


def rows(path, *made):
    path.write_text("\n".join(map(json.dumps, made)))
    return path


def test_a_column_names_the_domain(tmp_path):
    table = pa.table({"text": ["long text " * 9] * 6 + ["", None], "topic": ["a"] * 4 + ["b", None] * 2})
    pq.write_table(table, tmp_path / "t.parquet", write_page_checksum=True)
    found = read_text([f"{tmp_path}/t.parquet:topic"], tmp_path, 10_000)
    assert found.domains == ["", "a", "b", "a", "a", "a"]  # in turn, so that a limit leaves each its part
    assert len(read_text([f"{tmp_path}/t.parquet:topic"], tmp_path, 60).ids) == 2
    with pytest.raises(BadInput, match="no column kind; it has text, topic"):
        read_text([f"{tmp_path}/t.parquet:kind"], tmp_path, 10_000)
    lines = rows(tmp_path / "t.jsonl", {"text": "one", "topic": 3, "id": "x"}, {"text": "two", "topic": 4})
    found = read_text([f"{lines}:topic"], tmp_path, 10_000)
    assert sorted(zip(found.ids, found.domains, strict=True)) == [("t.jsonl#1", "4"), ("x", "3")]
    lines.write_text('{"text": "one"}\noops')
    with pytest.raises(BadInput, match=r"t\.jsonl:2"):
        read_text([f"{lines}:topic"], tmp_path, 10_000)
    with pytest.raises(BadInput, match="--text"):
        read_text([str(tmp_path / "none.txt")], tmp_path, 10_000)


def test_values_of_one_column_are_sets(tmp_path):
    one = rows(tmp_path / "one.jsonl", *({"set": s, "text": "T", "answer": "x"} for s in "aab"))
    two = rows(tmp_path / "two.jsonl", {"text": "T", "answer": "yes"})
    found = read_sets([one, two], ["set=a", "set=b"], None, None)
    assert [(s.name, len(s.items)) for s in found] == [("one a", 2), ("one b", 1), ("two", 1)]
    assert read_sets([two], [], "no, yes", None)[0].items[0].right == 1
    assert len(read_sets([one], ["set=a"], None, 1)[0].items) == 1
    with pytest.raises(BadInput, match="no file of --items has that column"):
        read_sets([one], ["sett=a"], None, None)
    with pytest.raises(BadInput, match="COLUMN=VALUE"):
        read_sets([one], ["seta"], None, None)
