"""Training, the test, hidden gold, repeats, adaptive overlap, late answers, skips: what a rater meets."""

from __future__ import annotations

import pytest

from people_store import check, exactly, finish, join
from tamis.people.answers import BadAnswer
from tamis.people.store import Assignment, Done, Store, StoreError


def right(assignment):
    return "yes" if int(assignment.example["id"].rpartition("-")[2]) % 2 else "no"


def wrong(assignment):
    return "no" if right(assignment) == "yes" else "yes"


def drawn(store):
    """What is drawn at random hangs on the database's secret: the same one for every run."""
    store.secret = bytes(32)


def everything(store, rater, answer=right, most=1000):
    """Works until there is nothing left; returns the assignments."""
    given, found = [], store.next_for(rater)
    while isinstance(found, Assignment) and len(given) < most:
        given.append(found)
        found = store.submit(rater, found.id, answer(found), f"{len(given)}-{found.id}", 4.0).next
    return given, found


def test_training_gives_feedback_and_the_test_does_not(database, make_task, clock):
    task = make_task(train=3, test=4, qualification={"accuracy": 0.75, "attempts": 2})
    with Store.open(database, task, clock) as store:
        rater = join(store, 1)
        assert store.rater(rater).state == "training"
        first = store.next_for(rater)
        assert (first.phase, first.number, first.of) == ("training", 1, 3)
        assert not {"answer", "answers", "explanation"} & set(first.example)
        out = store.submit(rater, first.id, wrong(first), "t")
        assert (out.feedback.right, out.feedback.expected, out.feedback.explanation) == (False, "no", "0 it is")
        assert store.submit(rater, first.id, wrong(first), "t").feedback == out.feedback, "a lost answer comes again"
        for number in (2, 3):
            found = store.next_for(rater)
            assert found.number == number
            out = store.submit(rater, found.id, right(found), f"t{number}")
        assert store.rater(rater).state == "qualifying"
        for number in range(4):
            assert out.next.phase == "qualification"
            out = store.submit(rater, out.next.id, wrong(out.next) if number == 0 else right(out.next), f"q{number}")
            assert out.feedback is None
        assert store.rater(rater).state == "active"
        assert out.next.phase == "work"
        kinds = [entry.body["state"] for entry in store.journal() if entry.kind == "qualify"]
        assert kinds == ["qualifying", "active"]


def test_who_fails_twice_gets_no_work(database, make_task, clock):
    with Store.open(database, make_task(test=2, qualification={"attempts": 2}), clock) as store:
        rater = join(store, 1)
        given, last = everything(store, rater, wrong)
        assert [one.phase for one in given] == ["qualification"] * 4
        assert (last.reason, store.rater(rater).state) == ("failed", "failed")
        check(store)


def test_gold_looks_like_work_and_comes_at_its_rate(database, make_task, clock):
    task = make_task(examples=150, gold=60, overlap=1)
    task = task.model_copy(update={"gold": task.gold.model_copy(update={"share": 0.2})})
    with Store.open(database, task, clock) as store:
        drawn(store)
        rater = join(store, 1)
        given, _ = everything(store, rater)
        gold = [one for one in given if one.example["id"].startswith("g-")]
        assert 0.1 < len(gold) / len(given) < 0.3
        assert {one.phase for one in given} == {"work"}
        assert [one.number for one in given] == list(range(1, len(given) + 1))
        row = store.table()[0]
        assert (row.gold_right, row.gold_wrong, row.verdict) == (len(gold), 0, "pass")
        assert row.gold_low < row.gold_high == pytest.approx(1)
        assert store.progress().labels == 150
        assert len(store.matrix()) == 150, "gold answers are no labels of the work"


def test_a_bad_rater_is_blocked_by_gold_and_a_descriptive_task_blocks_nobody(make_database, make_task, clock):
    settings = {"examples": 100, "gold": 40, "overlap": 1}
    for paradigm, reason in (("prescriptive", "blocked"), ("descriptive", "finished")):
        task = make_task(paradigm=paradigm, **settings)
        task = task.model_copy(update={"gold": task.gold.model_copy(update={"share": 0.3})})
        with Store.open(make_database(), task, clock) as store:
            drawn(store)
            rater = join(store, 1)
            given, last = everything(store, rater, wrong)
            assert last.reason == reason
            assert store.table()[0].gold_wrong > 3
            check(store, 1)
            if reason == "blocked":
                assert len(given) < 90
                labelled = store.progress().labels
                assert store.release(rater, None, "spam") == labelled
                assert store.progress().labels == 0
                finish(store, [join(store, 2)], clock, right)
                exactly(store, 1)


