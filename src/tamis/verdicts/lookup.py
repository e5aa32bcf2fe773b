"""Finding documents: by the beginning of an id or by URL, and reading single rows.

Lookup scans the id and url columns shard by shard and never reads texts. Memory: those columns of one shard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.documents import DamagedFile, open_shard, read_table
from tamis.verdicts.display import printable
from tamis.verdicts.reader import Reader

MOST_SHOWN = 20


@dataclass(frozen=True)
class Found:
    """Where a document is: shard and row, and its names."""

    shard: int
    row: int
    id: str
    url: str | None

    @property
    def gid(self) -> int:
        return self.shard << 32 | self.row


class NotFound(LookupError):
    """No document has this id or URL."""


class Ambiguous(LookupError):
    """Several documents match. `.found` lists the first of them."""

    def __init__(self, key: str, found: Sequence[Found], more: bool) -> None:
        self.found = tuple(found)
        listed = "\n".join(f"  {one.id}  {printable(one.url or '', 100)}".rstrip() for one in found)
        tail = "\n  ... and more" if more else ""
        super().__init__(
            f"{key} names {'more than ' if more else ''}{len(found)} documents; say more of the id:\n{listed}{tail}"
        )


def find(reader: Reader, key: str) -> Found:
    """The one document whose id begins with `key`, whose URL is `key`, or that was read from the file `key`
    (`FILE` or `FILE#OFFSET`, as `meta` has them; looked at only where nothing else matches).

    Raises NotFound, or Ambiguous with the first matches in gid order.
    """
    prefix = key.lower()
    by_id = 0 < len(prefix) <= 32 and all(digit in "0123456789abcdef" for digit in prefix)
    matches: list[Found] = []
    for shard in range(reader.shards):
        table = read_table(reader.documents(shard), ["id", "url"])
        hit = pc.equal(table.column("url"), pa.scalar(key)).fill_null(False)
        if by_id:
            hit = pc.or_(hit, pc.starts_with(table.column("id"), prefix))
        rows = pc.indices_nonzero(hit)
        for row in rows[: MOST_SHOWN + 1].to_pylist():
            matches.append(Found(shard, row, table.column("id")[row].as_py(), table.column("url")[row].as_py()))
        if len(matches) > MOST_SHOWN:
            break
    if not matches:
        matches = _by_file(reader, key)
    if not matches:
        what = "id or URL" if by_id else "URL"
        raise NotFound(
            f"no document of this workspace has the {what} {key}. Ids are in corpora/{reader.corpus}/verdicts; "
            "records that gave no document are in the ledger of losses."
        )
    if len(matches) > 1:
        raise Ambiguous(key, matches[:MOST_SHOWN], len(matches) > MOST_SHOWN)
    return matches[0]


def _by_file(reader: Reader, key: str) -> list[Found]:
    head, mark, offset = key.rpartition("#")
    name, mark, offset = (head, mark, offset) if mark and offset.isdigit() else (key, "", "")
    if not name.rsplit("/", 1)[-1]:
        return []
    needle = json.dumps(name.rsplit("/", 1)[-1], ensure_ascii=False)[1:-1]
    matches: list[Found] = []
    for shard in range(reader.shards):
        table = read_table(reader.documents(shard), ["id", "url", "meta"])
        near = pc.match_substring(table.column("meta"), needle)
        for row in pc.indices_nonzero(near).to_pylist():
            meta = json.loads(table.column("meta")[row].as_py())
            file = str(meta.get("file", ""))
            same = bool(file) and (file == name or name.endswith(f"/{file}"))
            if same and (not mark or str(meta.get("offset")) == offset):
                url = table.column("url")[row].as_py()
                matches.append(Found(shard, row, table.column("id")[row].as_py(), url or place(meta)))
        if len(matches) > MOST_SHOWN:
            break
    return matches


def place(meta: Mapping[str, Any]) -> str | None:
    """`FILE#OFFSET`: what names a document that has no URL."""
    return f"{meta['file']}#{meta.get('offset', 0)}" if "file" in meta else None


def address(row: Mapping[str, Any]) -> str | None:
    """The URL of a row of documents (columns url, meta), or its place."""
    return row["url"] or place(json.loads(row["meta"]))


def read_row(path: Path, row: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
    """One row of a file of the workspace as a dictionary."""
    found: dict[str, Any] = read_row_table(path, row, columns).to_pylist()[0]
    return found


def read_row_table(path: Path, row: int, columns: Sequence[str] | None = None) -> pa.Table:
    """One row as a table, reading only the row group that holds it, checksums verified."""
    first = 0
    with open_shard(path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < first + rows:
                try:
                    table = file.read_row_group(group, columns=list(columns) if columns else None, use_threads=False)
                except (pa.ArrowInvalid, OSError) as error:
                    raise DamagedFile(f"{path}, row group {group}, is damaged: {error}") from error
                return table.slice(row - first, 1)
            first += rows
    raise IndexError(f"{path} has {first:,} rows; row {row:,} was asked for")
