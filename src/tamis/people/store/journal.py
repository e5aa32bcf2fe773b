"""The journal: rows in one chain of hashes, written in the transaction of what they tell of.

hash = SHA-256 of the previous hash and the canonical JSON of `[seq, at, kind, body]`. A body names raters by pseudonym
only. What may identify a person (written answers, remarks, reasons, names) stands in it as a salted commitment: the
words and the salt lie in another table and can be removed, and the chain still holds. `verify` reads the chain, then
plays it back and compares it with labels, final labels, guidelines and examples as they stand now.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from collections.abc import Mapping
from typing import Any

from tamis.people.store.database import GENESIS, Connection, Transaction
from tamis.people.store.rows import Entry, Head, Verdict

MOST_PROBLEMS = 100
# What the journal tells of a label besides its answer and state, and the columns that must say the same.
FACTS = ("rater", "assignment", "example", "kind", "guideline", "seconds", "correct", "pay")
UNTOLD = object()
# What an account becomes by a row of the journal.
STATES = {"block": "blocked", "unblock": "active", "leave": "left", "erase": "erased"}


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
    """What the labels must be, by the journal. Memory: about 600 bytes a label, and 200 an example that was loaded."""

    def __init__(self) -> None:
        # seq -> state, value, commitment, facts
        self.labels: dict[int, tuple[str, str | None, str | None, tuple[Any, ...]]] = {}
        self.finals: dict[int, tuple[str | None, str | None, Mapping[str, Any]]] = {}
        self.forgotten: set[int] = set()
        self.guidelines: set[str] = set()
        self.loaded: dict[str, list[tuple[int, str]]] = {}  # kind -> (how many, digest over them) of each load
        self.replaced: dict[tuple[str, str], tuple[str, str]] = {}  # kind, name -> digest as loaded, and now
        # The same of known answers and explanations as they are kept; None in journals of before they told it.
        self.kept: dict[str, list[tuple[int, str | None]]] = {}
        self.replaced_kept: dict[tuple[str, str], tuple[str | None, str | None]] = {}
        self.accounts: dict[str, tuple[str | None, str | None]] = {}  # pseudonym -> role, state; None: not told

    def play(self, seq: int, at: int, kind: str, body: Mapping[str, Any]) -> None:
        value = None if "value" not in body else canonical(body["value"])
        if kind == "label":
            facts = tuple(sys.intern(fact) if isinstance(fact := body.get(name, UNTOLD), str) else fact
                          for name in FACTS)  # fmt: skip
            self.labels[seq] = (body["state"], value, body.get("commitment"), (*facts, body.get("at", at)))
        elif kind == "final":
            self.finals[seq] = (value, body.get("commitment"), body)
        elif kind == "guideline":
            self.guidelines.add(body["hash"])
        elif kind == "examples":
            self.loaded.setdefault(body["kind"], []).append((body["added"], body["digest"]))
            self.kept.setdefault(body["kind"], []).append((body["added"], body.get("kept")))
        elif kind == "replace":
            key = (body["kind"], body["example"])
            self.replaced[key] = (self.replaced.get(key, (body["before"],))[0], body["digest"])
            first = self.replaced_kept.get(key, (body.get("kept_before"),))[0]
            self.replaced_kept[key] = (first, body.get("kept"))
        elif kind in ("undo", "release", "relabel"):
            state = {"undo": "withdrawn", "release": "void", "relabel": "outdated"}[kind]
            for number in body["labels"]:
                if number in self.labels:
                    self.labels[number] = (state, *self.labels[number][1:])
        elif kind == "erase":
            self.forgotten.update(body["labels"])
        self._play_account(kind, body)

    def _play_account(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "join":
            # Rows of before the first state was told leave it open, until another row tells it.
            state = "left" if body.get("imported") else body.get("state")
            self.accounts[body["rater"]] = (body["role"], state)
        elif kind == "role":
            state = self.accounts.get(body["rater"], (None, None))[1]
            if body["role"] != "rater" and state in ("training", "qualifying"):
                state = "active"
            self.accounts[body["rater"]] = (body["role"], state)
        elif kind in STATES or kind == "qualify":
            state = body["state"] if kind == "qualify" else STATES[kind]
            self.accounts[body["rater"]] = (self.accounts.get(body["rater"], (None, None))[0], state)


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
            played.play(row.seq, row.at, row.kind, json.loads(row.body))
        except (ValueError, KeyError, TypeError):
            problems.append(f"journal row {row.seq}: altered ({row.kind}): its content cannot be read")
        prev, expected, head = row.hash, row.seq + 1, Head(row.seq, row.hash)
    if anchor and not anchored:
        problems.append(f"journal rows {head.seq + 1} to {anchor.seq}: cut off: the anchored head is row {anchor.seq}")
    erased = 0
    rest = dict(played.labels)
    for row in c.stream(
        "SELECT l.id, l.seq, l.state, l.value, l.salt, l.assignment, l.kind, l.guideline, l.seconds, l.correct, l.pay, "
        "l.at, r.pseudonym AS rater, e.name AS example, e.kind AS of FROM labels l "
        "LEFT JOIN raters r ON r.id = l.rater LEFT JOIN examples e ON e.id = l.example ORDER BY l.id"
    ):
        known = rest.pop(row.seq, None)
        if known is None:
            problems.append(f"label {row.id}: no row {row.seq} of the journal tells of it: added or renumbered")
            continue
        state, value, committed, facts = known
        if row.seq in played.forgotten and row.value is None:
            erased += 1
        elif not _holds(row.value, row.salt, value, committed):
            problems.append(f"label {row.id} (journal row {row.seq}): altered: not the answer that was given")
        if row.state != state:
            problems.append(
                f"label {row.id} (journal row {row.seq}): its state is {row.state}, the journal says {state}"
            )
        problems += _differing(row, facts)
    problems += [f"label of journal row {seq}: removed" for seq in rest]
    finals = dict(played.finals)
    for row in c.stream(
        "SELECT f.id, f.seq, f.value, f.salt, f.why, f.guideline, e.name AS example, r.pseudonym AS by FROM finals f "
        "LEFT JOIN examples e ON e.id = f.example LEFT JOIN raters r ON r.id = f.author ORDER BY f.id"
    ):
        told = finals.pop(row.seq, None)
        if told is None:
            problems.append(f"final label {row.id}: no row of the journal tells of it")
            continue
        *answer, body = told
        same = all(body.get(name) == getattr(row, name) for name in ("example", "by", "guideline"))
        # Journals of the first days hold the reason itself.
        why = row.why == body.get("why") or _holds(row.why, row.salt, None, body.get("why"))
        if not (same and why and _holds(row.value, row.salt, *answer)):
            problems.append(f"final label {row.id} (journal row {row.seq}): altered")
    problems += [f"final label of journal row {seq}: removed" for seq in finals]
    problems += _guidelines(c, played) + _examples(c, played) + _accounts(c, played)
    if len(problems) > MOST_PROBLEMS:
        more = len(problems) - MOST_PROBLEMS
        problems = [*problems[:MOST_PROBLEMS], f"and {more:,} more"]
    return Verdict(not problems, rows, len(played.labels), erased, head, tuple(problems))


def _differing(row: Any, facts: tuple[Any, ...]) -> list[str]:
    """Where a label's columns are not what the journal tells of it."""
    *told, at = facts
    own = [getattr(row, name) for name in FACTS]
    own[FACTS.index("correct")] = None if row.correct is None else bool(row.correct)
    problems = [
        f"label {row.id} (journal row {row.seq}): its {name} is {mine}, the journal says {said}"
        for name, mine, said in zip(FACTS, own, told, strict=True)
        if said is not UNTOLD and mine != said
    ]
    if round(row.at * 1000) != at:
        problems.append(f"label {row.id} (journal row {row.seq}): its time is not that of the journal")
    if row.of != (row.kind if row.kind in ("gold", "train", "test") else "work"):
        problems.append(f"label {row.id} (journal row {row.seq}): its example is {row.of}, and it is {row.kind}")
    return problems


