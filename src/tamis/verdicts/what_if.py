"""What if: other rules over the signals that were measured, answered without running anything again.

Reads the masks of the corpus, the columns of the rules that change, sizes, languages, sources and edges; evaluates
only what changes, elects survivors again, and compares with the corpus as it stands. Text is never read; ids and
URLs only of the few documents that are shown.

Memory: about 40 bytes a document, and 60 an edge. Shards are read in blocks of about a million documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.documents import open_shard, read_table
from tamis.verdicts.election import Positions, elect_again
from tamis.verdicts.expression import Limit, Value
from tamis.verdicts.lookup import address, read_row
from tamis.verdicts.reader import Reader
from tamis.verdicts.rules import Rule, RuleError, RuleSet, Setting, catalogue
from tamis.verdicts.sql import failed_mask
from tamis.verdicts.task import UNKNOWN_LANGUAGE, exact_edges, sizes, strong_edges

BLOCK_DOCUMENTS = 1_000_000
# Bytes of UTF-8 per token where the corpus has no tokens to count yet: English under a vocabulary of tens of thousands.
BYTES_PER_TOKEN = 4.0
_NEAREST = 64


@dataclass(frozen=True)
class Change:
    """One rule before and after; None where it is new, or taken out."""

    name: str
    before: Rule | None
    after: Rule | None

    @property
    def line(self) -> Limit | None:
        """The limit whose move is looked at: the first numeric one that is not the same before and after."""
        old = self.before.limits if self.before else ()
        new = self.after.limits if self.after else ()
        for limit in (*new, *old):
            number = isinstance(limit.constant, int | float) and not isinstance(limit.constant, bool)
            if number and not (limit in old and limit in new):
                return limit
        return None


@dataclass(frozen=True)
class Moved:
    """Documents and estimated tokens that are won and lost, of one source, one language, or both."""

    source: str
    language: str
    won: int
    lost: int
    won_tokens: int
    lost_tokens: int


@dataclass(frozen=True)
class Example:
    """A document that changes sides, near the line. `value` is what the rule's signal has; `gain`: won or lost."""

    id: str
    url: str | None
    gid: int
    gain: bool
    rule: str
    signal: str
    value: Value | None
    limit: str


@dataclass(frozen=True)
class WhatIf:
    """The answer. `moved` has one row per source and language that changes, ordered by both.

    `by_rules` and `by_election` say why documents moved: their own rules, or the fate of a duplicate of theirs.
    Tokens are estimated as bytes of the final text / `bytes_per_token`. `watched`: whether each document that was
    asked for by gid would be kept.
    """

    changes: tuple[Change, ...]
    documents: int
    kept_before: int
    kept_after: int
    tokens_before: int
    tokens_after: int
    by_rules: int
    by_election: int
    moved: tuple[Moved, ...]
    examples: tuple[Example, ...]
    bytes_per_token: float
    watched: tuple[bool, ...] = ()

    @property
    def won(self) -> int:
        return sum(row.won for row in self.moved)

    @property
    def lost(self) -> int:
        return sum(row.lost for row in self.moved)

    def by_source(self) -> list[Moved]:
        """One row per source, the most moved first."""
        return _sum(self.moved, lambda row: (row.source, ""))

    def by_language(self) -> list[Moved]:
        """One row per language, the most moved first."""
        return _sum(self.moved, lambda row: ("", row.language))


