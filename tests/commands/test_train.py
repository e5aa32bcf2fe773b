"""`tamis train` on a file of texts."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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
    assert missing.exit_code == 1
    assert "tamis run RECIPE" in missing.output
    half = CliRunner().invoke(app, ["train", "main", "--work", str(tmp_path), "--precision", "fp16"])
    assert half.exit_code == 2
    assert "fp16 is unusable on a CPU" in half.output
