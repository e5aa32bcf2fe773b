"""Reports and comparisons of corpora that the whole pipeline made from real documents."""

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tamis import running
from tamis.corpora import Corpus
from tamis.corpus import card
from tamis.corpus.collect import collect, histogram, rows_at
from tamis.corpus.diff import compare, differences
from tamis.corpus.report import render
from tamis.corpus.report_data import Limit
from tamis.corpus.shards import TokenShards
from tamis.engine import Inline
from tamis.workspace import Workspace

RECIPE = """
seed: 3
sources:
  - {name: docs, path: docs.jsonl, licence: "see <each> page"}
  - {name: extra, path: extra.jsonl, licence: CC0-1.0}
rules:
  set: {short: "text.script_words >= 60", upper: "text.upper_ratio <= 0.5"}
mixture: {epochs: {extra: 2}}
tokens: {tokenizer: {vocab: 600, sample_bytes: 100000}, context: 64}
"""


@pytest.fixture(scope="module")
def work(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the corpora `main` and `strict`."""
    folder = tmp_path_factory.mktemp("web")
    rows = pq.read_table(data_dir / "text" / "multilingual.parquet").to_pylist()[::80]
    longest = max((row["text"] for row in rows), key=len)[:4000]
    texts = [row["text"][:4000] for row in rows] + ["<script>alert(1)</script> too short", longest]
    lines = [json.dumps({"text": text, "url": f"https://example.org/{n}?<b>"}) for n, text in enumerate(texts)]
    (folder / "docs.jsonl").write_text("\n".join(lines[:-12]) + "\n", encoding="utf-8")
    (folder / "extra.jsonl").write_text("\n".join(lines[-12:]) + "\nnot json\n", encoding="utf-8")
    for name, limit in (("main", 60), ("strict", 200)):
        body = yaml.safe_load(RECIPE.replace("60", str(limit), 1))
        body["name"] = name
        for source in body["sources"]:
            source["path"] = str(folder / source["path"])
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(body))
        recipe = running.load(folder / f"{name}.yaml")
        running.run_recipe(recipe, folder / "work", Inline(), label=f"{name}.yaml")
    return folder / "work"


def corpus(work: Path, name: str = "main") -> Corpus:
    return Corpus(Workspace(work), name)


def test_the_report_counts_what_the_files_hold(work: Path) -> None:
    data = collect(corpus(work))
    verdicts = [pq.read_table(path) for path in sorted((work / "corpora/main/verdicts").glob("*.parquet"))]
    assert data.documents == sum(table.num_rows for table in verdicts)
    assert data.kept == sum(sum(table.column("keep").to_pylist()) for table in verdicts)
    assert sum(rule.first for rule in data.rules) == data.documents - data.kept
    short = next(rule for rule in data.rules if rule.name == "short")
    assert any("<script>" in sample.excerpt for rule in data.rules for sample in rule.samples) or short.first > 3
    assert {one.signal for one in data.histograms} == {"text.script_words", "text.upper_ratio"}
    for one in data.histograms:
        assert sum(one.counts) + one.null == data.documents
    for row in data.ledger:
        assert row.rows_in == row.rows_out + sum(row.reasons.values()), row.stage
    assert data.losses
    assert data.tokens is not None
    assert data.tokens.tokens == TokenShards(work / "corpora/main/tokens").index.tokens
    assert [row["source"] for row in data.mixture] == ["docs", "extra"]
    assert data.duplicates >= 1
    assert {row.stage for row in data.lineage} >= {"documents", "signals", "dedup/edges", "corpora/main/verdicts"}


def test_report_and_card_are_written_and_repeat(work: Path) -> None:
    first = (work / "corpora/main/report.html").read_bytes()
    data = collect(corpus(work))
    assert render(data).encode() == first
    assert card.render(data).encode() == (work / "corpora/main/card.md").read_bytes()
    assert first.count(b"<script>") == 1
    assert not re.search(r"\d\d:\d\d:\d\d", first.decode())  # no clock


def test_datasets_loads_the_folder(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[object, str], None]
) -> None:
    require(find_spec("datasets"), "datasets is not installed: pip install 'tamis[dev]'")
    import datasets

    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    found = datasets.load_dataset(str(work / "corpora/main"), cache_dir=str(tmp_path))
    texts = [pq.read_table(path) for path in sorted((work / "corpora/main/text").glob("*.parquet"))]
    assert list(found) == ["train"]
    assert found["train"]["id"][:] == [one for table in texts for one in table.column("id").to_pylist()]
    assert set(found["train"].column_names) == {"id", "gid", "copy", "source", "url", "text", "n_tokens"}


def test_two_corpora_side_by_side(work: Path) -> None:
    main, strict = corpus(work), corpus(work, "strict")
    found = compare(main, strict)
    assert found.total.both + found.total.only_a == collect(main).kept
    assert found.total.both + found.total.only_b == collect(strict).kept
    assert found.total.only_a > 0
    assert sum(found.lost.values()) == found.total.only_a
    assert "short" in found.lost
    for groups in (found.sources, found.languages):
        assert sum(group.only_a for group in groups) == found.total.only_a
        assert sum(group.tokens_only_a for group in groups) == found.total.tokens_only_a
    assert "rules.set.short" in {change.path.removesuffix(".where") for change in found.recipe}
    assert "only A: why B drops them" in found.render()
    assert json.loads(json.dumps(found.to_json()))["total"]["both"] == found.total.both


def test_a_corpus_equals_itself(work: Path) -> None:
    found = compare(corpus(work), corpus(work))
    assert (found.total.only_a, found.total.only_b, found.jaccard, found.recipe) == (0, 0, 1.0, ())
    assert "recipes are the same" in found.render()


def test_differences_name_the_setting() -> None:
    a = {"x": {"y": 1, "z": [1]}, "only": 2}
    b = {"x": {"y": 1, "z": [2]}, "new": None, "more": 3}
    assert [(one.path, one.a, one.b) for one in differences(a, b)] == [
        ("x.z", [1], [2]),
        ("only", 2, None),
        ("more", None, 3),
    ]


def test_whole_numbers_have_a_bar_each(work: Path) -> None:
    paths = sorted((work / "signals/text").glob("*.parquet"))
    made = histogram(paths, "text.stop_words", "stop_words", "words", "", (Limit("stop_words", ">=", 2.0),))
    assert made is not None
    assert all(abs(b - a - 1) < 1e-9 for a, b in zip(made.edges, made.edges[1:], strict=False))
    assert histogram([], "a.b", "b", "", "", ()) is None


def test_rows_are_read_by_place(work: Path) -> None:
    path = work / "documents/00000.parquet"
    whole = pq.read_table(path, columns=["id"]).to_pylist()
    assert rows_at(path, [0, 3], ["id"]) == [whole[0], whole[3]]
