"""A batch of documents in its three text states, with the kernels' analysis of each made once and shared.

Memory: a batch of 4 MB holds up to three copies of its text (a state without edits shares the text before it)
and about a kilobyte of counts per document.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.signals.group import State

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

STATES: tuple[State, ...] = ("extracted", "clean", "final")
DEFAULT_ANALYSES: frozenset[str] = frozenset(("stats", "repetition"))


class Batch:
    """Documents (a slice of a shard) and what can be read from them.

    `documents` has at least the columns `text` and `url` of `documents.DOCUMENTS`. `edits` maps the edit groups to
    arrays of `documents.EDIT` lists with one row per document, as spans of the extracted text: `clean` makes the
    clean text, the others (line filters) the final text on top of it. `wants` names, per state, the kernels'
    analyses that the groups of a run need. `signals`: columns of groups measured before, a table per group.
    """

    def __init__(
        self,
        documents: pa.RecordBatch,
        edits: Mapping[str, pa.ListArray] | None = None,
        wants: Mapping[str, frozenset[str]] | None = None,
        signals: Mapping[str, pa.Table] | None = None,
    ) -> None:
        self.documents = documents
        self.edits = dict(edits or {})
        self.wants = wants or {}
        self.signals = dict(signals or {})
        for name, rows in self.edits.items():
            if len(rows) != documents.num_rows:
                raise ValueError(f"{len(rows)} rows of edits {name!r} for {documents.num_rows} documents")
        self._analyses: dict[State, dict[str, Any]] = {}

    def __len__(self) -> int:
        return int(self.documents.num_rows)

    def slice(self, start: int, stop: int) -> Batch:
        """Rows start..stop as a batch of its own (zero copy; nothing that was computed is carried over)."""
        edits = {name: rows.slice(start, stop - start) for name, rows in self.edits.items()}
        signals = {name: rows.slice(start, stop - start) for name, rows in self.signals.items()}
        return Batch(self.documents.slice(start, stop - start), edits, self.wants, signals)

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which documents have a text: bool (rows,)."""
        return np.asarray(self.documents.column("text").is_valid())

    @cached_property
    def extracted(self) -> pa.LargeStringArray:
        """What the extractor returned, null as the empty string."""
        text = self.documents.column("text")
        if text.type != pa.large_string():
            text = text.cast(pa.large_string())
        return pc.fill_null(text, "") if text.null_count else text

    @cached_property
    def clean(self) -> pa.LargeStringArray:
        """Extracted text with the edits `clean` applied."""
        if "clean" not in self.edits:
            return self.extracted
        from tamis.clean.edits import apply_edits

        return apply_edits(self.extracted, self.edits["clean"])

    @cached_property
    def final(self) -> pa.LargeStringArray:
        """Clean text with every line filter applied."""
        trims = [name for name in self.edits if name != "clean"]
        if not trims:
            return self.clean
        from tamis.clean.edits import apply_edits, merge

        merged: pa.ListArray | None = self.edits.get("clean")
        for name in trims:
            merged = self.edits[name] if merged is None else merge(merged, self.edits[name])
        return apply_edits(self.extracted, merged)

    def text(self, state: State) -> pa.LargeStringArray:
        """The text in a state, without nulls."""
        texts: pa.LargeStringArray = getattr(self, state)
        return texts

    def analysis(self, state: State) -> dict[str, Any]:
        """The dictionary of `kernels.analyse` for a state, computed once; states with the same text share it."""
        from tamis import kernels

        own = self._origin(state)
        if own not in self._analyses:
            wants = (self.wants.get(other, frozenset()) for other in STATES if self._origin(other) == own)
            want = frozenset().union(*wants) or DEFAULT_ANALYSES
            self._analyses[own] = kernels.analyse(self.text(own), want)
        return self._analyses[own]

    def _origin(self, state: State) -> State:
        """The first state whose text a state has because nothing was edited in between."""
        if state == "final" and all(name == "clean" for name in self.edits):
            state = "clean"
        if state == "clean" and "clean" not in self.edits:
            state = "extracted"
        return state


def buffers(text: pa.LargeStringArray) -> tuple[Bytes, Offsets]:
    """The UTF-8 bytes of an array and the positions of its documents in them: uint8 (bytes,), int64 (rows + 1,).

    Views, nothing is copied. Document i is ``data[offsets[i]:offsets[i + 1]]`` and offsets[0] is 0. The bytes of a
    null row are not to be relied on; callers pass arrays without nulls.
    """
    if len(text) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, ends, data = text.buffers()
    offsets = np.frombuffer(ends, np.int64)[text.offset : text.offset + len(text) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    if data is None or last == first:
        return np.zeros(0, np.uint8), np.zeros(len(text) + 1, np.int64)
    return np.frombuffer(data, np.uint8)[first:last], offsets - first
