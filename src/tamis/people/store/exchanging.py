"""Between the store's rows and the neutral annotations that every file format goes through; and models as raters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from tamis.people.answers import BadAnswer
from tamis.people.exchange.annotations import KINDS as ALL
from tamis.people.exchange.annotations import Aggregated, Annotation, BadAnnotation, Kind
from tamis.people.store import journal
from tamis.people.store.base import write
from tamis.people.store.database import Transaction
from tamis.people.store.reading import Reading
from tamis.people.store.rows import Answer, StoreError

KINDS: Mapping[str, Kind] = {kind: kind for kind in ALL}


@dataclass(frozen=True)
class BroughtIn:
    """What an import did. `known`: was here already; `surplus`: the example had all it needs; `problems`: rows that do
    not fit the task, with the reason."""

    added: int
    known: int
    surplus: int
    problems: tuple[str, ...]


class Exchanging(Reading):
    """The part of the store that gives rows away and takes them in."""

    def annotations(self, gold: bool = True) -> Iterator[Annotation]:
        """Every live answer and every skip, with what its rater saw. Erased answers are left out."""
        names: dict[tuple[str, str], dict[str, Any]] = {}
        for answer in self.answers("work", "gold", "repeat", "model"):
            if answer.value is None or (answer.kind == "gold" and not gold):
                continue
            place = (answer.example, "gold" if answer.kind == "gold" else "work")
            if place not in names:
                names = {place: self.example(*place)}  # rows of one example mostly follow another; one is kept
            yield from self._annotations(answer, names[place])
        for skip in self.skips():
            yield Annotation(
                example=skip.example,
                rater=skip.rater,
                kind=KINDS[self._questions()[0][1]],
                question=self._questions()[0][0],
                task=self.task.name,
                fields=self._fields(self.example(skip.example)),
                at=_iso(skip.at),
                guideline_hash=skip.guideline,
                skipped=True,
                reason=skip.reason,
            )

    def _questions(self) -> list[tuple[str, str, Any]]:
        """Name, kind and question, of a rubric or of the task."""
        if self.task.questions:
            return [(question.name, question.kind, question) for question in self.task.questions]
        return [("label", self.task.kind, self.task)]

    def _fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = dict(self.task.shown(row))
        if (text := self.task.reading(row)) is not None:
            fields[self.task.examples.text] = text
        if self.task.responses:
            fields |= {name: self.task.response(row, name) for name in self.task.options(row)}
        return fields

    def _annotations(self, answer: Answer, row: Mapping[str, Any]) -> Iterator[Annotation]:
        rubric = bool(self.task.questions)
        options = self.task.options(row) if self.task.responses else ()
        fields = self._fields(row)
        for name, kind, _ in self._questions():
            value = answer.value.get(name) if rubric else answer.value
            if value is None:
                continue
            meta: dict[str, Any] = {"seq": answer.seq}
            meta |= {key: part for key, part in (("pasted", answer.pasted), ("note", answer.note)) if part is not None}
            compared = kind in ("pairwise", "preference", "ranking")
            yield Annotation(
                example=answer.example,
                rater=answer.rater,
                value=value,
                kind=KINDS[kind],
                question=name,
                task=self.task.name,
                fields=fields,
                options=options if compared else (),
                shown=answer.shown if compared else (),
                of=self.task.examples.text if kind in ("span", "rewrite") else "",
                seconds=answer.seconds,
                at=_iso(answer.at),
                guideline_hash=answer.guideline,
                submission=str(answer.seq) if rubric else None,
                role={"model": "model", "adjudicator": "adjudicator"}.get(answer.role, "rater"),  # type: ignore[arg-type]
                gold=answer.kind == "gold",
                repeat=int(answer.kind == "repeat"),
                meta=meta,
            )

    def aggregated(self, method: str | None = "auto") -> list[Aggregated]:
        """Final labels, and for the rest what aggregation finds; `method` None: final labels only. Kinds that cannot
        be aggregated as labels (spans, orders, written answers) have final labels only. Under the descriptive paradigm
        `auto` is `soft`, with which every label carries the smoothed distribution of opinions."""
        if self.task.paradigm == "descriptive" and method == "auto":
            method = "soft"
        found: list[Aggregated] = []
        decided = set()
        for final in self.finals():
            decided.add(final.example)
            values = final.value if self.task.questions else {"label": final.value}
            found += [
                Aggregated(
                    example=final.example,
                    label=value,
                    question=question,
                    method="adjudication",
                    by=final.by,
                    why=final.why,
                    guideline_hash=final.guideline,
                )
                for question, value in values.items()
            ]
        for name, kind, _ in self._questions():
            if method is None or kind not in ("choice", "rating", "pairwise"):
                continue
            labels = self.matrix(name if self.task.questions else None)
            if not len(labels):
                continue
            from tamis.people.aggregation import aggregate

            result = aggregate(labels, method)
            shares = {}
            if method == "soft":
                rows = zip(labels.examples, result.posterior.tolist(), strict=True)
                shares = {example: dict(zip(labels.classes, row, strict=True)) for example, row in rows}
            for row in result.to_json()["labels"]:
                if row["example"] not in decided:
                    label = int(row["label"]) if kind == "rating" else row["label"]
                    figures = {"posterior": row["posterior"], "n": row["n"], "method": result.method}
                    soft = shares.get(row["example"])
                    found.append(Aggregated(example=row["example"], label=label, question=name, soft=soft, **figures))
        return found

    # --- taking in ----------------------------------------------------------------------------------------------

    def bring_in(self, annotations: Iterable[Annotation]) -> BroughtIn:
        """Adds answers from elsewhere, or from an export of this task. An answer that is here already is left alone;
        one for which no slot is free is kept as surplus. Raters come under the names that they have there."""
        groups: dict[tuple[str, ...], list[Annotation]] = {}
        for number, one in enumerate(annotations):
            together = one.submission if self.task.questions and one.submission else str(number)
            key = (one.example, one.rater, str(one.repeat), together)
            groups.setdefault(key, []).append(one)
        counts = {"added": 0, "known": 0, "surplus": 0}
        problems: list[str] = []
        for group in groups.values():
            try:
                counts[self._bring_in(group)] += 1
            except (StoreError, BadAnswer, BadAnnotation) as error:
                problems.append(f"example {group[0].example}, rater {group[0].rater}: {error}")
        return BroughtIn(counts["added"], counts["known"], counts["surplus"], tuple(problems))

    @write
    def _bring_in(self, c: Transaction, group: list[Annotation]) -> str:
        first = replace(group[0], rater=self._no_address(group[0].rater))
        kind = "gold" if first.gold else "repeat" if first.repeat else "model" if first.role == "model" else "work"
        example = c.one(
            "SELECT id, name, need, taken, done, open FROM examples WHERE kind = :kind AND name = :name",
            kind="gold" if first.gold else "work",
            name=first.example,
        )
        if example is None:
            raise StoreError("unknown", "the task has no such example")
        rater = c.one("SELECT id, pseudonym, done FROM raters WHERE pseudonym = :name", name=first.rater)
        if rater is None:
            role = "model" if kind == "model" else "rater"
            number = c.value(
                "INSERT INTO raters (pseudonym, role, state, joined, language) "
                "VALUES (:name, :role, 'left', :now, 'en') RETURNING id",
                name=first.rater,
                role=role,
                now=c.now,
            )
            journal.append(c, "join", {"rater": first.rater, "role": role, "imported": True})
            rater = SimpleNamespace(id=number, pseudonym=first.rater, done=0)
        if c.value(
            "SELECT 1 FROM assignments WHERE rater = :rater AND example = :example AND kind = :kind "
            "AND state NOT IN ('expired', 'outdated', 'void')",
            rater=rater.id,
            example=example.id,
            kind=kind,
        ):
            return "known"
        values = {one.question: one.value for one in group}
        given = dict(values) if self.task.questions else first.value
        at = datetime.fromisoformat(first.at).timestamp() if first.at else c.now
        guideline = first.guideline_hash or self._guideline
        state = "skipped" if first.skipped else "done"
        number = c.value(
            "INSERT INTO assignments (rater, example, kind, state, opened, until, shown, guideline, reason) VALUES "
            "(:rater, :example, :kind, :state, :at, :at, :shown, :guideline, :reason) "
            "ON CONFLICT (rater, example, kind, attempt) WHERE state NOT IN ('outdated', 'void') DO UPDATE SET "
            "state = excluded.state, opened = excluded.opened, until = excluded.until, shown = excluded.shown, "
            "guideline = excluded.guideline, reason = excluded.reason, rank = 0 "
            "WHERE assignments.state = 'expired' RETURNING id",
            rater=rater.id,
            example=example.id,
            kind=kind,
            state=state,
            at=at,
            shown=journal.canonical(list(first.shown)),
            guideline=guideline,
            reason=first.reason,
        )
        row = SimpleNamespace(
            id=number,
            rater=rater.id,
            pseudonym=rater.pseudonym,
            example=example.id,
            name=example.name,
            kind=kind,
            state="imported",
            guideline=guideline,
            open=example.open,
            done=example.done,
            need=example.need,
        )
        if first.skipped:
            c.run("UPDATE examples SET skips = skips + 1 WHERE id = :id", id=example.id)
            said = {"rater": row.pseudonym, "assignment": row.id, "example": row.name, "kind": kind}
            journal.append(c, "skip", {**said, "imported": True})
            return "added"
        checked = self.task.check(given, self._body(c, example.id))
        claimed = self._claim(c, row)
        correct = self._correct(c, example.id, checked) if kind == "gold" else None
        extra = {key: first.meta.get(key) for key in ("pasted", "note")}
        self._record(c, row, checked, claimed, None, first.seconds, extra["pasted"], extra["note"], correct, at)
        if kind == "gold":
            column = "gold_right" if correct else "gold_wrong"
            c.run(f"UPDATE raters SET {column} = {column} + 1 WHERE id = :rater", rater=rater.id)
        if kind != "model":
            c.run("UPDATE raters SET done = done + 1 WHERE id = :rater", rater=rater.id)
        if kind == "work" and claimed == "live":
            self._filled(c, row)
        return "surplus" if claimed == "surplus" else "added"

    def _no_address(self, name: str) -> str:
        """A rater's name as it may stand in the journal: a pseudonym, always the same one, for an e-mail address."""
        if "@" not in name:
            return name
        digest = hashlib.blake2b(name.strip().lower().encode("utf-8", "replace"), digest_size=8, key=self.secret)
        return f"r-{digest.hexdigest()}"

    def record_model(self, rater: int, example: str, value: Any, seconds: float | None = None) -> str:
        """A model's answer to an example: beside the people's slots, never in them. `rater` is one of `add_model`.
        Returns "added", or "known" where it has answered this one. Raises BadAnswer, StoreError."""
        found = self._model(rater)
        values = value if self.task.questions else {"label": value}
        group = [
            Annotation(
                example=example,
                rater=found,
                value=one,
                kind=KINDS[kind],
                question=name,
                seconds=seconds,
                role="model",
            )
            for name, kind, _ in self._questions()
            if (one := values.get(name)) is not None
        ]
        if not group:
            raise BadAnswer("the model has answered nothing")
        return self._bring_in(group)

    def _model(self, rater: int) -> str:
        with self.database.reading_one() as c:
            row = c.one("SELECT pseudonym, role FROM raters WHERE id = :rater", rater=rater)
        if row is None or row.role != "model":
            raise StoreError("forbidden", "only a model's answers come in this way: make one with add_model")
        return str(row.pseudonym)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
