"""Token shards as one Megatron-LM data set: PREFIX.bin and PREFIX.idx.

The .idx format (Megatron-LM, `megatron/core/datasets/indexed_dataset.py`, little-endian throughout):

    9 bytes     b"MMIDIDX\\x00\\x00"
    uint64      version, 1
    uint8       code of the ids' type: 4 int32, 8 uint16
    uint64      S, number of sequences
    uint64      D + 1, length of the document index
    int32 (S,)      tokens of each sequence
    int64 (S,)      byte offset of each sequence in the .bin
    int64 (D + 1,)  number of sequences before each document; the last is S

Here every document is one sequence, with its end-of-text id. Ids of 32 bits are stored as int32, the only wide type
that the format has. Memory: one copy buffer; the index is written shard by shard.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.corpus.shards import TokenShards

MAGIC = b"MMIDIDX\x00\x00"
# Part of the stage's key.
VERSION = 1
_CODES = {"uint16": 8, "uint32": 4}


@dataclass(frozen=True)
class MegatronExport:
    """What was written: the two files and their counts."""

    bin: Path
    idx: Path
    sequences: int
    tokens: int


def export_megatron(tokens: Path | str, prefix: Path | str) -> MegatronExport:
    """Writes PREFIX.bin and PREFIX.idx from a folder of token shards. Raises ShardError if that is damaged.

    Use the prefix as Megatron's `--data-path`. Both files appear whole, the index last.
    """
    shards = TokenShards(tokens)
    made = [Path(f"{prefix}.bin"), Path(f"{prefix}.idx")]
    made[0].parent.mkdir(parents=True, exist_ok=True)
    parts = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in made]
    try:
        write(shards, *parts)
        for part, path in zip(parts, made, strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return MegatronExport(made[0], made[1], shards.index.documents, shards.index.tokens)


def megatron_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: index.json, then the files of its folder that it refers to. outputs: .bin, .idx."""
    context.heartbeat("megatron")
    shards = TokenShards(inputs[0].parent)
    write(shards, *outputs)
    documents = shards.index.documents
    return {"in": documents, "out": documents, "reasons": {}, "tokens": shards.index.tokens}


def write(shards: TokenShards, flat: Path, index: Path) -> None:
    """Writes the data set of token shards to two files."""
    with flat.open("wb") as out:
        for shard in shards.index.shards:
            with (shards.folder / shard.file).open("rb") as file:
                shutil.copyfileobj(file, out, 1 << 20)
    documents = shards.index.documents
    with index.open("wb") as out:
        out.write(MAGIC)
        out.write(struct.pack("<QBQQ", 1, _CODES[shards.index.dtype], documents, documents + 1))
        for lengths in _lengths(shards):
            out.write(lengths.astype("<i4").tobytes())
        start = 0
        for lengths in _lengths(shards):
            ends = np.cumsum(lengths) * shards.dtype.itemsize
            out.write((start + np.concatenate([[0], ends[:-1]])).astype("<i8").tobytes())
            start += int(ends[-1])
        for first in range(0, documents + 1, 1 << 20):
            out.write(np.arange(first, min(first + (1 << 20), documents + 1), dtype="<i8").tobytes())


def _lengths(shards: TokenShards) -> Iterator[npt.NDArray[np.int64]]:
    for number, shard in enumerate(shards.index.shards):
        if shard.documents:
            yield np.diff(shards.offsets(number))
