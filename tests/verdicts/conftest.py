"""A small made-up workspace: signal tables, edges and documents, without any other room's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tamis.documents import DOCUMENTS, EDGES, gids, write_table
from tamis.verdicts.election import Strength
from tamis.verdicts.reader import Folder
from tamis.verdicts.rules import RuleSet
from tamis.verdicts.task import elect_task, rules_task, verdict_task

FLOAT, INT, STRING, BOOL = pa.float64(), pa.int64(), pa.string(), pa.bool_()

SIGNALS: dict[str, dict[str, pa.DataType]] = {
    "document": {"extracted": BOOL, "chars": INT},
    "text": {
        **dict.fromkeys(("bytes", "chars", "words", "script_words", "stop_words", "lines"), INT),
        **dict.fromkeys(
            ("mean_word", "alpha_words", "hash_ratio", "ellipsis_ratio", "bullet_lines", "ellipsis_lines"), FLOAT
        ),
    },
    "repetition": dict.fromkeys(
        [
            *("dup_lines", "dup_line_chars", "dup_paragraphs", "dup_paragraph_chars"),
            *("top_2", "top_3", "top_4", "dup_5", "dup_6", "dup_7", "dup_8", "dup_9", "dup_10"),
        ],
        FLOAT,
    ),
    "final": {
        **dict.fromkeys(("bytes", "chars", "words", "sentences"), INT),
        **dict.fromkeys(("line_punct", "short_lines", "dup_line_chars", "list_ratio_punct"), FLOAT),
    },
    "c4": {"lorem_ipsum": INT, "curly": INT},
    "refinedweb": {"removed_words": FLOAT},
    "lang": {"code": STRING, "score": FLOAT, "spaced": BOOL},
    "url": {"host": STRING, "blocked": STRING},
    "eval": {"score": FLOAT, "cuts": INT},
}


@pytest.fixture(scope="session")
def signals() -> dict[str, pa.DataType]:
    """Types of all signals by GROUP.column."""
    return {f"{group}.{name}": kind for group, columns in SIGNALS.items() for name, kind in columns.items()}


def values(kind: pa.DataType, rows: int, rng: np.random.Generator, missing: np.ndarray) -> pa.Array:
    """Random values of a type, null where `missing`."""
    if kind == BOOL:
        return pa.array(rng.random(rows) < 0.9, mask=missing)
    if kind == INT:
        return pa.array(rng.integers(0, 300, rows), mask=missing)
    if kind == FLOAT:
        return pa.array(np.round(rng.random(rows), 3), mask=missing)
    return pa.array(rng.choice(["en", "de", "zh"], rows), STRING, mask=missing)


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[..., Folder]:
    """make(rows=[...], edges=n, seed=s): a Folder with documents, every signal group and random edges."""

    def make(rows: list[int], edges: int = 0, seed: int = 0, failed: float = 0.1) -> Folder:
        rng = np.random.default_rng(seed)
        folder = Folder(tmp_path / "work")
        for shard, count in enumerate(rows):
            missing = rng.random(count) < failed
            _documents(folder, shard, count, missing)
            for group, columns in SIGNALS.items():
                data = {
                    name: pa.array(~missing) if name == "extracted" else values(kind, count, rng, missing)
                    for name, kind in columns.items()
                }
                path = folder.path / "signals" / group / f"{shard:05d}.parquet"
                _write(path, pa.table(data))
        _write(folder.path / "dedup" / "edges" / "00000.parquet", random_edges(rows, edges, rng))
        return folder

    return make


def random_edges(rows: list[int], count: int, rng: np.random.Generator) -> pa.Table:
    """`count` edges between random documents, ordered by (left, right)."""
    every = np.concatenate([gids(shard, count) for shard, count in enumerate(rows)])
    pairs = np.unique(np.sort(rng.integers(0, len(every), (count, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    jaccard = np.round(rng.uniform(0.5, 1.0, len(pairs)), 3).astype(np.float32)
    return pa.table(
        {
            "left": every[pairs[:, 0]],
            "right": every[pairs[:, 1]],
            "kind": pa.array(np.where(rng.random(len(pairs)) < 0.1, "exact", "near")),
            "jaccard": jaccard,
            "containment": np.maximum(jaccard, np.float32(0.7)),
            "bands": pa.array(np.ones(len(pairs), np.int16)),
        },
        EDGES,
    )


def _documents(folder: Folder, shard: int, count: int, missing: np.ndarray) -> None:
    reason = [("extract.timeout" if row % 2 else None) if gone else None for row, gone in enumerate(missing)]
    table = pa.table(
        {
            "id": [f"{shard:08x}{row:08x}".rjust(32, "f")[::-1] for row in range(count)],
            "text": pa.array([None if gone else f"text {shard} {row}" for row, gone in enumerate(missing)]),
            "reason": pa.array(reason, pa.string()),
            "text_hash": pa.nulls(count, pa.string()),
            "source": [("crawl", "books")[row % 2] for row in range(count)],
            "url": [f"https://site{row % 7}.example/{shard}/{row}" for row in range(count)],
            "date": pa.nulls(count, pa.string()),
            "meta": ["{}"] * count,
        }
    ).cast(DOCUMENTS)
    _write(folder.documents(shard), table)


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table, table.schema)


class Quiet:
    """A context for tasks that are called directly."""

    suspects: frozenset[str] = frozenset()

    def heartbeat(self, item: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def alone(self, function, *arguments, seconds):
        return function(*arguments)


def run_tasks(folder: Folder, rules: RuleSet, strength: Strength) -> list[dict]:
    """Runs the three tasks over a folder; returns the summaries of the verdicts."""
    folder.decide(rules, strength)
    shards = range(folder.shards)
    for path in (folder.mask(0), folder.verdicts(0)):
        path.parent.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        files = [Path(f) for group in rules.groups if (f := folder.signals(group, shard))]
        rules_task(Quiet(), {"rules": rules.to_json(), "groups": list(rules.groups)}, files, [folder.mask(shard)])
    inputs = [
        *(folder.mask(s) for s in shards),
        *(folder.signals("final", s) for s in shards),
        *(folder.documents(s) for s in shards),
        *folder.edges(),
    ]
    elect_task(Quiet(), {"shards": len(shards), "strength": asdict(strength)}, inputs, [folder.duplicates()])
    return [
        verdict_task(
            Quiet(),
            {"shard": shard, "rules": rules.to_json()},
            [
                folder.mask(shard),
                folder.documents(shard),
                folder.signals("final", shard),
                folder.signals("lang", shard),
                folder.duplicates(),
            ],
            [folder.verdicts(shard)],
        )
        for shard in shards
    ]


@pytest.fixture
def decide() -> Callable[[Folder, RuleSet, Strength], list[dict]]:
    """decide(folder, rules, strength): runs the three tasks; the summaries of the verdicts."""
    return run_tasks
