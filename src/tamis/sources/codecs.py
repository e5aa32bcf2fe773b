"""Decoders of one gzip member, zstd frame, bzip2 or xz stream, and how to tell them by their first bytes."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

OUTPUT_BYTES = 1 << 20  # what bzip2 and xz give at once

SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".xz": "xz", ".bz2": "bzip2", ".lz4": "lz4"}
MAGIC = {
    "gzip": b"\x1f\x8b\x08",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh",
    "lz4": b"\x04\x22\x4d\x18",
}
ZSTD_SKIPPABLE = tuple(bytes([0x50 + low, 0x2A, 0x4D, 0x18]) for low in range(16))
ZSTD_DICTIONARY = b"\x5d\x2a\x4d\x18"


def compression_of(head: bytes) -> str | None:
    """The compression that a file's first bytes announce, or None."""
    for name, magic in MAGIC.items():
        if head.startswith(magic):
            return name
    return "zstd" if head.startswith(ZSTD_SKIPPABLE) else None


class Decoder(Protocol):
    """Decodes one member. `feed` returns decoded bytes and how many bytes of input it used."""

    hungry: bool
    eof: bool

    def feed(self, data: memoryview) -> tuple[bytes, int]: ...

    def copy(self) -> Decoder | None:
        """The decoder as it is now, or None where its library cannot."""


class Gzip:
    def __init__(self, decoder: Any = None) -> None:
        self._decoder = decoder or zlib.decompressobj(31)
        self.hungry, self.eof = True, False

    def copy(self) -> Decoder | None:
        return Gzip(self._decoder.copy())

    def feed(self, data: memoryview) -> tuple[bytes, int]:
        out = self._decoder.decompress(data)
        self.eof = self._decoder.eof
        return out, len(data) - len(self._decoder.unused_data)


class Zstd:
    def __init__(self, dictionary: Any = None) -> None:
        import zstandard

        # 2 GiB windows are what `zstd --long=31` and Reddit's dumps use; memory grows with the window in use.
        options: dict[str, Any] = {"max_window_size": 2**31}
        if dictionary is not None:
            options["dict_data"] = dictionary
        self._decoder = zstandard.ZstdDecompressor(**options).decompressobj()
        self.hungry, self.eof = True, False

    def copy(self) -> Decoder | None:
        return None

    def feed(self, data: memoryview) -> tuple[bytes, int]:
        out = self._decoder.decompress(data)
        self.eof = self._decoder.eof
        return out, len(data) - len(self._decoder.unused_data)


class Bounded:
    """bzip2 and xz, whose decoders can be told how much to give at once."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self.hungry, self.eof = True, False

    def copy(self) -> Decoder | None:
        return None

    def feed(self, data: memoryview) -> tuple[bytes, int]:
        out = self._decoder.decompress(data, OUTPUT_BYTES)
        self.eof = self._decoder.eof
        self.hungry = self._decoder.needs_input or self.eof
        return out, len(data) - (len(self._decoder.unused_data) if self.eof else 0)


@dataclass(frozen=True)
class Codec:
    name: str
    magics: tuple[bytes, ...]
    window: int  # bytes of input at once: bounds the output of one step
    begin: Callable[[], Decoder]
    padding: bool = False  # zero bytes between and after members are no fault


def decoding_errors(codec: str) -> tuple[type[Exception], ...]:
    if codec == "zstd":
        import zstandard

        return (zstandard.ZstdError,)
    # bz2 raises OSError for bad data; reads of the file happen outside the guarded call.
    return {"gzip": (zlib.error,), "bzip2": (OSError, ValueError), "xz": (lzma.LZMAError,)}[codec]


def lz4_refusal(path: str) -> str:
    return f"{path} is compressed with LZ4, which is not read: recompress it with gzip or zstd"
