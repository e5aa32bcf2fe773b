"""From the HTTP message in a capture to a page: transfer and content encodings, media type, charset.

Bodies are hostile: decoded sizes are bounded, damage keeps what was decoded before it (as a browser would show it)
and is noted in `meta`.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Any

from tamis.sources.records import Kind

_HTML = {
    "text/html",
    "application/xhtml+xml",
    "application/xhtml",
    "text/xhtml",
    "application/vnd.wap.xhtml+xml",
}
_PLAIN = {"text/plain", "text/markdown", "text/x-markdown"}
# Types that say nothing, or are often sent for pages: the first bytes decide.
_GENERIC = {
    "",
    "application/octet-stream",
    "application/xml",
    "binary/octet-stream",
    "content/unknown",
    "httpd/unix-directory",
    "no-type",
    "none",
    "text",
    "text/xml",
    "unk",
    "unknown/unknown",
    "x-unknown/unknown",
}
_BINARY = (
    b"%PDF-",
    b"\x89PNG",
    b"GIF8",
    b"\xff\xd8\xff",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"RIFF",
    b"\x7fELF",
    b"wOF",
)
# A comment ends at its first "-->": without the atomic group a page of thirty comments would be tried in 2^30 ways.
_SNIFF = re.compile(
    rb"\A\s*(?:<\?xml[^>]{0,200}>\s*)?(?><!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body|title)\b",
    re.I | re.S,
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:+-]{1,40})", re.I)
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r?\n")
_STATUS = re.compile(rb"\s*(?:HTTP/\d(?:\.\d)?|ICY)[ \t]+(\d{3})\b")


@dataclass(slots=True)
class Page:
    """What a capture holds: `reason` is None for a page, else why it is none."""

    payload: bytes = b""
    kind: Kind = "html"
    mime: str | None = None
    charset: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    detail: str = ""


def http_page(block: bytes, identified: str | None, limit: int) -> Page:
    """The page in an HTTP response (status line, headers, body); `identified` is the archive's own media type."""
    status = _STATUS.match(block)
    if status is None:
        return Page(reason="source.bad_http", detail=f"no HTTP status line: {shown(block[:60])}")
    code = status[1].decode()
    if code not in ("200", "203"):
        return Page(reason="skipped.status", detail=code)
    end, gap = block.find(b"\r\n\r\n"), 4
    bare = block.find(b"\n\n", 0, end if end >= 0 else len(block))
    if bare >= 0:
        end, gap = bare, 2
    if end < 0:
        return Page(reason="skipped.empty", detail="headers without a body")
    headers = _http_headers(block[:end])
    body = block[end + gap :]
    meta: dict[str, Any] = {}
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body, whole = dechunk(body)
        if not whole:
            meta["damaged"] = "chunked"
    for encoding in reversed(headers.get("content-encoding", "").lower().split(",")):
        name = encoding.strip()
        if name in ("", "identity", "none", "utf-8", "utf8"):
            continue
        decoded = _decode(body, name, limit)
        if decoded is None:
            return Page(reason="skipped.encoding", detail=name[:60])
        body, fault = decoded
        if fault == "too_large":
            return Page(reason="source.too_large", detail=f"{name} expands beyond {limit} bytes")
        if fault:
            meta["damaged"] = name
    if language := headers.get("content-language"):
        meta["content_language"] = language[:40]
    page = typed_page(body, headers.get("content-type", ""), identified)
    page.meta = meta
    return page


