"""Two rule sets on the documents of one workspace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tamis.clean.edits import from_lists
from tamis.documents import DOCUMENTS, EDITS
from tamis.documents import write_table as write
from tamis.verdicts import texts as rules_texts
from tamis.verdicts.disagreement import Split, disagreement, render
from tamis.verdicts.reader import Folder
from tamis.verdicts.rules import RuleError, RuleSet, load_rules

PROSE = "This is a sentence of the town and of all the people that have to live with it. "
TEXTS = [PROSE * 8, "Too short to be anything.", PROSE * 8 + "\n- a\n- b", "word, word! word? " * 30, None]


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, table, schema)


@pytest.fixture
def workspace(tmp_path: Path) -> Folder:
    """Two shards of five documents with two signals measured, and clean edits that cut nothing."""
    for shard in range(2):
        rows = len(TEXTS)
        base = {name: pa.nulls(rows, DOCUMENTS.field(name).type) for name in DOCUMENTS.names}
        filled = {
            **base,
            "id": pa.array([f"{shard}{row:031d}" for row in range(rows)]),
            "text": pa.array(TEXTS, DOCUMENTS.field("text").type),
            "source": pa.array(["web"] * rows),
            "url": pa.array([f"https://example.org/{shard}/{row}" for row in range(rows)]),
            "meta": pa.array(["{}"] * rows),
        }
        arrays = [filled[name].cast(DOCUMENTS.field(name).type) for name in DOCUMENTS.names]
        relaxed = pa.schema([field.with_nullable(True) for field in DOCUMENTS])
        write_table(tmp_path / f"documents/{shard:05d}.parquet", pa.Table.from_arrays(arrays, schema=relaxed), relaxed)
        known = pa.array([text is not None for text in TEXTS])
        for group, columns in (
            ("document", {"extracted": known}),
            (
                "text",
                {"script_words": pa.array([136, 5, 140, 90, None]), "alpha_words": pa.array([1, 1, 0.5, 1, None])},
            ),
        ):
            table = pa.table(columns)
            write_table(tmp_path / f"signals/{group}/{shard:05d}.parquet", table, table.schema)
        none = from_lists(rows, *(np.zeros(0, np.int64) for _ in range(3)), "", [])
        write_table(tmp_path / f"edits/clean/{shard:05d}.parquet", pa.table({"edits": none}, EDITS), EDITS)
    return Folder(tmp_path)


def rules(**settings: str) -> RuleSet:
    return load_rules([], settings)


def test_measured_signals_are_read_for_all_documents(workspace: Folder) -> None:
    first = rules(short="text.script_words >= 50", letters="text.alpha_words >= 0.8")
    second = rules(short="text.script_words >= 100")
    found = disagreement(workspace, ("a", "b"), (first, second))
    assert (found.documents, found.total, found.measured) == (10, 10, ())
    # The document without text is dropped by both, but by none of their rules.
    assert found.overall == Split(both_keep=2, both_drop=4, only_first=2, only_second=2)
    assert found.rules["short"] == Split(both_keep=6, both_drop=2, only_first=0, only_second=2)
    assert found.rules["short"].agreement == 0.8
    assert found.rules["short"].overlap == 0.5
    assert found.alone == ({"letters": 2}, {})
    nearest = found.examples[0]
    assert (nearest.dropped_by, nearest.rule, nearest.value) == (2, "short", 90)
    assert nearest.url == "https://example.org/0/3"
    assert "dropped by b only: short, text.script_words is 90, must hold: text.script_words >= 100" in render(found)


def test_missing_signals_are_measured_on_a_sample(workspace: Folder) -> None:
    before = sorted(path for path in workspace.path.rglob("*"))
    dolma = load_rules(["gopher@dolma"], {})
    found = disagreement(
        workspace, ("own", "gopher@dolma"), (rules(short="text.script_words >= 50"), dolma), documents=5
    )
    assert (found.documents, found.total, found.measured) == (5, 10, ("dolma",))
    assert found.rules["short"].agreement == 1.0
    assert found.alone[1]["stop_words"] > 0
    assert "measured  dolma here" in render(found)
    assert sorted(path for path in workspace.path.rglob("*")) == before


def test_line_filters_leave_languages_without_spaces_alone() -> None:
    """As a run does: C4's filter would drop every line of a Chinese page, for it has no Latin mark and no space."""
    chinese = "中国是世界上历史最悠久的国家之一，有着丰富多彩的文化，人民生活水平不断提高。\n" * 6
    found = rules_texts.kept(
        preset := load_rules(["fineweb@datatrove-0.10~"], {}), rules_texts.failed(preset, [chinese, "Home\nLogin"])
    )
    assert found["empty"].tolist() == [True, False]


def test_signals_that_only_a_recipe_can_measure(workspace: Folder) -> None:
    from tamis.verdicts.rules import catalogue

    known = {**catalogue(), "quality.edu": pa.float64()}
    asked = load_rules([], {"edu": "quality.edu >= 0.5"}, known)
    with pytest.raises(RuleError, match="quality are not measured"):
        disagreement(workspace, ("a", "b"), (asked, rules(short="text.script_words >= 50")))


def test_a_rule_set_agrees_with_itself(workspace: Folder) -> None:
    dolma = load_rules(["gopher@dolma"], {})
    found = disagreement(workspace, ("gopher@dolma",) * 2, (dolma, dolma))
    assert found.overall.agreement == 1.0
    assert found.examples == []
    assert found.to_json()["overall"]["only_first"] == 0
