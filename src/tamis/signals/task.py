"""The task that measures a shard: one pass over its documents for all groups that are wanted."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.documents import BATCH_BYTES, ParquetShard, open_shard, read_batches, read_table
from tamis.errors import WrongUse
from tamis.quarantine import guarded
from tamis.signals import GROUPS
from tamis.signals.batch import Batch
from tamis.signals.group import Options, SignalGroup

logger = logging.getLogger(__name__)

# a group that raises on every document of a batch of at least so many is at fault itself
DEFECT = 8

# of the stage; bumped with the reason when a group's version is
VERSION = 1

Failures = dict[str, Counter[str]]


class Made(Protocol):
    """What makes a group in any process: it can be pickled, the group need not be."""

    @property
    def group(self) -> SignalGroup: ...


def signals_task(
    context: Any, params: Mapping[str, Any], inputs: Sequence[Path], outputs: Sequence[Path]
) -> dict[str, Any]:
    """Measures `params["groups"]` on the documents of inputs[0]; writes one file per group, in that order.

    params: ``groups`` (names), ``edits`` (edit group -> index of its file in `inputs`; `clean` makes the clean text,
    all others are line filters and make the final text), ``options`` (of the groups: ``blocklists``, ...).

    A document without text is null in every column of the groups that read text. A document on which a group raises
    is null in that group's columns and counted in ``failed``: group -> type of exception -> documents, never zero.
    One that kills or hangs its worker, even alone, is null in all of them and counted as ``Died``.
    A group that raises on every document of a batch of eight or more is a defect: that error is raised.

    Returns ``{"in", "out", "reasons", "failed", "sums"}``; `sums` adds up the columns declared with `total`.
    Memory: one row group of documents, one batch in its text states, the edits of a row group. Raises KeyError
    for an unknown group, ValueError where an edits file has other rows than the documents.
    """
    return measure_shard(
        context, params["groups"], params.get("options") or {}, params.get("edits") or {}, inputs, outputs
    )


def measure_shard(
    context: Any,
    wanted: Sequence[str | Made],
    options: Options,
    states: Mapping[str, int],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    beside: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """What `signals_task` does, for groups of the registry (by name) and others (by what makes them).

    `beside`: index in `inputs` of the signal files that the groups want to read, by group; they are held in memory.
    """
    groups = [_group(one) for one in wanted]
    if len(groups) != len(outputs):
        raise ValueError(f"{len(groups)} groups but {len(outputs)} output files")
    edits = {name: Path(inputs[index]) for name, index in sorted(states.items())}
    wants = {
        state: frozenset(a for g in groups if g.reads == state for a in g.analyses)
        for state in ("extracted", "clean", "final")
    }
    signals = {name: read_table(inputs[index]) for name, index in sorted((beside or {}).items())}
    failures: Failures = {}
    sums: Counter[str] = Counter()
    rows = 0
    said = f"{Path(inputs[0]).stem}: the document stays, signals of {', '.join(g.name for g in groups)} are null there"
    with ExitStack() as stack:
        writers = [stack.enter_context(ParquetShard(p, g.schema)) for p, g in zip(outputs, groups, strict=True)]
        for batch in _batches(Path(inputs[0]), edits, wants, signals):
            numbers = range(rows, rows + len(batch))
            work = guarded(context, numbers, batch.slice, _measured, wanted, options, failures, said=said)
            for start, stop, made in work:
                if made is None:
                    columns = [_lost(group, stop - start, failures) for group in groups]
                else:
                    columns, counted = made
                    if counted is not failures:  # from a process of its own, which counted on in a copy
                        failures.update(counted)
                for group, writer, measured in zip(groups, writers, columns, strict=True):
                    writer.write(measured)
                    _add(sums, group, measured)
            rows += len(batch)
            if hasattr(context, "advance"):
                context.advance(len(batch))
    return {
        "in": rows,
        "out": rows,
        "reasons": {},
        "failed": {name: dict(sorted(kinds.items())) for name, kinds in sorted(failures.items())},
        "sums": dict(sums),
    }


def _group(wanted: str | Made) -> SignalGroup:
    if not isinstance(wanted, str):
        return wanted.group
    if wanted not in GROUPS:
        raise KeyError(f"no signal group {wanted!r}; there are {', '.join(GROUPS)}")
    return GROUPS[wanted]


def _measured(
    batch: Batch, wanted: Sequence[str | Made], options: Options, failures: Failures
) -> tuple[list[pa.RecordBatch], Failures]:
    """The columns of every group, and `failures` with those of these documents added."""
    return [measure(_group(one), batch, options, failures) for one in wanted], failures


def measure(group: SignalGroup, batch: Batch, options: Options, failures: Failures) -> pa.RecordBatch:
    """The columns of one group, one row per document; rows on which it raises are null and counted in `failures`."""
    parts = list(_measure(group, batch, options, failures, whole=True))
    table = pa.Table.from_batches(parts, group.schema).combine_chunks()
    return table.to_batches()[0] if len(batch) else _nulls(group, 0)


def _measure(
    group: SignalGroup, batch: Batch, options: Options, failures: Failures, *, whole: bool
) -> Iterator[pa.RecordBatch]:
    """Halves a batch that raises until the rows that do so stand alone."""
    if not len(batch):
        return
    try:
        yield _compute(group, batch, options)
        return
    except (MemoryError, ImportError, WrongUse):  # of the machine, or of a model, list or function: of no document
        raise
    except Exception as error:
        if len(batch) == 1:
            kinds = failures.setdefault(group.name, Counter())
            kinds[type(error).__name__] += 1
            if kinds[type(error).__name__] == 1:
                logger.warning("signals %s: null for a document: %s: %s", group.name, type(error).__name__, error)
            yield _nulls(group, 1)
            return
        first = error
    before = sum(failures.get(group.name, Counter()).values())
    middle = len(batch) // 2
    parts = [
        part
        for half in (batch.slice(0, middle), batch.slice(middle, len(batch)))
        for part in _measure(group, half, options, failures, whole=False)
    ]
    if whole and len(batch) >= DEFECT and sum(failures[group.name].values()) - before == len(batch):
        first.add_note(f"signal group {group.name!r} failed on all {len(batch)} documents of a batch{_place(first)}")
        raise first
    yield from parts


def _place(error: BaseException) -> str:
    """`, in questions (mine.py, line 7)`: where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f", in {frames[-1].name} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _compute(group: SignalGroup, batch: Batch, options: Options) -> pa.RecordBatch:
    columns = group.compute(batch, options)
    wrong = set(columns) ^ {column.name for column in group.columns}
    if wrong:
        raise AssertionError(f"signal group {group.name!r} declares other columns than it gives: {sorted(wrong)}")
    missing = None if group.reads == "document" or batch.valid.all() else pa.array(~batch.valid)
    arrays = []
    for column in group.columns:
        values = columns[column.name]
        if missing is not None:
            values = pc.if_else(missing, pa.scalar(None, values.type), values)
        arrays.append(values)
    return pa.RecordBatch.from_arrays(arrays, schema=group.schema)


