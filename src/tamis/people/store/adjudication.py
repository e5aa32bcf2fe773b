"""Adjudication and changes of the guideline: what needs a decision, who made it and why, what must be asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tamis.people.labels import Labels
from tamis.people.store import journal
from tamis.people.store.base import write
from tamis.people.store.database import Connection, Transaction
from tamis.people.store.queue import Queue
from tamis.people.store.rows import Dispute, Final, Guideline, Stale, StoreError

if TYPE_CHECKING:
    from tamis.people.agreement import Agreement

SKIPS = 2  # raters who passed an example on before it is a matter for an adjudicator


class Adjudication(Queue):
    """The part of the store that adjudicators and owners use."""

    # --- posteriors ---------------------------------------------------------------------------------------------

    @write
    def set_posteriors(self, c: Transaction, rows: Mapping[str, tuple[str, float, int]], method: str) -> None:
        """Keeps what aggregation found: example -> (label, posterior in [0, 1], labels it stands on). Replaces all."""
        c.run("DELETE FROM posteriors")
        for name, (label, posterior, n) in rows.items():
            c.run(
                "INSERT INTO posteriors (example, label, posterior, n, method) "
                "SELECT id, :label, :posterior, :n, :method FROM examples WHERE kind = 'work' AND name = :name",
                name=name,
                label=label,
                posterior=posterior,
                n=n,
                method=method,
            )

    def aggregate(self, method: str = "auto") -> dict[str, tuple[str, float, int]]:
        """Aggregates the live labels and keeps the posteriors. Raises StoreError where there are none."""
        from tamis.people.aggregation import aggregate

        labels = self.matrix()
        if not len(labels):
            raise StoreError("unknown", "there are no labels yet")
        found = aggregate(labels, method)
        columns = (labels.examples, found.label.tolist(), found.posterior.max(axis=1).tolist(), found.n.tolist())
        rows = {
            name: (labels.classes[code], float(posterior), int(n))
            for name, code, posterior, n in zip(*columns, strict=True)
        }
        self.set_posteriors(rows, found.method)
        return rows

    def matrix(self, question: str | None = None) -> Labels:
        """Declared for this part of the store; `reading.py` has it, and `Store` joins the two."""
        raise NotImplementedError

    # --- decisions ----------------------------------------------------------------------------------------------

    def adjudication(self, least: float = 0.8, limit: int = 100) -> list[Dispute]:
        """Examples that need a decision, the least certain first: their posterior is below `least`, or (before any
        aggregation) their raters disagree, or two raters passed them on. Those with a final label are left out. Under
        the descriptive paradigm people may differ: only what was passed on is here."""
        judged = self.task.paradigm == "prescriptive"
        with self.database.reading() as c:
            rows = c.all(
                "SELECT e.id, e.name, e.skips, p.posterior, p.label FROM examples e LEFT JOIN posteriors p "
                "ON p.example = e.id WHERE e.kind = 'work' "
                "AND NOT EXISTS (SELECT 1 FROM finals f WHERE f.example = e.id) "
                "AND (e.skips >= :skips OR :judged = 1 AND (p.posterior < :least OR p.posterior IS NULL "
                "AND e.done >= e.need AND (SELECT count(DISTINCT l.value) FROM labels l WHERE l.example = e.id "
                "AND l.state = 'live' AND l.kind = 'work') > 1)) "
                "ORDER BY coalesce(p.posterior, 0), e.position LIMIT :limit",
                skips=SKIPS,
                least=least,
                limit=limit,
                judged=int(judged),
            )
            return [self._dispute(c, row, least if judged else 0.0) for row in rows]

    def dispute(self, example: str) -> Dispute:
        """What an adjudicator sees of one example, whether it needs a decision or not."""
        with self.database.reading() as c:
            row = c.one(
                "SELECT e.id, e.name, e.skips, p.posterior, p.label FROM examples e LEFT JOIN posteriors p "
                "ON p.example = e.id WHERE e.kind = 'work' AND e.name = :name",
                name=example,
            )
            if row is None:
                raise StoreError("unknown", f"there is no example {example}")
            return self._dispute(c, row, 0.0)

    def _dispute(self, c: Connection, row: Any, least: float) -> Dispute:
        answers = c.all(
            "SELECT r.pseudonym, l.value, l.note, l.at FROM labels l JOIN raters r ON r.id = l.rater "
            "WHERE l.example = :id AND l.state = 'live' AND l.kind IN ('work', 'model') ORDER BY l.id",
            id=row.id,
        )
        skips = c.all(
            "SELECT r.pseudonym, a.reason FROM assignments a JOIN raters r ON r.id = a.rater "
            "WHERE a.example = :id AND a.state = 'skipped' AND a.kind = 'work' ORDER BY a.id",
            id=row.id,
        )
        why = "raters disagree"
        if row.posterior is not None and row.posterior < least:
            why = f"posterior {row.posterior:.2f} of {row.label}, below {least:g}"
        elif row.skips >= SKIPS:
            why = f"{row.skips} raters passed it on"
        body = self._body(c, row.id)
        given = [(one.pseudonym, json.loads(one.value), one.note, one.at) for one in answers if one.value is not None]
        passed = [(one.pseudonym, one.reason or "") for one in skips]
        return Dispute(row.name, body, given, row.posterior, row.label, passed, why)

    @write
    def adjudicate(self, c: Transaction, example: str, value: Any, by: int | None, why: str) -> None:
        """Sets an example's final label. Who, why and the guideline's version stay with it; a later decision on the
        same example counts in its place, and the earlier one stays too. No more raters are asked."""
        self._owner(c, by, "adjudicator")
        row = c.one("SELECT id FROM examples WHERE kind = 'work' AND name = :name", name=example)
        if row is None:
            raise StoreError("unknown", f"there is no example {example}")
        why = why.replace("\0", "").strip()
        if not why:
            raise StoreError("unknown", "say why: the reason stands beside the final label")
        checked = self.task.check(value, self._body(c, row.id))
        text = journal.canonical(checked)
        salt = journal.new_salt()  # a reason may name somebody: the journal holds a commitment to it
        body: dict[str, Any] = {
            "example": example,
            "by": self._pseudonym(c, by),
            "guideline": self._guideline,
            "why": journal.commitment(salt, why),
        }
        body |= {"commitment": journal.commitment(salt, text)} if self._written else {"value": checked}
        seq = journal.append(c, "final", body)
        c.run(
            "INSERT INTO finals (example, value, salt, author, why, guideline, at, seq) "
            "VALUES (:example, :value, :salt, :author, :why, :guideline, :now, :seq)",
            example=row.id,
            value=text,
            salt=salt,
            author=by or 0,
            why=why,
            guideline=self._guideline,
            now=c.now,
            seq=seq,
        )
        # Nobody new is asked: the slots that are taken are all that it needs, and one that comes free closes (`_free`).
        c.run("UPDATE examples SET need = taken, open = 0 WHERE id = :id", id=row.id)

    def finals(self) -> list[Final]:
        """Final labels, the last decision on each example, in the order of examples' names."""
        with self.database.reading_one() as c:
            rows = c.all(
                "SELECT e.name, f.value, f.why, f.guideline, f.at, r.pseudonym FROM finals f "
                "JOIN examples e ON e.id = f.example LEFT JOIN raters r ON r.id = f.author "
                "WHERE f.id = (SELECT max(g.id) FROM finals g WHERE g.example = f.example) ORDER BY e.name"
            )
        return [
            Final(row.name, json.loads(row.value), row.pseudonym or "command line", row.why, row.guideline, row.at)
            for row in rows
        ]

    # --- a changed guideline ------------------------------------------------------------------------------------

    def stale(self) -> Stale:
        """Live labels under a guideline that is not the current one."""
        with self.database.reading() as c:
            values = {"current": self._guideline}
            where = "WHERE l.state = 'live' AND l.kind = 'work' AND l.guideline <> :current"
            names = c.all(
                f"SELECT DISTINCT e.name FROM labels l JOIN examples e ON e.id = l.example {where} ORDER BY e.name",
                **values,
            )
            counts = c.all(f"SELECT l.guideline, count(*) AS n FROM labels l {where} GROUP BY l.guideline", **values)
        by_guideline = {row.guideline: row.n for row in counts}
        return Stale(tuple(row.name for row in names), sum(by_guideline.values()), by_guideline)

    def guideline_effect(self) -> list[tuple[Guideline, Agreement]]:
        """Krippendorff's alpha of the labels made under each version of the guideline, oldest version first: live
        ones and those that a change has made outdated. Of a rubric, of its first question."""
        from tamis.people import agreement

        kind = self.task.questions[0].kind if self.task.questions else self.task.kind
        level: agreement.Level = "interval" if kind == "rating" else "nominal"
        found = []
        with self.database.reading() as c:
            for one in c.all("SELECT * FROM guidelines ORDER BY number"):
                rows = c.all(
                    "SELECT e.name, r.pseudonym, l.value FROM labels l JOIN examples e ON e.id = l.example "
                    "JOIN raters r ON r.id = l.rater WHERE l.guideline = :hash AND l.kind = 'work' "
                    "AND l.state IN ('live', 'outdated') AND l.value IS NOT NULL ORDER BY l.id",
                    hash=one.hash,
                )
                labels = _labels(rows, self.task.questions[0].name if self.task.questions else None)
                if labels is not None:
                    version = Guideline(one.hash, one.number, one.text, one.at)
                    found.append((version, agreement.alpha(labels, level)))
        return found

    @write
    def relabel(self, c: Transaction, by: int | None = None, examples: Sequence[str] | None = None) -> int:
        """Opens the slots of labels under older guidelines again, of all examples or the named ones; also those who
        gave them may answer anew. The old labels stay as `outdated`, and paid. Returns how many there are."""
        self._owner(c, by)
        rows = c.all(
            "SELECT l.id, l.seq, l.assignment, l.example, l.kind, e.name FROM labels l "
            "JOIN examples e ON e.id = l.example "
            "WHERE l.state = 'live' AND l.kind IN ('work', 'repeat') AND l.guideline <> :current ORDER BY l.id",
            current=self._guideline,
        )
        if examples is not None:
            wanted = set(examples)
            rows = [row for row in rows if row.name in wanted]
        if not rows:
            return 0
        for row in rows:
            self._retire(c, row, "outdated")
        for example in sorted({row.example for row in rows}):
            c.run("DELETE FROM repeats WHERE example = :example", example=example)
        body = {"by": self._pseudonym(c, by), "guideline": self._guideline, "labels": [row.seq for row in rows]}
        journal.append(c, "relabel", body)
        return len(rows)


def label_text(value: Any) -> str:
    """A label as aggregation and agreement see it: a word, a number, else canonical JSON."""
    return value if isinstance(value, str) else journal.canonical(value)


def part(value: Any, question: str | None) -> Any:
    """The answer to one question of a rubric; the whole where none is asked for."""
    return value.get(question) if question is not None and isinstance(value, dict) else value


def _labels(rows: Sequence[Any], question: str | None) -> Labels | None:
    values = [part(json.loads(row.value), question) for row in rows]
    kept = [(row, value) for row, value in zip(rows, values, strict=True) if value is not None]
    if not kept:
        return None
    names = ([row.name for row, _ in kept], [row.pseudonym for row, _ in kept])
    return Labels.of(*names, [label_text(value) for _, value in kept])
