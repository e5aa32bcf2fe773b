import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.cli import app

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def runs(require, tmp_path_factory):
    try:
        import matplotlib  # noqa: F401
        import torch
    except ImportError:
        require(False, "torch and matplotlib are not installed")
    from tamis.models.data import ArrayFeed
    from tamis.models.decoder import Config
    from tamis.models.settings import Settings
    from tamis.models.training import train

    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs")
    config = Config(vocab=257, context=32, layers=1, width=16, heads=1)
    tokens = np.frombuffer(b"the text of this test, again and again. " * 200, np.uint8).astype(np.uint16)
    return [
        train(ArrayFeed(tokens, 32, 4, seed=s), config, Settings(steps=2, batch=4, seed=s), out).folder for s in (0, 1)
    ]


@pytest.fixture
def files(tmp_path):
    text = tmp_path / "text.jsonl"
    text.write_text(
        "\n".join(json.dumps({"text": f"text number {i} of some length", "topic": "ab"[i % 2]}) for i in range(12))
    )
    items = tmp_path / "items.jsonl"
    items.write_text("\n".join(json.dumps({"text": f"is {i} even?", "answer": str(i % 2 == 0)}) for i in range(8)))
    return text, items


def test_two_runs_on_text_and_items(runs, files, tmp_path):
    text, items = files
    asked = ["evaluate", *map(str, runs), "--text", f"{text}:topic", "--items", str(items), "--choices", "False,True",
             "--out", str(tmp_path / "out")]  # fmt: skip
    found = RUNNER.invoke(app, [*asked, "--no-cost", "--json"])
    assert found.exit_code == 0, found.output
    body = json.loads(found.stdout)
    assert {one["group"] for one in body["metrics"]} == {"text", "next tokens", "items", "agreement"}
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"] == body["metrics"]
    assert "text\n" in found.stderr  # where no terminal is, a line for each thing that is done
    assert (tmp_path / "out/report.md").read_text().count("![") == 5


def test_the_table(runs, files, tmp_path):
    asked = ["evaluate", str(runs[0]), "--text", f"{files[0]}:topic", "--out", str(tmp_path / "out")]
    table = RUNNER.invoke(app, asked).stdout
    for name in ("bits per byte, a", "ECE, monotone bins", "speed of evaluation", "report"):
        assert name in table
    (line,) = (line for line in table.splitlines() if re.match(r"  bits per byte  ", line))
    assert re.search(r"\[.*\] +bit/byte +lower +12 documents", line)


def test_wrong_use_is_told(runs, files, tmp_path):
    found = RUNNER.invoke(app, ["evaluate", str(runs[0])])
    assert found.exit_code == 2
    assert "--text, --items or --lm-eval" in found.stderr
    found = RUNNER.invoke(app, ["evaluate", str(tmp_path), "--text", f"{files[0]}:topic"])
    assert found.exit_code == 2
    assert "neither run.json" in found.stderr
    found = RUNNER.invoke(app, ["evaluate", str(tmp_path / "nomodel"), "--text", str(tmp_path / "none.jsonl")])
    assert found.exit_code == 2
    assert "there is no model" in found.stderr  # before anything is said of the text
