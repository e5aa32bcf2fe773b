"""The schema of the labels' database as numbered steps, for SQLite and PostgreSQL alike.

A new database runs all of them, an older one those that it lacks, and a newer one is refused by name. A step that has
been released never changes: mend it with another. `{id}` is an identity column, `{real}` a 64-bit float.
"""

from __future__ import annotations

from collections.abc import Sequence

from tamis.people.store.rows import StoreError

V1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);

-- Raters under pseudonyms. Who they are lies in `people` alone, whose rows erasure removes.
CREATE TABLE raters (
  id {id}, pseudonym TEXT NOT NULL UNIQUE, role TEXT NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1,
  joined {real} NOT NULL, language TEXT NOT NULL, guideline TEXT,
  place BIGINT NOT NULL DEFAULT 0, gold_place BIGINT NOT NULL DEFAULT 0,
  given INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 1,
  gold_right INTEGER NOT NULL DEFAULT 0, gold_wrong INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE people (
  rater BIGINT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, password TEXT NOT NULL, salt TEXT NOT NULL
);
CREATE TABLE invitations (
  id TEXT PRIMARY KEY, role TEXT NOT NULL, email TEXT, author BIGINT, expires {real} NOT NULL, used {real}
);
CREATE TABLE resets (id TEXT PRIMARY KEY, rater BIGINT NOT NULL, expires {real} NOT NULL, used {real});
CREATE TABLE tries (name TEXT PRIMARY KEY, failures INTEGER NOT NULL, first {real} NOT NULL);
CREATE TABLE guidelines (hash TEXT PRIMARY KEY, number INTEGER NOT NULL, text TEXT NOT NULL, at {real} NOT NULL);

-- The queue. taken: slots answered or leased; open: 1 where taken < need. Whatever frees a slot moves the example to
-- the end, so that a rater walks through positions in one direction and every choice is one step in an index.
CREATE TABLE examples (
  id {id}, kind TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, position BIGINT NOT NULL,
  need INTEGER NOT NULL, taken INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
  skips INTEGER NOT NULL DEFAULT 0, open INTEGER NOT NULL
);
CREATE UNIQUE INDEX examples_name ON examples (kind, name);
CREATE UNIQUE INDEX examples_position ON examples (kind, position);
CREATE INDEX examples_open ON examples (position) WHERE open = 1;
CREATE TABLE bodies (example BIGINT PRIMARY KEY, body TEXT NOT NULL, answers TEXT, explanation TEXT);

CREATE TABLE assignments (
  id {id}, rater BIGINT NOT NULL, example BIGINT NOT NULL, kind TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 1,
  state TEXT NOT NULL, opened {real} NOT NULL, until {real} NOT NULL, shown TEXT NOT NULL, guideline TEXT NOT NULL,
  rank INTEGER NOT NULL DEFAULT 0, token TEXT, reason TEXT
);
-- At most one answer of a rater to an example: no program error can get around this.
CREATE UNIQUE INDEX assignments_once ON assignments (rater, example, kind, attempt)
  WHERE state NOT IN ('outdated', 'void');
CREATE INDEX assignments_rater ON assignments (rater) WHERE state = 'open';
CREATE INDEX assignments_until ON assignments (until) WHERE state = 'open';
CREATE INDEX assignments_example ON assignments (example);

CREATE TABLE labels (
  id {id}, assignment BIGINT, rater BIGINT NOT NULL, example BIGINT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
  value TEXT, salt TEXT, seconds {real}, at {real} NOT NULL, guideline TEXT NOT NULL, token TEXT, correct INTEGER,
  pay BIGINT NOT NULL DEFAULT 0, seq BIGINT NOT NULL
);
CREATE UNIQUE INDEX labels_once ON labels (assignment) WHERE state IN ('live', 'surplus');
CREATE INDEX labels_rater ON labels (rater, id);
CREATE INDEX labels_example ON labels (example);
CREATE UNIQUE INDEX labels_seq ON labels (seq);
CREATE TABLE repeats (
  rater BIGINT NOT NULL, example BIGINT NOT NULL, due INTEGER NOT NULL, PRIMARY KEY (rater, example)
);
CREATE INDEX repeats_due ON repeats (rater, due);

CREATE TABLE journal (
  seq BIGINT PRIMARY KEY, at BIGINT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, prev TEXT NOT NULL,
  hash TEXT NOT NULL
);
"""

# Adjudication: final labels, and the posteriors that say where one is needed.
V2 = """
CREATE TABLE finals (
  id {id}, example BIGINT NOT NULL, value TEXT, salt TEXT, author BIGINT NOT NULL, why TEXT NOT NULL,
  guideline TEXT NOT NULL, at {real} NOT NULL, seq BIGINT NOT NULL
);
CREATE INDEX finals_example ON finals (example, id);
CREATE TABLE posteriors (
  example BIGINT PRIMARY KEY, label TEXT NOT NULL, posterior {real} NOT NULL, n INTEGER NOT NULL, method TEXT NOT NULL
);
CREATE INDEX posteriors_low ON posteriors (posterior);
"""

# What a rater pasted, remarks beside an answer, and why an account was blocked.
V3 = """
ALTER TABLE labels ADD COLUMN pasted {real};
ALTER TABLE labels ADD COLUMN note TEXT;
ALTER TABLE raters ADD COLUMN remark TEXT;
"""

STEPS: Sequence[str] = (V1, V2, V3)
VERSION = len(STEPS)
# Every table, parents first: what a backup holds.
TABLES = (
    "meta", "counters", "raters", "people", "invitations", "resets", "tries", "guidelines", "examples", "bodies",
    "assignments", "labels", "repeats", "journal", "finals", "posteriors",
)  # fmt: skip
IDENTITIES = ("raters", "examples", "assignments", "labels", "finals")


def statements(step: str, dialect: str) -> list[str]:
    """The statements of a step in a dialect: "sqlite" or "postgresql"."""
    sqlite = dialect == "sqlite"
    identity = "INTEGER PRIMARY KEY" if sqlite else "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    lines = (line for line in step.splitlines() if not line.lstrip().startswith("--"))
    text = "\n".join(lines).replace("{id}", identity).replace("{real}", "REAL" if sqlite else "DOUBLE PRECISION")
    return [part.strip() for part in text.split(";") if part.strip()]


def pending(version: int, where: str) -> list[tuple[int, str]]:
    """The steps that a database of a version lacks. Raises StoreError for one that is newer than this program."""
    if version > VERSION:
        raise StoreError(
            "newer",
            f"{where} has schema version {version}, and this Tamis knows up to {VERSION}: it was opened by a newer "
            "Tamis. Install that one; nothing was changed here.",
        )
    return [(number, step) for number, step in enumerate(STEPS, 1) if number > version]
