"""The receipt of one document: every rule with value and limit, what it lost to, its edits, and what would keep it.

Plain data; `receipt_text.render` prints it. Reads one row of each file, the ids and URLs of the shards until the
document is found, the edges, and what a what-if reads. Memory: as a what-if.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.documents import read_table
from tamis.errors import WrongUse
from tamis.verdicts.align import Alignment, align
from tamis.verdicts.document_texts import Texts
from tamis.verdicts.evidence import Evidence, evidence
from tamis.verdicts.expression import Limit, Value, constant
from tamis.verdicts.lookup import Found, address, find, read_row, read_row_table
from tamis.verdicts.reader import Reader
from tamis.verdicts.relaxing import relaxed
from tamis.verdicts.rules import Rule, RuleSet
from tamis.verdicts.sql import values
from tamis.verdicts.what_if import what_if

MOST_FINDINGS = 8  # of one group
SHOWN = 160  # characters of one

PASS, DROP, WOULD_DROP = "pass", "DROP", "would drop"
NOT_MEASURED, OUT_OF_SCOPE = "not measured", "out of scope"


@dataclass(frozen=True)
class RuleLine:
    """One rule for this document. `signals` and `found` side by side; `limit` as people write it."""

    name: str
    signals: tuple[str, ...]
    found: tuple[Value | None, ...]
    limit: str
    limits: tuple[Limit, ...]
    verdict: str
    scope: str
    unit: str
    source: str
    origin: str


@dataclass(frozen=True)
class Edited:
    """What one cleaning rule did: number of edits, bytes of extracted text taken out, bytes put in."""

    rule: str
    edits: int
    removed: int
    inserted: int


@dataclass(frozen=True)
class Change:
    """One edit with what stands around it; byte offsets into the extracted text."""

    rule: str
    start: int
    end: int
    before: str
    removed: str
    inserted: str
    after: str


@dataclass(frozen=True)
class Rival:
    """The document at the other end of the strongest edge, or the kept one to which this one lost."""

    id: str
    url: str | None
    gid: int
    kept: bool
    kind: str
    jaccard: float
    containment: float
    strong: bool
    left_text: str = ""
    right_text: str = ""
    alignment: Alignment | None = None


@dataclass(frozen=True)
class ToKeep:
    """What it would take: rule settings that keep the document, and how many documents they return in all.
    `works` is false where it would still be lost, as a duplicate; `why` says what stands in the way."""

    settings: Mapping[str, str]
    returns: int
    works: bool
    why: str = ""


@dataclass(frozen=True)
class Receipt:
    """Everything that decided about one document."""

    id: str
    url: str | None
    shard: int
    row: int
    source: str
    date: str | None
    keep: bool
    reason: str | None
    reasons: tuple[str, ...]
    corpus: str
    recipe: str
    presets: tuple[str, ...]
    titles: tuple[str, ...]
    words: int | None
    chars: int | None
    language: str | None
    score: float | None
    edited: tuple[Edited, ...]
    changes: tuple[Change, ...]
    rules: tuple[RuleLine, ...]
    duplicate: Rival | None
    nearest: Rival | None
    evidence: tuple[Evidence, ...]
    to_keep: ToKeep | None
    stale: bool

    @property
    def fired(self) -> RuleLine | None:
        """The rule that fired first; None where the document is kept or something else dropped it."""
        return next((line for line in self.rules if line.verdict == DROP), None)


def receipt(reader: Reader, key: str, *, signals: Mapping[str, pa.DataType] | None = None, changes: int = 8) -> Receipt:
    """The receipt of the document whose id begins with `key` or whose URL it is.

    `changes`: how many edits to show. Raises NotFound, Ambiguous.
    """
    found = find(reader, key)
    rules = reader.rules
    document = read_row(reader.documents(found.shard), found.row)
    verdict = read_row(reader.verdicts(found.shard), found.row)
    known = _row(reader, found, _groups(rules))
    lines = _lines(rules, known, document["text"] is not None)
    texts = Texts(reader)
    edits = texts.merged(found)
    wrong = [line.name for line in lines if line.verdict in (DROP, WOULD_DROP)]
    stated = [name for name in verdict["reasons"] if name in rules.names]
    duplicate, nearest = _rivals(reader, found, verdict, texts, document["text"])
    return Receipt(
        id=found.id,
        url=found.url or address(read_row(reader.documents(found.shard), found.row, ["url", "meta"])),
        shard=found.shard,
        row=found.row,
        source=document["source"],
        date=document["date"],
        keep=verdict["keep"],
        reason=verdict["reason"],
        reasons=tuple(verdict["reasons"]),
        corpus=reader.corpus,
        recipe=reader.recipe,
        presets=rules.presets,
        titles=rules.titles,
        words=_plain(known, "final.words"),
        chars=_plain(known, "final.chars"),
        language=_plain(known, "lang.code"),
        score=_plain(known, "lang.score"),
        edited=_edited(edits),
        changes=_changes(document["text"], edits, changes),
        rules=lines,
        duplicate=duplicate,
        nearest=nearest,
        evidence=(
            *_evidence(lines, texts.clean(found, document["text"]), texts.final(found, document["text"])),
            *_findings(reader, texts, found, document["text"]),
        ),
        to_keep=_to_keep(reader, found, lines, verdict, signals),
        stale=document["text"] is not None and sorted(wrong) != sorted(stated),
    )


def to_json(found: Receipt) -> dict[str, Any]:
    """The receipt as one JSON object; texts of both documents are cut to what the alignment shows."""
    body = asdict(found)
    for rival in (body["duplicate"], body["nearest"]):
        if rival is not None:
            del rival["left_text"], rival["right_text"]
    return body


def _groups(rules: RuleSet) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {"final": ["words", "chars"], "lang": ["code", "score"]}
    for name in rules.columns:
        group, column = name.split(".", 1)
        if column not in wanted.setdefault(group, []):
            wanted[group].append(column)
    return wanted


def _row(reader: Reader, found: Found, wanted: Mapping[str, Sequence[str]]) -> dict[str, pa.ChunkedArray]:
    """The document's signals by flat name, one value each; a group that is not there gives none."""
    columns = {}
    for group, names in wanted.items():
        path = reader.signals(group, found.shard)
        if path is not None:
            table = read_row_table(path, found.row, names)
            columns.update({f"{group}.{name}": table.column(name) for name in names})
    return columns


