"""Rules on texts that lie in no workspace: the groups that they read are measured here, in memory.

For comparisons of rule sets, tuning, tests. Texts are taken as clean; the line filters that a rule set asks for are
applied, so `final` is what a run would make of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.clean.lines import TrimName, trims
from tamis.documents import BATCH_BYTES
from tamis.signals import GROUPS, SignalGroup
from tamis.signals.batch import Batch
from tamis.signals.task import Failures, measure
from tamis.verdicts.rules import RuleSet
from tamis.verdicts.task import evaluate


def batches(texts: Iterable[str | None], urls: Iterable[str | None] | None = None) -> Iterator[pa.RecordBatch]:
    """Record batches (text, url) of about 4 MB. Memory: one of them."""
    held: list[tuple[str | None, str | None]] = []
    size = 0
    for text, url in ((t, None) for t in texts) if urls is None else zip(texts, urls, strict=True):
        held.append((text, url))
        size += len(text or "")
        if size >= BATCH_BYTES:
            yield _record(held)
            held, size = [], 0
    if held:
        yield _record(held)


def signals_of(
    records: pa.RecordBatch,
    groups: Sequence[SignalGroup],
    line_filters: Sequence[str] = (),
    *,
    everywhere: bool = False,
) -> dict[str, pa.Table]:
    """The columns of signal groups on documents (text, url; null text allowed), by group.

    `everywhere`: the line filters are applied to languages without spaces too, which no run does.
    """
    text = records.column("text").cast(pa.large_string()).fill_null("")
    names = cast("list[TrimName]", list(line_filters))
    edits: dict[str, Any] = {}
    if names:
        filtered = text
        if not everywhere:  # as `clean.cleaning.trims_task`
            spaced = pc.fill_null(measure(GROUPS["lang"], Batch(records, {}), {}, {}).column("spaced"), True)
            filtered = pc.if_else(spaced, text, pa.scalar("", pa.large_string()))
        edits = {name: edit for name, (edit, _) in trims(names, filtered).items()}
    wants = {
        state: frozenset(a for g in groups if g.reads == state for a in g.analyses)
        for state in ("extracted", "clean", "final")
    }
    batch = Batch(records, edits, wants)
    failures: Failures = {}
    return {group.name: pa.Table.from_batches([measure(group, batch, {}, failures)]) for group in groups}


def failed(rules: RuleSet, texts: Iterable[str | None], *, everywhere: bool = False) -> np.ndarray:
    """uint64 (N,): the mask of the rules that each text fails, as `verdicts.task.evaluate` gives it.
    `everywhere` as in `signals_of`.

    Raises KeyError for a rule that reads a group which is not in the registry.
    """
    groups = groups_of(rules)
    parts = [
        evaluate(rules, signals_of(records, groups, rules.trims, everywhere=everywhere)) for records in batches(texts)
    ]
    return np.concatenate([np.zeros(0, np.uint64), *parts])


def groups_of(rules: RuleSet) -> list[SignalGroup]:
    """The groups of the registry that rules read. Raises KeyError naming one that a recipe would have to ask for."""
    return [GROUPS[name] for name in rules.groups]


def kept(rules: RuleSet, mask: np.ndarray) -> Mapping[str, np.ndarray]:
    """Rule -> which documents it keeps: bool (N,)."""
    one = np.uint64(1)
    return {name: (mask >> np.uint64(i + 1)) & one == 0 for i, name in enumerate(rules.names)}


def _record(rows: Sequence[tuple[str | None, str | None]]) -> pa.RecordBatch:
    texts, urls = zip(*rows, strict=True)
    return pa.record_batch({"text": pa.array(texts, pa.large_string()), "url": pa.array(urls, pa.string())})