def test_repeats_come_later_once_and_in_the_other_order(database, make_task, clock):
    with Store.open(database, make_task(examples=100, overlap=1, repeats=0.2), clock) as store:
        drawn(store)
        rater = join(store, 1)
        turned = iter(range(10_000))
        given, _ = everything(store, rater, lambda one: right(one) if next(turned) % 10 else wrong(one))
        names = [one.example["id"] for one in given]
        again = [name for name in set(names) if names.count(name) == 2]
        assert 8 < len(again) < 36
        assert max(names.count(name) for name in names) == 2
        for name in again:
            assert names.index(name, names.index(name) + 1) - names.index(name) > 5
        assert store.progress().labels == 100
        row = store.table()[0]
        assert row.repeats == len(again)
        assert 0 < row.flips < len(again)
        [pairs] = store.self_agreement().values()
        assert sum(one != two for one, two in pairs) == row.flips
        check(store, 1)


def test_adaptive_overlap_asks_where_raters_differ(database, make_task, clock):
    task = make_task(examples=10, overlap={"target": 0.9, "least": 2, "most": 5, "accuracy": 0.8})
    with Store.open(database, task, clock) as store:
        raters = [join(store, number) for number in range(6)]

        def answer(one):
            return "yes" if int(one.example["id"][2:]) < 5 or one.id.endswith(("1", "3", "5", "7", "9")) else "no"

        finish(store, raters, clock, answer)
        with store.database.reading() as c:
            done = {row.name: row.done for row in c.all("SELECT name, done FROM examples WHERE kind = 'work'")}
        assert all(done[f"e-{number}"] == 2 for number in range(5)), "two who agree are enough at 0.94"
        assert max(done.values()) > 2
        assert max(done.values()) <= 5
        check(store, 5)


def test_a_budget_is_not_exceeded(database, make_task, clock):
    task = make_task(examples=10, overlap={"target": 0.99, "least": 2, "most": 5, "budget": 13})
    with Store.open(database, task, clock) as store:
        raters = [join(store, number) for number in range(4)]
        finish(store, raters, clock)
        assert store.progress().labels == 13
        assert store.next_for(raters[0]) == Done("budget", "the budget of this task is spent: thank you")
        check(store, 5)


def test_a_late_answer_is_kept_and_counts_where_a_slot_is_free(database, make_task, clock):
    with Store.open(database, make_task(examples=1, overlap=1, pay={"piece": 0.5}), clock) as store:
        slow, quick, third = (join(store, number) for number in range(3))
        late = store.next_for(slow)
        assert store.next_for(quick).reason == "wait"
        assert store.next_for(quick).retry == 60
        clock.pass_(61)
        early = store.next_for(quick)
        assert early.example == late.example
        assert store.submit(quick, early.id, "yes", "q").status == "accepted"
        out = store.submit(slow, late.id, "no", "s")
        assert (out.status, out.next.reason) == ("surplus", "finished")
        assert store.submit(slow, late.id, "no", "s").status == "again"
        assert store.next_for(third).reason == "finished"
        assert [label for _, _, label in store.matrix()] == ["yes"]
        assert (store.mine(slow).earned, store.progress().surplus) == (0.5, 1), "done in good faith, so paid"
        check(store, 1)


def test_a_late_answer_in_time_takes_the_slot_back(database, make_task, clock):
    with Store.open(database, make_task(examples=1, overlap=1), clock) as store:
        slow, other = join(store, 1), join(store, 2)
        late = store.next_for(slow)
        clock.pass_(100)
        assert store.submit(slow, late.id, "yes", "s").status == "accepted"
        assert store.next_for(other).reason == "finished"
        check(store, 1)


def test_bad_answers_and_other_peoples_examples_are_refused(database, make_task, clock):
    with Store.open(database, make_task(), clock) as store:
        ada, bob = join(store, 1), join(store, 2)
        found = store.next_for(ada)
        with pytest.raises(BadAnswer, match="choose one of yes, no"):
            store.submit(ada, found.id, "maybe", "t")
        for name in (found.id, "99999", "x", "-1", "1e3", "9" * 40, "²"):
            with pytest.raises(StoreError) as error:
                store.submit(bob, name, "yes", "t")
            assert error.value.code == "unknown"
        assert store.submit(ada, found.id, "yes", "t").status == "accepted"
        with pytest.raises(StoreError, match="answered already"):
            store.submit(ada, found.id, "no", "another window")


