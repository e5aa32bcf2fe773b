"""The token shards of a corpus: their index, and reading them back.

tokens/
    00000.bin, ...       flat little-endian uint16 or uint32 ids, every document followed by the end-of-text id
    00000.idx.npy, ...   int64 (documents + 1,): where each document starts, in tokens; the last is the end
    tokenizer.json       the tokenizer of these ids
    index.json           what stands here, with hashes; `IndexFile` is its schema

A `.bin` alone is what nanoGPT-style loaders map: `np.memmap("00000.bin", dtype=np.uint16, mode="r")`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT = "tamis-tokens"
FORMAT_VERSION = 1
# Part of the stage's key.
VERSION = 1


class ShardError(ValueError):
    """Token shards are missing, damaged or of another format."""


@dataclass(frozen=True)
class Shard:
    """One file of tokens: `file` beside index.json, counts, and hashes of both files."""

    file: str
    offsets: str
    tokens: int
    documents: int
    sha256: str
    offsets_sha256: str


@dataclass(frozen=True)
class IndexFile:
    """index.json. `context` is the recipe's sequence length, a hint to loaders; null where it named none."""

    dtype: str
    vocabulary: int
    end_of_text: int
    tokenizer: str
    tokenizer_sha256: str
    context: int | None
    seed: int
    tokens: int
    documents: int
    shards: tuple[Shard, ...]
    format: str = FORMAT
    version: int = FORMAT_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


class TokenShards:
    """A folder of token shards, read through memory maps: nothing is loaded before it is asked for.

    Raises ShardError where index.json is missing or of another version, or a file's size is not what it says.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        path = self.folder / "index.json"
        if not path.exists():
            raise ShardError(f"{self.folder} holds no token shards: index.json is missing")
        data = path.read_bytes()
        self.fingerprint = hashlib.sha256(data).hexdigest()
        fields = json.loads(data)
        if fields.get("format") != FORMAT or fields.get("version") != FORMAT_VERSION:
            raise ShardError(
                f"{path} is {fields.get('format')} version {fields.get('version')}; "
                f"this reads {FORMAT} version {FORMAT_VERSION}"
            )
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        self.index = IndexFile(**fields)
        self.dtype = np.dtype({"uint16": "<u2", "uint32": "<u4"}[self.index.dtype])
        for shard in self.index.shards:
            size, expected = (self.folder / shard.file).stat().st_size, shard.tokens * self.dtype.itemsize
            if size != expected:
                raise ShardError(f"{self.folder / shard.file} has {size:,} bytes, not {expected:,}")

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each shard starts in the corpus, in tokens: int64 (shards + 1,)."""
        return np.cumsum([0] + [shard.tokens for shard in self.index.shards], dtype=np.int64)

    def tokens(self, shard: int) -> np.ndarray:
        """A shard's ids as a memory map: (tokens,) of `dtype`."""
        entry = self.index.shards[shard]
        if entry.tokens == 0:  # an empty file cannot be mapped
            return np.zeros(0, self.dtype)
        return np.memmap(self.folder / entry.file, dtype=self.dtype, mode="r")

    def offsets(self, shard: int) -> npt.NDArray[np.int64]:
        """A shard's document starts: int64 (documents + 1,)."""
        found: npt.NDArray[np.int64] = np.load(self.folder / self.index.shards[shard].offsets, mmap_mode="r")
        return found

    def documents(self) -> Iterator[np.ndarray]:
        """Every document's ids in order, without the end-of-text id."""
        for number in range(len(self.index.shards)):
            flat, bounds = self.tokens(number), self.offsets(number)
            for start, stop in itertools.pairwise(bounds.tolist()):
                yield flat[start : stop - 1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens start to stop of the corpus, across shards: (stop - start,) of `dtype`, a copy."""
        first = int(np.searchsorted(self.starts, start, side="right")) - 1
        parts = []
        while start < stop:
            begin = int(self.starts[first])
            part = self.tokens(first)[start - begin : stop - begin]
            parts.append(part)
            start += len(part)
            first += 1
        return np.concatenate(parts) if parts else np.zeros(0, self.dtype)

    def verify(self) -> None:
        """Reads every file and compares its hash. Raises ShardError naming the first that differs."""
        for shard in self.index.shards:
            for name, expected in ((shard.file, shard.sha256), (shard.offsets, shard.offsets_sha256)):
                if file_sha256(self.folder / name) != expected:
                    raise ShardError(f"{self.folder / name} is not the file that index.json describes")
        if file_sha256(self.folder / self.index.tokenizer) != self.index.tokenizer_sha256:
            raise ShardError(f"{self.folder / self.index.tokenizer} is not the tokenizer of these shards")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def index_task(context: Any, params: dict[str, Any], inputs: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """inputs: tokenizer.json, then .bin and .idx.npy of every partition in turn. outputs: index.json, tokenizer.json.

    params: end_of_text (name or null), context, seed. The inputs must lie in one folder with the outputs' names
    relative to it: index.json refers to files beside itself.
    """
    from tamis.corpus.tokenizer import Tokenizer

    data = inputs[0].read_bytes()
    tokenizer = Tokenizer(data, params.get("end_of_text"))
    item = np.dtype(tokenizer.dtype).itemsize
    shards = []
    for flat, offsets in zip(inputs[1::2], inputs[2::2], strict=True):
        context.heartbeat(flat.name)
        documents = len(np.load(offsets, mmap_mode="r")) - 1
        tokens = flat.stat().st_size // item
        shards.append(Shard(flat.name, offsets.name, tokens, documents, file_sha256(flat), file_sha256(offsets)))
    index = IndexFile(
        dtype=np.dtype(tokenizer.dtype).name,
        vocabulary=tokenizer.vocabulary,
        end_of_text=tokenizer.end_of_text,
        tokenizer="tokenizer.json",
        tokenizer_sha256=tokenizer.sha256,
        context=params.get("context"),
        seed=params["seed"],
        tokens=sum(shard.tokens for shard in shards),
        documents=sum(shard.documents for shard in shards),
        shards=tuple(shards),
    )
    outputs[0].write_text(index.to_json(), encoding="utf-8")
    outputs[1].write_bytes(data)
    return {"in": index.documents, "out": index.documents, "reasons": {}, "tokens": index.tokens}
