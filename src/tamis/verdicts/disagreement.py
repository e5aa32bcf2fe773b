"""Where two rule sets disagree on the documents of a workspace, rule by rule, with examples at the line.

Only rules are compared: the election of duplicates is not. Signals that the workspace has measured are read; those it
has not are measured here, in memory, on a sample spread evenly over the documents. Nothing is written.

Memory: one row group of documents, one batch, and the rows of the documents on which the two disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.clean.edits import apply_edits
from tamis.documents import open_shard, read_table
from tamis.signals import GROUPS
from tamis.verdicts.display import printable
from tamis.verdicts.expression import Limit, Value
from tamis.verdicts.lookup import address, read_row
from tamis.verdicts.reader import Reader
from tamis.verdicts.rules import RuleError, RuleSet
from tamis.verdicts.task import evaluate
from tamis.verdicts.texts import signals_of

SAMPLE = 2_000
# Groups whose files depend on the line filters of the recipe that made them.
_FILTERED = frozenset(("final",))
_ALWAYS = "document"


@dataclass
class Split:
    """Documents by what the two say: `both_keep`, `both_drop`, `only_first` (the first alone drops), `only_second`."""

    both_keep: int = 0
    both_drop: int = 0
    only_first: int = 0
    only_second: int = 0

    @property
    def documents(self) -> int:
        return self.both_keep + self.both_drop + self.only_first + self.only_second

    @property
    def agreement(self) -> float | None:
        """Share of documents on which the two agree; None without documents."""
        return (self.both_keep + self.both_drop) / self.documents if self.documents else None

    @property
    def overlap(self) -> float | None:
        """Jaccard similarity of the two sets of dropped documents; None where nothing is dropped."""
        dropped = self.documents - self.both_keep
        return self.both_drop / dropped if dropped else None

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """bool (N,) each: which documents it drops."""
        self.both_keep += int((~first & ~second).sum())
        self.both_drop += int((first & second).sum())
        self.only_first += int((first & ~second).sum())
        self.only_second += int((~first & second).sum())

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "documents": self.documents, "agreement": self.agreement, "overlap": self.overlap}


@dataclass(frozen=True)
class Across:
    """One document that one rule set drops and the other keeps. `dropped_by`: 1 or 2. `value` and `limit` of the rule
    of it that is nearest to holding; `distance` in standard deviations of the signal over the documents."""

    id: str
    url: str | None
    dropped_by: int
    rule: str
    signal: str
    value: Value | None
    limit: str
    distance: float | None


@dataclass
class Disagreement:
    """The answer. `rules`: those that both have under one name; `alone`: the others, by set, and what each drops."""

    names: tuple[str, str]
    total: int
    documents: int
    measured: tuple[str, ...]
    overall: Split = field(default_factory=Split)
    rules: dict[str, Split] = field(default_factory=dict)
    alone: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))
    examples: list[Across] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "first": self.names[0],
            "second": self.names[1],
            "documents": self.documents,
            "of": self.total,
            "measured_here": list(self.measured),
            "overall": self.overall.to_json(),
            "rules": {name: split.to_json() for name, split in self.rules.items()},
            "only_in_first": self.alone[0],
            "only_in_second": self.alone[1],
            "examples": [asdict(one) for one in self.examples],
        }


def disagreement(
    reader: Reader,
    names: tuple[str, str],
    sets: tuple[RuleSet, RuleSet],
    *,
    line_filters: Sequence[str] = (),
    documents: int | None = None,
    examples: int = 5,
) -> Disagreement:
    """Compares two rule sets on the documents of a workspace.

    `line_filters`: those of the recipe that measured the workspace's `final` signals. `documents`: how many to look
    at, spread evenly; all of them where every signal is there, else 2,000. Raises RuleError for a signal group that
    neither the workspace nor the registry has.
    """
    here = tuple(_missing(reader, rules, line_filters) for rules in sets)
    missing = tuple(sorted({*here[0], *here[1]}))
    for name in missing:
        if name not in GROUPS:
            raise RuleError(
                f"the signals of {name} are not measured in this workspace, and only a recipe that asks for them can "
                "measure them: name them in its `signals` and run it",
                ("rules",),
            )
    rows = [_rows(reader, shard) for shard in range(reader.shards)]
    total = sum(rows)
    wanted = documents or (SAMPLE if missing else total)
    step = max(1, math.ceil(total / wanted)) if total else 1
    found = Disagreement(names, total, 0, missing)
    shared = [name for name in sets[0].names if name in sets[1].names]
    found.rules = {name: Split() for name in shared}
    for own, rules in zip(found.alone, sets, strict=True):
        own.update({name: 0 for name in rules.names if name not in shared})
    spread, differing = _Spread(), []
    first = 0
    for shard, count in enumerate(rows):
        chosen = np.arange(-first % step, count, step)
        first += count
        if not len(chosen):
            continue
        masks, tables = [], []
        for rules, absent in zip(sets, here, strict=True):
            table = _tables(reader, shard, chosen, rules, absent)
            masks.append(evaluate(rules, table))
            tables.append(table)
            spread.add(rules, table)
        found.documents += len(chosen)
        dropped = [mask != 0 for mask in masks]
        found.overall.add(*dropped)
        for name in shared:
            found.rules[name].add(*(_fails(rules, mask, name) for rules, mask in zip(sets, masks, strict=True)))
        for own, rules, mask in zip(found.alone, sets, masks, strict=True):
            for name in own:
                own[name] += int(_fails(rules, mask, name).sum())
        for row in np.flatnonzero(dropped[0] != dropped[1]).tolist():
            side = 0 if dropped[0][row] else 1
            broken = _broken(sets[side], int(masks[side][row]), tables[side], row)
            differing.append((shard, int(chosen[row]), side, broken))
    found.examples = _nearest(reader, differing, spread, examples)
    return found


def _missing(reader: Reader, rules: RuleSet, line_filters: Sequence[str]) -> tuple[str, ...]:
    """The groups of a rule set that no file of the workspace has, or has under other line filters."""
    out = []
    for name in rules.groups:
        same = name not in _FILTERED or tuple(rules.trims) == tuple(line_filters)
        if name != _ALWAYS and not (same and all(reader.signals(name, shard) for shard in range(reader.shards))):
            out.append(name)
    return tuple(out)


def _rows(reader: Reader, shard: int) -> int:
    with open_shard(reader.documents(shard)) as file:
        return int(file.metadata.num_rows)


def _tables(
    reader: Reader, shard: int, chosen: np.ndarray, rules: RuleSet, missing: Sequence[str]
) -> dict[str, pa.Table]:
    """The signals of the chosen rows by group: from files, or measured now."""
    rows = pa.array(chosen)
    out = {}
    for name in rules.groups:
        if name not in missing:
            path = reader.signals(name, shard)
            if path is None:
                raise RuleError(f"the signals of {name} are not whole: run the recipe again", ("rules",))
            out[name] = read_table(path).take(rows)
    if missing:
        groups = [GROUPS[name] for name in missing]
        parts = [signals_of(records, groups, rules.trims) for records in _texts(reader, shard, chosen)]
        for name in missing:
            out[name] = pa.concat_tables([part[name] for part in parts])
    return out


def _texts(reader: Reader, shard: int, chosen: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Clean text and URL of the chosen rows, a row group of documents at a time."""
    path = reader.edits("clean", shard)
    edits = read_table(path, ["edits"]).column("edits").combine_chunks() if path else None
    first = 0
    with open_shard(reader.documents(shard)) as file:
        for number in range(file.num_row_groups):
            count = file.metadata.row_group(number).num_rows
            inside = chosen[(chosen >= first) & (chosen < first + count)]
            if len(inside):
                table = file.read_row_group(number, columns=["text", "url"], use_threads=False)
                table = table.take(pa.array(inside - first)).combine_chunks()
                text = table.column("text").combine_chunks().cast(pa.large_string())
                known = text.is_valid()
                text = pc.fill_null(text, "")
                if edits is not None:
                    text = apply_edits(text, edits.take(pa.array(inside)))
                text = pc.if_else(known, text, pa.scalar(None, pa.large_string()))
                yield pa.record_batch({"text": text, "url": table.column("url").combine_chunks()})
            first += count


