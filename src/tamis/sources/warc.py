"""WARC files (ISO 28500), with the WET text and WAT metadata files made from them.

Every raw record is given exactly once. A record is trusted when its block has the announced length, is followed by
the next record or the end, its gzip member or zstd frame passes its checksum, and, where no member of its own
protects it, its block digest agrees. Otherwise it is a loss, and reading goes on at the next record.

Memory: one record (at most `limit` bytes) and one piece of the stream.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

from tamis.sources.payload import Page, http_page, shown, typed_page
from tamis.sources.records import Loss, Record
from tamis.sources.streams import Members, Stream

HEADER_BYTES = 1 << 20
_WINDOW = 1 << 16
# The next header: at the start of a line, or, where damage took the line end before it, with a field behind it.
_NEXT = re.compile(rb"\r?\n(?=WARC/\d\.\d{1,2}[ \t]*\r?\n)|(?=WARC/\d\.\d{1,2}\r\n[A-Za-z][\w-]{1,60}: )")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?Z)?\Z")


def begins(head: bytes) -> bool:
    """Whether decoded bytes begin like a WARC record."""
    return head.startswith(b"WARC/")


def _may_begin(head: bytes) -> bool:
    """`begins`, or the file ends before that can be told."""
    return begins(head) or (len(head) < 5 and b"WARC/".startswith(head))


def read_warc(
    stream: Stream, relative: str, stop: int | None, limit: int, digests: bool = True
) -> Iterator[Record | Loss]:
    """Records that start before the stored position `stop`, from where the stream is.

    `digests` False trusts blocks whose WARC-Block-Digest disagrees (some writers compute it wrongly).
    """
    while True:
        _skip_blank(stream)
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
        found = _record(stream, relative, offset, within, limit, digests)
        if within and isinstance(found, Loss):
            found.detail += f" (byte {within} of its member)"
        yield found


def _record(stream: Stream, relative: str, offset: int, within: int, limit: int, digests: bool) -> Record | Loss:
    """The record at the stream's position, which ends behind it or at the fault that broke it off."""
    if not _may_begin(stream.peek(5)):
        detail = f"no WARC record begins here: {shown(stream.peek(40))}"
        return _lost(stream, offset, "source.bad_header", detail)
    size, gap = _header_size(stream)
    if size < 0:
        if stream.fault is not None:
            return _broken_off(stream, offset)
        if len(stream.peek(HEADER_BYTES)) < HEADER_BYTES:
            rest = stream.take(HEADER_BYTES)
            if b"\r\r\n" in rest:
                return Loss(offset, "source.bad_header", "lines end in CR CR LF: converted as text once too often")
            return Loss(offset, "source.truncated", "the file ends within a record's header")
        stream.take(5)
        return _lost(stream, offset, "source.bad_header", f"no end of the header within {HEADER_BYTES} bytes")
    head = stream.take(size + gap)
    headers = _headers(head[:size])
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        return _lost(stream, offset, "source.bad_header", f"Content-Length is {length[:40]!r}")
    start, expected = stream.position, int(length)
    if expected > limit:
        return _oversized(stream, offset, expected, limit)
    block = stream.take(expected)
    for boundary in stream.member_starts(start, start + len(block)):
        if begins(block[boundary - start : boundary - start + 5]):
            stream.unread(block[boundary - start :])
            return Loss(
                offset,
                "source.bad_length",
                f"Content-Length is {expected}, the next record begins after {boundary - start}",
            )
    if len(block) < expected:
        if stream.fault is not None:
            return _broken_off(stream, offset)
        return _short(stream, offset, block, expected)
    trailing = _skip_blank(stream)
    fault = stream.fault
    if fault is not None and fault.offset == offset and not within:
        return _broken_off(stream, offset)
    following = stream.peek(5)
    if not _may_begin(following) and not stream.member_starts(start, stream.position + 1):
        stream.unread(block + trailing)
        return _lost(
            stream,
            offset,
            "source.bad_length",
            f"no record begins behind the {expected} bytes of Content-Length",
        )
    unprotected = digests and (not isinstance(stream, Members) or within)
    if unprotected and not _digest_agrees(headers.get("warc-block-digest"), block):
        return Loss(offset, "source.bad_digest", "the block does not agree with WARC-Block-Digest")
    return _judge(headers, block, relative, offset, within, limit)


def _judge(headers: dict[str, str], block: bytes, relative: str, offset: int, within: int, limit: int) -> Record | Loss:
    kind = headers.get("warc-type", "").lower()
    mime = headers.get("content-type", "")
    if kind == "response" and (mime.lower().startswith("application/http") or _looks_like_http(headers, block)):
        page = http_page(block, headers.get("warc-identified-payload-type"), limit)
    elif kind in ("response", "resource"):
        page = typed_page(block, mime, headers.get("warc-identified-payload-type"))
    elif kind == "conversion":
        page = typed_page(block, mime)
    elif kind in ("warcinfo", "request", "metadata", "revisit", "continuation"):
        return Loss(offset, f"skipped.{kind}", headers.get("warc-target-uri", "")[:200])
    else:
        return Loss(offset, "skipped.type", f"WARC-Type is {kind[:40]!r}")
    url = headers.get("warc-target-uri", "").strip().removeprefix("<").removesuffix(">")
    if page.reason is not None:
        return Loss(offset, page.reason, f"{page.detail} {url[:200]}".strip())
    return page_record(page, headers, url, relative, offset, within)


