"""The three tasks of a verdict, split so that a changed threshold reruns these and nothing else.

`rules_task`    one shard's signals        -> its mask of failed rules
`elect_task`    all masks, sizes and edges -> the table of duplicates
`verdict_task`  one shard's mask + duplicates -> its verdicts, and the counts of the report

Counts come from the rows that were written. Memory: the columns of one shard; `elect_task` about 20 bytes a document
and 60 an edge over the whole workspace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.documents import VERDICTS, DamagedFile, gids, open_shard, read_table, write_table
from tamis.engine import Context
from tamis.verdicts.election import DUPLICATES, Positions, Strength, elect
from tamis.verdicts.rules import DUPLICATE, EXTRACTED, RuleSet
from tamis.verdicts.sql import failed_mask

# Bump with the reason: part of the key of the stage.
RULES_VERSION = 1
ELECT_VERSION = 1
VERDICT_VERSION = 1

# One row per document of the shard: bit 0 no text, bit i + 1 rule number i.
MASKS = pa.schema([pa.field("failed", pa.uint64(), nullable=False)])

UNKNOWN_LANGUAGE = "und"


def evaluate(rules: RuleSet, tables: Mapping[str, pa.Table]) -> np.ndarray:
    """uint64 (N,): which rules each document fails, from signal tables by group that lie side by side by position.

    Bit 0: no text (`document.extracted`); bit i + 1: rule number i is false. Null drops nothing. Raises ValueError
    when tables differ in length or lack a column.
    """
    rows = {group: table.num_rows for group, table in tables.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"signal groups of one shard differ in rows: {rows}")
    columns = {}
    for name in rules.columns:
        group, column = name.split(".", 1)
        columns[name] = tables[group].column(column)
    extracted = tables["document"].column("extracted").to_numpy()
    return failed_mask([rule.failed for rule in rules], extracted, columns)


def rules_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """params: rules (`RuleSet.to_json`), groups; inputs: one signal file per group; output: the mask file."""
    rules = RuleSet.from_json(params["rules"])
    wanted = wanted_columns(rules)
    tables = {
        group: read_table(path, wanted[group])
        for group, path in zip(params["groups"], inputs, strict=True)
        if group in wanted
    }
    mask = evaluate(rules, tables)
    write_table(outputs[0], pa.table({"failed": pa.array(mask)}, MASKS), MASKS)
    first = first_rule(mask, len(rules))
    names = (EXTRACTED, *rules.names)
    reasons = _named(names, np.bincount(first[first >= 0], minlength=len(names)))
    return {"in": len(mask), "out": int((mask == 0).sum()), "reasons": reasons}


def elect_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """params: shards, strength {jaccard, containment}; inputs: masks, then `final` signal files, then documents
    files (one of each per shard), then any number of edge files; output: the table of duplicates."""
    shards = params["shards"]
    masks, finals, documents, edge_files = _parts(inputs, shards)
    strength = Strength(**params["strength"])
    alive_parts, size_parts = [], []
    for mask, final in zip(masks, finals, strict=True):
        context.heartbeat(str(mask))
        alive_parts.append(read_table(mask).column("failed").to_numpy() == 0)
        size_parts.append(sizes(read_table(final, ["chars"]).column("chars")))
    context.heartbeat("")
    positions = Positions(len(part) for part in alive_parts)
    alive = np.concatenate([*alive_parts, np.zeros(0, bool)])
    size = np.concatenate([*size_parts, np.zeros(0, np.int64)])
    edges = strong_edges(edge_files, strength)
    left, right = positions.of(edges.column("left").to_numpy()), positions.of(edges.column("right").to_numpy())
    elected = elect(left, right, alive, size, exact_edges(edges))
    rows = edges.take(pa.array(elected.edge))
    kept = positions.gids(elected.kept)
    table = pa.table(
        {
            "gid": pa.array(positions.gids(elected.dropped)),
            "kept_gid": pa.array(kept),
            "kept_id": document_ids(kept, documents),
            "kind": rows.column("kind"),
            "jaccard": rows.column("jaccard"),
            "containment": rows.column("containment"),
        },
        DUPLICATES,
    )
    write_table(outputs[0], table, DUPLICATES)
    count = table.num_rows
    return {
        "in": int(alive.sum()),
        "out": int(alive.sum()) - count,
        "reasons": {DUPLICATE: count} if count else {},
        "edges": edges.num_rows,
        "survivors": len(np.unique(elected.kept)),
    }


def verdict_task(context: Context, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """params: shard, rules; inputs: mask, documents, `final` and `lang` signal files of the shard, duplicates;
    output: the verdicts file. The summary has the ledger, `counts` as rows of (source, language, reason or null,
    documents, bytes of final text), and per rule how many documents it fired on (`fired`) and which it alone drops
    (`alone`)."""
    mask_file, documents_file, final_file, lang_file, duplicates_file = inputs
    rules = RuleSet.from_json(params["rules"])
    mask = read_table(mask_file).column("failed").to_numpy()
    documents = read_table(documents_file, ["id", "source", "reason"])
    duplicates = shard_duplicates(_near(duplicates_file, params["shard"]), params["shard"])
    table, fired = verdicts(params["shard"], rules, mask, documents, duplicates)
    write_table(outputs[0], table, VERDICTS)

    bytes_ = read_table(final_file, ["bytes"]).column("bytes")
    language = pc.fill_null(read_table(lang_file, ["code"]).column("code"), UNKNOWN_LANGUAGE)
    counted = (
        pa.table(
            {
                "source": documents.column("source"),
                "language": language,
                "reason": table.column("reason"),
                "bytes": pc.fill_null(bytes_, 0),
            }
        )
        .group_by(["source", "language", "reason"], use_threads=False)
        .aggregate([([], "count_all"), ("bytes", "sum")])
        .sort_by([("source", "ascending"), ("language", "ascending"), ("reason", "ascending")])
    )
    counts = [list(row) for row in zip(*(counted.column(name).to_pylist() for name in _COUNTS), strict=True)]
    reasons: dict[str, int] = {}
    for _, _, reason, count, _ in counts:
        if reason is not None:
            reasons[reason] = reasons.get(reason, 0) + count
    names = (EXTRACTED, *rules.names, DUPLICATE)
    single = fired.sum(axis=1) == 1
    return {
        "in": len(mask),
        "out": int(pc.sum(table.column("keep")).as_py() or 0),
        "reasons": dict(sorted(reasons.items())),
        "counts": counts,
        "fired": _named(names, fired.sum(axis=0)),
        "alone": _named(names, fired[single].sum(axis=0)),
    }


_COUNTS = ("source", "language", "reason", "count_all", "bytes_sum")


def verdicts(
    shard: int, rules: RuleSet, mask: np.ndarray, documents: pa.Table, duplicates: pa.Table
) -> tuple[pa.Table, np.ndarray]:
    """The VERDICTS rows of a shard, and what fired: bool (N, rules + 2), the columns being no text, every rule, and
    duplicate. A document without text has the extractor's reason, or `extracted` where it gave none."""
    rows = len(mask)
    if documents.num_rows != rows:
        raise ValueError(f"shard {shard} has {documents.num_rows} documents and {rows} masks")
    names = (EXTRACTED, *rules.names, DUPLICATE)
    fired = np.zeros((rows, len(names)), bool)
    for bit in range(len(names) - 1):
        fired[:, bit] = (mask >> np.uint64(bit)) & np.uint64(1) == 1
    lost = (duplicates.column("gid").to_numpy() & np.uint64(0xFFFFFFFF)).astype(np.int64)
    fired[lost, -1] = True
    keep = ~fired.any(axis=1)

    at, number = np.nonzero(fired)  # by row, then in the order of the rules
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(fired.sum(axis=1))]).astype(np.int32)
    spelled = pa.array(names).take(pa.array(number))
    failed = np.flatnonzero(fired[:, 0])
    if len(failed):
        why = pc.fill_null(documents.column("reason").combine_chunks().take(pa.array(failed)), EXTRACTED)
        spelled = pc.replace_with_mask(spelled, pa.array(number == 0), why)
    reason = pa.nulls(rows, pa.string())
    if len(at):
        reason = spelled.take(pa.array(np.where(keep, 0, offsets[:-1]), mask=keep))
    slot = np.full(rows, -1, np.int64)
    slot[lost] = np.arange(len(lost))
    kept = pa.array(slot, mask=slot < 0)
    table = pa.table(
        {
            "gid": pa.array(gids(shard, rows)),
            "id": documents.column("id"),
            "keep": pa.array(keep),
            "weight": pa.array(keep.astype(np.float32)),
            "reason": reason,
            "reasons": pa.ListArray.from_arrays(pa.array(offsets), spelled),
            "kept_id": duplicates.column("kept_id").combine_chunks().take(kept),
            "kept_gid": duplicates.column("kept_gid").combine_chunks().take(kept),
        },
        VERDICTS,
    )
    return table, fired


