"""Labels out and in again: nothing is lost, nothing is doubled, overlap is not exceeded."""

from __future__ import annotations

from pathlib import Path

import pytest

from people_store import check, finish, join
from tamis.people import exchange
from tamis.people import task as tasks
from tamis.people.store import Store

EXAMPLES = Path(__file__).parents[3] / "examples"


def plain(annotations):
    """What must survive: everything but the numbers of rows."""
    bodies = [one.to_json() for one in exchange.ordered(annotations)]
    for body in bodies:
        body.pop("submission", None)
        body["meta"] = {key: value for key, value in body.get("meta", {}).items() if key != "seq"}
    return sorted(map(str, bodies))


def answer_pair(one):
    return ["response_a", "response_b", "tie"][int(one.example["id"].rpartition("-")[2]) % 3]


def answer_page(one):
    return {"educational": len(one.example["text"]) % 6, "flaws": ["errors"] if "lol" in one.example["text"] else []}


@pytest.mark.parametrize(("name", "answer"), [("preference", answer_pair), ("quality-rating", answer_page)])
def test_an_export_comes_back_as_it_was(make_database, clock, tmp_path, name, answer):
    task = tasks.load(EXAMPLES / f"{name}.yaml").model_copy(update={"qualification": None})
    with Store.open(make_database(), task, clock) as store:
        raters = [join(store, number) for number in range(3)]
        found = store.next_for(raters[0])
        store.skip(raters[0], found.id, "unreadable", "s")
        finish(store, raters, clock, answer)
        before = list(store.annotations())
        assert {one.kind for one in before} == ({"pairwise"} if name == "preference" else {"rating", "multi"})
        written = exchange.write(
            before, store.aggregated("majority"), format="annotations", path=tmp_path / "out.jsonl", prompt="prompt"
        )
        assert written.rows >= len(before)
    with Store.open(make_database(), task, clock) as other:
        read = exchange.read(tmp_path / "out.jsonl")
        assert not read.problems
        brought = other.bring_in(read.annotations)
        assert not brought.problems
        assert brought.surplus == 0
        assert plain(other.annotations()) == plain(before)
        again = other.bring_in(read.annotations)
        assert (again.added, again.surplus) == (0, 0)
        assert again.known == brought.added
        check(other, task.overlap)


def test_an_import_never_exceeds_the_overlap_and_names_what_does_not_fit(database, make_task, clock):
    def row(example, rater, value):
        return exchange.Annotation(example=example, rater=rater, value=value, at="2026-01-02T03:04:05+00:00")

    with Store.open(database, make_task(examples=2, overlap=2), clock) as store:
        rows = [row("e-0", f"crowd-{number}", "yes") for number in range(3)]
        rows += [row("e-9", "crowd-1", "yes"), row("e-1", "crowd-1", "maybe")]
        found = store.bring_in(rows)
        assert (found.added, found.surplus) == (2, 1)
        assert [problem.partition(":")[0] for problem in found.problems] == [
            "example e-9, rater crowd-1",
            "example e-1, rater crowd-1",
        ]
        check(store, 2)
        assert store.next_for(join(store, 1)).example["id"] == "e-1"
        assert [answer.at for answer in store.answers()] == [1767323045.0] * 2


def test_an_import_meets_a_lease_that_has_ended(database, make_task, clock):
    with Store.open(database, make_task(examples=1, overlap=1), clock) as store:
        rater = join(store, 1)
        store.next_for(rater)
        clock.pass_(1000)
        row = exchange.Annotation(example="e-0", rater=store.rater(rater).pseudonym, value="yes")
        found = store.bring_in([row])
        assert (found.added, found.problems) == (1, ())
        assert store.next_for(rater).reason == "finished"
        check(store, 1)


def test_an_address_never_gets_into_the_journal(database, make_task, clock):
    with Store.open(database, make_task(examples=2, overlap=2), clock) as store:
        rows = [exchange.Annotation(example=f"e-{n}", rater="Ada@example.org", value="yes") for n in range(2)]
        assert store.bring_in(rows).added == 2
        assert store.bring_in(rows).known == 2, "the same pseudonym each time"
        assert len(store.raters()) == 1
        assert "example.org" not in str(store.journal()) + str(store.raters())


def test_a_descriptive_task_gives_soft_labels_and_no_disputes(database, make_task, clock, tmp_path):
    task = make_task(examples=3, paradigm="descriptive")
    with Store.open(database, task, clock) as store:
        raters = [join(store, number) for number in range(3)]
        for number, rater in enumerate(raters):
            finish(store, [rater], clock, lambda one, number=number: "yes" if number else "no")
        found = store.aggregated()
        assert {one.method for one in found} == {"soft"}
        assert all(one.soft == {"no": 1.5 / 4, "yes": 2.5 / 4} and one.label == "yes" for one in found)
        assert store.adjudication() == []
        store.aggregate("soft")
        assert store.adjudication() == []
        out = tmp_path / "soft.jsonl"
        exchange.write(store.annotations(), found, format="classification", path=out)
        assert '\\"yes\\":0.625' in out.read_text()


def test_preferences_become_rows_of_a_reward_model(database, clock, tmp_path):
    task = tasks.load(EXAMPLES / "preference.yaml").model_copy(update={"qualification": None, "gold": None})
    with Store.open(database, task, clock) as store:
        finish(store, [join(store, number) for number in range(3)], clock, answer_pair)
        store.adjudicate("pair-3", "response_b", None, "shorter")
        out = tmp_path / "pairs.jsonl"
        written = exchange.write(
            store.annotations(), store.aggregated("majority"), format="preference", path=out, prompt="prompt"
        )
        assert written.rows > 10
        text = out.read_text(encoding="utf-8")
        assert '"chosen"' in text
        assert "example.org" not in text
        assert "Person" not in text
