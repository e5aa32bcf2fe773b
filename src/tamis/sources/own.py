"""Records of a file by the user's own source (`tamis.extend.source`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tamis.extend import find
from tamis.sources.jsonl import fields
from tamis.sources.records import Kind, Loss, Record, SourceError


def read_own(path: str, relative: str, limit: int, options: Mapping[str, Any]) -> Iterator[Record | Loss]:
    """Every row that the function yields, in order; `offset` is its number. Raises SourceError where it raises: what
    stands behind that row is unknown."""
    name = options["reader"]
    function = find(options["reader_file"], "source", name).function
    number = 0
    rows: Iterator[Any] | None = None
    while True:
        try:
            if rows is None:
                given = function(Path(path))
                if isinstance(given, Mapping):
                    keys = ", ".join(repr(key)[:40] for key in list(given)[:8])
                    raise SourceError(
                        f"{path}: the source {name} returned one dict with the keys {keys}: yield it, or return a list "
                        "of dicts"
                    )
                rows = iter(given)
            row = next(rows)
        except StopIteration:
            return
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(
                f"{path}: the source {name} raised {type(error).__name__} after {number:,} rows: {error}"
            ) from error
        yield _record(row, relative, number, limit, options)
        number += 1


def _record(row: Any, relative: str, number: int, limit: int, options: Mapping[str, Any]) -> Record | Loss:
    if not isinstance(row, Mapping):
        return Loss(number, "source.no_text", f"row {number}: no dict but {type(row).__name__}")
    found = fields(row, options)
    if isinstance(found, str):
        reason, _, detail = found.partition(" ")
        return Loss(number, reason, f"row {number}: {detail}")
    text, url, date, meta = found
    if len(text) > limit:
        return Loss(number, "source.too_large", f"row {number}: {len(text):,} bytes of text, more than {limit:,}")
    kind: Kind = "html" if options.get("kind") == "html" else "text"
    return Record(f"{relative}#{number}", text, kind, url, date, None, "utf-8", meta, number)
