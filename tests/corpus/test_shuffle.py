import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tamis.corpus.mixture import plan
from tamis.corpus.schemas import KEPT
from tamis.corpus.shards import ShardError, TokenShards
from tamis.corpus.shuffle import partitions, scatter_task
from tamis.corpus.tokenizer import Tokenizer
from tamis.documents import read_table, write_table

Rows = list[tuple[str, str]]


def texts(folder: Path) -> pa.Table:
    return pa.concat_tables([read_table(path) for path in sorted((folder / "text").glob("*.parquet"))])


def flat(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((folder / "tokens").glob("*.bin")))


def test_every_document_is_there_once_with_its_tokens(corpus: Path, rows: Rows, trained: Path) -> None:
    table = texts(corpus)
    assert sorted(table.column("text").to_pylist()) == sorted(text for _, text in rows)
    assert table.column("text").to_pylist() != [text for _, text in rows]
    tokenizer = Tokenizer.load(trained)
    shards = TokenShards(corpus / "tokens")
    assert shards.index.documents == len(rows)
    for ids, text, count in zip(
        shards.documents(), table.column("text").to_pylist(), table.column("n_tokens").to_pylist(), strict=True
    ):
        assert tokenizer.decode(ids) == text
        assert len(ids) == count
    assert shards.index.tokens == sum(table.column("n_tokens").to_pylist()) + len(rows)


def test_order_does_not_depend_on_the_cut(
    rows: Rows, trained: Path, tmp_path: Path, build: Any, write_kept: Any
) -> None:
    """Other shards and other partitions: the same documents in the same order, the same tokens."""
    mix = {"epochs": {"english": 2.5, "odd": 0.5}}
    seen = []
    for shard_count, count in ((1, 1), (5, 4), (3, 9)):
        folder = tmp_path / f"{shard_count}-{count}"
        build(write_kept(rows, folder / "kept", shard_count), trained, folder, count, **mix)
        table = texts(folder)
        seen.append((table.column("id").to_pylist(), table.column("copy").to_pylist(), hashlib.sha256(flat(folder))))
    assert seen[0][:2] == seen[1][:2] == seen[2][:2]
    assert len({one[2].hexdigest() for one in seen}) == 1


def test_the_same_run_gives_the_same_bytes_and_another_seed_another_order(
    rows: Rows, trained: Path, tmp_path: Path, build: Any, write_kept: Any
) -> None:
    kept = write_kept(rows[::5], tmp_path / "kept", 2)
    hashes = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build(kept, trained, tmp_path / name, seed=seed)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        hashes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert hashes[0] == hashes[1]
    first, other = texts(tmp_path / "a"), texts(tmp_path / "c")
    assert first.column("id").to_pylist() != other.column("id").to_pylist()
    assert sorted(first.column("id").to_pylist()) == sorted(other.column("id").to_pylist())


def test_copies_reach_the_plan_and_lie_apart(
    rows: Rows, trained: Path, tmp_path: Path, build: Any, write_kept: Any
) -> None:
    mix = {
        "weights": {"english": 1, "multilingual": 1, "odd": 0},
        "tokens": 250_000,
        "epochs": {"english": 3, "multilingual": 3},
    }
    made = build(write_kept(rows, tmp_path / "kept", 3), trained, tmp_path, **mix)
    found = texts(tmp_path)
    table = {row["source"]: row for row in made["plan"].table(made["reached"])}
    for name in ("english", "multilingual"):
        # A document enters with probability f beyond its whole copies: variance n^2 f (1 - f) each.
        sizes = np.array(found.column("n_tokens").filter(pc.equal(found.column("source"), name)))
        f = table[name]["rate"] % 1
        sigma = np.sqrt((sizes.astype(float) ** 2).sum() / table[name]["rate"] * f * (1 - f))
        assert abs(table[name]["tokens"] - table[name]["planned_tokens"]) < 4 * sigma
    assert table["odd"]["tokens"] == 0
    for told in made["scatter"] + made["gather"]:
        assert told["in"] == told["out"] + sum(told["reasons"].values())
    at: dict[str, list[int]] = {}
    for place, one in enumerate(found.column("id").to_pylist()):
        at.setdefault(one, []).append(place)
    gaps = [abs(places[1] - places[0]) for places in at.values() if len(places) > 1]
    assert gaps
    assert np.mean(gaps) > len(found) / 5  # uniform places are a third of the whole apart


def test_no_documents_make_an_empty_corpus(trained: Path, tmp_path: Path, build: Any, write_kept: Any) -> None:
    kept = tmp_path / "00000.parquet"
    write_table(kept, KEPT.empty_table(), KEPT)
    build([kept], trained, tmp_path / "out", 2)
    shards = TokenShards(tmp_path / "out" / "tokens")
    assert (shards.index.tokens, list(shards.documents())) == (0, [])
    shards.verify()


def test_damage_is_named(corpus: Path, tmp_path: Path, rows: Rows, trained: Path, build: Any, write_kept: Any) -> None:
    build(write_kept(rows[:40], tmp_path / "kept", 1), trained, tmp_path)
    TokenShards(tmp_path / "tokens").verify()
    path = tmp_path / "tokens" / "00001.bin"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError, match=r"00001\.bin is not the file"):
        TokenShards(tmp_path / "tokens").verify()
    path.write_bytes(data[:-2])
    with pytest.raises(ShardError, match=r"00001\.bin has"):
        TokenShards(tmp_path / "tokens")
    with pytest.raises(ShardError, match=r"index\.json is missing"):
        TokenShards(tmp_path)


def test_a_source_without_a_rate_is_refused(
    rows: Rows, trained: Path, tmp_path: Path, build: Any, write_kept: Any, context: Any
) -> None:
    build(write_kept(rows[:10], tmp_path / "kept", 1), trained, tmp_path)
    params = {"seed": 1, "partitions": 1, "rates": {"elsewhere": 1.0}}
    inputs = [tmp_path / "kept" / "00000.parquet", tmp_path / "ids" / "00000.parquet"]
    with pytest.raises(ValueError, match="source `english`"):
        scatter_task(context, params, inputs, [tmp_path / "x.parquet"])


def test_partitions_are_sized_by_text() -> None:
    assert [partitions(size) for size in (0, 1, 64 << 20, 1 << 30)] == [1, 1, 1, 16]
    assert plan({}).bytes == 0
