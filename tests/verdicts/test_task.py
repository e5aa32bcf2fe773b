from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tamis.documents import VERDICTS, read_table, write_table
from tamis.verdicts.election import Strength
from tamis.verdicts.reader import Folder
from tamis.verdicts.rules import load_rules
from tamis.verdicts.task import shard_duplicates

RULES = {
    "words": "text.words >= 60",
    "top": {"where": "repetition.top_2 <= 0.8", "scope": "lang.spaced"},
    "english": "lang.code <> 'zh'",
}


def classes(edges):
    """gid -> the least gid that a path of exact edges reaches."""
    root = {gid: gid for pair in edges for gid in pair}
    for _ in root:
        for (left, right), row in edges.items():
            if row["kind"] == "exact":
                root[left] = root[right] = min(root[left], root[right])
    return root


def joined(root, edges, one, other):
    """Whether the texts are equal, or an edge joins texts equal to them."""
    ends = {root.get(one), root.get(other)}
    return len(ends) == 1 or any({root[left], root[right]} == ends for left, right in edges)


def test_verdicts_of_a_whole_workspace(make_workspace, decide, signals):
    folder = make_workspace([200, 0, 150], edges=400)
    rules = load_rules([], RULES, signals)
    summaries = decide(folder, rules, Strength(0.8))
    edges = {
        (row["left"], row["right"]): row
        for row in read_table(folder.edges()[0]).to_pylist()
        if row["kind"] == "exact" or row["jaccard"] >= np.float32(0.8)
    }
    texts_equal = classes(edges)
    verdicts = [row for shard in range(3) for row in read_table(folder.verdicts(shard)).to_pylist()]
    by_gid = {row["gid"]: row for row in verdicts}
    assert [row["gid"] for row in verdicts] == sorted(by_gid)
    assert sum(row["reason"] == "duplicate" for row in verdicts) > 10

    documents = [row for s in range(3) for row in read_table(folder.documents(s)).to_pylist()]
    texts = [row for s in range(3) for row in read_table(folder.signals("text", s)).to_pylist()]
    tops = [row for s in range(3) for row in read_table(folder.signals("repetition", s)).to_pylist()]
    langs = [row for s in range(3) for row in read_table(folder.signals("lang", s)).to_pylist()]
    for verdict, document, text, top, lang in zip(verdicts, documents, texts, tops, langs, strict=True):
        assert verdict["id"] == document["id"]
        if document["text"] is None:
            expected = [document["reason"] or "extracted"]
        else:
            expected = [
                name
                for name, dropped in (
                    ("words", text["words"] < 60),
                    ("top", lang["spaced"] and top["top_2"] > 0.8),
                    ("english", lang["code"] == "zh"),
                )
                if dropped
            ]
        if verdict["reasons"] == ["duplicate"]:
            assert expected == []
            kept = by_gid[verdict["kept_gid"]]
            assert kept["keep"]
            assert kept["id"] == verdict["kept_id"]
            assert joined(texts_equal, edges, verdict["gid"], kept["gid"])
        else:
            assert verdict["reasons"] == expected
            assert verdict["kept_gid"] is None
        assert verdict["reason"] == (verdict["reasons"][0] if verdict["reasons"] else None)
        assert verdict["keep"] == (not verdict["reasons"])
        assert verdict["weight"] == float(verdict["keep"])
    for left, right in edges:
        assert not (by_gid[left]["keep"] and by_gid[right]["keep"])

    for shard, summary in enumerate(summaries):
        rows = [row for row in verdicts if row["gid"] >> 32 == shard]
        assert summary["in"] == len(rows) == summary["out"] + sum(summary["reasons"].values())
        assert sum(count for *_, count, _ in summary["counts"]) == len(rows)
        fired = [name for row in rows for name in row["reasons"]]
        assert summary["fired"].get("top", 0) == fired.count("top")
        assert summary["alone"].get("top", 0) == sum(row["reasons"] == ["top"] for row in rows)


def test_the_same_input_gives_the_same_bytes(make_workspace, decide, signals):
    folder = make_workspace([60, 60], edges=100)
    papers = ["gopher@paper", "c4@jmlr", "fineweb@v1", "refinedweb@dclm"]  # the signals of dialects are not made here
    rules = load_rules(papers, {}, signals)
    decide(folder, rules, Strength(0.7, containment=0.9))
    files = [folder.mask(1), folder.verdicts(0), folder.verdicts(1), folder.duplicates()]
    first = [file.read_bytes() for file in files]
    decide(folder, rules, Strength(0.7, containment=0.9))
    assert [file.read_bytes() for file in files] == first


def test_no_edge_files_and_no_shards(make_workspace, decide, signals, tmp_path):
    folder = make_workspace([5])
    folder.edges()[0].unlink()
    (summary,) = decide(folder, load_rules([], {}, signals), Strength())
    assert summary["out"] == summary["in"] - sum(summary["reasons"].values())
    empty = Folder(tmp_path / "empty")
    (tmp_path / "empty" / "corpora" / "main").mkdir(parents=True)
    assert decide(empty, load_rules([], {}, signals), Strength()) == []


def test_an_edge_of_another_run_is_refused(make_workspace, decide, signals):
    folder = make_workspace([5], edges=3)
    edges = read_table(folder.edges()[0])
    strange = {**edges.slice(0, 1).to_pylist()[0], "right": 7 << 32, "jaccard": 1.0}
    write_table(folder.edges()[0], pa.Table.from_pylist([strange], edges.schema), edges.schema)
    with pytest.raises(ValueError, match="not in the workspace"):
        decide(folder, load_rules([], {}, signals), Strength())


def test_duplicates_are_sliced_by_shard():
    table = pa.table({"gid": pa.array([3, 1 << 32, (1 << 32) + 5, 2 << 32], pa.uint64())})
    assert shard_duplicates(table, 0).column("gid").to_pylist() == [3]
    assert shard_duplicates(table, 1).num_rows == 2
    assert shard_duplicates(table, 3).num_rows == 0


def test_verdicts_have_the_schema(make_workspace, decide, signals):
    folder = make_workspace([5])
    decide(folder, load_rules([], {}, signals), Strength())
    assert read_table(folder.verdicts(0)).schema.equals(VERDICTS)
