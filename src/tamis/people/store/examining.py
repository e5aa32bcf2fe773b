"""What comes before the work: training with feedback, then a test without."""

from __future__ import annotations

import json
from typing import Any

from tamis.people.store import journal
from tamis.people.store.database import Connection, Transaction
from tamis.people.store.rows import Assignment, Done, Feedback, Phase, Submitted
from tamis.people.store.slots import Slots

PHASES: dict[str, Phase] = {"train": "training", "test": "qualification"}


class Examining(Slots):
    """The part of the queue that trains and examines raters."""

    def _examine(self, c: Transaction, row: Any) -> Assignment | Done:
        """The next example of the training or the test; what follows them when there is none left."""
        kind = "train" if row.state == "training" else "test"
        attempt = 1 if kind == "train" else row.attempt
        found = c.one(
            "SELECT e.id FROM examples e WHERE e.kind = :kind AND NOT EXISTS (SELECT 1 FROM assignments a "
            "WHERE a.rater = :rater AND a.example = e.id AND a.kind = :kind AND a.attempt = :attempt) "
            "ORDER BY e.position LIMIT 1",
            kind=kind,
            rater=row.id,
            attempt=attempt,
        )
        if found is not None:
            return self._lend(c, row, found.id, kind, attempt)
        self._finish(c, row, kind)
        return self._next(c, row.id)

    def _finish(self, c: Transaction, row: Any, kind: str) -> None:
        has_test = c.value("SELECT 1 FROM examples WHERE kind = 'test' LIMIT 1") is not None
        state = "qualifying" if kind == "train" and has_test else "active"
        body: dict[str, Any] = {"rater": row.pseudonym, "phase": PHASES[kind]}
        if kind == "test":
            right, answers = self._score(c, row.id, row.attempt)
            plan = self.task.qualification
            assert plan is not None, "a test without `qualification`"
            passed = not answers or right / answers >= plan.accuracy
            if not passed:
                state = "qualifying" if row.attempt < plan.attempts else "failed"
                c.run("UPDATE raters SET attempt = attempt + 1 WHERE id = :rater", rater=row.id)
            body |= {"right": right, "answers": answers, "passed": passed, "attempt": row.attempt}
        c.run("UPDATE raters SET state = :state WHERE id = :rater", state=state, rater=row.id)
        journal.append(c, "qualify", {**body, "state": state})

    def _score(self, c: Transaction, rater: int, attempt: int) -> tuple[int, int]:
        row = c.one(
            "SELECT count(*) AS n, coalesce(sum(l.correct), 0) AS correct FROM labels l JOIN assignments a "
            "ON a.id = l.assignment WHERE l.rater = :rater AND l.kind = 'test' AND a.attempt = :attempt",
            rater=rater,
            attempt=attempt,
        )
        return int(row.correct), int(row.n)

    def _examined(self, c: Transaction, row: Any, value: Any, token: str, seconds: float | None) -> Submitted:
        correct = self._correct(c, row.example, value)
        self._record(c, row, value, "live", token, seconds, None, None, correct)
        c.run("UPDATE assignments SET state = 'done', token = :token WHERE id = :id", token=token, id=row.id)
        feedback = self._feedback(c, row.example, value) if row.kind == "train" else None
        return Submitted("accepted", feedback, self._next(c, row.rater))

    def _feedback(self, c: Transaction, example: int, value: Any) -> Feedback:
        row = c.one("SELECT answers, explanation FROM bodies WHERE example = :example", example=example)
        answers = json.loads(row.answers)
        right = any(self.task.matches(value, answer) for answer in answers)
        return Feedback(right, answers[0], row.explanation or "")

    def _standing(self, c: Connection, row: Any, kind: str) -> tuple[int, int]:
        """Which of how many, in the training or the test."""
        of = c.value("SELECT count(*) FROM examples WHERE kind = :kind", kind=kind)
        done = c.value(
            "SELECT count(*) FROM assignments WHERE rater = :rater AND kind = :kind AND attempt = :attempt "
            "AND state = 'done'",
            rater=row.id,
            kind=kind,
            attempt=1 if kind == "train" else row.attempt,
        )
        return done + 1, of

    def _correct(self, c: Transaction, example: int, value: Any) -> bool:
        text = c.value("SELECT answers FROM bodies WHERE example = :example", example=example)
        return any(self.task.matches(value, answer) for answer in json.loads(text))

    # --- what the queue has -------------------------------------------------------------------------------------

    def _next(self, c: Transaction, rater: int) -> Assignment | Done:
        """Declared for this part of the store; `queue.py` has it, and `Store` joins the two."""
        raise NotImplementedError

    def _lend(self, c: Transaction, row: Any, example: int, kind: str, attempt: int = 1) -> Assignment:
        """Declared for this part of the store; `queue.py` has it, and `Store` joins the two."""
        raise NotImplementedError

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
        """Declared for this part of the store; `queue.py` has it, and `Store` joins the two."""
        raise NotImplementedError