def _nulls(group: SignalGroup, rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(rows, c.type) for c in group.columns], schema=group.schema)


def _lost(group: SignalGroup, rows: int, failures: Failures) -> pa.RecordBatch:
    """Null rows for documents that killed or hung a worker, even alone."""
    failures.setdefault(group.name, Counter())["Died"] += rows
    return _nulls(group, rows)


def _add(sums: Counter[str], group: SignalGroup, batch: pa.RecordBatch) -> None:
    for column in group.columns:
        if column.total:
            sums[f"{group.name}.{column.name}"] += pc.sum(batch.column(column.name)).as_py() or 0


def _batches(
    documents: Path, edits: Mapping[str, Path], wants: Mapping[str, frozenset[str]], signals: Mapping[str, pa.Table]
) -> Iterator[Batch]:
    """Batches of about 4 MB of text with the same rows of every edits file."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(open_shard(path)) for name, path in edits.items()}
        total = pq.ParquetFile(documents).metadata.num_rows
        for name, file in files.items():
            if file.metadata.num_rows != total:
                raise ValueError(
                    f"{edits[name]} has {file.metadata.num_rows} rows, {documents} {total}: edits of another shard?"
                )
    readers = {name: _Rows(path) for name, path in edits.items()}
    at = 0
    for batch in read_batches(documents, ["id", "source", "url", "text"], batch_bytes=BATCH_BYTES):
        beside = {name: table.slice(at, batch.num_rows) for name, table in signals.items()}
        yield Batch(batch, {name: rows.take(batch.num_rows) for name, rows in readers.items()}, wants, beside)
        at += batch.num_rows


class _Rows:
    """Takes the lists of an edits file in order, any number at a time."""

    def __init__(self, path: Path) -> None:
        self._batches = read_batches(path, ["edits"])
        self._rest: list[pa.ListArray] = []

    def take(self, rows: int) -> pa.ListArray:
        held = sum(map(len, self._rest))
        while held < rows:
            self._rest.append(next(self._batches).column("edits"))
            held += len(self._rest[-1])
        joined = self._rest[0] if len(self._rest) == 1 else pa.concat_arrays(self._rest)
        self._rest = [joined.slice(rows)] if len(joined) > rows else []
        return joined.slice(0, rows)
