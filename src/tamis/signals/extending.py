"""The user's own signals and edits (`tamis.extend`) as signal groups and edits of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.clean.edits import from_lists
from tamis.clean.extra import Editor, ExtraEdits
from tamis.extend import EditFailed, Extension, ExtensionError, find, load
from tamis.signals.batch import Batch
from tamis.signals.extra import ExtraGroup
from tamis.signals.group import Column, Options, SignalGroup


def extra_groups(files: Sequence[str]) -> list[ExtraGroup]:
    """One group per GROUP of the files' signals. Raises ExtensionError."""
    from tamis.signals import GROUPS

    owners: dict[str, str] = {}
    functions: dict[str, list[list[Any]]] = {}
    for file in files:
        for one in load(file):
            if one.kind != "signal":
                continue
            if one.group in GROUPS:
                raise ExtensionError(f"{file}: the signal group {one.group} is Tamis's own; choose another name")
            if owners.setdefault(one.group, file) != file:
                raise ExtensionError(f"{file}: the signal group {one.group} stands in {owners[one.group]} too")
            functions.setdefault(one.group, []).append([one.name, one.version])
    groups = []
    for name, wanted in functions.items():
        reads = {find(owners[name], "signal", function).reads for function, _ in wanted}
        if len(reads) > 1:
            raise ExtensionError(
                f"{owners[name]}: the signals of {name} read {', '.join(sorted(reads))}: make two groups"
            )
        params = {"group": name, "functions": wanted}
        groups.append(ExtraGroup(name, "tamis.signals.extending:make", params, {"file": owners[name]}))
    return groups


def make(params: Mapping[str, Any], paths: Mapping[str, str]) -> SignalGroup:
    """`make` of a user's group."""
    extensions = [find(paths["file"], "signal", name) for name, _ in params["functions"]]
    columns = tuple(
        Column(name, pa.type_for_alias(kind), one.units[name], one.description, paths["file"])
        for one in extensions
        for name, kind in one.columns.items()
    )
    # the versions are in `params`
    compute = partial(_compute, extensions)
    return SignalGroup(params["group"], 1, extensions[0].reads, columns, (), compute)


def edits(files: Sequence[str], names: Sequence[str]) -> list[ExtraEdits]:
    """The edits of these names in this order. Raises ExtensionError."""
    known = {one.name: (file, one) for file in files for one in load(file) if one.kind == "edit"}
    found = []
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ExtensionError(f"no file under `extend` has an edit named {name}; there are {there}")
        file, one = known[name]
        make_ = "tamis.signals.extending:editor"
        found.append(ExtraEdits(name, make_, one.version, {"edit": name}, {"file": file}))
    return found


def editor(params: Mapping[str, Any], paths: Mapping[str, str]) -> Editor:
    """`make` of a user's edit."""
    return partial(_edit, find(paths["file"], "edit", params["edit"]))


def _compute(extensions: Sequence[Extension], batch: Batch, options: Options) -> dict[str, pa.Array]:
    made: dict[str, pa.Array] = {}
    for one in extensions:
        text = batch.text(one.reads)
        made |= _whole(one, text) if one.batch else _row_by_row(one, text, batch.valid)
    return made


def _whole(one: Extension, text: pa.LargeStringArray) -> dict[str, pa.Array]:
    given = one.function(text)
    columns = given if isinstance(given, Mapping) else {next(iter(one.columns)): given}
    return {name: _typed(one, name, columns[name], len(text)) for name in one.columns}


def _row_by_row(one: Extension, text: pa.LargeStringArray, valid: np.ndarray[Any, Any]) -> dict[str, pa.Array]:
    rows = [one.function(each) if there else None for each, there in zip(text.to_pylist(), valid, strict=True)]
    if "." in one.name:
        return {name: _typed(one, name, rows, len(rows)) for name in one.columns}
    return {
        name: _typed(one, name, [None if row is None else row[name] for row in rows], len(rows)) for name in one.columns
    }


def _typed(one: Extension, name: str, values: Any, rows: int) -> pa.Array:
    array = pa.array(values, pa.type_for_alias(one.columns[name]))
    if len(array) != rows:
        raise ExtensionError(f"signal {one.name} gave {len(array)} values for {rows} texts")
    return array


def _edit(one: Extension, text: pa.LargeStringArray) -> pa.ListArray:
    row: list[int] = []
    start: list[int] = []
    end: list[int] = []
    replacement: list[str] = []
    for number, each in enumerate(text.to_pylist()):
        to_byte = _byte_of(each)
        last = 0
        for first, stop, new in _spans(one, each):
            if not last <= first < stop <= len(each):
                raise EditFailed(
                    f"edit {one.name} gave the span {first}-{stop} of {_beginning(each)}: spans are given in order, "
                    "without overlap, and hold at least one character",
                    "BadSpan",
                )
            last = stop
            row.append(number)
            start.append(to_byte(first))
            end.append(to_byte(stop))
            replacement.append(new)
    return from_lists(len(text), row, start, end, replacement, one.name)


def _spans(one: Extension, text: str) -> Iterable[tuple[int, int, str]]:
    try:
        spans = list(one.function(text) or ())
    except Exception as error:
        kind = type(error).__name__
        raise EditFailed(f"edit {one.name} raised {kind}: {error}, on {_beginning(text)}", kind) from error
    for span in spans:
        if not (isinstance(span, tuple | list) and [type(part) for part in span] == [int, int, str]):
            raise EditFailed(
                f"edit {one.name} gave {span!r:.100}, no (start, end, replacement), on {_beginning(text)}", "BadSpan"
            )
    return spans


def _beginning(text: str) -> str:
    return f"a text of {len(text):,} characters that begins with {text[:60]!a}"


def _byte_of(text: str) -> Callable[[int], int]:
    """From a position in characters to one in UTF-8 bytes; of ASCII they are the same."""
    if text.isascii():
        return lambda position: position
    return lambda position: len(text[:position].encode())
