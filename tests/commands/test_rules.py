"""`tamis rules` on a corpus whose recipe measures signals of its own."""

import json

import pytest
from typer.testing import CliRunner

from evaluation_items import RIVER, rows
from tamis.cli import app
from tamis.engine import Inline
from tamis.pipeline import Pipeline
from tamis.recipe import parse, rooted
from tamis.workspace import Workspace

RECIPE = """\
sources: [{name: notes, path: notes.jsonl}]
decontaminate: {sets: [{name: rivers, path: items.jsonl}]}
rules: {use: [decontaminated@gpt3]}
dedup: {exact: false, minhash: null}
tokens: null
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A workspace of four documents, of which one holds an evaluation item."""
    folder = tmp_path_factory.mktemp("rules")
    texts = [f"Notes of day {n} by the water, in no order at all. " * 5 for n in range(3)]
    texts.append(f"{texts[0]} {RIVER} {texts[1]}")
    (folder / "notes.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    items = [{"id": identity, "text": text, "answer": answer} for identity, text, answer in rows()[0][1]]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    Pipeline(rooted(parse(RECIPE), folder), Workspace(folder / "w", create=True), Inline()).run()
    return folder / "w"


def tamis(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_signals_of_the_corpus_are_listed_with_their_units(work):
    listed = {row["signal"]: row for row in tamis("rules", "--signals", "--work", work, "--json")}
    assert listed["eval.score"]["unit"] == "share"
    assert "best matching item" in listed["eval.score"]["meaning"]
    assert "text.words" in listed
    assert not any(row["signal"].startswith("eval.") for row in tamis("rules", "--signals", "--json"))


def test_presets_may_read_what_the_recipe_measured(work):
    found = tamis("rules", "diff", "decontaminated@13gram", "decontaminated@gpt3", "--work", work, "--json")
    assert (found["documents"], found["measured_here"]) == (4, [])
    assert found["overall"]["only_first"] == 1
    assert [one["signal"] for one in found["examples"]] == ["eval.score"]


def test_a_preset_whose_signals_nobody_measured_is_refused(work, tmp_path):
    (tmp_path / "notes.jsonl").write_text('{"text": "one page"}\n')
    plain = "sources: [{name: n, path: notes.jsonl}]\ndedup: {exact: false, minhash: null}\ntokens: null\n"
    Pipeline(rooted(parse(plain), tmp_path), Workspace(tmp_path / "w", create=True), Inline()).run()
    done = CliRunner().invoke(app, ["rules", "diff", "decontaminated@13gram", "main", "--work", str(tmp_path / "w")])
    assert done.exit_code == 2
    assert "eval" in done.output


def test_a_preset_without_its_version_is_suggested_with_it(work):
    done = CliRunner().invoke(app, ["rules", "diff", "gopher", "c4@paper", "--work", str(work)])
    assert done.exit_code == 2
    assert "did you mean gopher@" in done.output
