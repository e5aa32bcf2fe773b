"""`tamis label` verbs on a real database file."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from people_store import finish, join, write_task
from tamis.commands.label import app
from tamis.people.store import Store

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def labelled(tmp_path, clock):
    task = write_task(tmp_path / "task", pay={"piece": 0.1})
    with Store.open(tmp_path / "labels.sqlite", task, clock) as store:
        finish(store, [join(store, number) for number in range(3)], clock)
    return str(tmp_path / "labels.sqlite")


def run(*arguments, code=0, error=False):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output + str(done.exception)
    return done.stderr if error else done.stdout


def judge(database):
    """The pseudonym of an adjudicator."""
    with Store.open(database) as store:
        number = join(store, 9, role="adjudicator")
        return next(rater.pseudonym for rater in store.raters() if rater.id == number)


def test_a_decision_that_cannot_be_is_one_line(labelled):
    told = run("adjudicate", labelled, "e-0", "bugg", "--why", "x", "--by", judge(labelled), code=2, error=True)
    assert told.startswith("error: bugg cannot be the final label of e-0: ")
    assert "Traceback" not in told
    assert told.count("\n") == 1


def test_a_decision_is_somebodys_and_says_what_it_replaces(labelled):
    assert "--by" in run("adjudicate", labelled, "e-0", "no", "--why", "x", code=2, error=True)
    who = judge(labelled)
    first = run("adjudicate", labelled, "e-0", "no", "--why", "0 is even", "--by", who, error=True)
    assert "replaces" not in first
    again = run("adjudicate", labelled, "e-0", "yes", "--why", "on second thoughts", "--by", who, error=True)
    assert f"replaces the decision of {who}: no (0 is even)" in again


def test_people_are_invited_to_peoples_roles(labelled):
    told = run("invite", labelled, "--role", "boss", code=2, error=True)
    assert "rater, adjudicator, owner" in told
    assert "model" not in told
    run("invite", labelled, "--role", "model", code=2)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A task's file; the server itself does not run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tamis.web.app.serve", lambda *_: None)
    task = write_task(tmp_path / "task", gold=2, pay={"piece": 0.1, "bonus": {"accuracy": 0.7, "share": 0.1}})
    path = tmp_path / "odd.yaml"
    path.write_text(json.dumps(task.model_dump(mode="json", by_alias=True, exclude_none=True)))
    return path


def test_a_start_names_the_database_and_a_bonus_out_of_reach(served, tmp_path):
    told = run("serve", served, "--port", 18765, error=True)
    assert f"a new database: {tmp_path / 'labels' / 'odd.sqlite'}" in told
    assert "--database" in told
    assert "warning: the bonus needs 20 gold questions" in told
    assert "new database" not in run("serve", served, "--port", 18765, error=True)


def test_links_lead_to_where_the_server_was(served):
    run("serve", served, "--port", 18766)
    assert run("invite", served).startswith("http://127.0.0.1:18766/join/")
    assert "--url" in run("invite", served, error=True)
    with Store.open("labels/odd.sqlite") as store:
        join(store, 1)
    assert run("reset-password", served, "p1@example.org").startswith("http://127.0.0.1:18766/reset/")


def test_a_refused_start_leaves_no_database(served, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = run("serve", served, "--port", taken.getsockname()[1], code=1, error=True)
    assert "--port" in told
    (tmp_path / "task" / "gold.jsonl").write_text('{"id": "g", "text": "x", "answer": "maybe"}')
    run("serve", served, "--port", 18767, code=2)
    assert not (tmp_path / "labels").exists()


def test_formats_that_do_not_fit_are_refused(labelled, tmp_path):
    told = run("export", labelled, tmp_path / "a.jsonl", "-f", "sft", code=2, error=True)
    assert "classification fits" in told
    assert not (tmp_path / "a.jsonl").exists()


def test_an_import_says_what_it_leaves_out_once(labelled, tmp_path):
    rows = [
        {"example": name, "rater": "m", "label": "yes", "value": "yes", "order": [], "prompt_hash": "x", "raw": "yes",
         "kinds": {"label": "choice"}, "right": right}
        for name, right in (("e-1", None), ("e-2", None), ("g-1", True), ("g-2", False))
    ]  # fmt: skip
    path = tmp_path / "judged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "2 added, 0 here already, 0 surplus, 2 left out (gold questions)" in run("import", labelled, path)
    path.write_text("".join(json.dumps({**rows[0], "example": f"none-{number}"}) + "\n" for number in range(40)))
    told = run("import", labelled, path, code=1, error=True)
    assert "40 rows: the task has no such example (the first: example none-0, rater m)" in told
    assert told.count("no such example") == 1


def test_verify_says_the_head_and_finds_what_was_altered(labelled):
    found = json.loads(run("verify", labelled, "--json"))
    assert (found["ok"], found["labels"]) == (True, 18)
    assert found["head"] in run("verify", labelled, "--anchor", found["head"])
    with Store.open(labelled) as store:
        store.database.write(lambda c: c.run("UPDATE labels SET value = '\"no\"' WHERE id = 1")).result()
    run("verify", labelled, code=1)


def test_backup_and_restore(labelled, tmp_path):
    run("backup", labelled, tmp_path / "b.jsonl.gz")
    assert "18 labels" in run("restore", tmp_path / "b.jsonl.gz", tmp_path / "new.sqlite")
    run("restore", tmp_path / "b.jsonl.gz", tmp_path / "new.sqlite", code=1)


def test_links_ledger_and_erasure(labelled):
    assert run("invite", labelled, "--url", "https://x.example/label").startswith("https://x.example/label/join/")
    assert "/reset/" in run("reset-password", labelled, "p1@example.org")
    assert run("pay", labelled).startswith("rater,name,answers")
    run("erase", labelled, "p1@example.org", "--yes")
    run("reset-password", labelled, "p1@example.org", code=1)
    assert json.loads(run("verify", labelled, "--json"))["ok"]


def test_adjudicate_relabel_and_export(labelled, tmp_path):
    assert json.loads(run("adjudicate", labelled, "--json", "--method", "majority")) == []
    run("adjudicate", labelled, "e-0", "no", "--why", "0 is even", "--by", judge(labelled))
    assert json.loads(run("relabel", labelled, "--json"))["labels"] == 0
    assert "rows" in run("export", labelled, tmp_path / "a.jsonl", "--method", "majority")
    assert "18 here already" in run("import", labelled, tmp_path / "a.jsonl")


def test_schema_and_missing_databases(tmp_path):
    assert json.loads(run("schema"))["title"] == "task"
    run("verify", tmp_path / "none.sqlite", code=1)
    run("verify", tmp_path / "none.yaml", code=2)
    (tmp_path / "other.txt").write_text("not a database, but long enough to be looked at " * 100)
    run("verify", tmp_path / "other.txt", code=1)
