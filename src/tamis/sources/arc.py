"""ARC files (Internet Archive, versions 1 and 2), the format before WARC.

A record is a line `URL address date type ... length`, a block of that length, and a line end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tamis.sources.payload import http_page, shown, typed_page
from tamis.sources.records import Loss, Record
from tamis.sources.streams import Members, Stream
from tamis.sources.warc import page_record

_SCHEME = re.compile(rb"[a-z][a-z0-9+.-]*:", re.I)
_SPACE = re.compile(rb"\s")
_MOST_URL = 8000
_WINDOW = 1 << 16


class _Line(NamedTuple):
    url: bytes
    date: bytes
    mime: bytes
    size: int
    end: int  # of the line, from where it begins


def _line(data: bytes, start: int = 0) -> _Line | None:
    """The record line `URL address date type ... length` that begins at `start`, if one does.

    A URL may hold spaces: it ends before the first address, date and type that follow each other. Takes time in
    proportion to the line, whatever it holds.
    """
    scheme = _SCHEME.match(data, start)
    newline = data.find(b"\n", start) if scheme else -1
    if scheme is None or newline < 0:
        return None
    end = newline - 1 if data[newline - 1 : newline] == b"\r" else newline
    parts = data[start:end].split(b" ")
    length = parts[-1]
    if len(parts) < 5 or not length.isdigit() or len(length) > 18 or data.find(b"\r", start, end) >= 0:
        return None
    at = scheme.end()
    limit = at + _MOST_URL + (_SPACE.match(data, at) is None)
    stop = start + len(parts[0])  # where the URL ends if it ends before parts[i]
    for i in range(1, len(parts) - 3):
        if stop > limit:
            return None
        address, date, mime = parts[i : i + 3]
        if date.isdigit() and 4 <= len(date) <= 17 and _solid(address) and _solid(mime):
            return _Line(data[start:stop], date, mime, int(length), newline + 1 - start)
        stop += 1 + len(address)
    return None


def _solid(part: bytes) -> bool:
    return bool(part) and _SPACE.search(part) is None


def begins(head: bytes) -> bool:
    """Whether decoded bytes begin like an ARC file or record."""
    return _line(head) is not None


def read_arc(stream: Stream, relative: str, stop: int | None, limit: int) -> Iterator[Record | Loss]:
    """Records that start before the stored position `stop`, from where the stream is."""
    while True:
        while stream.peek(1) in (b"\n", b"\r"):
            stream.take(1)
        if not stream.peek(1):
            fault = stream.fault
            if fault is None or (stop is not None and fault.offset >= stop):
                return
            if not stream.reported:
                yield Loss(fault.offset, fault.reason, fault.detail)
            if not stream.resync(begins):
                return
            continue
        offset, within = stream.where()
        if stop is not None and offset >= stop:
            return
        found = _record(stream, relative, offset, within, limit)
        if within and isinstance(found, Loss):
            found.detail += f" (byte {within} of its member)"
        yield found


def _record(stream: Stream, relative: str, offset: int, within: int, limit: int) -> Record | Loss:
    line = _line(stream.peek(1 << 14))
    if line is None:
        head = stream.peek(60)
        _next_record(stream)
        return Loss(offset, "source.bad_header", f"no ARC record begins here: {shown(head)}")
    stream.take(line.end)
    size = line.size
    if size > limit:
        reason = "source.too_large" if stream.skip(size) == size else "source.truncated"
        return Loss(offset, reason, f"{size} bytes, more than {limit}")
    start = stream.position
    block = stream.take(size)
    for boundary in stream.member_starts(start, start + len(block)):
        stream.unread(block[boundary - start :])
        return Loss(offset, "source.bad_length", f"the length is {size}, its member ends after {boundary - start}")
    if len(block) < size:
        if stream.fault is not None:
            stream.reported = True
            return Loss(offset, stream.fault.reason, stream.fault.detail)
        return Loss(offset, "source.truncated", f"the file ends after {len(block)} of {size} bytes of the record")
    following = stream.peek(1 << 14).lstrip(b"\r\n")
    fault = stream.fault
    if fault is not None and fault.offset == offset and not within:
        stream.reported = True
        return Loss(offset, fault.reason, fault.detail)
    if following and not isinstance(stream, Members) and not begins(following):
        stream.unread(block)
        _next_record(stream)
        return Loss(offset, "source.bad_length", f"no record begins behind the {size} bytes of the block")
    url = line.url.decode("utf-8", "replace")
    mime = line.mime.decode("latin-1")
    if url.startswith("filedesc:"):
        return Loss(offset, "skipped.warcinfo", url[:200])
    if url.startswith("dns:"):
        return Loss(offset, "skipped.mime", f"text/dns {url[:200]}")
    page = http_page(block, None, limit) if block.startswith(b"HTTP/") else typed_page(block, mime)
    if page.reason is not None:
        return Loss(offset, page.reason, f"{page.detail} {url[:200]}".strip())
    return page_record(page, {"warc-date": _iso(line.date.decode())}, url, relative, offset, within)


def _next_record(stream: Stream) -> None:
    """Moves to the next line that could be a record's, or to the end."""
    while True:
        window = stream.peek(_WINDOW)
        for newline in re.finditer(rb"\n", window):
            if _line(window, newline.end()) is not None:
                stream.take(newline.end())
                return
        if len(window) < _WINDOW:
            stream.take(len(window))
            return
        stream.take(_WINDOW // 2)


def _iso(digits: str) -> str:
    """20140216050221 -> 2014-02-16T05:02:21Z; shorter stamps keep the precision they have."""
    d = digits[:14]
    if len(d) == 14:
        return f"{d[:4]}-{d[4:6]}-{d[6:8]}T{d[8:10]}:{d[10:12]}:{d[12:14]}Z"
    return f"{d[:4]}-{d[4:6]}-{d[6:8]}" if len(d) >= 8 else d
