"""Feeds: the order of token shards, ranks, and which documents stand in a batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.corpus.shards import IndexFile, Shard, file_sha256
from tamis.corpus.windows import Windows
from tamis.models.data import END_OF_TEXT, ArrayFeed, ByteEncoder, bytes_of, documents


def shards(folder: Path, sizes: list[list[int]]) -> np.ndarray:
    """Token shards whose documents have these lengths (with end-of-text); gives all tokens."""
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    made, whole = [], []
    for number, lengths in enumerate(sizes):
        tokens = np.arange(sum(lengths), dtype="<u2") + 100 * number
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat, bounds = folder / f"{number:05}.bin", folder / f"{number:05}.idx.npy"
        flat.write_bytes(tokens.tobytes())
        np.save(bounds, offsets)
        hashes = file_sha256(flat), file_sha256(bounds)
        made.append(Shard(flat.name, bounds.name, len(tokens), len(lengths), *hashes))
        whole.append(tokens)
    index = IndexFile(
        "uint16", 1000, 0, "tokenizer.json", file_sha256(folder / "tokenizer.json"), None, 0,
        sum(map(len, whole)), sum(map(len, sizes)), tuple(made),
    )  # fmt: skip
    (folder / "index.json").write_text(index.to_json())
    return np.concatenate(whole)


def test_an_array_is_read_as_shards_are(tmp_path: Path) -> None:
    tokens = shards(tmp_path / "tokens", [[5, 20, 14], [40, 3, 9]])
    disk, memory = Windows(tmp_path / "tokens", 8, 2, seed=3), ArrayFeed(tokens, 8, 2, seed=3)
    assert disk.steps == memory.steps == 5
    for epoch in range(2):
        for step in range(5):
            np.testing.assert_array_equal(disk(epoch, step), memory(epoch, step))
    assert not np.array_equal(memory(0, 0), memory(1, 0))


def test_ranks_share_the_batch_of_one(tmp_path: Path) -> None:
    tokens = np.arange(200)
    whole = ArrayFeed(tokens, 8, 4, seed=1)
    parts = [ArrayFeed(tokens, 8, 2, seed=1, rank=rank, world=2) for rank in range(2)]
    np.testing.assert_array_equal(whole(0, 3), np.concatenate([part(0, 3) for part in parts]))
    assert whole.identity() == parts[0].identity() == parts[1].identity()
    json.dumps(whole.identity())


def test_identity_changes_with_what_decides_the_batches() -> None:
    base = ArrayFeed(np.arange(200), 8, 4, seed=1).identity()
    changed = np.arange(200)
    changed[150] = 0
    others = [
        ArrayFeed(changed, 8, 4, seed=1), ArrayFeed(np.arange(200), 9, 4, seed=1),
        ArrayFeed(np.arange(200), 8, 2, seed=1), ArrayFeed(np.arange(200), 8, 4, seed=2),
    ]  # fmt: skip
    assert all(other.identity() != base for other in others)


def test_documents_of_a_batch_are_those_whose_tokens_it_holds(tmp_path: Path) -> None:
    sizes = [[5, 20, 14], [40, 3, 9]]
    tokens = shards(tmp_path / "tokens", sizes)
    owner = [f"{shard}:{row}" for shard, lengths in enumerate(sizes) for row, n in enumerate(lengths) for _ in range(n)]
    names = list(dict.fromkeys(owner))
    disk = Windows(tmp_path / "tokens", 8, 2, seed=3)
    offsets = np.concatenate([[0], np.cumsum([n for lengths in sizes for n in lengths])])
    memory = ArrayFeed(tokens, 8, 2, seed=3, offsets=offsets)
    where = {int(token): place for place, token in enumerate(tokens)}
    for step in range(disk.steps):
        places = {where[int(token)] for token in disk(0, step).ravel()}
        want = {owner[place] for place in places}
        assert set(documents(disk, 0, step)) == want
        for rank in range(2):  # the batch of all ranks, whoever asks
            part = Windows(tmp_path / "tokens", 8, 1, seed=3, rank=rank, world=2)
            assert set(documents(part, 0, step)) == want
        inputs = {owner[where[int(token)]] for token in memory(0, step)[:, :-1].ravel()}
        assert {names[int(number)] for number in documents(memory, 0, step)} == inputs


def test_documents_are_named_as_a_user_knows_them(tmp_path: Path) -> None:
    tokens = shards(tmp_path / "tokens", [[5, 20, 14], [40, 3, 9]])
    (tmp_path / "text").mkdir()
    for shard in range(2):
        pq.write_table(
            pa.table({"id": [f"id {shard}{row}" for row in range(3)]}), tmp_path / f"text/{shard:05}.parquet"
        )
    disk = Windows(tmp_path / "tokens", 8, 10, seed=3)
    assert set(documents(disk, 0, 0)) == {f"id {shard}{row}" for shard in range(2) for row in range(3)}
    memory = ArrayFeed(tokens[:25], 8, 3, offsets=np.array([0, 5, 25]), names=np.array([0, 2]))
    assert documents(memory, 0, 0) == ["0", "2"]  # row 1 of the file is empty


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than one step"):
        ArrayFeed(np.arange(20), 8, 4)
    with pytest.raises(ValueError, match="row of integers"):
        ArrayFeed(np.zeros(20), 8, 4)


def test_bytes_come_back() -> None:
    texts = ["caf\u00e9", "", "\u6c34\n"]
    encoder = ByteEncoder()
    assert [encoder.decode(ids) for ids in encoder.encode(texts)] == texts
    flat = bytes_of(texts)
    assert flat.dtype == np.uint16
    assert int((flat == END_OF_TEXT).sum()) == 3
    assert encoder.decode(flat) == "".join(texts)
    assert len(bytes_of([])) == 0