def _fails(rules: RuleSet, mask: np.ndarray, name: str) -> np.ndarray:
    bit = np.uint64(rules.names.index(name) + 1)
    found: np.ndarray = (mask >> bit) & np.uint64(1) == 1
    return found


def _broken(
    rules: RuleSet, mask: int, tables: Mapping[str, pa.Table], row: int
) -> list[tuple[str, str, Value | None, Limit | str]]:
    """(rule, signal, value, limit) of every rule that the document fails; the limit as text where it is none."""
    out: list[tuple[str, str, Value | None, Limit | str]] = []
    for number, rule in enumerate(rules):
        if not mask >> (number + 1) & 1:
            continue
        values = {name: _value(tables, name, row) for name in rule.where.columns}
        limit = next((one for one in rule.limits if one.holds(values.get(one.column)) is False), None)
        if limit is not None:
            out.append((rule.name, limit.column, values[limit.column], limit))
        else:
            column = rule.where.columns[0] if rule.where.columns else ""
            known = " and ".join(f"{name} is {value}" for name, value in values.items() if name != column)
            out.append((rule.name, column, values.get(column), f"{rule.where.text}" + (f", {known}" if known else "")))
    return out


def _value(tables: Mapping[str, pa.Table], name: str, row: int) -> Value | None:
    group, column = name.split(".", 1)
    found: Value | None = tables[group].column(column)[row].as_py()
    return found


