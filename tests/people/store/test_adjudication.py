"""Disputes, final labels, and what a change of the guideline asks for."""

from __future__ import annotations

import pytest

from people_store import check, exactly, finish, join
from tamis.people.store import Store, StoreError


@pytest.fixture
def store(database, make_task, clock):
    """Four examples by three raters: they agree on all but e-0 and e-1."""
    with Store.open(database, make_task(examples=4), clock) as store:
        for number in range(3):
            rater = join(store, number)
            answers = {"e-0": "yes" if number else "no", "e-1": "no" if number == 2 else "yes"}
            finish(store, [rater], clock, lambda one, answers=answers: answers.get(one.example["id"], "yes"))
        join(store, 9, "owner")
        join(store, 10, "adjudicator")
        yield store


def test_disagreement_needs_a_decision_that_says_who_and_why(store):
    assert {dispute.example for dispute in store.adjudication()} == {"e-0", "e-1"}
    found = store.aggregate("majority")
    assert found["e-2"] == ("yes", 1.0, 3)
    assert found["e-0"][0] == "yes"
    queue = store.adjudication(least=0.9)
    assert {dispute.example for dispute in queue} == {"e-0", "e-1"}
    assert all(dispute.posterior < 0.9 and "below 0.9" in dispute.why for dispute in queue)
    assert sorted(value for _, value, _, _ in queue[0].answers) == ["no", "yes", "yes"]
    rater, owner, adjudicator = 1, *(one.id for one in store.raters()[-2:])
    with pytest.raises(StoreError) as error:
        store.adjudicate("e-0", "no", rater, "because")
    assert error.value.code == "forbidden"
    with pytest.raises(StoreError, match="say why"):
        store.adjudicate("e-0", "no", adjudicator, " ")
    store.adjudicate("e-0", "yes", adjudicator, "first thought")
    store.adjudicate("e-0", "no", owner, "0 is even")
    [final] = store.finals()
    assert (final.example, final.value, final.why) == ("e-0", "no", "0 is even")
    assert final.by == store.rater(owner).pseudonym
    assert final.guideline == store.guideline().hash
    assert [dispute.example for dispute in store.adjudication(least=0.9)] == ["e-1"]
    assert store.progress().adjudicated == 1
    assert [row.method for row in store.aggregated("majority") if row.example == "e-0"] == ["adjudication"]
    check(store, 3)


def test_nobody_new_is_asked_about_a_decided_example(database, make_task, clock):
    with Store.open(database, make_task(examples=1, overlap=3), clock) as store:
        store.adjudicate("e-0", "no", None, "plain")
        assert store.next_for(join(store, 1)).reason == "finished"
        check(store)


@pytest.mark.parametrize("overlap", [2, {"target": 0.99, "least": 2, "most": 5}])
def test_a_decided_example_stays_decided(database, make_task, clock, overlap):
    task = make_task(examples=1, overlap=overlap)
    with Store.open(database, task, clock) as store:
        raters = [join(store, number) for number in range(4)]
        given = [store.next_for(rater) for rater in raters[:2]]
        store.adjudicate("e-0", "no", None, "plain")
        store.submit(raters[0], given[0].id, "yes", "t")  # in hand when it was decided: it counts
        assert store.next_for(raters[2]).reason != "budget"
        check(store)
        clock.pass_(1000)  # the other lease ends: its slot goes with it
        assert store.next_for(raters[2]).reason == "finished"
        check(store)
        assert store.progress().wanted == 0
    changed = task.model_copy(update={"lease": 90, "overlap": 4 if overlap == 2 else task.overlap})
    with Store.open(database, changed, clock) as store:
        assert store.next_for(raters[2]).reason == "finished", "a changed task does not open it"
        store.release(raters[0], None, "spam")
        assert store.next_for(raters[2]).reason == "finished", "nor does a label that was voided"
        check(store)


def test_a_new_guideline_lists_and_reopens_what_is_older(store, clock):
    old = store.guideline()
    new = store.set_guideline("# Guideline 2\nZero is even.")
    assert (new.number, store.guideline()) == (2, new)
    assert store.set_guideline("# Guideline 2\r\nZero is even.") == new, "line ends are no new version"
    stale = store.stale()
    assert (stale.examples, stale.labels) == (("e-0", "e-1", "e-2", "e-3"), 12)
    assert stale.by_guideline == {old.hash: 12}
    assert store.progress().stale == 12
    with pytest.raises(StoreError):
        store.relabel(1)
    assert store.relabel(None, ["e-0"]) == 3
    assert store.progress().wanted == 3
    assert store.relabel(None) == 9
    assert store.relabel(None) == 0
    check(store, 3)
    raters = [1, 2, 3]
    found = store.next_for(1)
    assert found.guideline == new.hash
    finish(store, raters, clock, lambda one: "no" if one.example["id"] == "e-0" else "yes")
    exactly(store, 3)
    check(store, 3)
    effect = store.guideline_effect()
    assert [guideline.number for guideline, _ in effect] == [1, 2]
    before, after = (found.value for _, found in effect)
    assert before < after == 1
    assert store.mine(1).done == 8, "work under the old guideline counts as work"


def test_a_guideline_that_changed_in_its_file_is_seen_at_the_next_start(database, tmp_path, clock):
    from pathlib import Path

    from people_store import write_task

    task = write_task(tmp_path / "task")
    with Store.open(database, task, clock) as store:
        assert store.guideline().number == 1
    Path(task.guideline).write_text("# Another", encoding="utf-8")
    with Store.open(database, task, clock) as store:
        assert store.guideline().number == 2
        assert store.next_for(join(store, 1)).guideline == store.guideline().hash


def test_an_edited_guideline_outlives_a_restart_until_its_file_changes(database, tmp_path, clock):
    from pathlib import Path

    from people_store import write_task

    task = write_task(tmp_path / "task")
    with Store.open(database, task, clock) as store:
        assert store.guideline_kept() is None
        edited = store.set_guideline("# From the page", None)
    with Store.open(database, task, clock) as store:
        assert store.guideline() == edited == store.guideline_kept()
        assert store.next_for(join(store, 1)).guideline == edited.hash
    Path(task.guideline).write_text("# Another", encoding="utf-8")
    with Store.open(database, task, clock) as store:
        assert (store.guideline().number, store.guideline().text, store.guideline_kept()) == (3, "# Another", None)


def test_an_older_database_tells_from_its_journal_which_guideline_the_file_had(database, make_task, clock):
    task = make_task()
    with Store.open(database, task, clock) as store:
        edited = store.set_guideline("# From the page", join(store, 9, "owner"))
        store.database.write(lambda c: c.run("DELETE FROM meta WHERE name = 'guideline_file'")).result()
    with Store.open(database, task, clock) as store:
        assert store.guideline() == edited


def test_a_guideline_that_was_not_committed_is_given_to_nobody(store, clock, monkeypatch):
    from tamis.people.store import loading

    def fails(*_):
        raise OSError("the disk is full")

    old = store.guideline().hash
    monkeypatch.setattr(loading.journal, "append", fails)
    with pytest.raises(OSError, match="disk is full"):
        store.set_guideline("# Never")
    monkeypatch.undo()

    def late(c):
        loading.Loading._new_guideline(store, c, "# Never", None)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        store.database.write(late).result()
    assert store._guideline == store.guideline().hash == old
