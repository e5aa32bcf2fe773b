"""Decompressed bytes with their positions in the stored file, and faults that are reported, never passed over.

A stored file is plain, or a sequence of gzip members, zstd frames, xz or bzip2 streams. Every member is decoded to
its verified end; a member that breaks off or fails its checksum leaves a `Fault`, after which `resync` looks for the
next member. Libraries that read such files in one piece return the first frame only, or stop at the first fault
without an error.

Memory: the piece being decoded, at most about 130 MB for a hostile zstd file and 33 MB for a hostile gzip file
(32 KiB of input expand at most 1032-fold), and what a caller asks `take` to hold.
"""

from __future__ import annotations

import bz2
import lzma
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from tamis.sources.codecs import (
    MAGIC,
    SUFFIXES,
    ZSTD_DICTIONARY,
    ZSTD_SKIPPABLE,
    Bounded,
    Codec,
    Decoder,
    Gzip,
    Zstd,
    compression_of,
    decoding_errors,
    lz4_refusal,
)
from tamis.sources.records import SourceError

CHUNK = 1 << 20
_SALVAGE_STEP = 64
_LONG = 1 << 18


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a stream stopped before the file's end; `offset` is the stored position of the broken member."""

    offset: int
    reason: str
    detail: str


class Stored:
    """The stored bytes of a file, looked at through a window that moves forward."""

    def __init__(self, file: BinaryIO, start: int = 0) -> None:
        self._file = file
        self._chunk = memoryview(b"")
        self._head = 0
        self.position = start
        seekable = getattr(file, "seekable", None)
        self.seekable = bool(seekable and seekable())
        if start:
            file.seek(start)

    def window(self, size: int) -> memoryview:
        """Between 1 and `size` bytes at the position; none at the end of the file."""
        if self._head >= len(self._chunk):
            self._chunk, self._head = memoryview(self._file.read(CHUNK)), 0
        return self._chunk[self._head : self._head + size]

    def peek(self, size: int) -> bytes:
        """Exactly `size` bytes unless the file ends before."""
        if len(self._chunk) - self._head < size:
            rest = bytes(self._chunk[self._head :])
            while len(rest) < size and (more := self._file.read(CHUNK)):
                rest += more
            self._chunk, self._head = memoryview(rest), 0
        return bytes(self._chunk[self._head : self._head + size])

    def advance(self, size: int) -> None:
        self._head += size
        self.position += size

    def seek(self, position: int) -> None:
        self._file.seek(position)
        self._chunk, self._head, self.position = memoryview(b""), 0, position

    def find(self, pattern: bytes) -> bool:
        """Moves to the next occurrence of the pattern; at the file's end returns False."""
        while True:
            data = self.peek(CHUNK)
            found = data.find(pattern)
            if found >= 0:
                self.advance(found)
                return True
            if len(data) < CHUNK:
                self.advance(len(data))
                return False
            self.advance(len(data) - len(pattern) + 1)


