"""The verbs print what the room finds."""

import json

from typer.testing import CliRunner

from tamis.commands.audit import app, lines
from tamis.commands.decontaminate import app as decontaminate


def test_errors_are_one_line(tmp_path):
    for application, arguments in (
        (app, ["dedup", "--work", str(tmp_path), "--out", "x.jsonl"]),
        (app, ["read", "v.csv", "--work", str(tmp_path)]),
        (decontaminate, ["report", "--work", str(tmp_path)]),
    ):
        done = CliRunner().invoke(application, arguments)
        assert done.exit_code == 2
        assert "no workspace" in done.output


def test_help_teaches_with_an_example():
    assert "tamis audit dedup --work W" in CliRunner().invoke(app, ["dedup", "--help"]).output
    assert "tamis decontaminate report" in CliRunner().invoke(decontaminate, ["report", "--help"]).output


def test_results_for_people():
    share = {"value": 0.98, "low": 0.9, "high": 1.0}
    band = {"name": "exact", "decided": True, "true": 9, "judged": 9, "low": 0.7, "high": 1.0, "total": 900}
    result = {
        "kind": "dedup", "threshold": 0.8, "judged": 9, "drawn": 10, "raters": 2, "bands": [band],
        "precision": share, "recall": None,
    }  # fmt: skip
    text = lines(result)
    assert text[0] == "dedup at 0.8: 9 of 10 judged, 2 raters"
    assert text[1] == "precision   98.0%  (90.0% to 100.0%)"
    assert text[2].startswith("recall     nothing")
    assert "9 of 9 true" in text[3]
    assert json.dumps(result)


def test_a_sample_in_another_format_is_refused(tmp_path):
    done = CliRunner().invoke(app, ["dedup", "--work", str(tmp_path), "--out", str(tmp_path / "sample.txt")])
    assert done.exit_code == 2
    assert ".jsonl" in done.output
    assert "no workspace" not in done.output
