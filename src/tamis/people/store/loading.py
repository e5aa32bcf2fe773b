"""What a task brings into its database: guideline, examples, gold, training and test.

Run at every start; does only what is new. An example that has labels must not change under them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from tamis.people import examples
from tamis.people.store import journal
from tamis.people.store.base import Base, write
from tamis.people.store.database import Transaction
from tamis.people.store.journal import guideline_hash
from tamis.people.store.rows import Guideline, StoreError
from tamis.people.task import Adaptive, TaskError, digest_of

CHUNK = 2_000  # rows of one transaction: others are not kept waiting by a large file


class Loading(Base):
    """The part of the store that follows the task's file."""

    def load(self) -> None:
        """Brings the database up to the task: what is new is added, what was taken out of a file stays."""
        self._bind()
        self._guideline_of_file(self.task.guideline_text)
        plan = self.task.qualification
        sources = (
            ("train", plan.train if plan else None),
            ("test", plan.path if plan else None),
            ("gold", self.task.gold.path if self.task.gold else None),
        )
        for kind, path in sources:
            if path:
                self._load_all(kind, examples.read(self.task, path, answers=True))
        self._load_all("work", self.task.rows())

    def _load_all(self, kind: str, rows: Iterable[dict[str, Any]]) -> None:
        rows = iter(rows)
        while chunk := list(islice(rows, CHUNK)):
            self._load(kind, chunk)

    @write
    def _bind(self, c: Transaction) -> None:
        """One database holds one task; its kind must not change once there are labels."""
        name, kind = c.meta("task"), c.meta("kind")
        if name is not None and name != self.task.name:
            raise StoreError("task", f"{self.database.name} holds the labels of task {name}, not {self.task.name}")
        labelled = c.value("SELECT 1 FROM labels LIMIT 1") is not None
        if kind is not None and kind != self.task.kind and labelled:
            raise StoreError("task", f"task {name} was labelled as {kind}; as {self.task.kind} it needs another name")
        if c.meta("digest") == self.task.digest:
            return
        c.set_meta("task", self.task.name)
        c.set_meta("kind", self.task.kind)
        c.set_meta("digest", self.task.digest)
        c.set_meta("settings", json.dumps(self.task.model_dump(mode="json", by_alias=True), ensure_ascii=False))
        journal.append(c, "task", {"name": self.task.name, "digest": self.task.digest})
        self._overlap(c)

    def _overlap(self, c: Transaction) -> None:
        """A changed overlap applies to what is here; slots that it opens come at the end of the queue."""
        plan = self.task.overlap
        need = "max(need, :n)" if self.database.dialect == "sqlite" else "greatest(need, :n)"
        need = f"CASE WHEN {need} > :most THEN :most ELSE {need} END" if isinstance(plan, Adaptive) else ":n"
        values = {"n": plan.least, "most": plan.most} if isinstance(plan, Adaptive) else {"n": plan}
        undecided = "NOT EXISTS (SELECT 1 FROM finals f WHERE f.example = examples.id)"
        c.run(f"UPDATE examples SET need = {need} WHERE kind = 'work' AND {undecided}", **values)
        reopened = c.all("SELECT id FROM examples WHERE kind = 'work' AND open = 0 AND taken < need ORDER BY position")
        for row in reopened:
            c.run(
                "UPDATE examples SET open = 1, position = (SELECT max(position) + 1 FROM examples WHERE kind = 'work') "
                "WHERE id = :id",
                id=row.id,
            )
        c.run("UPDATE examples SET open = 0 WHERE kind = 'work' AND open = 1 AND taken >= need")

    @write
    def _load(self, c: Transaction, kind: str, rows: list[dict[str, Any]]) -> None:
        plan = self.task.overlap
        need = (plan.least if isinstance(plan, Adaptive) else plan) if kind == "work" else 0
        position = c.value("SELECT max(position) FROM examples WHERE kind = :kind", kind=kind) or 0
        order = sorted(rows, key=lambda row: hashlib.blake2b(f"{self.task.seed}|{row['id']}".encode()).digest())
        if kind in ("train", "test"):
            order = rows  # as their author put them
        # Examples are numbered here and nowhere else, so that they go in by the thousand.
        number = c.value("SELECT max(id) FROM examples") or 0
        fresh = position == 0
        heads: list[dict[str, Any]] = []
        bodies: list[dict[str, Any]] = []
        for row in order:
            digest = digest_of(row)
            known = None
            if not fresh:
                known = c.one(
                    "SELECT id, digest FROM examples WHERE kind = :kind AND name = :name", kind=kind, name=row["id"]
                )
            if known is not None:
                if known.digest != digest:
                    self._replace(c, known.id, kind, row, digest)
                continue
            position, number = position + 1, number + 1
            heads.append(
                {
                    "id": number,
                    "kind": kind,
                    "name": row["id"],
                    "digest": digest,
                    "position": position,
                    "need": need,
                    "open": int(kind == "work"),
                }
            )
            body, answers, explanation = _parts(row)
            bodies.append({"id": number, "body": body, "answers": answers, "explanation": explanation})
        c.many(
            "INSERT INTO examples (id, kind, name, digest, position, need, open) "
            "VALUES (:id, :kind, :name, :digest, :position, :need, :open)",
            heads,
        )
        c.many(
            "INSERT INTO bodies (example, body, answers, explanation) VALUES (:id, :body, :answers, :explanation)",
            bodies,
        )
        added = [head["digest"] for head in heads]
        if added:
            every = hashlib.sha256("".join(added).encode()).hexdigest()
            told = {"kind": kind, "added": len(added), "digest": every}
            if kind != "work":  # of work, the digest is over all that is kept
                parts = [journal.kept_digest(one["body"], one["answers"], one["explanation"]) for one in bodies]
                told["kept"] = hashlib.sha256("".join(parts).encode()).hexdigest()
            journal.append(c, "examples", told)

    def _replace(self, c: Transaction, example: int, kind: str, row: dict[str, Any], digest: str) -> None:
        if c.value("SELECT 1 FROM assignments WHERE example = :id LIMIT 1", id=example):
            raise TaskError(
                [f"example {row['id']!r} ({kind}) has changed since raters saw it: give the new one another id"]
            )
        before = c.value("SELECT digest FROM examples WHERE id = :id", id=example)
        told = {"kind": kind, "example": row["id"], "before": before, "digest": digest}
        body, answers, explanation = _parts(row)
        if kind != "work":
            old = c.one("SELECT body, answers, explanation FROM bodies WHERE example = :id", id=example)
            told["kept_before"] = journal.kept_digest(old.body, old.answers, old.explanation)
            told["kept"] = journal.kept_digest(body, answers, explanation)
        journal.append(c, "replace", told)
        c.run("UPDATE examples SET digest = :digest WHERE id = :id", digest=digest, id=example)
        c.run(
            "UPDATE bodies SET body = :body, answers = :answers, explanation = :explanation WHERE example = :id",
            body=body,
            answers=answers,
            explanation=explanation,
            id=example,
        )
        self._kept.pop(example, None)

    # --- the guideline ------------------------------------------------------------------------------------------

    @write
    def _guideline_of_file(self, c: Transaction, text: str) -> None:
        """The file's guideline becomes the current one if the file has changed since it was last loaded: what an owner
        wrote on the page meanwhile stays under a file that is as it was."""
        digest, current, loaded = guideline_hash(text), self._current(c), c.meta("guideline_file")
        if loaded is None:  # a database of before this was remembered: nobody but a file writes without an author
            for row in c.all("SELECT body FROM journal WHERE kind = 'guideline' ORDER BY seq"):
                body = json.loads(row.body)
                loaded = body["hash"] if body["by"] is None else loaded
        c.set_meta("guideline_file", digest)
        if current is None or (loaded != digest and current.hash != digest):
            current = self._new_guideline(c, text, None)
        found = current.hash

        def follow() -> None:
            self._guideline = found

        c.committed.append(follow)

    def guideline_kept(self) -> Guideline | None:
        """The current guideline where it is not the file's, but one that an owner wrote on the page after the file was
        loaded; None where the two are the same."""
        with self.database.reading_one() as c:
            current, loaded = self._current(c), c.meta("guideline_file")
        return current if current is not None and loaded is not None and current.hash != loaded else None

    @write
    def set_guideline(self, c: Transaction, text: str, by: int | None = None) -> Guideline:
        """A new version of the guideline: new examples are given under it. Labels made under older ones stay until
        `relabel` opens them again. A version that was here before becomes the current one again."""
        self._owner(c, by)
        return self._new_guideline(c, text, by)

    def _new_guideline(self, c: Transaction, text: str, by: int | None) -> Guideline:
        digest = guideline_hash(text)
        current = self._current(c)
        if current is not None and current.hash == digest:
            return current
        number = (c.value("SELECT max(number) FROM guidelines") or 0) + 1
        c.run(
            "INSERT INTO guidelines (hash, number, text, at) VALUES (:hash, :number, :text, :now) "
            "ON CONFLICT (hash) DO UPDATE SET number = excluded.number",
            hash=digest,
            number=number,
            text=text,
            now=c.now,
        )
        journal.append(c, "guideline", {"hash": digest, "number": number, "by": self._pseudonym(c, by)})

        def follow() -> None:
            self._guideline = digest

        c.committed.append(follow)
        return Guideline(digest, number, text, c.now)

    def guideline(self, hash: str | None = None) -> Guideline:
        """A version by its hash; the current one without."""
        with self.database.reading_one() as c:
            if hash is None:
                found = self._current(c)
            else:
                found = _guideline(c.one("SELECT * FROM guidelines WHERE hash = :hash", hash=hash))
        if found is None:
            raise StoreError("unknown", "there is no such version of the guideline")
        return found

    def guidelines(self) -> list[Guideline]:
        """All versions, oldest first."""
        with self.database.reading_one() as c:
            rows = c.all("SELECT * FROM guidelines ORDER BY number")
        return [found for row in rows if (found := _guideline(row))]


def _guideline(row: Any) -> Guideline | None:
    return None if row is None else Guideline(row.hash, row.number, row.text, row.at)


def _parts(row: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """What raters see, what is right, and why."""
    hidden = ("answer", "answers", "explanation")
    body = {name: value for name, value in row.items() if name not in hidden or "answers" not in row}
    answers = json.dumps(row["answers"], ensure_ascii=False) if "answers" in row else None
    explanation = row.get("explanation")
    return json.dumps(body, ensure_ascii=False), answers, str(explanation) if explanation is not None else None