class Stream:
    """Bytes of a plain file. The base of every stream: a buffer that `fill` extends piece by piece."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.buffer = b""
        self.head = 0
        self.fault: Fault | None = None
        self.reported = False  # whether a loss was given for the fault
        self._filled = stored.position

    @property
    def position(self) -> int:
        """Position of the next byte in the decompressed stream."""
        return self._filled - len(self.buffer) + self.head

    def where(self) -> tuple[int, int]:
        """Stored offset of the member that holds the next byte, and its position within the decoded member."""
        return self.position, 0

    def member_starts(self, start: int, stop: int) -> list[int]:
        """Decompressed positions strictly between start and stop at which a member begins."""
        return []

    def resync(self, accept: Callable[[bytes], bool]) -> bool:
        """After a fault: moves to the next member whose first decoded bytes are accepted. False if there is none."""
        return False

    def fill(self) -> bool:
        """Adds a piece to the buffer; False at the end of the file or at a fault."""
        if self.fault is not None:
            return False
        piece = self._piece()
        if not piece:
            return False
        self._filled += len(piece)
        have = len(self.buffer) - self.head
        if have > _LONG:
            # Grow by as much as is there, or a long record would be copied once for every piece.
            parts, size = [piece], len(piece)
            while size < have and self.fault is None and (more := self._piece()):
                self._filled += len(more)
                size += len(more)
                parts.append(more)
            piece = b"".join(parts)
        self.buffer = self.buffer[self.head :] + piece if have else piece
        self.head = 0
        return True

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end of the stream."""
        head = self.head
        if len(self.buffer) - head >= size:
            self.head = head + size
            return self.buffer[head : head + size]
        parts = [self.buffer[head:]]
        missing = size - len(parts[0])
        self.head = len(self.buffer)
        while missing and self.fill():
            part = self.buffer[:missing]
            parts.append(part)
            missing -= len(part)
            self.head = len(part)
        return b"".join(parts)

    def skip(self, size: int) -> int:
        """Drops `size` bytes without holding them; returns how many there were."""
        left = size
        while left:
            step = min(left, len(self.buffer) - self.head)
            self.head += step
            left -= step
            if left and not self.fill():
                break
        return size - left

    def peek(self, size: int) -> bytes:
        """The next `size` bytes without moving, fewer at the end."""
        while len(self.buffer) - self.head < size and self.fill():
            pass
        return self.buffer[self.head : self.head + size]

    def find(self, pattern: bytes, limit: int) -> int:
        """Distance to the next occurrence of the pattern within `limit` bytes, or -1. Holds at most `limit`."""
        start = 0
        while True:
            found = self.buffer.find(pattern, self.head + start, self.head + limit + len(pattern))
            if found >= 0:
                return found - self.head
            have = len(self.buffer) - self.head
            if have >= limit + len(pattern):
                return -1
            start = max(0, have - len(pattern) + 1)
            if not self.fill():
                return -1

    def unread(self, data: bytes) -> None:
        """Puts bytes back that were just taken."""
        self.buffer = data + self.buffer[self.head :]
        self.head = 0

    def _piece(self) -> bytes:
        window = bytes(self.stored.window(CHUNK))
        self.stored.advance(len(window))
        return window


class Members(Stream):
    """Bytes of a compressed file, member by member."""

    def __init__(self, stored: Stored, codec: Codec) -> None:
        super().__init__(stored)
        self._filled = 0
        self._codec = codec
        self._decoder: Decoder | None = None
        self._member = stored.position
        self._errors = decoding_errors(codec.name)
        self._marks: deque[tuple[int, int]] = deque()  # (decompressed position, stored offset) of members

    def where(self) -> tuple[int, int]:
        position, marks = self.position, self._marks
        while len(marks) > 1 and marks[1][0] <= position:
            marks.popleft()
        if not marks or marks[0][0] > position:
            return self._member, 0
        return marks[0][1], position - marks[0][0]

    def member_starts(self, start: int, stop: int) -> list[int]:
        return [position for position, _ in self._marks if start < position < stop]

    def resync(self, accept: Callable[[bytes], bool]) -> bool:
        """Looks for a member from just behind the start of the broken one."""
        start = self.fault.offset + 1 if self.fault else self._member + 1
        self.fault, self.reported, self._decoder = None, False, None
        self.buffer, self.head = b"", 0
        self._marks.clear()
        if self.stored.seekable:
            self.stored.seek(start)
        while self.stored.find(self._codec.magics[0]):
            if accept(self._first_bytes(self.stored.peek(CHUNK))):
                return True
            self.stored.advance(1)
        return False

    def _first_bytes(self, data: bytes) -> bytes:
        """What a member at the start of `data` decodes to first; nothing where none begins there. A zstd or bzip2
        decoder gives nothing before a block is whole, which may be hundreds of kilobytes."""
        decoder = self._codec.begin()
        given = memoryview(data)
        try:
            while given:
                out, used = decoder.feed(given[: self._codec.window])
                if out or decoder.eof or not used:
                    return out
                given = given[used:]
        except self._errors:
            pass
        return b""

    def _piece(self) -> bytes:
        stored = self.stored
        while True:
            if self._decoder is None and not self._begin():
                return b""
            decoder = self._decoder
            assert decoder is not None
            window = stored.window(self._codec.window) if decoder.hungry else memoryview(b"")
            if decoder.hungry and not window:
                self._fail("source.truncated", f"the file ends within a {self._codec.name} member")
                return b""
            fresh = self._filled == self._marks[-1][0]
            saved = None if fresh else decoder.copy()
            try:
                out, used = decoder.feed(window)
            except self._errors as error:
                self._fail("source.bad_compression", f"{self._codec.name}: {error}")
                return self._salvaged(self._codec.begin() if fresh else saved, window)
            stored.advance(used)
            if decoder.eof:
                self._decoder = None
            if out:
                return out

    def _salvaged(self, decoder: Decoder | None, window: memoryview) -> bytes:
        """What can be decoded of a window before its fault: whole records may lie there."""
        parts: list[bytes] = []
        if decoder is not None:
            try:
                for start in range(0, len(window), _SALVAGE_STEP):
                    parts.append(decoder.feed(window[start : start + _SALVAGE_STEP])[0])
            except self._errors:
                pass  # the fault itself, known to the caller
        return b"".join(parts)

    def _begin(self) -> bool:
        stored = self.stored
        window = stored.window(CHUNK)
        if self._codec.padding:
            while window and window[0] == 0:
                stored.advance(len(window) - len(bytes(window).lstrip(b"\0")))
                window = stored.window(CHUNK)
        if not window:
            return False
        self._member = stored.position
        magic = stored.peek(len(self._codec.magics[0]))
        if magic not in self._codec.magics:
            cut = any(known.startswith(magic) for known in self._codec.magics)
            self._fail(
                "source.truncated" if cut else "source.bad_member",
                f"no {self._codec.name} member begins here: {magic.hex(' ')}",
            )
            return False
        self._marks.append((self._filled, self._member))
        self._decoder = self._codec.begin()
        return True

    def _fail(self, reason: str, detail: str) -> None:
        self.fault = Fault(self._member, reason, detail)
        self._decoder = None