def _accounts(c: Connection, played: _Played) -> list[str]:
    """Roles and states of accounts against the rows that gave them."""
    problems = []
    rest = dict(played.accounts)
    for row in c.stream("SELECT pseudonym, role, state FROM raters ORDER BY id"):
        told = rest.pop(row.pseudonym, None)
        if told is None:
            problems.append(f"account {row.pseudonym}: no row of the journal tells of it")
            continue
        for name, own, said in (("role", row.role, told[0]), ("state", row.state, told[1])):
            if said is not None and own != said:
                problems.append(f"account {row.pseudonym}: its {name} is {own}, the journal says {said}")
    return problems + [f"account {name}: removed" for name in rest]


def _guidelines(c: Connection, played: _Played) -> list[str]:
    problems = []
    rest = set(played.guidelines)
    for row in c.stream("SELECT hash, text FROM guidelines ORDER BY number"):
        if guideline_hash(row.text) != row.hash or row.hash not in played.guidelines:
            problems.append(f"guideline {row.hash[:8]}: altered or added")
        rest.discard(row.hash)
    return problems + [f"guideline {digest[:8]}: removed" for digest in sorted(rest)]


def _examples(c: Connection, played: _Played) -> list[str]:
    """Examples against what the journal tells of every load, and texts of those that raters work on against their
    digests. Known answers and explanations are held by a digest over what is kept of them."""
    problems = []
    digests: dict[str, list[str]] = {}
    kept: dict[str, list[str | None]] = {}
    for row in c.stream(
        "SELECT e.kind, e.name, e.digest, b.body, b.answers, b.explanation FROM examples e "
        "LEFT JOIN bodies b ON b.example = e.id ORDER BY e.id"
    ):
        loaded, now = played.replaced.get((row.kind, row.name), (row.digest, row.digest))
        digests.setdefault(row.kind, []).append(loaded)
        if row.digest != now or row.body is None or (row.kind == "work" and _digest(row.body) != row.digest):
            problems.append(f"example {row.name} ({row.kind}): altered since it was loaded")
        elif row.kind != "work":
            own_parts = kept_digest(row.body, row.answers, row.explanation)
            first, latest = played.replaced_kept.get((row.kind, row.name), (own_parts, own_parts))
            if latest not in (None, own_parts):
                problems.append(f"example {row.name} ({row.kind}): its text or known answer was altered")
            kept.setdefault(row.kind, []).append(first if latest is not None else None)
    for kind in sorted({*played.loaded, *digests}):
        own, start = digests.get(kind, []), 0
        for number, told in played.loaded.get(kind, []):
            if hashlib.sha256("".join(own[start : start + number]).encode()).hexdigest() != told:
                problems.append(f"examples ({kind}): some were added, removed or altered since they were loaded")
                break
            start += number
        else:
            if start != len(own):
                problems.append(f"examples ({kind}): {len(own) - start:,} were added, and the journal tells of none")
    for kind, parts in kept.items():
        start = 0
        for number, said in played.kept.get(kind, []):
            mine = parts[start : start + number]
            start += number
            if said is None or None in mine:  # loaded before the journal told of it
                continue
            if hashlib.sha256("".join(filter(None, mine)).encode()).hexdigest() != said:
                problems.append(f"examples ({kind}): a text, known answer or explanation was altered since the load")
    return problems


def kept_digest(body: str, answers: str | None, explanation: str | None) -> str:
    """64 hexadecimal digits of what is kept of an example with a known answer."""
    return hashlib.sha256(canonical([body, answers, explanation]).encode()).hexdigest()


def _digest(body: str) -> str:
    from tamis.people.task import digest_of

    try:
        return digest_of(json.loads(body))
    except ValueError:
        return ""


def guideline_hash(text: str) -> str:
    """64 hexadecimal digits of a guideline's content; line ends do not count."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def _holds(text: str | None, salt: str | None, value: str | None, committed: str | None) -> bool:
    if text is None:
        return False
    if committed is not None:
        return salt is not None and commitment(salt, text) == committed
    return text == value