def what_if(
    reader: Reader,
    settings: Mapping[str, Setting],
    *,
    signals: Mapping[str, pa.DataType] | None = None,
    examples: int = 5,
    bytes_per_token: float = BYTES_PER_TOKEN,
    watch: Sequence[int] = (),
) -> WhatIf:
    """Compares the corpus with what it would be with some rules replaced, added or set to `off`.

    Raises RuleError: a rule that cannot be, or one that reads a signal group that this workspace has not measured.
    """
    rules = reader.rules
    other = rules.changed(settings, catalogue() if signals is None else signals)
    changes = _changes(rules, other)
    _measured(reader, changes)

    state = _State()
    for block in _blocks(reader, changes):
        _judge(state, block, rules, changes)
    before, after = state.joined("before"), state.joined("after")
    positions = Positions(state.rows)
    lost_before = np.zeros(positions.total, bool)
    lost_before[positions.of(_lost(reader))] = True
    kept_before = before & ~lost_before
    kept_after = kept_before
    if (before != after).any():
        edges = strong_edges(reader.edges(), reader.strength)
        left, right = (positions.of(edges.column(side).to_numpy()) for side in ("left", "right"))
        changed = before != after
        lost_after = elect_again(left, right, exact_edges(edges), changed, after, lost_before, state.joined("size"))
        kept_after = after & ~lost_after

    won, lost = kept_after & ~kept_before, kept_before & ~kept_after
    weight = state.joined("bytes") / bytes_per_token
    own = won & ~before | lost & ~after
    return WhatIf(
        changes=changes,
        documents=positions.total,
        kept_before=int(kept_before.sum()),
        kept_after=int(kept_after.sum()),
        tokens_before=round(float(weight[kept_before].sum())),
        tokens_after=round(float(weight[kept_after].sum())),
        by_rules=int(own.sum()),
        by_election=int((won | lost).sum() - own.sum()),
        moved=_table(state, won, lost, weight),
        examples=_examples(reader, state, positions, won, lost, changes, examples),
        bytes_per_token=bytes_per_token,
        watched=tuple(kept_after[positions.of(np.array(watch, np.uint64))].tolist()),
    )


def to_json(answer: WhatIf) -> dict[str, Any]:
    """The answer as one JSON object, rules as their expressions."""
    body = asdict(answer)
    body["changes"] = [
        {
            "name": change.name,
            "before": change.before.where.text if change.before else None,
            "after": change.after.where.text if change.after else None,
        }
        for change in answer.changes
    ]
    return {**body, "won": answer.won, "lost": answer.lost}


@dataclass
class _Near:
    """Documents whose own rules change their fate, nearest to a changed line first within a block."""

    change: Change
    position: np.ndarray
    value: list[Value | None]
    distance: np.ndarray


class _State:
    """What is kept of every document: columns in parts, joined when all blocks are read."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.parts: dict[str, list[np.ndarray]] = {
            name: [] for name in ("before", "after", "size", "bytes", "source", "language")
        }
        self.names: dict[str, dict[str, int]] = {"source": {}, "language": {}}
        self.near: list[_Near] = []

    @property
    def total(self) -> int:
        return sum(len(part) for part in self.parts["before"])

    def joined(self, name: str) -> np.ndarray:
        if len(self.parts[name]) != 1:
            self.parts[name] = [np.concatenate(self.parts[name])] if self.parts[name] else [_EMPTY[name]]
        return self.parts[name][0]

    def coded(self, name: str, values: pa.ChunkedArray) -> np.ndarray:
        """Strings as int32 codes that are the same in every block."""
        found = values.dictionary_encode().combine_chunks()
        if isinstance(found, pa.ChunkedArray):  # no rows, no chunks
            return np.zeros(0, np.int32)
        known = self.names[name]
        names = [UNKNOWN_LANGUAGE if text is None else text for text in (*found.dictionary.to_pylist(), None)]
        codes = np.array([known.setdefault(text, len(known)) for text in names], np.int32)
        at: np.ndarray = pc.fill_null(found.indices, len(names) - 1).to_numpy()
        chosen: np.ndarray = codes[at]
        return chosen


_EMPTY = {
    **dict.fromkeys(("before", "after"), np.zeros(0, bool)),
    **dict.fromkeys(("size", "bytes"), np.zeros(0, np.int64)),
    **dict.fromkeys(("source", "language"), np.zeros(0, np.int32)),
}


def _changes(rules: RuleSet, other: RuleSet) -> tuple[Change, ...]:
    old, new = ({rule.name: rule for rule in one} for one in (rules, other))
    names = [*rules.names, *(name for name in other.names if name not in old)]
    return tuple(Change(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n))


def _measured(reader: Reader, changes: Sequence[Change]) -> None:
    """Raises RuleError for a rule over a group that this workspace has no files of."""
    for change in changes:
        for column in change.after.columns if change.after else ():
            group, name = column.split(".", 1)
            path = reader.signals(group, 0) if reader.shards else None
            if path is None:
                problem = f"the signal group `{group}`"
            else:
                with open_shard(path) as file:
                    if name in file.schema_arrow.names:
                        continue
                problem = f"the signal {column}"
            raise RuleError(
                f"rule `{change.name}` reads {column}, but {problem} was not measured in this workspace.\n"
                "  Put the rule into the recipe and `tamis run` it: only what is missing is measured.",
                ("rules", "set", change.name),
            )


def _lost(reader: Reader) -> np.ndarray:
    """The gids of the corpus' duplicates: uint64, ascending."""
    found: np.ndarray = read_table(reader.duplicates(), ["gid"]).column("gid").to_numpy()
    return found