def stream_of(file: BinaryIO, path: str, start: int = 0) -> Stream:
    """A stream over an open file, by the compression that its first bytes announce.

    `start` is a stored position at which a member (or, in a plain file, a record) begins. Raises SourceError for a
    compression that is known but not readable.
    """
    stored = Stored(file)
    head = stored.peek(8)
    name = compression_of(head)
    named = next((kind for suffix, kind in SUFFIXES.items() if path.lower().endswith(suffix)), None)
    if name is None and named is not None and head and MAGIC[named].startswith(head):
        name = named  # cut within the first bytes: truncated, not plain
    if start:
        stored.seek(start)
    if name is None:
        return Stream(stored)
    if name == "lz4":
        raise SourceError(lz4_refusal(path))
    return Members(stored, _codec(name, stored, path))


def _codec(name: str, stored: Stored, path: str) -> Codec:
    if name == "gzip":
        return Codec(name, (MAGIC[name],), 32 << 10, Gzip, padding=True)
    if name == "zstd":
        dictionary = _zstd_dictionary(stored, path)
        return Codec(name, (MAGIC[name], *ZSTD_SKIPPABLE), 4 << 10, lambda: Zstd(dictionary))
    if name == "xz":
        return Codec(
            name,
            (MAGIC[name],),
            64 << 10,
            lambda: Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=512 << 20)),
            padding=True,
        )
    return Codec(name, (MAGIC[name],), 64 << 10, lambda: Bounded(bz2.BZ2Decompressor()))


def _zstd_dictionary(stored: Stored, path: str) -> Any:
    """The dictionary that a `.warc.zst` carries in a first skippable frame (IIPC's proposal), or None."""
    if stored.position or stored.peek(4) != ZSTD_DICTIONARY:
        return None
    import zstandard

    size = int.from_bytes(stored.peek(8)[4:], "little")
    if size > 64 << 20:
        raise SourceError(f"{path} announces a zstd dictionary of {size} bytes, more than 64 MiB")
    data = stored.peek(8 + size)[8:]
    if data.startswith(MAGIC["zstd"]):
        data = zstandard.ZstdDecompressor().decompress(data, max_output_size=64 << 20)
    return zstandard.ZstdCompressionDict(data)
