"""Raw input to records: WARC, WET, ARC, JSON Lines, Parquet, plain text, Markdown and HTML files.

`plan` cuts a source into splits, `read` gives every raw record of a split exactly once, as a `Record` or as a `Loss`
with its reason and offset. Files are local or behind any fsspec URL.
"""

from __future__ import annotations

from collections.abc import Iterator

from tamis.sources import text as text_files
from tamis.sources.arc import read_arc
from tamis.sources.jsonl import read_jsonl, start_of_line
from tamis.sources.opening import opened
from tamis.sources.own import read_own
from tamis.sources.parquet import read_parquet
from tamis.sources.plan import FORMATS, OWN, SPLIT_BYTES, infer_format, plan
from tamis.sources.records import RECORD_BYTES, Kind, Loss, Record, SourceError, SourceSpec, Split
from tamis.sources.streams import stream_of
from tamis.sources.warc import read_warc

__all__ = [
    "FORMATS",
    "OWN",
    "RECORD_BYTES",
    "SPLIT_BYTES",
    "Loss",
    "Record",
    "SourceError",
    "SourceSpec",
    "Split",
    "infer_format",
    "plan",
    "read",
]


def read(split: Split) -> Iterator[Record | Loss]:
    """Every raw record of the split, in the order of the file.

    Raises SourceError where a file is gone or cannot be read at all; everything else that is wrong is a Loss.
    """
    limit = int(split.options.get("record_bytes", RECORD_BYTES))
    for path, relative in split.files or ((split.path, split.relative),):
        for item in _read_file(split, path, relative, limit):
            if isinstance(item, Loss):
                item.file = relative
            yield item


def _read_file(split: Split, path: str, relative: str, limit: int) -> Iterator[Record | Loss]:
    if split.format == OWN:
        yield from read_own(path, relative, limit, split.options)
        return
    with opened(path, split.options.get("storage")) as file:
        if split.format in ("text", "html"):
            kind, mime = _text_kind(split.format, path)
            yield text_files.read_text(file, path, relative, kind, mime, limit)
            return
        if split.format == "parquet":
            yield from read_parquet(file, path, relative, split.start, split.stop, limit, split.options)
            return
        lines = split.format == "jsonl"
        stream = stream_of(file, path, split.start - 1 if lines and split.start else split.start)
        if split.start == 0 and not stream.peek(1) and stream.fault is None:
            yield Loss(0, "source.empty", "the file holds nothing")
            return
        if lines:
            if split.start:
                start_of_line(stream)
            yield from read_jsonl(stream, relative, split.stop, limit, split.options)
        elif split.format == "arc":
            yield from read_arc(stream, relative, split.stop, limit)
        else:
            yield from read_warc(stream, relative, split.stop, limit, bool(split.options.get("digests", True)))


def _text_kind(format: str, path: str) -> tuple[Kind, str]:
    name = path.lower()
    for suffix, (kind, mime) in text_files.SUFFIXES.items():
        if kind == format and f"{suffix}." in f"{name}.":
            return kind, mime
    return ("html", "text/html") if format == "html" else ("text", "text/plain")
