from __future__ import annotations

import json

import pyarrow as pa
import pytest

from tamis.documents import EDITS, read_table, write_table
from tamis.verdicts.election import Strength
from tamis.verdicts.receipt import (
    DROP,
    NOT_MEASURED,
    OUT_OF_SCOPE,
    PASS,
    WOULD_DROP,
    _changes,
    receipt,
    to_json,
)
from tamis.verdicts.receipt_text import render
from tamis.verdicts.rules import load_rules
from tamis.verdicts.what_if import what_if

RULES = {
    "words": "text.words >= 60",
    "top": {"where": "repetition.top_2 <= 0.7", "scope": "lang.spaced", "unit": "share of characters"},
    "english": "lang.code <> 'zh'",
    "ratio": "text.words > text.lines or text.lines < 250",
}


@pytest.fixture
def folder(make_workspace, decide, signals):
    folder = make_workspace([120, 80], edges=200)
    decide(folder, load_rules([], RULES, signals), Strength(0.8))
    return folder


def everything(folder):
    return [row for shard in range(2) for row in read_table(folder.verdicts(shard)).to_pylist()]


def test_every_receipt_agrees_with_its_verdict(folder, signals):
    for row in everything(folder)[::5]:
        found = receipt(folder, row["id"], signals=signals)
        assert not found.stale
        fired = [line.name for line in found.rules if line.verdict in (DROP, WOULD_DROP)]
        assert fired == [name for name in row["reasons"] if name in found_names(found)]
        assert found.keep == row["keep"]
        assert (found.fired.name if found.fired else None) == (fired[0] if fired else None)
        text = render(found)
        assert text.startswith("KEPT" if row["keep"] else "DROPPED by ")
        json.dumps(to_json(found))


def found_names(found):
    return {line.name for line in found.rules}


def test_what_it_would_take_does_what_it_says(folder, signals):
    tried = 0
    for row in everything(folder):
        if not row["reasons"] or row["reasons"][0] not in RULES:
            continue
        keep = receipt(folder, row["id"], signals=signals).to_keep
        answer = what_if(folder, keep.settings, signals=signals, watch=[row["gid"]])
        assert answer.watched[0] == keep.works
        assert answer.won == keep.returns
        if keep.works:
            assert answer.kept_after > 0
        rules = folder.rules.changed(keep.settings, signals)
        assert set(rules.names) >= {"top"} - set(keep.settings)
        tried += 1
        if tried == 12:
            break
    assert tried == 12


def test_a_duplicate_shows_what_it_lost_to(folder, signals):
    row = next(row for row in everything(folder) if row["reason"] == "duplicate")
    found = receipt(folder, row["id"], signals=signals)
    assert found.duplicate.id == row["kept_id"]
    assert found.duplicate.kept
    assert found.duplicate.strong
    assert found.duplicate.alignment is not None
    assert found.to_keep.settings == {}
    text = render(found)
    assert f"lost to   {row['kept_id']}" in text
    assert "are in aligned passages" in text


def test_a_document_without_text(folder, signals):
    row = next(row for row in everything(folder) if row["reason"] == "extract.timeout")
    found = receipt(folder, row["id"], signals=signals)
    assert {line.verdict for line in found.rules} == {NOT_MEASURED}
    text = render(found)
    assert text.startswith("DROPPED by extract.timeout (it has no text)")
    assert "none of 4 was evaluated" in text
    assert "only another extraction can change" in text


def test_verdicts_of_single_rules(folder, signals):
    seen = set()
    for row in everything(folder)[:80]:
        for line in receipt(folder, row["id"], signals=signals).rules:
            seen.add(line.verdict)
            if line.name == "top" and line.verdict == OUT_OF_SCOPE:
                assert line.scope == "lang.spaced"
            if line.name == "words" and line.verdict != NOT_MEASURED:
                assert (line.verdict == PASS) == (line.found[0] >= 60)
                assert line.limit == ">= 60"
    assert {PASS, DROP, WOULD_DROP, OUT_OF_SCOPE, NOT_MEASURED} <= seen


def test_edits_are_shown_and_hostile_text_is_escaped(folder, signals, decide):
    path = folder.documents(0)
    table = read_table(path).to_pylist()
    at = next(number for number, row in enumerate(table) if row["text"] is not None)
    table[at] |= {"text": "menu \x1b[2Jhome\nreal text", "url": "https://x.example/\u202egpj"}
    schema = read_table(path).schema
    write_table(path, pa.Table.from_pylist(table, schema), schema)
    edit = {"start": 0, "end": 13, "replacement": "", "rule": "boilerplate.navigation"}
    rows = [{"edits": [edit] if number == at else []} for number in range(len(table))]
    target = folder.path / "edits" / "clean" / "00000.parquet"
    target.parent.mkdir(parents=True)
    write_table(target, pa.Table.from_pylist(rows, EDITS), EDITS)
    found = receipt(folder, table[at]["id"], signals=signals)
    assert [(one.rule, one.edits, one.removed) for one in found.edited] == [("boilerplate.navigation", 1, 13)]
    text = render(found)
    assert "boilerplate.navigation 13 bytes" in text
    assert "- menu \\x1b[2Jhome" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_changed_signals_are_noticed(folder, signals):
    row = next(row for row in everything(folder) if row["keep"] and row["gid"] < 1 << 32)
    path = folder.signals("text", 0)
    table = read_table(path)
    zeros = pa.array([0] * table.num_rows, pa.int64())
    write_table(path, table.set_column(table.column_names.index("words"), "words", zeros), table.schema)
    found = receipt(folder, row["id"], signals=signals)
    assert found.stale
    assert "the signals changed after this verdict" in render(found)


def test_edits_of_white_space_are_not_shown_whatever_the_space():
    edits = [
        {"start": 1, "end": 5, "replacement": "", "rule": "c4.blank"},  # a no-break and an ordinary space, a line break
        {"start": 6, "end": 9, "replacement": "", "rule": "c4.words"},
    ]
    assert [change.rule for change in _changes("a\u00a0 \nb go", edits, 8)] == ["c4.words"]
