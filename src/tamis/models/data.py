"""What a training loop reads: batches of token ids by (epoch, step), and text as bytes.

`corpus.windows.Windows` is a Feed over token shards on disk; `ArrayFeed` is one over an array in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tamis.corpus.windows import Permutation, TooFewTokens, Windows, sequences

END_OF_TEXT = 256
VOCABULARY = 257


class Feed(Protocol):
    """context: tokens of a sequence. steps: batches of an epoch."""

    context: int
    steps: int

    def __call__(self, epoch: int, step: int) -> npt.NDArray[np.int64]:
        """ids (B, context + 1): inputs are [:, :-1], targets [:, 1:]. The same for the same (epoch, step)."""
        ...

    def identity(self) -> dict[str, Any]:
        """What must be equal for two feeds to give the same batches; JSON."""
        ...


class ArrayFeed:
    """Sequences of `context` tokens cut from one array of ids, in the order that `corpus.windows.Windows` would have.

    tokens: (N,) ids, documents one after the other with an end-of-text id after each. Global batch number b of an
    epoch holds sequences order[b x B x W : (b + 1) x B x W], rank r takes its B of them. offsets (D + 1,): where each
    document starts, names (D,): its number in its file, so that a spike can be tied to documents; they decide nothing.
    Memory: the array.
    """

    def __init__(
        self,
        tokens: npt.NDArray[Any],
        context: int,
        batch: int,
        seed: int = 0,
        *,
        rank: int = 0,
        world: int = 1,
        offsets: npt.NDArray[np.int64] | None = None,
        names: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            raise ValueError(f"tokens must be a row of integers, not {tokens.dtype} {tokens.shape}")
        if batch < 1 or not 0 <= rank < world:
            raise ValueError(f"batch={batch}, rank={rank}, world={world}: batch >= 1 and 0 <= rank < world")
        self.tokens, self.context, self.batch, self.seed, self.rank, self.world = (
            tokens, context, batch, seed, rank, world,
        )  # fmt: skip
        self.offsets, self.names = offsets, names
        self.sequences = sequences(len(tokens), context)
        self.steps = self.sequences // (batch * world)
        if self.steps == 0:
            raise TooFewTokens(
                f"{len(tokens):,} tokens are {self.sequences} sequences of {context}: fewer than one step of "
                f"{batch} x {world}. Use a shorter context, a smaller batch, or more text."
            )

    def identity(self) -> dict[str, Any]:
        data = np.ascontiguousarray(self.tokens)
        return {
            "tokens": hashlib.sha256(data.data).hexdigest(),
            "dtype": data.dtype.str,
            "context": self.context,
            "global_batch": self.batch * self.world,
            "seed": self.seed,
        }

    def __call__(self, epoch: int, step: int) -> npt.NDArray[np.int64]:
        return np.stack([self.tokens[i : i + self.context + 1] for i in self.starts(epoch, step)]).astype(np.int64)

    def starts(self, epoch: int, step: int) -> list[int]:
        """Where in `tokens` each sequence of this rank's batch begins."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of an epoch of {self.steps}")
        return _starts(self, epoch, (step * self.world + self.rank) * self.batch, self.batch)


def _starts(feed: ArrayFeed | Windows, epoch: int, first: int, count: int) -> list[int]:
    chosen = Permutation(feed.sequences, feed.seed, epoch)(np.arange(first, first + count))
    found: list[int] = (chosen * feed.context).tolist()
    return found


def documents(feed: Any, epoch: int, step: int) -> list[str]:
    """Which documents the batch of all ranks holds parts of. Of token shards (Windows): their ids where the corpus's
    `text` lies beside its tokens, else `SHARD:ROW`. Of an ArrayFeed that was told `offsets`: its `names`, or numbers
    from 0. Empty where a feed cannot say."""
    if not isinstance(feed, Windows | ArrayFeed):
        return []
    together = feed.batch * feed.world
    starts = sorted(_starts(feed, epoch, step * together, together))
    if isinstance(feed, Windows):
        found: list[tuple[int, int]] = []
        for start in starts:
            end = start + feed.context + 1
            shard = int(np.searchsorted(feed.shards.starts, start, side="right")) - 1
            while shard < len(feed.shards.index.shards) and feed.shards.starts[shard] < end:
                begin = int(feed.shards.starts[shard])
                found += [(shard, row) for row in _within(feed.shards.offsets(shard), start - begin, end - begin)]
                shard += 1
        return _ids(feed.shards.folder.parent / "text", list(dict.fromkeys(found)))
    if feed.offsets is None:
        return []
    rows = dict.fromkeys(row for at in starts for row in _within(feed.offsets, at, at + feed.context))
    return [str(row if feed.names is None else feed.names[row]) for row in rows]


def _ids(texts: Path, places: list[tuple[int, int]]) -> list[str]:
    """Ids of (shard, row): row n of text/SHARD.parquet is document n of a shard of tokens. Memory: ids of a shard."""
    known: dict[int, Any] = {}
    for shard in {shard for shard, _ in places}:
        path = texts / f"{shard:05d}.parquet"
        if path.exists():
            known[shard] = pq.read_table(path, columns=["id"]).column("id")
    return [known[shard][row].as_py() if shard in known else f"{shard}:{row}" for shard, row in places]


def _within(offsets: npt.NDArray[np.int64], start: int, end: int) -> range:
    """Rows of the documents (offsets (D + 1,)) that have a token in [start, end)."""
    first = max(0, int(np.searchsorted(offsets, start, side="right")) - 1)
    return range(first, min(int(np.searchsorted(offsets, end, side="left")), len(offsets) - 1))


class ByteEncoder:
    """Tokens are UTF-8 bytes, 256 ends a text. Small models learn more from a CPU second of bytes than they would
    with a vocabulary whose embeddings are most of their parameters."""

    end_of_text = END_OF_TEXT
    vocabulary = VOCABULARY

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint16]]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.uint16) for text in texts]

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """The text of ids; end-of-text ids are left out, bytes that are no UTF-8 become U+FFFD."""
        return bytes(int(i) for i in ids if int(i) < 256).decode("utf-8", "replace")


def bytes_of(texts: Iterable[str]) -> npt.NDArray[np.uint16]:
    """Texts as one row of byte ids, END_OF_TEXT after each: (N,) uint16."""
    end = np.array([END_OF_TEXT], np.uint16)
    parts = [part for text in texts for part in (np.frombuffer(text.encode(), np.uint8).astype(np.uint16), end)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint16)
