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
from tamis.people.store.base import write
from tamis.people.store.choosing import REPEAT_GAP, Choosing
from tamis.people.store.database import Transaction
from tamis.people.store.examining import PHASES
from tamis.people.store.rows import Assignment, Done, StoreError, Submitted
from tamis.people.task import WRITTEN, Adaptive

LONGEST_NOTE = 2_000
MILLION = 1_000_000  # pay is counted in millionths of the currency
PRIOR_ANSWERS = 8  # gold answers that the assumed accuracy of a rater is worth

_FETCH = (
    "SELECT a.id, a.rater, a.example, a.kind, a.attempt, a.state, a.until, a.shown, a.guideline, a.rank, a.token, "
    "e.name, e.need, e.taken, e.done, e.skips, e.open, r.state AS rater_state, r.pseudonym, r.done AS rater_done, "
    "r.attempt AS rater_attempt, r.gold_right, r.gold_wrong "
    "FROM assignments a JOIN examples e ON e.id = a.example JOIN raters r ON r.id = a.rater WHERE a.id = :id"
)


class Queue(Choosing):
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
