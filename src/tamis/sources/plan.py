"""From the paths of a source to splits: deterministic, sorted, cut where records begin."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from tamis.sources import arc, parquet, text, warc
from tamis.sources.codecs import SUFFIXES as COMPRESSED
from tamis.sources.codecs import compression_of, lz4_refusal
from tamis.sources.opening import is_local, matches, opened
from tamis.sources.records import SourceError, SourceSpec, Split
from tamis.sources.streams import Stored, stream_of

FORMATS = ("warc", "wet", "arc", "jsonl", "parquet", "text", "html")
OWN = "own"  # read by a function of the user's, whole files; options `reader`, `reader_version`, `reader_file`
SPLIT_BYTES = 64 << 20
GROUP_FILES = 1000

_SUFFIXES = {
    ".warc": "warc",
    ".wet": "wet",
    ".wat": "warc",
    ".arc": "arc",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    **{suffix: kind for suffix, (kind, _) in text.SUFFIXES.items()},
}
# How far before a boundary a member may begin that would show the boundary to lie within it.
_LOOK_BACK = 2 << 20
_GZIP = b"\x1f\x8b\x08"


def plan(spec: SourceSpec, split_bytes: int = SPLIT_BYTES) -> list[Split]:
    """Splits of a source, sorted by relative name and position.

    Files with one gzip member a record are cut at members, plain WARC and JSON Lines at records, Parquet at row
    groups; files in one compressed piece are one split; small text files are grouped. Raises SourceError where a
    path matches nothing, a format is unknown, or a text field is missing.
    """
    if split_bytes < 1:
        raise SourceError(f"source {spec.name}: split_bytes is {split_bytes}, it must be at least 1")
    if spec.format is not None and spec.format not in (*FORMATS, OWN):
        raise SourceError(f"source {spec.name}: unknown format {spec.format!r}; known are {', '.join(FORMATS)}")
    splits: list[Split] = []
    small: list[tuple[str, str, str, int]] = []
    checked = False
    for path, relative, size, format in _files(spec):
        if format == "jsonl" and (is_local(path) or not checked):
            # Of remote files only the first: a look at each would cost a round trip.
            with opened(path, spec.options.get("storage")) as file:
                _check_first_line(file, path, spec.options)
            checked = True
        if format in ("text", "html"):
            small.append((path, relative, format, size))
            continue
        for start, stop, stored in _cuts(path, format, size, split_bytes, spec.options):
            splits.append(Split(path, relative, format, start, stop, stored, (), dict(spec.options)))
    splits.extend(_grouped(small, split_bytes, spec.options))
    return sorted(splits, key=lambda split: (split.relative, split.start))


def infer_format(path: str, options: Mapping[str, Any] | None = None) -> str | None:
    """The format by suffix, else by the first bytes; None where neither tells."""
    named = _by_suffix(path)
    if named is not None:
        return named
    with opened(path, options) as file:
        found = _by_magic(file, path)
    return found or _by_suffix(path, last=False)


def _by_suffix(path: str, *, last: bool = True) -> str | None:
    """The format that the last suffix names, or, with `last` False, any suffix (`crawl.warc.gz.bad`)."""
    parts = re.split(r"(?=\.)", path.rsplit("/", 1)[-1].split("?", 1)[0].lower())[1:]
    for part in reversed(parts):
        if part in _SUFFIXES:
            return _SUFFIXES[part]
        if last and part not in COMPRESSED:
            return None
    return None


def _by_magic(file: BinaryIO, path: str) -> str | None:
    head = Stored(file).peek(4)
    file.seek(0)
    if head == b"PAR1":
        return "parquet"
    start = stream_of(file, path).peek(1 << 14)
    if warc.begins(start):
        return "warc"
    if start.startswith(b"filedesc:") and arc.begins(start):
        return "arc"
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return "jsonl"
    return None


def _files(spec: SourceSpec) -> list[tuple[str, str, int, str]]:
    """(path, relative, size, format) of each file once, sorted by relative name."""
    found: dict[str, tuple[str, int, str]] = {}
    storage = spec.options.get("storage")
    if not spec.paths:
        raise SourceError(f"source {spec.name} names no path")
    for pattern in spec.paths:
        base, files, folder = matches(pattern, storage)
        usable = 0
        for path, size in files:
            # In a folder only files that a suffix speaks for are taken: READMEs and indexes lie beside data.
            format = spec.format or (_by_suffix(path) if folder else infer_format(path, storage))
            if format is None:
                if folder:
                    continue
                if size == 0:
                    format = "text"
                else:
                    raise SourceError(
                        f"source {spec.name}: cannot tell the format of {path} by its name or first bytes; "
                        f"set format to one of {', '.join(FORMATS)}"
                    )
            if path.lower().endswith(".lz4"):
                raise SourceError(lz4_refusal(path))
            usable += 1
            relative = path[len(base) :].lstrip("/") if base and path.startswith(base) else path
            found.setdefault(path, (relative, size, format))
        if not usable:
            endings = sorted({path.rsplit("/", 1)[-1].partition(".")[2] for path, _ in files})[:8]
            seen = f"it holds {len(files)} files, with endings {endings}" if files else "no file is there"
            raise SourceError(f"source {spec.name}: {pattern!r} matches nothing to read: {seen}")
    taken: dict[str, str] = {}
    rows = []
    for path, (relative, size, format) in sorted(found.items()):
        if relative in taken:
            # Two folders with a file of one name: the whole path tells them apart.
            relative = path.split("://", 1)[-1].lstrip("/")
        taken[relative] = path
        rows.append((path, relative, size, format))
    return sorted(rows, key=lambda row: row[1])


def _grouped(files: list[tuple[str, str, str, int]], split_bytes: int, options: Mapping[str, Any]) -> Iterator[Split]:
    group: list[tuple[str, str, str, int]] = []
    filled = 0
    for row in [*files, None]:
        full = row is None or filled + max(0, row[3]) > split_bytes or len(group) >= GROUP_FILES
        if group and (full or (row is not None and row[2] != group[0][2])):
            pairs = tuple((path, relative) for path, relative, _, _ in group)
            yield Split(pairs[0][0], pairs[0][1], group[0][2], 0, None, filled, pairs, dict(options))
            group, filled = [], 0
        if row is not None:
            group.append(row)
            filled += max(0, row[3])


def _cuts(
    path: str, format: str, size: int, split_bytes: int, options: Mapping[str, Any]
) -> list[tuple[int, int | None, int]]:
    """(start, stop, stored bytes) of the splits of one file."""
    storage = options.get("storage")
    if format == "parquet":
        with opened(path, storage) as file:
            return _row_groups(parquet.groups(file, path, options), size, split_bytes)
    starts = [0]
    if size > split_bytes:
        with opened(path, storage) as file:
            kind = compression_of(file.read(8))
            seekable = is_local(path) or file.seekable()
            if kind is None and format == "jsonl" and seekable:
                starts = list(range(0, size, split_bytes))
            elif kind is None and format in ("warc", "wet") and is_local(path):
                starts = _plain_starts(file, size, split_bytes)
            elif kind == "gzip" and format in ("warc", "wet") and seekable:
                starts = _member_starts(file, size, split_bytes)
    stops: list[int | None] = [*starts[1:], None]
    return [(a, b, (size if b is None else b) - a) for a, b in zip(starts, stops, strict=True)]


def _row_groups(sizes: list[int] | None, size: int, split_bytes: int) -> list[tuple[int, int | None, int]]:
    if not sizes:
        return [(0, None, size)]
    cuts: list[tuple[int, int | None, int]] = []
    start, filled = 0, 0
    for group, stored in enumerate(sizes):
        if group > start and filled + stored > split_bytes:
            cuts.append((start, group, filled))
            start, filled = group, 0
        filled += stored
    return [*cuts, (start, len(sizes), filled)]


def _check_first_line(file: BinaryIO, path: str, options: Mapping[str, Any]) -> None:
    """A missing text field is a mistake in the recipe, not a million losses."""
    field = options.get("text_field", "text")
    stream = stream_of(file, path)
    size = stream.find(b"\n", 1 << 20)
    line = stream.peek(size) if size >= 0 else stream.peek(1 << 20)
    try:
        row = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return
    if isinstance(row, dict) and field not in row:
        raise SourceError(
            f"{path} has no field {field!r} in its first line; it has {sorted(row)[:12]}: name the one with the text "
            "(options.text_field of a source, --text-field of a command)"
        )


def _plain_starts(file: BinaryIO, size: int, split_bytes: int) -> list[int]:
    """Record starts in a plain WARC file, found by walking the headers; the walk ends where the chain breaks."""
    starts, position = [0], 0
    while position < size:
        file.seek(position)
        head = file.read(1 << 13)
        end = head.find(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", head[: end + 2], re.I)
        if not warc.begins(head) or end < 0 or length is None:
            break
        if position - starts[-1] >= split_bytes:
            starts.append(position)
        position += end + 4 + int(length[1])
        file.seek(position)
        gap = file.read(64)
        position += len(gap) - len(gap.lstrip(b"\r\n"))
    return starts


def _member_starts(file: BinaryIO, size: int, split_bytes: int) -> list[int]:
    """Starts of gzip members that hold a WARC record, one behind each multiple of `split_bytes`."""
    starts = [0]
    for target in range(split_bytes, size, split_bytes):
        if target <= starts[-1]:
            continue
        found = _boundary(file, target, min(size, target + max(split_bytes, 1 << 20)))
        if found is not None and found > starts[-1]:
            starts.append(found)
    return starts


def _boundary(file: BinaryIO, target: int, stop: int) -> int | None:
    """The first member at or behind `target` that inflates to a WARC record and is not a part of another member.

    A payload may hold a WARC file of its own, stored as it is; its members look like ours. So members before the
    candidate are inflated too: one that runs over the candidate shows it to be such a part.
    """
    stored = Stored(file, target)
    while stored.find(_GZIP) and stored.position < stop:
        candidate = stored.position
        if warc.begins(_inflated(stored.peek(4096))):
            end = _end_of_container(file, candidate)
            if end is None:
                return candidate
            stored = Stored(file, end)
            continue
        stored.advance(1)
    return None


def _end_of_container(file: BinaryIO, candidate: int) -> int | None:
    """The end of a good member that begins before the candidate and ends behind it, else None."""
    first = max(0, candidate - _LOOK_BACK)
    file.seek(first)
    data = file.read(candidate - first)
    position = data.find(_GZIP)
    while position >= 0:
        end = _member_end(file, data, first, position)
        if end is not None and end > candidate:
            return end
        # On a good chain the next member begins where this one ended.
        position = data.find(_GZIP, position + 1 if end is None else max(position + 1, end - first))
    return None


def _member_end(file: BinaryIO, data: bytes, first: int, position: int) -> int | None:
    """The stored position behind the member at `first + position`; None where there is no good WARC member."""
    decoder = zlib.decompressobj(31)
    window = memoryview(data)[position : position + 4096]
    started = False
    fed = position
    try:
        while True:
            out = decoder.decompress(window)
            fed += len(window)
            if not started and out:
                if not warc.begins(out):
                    return None
                started = True
            if decoder.eof:
                return first + fed - len(decoder.unused_data)
            window = memoryview(data)[fed : fed + (32 << 10)] if fed < len(data) else memoryview(b"")
            if not window:
                file.seek(first + fed)
                window = memoryview(file.read(32 << 10))
            if not window:
                return None
    except zlib.error:
        return None


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(data)
    except zlib.error:
        return b""
