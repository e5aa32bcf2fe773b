"""The chain: whatever is altered, removed, reordered or cut off is found and named; erasure breaks nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from people_store import check, join
from tamis.people.store import Head, Store, StoreError


@pytest.fixture
def labelled(database, make_task, clock):
    with Store.open(database, make_task(examples=4, overlap=2), clock) as store:
        for number in range(2):
            rater = join(store, number)
            for turn in range(4):
                found = store.next_for(rater)
                store.submit(rater, found.id, "yes", f"{turn}", 2.0, note="a remark")
        yield store


def spoil(store, *statements):
    """Behind the store's back."""

    def piece(c):
        for statement in statements:
            c.run(statement)

    store.database.write(piece).result()


def found(store, anchor=None):
    verdict = store.verify(anchor)
    assert not verdict.ok
    return "\n".join(verdict.problems)


def test_an_honest_journal_holds(labelled):
    verdict = labelled.verify()
    assert verdict.ok
    assert verdict.labels == 8
    assert verdict.rows == labelled.head().seq
    assert labelled.verify(labelled.head()).ok
    assert labelled.verify(str(labelled.head())).ok


def test_an_altered_row_is_named(labelled):
    spoil(labelled, """UPDATE journal SET body = replace(body, '"yes"', '"no"') WHERE seq = 7""")
    assert "journal row 7: altered (label)" in found(labelled)
    assert "(journal row 7): altered: not the answer that was given" in found(labelled)


def test_a_removed_row_is_named(labelled):
    spoil(labelled, "DELETE FROM journal WHERE seq = 7")
    assert "journal row 7: removed" in found(labelled)


def test_a_row_that_was_hashed_anew_is_named(labelled):
    from tamis.people.store.journal import row_hash

    with labelled.database.reading() as c:
        row = c.one("SELECT * FROM journal WHERE seq = 7")
    body = row.body.replace('"yes"', '"no"')
    digest = row_hash(row.prev, row.seq, row.at, row.kind, body)

    def piece(c):
        c.run("UPDATE journal SET body = :body, hash = :hash WHERE seq = 7", body=body, hash=digest)

    labelled.database.write(piece).result()
    assert "journal row 8: does not follow row 7" in found(labelled)


def test_swapped_rows_are_named(labelled):
    spoil(
        labelled,
        "UPDATE journal SET seq = 1000 WHERE seq = 7",
        "UPDATE journal SET seq = 7 WHERE seq = 8",
        "UPDATE journal SET seq = 8 WHERE seq = 1000",
    )
    told = found(labelled)
    assert "journal row 7: altered" in told
    assert "journal row 8: altered" in told


def test_a_cut_tail_is_found_by_an_anchor_alone(labelled):
    head = labelled.head()
    spoil(
        labelled,
        f"DELETE FROM labels WHERE seq = {head.seq}",
        f"DELETE FROM journal WHERE seq = {head.seq}",
    )
    assert labelled.verify().ok, "without an anchor it looks like a younger journal"
    assert f"journal rows {head.seq} to {head.seq}: cut off" in found(labelled, head)


