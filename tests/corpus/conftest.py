"""Kept shards made of real documents, and the way from them to token shards without an engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.corpus import mixture, shards, shuffle, tokenise, tokenizer
from tamis.corpus.schemas import KEPT
from tamis.corpus.tally import total_by_source
from tamis.documents import gids, write_table


class Quiet:
    """A context that listens to nothing."""

    suspects: frozenset[str] = frozenset()

    def heartbeat(self, item: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass


CONTEXT = Quiet()
ODD = [
    "",
    "The end <|endoftext|> of <|padding|> a tutorial.",
    "مرحبا بالعالم، هذا نص عربي 🧭",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \u200d👩‍👩‍👧‍👦 \u0000 \ufeff",
    "  two  spaces\t\ttabs\r\n\r\nlines\n\n\n",
]


def documents(data_dir: Path, per_file: int = 60) -> list[tuple[str, str]]:
    """(source, text) of real documents in nine languages, and a few odd ones."""
    rows = []
    for name in ("english", "multilingual"):
        table = pq.read_table(data_dir / "text" / f"{name}.parquet", columns=["text"])
        step = max(1, table.num_rows // per_file)
        rows += [(name, text) for text in table.column(0).to_pylist()[::step][:per_file]]
    return rows + [("odd", text) for text in ODD]


def write_kept_shards(rows: list[tuple[str, str]], folder: Path, shard_count: int) -> list[Path]:
    """Kept shards of consecutive documents; ids depend on the document alone."""
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-len(rows) // shard_count)
    paths = []
    for number in range(shard_count):
        part = rows[number * size : (number + 1) * size]
        texts = pa.array([text for _, text in part], pa.large_string())
        ids = [hashlib.blake2b(f"{number * size + i}".encode(), digest_size=16).hexdigest() for i in range(len(part))]
        table = pa.table(
            {
                "gid": pa.array(gids(number, len(part))),
                "id": ids,
                "source": [source for source, _ in part],
                "url": pa.array([f"https://example.org/{one}" for one in ids]),
                "weight": pa.array([1.0] * len(part), pa.float32()),
                "bytes": pa.array([len(text.encode()) for _, text in part], pa.int64()),
                "text": texts,
            },
            schema=KEPT,
        )
        paths.append(folder / f"{number:05d}.parquet")
        write_table(paths[-1], table, KEPT)
    return paths


def build_corpus(
    kept: list[Path], tokenizer_path: Path, folder: Path, partitions: int = 3, **mix: Any
) -> dict[str, Any]:
    """kept -> folder/text, folder/tokens. Returns the plan, the reached tallies and the summaries."""
    for name in ("ids", "scatter", "text", "tokens"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    ids = [folder / "ids" / path.name for path in kept]
    counted = [
        tokenise.tokenise_task(CONTEXT, {}, [one, tokenizer_path], [out]) for one, out in zip(kept, ids, strict=True)
    ]
    seed = mix.pop("seed", 17)
    plan = mixture.plan(total_by_source(counted), **mix)
    params = {"seed": seed, "partitions": partitions, "rates": plan.rates()}
    scattered = [folder / "scatter" / path.name for path in kept]
    scatter = [
        shuffle.scatter_task(CONTEXT, params, [one, two], [out])
        for one, two, out in zip(kept, ids, scattered, strict=True)
    ]
    loaded = tokenizer.Tokenizer.load(tokenizer_path)
    gather, files = [], [tokenizer_path]
    for p in range(partitions):
        tokens = [folder / "tokens" / f"{p:05d}.bin", folder / "tokens" / f"{p:05d}.idx.npy"]
        outputs = [folder / "text" / f"{p:05d}.parquet", *tokens]
        given = {"partition": p, "dtype": loaded.dtype, "end_of_text": loaded.end_of_text}
        gather.append(shuffle.gather_task(CONTEXT, given, scattered, outputs))
        files += tokens
    made = [folder / "tokens" / "index.json", folder / "tokens" / "tokenizer.json"]
    shards.index_task(CONTEXT, {"context": 128, "seed": seed}, files, made)
    return {
        "plan": plan,
        "tokenise": counted,
        "scatter": scatter,
        "gather": gather,
        "reached": total_by_source(gather),
    }


@pytest.fixture(scope="session")
def rows(data_dir: Path) -> list[tuple[str, str]]:
    return documents(data_dir)


@pytest.fixture(scope="session")
def trained(rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 2,048 ids trained on part of the documents."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_bytes(tokenizer.train((text for _, text in rows[::4]), 2048))
    return path


@pytest.fixture(scope="session")
def corpus(rows: list[tuple[str, str]], trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole corpus of all documents once: text/ and tokens/."""
    folder = tmp_path_factory.mktemp("corpus")
    build_corpus(write_kept_shards(rows, folder / "kept", 4), trained, folder)
    return folder


@pytest.fixture(scope="session")
def build() -> Callable[..., dict[str, Any]]:
    return build_corpus


@pytest.fixture(scope="session")
def write_kept() -> Callable[..., list[Path]]:
    return write_kept_shards


@pytest.fixture(scope="session")
def context() -> Quiet:
    return CONTEXT
