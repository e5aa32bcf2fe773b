"""JSON Lines, plain or compressed: one document a line.

Options: `text_field` ("text"), `url_field` ("url"), `date_field` ("date"), `id_field` (none), `meta_fields` (None:
every other short scalar), `kind` ("text"; "html" where the field holds HTML), `charset` is always UTF-8.

Memory: one line, at most `limit` bytes; a longer one is skipped without being held.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from tamis.sources.records import Kind, Loss, Record
from tamis.sources.streams import Stream

META_CHARACTERS = 500


def read_jsonl(
    stream: Stream, relative: str, stop: int | None, limit: int, options: Mapping[str, Any]
) -> Iterator[Record | Loss]:
    """Lines that start before the stored position `stop`, from where the stream is (the start of a line)."""
    while True:
        if not stream.peek(1):
            fault = stream.fault
            if fault is None or (stop is not None and fault.offset >= stop):
                return
            if not stream.reported:
                yield Loss(fault.offset, fault.reason, fault.detail)
            if not stream.resync(bool):
                return
            yield from _rest_of_line(stream, limit)
            continue
        offset, within = stream.where()
        if stop is not None and offset >= stop:
            return
        size = stream.find(b"\n", limit)
        if size < 0 and len(stream.buffer) - stream.head > limit:
            yield Loss(offset, "source.too_large", f"a line of {_skip_line(stream)} bytes, more than {limit}")
            continue
        line = stream.take(size + 1 if size >= 0 else len(stream.buffer) - stream.head)
        if size < 0 and stream.fault is not None:
            stream.reported = True
            yield Loss(offset, stream.fault.reason, f"{stream.fault.detail}; {len(line)} bytes of a line are left")
            continue
        if not line.strip():
            continue
        yield _record(line, relative, offset, within, options)


def start_of_line(stream: Stream) -> None:
    """Moves from one byte before a split's start to the first line that begins in it."""
    _skip_line(stream)


def _skip_line(stream: Stream) -> int:
    size = 0
    while True:
        if not stream.peek(1):
            return size
        end = stream.buffer.find(b"\n", stream.head)
        step = (end + 1 if end >= 0 else len(stream.buffer)) - stream.head
        stream.head += step
        size += step
        if end >= 0:
            return size


def _rest_of_line(stream: Stream, limit: int) -> Iterator[Loss]:
    """After damage the first line is the end of one whose start is lost, unless it parses."""
    offset, _ = stream.where()
    size = stream.find(b"\n", limit)
    if size < 0:
        return
    line = stream.peek(size)
    try:
        json.loads(line)
    except ValueError:
        stream.take(size + 1)
        yield Loss(offset, "source.bad_json", "the end of a line whose start is lost in damage before it")


def _record(line: bytes, relative: str, offset: int, within: int, options: Mapping[str, Any]) -> Record | Loss:
    try:
        row = json.loads(line.removeprefix(b"\xef\xbb\xbf"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return Loss(offset, "source.bad_json", f"{_place(offset, within)}: {str(error)[:200]}")
    if not isinstance(row, dict):
        return Loss(offset, "source.bad_json", f"{_place(offset, within)}: no object but {type(row).__name__}")
    found = fields(row, options)
    if isinstance(found, str):
        reason, _, detail = found.partition(" ")
        return Loss(offset, reason, f"{_place(offset, within)}: {detail}")
    text, url, date, meta = found
    kind: Kind = "html" if options.get("kind") == "html" else "text"
    locator = f"{relative}#{offset}+{within}" if within else f"{relative}#{offset}"
    return Record(locator, text, kind, url, date, None, "utf-8", meta, offset)


def fields(
    row: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[bytes, str | None, str | None, dict[str, Any]] | str:
    """(text as UTF-8, url, date, meta) of a row, or "reason detail" where it holds no text."""
    text_field = options.get("text_field", "text")
    text = row.get(text_field)
    if text_field not in row or not (text is None or isinstance(text, str)):
        got = f"holds {type(text).__name__}" if text_field in row else f"missing; it has {sorted(row)[:12]}"
        return f"source.no_text field {text_field!r} {got}"
    if not text or text.isspace():
        return f"skipped.empty field {text_field!r} is empty"
    url_field, date_field = options.get("url_field", "url"), options.get("date_field", "date")
    id_field, wanted = options.get("id_field"), options.get("meta_fields")
    taken = {text_field, url_field, date_field}
    meta = {
        clean(str(name)): clean(value) if isinstance(value, str) else value
        for name, value in row.items()
        if (name in wanted if wanted is not None else name not in taken and _short(value))
    }
    if id_field and row.get(id_field) is not None:
        meta["id"] = clean(str(row[id_field]))
    url, date = row.get(url_field), row.get(date_field)
    return (
        clean(text).encode(),
        clean(url) if isinstance(url, str) and url else None,
        clean(date) if isinstance(date, str) and date else None,
        meta,
    )


def _short(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= META_CHARACTERS
    return (
        isinstance(value, bool)
        or (isinstance(value, float) and math.isfinite(value))
        or (isinstance(value, int) and abs(value) < 2**63)
    )


def clean(text: str) -> str:
    """The text with lone surrogates (from JSON escapes; no UTF-8 holds them) as U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _place(offset: int, within: int) -> str:
    return f"byte {within} of the member at {offset}" if within else f"byte {offset}"
