"""The whole way: documents of a corpus to people, their labels to signals, and a rule that decides on them."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tamis.commands.label import app
from tamis.corpora import Corpus
from tamis.engine import Inline
from tamis.people.coverage import BadName, NoneHere, coverage
from tamis.people.sampling import BadSample, NothingToDraw, sample
from tamis.pipeline import Pipeline
from tamis.recipe import load
from tamis.workspace import Workspace

RECIPE = """
name: {name}
sources: [{{name: docs, path: docs.parquet}}]
{more}
rules: {{use: [gopher@paper]{rule}}}
dedup: {{exact: true, minhash: null}}
tokens: null
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Corpus:
    folder = tmp_path_factory.mktemp("loop")
    table = pq.read_table(data_dir / "text" / "english.parquet")
    pq.write_table(table.take(list(range(0, 6000, 50))), folder / "docs.parquet")
    (folder / "main.yaml").write_text(RECIPE.format(name="main", more="", rule=""))
    return Pipeline(load(folder / "main.yaml"), Workspace(folder / "work", create=True), Inline()).run().corpus


def tamis(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_from_a_sample_to_a_rule(corpus: Corpus, tmp_path: Path) -> None:
    folder = corpus.work.path.parent
    work = ("--work", corpus.work.path)
    drawn = json.loads(tamis("sample", *work, "-n", 40, "--reason", "kept", "--out", tmp_path / "ex.jsonl", "--json"))
    assert drawn["rows"] == 40
    rows = [json.loads(line) for line in (tmp_path / "ex.jsonl").read_text().splitlines()]
    assert all(set(row) == {"id", "url", "text"} for row in rows)  # nothing says what was decided
    rng = random.Random(1)
    truth = {row["id"]: "code" if "function" in row["text"] else "prose" for row in rows}
    assert 2 < list(truth.values()).count("code") < 38
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["example", "rater", "label"])
        for id_, said in truth.items():
            other = {"code": "prose", "prose": "code"}[said]
            table.writerows([id_, rater, said if rng.random() < 0.9 else other] for rater in "abcde")
    assert "Krippendorff's alpha (nominal)" in tamis("agreement", tmp_path / "labels.csv")
    judged = folder / "judged.parquet"
    tamis("aggregate", tmp_path / "labels.csv", "--method", "one-coin", "--out", judged)
    printed = tamis("signals", judged, "--name", "code", *work)
    assert "40 labels, 40 of them about the 120 documents" in printed
    assert "columns: labels.code, labels.code_posterior, labels.code_n" in printed

    (folder / "judged.yaml").write_text(
        RECIPE.format(
            name="judged",
            more="signals: {labels: {code: {path: judged.parquet}}}",
            rule=", set: {code: \"labels.code <> 'code' or labels.code_posterior < 0.8\"}",
        )
    )
    made = Pipeline(load(folder / "judged.yaml"), Workspace(corpus.work.path), Inline()).run().corpus
    verdicts = pq.read_table(made.verdicts(0)).to_pylist()
    said = {row["example"]: row for row in pq.read_table(judged).to_pylist()}
    wanted = {id_ for id_, row in said.items() if row["label"] == "code" and row["posterior"] >= 0.8}
    assert {row["id"] for row in verdicts if row["reason"] == "code"} == wanted
    assert len(wanted & {id_ for id_, label in truth.items() if label == "code"}) >= 0.8 * len(wanted) > 0
    before = pq.read_table(corpus.verdicts(0)).to_pylist()
    unlabelled = [(a["keep"], b["keep"]) for a, b in zip(before, verdicts, strict=True) if a["id"] not in wanted]
    assert all(a == b for a, b in unlabelled)  # whom nobody judged is judged as before


def test_a_sample_depends_on_the_seed_alone(corpus: Corpus, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.jsonl" for name in ("a", "b", "c", "all", "each")]
    for path, seed in zip(paths[:3], (1, 1, 2), strict=True):
        sample(corpus, path, 10, seed=seed)
    a, b, c = (path.read_bytes() for path in paths[:3])
    assert a == b != c
    everything = sample(corpus, paths[3], 10_000)
    verdicts = pq.read_table(corpus.verdicts(0)).to_pylist()
    counts = Counter("kept" if row["keep"] else row["reason"] for row in verdicts)
    assert {reason: total for reason, (_, total) in everything.strata.items()} == counts
    texts = {row["id"]: row["text"] for path in [paths[3]] for row in map(json.loads, path.read_text().splitlines())}
    kept = [r for p in (corpus.work.path / "corpora/main/text").glob("*.parquet") for r in pq.read_table(p).to_pylist()]
    assert kept
    assert all(texts[row["id"]] == row["text"][:100_000] for row in kept)  # people read what the corpus holds
    each = sample(corpus, paths[4], 2, each=True)
    assert all(drawn == min(2, total) for drawn, total in each.strata.values())
    assert "examples, seed 17" in each.render()
    assert "in place of" not in each.render()
    few = sum(counts.values())
    assert f"10,000 were asked for, and there are no more than {few:,}" in everything.render()
    rare = sample(corpus, paths[4], 1 + max(counts.values()), each=True).render()
    assert "in place of the file that was there" in rare
    assert f"there are no more than {counts[min(counts)]:,} of {min(counts)}" in rare
    assert "asked for" not in sample(corpus, paths[0], 10).render()


def test_samples_and_labels_that_cannot_be(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(NothingToDraw, match="dropped by no_such_rule"):
        sample(corpus, tmp_path / "x", 5, reasons=("no_such_rule",))
    with pytest.raises(BadSample):
        sample(corpus, tmp_path / "x", 0)
    (tmp_path / "l.csv").write_text("example,label\nsomething,1\n")
    for name in ("my name", "Edu", "1st", ""):
        with pytest.raises(BadName, match="cannot be a column of a recipe"):
            coverage(corpus, tmp_path / "l.csv", name)
    with pytest.raises(NoneHere, match="must hold ids"):
        coverage(corpus, tmp_path / "l.csv", "a")