def _plain(known: Mapping[str, pa.ChunkedArray], name: str) -> Any:
    return known[name][0].as_py() if name in known else None


def _lines(rules: RuleSet, known: Mapping[str, pa.ChunkedArray], measured: bool) -> tuple[RuleLine, ...]:
    """Every rule with its verdict; the first that fired is DROP, later ones would drop. A document without text is
    not `measured`."""
    asked = {}
    for number, rule in enumerate(rules):
        if all(name in known for name in rule.columns):
            asked[f"where_{number}"] = rule.where.query
            if rule.scope:
                asked[f"scope_{number}"] = rule.scope.query
    answers = values(asked, known)[0] if known and asked else {}
    lines = []
    dropped = False
    for number, rule in enumerate(rules):
        holds, inside = answers.get(f"where_{number}"), answers.get(f"scope_{number}", True)
        if not measured or (holds is None and inside):
            verdict = NOT_MEASURED
        elif not inside:
            verdict = OUT_OF_SCOPE
        elif holds:
            verdict = PASS
        else:
            verdict = WOULD_DROP if dropped else DROP
            dropped = True
        lines.append(_line(rule, known, verdict))
    return tuple(lines)


def _line(rule: Rule, known: Mapping[str, pa.ChunkedArray], verdict: str) -> RuleLine:
    return RuleLine(
        name=rule.name,
        signals=rule.where.columns,
        found=tuple(_plain(known, name) for name in rule.where.columns),
        limit=limit_text(rule),
        limits=rule.limits,
        verdict=verdict,
        scope=rule.scope.text if rule.scope else "",
        unit=rule.unit,
        source=rule.source,
        origin=rule.origin,
    )


def limit_text(rule: Rule) -> str:
    """`>= 50`, `3 to 10`, `= 'en', >= 0.65`; the whole expression where it is no conjunction of thresholds."""
    limits = rule.limits
    if not limits:
        return rule.where.text
    if len(limits) == 2 and limits[0].column == limits[1].column:
        low, high = sorted(limits, key=lambda one: one.operator != ">=")
        if (low.operator, high.operator) == (">=", "<="):
            return f"{constant(low.constant)} to {constant(high.constant)}"
    return ", ".join(f"{one.operator} {constant(one.constant)}" for one in limits)


def _edited(edits: Sequence[Mapping[str, Any]]) -> tuple[Edited, ...]:
    totals: dict[str, list[int]] = {}
    for edit in edits:
        sums = totals.setdefault(edit["rule"], [0, 0, 0])
        for slot, number in enumerate((1, edit["end"] - edit["start"], len(edit["replacement"].encode()))):
            sums[slot] += number
    return tuple(Edited(rule, *sums) for rule, sums in totals.items())


def _changes(text: str | None, edits: Sequence[Mapping[str, Any]], most: int) -> tuple[Change, ...]:
    """The largest edits, in the order of the text; edits of white space alone are not shown."""
    if text is None:
        return ()
    from tamis.clean.edits import difference

    data = text.encode()
    visible = [e for e in edits if data[e["start"] : e["end"]].decode().strip() or e["replacement"].strip()]
    largest = sorted(visible, key=lambda edit: (edit["start"] - edit["end"], edit["start"]))[:most]
    hunks = difference(text, sorted(largest, key=lambda edit: edit["start"]))
    return tuple(Change(h.rule, h.start, h.end, h.before, h.removed, h.inserted, h.after) for h in hunks)


