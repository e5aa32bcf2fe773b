"""Slots of examples: leases that end, slots that come free, the budget; and the numbers that nobody can foresee.

An example's `taken` counts its answers and leases. Whatever frees a slot moves the example to the end of the queue.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tamis.people.store.base import Base
from tamis.people.store.database import Transaction
from tamis.people.task import Adaptive


class Slots(Base):
    """The part of the queue that counts."""

    def _expire(self, c: Transaction) -> None:
        """Ends leases whose time is over. First in every transaction."""
        rows = c.all(
            "SELECT id, example, kind FROM assignments WHERE state = 'open' AND until < :now "
            "AND kind NOT IN ('train', 'test') ORDER BY until, id",
            now=c.now,
        )
        for row in rows:
            self._end_lease(c, row)

    def _end_lease(self, c: Transaction, row: Any) -> None:
        c.run("UPDATE assignments SET state = 'expired', rank = 0 WHERE id = :id", id=row.id)
        if row.kind == "work":
            self._free(c, row.example)

    def _drop_leases(self, c: Transaction, rater: int) -> None:
        for row in c.all("SELECT id, example, kind FROM assignments WHERE rater = :r AND state = 'open'", r=rater):
            self._end_lease(c, row)

    def _free(self, c: Transaction, example: int, again: bool = False) -> None:
        """Gives a slot back and moves the example to the end, where every rater still has to pass. With a final label
        the slot goes for good, unless the example is to be labelled `again`."""
        decided = c.value("SELECT 1 FROM finals WHERE example = :id LIMIT 1", id=example) is not None and not again
        c.run(
            "UPDATE examples SET taken = taken - 1, need = need - :less, "
            "open = CASE WHEN taken - 1 < need - :less THEN 1 ELSE 0 END, "
            "position = (SELECT max(position) + 1 FROM examples WHERE kind = 'work') WHERE id = :id",
            id=example,
            less=int(decided),
        )
        self._spend(c, -1)

    def _retire(self, c: Transaction, label: Any, state: str) -> None:
        """Takes a live label out of its example: its slot opens again, also for whoever gave it."""
        c.run("UPDATE labels SET state = :state WHERE id = :id", state=state, id=label.id)
        if label.assignment is not None:
            c.run("UPDATE assignments SET state = :state WHERE id = :id", state=state, id=label.assignment)
        if label.kind == "work":
            c.run("UPDATE examples SET done = done - 1 WHERE id = :id", id=label.example)
            self._free(c, label.example, again=state == "outdated")

    def _budget(self) -> int | None:
        plan = self.task.overlap
        return plan.budget if isinstance(plan, Adaptive) else None

    def _spend(self, c: Transaction, change: int) -> None:
        if self._budget() is not None:
            c.set_counter("spent", change)

    def _spent(self, c: Transaction) -> bool:
        budget = self._budget()
        if budget is None:
            return False
        return (c.value("SELECT value FROM counters WHERE name = 'spent'") or 0) >= budget

    def _lease(self, c: Transaction, rater: int) -> dict[str, Any]:
        return {"until": c.now + self.task.lease, "rater": rater}

    def _chance(self, *what: Any) -> float:
        """A number in [0, 1) that depends on the task's seed and on what it is for, and on nothing else. Nobody who
        does not know the database's secret can foresee it."""
        text = "|".join(map(str, (self.task.seed, *what)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7, key=self.secret).digest(), "big") / 2**56
