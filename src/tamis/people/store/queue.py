"""The queue: who gets which example next, and what becomes of an answer.

What is proven (tests/people/store): a rater answers an example at most once, apart from planned repeats; the live
labels of an example never exceed its overlap, and reach it when raters enough come; whatever was acknowledged is in the
database. How: an example's `taken` counts answers and leases and changes in the transaction that gives or frees a slot;
`open` examples stand in an index by position; every rater walks through positions in one direction (`place`); and
whatever frees a slot moves its example to the end, where everybody still has to pass. So a choice is one index step.

A lease that ends frees its slot. An answer that comes later is accepted if a slot is still free, and otherwise kept as
surplus: journalled and paid, but not counted, aggregated or exported as a label, so overlap is never exceeded.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from tamis.people.store import journal
from tamis.people.store.base import parsed, write
from tamis.people.store.database import Transaction
from tamis.people.store.examining import PHASES, Examining
from tamis.people.store.rows import Assignment, Done, StoreError, Submitted
from tamis.people.task import WRITTEN, Adaptive, display_order

# Other answers between an example and its repeat: enough that the first answer is not simply remembered.
REPEAT_GAP = 15
LONGEST_NOTE = 2_000
MILLION = 1_000_000  # pay is counted in millionths of the currency
PRIOR_ANSWERS = 8  # gold answers that the assumed accuracy of a rater is worth

_FETCH = (
    "SELECT a.id, a.rater, a.example, a.kind, a.attempt, a.state, a.until, a.shown, a.guideline, a.rank, a.token, "
    "e.name, e.need, e.taken, e.done, e.skips, e.open, r.state AS rater_state, r.pseudonym, r.done AS rater_done, "
    "r.attempt AS rater_attempt, r.gold_right, r.gold_wrong "
    "FROM assignments a JOIN examples e ON e.id = a.example JOIN raters r ON r.id = a.rater WHERE a.id = :id"
)
_NEXT = (
    "SELECT e.id, e.position FROM examples e WHERE e.open = 1 AND e.position > :place "
    "AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.rater = :rater AND a.example = e.id AND a.kind = 'work' "
    "AND a.attempt = 1 AND a.state NOT IN ('expired', 'outdated', 'void')) ORDER BY e.position LIMIT 1"
)


class Queue(Examining):
    """The part of the store that hands out examples and takes answers."""

    # --- what raters do -----------------------------------------------------------------------------------------

    @write
    def next_for(self, c: Transaction, rater: int) -> Assignment | Done:
        """The rater's open example, else a new one, else why there is none."""
        return self._next(c, rater)

    @write
    def submit(
        self,
        c: Transaction,
        rater: int,
        assignment: str,
        value: Any,
        token: str,
        seconds: float | None = None,
        pasted: float | None = None,
        note: str | None = None,
    ) -> Submitted:
        """Takes an answer and gives the next example, in one transaction.

        `token` names this submission: the same one again changes nothing. `seconds`: active time; `pasted`: share of
        the written text that was pasted, in [0, 1]. Raises BadAnswer, or StoreError `not-open`, `blocked`.
        """
        row = self._mine(c, rater, assignment)
        token = token[:100]
        if row.state == "done" or row.state == "skipped":
            return self._again(c, row, token)
        if row.rater_state in ("blocked", "failed", "left"):
            raise StoreError("blocked", f"this account is {row.rater_state}: answers are no longer taken")
        checked = self.task.check(value, self._body(c, row.example))
        if row.kind in PHASES:
            return self._examined(c, row, checked, token, seconds)
        state = self._claim(c, row)
        correct = self._correct(c, row.example, checked) if row.kind == "gold" else None
        self._record(c, row, checked, state, token, seconds, pasted, note, correct)
        c.run("UPDATE assignments SET state = 'done', rank = 0, token = :token WHERE id = :id", token=token, id=row.id)
        c.run("UPDATE raters SET done = done + 1 WHERE id = :rater", rater=rater)
        if row.kind == "gold":
            self._judge(c, row, bool(correct))
        elif row.kind == "work" and state == "live":
            self._filled(c, row)
            if self._chance("repeat", rater, row.example) < self.task.repeats:
                gap = REPEAT_GAP + self._beyond_gap(rater, row.example)
                c.run(
                    "INSERT INTO repeats (rater, example, due) VALUES (:rater, :example, :due) ON CONFLICT DO NOTHING",
                    rater=rater,
                    example=row.example,
                    due=row.rater_done + 1 + gap,
                )
        return Submitted("surplus" if state == "surplus" else "accepted", None, self._next(c, rater))

    @write
    def skip(self, c: Transaction, rater: int, assignment: str, reason: str, token: str) -> Submitted:
        """Passes an example on to others; the rater does not see it again."""
        row = self._mine(c, rater, assignment)
        token = token[:100]
        if row.state in ("done", "skipped"):
            return self._again(c, row, token)
        if row.kind in PHASES:
            raise StoreError("not-open", "training and test examples cannot be skipped")
        reason = " ".join(reason.replace("\0", "").split())[:LONGEST_NOTE]
        c.run(
            "UPDATE assignments SET state = 'skipped', rank = 0, token = :token, reason = :reason WHERE id = :id",
            token=token,
            reason=reason,
            id=row.id,
        )
        if row.kind == "work":
            c.run("UPDATE examples SET skips = skips + 1 WHERE id = :id", id=row.example)
            if row.state == "open":
                self._free(c, row.example)
        said = {"rater": row.pseudonym, "assignment": row.id, "example": row.name, "kind": row.kind}
        journal.append(c, "skip", said)
        return Submitted("accepted", None, self._next(c, rater))

    @write
    def undo(self, c: Transaction, rater: int) -> Assignment:
        """Gives the last answer back to its rater. One step: the example must be answered again before the next."""
        nothing = StoreError("no-undo", "there is no answer to take back")
        known = self._known(c, rater)
        if known.state != "active" or c.value(
            "SELECT 1 FROM assignments WHERE rater = :rater AND state = 'open' AND rank > 0", rater=rater
        ):
            raise nothing
        label = c.one("SELECT * FROM labels WHERE rater = :rater ORDER BY id DESC LIMIT 1", rater=rater)
        if label is None or label.state != "live" or label.kind not in ("work", "gold", "repeat"):
            raise nothing
        if c.value("SELECT 1 FROM finals WHERE example = :example LIMIT 1", example=label.example):
            raise StoreError("no-undo", "an adjudicator has decided on this example meanwhile")
        c.run("UPDATE labels SET state = 'withdrawn' WHERE id = :id", id=label.id)
        c.run("UPDATE assignments SET until = :until WHERE rater = :rater AND state = 'open'", **self._lease(c, rater))
        c.run(
            "UPDATE assignments SET state = 'open', rank = 1, token = NULL, until = :until WHERE id = :id",
            until=c.now + self.task.lease,
            id=label.assignment,
        )
        c.run("UPDATE raters SET done = done - 1 WHERE id = :rater", rater=rater)
        if label.kind == "work":  # the slot stays taken: by the lease instead of the label
            c.run("UPDATE examples SET done = done - 1 WHERE id = :id", id=label.example)
        if label.kind == "gold":
            column = "gold_right" if label.correct else "gold_wrong"
            c.run(f"UPDATE raters SET {column} = {column} - 1 WHERE id = :rater", rater=rater)
        journal.append(c, "undo", {"rater": known.pseudonym, "labels": [label.seq]})
        found = self._next(c, rater)
        assert isinstance(found, Assignment)
        return found

    @write
    def renew(self, c: Transaction, rater: int, assignment: str) -> float:
        """A new end of the lease, while the rater is at work. Raises StoreError `not-open` once it has ended."""
        row = self._mine(c, rater, assignment)
        if row.state != "open":
            raise StoreError("not-open", "the time for this example is over: it may be with somebody else")
        until = c.now + self.task.lease
        c.run("UPDATE assignments SET until = :until WHERE id = :id", until=until, id=row.id)
        return until

    @write
    def guideline_shown(self, c: Transaction, rater: int, hash: str) -> None:
        """Remembers that a rater has read a version of the guideline."""
        if not c.value("SELECT 1 FROM guidelines WHERE hash = :hash", hash=hash):
            raise StoreError("unknown", "there is no such version of the guideline")
        row = self._known(c, rater)
        if row.guideline != hash:
            c.run("UPDATE raters SET guideline = :hash WHERE id = :rater", hash=hash, rater=rater)
            journal.append(c, "shown", {"rater": row.pseudonym, "guideline": hash})

    @write
    def release(self, c: Transaction, rater: int, by: int | None, why: str = "") -> int:
        """Voids a rater's live labels and opens their slots for others. Returns how many; they stay paid."""
        self._owner(c, by)
        row = c.one("SELECT pseudonym FROM raters WHERE id = :rater", rater=rater)
        rows = c.all(
            "SELECT l.id, l.seq, l.assignment, l.example, l.kind FROM labels l WHERE l.rater = :rater "
            "AND l.state = 'live' AND l.kind IN ('work', 'repeat', 'model') ORDER BY l.id",
            rater=rater,
        )
        if not rows:
            return 0
        body = {"rater": row.pseudonym, "by": self._pseudonym(c, by), "labels": [label.seq for label in rows]}
        for label in rows:
            self._retire(c, label, "void")
        journal.append(c, "release", body)
        return len(rows)

    # --- choosing -----------------------------------------------------------------------------------------------

    def _next(self, c: Transaction, rater: int) -> Assignment | Done:
        row = self._known(c, rater)
        if row.state in ("blocked", "failed", "left"):
            words = {
                "blocked": "this account gets no more work: ask the owner of the task",
                "failed": "the test was not passed: thank you for trying",
                "left": "this account has left the task",
            }
            return Done(row.state, words[row.state])
        lease = c.one(
            "SELECT id, example, kind, until, shown, guideline, rank FROM assignments "
            "WHERE rater = :rater AND state = 'open' ORDER BY rank DESC, id LIMIT 1",
            rater=rater,
        )
        if lease is not None:
            if lease.until < c.now + self.task.lease / 2:  # asked for again: it is in use
                until = c.now + self.task.lease
                c.run("UPDATE assignments SET until = :until WHERE id = :id", until=until, id=lease.id)
                return self._given(c, row, lease.id, lease, until)
            return self._given(c, row, lease.id, lease, lease.until)
        if row.state in ("training", "qualifying"):
            return self._examine(c, row)
        due = c.one(
            "SELECT example FROM repeats WHERE rater = :rater AND due <= :done ORDER BY due LIMIT 1",
            rater=rater,
            done=row.done,
        )
        if due is not None:
            return self._repeat(c, row, due.example)
        if self._spent(c):
            return Done("budget", "the budget of this task is spent: thank you")
        found = c.one(_NEXT, rater=rater, place=row.place)
        if found is None:
            # Nothing else is left: a repeat need not wait for its own moment, only for the least gap.
            planned = c.all("SELECT example, due FROM repeats WHERE rater = :rater ORDER BY due", rater=rater)
            due = next((one for one in planned if one.due - self._beyond_gap(rater, one.example) <= row.done), None)
            return self._repeat(c, row, due.example) if due else self._nothing(c, row)
        gold = self.task.gold
        if gold and self._chance("gold", rater, row.given) < gold.share:
            hidden = c.one(
                "SELECT id, position FROM examples WHERE kind = 'gold' AND position > :place ORDER BY position LIMIT 1",
                place=row.gold_place,
            )
            if hidden is not None:
                c.run("UPDATE raters SET gold_place = :place WHERE id = :rater", place=hidden.position, rater=rater)
                return self._lend(c, row, hidden.id, "gold")
        c.run("UPDATE raters SET place = :place WHERE id = :rater", place=found.position, rater=rater)
        c.run(
            "UPDATE examples SET taken = taken + 1, open = CASE WHEN taken + 1 < need THEN 1 ELSE 0 END WHERE id = :id",
            id=found.id,
        )
        self._spend(c, 1)
        return self._lend(c, row, found.id, "work")

    def _beyond_gap(self, rater: int, example: int) -> int:
        """How many answers beyond the least gap a repeat waits."""
        return int(self._chance("gap", rater, example) * REPEAT_GAP)

    def _repeat(self, c: Transaction, row: Any, example: int) -> Assignment:
        c.run("DELETE FROM repeats WHERE rater = :rater AND example = :example", rater=row.id, example=example)
        return self._lend(c, row, example, "repeat")

    def _nothing(self, c: Transaction, row: Any) -> Done:
        # Leases of others that may come back; the few that are open at any time, so the scan is short.
        until = c.value(
            "SELECT min(a.until) FROM assignments a WHERE a.state = 'open' AND a.kind = 'work' AND a.rater <> :rater "
            "AND NOT EXISTS (SELECT 1 FROM assignments b WHERE b.rater = :rater AND b.example = a.example "
            "AND b.kind = 'work' AND b.attempt = 1 AND b.state NOT IN ('expired', 'outdated', 'void'))",
            rater=row.id,
        )
        if until is None:
            return Done("finished", "there is nothing left for you: thank you")
        wait = max(1.0, until - c.now)
        return Done("wait", "others hold what is left: something may come free", wait)

    def _lend(self, c: Transaction, row: Any, example: int, kind: str, attempt: int = 1) -> Assignment:
        """Opens an assignment, or the rater's expired one of the same example."""
        body = self._body(c, example)
        order: list[str] = []
        if self.task.responses:
            order = display_order(self.task.seed, row.pseudonym, body["id"], self.task.options(body))
            if kind == "repeat":  # the other way round: a rater who prefers a place shows it
                order.reverse()
        values = {
            "rater": row.id,
            "example": example,
            "kind": kind,
            "attempt": attempt,
            "now": c.now,
            "until": c.now + self.task.lease,
            "shown": json.dumps(order, ensure_ascii=False),
            "guideline": self._guideline,
        }
        number = c.value(
            "INSERT INTO assignments (rater, example, kind, attempt, state, opened, until, shown, guideline) VALUES "
            "(:rater, :example, :kind, :attempt, 'open', :now, :until, :shown, :guideline) "
            "ON CONFLICT (rater, example, kind, attempt) WHERE state NOT IN ('outdated', 'void') DO UPDATE SET "
            "state = 'open', opened = excluded.opened, until = excluded.until, guideline = excluded.guideline, "
            "token = NULL WHERE assignments.state = 'expired' RETURNING id",
            **values,
        )
        assert number is not None, "an example was to be given to a rater twice"
        if kind in ("work", "gold", "repeat"):
            c.run("UPDATE raters SET given = given + 1 WHERE id = :rater", rater=row.id)
        lease = _Lease(example, kind, values["shown"], self._guideline, 0)
        return self._given(c, row, number, lease, values["until"], body)

    def _given(
        self, c: Transaction, row: Any, number: int, lease: Any, until: float, body: dict[str, Any] | None = None
    ) -> Assignment:
        body = dict(body or self._body(c, lease.example))
        for name in ("answer", "answers", "explanation"):
            body.pop(name, None)
        previous = None
        if lease.rank:
            text = c.value(
                "SELECT value FROM labels WHERE assignment = :id AND state = 'withdrawn' ORDER BY id DESC LIMIT 1",
                id=number,
            )
            previous = json.loads(text) if text else None
        phase = PHASES.get(lease.kind, "work")
        at, of = row.done + 1, None
        if phase != "work":
            at, of = self._standing(c, row, lease.kind)
        order = tuple(parsed(lease.shown))
        return Assignment(str(number), body, order, phase, until, lease.guideline, at, of, previous)

    # --- answers ------------------------------------------------------------------------------------------------

    def _mine(self, c: Transaction, rater: int, assignment: str) -> Any:
        row = c.one(_FETCH, id=int(assignment)) if assignment.isdecimal() and len(assignment) < 18 else None
        if row is None or row.rater != rater:  # the same words for both: numbers of others are not worth guessing
            raise StoreError("unknown", "there is no such example among yours")
        if row.state in ("outdated", "void"):
            raise StoreError("not-open", "this example has been withdrawn: the next one is waiting")
        return row

    def _again(self, c: Transaction, row: Any, token: str) -> Submitted:
        if row.token == token:
            feedback = None
            if row.kind == "train":
                text = c.value("SELECT value FROM labels WHERE assignment = :id AND state = 'live'", id=row.id)
                feedback = self._feedback(c, row.example, json.loads(text))
            return Submitted("again", feedback, self._next(c, row.rater))
        raise StoreError("not-open", "this example is answered already, perhaps in another window")

    def _claim(self, c: Transaction, row: Any) -> Literal["live", "surplus"]:
        """Takes the slot that an answer needs. A lease has it; after its end it must still be free."""
        if row.kind != "work" or row.state == "open":
            return "live"
        if not row.open or self._spent(c):
            return "surplus"
        c.run(
            "UPDATE examples SET taken = taken + 1, open = CASE WHEN taken + 1 < need THEN 1 ELSE 0 END WHERE id = :id",
            id=row.example,
        )
        self._spend(c, 1)
        return "live"

    def _record(
        self,
        c: Transaction,
        row: Any,
        value: Any,
        state: str,
        token: str | None,
        seconds: float | None,
        pasted: float | None,
        note: str | None,
        correct: bool | None,
        at: float | None = None,
    ) -> int:
        """Writes a label and its row of the journal. `at`: when it was made elsewhere, where it was paid, too."""
        text, hidden = journal.canonical(value), self._written
        salt = journal.new_salt() if hidden else None
        seconds = None if seconds is None or not math.isfinite(seconds) else round(min(max(seconds, 0), 86_400), 3)
        pasted = None if pasted is None or not math.isfinite(pasted) else round(min(max(pasted, 0), 1), 4)
        note = note.replace("\0", "")[:LONGEST_NOTE] if note and note.strip() else None
        rate, paid = self.task.pay, row.kind in ("work", "gold", "repeat") and at is None
        pay = round(rate.piece * MILLION) if rate and paid else 0
        body = {
            "rater": row.pseudonym,
            "assignment": row.id,
            "example": row.name,
            "kind": row.kind,
            "state": state,
            "guideline": row.guideline,
            "seconds": seconds,
            "correct": correct,
            "pay": pay,
        }
        if at is not None:
            body["at"] = round(at * 1000)
        if salt:
            body["commitment"] = journal.commitment(salt, text)
        else:
            body["value"] = value
        seq = journal.append(c, "label", body)
        c.run(
            "INSERT INTO labels (assignment, rater, example, kind, state, value, salt, seconds, at, guideline, token, "
            "correct, pay, seq, pasted, note) VALUES (:assignment, :rater, :example, :kind, :state, :value, :salt, "
            ":seconds, :at, :guideline, :token, :correct, :pay, :seq, :pasted, :note)",
            assignment=row.id,
            rater=row.rater,
            example=row.example,
            kind=row.kind,
            state=state,
            value=text,
            salt=salt,
            seconds=seconds,
            at=c.now if at is None else at,
            guideline=row.guideline,
            token=token,
            correct=None if correct is None else int(correct),
            pay=pay,
            seq=seq,
            pasted=pasted,
            note=note,
        )
        return seq

    def _filled(self, c: Transaction, row: Any) -> None:
        """After a live label: counts it, and under adaptive overlap asks whether another is wanted."""
        c.run("UPDATE examples SET done = done + 1 WHERE id = :id", id=row.example)
        plan = self.task.overlap
        if not isinstance(plan, Adaptive) or row.done + 1 < row.need or row.need >= plan.most:
            return
        if c.value("SELECT 1 FROM finals WHERE example = :example LIMIT 1", example=row.example):
            return
        if self._sure(c, row.example, row.done + 1, plan):
            return
        c.run(
            "UPDATE examples SET need = need + 1, open = 1, "
            "position = (SELECT max(position) + 1 FROM examples WHERE kind = 'work') WHERE id = :id",
            id=row.example,
        )

    def _sure(self, c: Transaction, example: int, answers: int, plan: Adaptive) -> bool:
        from tamis.people import planning

        rows = c.all(
            "SELECT l.value, r.gold_right, r.gold_wrong FROM labels l JOIN raters r ON r.id = l.rater "
            "WHERE l.example = :example AND l.state = 'live' AND l.kind = 'work' ORDER BY l.id",
            example=example,
        )
        classes = self._classes(c, example)
        codes = [classes[str(json.loads(row.value))] for row in rows]
        accuracies = [
            (row.gold_right + PRIOR_ANSWERS * plan.accuracy) / (row.gold_right + row.gold_wrong + PRIOR_ANSWERS)
            for row in rows
        ]
        # An accuracy of 1 or of chance would let one rater decide alone or not count.
        accuracies = [min(max(accuracy, 1 / len(classes) + 0.01), 0.99) for accuracy in accuracies]
        found = planning.posterior(codes, accuracies, len(classes))
        return planning.enough([float(p) for p in found], answers, plan.target, plan.most, plan.least)

    def _classes(self, c: Transaction, example: int) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.task.classes)}

    def _judge(self, c: Transaction, row: Any, correct: bool) -> None:
        """Counts a gold answer and asks the sequential test; under the descriptive paradigm it is only counted."""
        column = "gold_right" if correct else "gold_wrong"
        c.run(f"UPDATE raters SET {column} = {column} + 1 WHERE id = :rater", rater=row.rater)
        gold = self.task.rates
        if gold is None or row.rater_state != "active":
            return
        from tamis.people.sequential import Sprt

        test = Sprt(good=gold.good, bad=gold.bad, false_block=gold.false_block, false_pass=gold.false_pass)
        if test.judge(row.gold_right + correct, row.gold_wrong + (not correct)) == "block":
            self._set_blocked(c, row.rater, "sequential test on gold questions", None)

    def _set_blocked(self, c: Transaction, rater: int, why: str, by: str | None) -> None:
        """Declared for this part of the store; `accounts.py` has it, and `Store` joins the two."""
        raise NotImplementedError

    @property
    def _written(self) -> bool:
        """Whether answers hold a person's own words, which may have to be forgotten."""
        return any(getattr(question, "kind", "") in WRITTEN for question in self.task.asked)


class _Lease:
    """What `_given` reads of an assignment that has just been made."""

    __slots__ = ("example", "guideline", "kind", "rank", "shown")

    def __init__(self, example: int, kind: str, shown: str, guideline: str, rank: int) -> None:
        self.example, self.kind, self.shown, self.guideline, self.rank = example, kind, shown, guideline, rank