def _named(names: Sequence[str], counts: np.ndarray) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}


def wanted_columns(rules: RuleSet) -> dict[str, list[str]]:
    """The columns that the rules read, by signal group."""
    wanted: dict[str, list[str]] = {"document": ["extracted"]}
    for name in rules.columns:
        group, column = name.split(".", 1)
        if column not in wanted.setdefault(group, []):
            wanted[group].append(column)
    return wanted


def first_rule(mask: np.ndarray, rules: int) -> np.ndarray:
    """int64 (N,): the lowest bit that is set, -1 where none is."""
    first = np.full(len(mask), -1, np.int64)
    for bit in range(rules, -1, -1):
        first[(mask >> np.uint64(bit)) & np.uint64(1) == 1] = bit
    return first


def sizes(chars: pa.ChunkedArray) -> np.ndarray:
    """Characters of the final text, 0 where there is none: int64 (N,)."""
    found: np.ndarray = pc.fill_null(chars, 0).to_numpy().astype(np.int64)
    return found


def strong_edges(files: Sequence[Path], strength: Strength) -> pa.Table:
    """The edges of all files that make a duplicate, in the order of the files."""
    parts = []
    for file in files:
        table = read_table(file, ["left", "right", "kind", "jaccard", "containment"])
        parts.append(table.filter(pa.array(strength.of(table))))
    if parts:
        return pa.concat_tables(parts).combine_chunks()
    return pa.schema(
        [DUPLICATES.field("gid").with_name("left"), DUPLICATES.field("gid").with_name("right"), *list(DUPLICATES)[3:]]
    ).empty_table()