def test_a_chain_written_anew_does_not_meet_its_anchor(labelled):
    assert "not the row that was anchored" in found(labelled, Head(3, "f" * 64))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE labels SET value = '\"no\"' WHERE id = 3", "label 3 (journal row"),
        ("DELETE FROM labels WHERE id = 3", "label of journal row"),
        ("UPDATE labels SET state = 'void' WHERE id = 3", "its state is void, the journal says live"),
        ("UPDATE labels SET value = NULL WHERE id = 3", "not the answer that was given"),
        ("UPDATE labels SET seq = 1 WHERE id = 3", "no row 1 of the journal tells of it"),
        ("UPDATE labels SET rater = 2 WHERE id = 3", "its rater is"),
        ("UPDATE labels SET example = 4 WHERE id = 1", "its example is"),
        ("UPDATE labels SET guideline = 'other' WHERE id = 3", "its guideline is other"),
        ("UPDATE labels SET kind = 'model' WHERE id = 3", "its kind is model"),
        ("UPDATE labels SET seconds = 9 WHERE id = 3", "its seconds is 9"),
        ("UPDATE labels SET pay = 9 WHERE id = 3", "its pay is 9"),
        ("UPDATE labels SET correct = 1 WHERE id = 3", "its correct is True"),
        ("UPDATE labels SET at = 9 WHERE id = 3", "its time is not that of the journal"),
        ("UPDATE raters SET pseudonym = 'r-other' WHERE id = 1", "its rater is r-other"),
        ("UPDATE guidelines SET text = 'Say no.'", "altered or added"),
        ("DELETE FROM guidelines", "removed"),
        ("UPDATE bodies SET body = replace(body, 'odd', 'even')", "altered since it was loaded"),
        ("UPDATE examples SET digest = 'x' WHERE id = 1", "altered since it was loaded"),
        ("UPDATE examples SET name = 'e-9' WHERE id = 1", "its example is e-9"),
        ("DELETE FROM examples WHERE id = 4", "some were added, removed or altered"),
    ],
)
def test_labels_are_held_against_the_journal(labelled, statement, words):
    spoil(labelled, statement)
    assert words in found(labelled)


@pytest.mark.parametrize(
    "change", ["value = '\"yes\"'", "why = 'other'", "author = 2", "example = 2", "guideline = 'other'"]
)
def test_final_labels_are_held_against_the_journal(labelled, change):
    labelled.adjudicate("e-0", "no", join(labelled, 9, "adjudicator"), "Ada Lovelace is wrong")
    assert labelled.verify().ok
    assert all("Lovelace" not in str(entry.body) for entry in labelled.journal()), "a reason may name somebody"
    spoil(labelled, f"UPDATE finals SET {change}")
    assert "final label 1 (journal row" in found(labelled)


def test_an_example_that_its_author_replaced_is_no_alteration(database, make_task, clock):
    task = make_task(examples=4)
    path = Path(task.examples.path)
    with Store.open(database, task, clock) as store:
        assert store.verify().ok
    kept = [line for line in path.read_text().splitlines() if '"e-2"' not in line]
    for text in ("other", "another"):
        path.write_text("\n".join([*kept, f'{{"id": "e-2", "text": "{text}"}}', '{"id": "e-new", "text": "late"}']))
        with Store.open(database, task, clock) as store:
            assert store.verify().ok
            assert store.example("e-2")["text"] == text
            assert store.progress().examples == 5
    with Store.open(database, task, clock) as store:
        spoil(store, "UPDATE bodies SET body = replace(body, 'another', 'a third')")
        assert "example e-2 (work): altered" in found(store)


def test_what_was_taken_back_and_voided_is_played_back(labelled):
    rater = labelled.raters()[0].id
    again = labelled.undo(rater)
    labelled.submit(rater, again.id, "no", "again")
    labelled.release(rater, None, "spam")
    assert labelled.verify().ok
    check(labelled, 2)


def test_a_bad_anchor_says_what_is_wanted(labelled):
    with pytest.raises(StoreError, match="SEQ:HASH"):
        labelled.verify("nonsense")


WRITTEN = {"kind": "text", "labels": (), "overlap": 1}


