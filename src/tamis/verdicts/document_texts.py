"""The texts of single documents: as extracted, cleaned, and as the corpus has them, with the edits between.

Reads one row of each file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tamis.verdicts.lookup import Found, read_row_table
from tamis.verdicts.reader import Reader


class Texts:
    """Texts and edits of single documents."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def edits(self, found: Found) -> list[tuple[str, pa.ListArray]]:
        """The edits of each group as a list array of one row, in the order in which they are applied."""
        return self._lists(found, self._reader.edit_groups())

    def _lists(self, found: Found, groups: Sequence[str]) -> list[tuple[str, pa.ListArray]]:
        lists = []
        for group in groups:
            path = self._reader.edits(group, found.shard)
            if path is not None:
                column = read_row_table(path, found.row, ["edits"]).column("edits").combine_chunks()
                lists.append((group, column))
        return lists

    def clean(self, found: Found, text: str | None) -> str:
        return self._apply(text, [edits for group, edits in self.edits(found) if group == "clean"])

    def final(self, found: Found, text: str | None) -> str:
        return self._apply(text, [edits for _, edits in self.edits(found)])

    def merged(self, found: Found) -> list[dict[str, Any]]:
        """All edits of the document, masks too, as one list: where two rules took the same text out, it counts once."""
        groups = [*self._reader.edit_groups(), *self._reader.last_edit_groups()]
        lists = [edits for _, edits in self._lists(found, groups)]
        every: list[dict[str, Any]] = _merge(lists)[0].as_py() if lists else []
        return every

    def _apply(self, text: str | None, lists: Sequence[pa.ListArray]) -> str:
        if text is None or not lists:
            return text or ""
        from tamis.clean.edits import apply_edits

        merged = _merge(lists)
        made: str = apply_edits(pa.array([text], pa.large_string()), merged)[0].as_py()
        return made


def _merge(lists: Sequence[pa.ListArray]) -> pa.ListArray:
    from tamis.clean.edits import merge

    merged = lists[0]
    for edits in lists[1:]:
        merged = merge(merged, edits)
    return merged
