"""What a report and a data card show: plain data, so that both can be made and tested without a workspace.

Text of documents is kept as it is here; `report` and `card` make it inert. Memory: a few excerpts per rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """A document as shown: the first characters of its extracted text. `chars` is the whole text's length."""

    id: str
    source: str
    language: str
    url: str | None
    excerpt: str
    chars: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleRow:
    """One reason for dropping. first: documents whose first reason it is; fired: on how many it fired; alone: how
    many only it drops. A loss of extraction has no expression."""

    name: str
    expression: str
    source: str
    first: int
    fired: int
    alone: int
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Count:
    """Documents and bytes of final text of one (source, language, reason); reason None is kept."""

    source: str
    language: str
    reason: str | None
    documents: int
    bytes: int


@dataclass(frozen=True)
class Limit:
    """A threshold drawn in a histogram: documents must be `operator` `value`."""

    rule: str
    operator: str
    value: float


@dataclass(frozen=True)
class Histogram:
    """Counts of a signal in B bins; edges are B + 1 values of the signal. Values beyond the edges are in the first
    and last bin (`below`, `above` of them). `log`: edges are even in log(1 + value)."""

    signal: str
    unit: str
    description: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int
    above: int
    null: int
    log: bool
    limits: tuple[Limit, ...]


@dataclass(frozen=True)
class ClusterRow:
    """Documents found alike: the kept one, one that lost to it, and the words that differ (see `align`)."""

    size: int
    jaccard: float
    kept: Sample
    lost: Sample
    aligned: tuple[tuple[str, str], ...]  # ("same" | "kept" | "lost" | "gap", words)


@dataclass(frozen=True)
class LedgerRow:
    """What a stage took and gave, in `unit`; rows_in = rows_out + the sum of reasons."""

    stage: str
    unit: str
    rows_in: int
    rows_out: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class LossRow:
    """Records that gave no document: how many for a reason, and the first few places."""

    reason: str
    count: int
    examples: tuple[tuple[str, int, str], ...] = ()  # (file, offset, detail)


@dataclass(frozen=True)
class SourceRow:
    """A source of the recipe."""

    name: str
    paths: tuple[str, ...]
    licence: str
    records: int
    documents: int


@dataclass(frozen=True)
class StageRow:
    """A stage's files: how many, their bytes, and one hash over all their hashes in order."""

    stage: str
    files: int
    bytes: int
    hash: str


@dataclass(frozen=True)
class ShardRow:
    """A token shard."""

    file: str
    tokens: int
    documents: int
    sha256: str


@dataclass(frozen=True)
class TextRow:
    """The final text: documents in Parquet files, copies counted."""

    files: int
    documents: int


@dataclass(frozen=True)
class TokensRow:
    """The token shards as a whole."""

    tokens: int
    documents: int
    dtype: str
    vocabulary: int
    tokenizer_sha256: str
    context: int | None
    shards: tuple[ShardRow, ...]


@dataclass(frozen=True)
class AuditRow:
    """What people found in a sample of decisions: shares with their 95 % interval, None where nobody could tell."""

    kind: str
    judged: int
    drawn: int
    raters: int
    precision: tuple[float, float, float] | None
    recall: tuple[float, float, float] | None


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows of one corpus."""

    name: str
    recipe_label: str
    recipe_digest: str
    recipe: str  # YAML
    seed: int
    sources: tuple[SourceRow, ...]
    counts: tuple[Count, ...]
    rules: tuple[RuleRow, ...]
    histograms: tuple[Histogram, ...] = ()
    clusters: tuple[ClusterRow, ...] = ()
    duplicates: int = 0
    survivors: int = 0
    audits: tuple[AuditRow, ...] = ()
    mixture: tuple[Mapping[str, Any], ...] = ()
    limited_by: tuple[str, ...] = ()
    tokens: TokensRow | None = None
    text: TextRow | None = None
    ledger: tuple[LedgerRow, ...] = ()
    losses: tuple[LossRow, ...] = ()
    lineage: tuple[StageRow, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    versions_of_run: bool = True  # or those of whoever makes the report

    @property
    def records(self) -> int:
        return sum(source.records for source in self.sources)

    @property
    def documents(self) -> int:
        return sum(count.documents for count in self.counts)

    @property
    def kept(self) -> int:
        return sum(count.documents for count in self.counts if count.reason is None)

    @property
    def kept_bytes(self) -> int:
        return sum(count.bytes for count in self.counts if count.reason is None)

    def by(self, field_name: str) -> dict[str, tuple[int, int, int]]:
        """(documents, kept documents, kept bytes) by `source` or `language`, most documents first."""
        found: dict[str, list[int]] = {}
        for count in self.counts:
            row = found.setdefault(getattr(count, field_name), [0, 0, 0])
            row[0] += count.documents
            if count.reason is None:
                row[1] += count.documents
                row[2] += count.bytes
        order = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
        return {name: (row[0], row[1], row[2]) for name, row in order}


def align(kept: str, lost: str, context: int = 12, words: int = 160) -> tuple[tuple[str, str], ...]:
    """The differences of two texts, word by word: runs that are in both ("same"), in the kept one only ("kept"), in
    the lost one only ("lost"); longer common runs are shortened to `context` words at each side ("gap").

    Compares the first 2,000 words of each and shows at most `words`, so that a giant document costs no more.
    """
    import difflib

    a, b = kept.split()[:2000], lost.split()[:2000]
    shown: list[tuple[str, str]] = []
    for kind, a0, a1, b0, b1 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            run = a[a0:a1]
            if len(run) > 2 * context + 4:
                if shown:
                    shown.append(("same", " ".join(run[:context])))
                shown.append(("gap", f"{len(run) - (2 if shown else 1) * context:,} words alike"))
                shown.append(("same", " ".join(run[-context:])))
            else:
                shown.append(("same", " ".join(run)))
        else:
            if a1 > a0:
                shown.append(("kept", _shorten(a[a0:a1])))
            if b1 > b0:
                shown.append(("lost", _shorten(b[b0:b1])))
    taken, total = [], 0
    for part in shown:
        total += len(part[1].split())
        taken.append(part)
        if total > words:
            break
    return tuple(taken)


def _shorten(words: list[str], most: int = 40) -> str:
    if len(words) <= most:
        return " ".join(words)
    return " ".join(words[: most // 2]) + f" … {len(words) - most:,} more … " + " ".join(words[-most // 2 :])