Block = tuple[list[int], dict[str, pa.Table]]


def _blocks(reader: Reader, changes: Sequence[Change]) -> Iterator[Block]:
    """The needed columns of some shards at a time, by group, with the rows of each shard; `masks` and `documents`
    stand beside the groups."""
    wanted = {"document": ["extracted"], "final": ["chars", "bytes"], "lang": ["code"]}
    for column in _columns(changes):
        group, name = column.split(".", 1)
        if name not in wanted.setdefault(group, []):
            wanted[group].append(name)
    with ThreadPoolExecutor(4) as pool:
        first = 0
        while first < reader.shards:
            rows: list[int] = []
            while first + len(rows) < reader.shards and sum(rows) < BLOCK_DOCUMENTS:
                with open_shard(reader.mask(first + len(rows))) as file:
                    rows.append(file.metadata.num_rows)
            shards = range(first, first + len(rows))
            jobs = {
                "masks": [pool.submit(read_table, reader.mask(shard), ["failed"]) for shard in shards],
                "documents": [pool.submit(read_table, reader.documents(shard), ["source"]) for shard in shards],
            }
            for group, names in wanted.items():
                jobs[group] = [pool.submit(read_table, _path(reader, group, shard), names) for shard in shards]
            yield rows, {group: pa.concat_tables([job.result() for job in found]) for group, found in jobs.items()}
            first += len(rows)


def _columns(changes: Sequence[Change]) -> list[str]:
    """Signals of the new rules, and of the lines of those that are taken out (for examples)."""
    found = [column for change in changes if change.after for column in change.after.columns]
    found += [change.line.column for change in changes if change.line]
    return list(dict.fromkeys(found))


def _path(reader: Reader, group: str, shard: int) -> Path:
    path = reader.signals(group, shard)
    if path is None:
        raise FileNotFoundError(f"the signal group `{group}` of shard {shard} is missing; `tamis run` measures it")
    return path


def _judge(state: _State, block: Block, rules: RuleSet, changes: Sequence[Change]) -> None:
    """Decides a block anew and adds it to the state."""
    rows, tables = block
    mask = tables["masks"].column("failed").to_numpy()
    columns = {}
    for name in _columns(changes):
        group, column = name.split(".", 1)
        columns[name] = tables[group].column(column)
    extracted = tables["document"].column("extracted").to_numpy()
    failed = failed_mask([change.after.failed for change in changes if change.after], extracted, columns)

    same = ~np.uint64(0)
    for change in changes:
        if change.before:
            same &= ~_bit(rules.names.index(change.name))
    before = mask == 0
    after = ((mask & same) == 0) & (failed == 0)
    number = 0
    for change in changes:
        flips = np.zeros(len(mask), bool)
        if change.before:
            flips ^= (mask & _bit(rules.names.index(change.name))) != 0
        if change.after:
            flips ^= (failed & _bit(number)) != 0
            number += 1
        near = _nearest(change, columns, flips & (before != after), state.total)
        if near is not None:
            state.near.append(near)
    state.rows += rows
    state.parts["before"].append(before)
    state.parts["after"].append(after)
    state.parts["size"].append(sizes(tables["final"].column("chars")))
    state.parts["bytes"].append(sizes(tables["final"].column("bytes")))
    state.parts["source"].append(state.coded("source", tables["documents"].column("source")))
    state.parts["language"].append(state.coded("language", tables["lang"].column("code")))


