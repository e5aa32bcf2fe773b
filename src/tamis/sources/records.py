"""What sources give: records, losses, and the splits in which files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["html", "text"]

RECORD_BYTES = 64 << 20


class SourceError(ValueError):
    """A source cannot be read as asked; the message says which file, why, and how to mend it."""


@dataclass(frozen=True)
class SourceSpec:
    """One source of a recipe.

    `paths` are files, folders or globs, local or any fsspec URL. `format` is one of `FORMATS` or None to infer it
    from each file's suffix, then from its first bytes. `options` are those of the format (docs/sources.md); for every
    format `record_bytes` bounds one record after decompression (64 MiB) and `storage` goes to the file system.
    """

    name: str
    paths: list[str]
    format: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """One piece of work: records of one file that start in [start, stop), or a group of small whole files.

    `start` and `stop` are byte positions in the file as stored, or row groups for Parquet; `stop` None means the
    end. With `files` (pairs of path and relative name) the split reads those files whole, one after the other, and
    `path` and `relative` are those of the first. `size` is the stored bytes it covers, for display and balance.
    """

    path: str
    relative: str
    format: str
    start: int = 0
    stop: int | None = None
    size: int = 0
    files: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_params(self) -> dict[str, Any]:
        """A JSON object from which `from_params` makes an equal split."""
        params = asdict(self)
        params["files"] = [list(pair) for pair in self.files]
        params["options"] = dict(self.options)
        return params

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Split:
        values = dict(params)
        values["files"] = tuple((path, relative) for path, relative in values.get("files", ()))
        return cls(**values)


@dataclass(slots=True)
class Record:
    """A page or a text as captured.

    `payload` is HTML or text in the encoding of its origin (`charset` is only what the origin claims). `locator`
    names the record within its source and never changes; `offset` is the stored byte position at which it can be
    found (its compressed member or frame), or the row number in a Parquet file.
    """

    locator: str
    payload: bytes
    kind: Kind
    url: str | None
    date: str | None
    mime: str | None
    charset: str | None
    meta: dict[str, Any]
    offset: int


@dataclass(slots=True)
class Loss:
    """A raw record that gave no page: `skipped.*` is none by its nature, `source.*` could not be read.

    `file` is the relative name of the file, `offset` as in `Record`.
    """

    offset: int
    reason: str
    detail: str
    file: str = ""
