from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tamis.commands.label import app
from tamis.people import exchange
from tamis.people.exchange import Annotation


def label(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    rows: list[list[Any]] = [["item", "worker", "label", "at"]]
    for e in range(30):
        for r, name in enumerate("abc"):
            said = (e + (r == 2 and e % 3 == 0)) % 3 + 1
            rows.append([e, name, said, f"2026-05-{1 + e // 10:02d}T10:00:00Z"])
    rows.append([0, "a", 2, "2026-05-04T10:00:00Z"])  # the same rater again
    rows.append([1, "a", 2, "2026-05-04T10:00:00Z"])
    with path.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    return path


def test_agreement_shows_all_measures(file: Path) -> None:
    shown = label(
        "agreement", file, "--level", "ordinal", "--raters", "--pairs", "--over", "day", "--weights", "linear"
    )
    assert shown.exit_code == 0, shown.output
    for part in (
        "92 labels of 30 examples by 3 raters, 3 values", "Krippendorff's alpha (ordinal)", "Gwet's AC1",
        "linear weights over 3 pairs", "raw agreement", "95% of 1,000 resamples", "a / b", "2026-05-02",
        "again      a: 50.0% of 2 pairs of own answers differ", "left out   1 examples",
    ):  # fmt: skip
        assert part in shown.output
    body = json.loads(label("agreement", file, "--raters", "--pairs", "--over", "week", "--json").stdout)
    assert body["by_rater"][0]["rater"] == "c"
    assert len(body["pairs"]) == 3
    assert body["measures"][0]["name"] == "Krippendorff's alpha"
    assert body["measures"][0]["low"] < body["measures"][0]["value"] < body["measures"][0]["high"]
    assert body["over_time"][0]["period"] == "2026-W18"


def test_a_file_without_times_is_said_to_have_none(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("example,rater,label\n1,a,x\n1,b,x\n")
    assert "no column for the time" in label("agreement", tmp_path / "l.csv", "--over", "day").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--level", "cardinal"], "no level is named 'cardinal'"),
        (["--weights", "cubic"], "no weights is named"),
        (["--over", "year"], "no period is named"),
    ],
)
def test_wrong_use_of_agreement(words: list[str], message: str, file: Path) -> None:
    found = label("agreement", file, *words)
    assert found.exit_code == 2
    assert message in found.output


def test_one_question_at_a_time(tmp_path: Path) -> None:
    rows = [Annotation(f"e{e}", r, v, question=q) for e in range(3) for r in "ab" for q, v in (("q1", "x"), ("q2", r))]
    rows.append(Annotation("e9", "a", None, question="q2", skipped=True))
    exchange.write(rows, format="annotations", path=tmp_path / "a.jsonl")
    found = label("agreement", tmp_path / "a.jsonl")
    assert found.exit_code == 2
    assert "answers to several questions: name one by --question: q1, q2" in found.output
    assert (
        "6 labels of 3 examples by 2 raters, 2 values"
        in label("agreement", tmp_path / "a.jsonl", "--question", "q2", "--resamples", 0).output
    )
    assert label("agreement", tmp_path / "a.jsonl", "--question", "q3").exit_code == 2
    exchange.write([a for a in rows if a.question == "q1"], format="annotations", path=tmp_path / "b.parquet")
    assert "6 labels" in label("agreement", tmp_path / "b.parquet").output


def test_spans_are_compared_as_spans(tmp_path: Path) -> None:
    fields = {"text": "Alice met Bob in Paris."}
    spans = {"a": [{"start": 0, "end": 5, "label": "PER"}], "b": [{"start": 0, "end": 9, "label": "PER"}]}
    rows = [
        Annotation(f"e{e}", r, value, "span", fields=fields, of="text") for e in range(3) for r, value in spans.items()
    ]
    exchange.write(rows, format="annotations", path=tmp_path / "a.jsonl")
    found = label("agreement", tmp_path / "a.jsonl")
    assert found.exit_code == 0, found.output
    assert "a / b" in found.output
    (pair,) = json.loads(label("agreement", tmp_path / "a.jsonl", "--json").stdout)["pairs"]
    assert (pair["examples"], pair["exact"], pair["overlap"]) == (3, 0, 1)


def test_plan() -> None:
    words = ("plan", "--examples", 500, "--accuracy", 0.75, "--target", 0.95, "--classes", 4, "--most", 6)
    shown = label(*words, "--projects", 40)
    assert "3.1 labels each" in shown.output
    body = json.loads(label(*words, "--projects", 5, "--cost", 0.1, "--json").stdout)
    assert body["labels"]["low"] < body["labels"]["high"]
    assert label("plan", "--accuracy", 0.4).exit_code == 2


def test_judge_needs_somebody_to_ask(file: Path) -> None:
    assert label("judge").exit_code == 2
    assert label("judge", file, "--model", "m").exit_code == 2
    assert label("judge", file, "--endpoint", "http://127.0.0.1:9/v1", "--model", "m").exit_code == 2  # no task


def test_checks_of_a_judge(tmp_path: Path) -> None:
    rows = []
    for e in range(20):
        for order in (("a", "b"), ("b", "a")):
            said = order[0] if e < 5 else "a"
            row = {"example": str(e), "rater": "model:m", "label": said, "value": said, "order": order, "raw": ""}
            rows.append({**row, "prompt_hash": "0", "lengths": {"a": 10, "b": 20}})
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    people = "".join(f"{e},{r},{'a' if e % 4 else 'b'}\n" for e in range(20) for r in "xyz")
    (tmp_path / "people.csv").write_text("example,rater,label\n" + people)
    (tmp_path / "gold.csv").write_text("example,truth\n" + "".join(f"{e},a\n" for e in range(20)))
    words = ("judge", "--check", tmp_path / "judged.jsonl", tmp_path / "people.csv", "--gold", tmp_path / "gold.csv")
    shown = label(*words)
    assert shown.exit_code == 0, shown.output
    assert "flips with the order 0.250" in shown.output
    assert "to the first 5" in shown.output
    assert "sequential test" in shown.output
    (body,) = json.loads(label(*words, "--json").stdout)
    assert body["position"]["flips"]["value"] == 0.25
    assert body["gold"]["n"] == 20
    assert label("judge", "--check", tmp_path / "people.csv").exit_code == 2