def test_erasing_a_rater_keeps_the_chain(database, make_task, clock, tmp_path):
    task = make_task(examples=4, **WRITTEN)
    with Store.open(database, task, clock) as store:
        token = store.invite("rater", None, "grace.hopper@example.org")
        rater = store.accept(token, "Grace Hopper", "grace.hopper@example.org", "correct horse battery")
        other = join(store, 2)
        for turn in range(2):
            store.submit(rater.id, store.next_for(rater.id).id, f"My secret name is Amazing Grace {turn}.", f"{turn}",
                         note="Remark of Hopper")  # fmt: skip
        store.skip(rater.id, store.next_for(rater.id).id, "Reason of Hopper", "s")
        store.submit(other, store.next_for(other).id, "Kept words.", "o")
        head = store.head()
        store.erase(rater.id, None, texts=True)
        verdict = store.verify(head)
        assert verdict.ok, verdict.problems
        assert verdict.erased == 2
        found = store.rater(rater.id)
        assert (found.state, found.name, found.email) == ("erased", "", "")
        assert found.version > rater.version
        assert [answer.value for answer in store.answers(states=("live",))] == [None, None, "Kept words."]
        with store.database.reading() as c:
            for table in ("raters", "people", "invitations", "tries", "labels", "assignments", "journal", "resets"):
                for row in c.all(f"SELECT * FROM {table}"):
                    for cell in row:
                        assert "Hopper" not in str(cell)
                        assert "grace" not in str(cell).lower()
    if "://" not in database:  # out of the file's bytes as well
        folder = Path(database).parent
        data = b"".join(path.read_bytes() for path in folder.glob(Path(database).name + "*"))
        for word in (b"Hopper", b"grace.hopper", b"Amazing Grace"):
            assert word not in data
        assert b"Kept words." in data


def test_a_value_that_was_only_removed_is_not_erased(database, make_task, clock):
    with Store.open(database, make_task(examples=2, **WRITTEN), clock) as store:
        rater = join(store, 1)
        store.submit(rater, store.next_for(rater).id, "words", "t")
        spoil(store, "UPDATE labels SET value = NULL, salt = NULL")
        assert "not the answer that was given" in found(store)


def test_written_answers_are_committed_to_not_quoted(database, make_task, clock):
    with Store.open(database, make_task(examples=2, **WRITTEN), clock) as store:
        rater = join(store, 1)
        store.submit(rater, store.next_for(rater).id, "unmistakable words", "t")
        assert all("unmistakable" not in str(entry.body) for entry in store.journal())
        assert [entry.kind for entry in store.journal(limit=1000)][-1] == "label"
        spoil(store, "UPDATE labels SET value = '\"other words\"'")
        assert "altered" in found(store)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE raters SET role = 'owner' WHERE id = 3", "its role is owner, the journal says rater"),
        ("UPDATE raters SET state = 'active' WHERE id = 2", "its state is active, the journal says blocked"),
        ("UPDATE raters SET state = 'active' WHERE id = 3", "its state is active, the journal says training"),
        ("DELETE FROM raters WHERE id = 3", "removed"),
        ("UPDATE bodies SET answers = '[\"yes\"]' WHERE example = "
         "(SELECT id FROM examples WHERE kind = 'gold' AND name = 'g-0')", "examples (gold): a text, known answer"),
        ("UPDATE bodies SET explanation = 'no' WHERE example = "
         "(SELECT id FROM examples WHERE kind = 'train' AND name = 't-0')", "examples (train): a text, known answer"),
    ],
)  # fmt: skip
def test_changed_accounts_and_known_answers_are_named(database, make_task, clock, statement, words):
    with Store.open(database, make_task(gold=3, train=2, test=2), clock) as store:
        owner, blocked, _ = join(store, 0, "owner"), join(store, 1), join(store, 2)
        store.set_role(blocked, "adjudicator", owner)
        store.block(blocked, owner, "spam")
        store.erase(store.add_model("judge").id)
        verdict = store.verify()
        assert verdict.ok, verdict.problems
        spoil(store, statement)
        assert words in found(store)


def test_a_replaced_gold_answer_is_no_alteration(database, tmp_path, clock):
    import json

    from people_store import write_task

    task = write_task(tmp_path / "task", gold=2)
    with Store.open(database, task, clock):
        pass
    path = tmp_path / "task" / "gold.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for answer in ("yes", "no", "yes"):
        rows[0]["answer"] = answer
        path.write_text("\n".join(map(json.dumps, rows)))
        with Store.open(database, task, clock) as store:
            verdict = store.verify()
            assert verdict.ok, verdict.problems
    with Store.open(database, task, clock) as store:
        spoil(
            store,
            "UPDATE bodies SET answers = '[\"no\"]' WHERE example = (SELECT id FROM examples WHERE name = 'g-0')",
        )
        assert "example g-0 (gold): its text or known answer was altered" in found(store)