def _bit(rule: int) -> np.uint64:
    return np.uint64(1 << (rule + 1))


def _nearest(change: Change, columns: Mapping[str, pa.ChunkedArray], moved: np.ndarray, start: int) -> _Near | None:
    line = change.line
    if line is None:
        return None
    at = np.flatnonzero(moved)
    value = columns[line.column].to_numpy()[at].astype(np.float64)  # null is NaN, and sorts last
    distance = np.abs(value - float(line.constant))
    order = np.lexsort((at, distance))[:_NEAREST]
    found = columns[line.column].take(pa.array(at[order])).to_pylist()
    return _Near(change, at[order] + start, found, distance[order])


def _table(state: _State, won: np.ndarray, lost: np.ndarray, weight: np.ndarray) -> tuple[Moved, ...]:
    sources, languages = list(state.names["source"]), list(state.names["language"])
    at = np.flatnonzero(won | lost)
    if not len(at):
        return ()
    key = state.joined("source")[at].astype(np.int64) * len(languages) + state.joined("language")[at]
    cells, inverse = np.unique(key, return_inverse=True)
    gain, size = won[at], weight[at]

    def count(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(inverse[chosen], minlength=len(cells))

    def tokens(chosen: np.ndarray) -> np.ndarray:
        return np.rint(np.bincount(inverse[chosen], size[chosen], minlength=len(cells))).astype(np.int64)

    numbers = zip(count(gain), count(~gain), tokens(gain), tokens(~gain), strict=True)
    rows = [
        Moved(sources[cell // len(languages)], languages[cell % len(languages)], *(int(n) for n in row))
        for cell, row in zip(cells.tolist(), numbers, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (row.source, row.language)))


def _sum(rows: Sequence[Moved], name: Callable[[Moved], tuple[str, str]]) -> list[Moved]:
    total: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        sums = total.setdefault(name(row), [0, 0, 0, 0])
        for slot, number in enumerate((row.won, row.lost, row.won_tokens, row.lost_tokens)):
            sums[slot] += number
    found = [Moved(*names, *sums) for names, sums in total.items()]
    return sorted(found, key=lambda row: (-(row.won + row.lost), row.source, row.language))


def _examples(
    reader: Reader,
    state: _State,
    positions: Positions,
    won: np.ndarray,
    lost: np.ndarray,
    changes: Sequence[Change],
    wanted: int,
) -> tuple[Example, ...]:
    found = []
    for change in changes:
        parts = [near for near in state.near if near.change is change]
        line = change.line
        if not parts or line is None:
            continue
        at, distance = (np.concatenate([getattr(part, name) for part in parts]) for name in ("position", "distance"))
        value = [one for part in parts for one in part.value]
        order = np.lexsort((at, distance))
        for side, gain in ((won, True), (lost, False)):
            for number in [n for n in order.tolist() if side[at[n]]][:wanted]:
                gid = int(positions.gids(at[number : number + 1])[0])
                names = read_row(reader.documents(gid >> 32), gid & 0xFFFFFFFF, ["id", "url", "meta"])
                found.append(
                    Example(names["id"], address(names), gid, gain, change.name, line.column, value[number], str(line))
                )
    return tuple(found)
