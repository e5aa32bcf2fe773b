"""What the store can tell: a rater's own standing, progress, the table of raters, labels for aggregation and export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tamis.intervals import wilson
from tamis.people import pay
from tamis.people.labels import Labels
from tamis.people.store.accounts import _RATER, _rater
from tamis.people.store.adjudication import Adjudication, label_text, part
from tamis.people.store.base import parsed
from tamis.people.store.database import Connection
from tamis.people.store.rows import Answer, Attempt, Guideline, Mine, Progress, RaterRow, Skip, StoreError

DAY = 86_400
# States of labels that were work, and are paid: not those that their rater took back.
PAID = "('live', 'surplus', 'outdated', 'void')"
WORK = "('work', 'gold', 'repeat')"


class Reading(Adjudication):
    """The part of the store that only reads."""

    def mine(self, rater: int) -> Mine:
        """What a rater sees of their own work."""
        with self.database.reading() as c:
            row = self._known(c, rater)
            days = c.one(
                f"SELECT count(*) AS n, coalesce(sum(CASE WHEN at >= :day THEN 1 ELSE 0 END), 0) AS today, "
                f"coalesce(sum(seconds), 0) AS seconds, coalesce(sum(pay), 0) AS micro FROM labels "
                f"WHERE rater = :rater AND kind IN {WORK} AND state IN {PAID}",
                rater=rater,
                day=self.database.clock() // DAY * DAY,
            )
            skipped = c.value(
                "SELECT count(*) FROM assignments WHERE rater = :rater AND state = 'skipped'", rater=rater
            )
            last = c.one("SELECT state, kind FROM labels WHERE rater = :rater ORDER BY id DESC LIMIT 1", rater=rater)
            waiting = c.value(
                "SELECT 1 FROM assignments WHERE rater = :rater AND state = 'open' AND rank > 0", rater=rater
            )
            phase = {"training": "training", "qualifying": "qualification"}.get(row.state, "work")
            number, of = row.done + 1, None
            if phase != "work":
                number, of = self._standing(c, row, "train" if phase == "training" else "test")
            middle = _median(c, rater)
            worked = c.value(
                "SELECT count(*) FROM assignments WHERE rater = :rater AND kind = 'work' "
                "AND state IN ('done', 'skipped')",
                rater=rater,
            )
            gold = c.value(
                "SELECT count(*) FROM examples WHERE kind = 'gold' AND position > :place", place=row.gold_place
            )
            planned = c.value("SELECT count(*) FROM repeats WHERE rater = :rater", rater=rater)
        undo = bool(last and last.state == "live" and last.kind in WORK and not waiting and row.state == "active")
        money = self.task.pay
        return Mine(
            int(days.n),
            int(skipped),
            int(days.today),
            middle,
            float(days.seconds),
            round(int(days.micro) / pay.MILLION, 2),
            money.currency if money else "",
            undo,
            phase,
            number,
            of,
            int(worked),
            int(gold) if self.task.gold else 0,
            int(planned),
        )

    def attempts(self) -> dict[int, list[Attempt]]:
        """Every rater's attempts at the qualification test, the first one first."""
        found: dict[int, list[Attempt]] = {}
        with self.database.reading_one() as c:
            for row in c.all(
                "SELECT l.rater, a.attempt, count(*) AS n, coalesce(sum(l.correct), 0) AS correct FROM labels l "
                "JOIN assignments a ON a.id = l.assignment WHERE l.kind = 'test' "
                "GROUP BY l.rater, a.attempt ORDER BY l.rater, a.attempt"
            ):
                found.setdefault(row.rater, []).append(Attempt(row.attempt, int(row.correct), int(row.n)))
        return found

    def attempts_of(self, rater: int) -> list[Attempt]:
        """A rater's attempts at the qualification test, the first one first."""
        with self.database.reading_one() as c:
            rows = c.all(
                "SELECT a.attempt, count(*) AS n, coalesce(sum(l.correct), 0) AS correct FROM labels l "
                "JOIN assignments a ON a.id = l.assignment WHERE l.kind = 'test' AND l.rater = :rater "
                "GROUP BY a.attempt ORDER BY a.attempt",
                rater=rater,
            )
        return [Attempt(row.attempt, int(row.correct), int(row.n)) for row in rows]

    def progress(self) -> Progress:
        """How far the task is. One pass over the examples and one over the labels."""
        with self.database.reading() as c:
            examples = c.one(
                "SELECT count(*) AS n, coalesce(sum(CASE WHEN done >= need THEN 1 ELSE 0 END), 0) AS closed, "
                "coalesce(sum(CASE WHEN done < need THEN need - done ELSE 0 END), 0) AS wanted FROM examples "
                "WHERE kind = 'work'"
            )
            labels = c.one(
                "SELECT coalesce(sum(CASE WHEN state = 'live' THEN 1 ELSE 0 END), 0) AS live, "
                "coalesce(sum(CASE WHEN state = 'surplus' THEN 1 ELSE 0 END), 0) AS surplus, "
                "coalesce(sum(CASE WHEN state = 'live' AND guideline <> :current THEN 1 ELSE 0 END), 0) AS stale, "
                "coalesce(sum(seconds), 0) AS seconds FROM labels WHERE kind = 'work'",
                current=self._guideline,
            )
            skipped = c.value("SELECT count(*) FROM assignments WHERE state = 'skipped'")
            leases = c.value("SELECT count(*) FROM assignments WHERE state = 'open'")
            raters = c.value("SELECT count(DISTINCT rater) FROM labels WHERE kind IN ('work', 'model')")
            final = c.value("SELECT count(DISTINCT example) FROM finals")
            guideline = self._current(c)
        return Progress(
            examples=int(examples.n),
            closed=int(examples.closed),
            labels=int(labels.live),
            wanted=int(examples.wanted),
            surplus=int(labels.surplus),
            skipped=int(skipped),
            open_leases=int(leases),
            raters=int(raters),
            seconds=float(labels.seconds),
            adjudicated=int(final),
            guideline=guideline or Guideline("", 0, "", 0.0),
            stale=int(labels.stale),
        )

    def table(self) -> list[RaterRow]:
        """A line per rater who has an account or labels."""
        lines = {line.rater: line for line in self.ledger().lines}
        with self.database.reading() as c:
            found = [rater for row in c.all(_RATER + "ORDER BY r.id") if (rater := _rater(row))]
            counts = {row.id: row for row in c.all("SELECT id, gold_right, gold_wrong FROM raters")}
            labels = {
                row.rater: row
                for row in c.all(
                    "SELECT rater, "
                    "sum(CASE WHEN state = 'live' AND kind IN ('work', 'model') THEN 1 ELSE 0 END) AS live, "
                    "sum(CASE WHEN state = 'surplus' THEN 1 ELSE 0 END) AS surplus, avg(pasted) AS pasted, "
                    "max(at) AS last FROM labels GROUP BY rater"
                )
            }
            skips = {
                row.rater: row.n
                for row in c.all("SELECT rater, count(*) AS n FROM assignments WHERE state = 'skipped' GROUP BY rater")
            }
            repeats = self._repeats(c)
        table = []
        for rater in found:
            line, own, row = lines.get(rater.pseudonym), labels.get(rater.id), counts[rater.id]
            right, wrong = row.gold_right, row.gold_wrong
            low, high = wilson(right, right + wrong) if right + wrong else (None, None)
            again = repeats.get(rater.id, [])
            table.append(
                RaterRow(
                    rater,
                    int(own.live) if own else 0,
                    int(skips.get(rater.id, 0)),
                    int(own.surplus) if own else 0,
                    right,
                    wrong,
                    low,
                    high,
                    self._verdict(right, wrong),
                    len(again),
                    sum(one != two for one, two in again),
                    line.median_seconds if line else None,
                    line.active_hours * 3600 if line else 0.0,
                    own.pasted if own else None,
                    line.piece_pay if line else 0.0,
                    line.bonus if line else 0.0,
                    line.hourly if line else None,
                    own.last if own else None,
                )
            )
        return table

    def self_agreement(self) -> dict[str, list[tuple[Any, Any]]]:
        """Per rater, the first and second answers to examples that were asked again: intra-rater agreement, and the
        rate of flips that disagreement deconvolution needs."""
        with self.database.reading() as c:
            names = {row.id: row.pseudonym for row in c.all("SELECT id, pseudonym FROM raters")}
            return {names[rater]: pairs for rater, pairs in self._repeats(c).items()}

    def _repeats(self, c: Connection) -> dict[int, list[tuple[Any, Any]]]:
        pairs: dict[int, list[tuple[Any, Any]]] = {}
        for row in c.all(
            "SELECT l.rater, l.value AS second, f.value AS first FROM labels l JOIN labels f ON f.rater = l.rater "
            "AND f.example = l.example AND f.kind = 'work' AND f.state IN ('live', 'surplus') "
            "WHERE l.kind = 'repeat' AND l.state = 'live' AND l.value IS NOT NULL AND f.value IS NOT NULL ORDER BY l.id"
        ):
            pairs.setdefault(row.rater, []).append((json.loads(row.first), json.loads(row.second)))
        return pairs

    def _verdict(self, right: int, wrong: int) -> str:
        gold = self.task.rates
        if gold is None:
            return ""
        from tamis.people.sequential import Sprt

        test = Sprt(good=gold.good, bad=gold.bad, false_block=gold.false_block, false_pass=gold.false_pass)
        return str(test.judge(right, wrong))

    def ledger(self) -> pay.Ledger:
        """What everybody has earned; raters without paid answers are left out."""
        with self.database.reading() as c:
            sums = c.all(
                f"SELECT l.rater, r.pseudonym, p.name, r.gold_right, r.gold_wrong, count(*) AS n, sum(l.pay) AS micro "
                f"FROM labels l JOIN raters r ON r.id = l.rater LEFT JOIN people p ON p.rater = r.id "
                f"WHERE l.kind IN {WORK} AND l.state IN {PAID} "
                f"GROUP BY l.rater, r.pseudonym, p.name, r.gold_right, r.gold_wrong ORDER BY l.rater"
            )
            seconds: dict[int, list[float]] = {}
            for row in c.stream(
                f"SELECT rater, seconds FROM labels WHERE kind IN {WORK} AND state IN {PAID} AND seconds IS NOT NULL"
            ):
                seconds.setdefault(row.rater, []).append(row.seconds)
        work = [
            pay.Work(
                row.pseudonym,
                row.name or "",
                int(row.n),
                int(row.micro),
                tuple(seconds.get(row.rater, ())),
                row.gold_right,
                row.gold_wrong,
            )
            for row in sums
        ]
        return pay.ledger(work, self.task.pay)

    # --- labels -------------------------------------------------------------------------------------------------

    def matrix(self, question: str | None = None) -> Labels:
        """Live labels of people and models; of a rubric, those of one question. Labels that are not one word or
        number stand as canonical JSON. Empty where there are none yet. Memory: see `Labels`."""
        if self.task.kind == "rubric" and question is None:
            question = self.task.questions[0].name
        examples, raters, values = [], [], []
        with self.database.reading() as c:
            for row in c.stream(
                "SELECT e.name, r.pseudonym, l.value FROM labels l JOIN examples e ON e.id = l.example "
                "JOIN raters r ON r.id = l.rater WHERE l.state = 'live' AND l.kind IN ('work', 'model') "
                "AND l.value IS NOT NULL ORDER BY l.id"
            ):
                value = part(json.loads(row.value), question)
                if value is not None:
                    examples.append(row.name)
                    raters.append(row.pseudonym)
                    values.append(label_text(value))
        if not examples:
            return no_labels()
        return Labels.of(examples, raters, values)

    def truth(self, question: str | None = None) -> dict[str, str]:
        """Known answers of the gold examples, the first where several are right. Gold is no work, so these names do
        not occur in `matrix`; `gold_matrix` has the answers to them."""
        with self.database.reading_one() as c:
            rows = c.all(
                "SELECT e.name, b.answers FROM examples e JOIN bodies b ON b.example = e.id WHERE e.kind = 'gold' "
                "ORDER BY e.name"
            )
        found = {row.name: part(json.loads(row.answers)[0], question) for row in rows}
        return {name: label_text(value) for name, value in found.items() if value is not None}

    def answers(self, *kinds: str, states: tuple[str, ...] = ("live",)) -> Iterator[Answer]:
        """Rows of labels in the order in which they were made, streamed. kinds: work, gold, repeat, train, test,
        model (all where none is named). An erased value is None."""
        wanted = kinds or ("work", "gold", "repeat", "train", "test", "model")
        with self.database.reading() as c:
            for row in c.stream(
                "SELECT e.name, r.pseudonym, r.role, l.value, l.kind, l.state, l.at, l.seconds, l.pasted, l.note, "
                "l.guideline, a.shown, l.correct, l.seq FROM labels l JOIN examples e ON e.id = l.example "
                "JOIN raters r ON r.id = l.rater LEFT JOIN assignments a ON a.id = l.assignment ORDER BY l.id"
            ):
                if row.kind in wanted and row.state in states:
                    yield Answer(
                        row.name,
                        row.pseudonym,
                        row.role,
                        None if row.value is None else json.loads(row.value),
                        row.kind,
                        row.state,
                        row.at,
                        row.seconds,
                        row.pasted,
                        row.note,
                        row.guideline,
                        tuple(parsed(row.shown)) if row.shown else (),
                        None if row.correct is None else bool(row.correct),
                        row.seq,
                    )

    def skips(self) -> list[Skip]:
        """Examples that raters passed on, with their reasons."""
        with self.database.reading_one() as c:
            rows = c.all(
                "SELECT e.name, r.pseudonym, a.reason, a.opened, a.guideline FROM assignments a "
                "JOIN examples e ON e.id = a.example JOIN raters r ON r.id = a.rater WHERE a.state = 'skipped' "
                "AND a.kind = 'work' ORDER BY a.id"
            )
        return [Skip(row.name, row.pseudonym, row.reason or "", row.opened, row.guideline) for row in rows]

    def example(self, name: str, kind: str = "work") -> dict[str, Any]:
        """The row of an example. Raises StoreError."""
        with self.database.reading_one() as c:
            number = c.value("SELECT id FROM examples WHERE kind = :kind AND name = :name", kind=kind, name=name)
            if number is None:
                raise StoreError("unknown", f"there is no example {name}")
            return self._body(c, number)


def _median(c: Connection, rater: int) -> float | None:
    rows = c.all(
        f"SELECT seconds FROM labels WHERE rater = :rater AND kind IN {WORK} AND seconds IS NOT NULL "
        "ORDER BY id DESC LIMIT 500",
        rater=rater,
    )
    return pay.median(sorted(row.seconds for row in rows)) if rows else None


def no_labels() -> Labels:
    """A table without rows."""
    import numpy as np

    none = np.empty(0, np.int32)
    return Labels(none, none, none, (), (), ())
