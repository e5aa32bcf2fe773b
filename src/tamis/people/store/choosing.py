"""Which example a rater gets next: what is open, training and test, a repeat that is due, gold, or new work.

Every rater walks through positions in one direction (`place`); whatever frees a slot moves its example to the end,
where everybody still has to pass: so a choice is one index step. `queue.py` says what this keeps true.
"""

from __future__ import annotations

import json
from typing import Any

from tamis.people.store.base import parsed
from tamis.people.store.database import Transaction
from tamis.people.store.examining import PHASES, Examining
from tamis.people.store.rows import Assignment, Done
from tamis.people.task import display_order

# Other answers between an example and its repeat: enough that the first answer is not simply remembered.
REPEAT_GAP = 15

_NEXT = (
    "SELECT e.id, e.position FROM examples e WHERE e.open = 1 AND e.position > :place "
    "AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.rater = :rater AND a.example = e.id AND a.kind = 'work' "
    "AND a.attempt = 1 AND a.state NOT IN ('expired', 'outdated', 'void')) ORDER BY e.position LIMIT 1"
)


class Choosing(Examining):
    """The part of the store that chooses examples and lends them."""

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


class _Lease:
    """What `_given` reads of an assignment that has just been made."""

    __slots__ = ("example", "guideline", "kind", "rank", "shown")

    def __init__(self, example: int, kind: str, shown: str, guideline: str, rank: int) -> None:
        self.example, self.kind, self.shown, self.guideline, self.rank = example, kind, shown, guideline, rank