class _Spread:
    """Standard deviations of the signals that limits are put on, from sums."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float, float]] = {}

    def add(self, rules: RuleSet, tables: Mapping[str, pa.Table]) -> None:
        for name in {limit.column for rule in rules for limit in rule.limits}:
            group, column = name.split(".", 1)
            values = tables[group].column(column)
            if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
                continue
            known = values.drop_null().to_numpy().astype(float)
            count, total, squares = self._sums.get(name, (0.0, 0.0, 0.0))
            self._sums[name] = (count + len(known), total + known.sum(), squares + (known * known).sum())

    def of(self, name: str) -> float:
        count, total, squares = self._sums.get(name, (0.0, 0.0, 0.0))
        return math.sqrt(max(0.0, squares / count - (total / count) ** 2)) if count else 0.0


def _nearest(reader: Reader, differing: list[Any], spread: _Spread, examples: int) -> list[Across]:
    """Documents that would change sides by the smallest move: the farthest of the limits that each one breaks."""
    ranked = []
    for shard, row, side, broken in differing:
        if not broken:  # no text on one side only cannot be: both sets read the same documents
            continue
        far = [(_distance(value, limit, spread), i) for i, (_, _, value, limit) in enumerate(broken)]
        distance, number = max(far, key=lambda one: (math.inf if one[0] is None else one[0], -one[1]))
        ranked.append((math.inf if distance is None else distance, shard, row, side, broken[number]))
    out = []
    for distance, shard, row, side, (rule, signal, value, limit) in sorted(ranked, key=lambda one: one[:4])[:examples]:
        known = read_row(reader.documents(shard), row, ["id", "url", "meta"])
        far_ = None if math.isinf(distance) else distance
        out.append(Across(known["id"], address(known), side + 1, rule, signal, value, str(limit), far_))
    return out


def _distance(value: Value | None, limit: Limit | str, spread: _Spread) -> float | None:
    if isinstance(limit, str) or isinstance(value, str | bool | None) or isinstance(limit.constant, str | bool):
        return None
    scale = spread.of(limit.column)
    return abs(value - limit.constant) / scale if scale else None


def render(found: Disagreement) -> str:
    """For people."""
    one, two = found.names
    lines = [
        f"first     {one}",
        f"second    {two}",
        f"documents {found.documents:,}"
        + (f" of {found.total:,}, spread evenly" if found.documents < found.total else ""),
    ]
    if found.measured:
        lines.append(
            f"measured  {', '.join(found.measured)} here, for this answer only: the workspace does not have them. A "
            "recipe with these rules measures them on every document."
        )
    rows = [("overall", found.overall), *found.rules.items()]
    width = max(len(name) for name, _ in rows)
    lines += ["", f"{'':{width}}  agree    both keep  both drop  first only  second only  overlap of dropped"]
    for name, split in rows:
        overlap = "" if split.overlap is None else f"{split.overlap:.2f}"
        agree = "" if split.agreement is None else f"{split.agreement:7.2%}"
        lines.append(
            f"{name:{width}}  {agree}  {split.both_keep:9,}  {split.both_drop:9,}  {split.only_first:10,}  "
            f"{split.only_second:11,}  {overlap:>18}"
        )
    for name, own in zip(found.names, found.alone, strict=True):
        if own:
            lines += ["", f"rules that only {name} has, and what each drops"]
            lines += [f"  {rule:{width}}  {count:,}" for rule, count in own.items()]
    if found.examples:
        lines += ["", "nearest to the line"]
        for example in found.examples:
            value = "not measured" if example.value is None else _number(example.value)
            lines += [
                f"  {example.id[:12]}  {printable(example.url or '', 90)}",
                f"    dropped by {found.names[example.dropped_by - 1]} only: {example.rule}, {example.signal} is "
                f"{value}, must hold: {example.limit}",
            ]
    return "\n".join(lines)


def _number(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
