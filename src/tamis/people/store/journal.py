"""The journal: rows in one chain of hashes, written in the transaction of what they tell of.

hash = SHA-256 of the previous hash and the canonical JSON of `[seq, at, kind, body]`. A body names raters by pseudonym
only. What may identify a person (written answers, remarks, reasons, names) stands in it as a salted commitment: the
words and the salt lie in another table and can be removed, and the chain still holds. `verify` reads the chain, then
plays it back and compares it with the labels and final labels as they stand now.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from tamis.people.store.database import GENESIS, Connection, Transaction
from tamis.people.store.rows import Entry, Head, Verdict

MOST_PROBLEMS = 100


def canonical(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def append(c: Transaction, kind: str, body: Mapping[str, Any]) -> int:
    """Adds a row and returns its number."""
    seq, at, text = c.head.seq + 1, round(c.now * 1000), canonical(body)
    digest = row_hash(c.head.hash, seq, at, kind, text)
    c.run(
        "INSERT INTO journal (seq, at, kind, body, prev, hash) VALUES (:seq, :at, :kind, :body, :prev, :hash)",
        seq=seq,
        at=at,
        kind=kind,
        body=text,
        prev=c.head.hash,
        hash=digest,
    )
    c.head = Head(seq, digest)
    return seq


def row_hash(prev: str, seq: int, at: int, kind: str, body: str) -> str:
    """The hash of a row: over the one before it and everything in it."""
    return hashlib.sha256(f"{prev}\n{canonical([seq, at, kind])}\n{body}".encode()).hexdigest()


def new_salt() -> str:
    return secrets.token_hex(16)


def commitment(salt: str, text: str) -> str:
    """What the journal says of words that may have to be forgotten."""
    return hashlib.sha256(f"{salt}\n{text}".encode()).hexdigest()


def entries(c: Connection, first: int, limit: int) -> list[Entry]:
    """Rows from a number on."""
    rows = c.all(
        "SELECT seq, at, kind, body, hash FROM journal WHERE seq >= :first ORDER BY seq LIMIT :limit",
        first=first,
        limit=limit,
    )
    return [Entry(row.seq, row.at / 1000, row.kind, json.loads(row.body), row.hash) for row in rows]


class _Played:
    """What the labels must be, by the journal. Memory: about 300 bytes a label."""

    def __init__(self) -> None:
        self.labels: dict[int, tuple[str, str | None, str | None]] = {}  # seq -> state, value, commitment
        self.finals: dict[int, tuple[str | None, str | None]] = {}
        self.forgotten: set[int] = set()

    def play(self, seq: int, kind: str, body: Mapping[str, Any]) -> None:
        value = None if "value" not in body else canonical(body["value"])
        if kind == "label":
            self.labels[seq] = (body["state"], value, body.get("commitment"))
        elif kind == "final":
            self.finals[seq] = (value, body.get("commitment"))
        elif kind in ("undo", "release", "relabel"):
            state = {"undo": "withdrawn", "release": "void", "relabel": "outdated"}[kind]
            for number in body["labels"]:
                if number in self.labels:
                    self.labels[number] = (state, *self.labels[number][1:])
        elif kind == "erase":
            self.forgotten.update(body["labels"])


def verify(c: Connection, anchor: Head | None = None) -> Verdict:
    """Checks every row of the journal against the one before it, and the labels against the journal.

    `anchor`: a head written down before; without one, a journal whose end was cut off together with its labels looks
    like a younger one. Memory: see `_Played`.
    """
    problems: list[str] = []
    played = _Played()
    prev, expected, rows, head = GENESIS, 1, 0, Head(0, GENESIS)
    anchored = anchor is None or anchor.seq == 0
    for row in c.stream("SELECT seq, at, kind, body, prev, hash FROM journal ORDER BY seq"):
        rows += 1
        if row.seq != expected:
            gap = f"row {expected}" if row.seq == expected + 1 else f"rows {expected} to {row.seq - 1}"
            problems.append(f"journal {gap}: removed")
        if row_hash(row.prev, row.seq, row.at, row.kind, row.body) != row.hash:
            problems.append(f"journal row {row.seq}: altered ({row.kind}): its content does not give its hash")
        elif row.prev != prev and row.seq == expected:
            problems.append(
                f"journal row {row.seq}: does not follow row {row.seq - 1}: one of them was replaced or moved"
            )
        if anchor and row.seq == anchor.seq:
            anchored = True
            if row.hash != anchor.hash:
                problems.append(f"journal row {row.seq}: not the row that was anchored: the chain was written anew")
        try:
            played.play(row.seq, row.kind, json.loads(row.body))
        except (ValueError, KeyError, TypeError):
            problems.append(f"journal row {row.seq}: altered ({row.kind}): its content cannot be read")
        prev, expected, head = row.hash, row.seq + 1, Head(row.seq, row.hash)
    if anchor and not anchored:
        problems.append(f"journal rows {head.seq + 1} to {anchor.seq}: cut off: the anchored head is row {anchor.seq}")
    erased = 0
    rest = dict(played.labels)
    for row in c.stream("SELECT id, seq, state, value, salt FROM labels ORDER BY id"):
        known = rest.pop(row.seq, None)
        if known is None:
            problems.append(f"label {row.id}: no row {row.seq} of the journal tells of it: added or renumbered")
            continue
        state, value, committed = known
        if row.seq in played.forgotten and row.value is None:
            erased += 1
        elif not _holds(row.value, row.salt, value, committed):
            problems.append(f"label {row.id} (journal row {row.seq}): altered: not the answer that was given")
        if row.state != state:
            problems.append(
                f"label {row.id} (journal row {row.seq}): its state is {row.state}, the journal says {state}"
            )
    problems += [f"label of journal row {seq}: removed" for seq in rest]
    finals = dict(played.finals)
    for row in c.stream("SELECT id, seq, value, salt FROM finals ORDER BY id"):
        told = finals.pop(row.seq, None)
        if told is None:
            problems.append(f"final label {row.id}: no row of the journal tells of it")
        elif not _holds(row.value, row.salt, *told):
            problems.append(f"final label {row.id} (journal row {row.seq}): altered")
    problems += [f"final label of journal row {seq}: removed" for seq in finals]
    if len(problems) > MOST_PROBLEMS:
        more = len(problems) - MOST_PROBLEMS
        problems = [*problems[:MOST_PROBLEMS], f"and {more:,} more"]
    return Verdict(not problems, rows, len(played.labels), erased, head, tuple(problems))


def _holds(text: str | None, salt: str | None, value: str | None, committed: str | None) -> bool:
    if text is None:
        return False
    if committed is not None:
        return salt is not None and commitment(salt, text) == committed
    return text == value