def page_record(page: Page, headers: dict[str, str], url: str, relative: str, offset: int, within: int) -> Record:
    meta = page.meta
    if identity := headers.get("warc-record-id"):
        meta["record"] = identity.strip("<>")[:100]
    if truncated := headers.get("warc-truncated"):
        meta["truncated"] = truncated[:40]
    if headers.get("warc-segment-number"):
        meta["truncated"] = "segment"
    if language := headers.get("warc-identified-content-language"):
        meta["identified_language"] = language[:40]
    date = headers.get("warc-date")
    return Record(
        locator=f"{relative}#{offset}+{within}" if within else f"{relative}#{offset}",
        payload=page.payload,
        kind=page.kind,
        url=url or None,
        date=date if date and _DATE.match(date) else None,
        mime=page.mime,
        charset=page.charset,
        meta=meta,
        offset=offset,
    )


def _looks_like_http(headers: dict[str, str], block: bytes) -> bool:
    return headers.get("warc-target-uri", "").lstrip("<").startswith("http") and block.startswith(b"HTTP/")


def _header_size(stream: Stream) -> tuple[int, int]:
    """Bytes of the header without and of the blank line that ends it; (-1, 0) if there is none."""
    crlf = stream.find(b"\r\n\r\n", HEADER_BYTES)
    line = stream.find(b"\n", HEADER_BYTES)
    if line >= 1 and stream.buffer[stream.head + line - 1] != 0x0D:
        # Bare line feeds: against the standard, but written by some tools.
        bare = stream.find(b"\n\n", HEADER_BYTES)
        if bare >= 0 and (crlf < 0 or bare < crlf):
            return bare, 2
    return (crlf, 4) if crlf >= 0 else (-1, 0)


def _headers(block: bytes) -> dict[str, str]:
    """Named fields in lower case; the first of repeated ones counts, folded lines are joined."""
    headers: dict[str, str] = {}
    last = ""
    for line in block.decode("utf-8", "replace").split("\n")[1:]:
        if line[:1] in (" ", "\t") and last:
            headers[last] += " " + line.strip()
            continue
        name, _, value = line.partition(":")
        last = name.strip().lower()
        headers.setdefault(last, value.strip())
    return headers


def _skip_blank(stream: Stream) -> bytes:
    """Drops line ends (and the zero bytes with which some writers pad); returns them."""
    dropped = b""
    while True:
        rest = stream.buffer[stream.head : stream.head + 4096]
        blank = len(rest) - len(rest.lstrip(b"\r\n\0"))
        stream.head += blank
        dropped = (dropped + rest[:blank])[-4096:]
        if blank < len(rest) or (not rest and not stream.fill()):
            return dropped


def _lost(stream: Stream, offset: int, reason: str, detail: str) -> Loss:
    """Moves to the next thing that looks like a record, or to the end."""
    while True:
        window = stream.peek(_WINDOW)
        found = _NEXT.search(window)
        starts = [s - stream.position for s in stream.member_starts(stream.position, stream.position + len(window))]
        ends = [s for s in starts if begins(window[s : s + 5])] + ([found.end()] if found else [])
        if ends:
            stream.take(min(ends))
            return Loss(offset, reason, detail)
        if len(window) < _WINDOW:
            stream.take(len(window))
            return Loss(offset, reason, detail)
        stream.take(_WINDOW - 16)


def _broken_off(stream: Stream, offset: int) -> Loss:
    fault = stream.fault
    assert fault is not None
    stream.reported = True
    stream.take(len(stream.buffer) - stream.head)
    detail = fault.detail if fault.offset == offset else f"{fault.detail} (member at {fault.offset})"
    return Loss(offset, fault.reason, detail)


def _short(stream: Stream, offset: int, block: bytes, expected: int) -> Loss:
    """The file ends within the block: it was cut there, or the length is wrong and later records were taken in."""
    found = _NEXT.search(block)
    if found:
        stream.unread(block[found.end() :])
        return Loss(offset, "source.bad_length", f"Content-Length is {expected}, the next record begins before")
    return Loss(offset, "source.truncated", f"the file ends after {len(block)} of {expected} bytes of the record")


def _oversized(stream: Stream, offset: int, expected: int, limit: int) -> Loss:
    """Skips a block that is longer than the limit, or claims to be."""
    left = expected
    while left:
        start = stream.position
        data = stream.take(min(left, 1 << 20))
        for boundary in stream.member_starts(start, start + len(data)):
            if begins(data[boundary - start : boundary - start + 5]):
                stream.unread(data[boundary - start :])
                return Loss(
                    offset,
                    "source.bad_length",
                    f"Content-Length is {expected}, the next record begins before",
                )
        left -= len(data)
        if not data:
            if stream.fault is not None:
                return _broken_off(stream, offset)
            return Loss(offset, "source.truncated", f"the file ends within a record of {expected} bytes")
    return Loss(offset, "source.too_large", f"{expected} bytes, more than {limit}")


def _digest_agrees(claim: str | None, block: bytes) -> bool:
    """False only for a digest that is well-formed and different: an unknown one is no evidence."""
    if not claim:
        return True
    name, _, value = claim.partition(":")
    name = name.strip().lower().replace("-", "")
    if name not in ("sha1", "sha256", "sha512", "md5"):
        return True
    digest = hashlib.new(name, block, usedforsecurity=False).digest()
    value = value.strip()
    known = {
        digest.hex(),
        base64.b32encode(digest).decode().rstrip("="),
        base64.b64encode(digest).decode().rstrip("="),
    }
    if value.rstrip("=") in known or value.lower() in known or value.upper().rstrip("=") in known:
        return True
    return len(value.rstrip("=")) not in {len(form) for form in known}
