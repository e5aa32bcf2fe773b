"""`tamis train` on a file of texts."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tamis.cli import app


def test_a_file_of_texts_becomes_a_run_that_is_reused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["the quick brown fox " * 40, "a lazy dog " * 60]}), tmp_path / "texts.parquet")
    command = [
        "train", str(tmp_path / "texts.parquet"), "--size", "1x16x1", "--tokens", "256", "--context", "16", "--batch",
        "4", "--precision", "fp32", "--out", str(tmp_path / "runs"),
    ]  # fmt: skip
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert "3,072 parameters without embeddings" in first.output
    assert "bits/byte" in first.output
    assert "% of its measured" in first.output
    second = CliRunner().invoke(app, [*command, "--json"])
    (body,) = json.loads(second.stdout)
    assert body["tokens"] == 256
    assert body["run"] in first.output
    assert body["settings"]["precision"] == "fp32"


def test_what_is_not_there_and_fp16_are_refused(tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["train", "main", "--work", str(tmp_path)])
    assert missing.exit_code == 2
    assert "tamis run RECIPE" in missing.output
    half = CliRunner().invoke(app, ["train", "main", "--work", str(tmp_path), "--precision", "fp16"])
    assert half.exit_code == 2
    assert "fp16 is unusable on a CPU" in half.output


def test_seeds_share_one_precision_and_are_refused_where_processes_train_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"text": ["the quick brown fox " * 40, None, ""]}), tmp_path / "texts.parquet")
    command = [
        "train", str(tmp_path / "texts.parquet"), "--size", "1x16x1", "--tokens", "64", "--context", "16", "--batch",
        "4", "--seed", "0", "--seed", "1", "--out", str(tmp_path / "runs"), "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert len({body["settings"]["precision"] for body in json.loads(done.stdout)}) == 1
    assert len(list((tmp_path / "runs").glob("precision-*.json"))) == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "one --seed" in refused.output


def test_a_configuration_of_transformers_is_trained(tmp_path: Path, require: Callable[[object, str], None]) -> None:
    require(importlib.util.find_spec("transformers"), "transformers (extra hf) is not installed")
    (tmp_path / "texts.jsonl").write_text('{"text": "the quick brown fox and a lazy dog, again and again"}\n' * 9)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 1}')
    command = [
        "train", str(tmp_path / "texts.jsonl"), "--hf", str(tmp_path / "config.json"), "--tokens", "128", "--context",
        "16", "--batch", "4", "--precision", "fp32", "--out", str(tmp_path / "runs"),
    ]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "gpt2 of transformers, width 16" in done.output
    both = CliRunner().invoke(app, [*command, "--size", "0.2M"])
    assert both.exit_code == 2


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--context", "9999"], 1, "fewer than one step"),
        (["--size", "0.3M"], 2, "LAYERSxWIDTHxHEADS"),
        (["--size", "4x31x1"], 2, "even number"),
        (["--size", "0x32x1"], 2, "layers must be at least 1"),
        (["--size", "4x4"], 2, "LAYERSxWIDTHxHEADS"),
        (["--experts", "1"], 2, "Switch"),
        (["--tokens", "inf"], 2, "--tokens inf"),
        (["--lr", "nan"], 2, "learning rate"),
        (["--lr", "-1"], 2, "learning rate"),
    ],
)
def test_wrong_use_is_one_line_and_trains_nothing(tmp_path: Path, options: list[str], code: int, said: str) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"text": "a lazy dog " * 60}) + "\n", encoding="utf-8")
    context = [] if "--context" in options else ["--context", "16"]
    command = ["train", str(texts), "--out", str(tmp_path / "runs"), "--batch", "4", *context, *options]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == code, done.output
    assert done.output.startswith("error: ")
    assert said in done.output
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/run.json"))