def typed_page(body: bytes, content_type: str, identified: str | None = None) -> Page:
    """Judges a body by its declared and identified media types and its first bytes."""
    mime = content_type.split(";", 1)[0].strip().lower()
    found = _CHARSET.search(content_type)
    charset = found[1].lower() if found else None
    if not body or body.isspace():
        return Page(mime=mime, reason="skipped.empty", detail="no body" if not body else "blank body")
    archive = (identified or "").split(";", 1)[0].strip().lower()
    head = body[:4096]
    kind: Kind
    if head.startswith(_BINARY):
        return Page(mime=mime, reason="skipped.mime", detail=f"{mime or 'no type'}, but binary: {head[:4].hex(' ')}")
    undisputed = not archive or archive.startswith("text/") or archive in _GENERIC
    if archive in _HTML or (mime in _HTML and undisputed):
        kind = "html"
    elif mime in _PLAIN or (mime in _GENERIC and archive in _PLAIN):
        kind = "html" if _SNIFF.match(head) else "text"
    elif mime in _GENERIC and _SNIFF.match(head):
        kind = "html"
    else:
        return Page(mime=mime, reason="skipped.mime", detail=(archive or mime or "no type")[:80])
    zeros = 0 if head.startswith((b"\xff\xfe", b"\xfe\xff")) or "utf-16" in (charset or "") else head.count(b"\0")
    if zeros > (len(head) // 8 if kind == "html" else 0):
        return Page(mime=mime, reason="skipped.mime", detail=f"{mime or 'no type'}, but binary: zero bytes")
    return Page(body, kind, mime or None, charset)


def dechunk(body: bytes) -> tuple[bytes, bool]:
    """Undoes the chunked transfer coding; (body, whether it was whole).

    A body that does not start with a chunk is returned as it is: many archives store bodies already joined.
    """
    parts: list[bytes] = []
    position = 0
    while True:
        size = _CHUNK.match(body, position)
        if size is None:
            if not parts:
                return body, True
            rest = body[position:]
            return b"".join(parts), not rest.strip()
        length = int(size[1], 16)
        if length == 0:
            return b"".join(parts), True
        start = size.end()
        parts.append(body[start : start + length])
        if start + length > len(body):
            return b"".join(parts), False
        position = start + length
        if body.startswith(b"\r\n", position):
            position += 2
        elif body.startswith(b"\n", position):
            position += 1


def _decode(body: bytes, name: str, limit: int) -> tuple[bytes, str | None] | None:
    """(decoded body, fault) or None where the encoding is not known or its package is not installed."""
    if name in ("gzip", "x-gzip"):
        return _inflate(body, 31, limit) if body.startswith(b"\x1f\x8b") else (body, None)
    if name == "deflate":
        # Servers send zlib streams and, against the standard, raw deflate.
        zlib_header = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        out, fault = _inflate(body, 15 if zlib_header else -15, limit)
        return (body, None) if fault == "damaged" and not out else (out, fault)
    if name == "zstd":
        if not body.startswith(b"\x28\xb5\x2f\xfd"):
            return body, None
        import zstandard

        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
                out = reader.read(limit + 1)
        except zstandard.ZstdError:
            return b"", "damaged"
        return (b"", "too_large") if len(out) > limit else (out, None)
    if name == "br":
        return _brotli(body, limit)
    return None


def _inflate(body: bytes, window: int, limit: int) -> tuple[bytes, str | None]:
    decoder = zlib.decompressobj(window)
    parts, size, data = [], 0, body
    try:
        while data and not decoder.eof:
            part = decoder.decompress(data, 1 << 20)
            data = decoder.unconsumed_tail
            parts.append(part)
            size += len(part)
            if size > limit:
                return b"", "too_large"
            if not part and not data:
                break
    except zlib.error:
        return b"".join(parts), "damaged"
    return b"".join(parts), None if decoder.eof else "damaged"


def _brotli(body: bytes, limit: int) -> tuple[bytes, str | None] | None:
    try:
        import brotli  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return None
    if not hasattr(brotli.Decompressor, "can_accept_more_data"):
        return None  # before 1.2 nothing bounds what a hostile stream expands to
    if _SNIFF.match(body[:4096]):
        return body, None  # stored decoded, header left in place
    decoder = brotli.Decompressor()
    parts, size, data = [], 0, body
    try:
        while not decoder.is_finished():
            part = decoder.process(data, output_buffer_limit=1 << 20)
            parts.append(part)
            size += len(part)
            data = b""
            if size > limit:
                return b"", "too_large"
            if not part and decoder.can_accept_more_data():
                break
    except brotli.error:
        return b"".join(parts), "damaged"
    return b"".join(parts), None if decoder.is_finished() else "damaged"


def _http_headers(block: bytes) -> dict[str, str]:
    """Names in lower case; the first of repeated headers counts, folded lines are joined."""
    headers: dict[str, str] = {}
    last = ""
    for line in block.decode("latin-1").split("\n")[1:]:
        if line[:1] in (" ", "\t") and last:
            headers[last] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        if colon:
            last = name.strip().lower()
            headers.setdefault(last, value.strip())
    return headers


def shown(data: bytes) -> str:
    """Bytes for a message: printable ASCII, the rest escaped."""
    return data.decode("ascii", "backslashreplace").encode("unicode_escape").decode("ascii")
