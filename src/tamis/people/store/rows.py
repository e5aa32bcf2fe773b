"""What the store hands out: plain frozen objects, and its one kind of error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tamis.errors import SaidNo

Role = Literal["owner", "adjudicator", "rater", "model"]
ROLES: tuple[Role, ...] = ("owner", "adjudicator", "rater", "model")
State = Literal["training", "qualifying", "active", "failed", "blocked", "left", "erased"]
Phase = Literal["training", "qualification", "work"]


class StoreError(ValueError, SaidNo):
    """What the store refuses. `.code` is for programs, the message for people, `.seconds` says how long to wait.

    Codes: unknown, forbidden, blocked, not-open, bad-token, other-email, taken, password, wait, sign-in, no-undo, busy,
    task, newer, not-empty, damaged.
    """

    def __init__(self, code: str, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.code, self.seconds = code, seconds


@dataclass(frozen=True)
class Rater:
    """An account. `version` rises with everything that must end its sessions. Name and e-mail are empty once erased."""

    id: int
    pseudonym: str
    role: Role
    state: State
    version: int
    name: str
    email: str
    language: str
    guideline: str | None  # hash of the guideline last shown


@dataclass(frozen=True)
class Invitation:
    role: Role
    email: str | None
    expires: float


@dataclass(frozen=True)
class Assignment:
    """One example for one rater. `example` is the row without its answers; its "id" must not be shown, for it could
    tell hidden gold from work."""

    id: str
    example: Mapping[str, Any]
    order: tuple[str, ...]  # response names in the order to show
    phase: Phase
    until: float  # end of the lease, seconds since 1970
    guideline: str
    number: int
    of: int | None
    previous: Any = None  # the answer that was taken back


@dataclass(frozen=True)
class Done:
    """Why there is nothing to do. `retry`: seconds after which there may be."""

    reason: Literal["finished", "wait", "budget", "failed", "blocked", "left"]
    message: str
    retry: float | None = None


@dataclass(frozen=True)
class Feedback:
    right: bool
    expected: Any
    explanation: str


@dataclass(frozen=True)
class Submitted:
    """accepted; again: was here before, nothing was written; surplus: kept, but the example had all it needs."""

    status: Literal["accepted", "again", "surplus"]
    feedback: Feedback | None
    next: Assignment | Done


@dataclass(frozen=True)
class Guideline:
    hash: str
    number: int
    text: str
    at: float


@dataclass(frozen=True)
class Attempt:
    """A rater's attempt at the qualification test; `answers` of the test's questions so far, `right` of them right."""

    number: int
    right: int
    answers: int


@dataclass(frozen=True)
class Mine:
    """What a rater sees of their own work. Gold and repeats count as answers, for they look like any other.

    worked: examples of the task that this rater has answered or skipped; gold_left, repeats_left: gold questions that
    may still come, and repeats that are planned. None of the three may be shown alone: they tell gold from work.
    """

    done: int
    skipped: int
    today: int
    median_seconds: float | None
    active_seconds: float
    earned: float
    currency: str
    can_undo: bool
    phase: str
    number: int
    of: int | None
    worked: int
    gold_left: int
    repeats_left: int


@dataclass(frozen=True)
class Progress:
    """examples: to be labelled; closed: have all they need; labels: live ones; wanted: still to come (a lower bound
    under adaptive overlap); stale: live labels under an older guideline."""

    examples: int
    closed: int
    labels: int
    wanted: int
    surplus: int
    skipped: int
    open_leases: int
    raters: int
    seconds: float
    adjudicated: int
    guideline: Guideline
    stale: int


@dataclass(frozen=True)
class RaterRow:
    """One line of the owner's table. gold_low, gold_high: Wilson's 95% interval of the accuracy on gold. flips: share
    of self-repeats answered otherwise. hourly: pay over active seconds."""

    rater: Rater
    labels: int
    skipped: int
    surplus: int
    gold_right: int
    gold_wrong: int
    gold_low: float | None
    gold_high: float | None
    verdict: str
    repeats: int
    flips: int
    seconds_median: float | None
    seconds_total: float
    paste_share: float | None
    pay: float
    bonus: float
    hourly: float | None
    last: float | None


@dataclass(frozen=True)
class Answer:
    """One row of `labels`, with names instead of numbers."""

    example: str
    rater: str
    role: Role
    value: Any
    kind: str  # work, gold, repeat, train, test, model
    state: str  # live, surplus, withdrawn, outdated, void, erased
    at: float
    seconds: float | None
    pasted: float | None
    note: str | None
    guideline: str
    shown: tuple[str, ...]
    correct: bool | None
    seq: int


@dataclass(frozen=True)
class Skip:
    example: str
    rater: str
    reason: str
    at: float
    guideline: str


@dataclass(frozen=True)
class Dispute:
    """An example for an adjudicator: what was answered, by whom, and why it is here."""

    example: str
    row: Mapping[str, Any]
    answers: list[tuple[str, Any, str | None, float]]  # pseudonym, value, note, at
    posterior: float | None
    label: Any
    skips: list[tuple[str, str]]  # pseudonym, reason
    why: str


@dataclass(frozen=True)
class Final:
    """A decision of an adjudicator; of several on one example, the last counts."""

    example: str
    value: Any
    by: str
    why: str
    guideline: str
    at: float


@dataclass(frozen=True)
class Stale:
    """What a change of the guideline leaves behind: examples with live labels under an older one."""

    examples: tuple[str, ...]
    labels: int
    by_guideline: Mapping[str, int]


@dataclass(frozen=True)
class Head:
    """The end of the journal. Written down elsewhere, it proves later that nothing was cut off."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """From `SEQ:HASH`. Raises StoreError."""
        seq, _, digest = text.strip().partition(":")
        if not seq.isdigit() or len(digest) != 64:
            raise StoreError("bad-token", f"{text!r} is no head of a journal: `tamis label verify` prints SEQ:HASH")
        return cls(int(seq), digest)


@dataclass(frozen=True)
class Entry:
    seq: int
    at: float
    kind: str
    body: Mapping[str, Any]
    hash: str


@dataclass(frozen=True)
class Verdict:
    """What the check of the journal found. `problems` name each row that was altered, removed or reordered."""

    ok: bool
    rows: int
    labels: int
    erased: int
    head: Head
    problems: tuple[str, ...] = field(default=())