def _rivals(
    reader: Reader, found: Found, verdict: Mapping[str, Any], texts: Texts, text: str | None
) -> tuple[Rival | None, Rival | None]:
    """The kept document to which this one lost, aligned; else the nearest other document, not aligned."""
    edges = _edges(reader, found.gid)
    if not edges:
        return None, None
    gid = verdict["kept_gid"]
    if gid is None:
        best = max(
            edges, key=lambda edge: (edge["kind"] == "exact", edge["jaccard"], edge["containment"], -edge["other"])
        )
        return None, _rival(reader, best)
    direct = next((edge for edge in edges if edge["other"] == gid), None)
    rival = _rival(reader, direct or _elected(reader, found.gid))
    other = Found(gid >> 32, gid & 0xFFFFFFFF, rival.id, rival.url)
    left = texts.final(found, text)
    right = texts.final(other, read_row(reader.documents(other.shard), other.row, ["text"])["text"])
    return replace(rival, left_text=left, right_text=right, alignment=align(left, right)), None


def _edges(reader: Reader, gid: int) -> list[dict[str, Any]]:
    """All edges of a document, with `other` and `strong`."""
    found = []
    address = pa.scalar(gid, pa.uint64())
    for path in reader.edges():
        table = read_table(path)
        table = table.filter(pc.or_(pc.equal(table.column("left"), address), pc.equal(table.column("right"), address)))
        strong = reader.strength.of(table).tolist() if table.num_rows else []
        for edge, is_strong in zip(table.to_pylist(), strong, strict=True):
            other = edge["right"] if edge["left"] == gid else edge["left"]
            found.append({**edge, "other": other, "strong": is_strong})
    return found


def _elected(reader: Reader, gid: int) -> dict[str, Any]:
    """By what a document lost that has no edge of its own to the kept one: the edge of a document of equal text."""
    table = read_table(reader.duplicates())
    row = table.filter(pc.equal(table.column("gid"), pa.scalar(gid, pa.uint64()))).to_pylist()[0]
    return {**row, "other": row["kept_gid"], "strong": True}


def _rival(reader: Reader, edge: Mapping[str, Any]) -> Rival:
    gid = edge["other"]
    shard, row = gid >> 32, gid & 0xFFFFFFFF
    names = read_row(reader.documents(shard), row, ["id", "url", "meta"])
    kept = read_row(reader.verdicts(shard), row, ["keep"])["keep"]
    measures = (round(edge["jaccard"], 4), round(edge["containment"], 4), edge["strong"])
    return Rival(names["id"], address(names), gid, kept, edge["kind"], *measures)


def _evidence(lines: Sequence[RuleLine], clean: str, final: str) -> tuple[Evidence, ...]:
    """One place for each rule that fired, where there is one to point at, each place once, and of the duplicate
    n-grams the first rule's only: the longer ones lie in the same passages."""
    found: dict[tuple[int, int], Evidence] = {}
    for line in lines:
        if line.verdict in (DROP, WOULD_DROP):
            for signal, value in zip(line.signals, line.found, strict=True):
                n_gram = signal.startswith("repetition.dup_") and signal[-1].isdigit()
                if n_gram and any(one.signal.startswith("repetition.dup_") for one in found.values()):
                    continue
                if (one := evidence(signal, value, clean, final)) is not None:
                    found.setdefault((one.start, one.end), one)
    return tuple(found.values())


def _findings(reader: Reader, texts: Texts, found: Found, text: str | None) -> list[Evidence]:
    """What the recipe's own signal groups say of this text, whether or not a rule fired on it."""
    made = []
    for extra in reader.extras.values():
        if extra.explain is None or text is None:
            continue
        try:
            state = extra.group.reads
            read = texts.final(found, text) if state == "final" else texts.clean(found, text)
            listed = extra.findings(read)[:MOST_FINDINGS]
        except (OSError, WrongUse) as error:  # the verdict needs no model or list, only this view does
            made.append(Evidence(extra.name, "clean", 0, 0, "", f"not shown: {error}"))
            continue
        data = read.encode()
        for one in listed:
            start = len(data[: one.start].decode("utf-8", "ignore"))
            shown = data[one.start : one.end].decode("utf-8", "ignore")
            made.append(Evidence(one.signal, state, start, start + len(shown), shown[:SHOWN], one.what))
    return made


def _to_keep(
    reader: Reader,
    found: Found,
    lines: Sequence[RuleLine],
    verdict: Mapping[str, Any],
    signals: Mapping[str, pa.DataType] | None,
) -> ToKeep | None:
    if verdict["keep"]:
        return None
    if verdict["kept_gid"] is not None:
        return ToKeep({}, 0, False, "no rule: it is a duplicate of a document that is kept")
    broken = [line for line in lines if line.verdict in (DROP, WOULD_DROP)]
    settings = {line.name: relaxed(line.limits, dict(zip(line.signals, line.found, strict=True))) for line in broken}
    if not settings:
        return ToKeep({}, 0, False, "no rule: it has no text, which only another extraction can change")
    answer = what_if(reader, settings, signals=signals, examples=0, watch=[found.gid])
    works = answer.watched[0]
    why = "" if works else "it would still be lost, as a duplicate of a document that these settings keep"
    return ToKeep(settings, answer.won, works, why)
