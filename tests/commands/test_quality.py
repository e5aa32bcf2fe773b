"""`tamis quality` from the command line, from training to the rule that a recipe keeps documents by."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tamis.cli import app
from tamis.quality import linear

WORDS = {"sky": ["sun", "moon", "star", "cloud"], "bank": ["loan", "tax", "rate", "bond"]}
COMMON = ["and", "the", "of", "with", "under", "over", "seven", "green"]


def documents(path: Path, kind: str, count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            drawn = [str(generator.choice(WORDS[kind] + COMMON)) for _ in range(generator.integers(20, 40))]
            row = {"text": " ".join(drawn), "url": f"https://{kind}{chr(97 + i % 20)}.example/{i}"}
            file.write(json.dumps(row) + "\n")


def run(*arguments: object, code: int = 0) -> str:
    found = CliRunner().invoke(app, ["quality", *map(str, arguments)])
    assert found.exit_code == code, found.output
    return found.stdout


def verdicts(folder: Path, corpus: str, shard: str) -> np.ndarray:
    table = pq.read_table(folder / "workspace" / "corpora" / corpus / "verdicts" / shard)
    return np.array(table["keep"].to_pylist(), bool)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    documents(tmp_path / "sky.jsonl", "sky", 80, 1)
    documents(tmp_path / "bank.jsonl", "bank", 120, 2)
    return tmp_path


def test_from_training_to_a_rule(folder: Path) -> None:
    assert "speak for good" in run("train", "--good", "sky.jsonl", "--bad", "bank.jsonl", "--out", "sky.quality")
    header = json.loads(run("show", "sky.quality", "--json"))
    assert header["report"]["by_host"]["auc"]["low"] > 0.9
    assert "fallback" in run("ngram", "--train", "sky.jsonl", "--order", 2, "--buckets", "bank.jsonl", "--out", "s.bin")
    assert "head up to" in run("show", "s.bin")
    run("importance", "--target", "sky.jsonl", "--raw", "bank.jsonl", "--out", "sky.dsir")
    assert run("score", "sky.quality", "sky.jsonl").count("\n") == 80
    medians = {
        name: [json.loads(run("score", name, f"{kind}.jsonl", "--json"))["quantiles"]["0.5"] for kind in WORDS]
        for name in ("sky.quality", "s.bin", "sky.dsir")
    }
    assert medians["sky.quality"][0] > 0.9 > 0.1 > medians["sky.quality"][1]
    assert medians["s.bin"][0] < medians["s.bin"][1]
    assert medians["sky.dsir"][0] > 0 > medians["sky.dsir"][1]

    (folder / "r.yaml").write_text(
        "name: main\nsources: [{name: all, path: '*.jsonl'}]\n"
        "signals:\n  quality: {sky: sky.quality}\n  perplexity: {sky: s.bin}\n  importance: {sky: sky.dsir}\n"
        "rules: {use: [], set: {sky: 'quality.sky >= 0.0001'}}\ndedup: {exact: false, minhash: null}\ntokens: null\n"
    )
    done = CliRunner().invoke(app, ["run", "r.yaml", "-j", "1"])
    assert done.exit_code == 0, done.output
    found = json.loads(run("resample", "--signal", "importance.sky_key", "--documents", 60, "--json"))
    assert found["divergence"]["reduction"] > 0
    line = float(found["rule"].split(">= ")[1])
    signals = sorted((folder / "workspace" / "signals").glob("importance@*/*.parquet"))
    keys = np.concatenate([np.array(pq.read_table(path)["sky_key"].to_pylist(), float) for path in signals])
    kept = np.concatenate([verdicts(folder, "main", path.name) for path in signals])
    assert np.sort(keys[kept])[::-1][59] == line
    text = (folder / "r.yaml").read_text().replace("quality.sky >= 0.0001", found["rule"])
    (folder / "r.yaml").write_text(text.replace("name: main", "name: drawn"))
    assert CliRunner().invoke(app, ["run", "r.yaml", "-j", "1"]).exit_code == 0
    assert sum(verdicts(folder, "drawn", path.name).sum() for path in signals) == 60
    assert run("train", "--good", "drawn", "--bad", "bank.jsonl", "--out", "d.quality", "--anyway")
    run("resample", "--signal", "importance.sky_key", "--documents", 10_000, code=1)
    run("resample", "--signal", "importance.none", "--share", 0.5, code=2)
    run("resample", "--signal", "lang.code", "--share", 0.5, code=2)
    why = ["why", "https://skya.example/0", "--corpus", "drawn"]
    assert "alone this line scores" in CliRunner().invoke(app, why).stdout
    (folder / "sky.quality").unlink()
    linear.load.cache_clear()
    receipt = CliRunner().invoke(app, why)
    assert receipt.exit_code == 0, receipt.output
    assert "alone this line scores" not in receipt.stdout
    assert "quality: not shown: " in receipt.stdout


def test_a_text_does_not_reach_the_terminal_as_commands(folder: Path) -> None:
    run("importance", "--target", "sky.jsonl", "--raw", "bank.jsonl", "--out", "m.dsir")
    (folder / "rows.jsonl").write_text(json.dumps({"text": "\x1b[2J\u202ethe sun"}) + "\n")
    assert run("score", "m.dsir", "rows.jsonl").endswith("\t\\x1b[2J\\u202ethe sun\n")


def test_refusals(folder: Path) -> None:
    run("train", "--good", "sky.jsonl", "--bad", "nothing", "--out", "m", code=2)
    documents(folder / "other.jsonl", "sky", 90, 4)
    run("train", "--good", "sky.jsonl", "--bad", "other.jsonl", "--out", "m", code=1)
    assert not (folder / "m").exists()
    run("show", "sky.jsonl", code=2)
    run("score", "sky.jsonl", "sky.jsonl", code=2)
    run("ngram", "--train", "sky.jsonl", "--out", "m.arpa", "--prune", "1", code=2)
    run("ngram", "--train", "sky.jsonl", "--out", "m.arpa", "--prune", "x", code=2)


def test_scores_can_be_sorted_as_numbers(folder: Path) -> None:
    run("train", "--good", "sky.jsonl", "--bad", "bank.jsonl", "--out", "sky.quality")
    printed = [line.split("\t")[0] for line in run("score", "sky.quality", "sky.jsonl", "bank.jsonl").splitlines()]
    assert len(printed) == 200
    assert all(re.fullmatch(r"\d\.\d{6}", value) for value in printed)


def test_the_folder_of_a_model_is_made(folder: Path) -> None:
    run("importance", "--target", "sky.jsonl", "--raw", "bank.jsonl", "--out", "new/deep/m.dsir")
    run("ngram", "--train", "sky.jsonl", "--order", 2, "--out", "more/m.arpa")
    run("train", "--good", "sky.jsonl", "--bad", "bank.jsonl", "--out", "models/m.quality")
    found = CliRunner().invoke(app, ["quality", "ngram", "--train", "sky.jsonl", "--out", "models"])
    assert found.exit_code == 2
    assert "is a folder" in found.output


def test_rows_and_fields_that_are_not_there_are_named(folder: Path) -> None:
    def said(*arguments: str) -> str:
        found = CliRunner().invoke(app, ["quality", "score", "m.dsir", "rows.jsonl", *arguments])
        assert found.exit_code == 2
        return found.output

    run("importance", "--target", "sky.jsonl", "--raw", "bank.jsonl", "--out", "m.dsir")
    (folder / "rows.jsonl").write_text('{"text": "sun", "lang": "de"}\n{"text": "moon", "lang": "fr"}\n')
    assert "no row with a text has lang=en; lang is de, fr" in said("--where", "lang=en")
    assert "no row has a field tongue" in said("--where", "tongue=en")
    assert "write FIELD=VALUE" in said("--where", "lang")
    assert "--text-field" in said("--text-field", "body")


def test_a_rule_on_a_bucket_that_is_always_null_is_refused(folder: Path) -> None:
    run("ngram", "--train", "sky.jsonl", "--order", 2, "--out", "none.arpa")
    run("ngram", "--train", "sky.jsonl", "--order", 2, "--buckets", "bank.jsonl", "--out", "some.arpa")
    body = (
        "sources: [{{name: all, path: sky.jsonl}}]\nsignals: {{perplexity: {{sky: {}.arpa}}}}\n"
        "rules:\n  set:\n    head: perplexity.sky_bucket = 'head'\ntokens: null\n"
    )
    (folder / "r.yaml").write_text(body.format("none"))
    found = CliRunner().invoke(app, ["check", "r.yaml"])
    assert found.exit_code == 2
    assert "r.yaml:5: rule `head` reads perplexity.sky_bucket, but the model has no buckets" in found.output
    (folder / "r.yaml").write_text(body.format("some"))
    assert CliRunner().invoke(app, ["check", "r.yaml"]).exit_code == 0
