"""The signal group `eval`, from a recipe to verdicts, and its evidence."""

import json

import pytest

from evaluation_items import LAW, RIVER, rows
from tamis.corpora import Corpus
from tamis.documents import read_table
from tamis.engine import Inline
from tamis.pipeline import Pipeline
from tamis.recipe import parse, rooted
from tamis.signals.contamination import explain
from tamis.workspace import Workspace

RECIPE = """\
sources: [{name: notes, path: notes.jsonl}]
decontaminate:
  sets:
    - {name: rivers, path: items.jsonl, where: {set: rivers}}
    - {name: law, path: items.jsonl, where: {set: law}}
    - {name: copies, path: items.jsonl, where: {set: copies}}
  WINDOW
rules: {use: [decontaminated@13gram]}
dedup: {exact: false, minhash: null}
tokens: null
"""
PLAIN = "A page about boats and the weather, with nothing in it that anybody would ask in an examination. " * 5


def run(folder, window="window: null"):
    with open(folder / "items.jsonl", "w", encoding="utf-8") as file:
        for name, every in rows():
            for identity, text, answer in every:
                record = {"set": name, "id": identity, "text": text, "answer": answer}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    texts = [PLAIN, PLAIN + RIVER + " Thirty crossings.", f"你好。{LAW}再见。", PLAIN + " ".join(RIVER.split()[:20])]
    (folder / "notes.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    recipe = rooted(parse(RECIPE.replace("WINDOW", window)), folder)
    work = Workspace(folder / "w", create=True)
    Pipeline(recipe, work, Inline()).run()
    return Corpus(work)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return run(tmp_path_factory.mktemp("notes"))


def test_columns_say_which_item_and_how_much(corpus):
    found = read_table(corpus.signals("eval", 0)).to_pylist()
    assert [row["item"] for row in found] == [None, "rivers/1", "law/1", "rivers/1"]
    assert [row["items"] for row in found] == [0, 1, 1, 0]
    assert [row["answer"] for row in found] == [False, True, False, False]
    assert found[1]["score"] == 1.0
    assert 0.4 < found[3]["score"] < 0.8
    assert json.loads(found[1]["found"]) == [["rivers/1", 1.0]]
    assert [row["cuts"] for row in found] == [0, 1, 1, 1]


def test_the_preset_drops_what_holds_an_item(corpus):
    verdicts = read_table(corpus.verdicts(0)).to_pylist()
    assert [row["reason"] for row in verdicts] == [None, "contaminated", "contaminated", None]


def test_evidence_points_at_the_item(corpus):
    group = corpus.extras["eval"]
    text = PLAIN + RIVER
    (found,) = explain(text, group.params, group.paths)
    assert text.encode()[found.start : found.end].decode() == RIVER.rstrip("?")
    assert "rivers/1 (and 1 copies of it)" in found.what
    assert "13-grams" in found.what
    assert explain(PLAIN, group.params, group.paths) == []


def test_the_window_cuts_when_the_corpus_is_written(tmp_path):
    corpus = run(tmp_path, "window: {chars: 10, least: 20, most: 10}")
    paths = sorted((tmp_path / "w" / "corpora" / "main" / "text").glob("*.parquet"))
    written = [text for path in paths for text in read_table(path, ["text"]).column("text").to_pylist()]
    assert PLAIN.strip() in [text.strip() for text in written]
    assert all("ferry crosses" not in text for text in written)
    assert corpus.signals("eval", 0) is not None
