"""Sequences of `context` tokens cut from token shards, in a seeded order that needs no memory.

Packing: the corpus is one stream, documents follow each other with an end-of-text id between, and sequence i is
tokens i x context to (i + 1) x context, plus one more as the last target. A sequence may hold several documents and a
document may continue in the next sequence; no token but the last few (fewer than `context` + 1) is wasted.
Order: a keyed permutation of 0 .. N - 1 computed number by number, so an epoch over a billion sequences starts at
once, at any position, and a run resumes exactly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.corpus.shards import TokenShards
from tamis.errors import SaidNo


class TooFewTokens(ValueError, SaidNo):
    """There is not one step of tokens."""


@dataclass(frozen=True)
class Packing:
    """What cutting into sequences of `context` tokens does. All counts over the whole corpus."""

    context: int
    sequences: int
    wasted_tokens: int  # after the last whole sequence
    documents: int
    cut_documents: int  # that continue in another sequence
    documents_per_sequence: float  # mean number of documents that a sequence holds a part of

    @property
    def waste(self) -> float:
        """Share of tokens in no sequence, in [0, 1]."""
        return self.wasted_tokens / max(1, self.sequences * self.context + self.wasted_tokens)


def sequences(tokens: int, context: int) -> int:
    """How many sequences of `context` inputs, each with a target one further, fit into `tokens`."""
    if context < 1:
        raise ValueError(f"context must be at least 1 token, not {context}")
    return max(0, (tokens - 1) // context)


def packing(folder: Path | str, context: int) -> Packing:
    """Statistics of packing a folder of token shards. Memory: the document offsets of one shard."""
    shards = TokenShards(folder)
    count = sequences(shards.index.tokens, context)
    covered = count * context
    cut = touched = documents = 0
    for number, begin in enumerate(shards.starts[:-1]):
        bounds = shards.offsets(number) + begin
        first, last = bounds[:-1] // context, (bounds[1:] - 1) // context
        inside = bounds[:-1] < covered
        last = np.minimum(last, max(count - 1, 0))
        documents += len(first)
        cut += int((inside & (last > first)).sum())
        touched += int((last - first + 1)[inside].sum())
    return Packing(context, count, shards.index.tokens - covered, documents, cut, touched / max(1, count))


class Permutation:
    """A pseudo-random permutation of 0 .. size - 1, evaluated anywhere in O(1) time and memory.

    A balanced Feistel network of six rounds over the next power of four, walked until the value is inside
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). Not for secrets.
    """

    ROUNDS = 6

    def __init__(self, size: int, seed: int, epoch: int = 0) -> None:
        self.size = size
        self._half = max(1, ((max(size, 2) - 1).bit_length() + 1) // 2)
        digest = hashlib.blake2b(f"windows\0{seed}\0{epoch}".encode(), digest_size=8 * self.ROUNDS).digest()
        self._keys = np.frombuffer(digest, dtype="<u8")

    def __call__(self, positions: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The values at some positions, (N,) int64 each in [0, size). Raises IndexError outside."""
        at = np.asarray(positions, dtype=np.uint64)
        if at.size and int(at.max()) >= self.size:
            raise IndexError(f"position {int(at.max())} of a permutation of {self.size}")
        values = self._encrypt(at)
        outside = values >= self.size
        while outside.any():
            values[outside] = self._encrypt(values[outside])
            outside = values >= self.size
        return values.astype(np.int64)

    def _encrypt(self, value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        half = np.uint64(self._half)
        mask = np.uint64((1 << self._half) - 1)
        left, right = value >> half, value & mask
        with np.errstate(over="ignore"):
            for key in self._keys:
                mixed = (right ^ key) * np.uint64(0xBF58476D1CE4E5B9)
                mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
                left, right = right, left ^ (mixed >> np.uint64(29)) & mask
        return left << half | right


class Windows:
    """Batches of sequences from token shards for one rank of a training job.

    Global batch number b of an epoch holds sequences order[b x B x W : (b + 1) x B x W]; rank r takes its B of them.
    So the data of a step depend on (seed, epoch, step, B x W) alone, not on how many workers read.
    """

    def __init__(
        self, folder: Path | str, context: int, batch: int, *, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is not one of a world of {world}")
        if batch < 1:
            raise ValueError(f"batch must be at least 1 sequence, not {batch}")
        self.shards = TokenShards(folder)
        self.context, self.batch, self.seed, self.rank, self.world = context, batch, seed, rank, world
        self.sequences = sequences(self.shards.index.tokens, context)
        self.steps = self.sequences // (batch * world)
        if self.steps == 0:
            raise TooFewTokens(
                f"{folder} holds {self.sequences} sequences of {context} tokens: fewer than one step of "
                f"{batch} x {world}. Use a shorter context, a smaller batch, or more text."
            )

    def identity(self) -> dict[str, Any]:
        """What must be equal for a resumed run to see the same data."""
        return {
            "index": self.shards.fingerprint,
            "context": self.context,
            "global_batch": self.batch * self.world,
            "seed": self.seed,
        }

    def __call__(self, epoch: int, step: int) -> npt.NDArray[np.int64]:
        """This rank's batch: ids (B, context + 1); inputs are [:, :-1], targets [:, 1:]."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of an epoch of {self.steps}")
        first = (step * self.world + self.rank) * self.batch
        chosen = Permutation(self.sequences, self.seed, epoch)(np.arange(first, first + self.batch))
        rows = [self.shards.read(i * self.context, (i + 1) * self.context + 1) for i in chosen.tolist()]
        return np.stack(rows).astype(np.int64)