def exact_edges(edges: pa.Table) -> np.ndarray:
    """bool (E,): which edges are between equal texts."""
    found: np.ndarray = pc.equal(edges.column("kind"), "exact").to_numpy()
    return found


def shard_duplicates(duplicates: pa.Table, shard: int) -> pa.Table:
    """The rows of one shard of the table of duplicates, which is ordered by gid."""
    gid = duplicates.column("gid").to_numpy()
    first, last = np.searchsorted(gid, np.array([shard << 32, (shard + 1) << 32], np.uint64))
    return duplicates.slice(int(first), int(last - first))


def _near(duplicates: Path, shard: int) -> pa.Table:
    """The row groups of the table of duplicates that may hold rows of a shard: the table is as long as the corpus."""
    with open_shard(duplicates) as file:
        metadata, column = file.metadata, file.schema_arrow.get_field_index("gid")
        wanted = []
        for group in range(metadata.num_row_groups):
            known = metadata.row_group(group).column(column).statistics
            if known is None or not known.has_min_max or known.min >> 32 <= shard <= known.max >> 32:
                wanted.append(group)
        try:
            return file.read_row_groups(wanted, use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise DamagedFile(f"{duplicates} is damaged: {error}") from error


def document_ids(gid: np.ndarray, documents: Sequence[Path]) -> pa.Array:
    """The ids of documents by gid, in the order given; reads the id column of the shards that occur, one at a time."""
    shard = (gid >> np.uint64(32)).astype(np.int64)
    row = (gid & np.uint64(0xFFFFFFFF)).astype(np.int64)
    found = np.empty(len(gid), object)
    for number in np.unique(shard):
        here = np.flatnonzero(shard == number)
        ids = read_table(documents[number], ["id"]).column("id").combine_chunks()
        found[here] = ids.take(pa.array(row[here])).to_numpy(zero_copy_only=False)
    return pa.array(found, pa.string())


def _parts(inputs: list[Path], shards: int) -> tuple[list[Path], list[Path], list[Path], list[Path]]:
    if len(inputs) < 3 * shards:
        raise ValueError(f"an election over {shards} shards needs at least {3 * shards} files, not {len(inputs)}")
    return (
        inputs[:shards],
        inputs[shards : 2 * shards],
        inputs[2 * shards : 3 * shards],
        inputs[3 * shards :],
    )