def test_undo_gives_the_answer_back_and_then_the_next_in_hand(database, make_task, clock):
    with Store.open(database, make_task(), clock) as store:
        rater = join(store, 1)
        with pytest.raises(StoreError, match="no answer to take back"):
            store.undo(rater)
        first = store.next_for(rater)
        second = store.submit(rater, first.id, "yes", "a").next
        assert store.mine(rater).can_undo
        back = store.undo(rater)
        assert (back.id, back.previous, back.number) == (first.id, "yes", 1)
        assert not store.mine(rater).can_undo
        assert store.next_for(rater) == back
        out = store.submit(rater, back.id, "no", "b")
        assert out.next.id == second.id
        assert [label for _, _, label in store.matrix()] == ["no"]
        assert [answer.state for answer in store.answers(states=("live", "withdrawn"))] == ["withdrawn", "live"]
        check(store, 3)


def test_skipped_examples_go_to_others_and_then_to_an_adjudicator(database, make_task, clock):
    with Store.open(database, make_task(examples=1, overlap=2), clock) as store:
        raters = [join(store, number) for number in range(4)]
        for rater in raters[:2]:
            found = store.next_for(rater)
            out = store.skip(rater, found.id, "cannot\0 read it", "s")
            assert out.next.reason == "finished"
            assert store.skip(rater, found.id, "cannot read it", "s").status == "again"
        [dispute] = store.adjudication()
        assert dispute.why == "2 raters passed it on"
        assert [reason for _, reason in dispute.skips] == ["cannot read it"] * 2
        finish(store, raters, clock)
        exactly(store, 2)


def test_times_that_cannot_be_are_bounded(database, make_task, clock):
    with Store.open(database, make_task(), clock) as store:
        rater = join(store, 1)
        for number, (seconds, pasted) in enumerate([(float("nan"), 7.0), (-5.0, -1.0), (1e12, float("inf"))]):
            store.submit(rater, store.next_for(rater).id, "yes", f"{number}", seconds, pasted, "x" * 10_000)
        rows = list(store.answers())
        assert [row.seconds for row in rows] == [None, 0, 86_400]
        assert [row.pasted for row in rows] == [1, 0, None]
        assert {len(row.note) for row in rows} == {2_000}


def test_the_queue_asks_an_index(database, make_task, clock):
    """The next example is one step in an index, however many a rater has done: no scan, no sort."""
    from tamis.people.store.choosing import _NEXT

    with Store.open(database, make_task(examples=50), clock) as store, store.database.reading() as c:
        if c.dialect == "sqlite":
            plan = " ".join(row[3] for row in c.all(f"EXPLAIN QUERY PLAN {_NEXT}", place=0, rater=1))
            assert "examples_open" in plan
            assert "assignments_once" in plan or "assignments_example" in plan
            assert "TEMP B-TREE" not in plan


def test_a_late_answer_does_not_exceed_the_budget(database, make_task, clock):
    plan = {"target": 0.9, "least": 1, "most": 1, "budget": 1}
    with Store.open(database, make_task(examples=3, overlap=plan), clock) as store:
        one, two = join(store, 1), join(store, 2)
        late = store.next_for(one)
        clock.pass_(1000)
        given = store.next_for(two)
        assert store.submit(one, late.id, "yes", "a").status == "surplus"
        assert store.submit(two, given.id, "yes", "b").status == "accepted"
        assert store.next_for(one).reason == "budget"
        assert store.progress().labels == 1
        check(store)


@pytest.mark.parametrize("seed", range(6))
def test_no_repeat_comes_sooner_than_its_gap_even_at_the_end(make_task, clock, tmp_path, seed):
    task = make_task(examples=40, overlap=1, repeats=0.2, seed=seed)
    with Store.open(tmp_path / "labels.sqlite", task, clock) as store:
        store.secret = bytes([seed]) * 32  # which examples come again hangs on it: drawn anew, a run may plan none
        rater, order, gaps = join(store, 1), [], []
        for _ in range(80):
            found = store.next_for(rater)
            if not isinstance(found, Assignment):
                break
            name = found.example["id"]
            if name in order:
                gaps.append(len(order) - order.index(name) - 1)
            order.append(name)
            store.submit(rater, found.id, "yes", found.id)
        assert gaps
        assert min(gaps) >= 15
