"""Plain text, Markdown and HTML files: a whole file is one document."""

from __future__ import annotations

from typing import BinaryIO

from tamis.sources.records import Kind, Loss, Record
from tamis.sources.streams import stream_of

SUFFIXES: dict[str, tuple[Kind, str]] = {
    ".txt": ("text", "text/plain"),
    ".text": ("text", "text/plain"),
    ".md": ("text", "text/markdown"),
    ".markdown": ("text", "text/markdown"),
    ".rst": ("text", "text/x-rst"),
    ".html": ("html", "text/html"),
    ".htm": ("html", "text/html"),
    ".xhtml": ("html", "application/xhtml+xml"),
}


def read_text(file: BinaryIO, path: str, relative: str, kind: Kind, mime: str, limit: int) -> Record | Loss:
    """The file as one record, or why not."""
    stream = stream_of(file, path)
    payload = stream.take(limit + 1)
    if stream.fault is None and len(payload) <= limit:
        stream.peek(1)
    if stream.fault is not None:
        return Loss(stream.fault.offset, stream.fault.reason, stream.fault.detail, relative)
    if len(payload) > limit:
        return Loss(0, "source.too_large", f"more than {limit} bytes", relative)
    if not payload:
        return Loss(0, "source.empty", "the file is empty", relative)
    if payload.isspace():
        return Loss(0, "skipped.empty", "the file is blank", relative)
    head = payload[:4096]
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Loss(0, "skipped.mime", "binary: zero bytes", relative)
    return Record(f"{relative}#0", payload, kind, None, None, mime, None, {}, 0)
