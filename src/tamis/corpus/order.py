"""Seeded draws for documents: one 64-bit number per document, purpose and seed, the same wherever the document lies.

The draw is a function of the document's `id`, never of its shard, row or worker, so that a sample, the copies of a
mixture and the global order do not move when the input is cut into other shards.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]

_NIBBLE = np.full(256, 255, dtype=np.uint8)
for _digit, _character in enumerate("0123456789abcdef"):
    _NIBBLE[ord(_character)] = _digit


def id_words(ids: pa.Array | pa.ChunkedArray) -> Words:
    """The 128-bit ids as numbers: uint64 (N, 2). Raises ValueError where an id is not 32 lower-case hex digits."""
    column = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if isinstance(column, pa.ChunkedArray):  # combine_chunks keeps several chunks past 2 GB
        return np.concatenate([id_words(chunk) for chunk in column.chunks])
    column = column.cast(pa.large_string())
    if len(column) == 0:
        return np.zeros((0, 2), dtype=np.uint64)
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    if column.null_count or (np.diff(offsets) != 32).any():
        raise ValueError("a document id is not 32 hexadecimal digits: was this file written by Tamis?")
    digits = np.frombuffer(column.buffers()[2], dtype=np.uint8)[offsets[0] : offsets[-1]]
    nibbles = _NIBBLE[digits]
    if (nibbles == 255).any():
        raise ValueError("a document id is not 32 hexadecimal digits: was this file written by Tamis?")
    octets = (nibbles[0::2] << 4 | nibbles[1::2]).astype(np.uint8)
    return octets.view(">u8").astype(np.uint64).reshape(-1, 2)


def draw(words: Words, seed: int, purpose: str, copy: Any = 0) -> npt.NDArray[np.uint64]:
    """A uniform 64-bit number per document: uint64 (N,) from `id_words` (N, 2). Independent between purposes.

    `copy` (a number or an array of N) tells copies of one document apart. Mixing is SplitMix64's finalizer
    (Steele, Lea, Flood 2014), applied to each word in turn.
    """
    digest = hashlib.blake2b(f"{purpose}\0{seed}".encode(), digest_size=8).digest()
    state = np.uint64(int.from_bytes(digest, "little"))
    with np.errstate(over="ignore"):
        mixed = _mix(words[:, 0] ^ state)
        mixed = _mix(mixed + words[:, 1])
        return _mix(mixed + np.asarray(copy, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def _mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def below(draws: npt.NDArray[np.uint64], share: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which draws fall under `share` in [0, 1] (a number or one per draw): bool (N,), true with that probability."""
    # The top 53 bits are exact in a double, so the comparison is the same on every machine.
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53 < np.asarray(share, dtype=np.float64)


def partition(keys: npt.NDArray[np.uint64], partitions: int) -> npt.NDArray[np.int64]:
    """Ranges of the key space: partition p holds the keys with floor(high 32 bits * P / 2^32) = p. P < 2^31.

    Ranges keep their order, so that partitions sorted one by one are the whole sorted.
    """
    return ((keys >> np.uint64(32)) * np.uint64(partitions) >> np.uint64(32)).astype(np.int64)
