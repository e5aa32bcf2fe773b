"""Signals `labels`: what people or models said of documents, by document id.

A recipe's ``signals: {labels: {edu: {path: edu.parquet}}}`` gives labels.edu, and labels.edu_posterior and labels.edu_n
where the file has columns `posterior` and `n`, as `tamis label aggregate --out` writes them. A document that nobody
labelled is null in all of them, and a rule over null drops nothing.

Labels that are all numbers make a column of numbers. Memory: 16 bytes a label and the ids, once per process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.errors import WrongUse
from tamis.signals.batch import Batch
from tamis.signals.extra import ExtraGroup
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup
from tamis.stage import hash_file

# bumped with the reason whenever a value changes
VERSION = 1
GROUP = "labels"


class NotLabels(ValueError, WrongUse):
    """A file that gives no label per document; the message says what is wrong and how to mend it."""


class Setting(Protocol):
    """What the recipe says of one file; `recipe.LabelFile` has it."""

    @property
    def path(self) -> str: ...
    @property
    def example(self) -> str: ...
    @property
    def label(self) -> str: ...


@dataclass(frozen=True)
class Table:
    """One label per document, sorted by id. ids (L,) bytes; label (L,) numbers or texts, `given` (L,) where there is
    one; posterior (L,), n (L,) or None where the file has no such column."""

    ids: npt.NDArray[np.bytes_]
    label: pa.Array
    posterior: pa.Array | None
    n: pa.Array | None

    def rows(self, ids: pa.Array) -> pa.Array:
        """The row of each id, null where there is none: int64 (ids,)."""
        if not len(self.ids):
            return pa.nulls(len(ids), pa.int64())
        wanted = np.array([value.encode() for value in ids.to_pylist()], dtype=bytes)
        found = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return pa.array(found, pa.int64(), mask=self.ids[found] != wanted)


def extra_groups(settings: Mapping[str, Setting]) -> list[ExtraGroup]:
    """The group of all label files by column name. Reads every file once. Raises NotLabels, FileNotFoundError."""
    if not settings:
        return []
    files: dict[str, Any] = {}
    taken: dict[str, str] = {}
    for name, setting in settings.items():
        digest = hash_file(Path(setting.path))
        table = load(setting.path, digest, setting.example, setting.label)
        files[name] = {
            "hash": digest,
            "example": setting.example,
            "label": setting.label,
            "kind": "number" if pa.types.is_floating(table.label.type) else "text",
            "has": [part for part in ("posterior", "n") if getattr(table, part) is not None],
        }
        for column in _names(name, files[name]):
            if taken.setdefault(column, name) != name:
                raise NotLabels(f"labels {taken[column]} and {name} both make a column {column}: rename one")
    own = "tamis.signals.labels"
    return [ExtraGroup(GROUP, f"{own}:made", {"files": files}, {name: s.path for name, s in settings.items()})]


def made(params: Mapping[str, Any], paths: Mapping[str, str]) -> SignalGroup:
    """The group with up to three columns a file."""
    columns = []
    for name, known in params["files"].items():
        kind = SHARE if known["kind"] == "number" else pa.string()
        what = f"label of the file named {name}; null where nobody labelled the document"
        columns.append(Column(name, kind, "label", what, "people or models"))
        if "posterior" in known["has"]:
            columns.append(Column(f"{name}_posterior", SHARE, "probability in [0, 1]", f"of labels.{name}"))
        if "n" in known["has"]:
            columns.append(Column(f"{name}_n", INT, "labels", f"that labels.{name} stands on"))
    return SignalGroup(
        name=GROUP,
        version=VERSION,
        reads="document",
        columns=tuple(columns),
        packages=(),
        compute=partial(_compute, files=dict(params["files"]), paths=dict(paths)),
        description="What people or models said of documents.",
    )


def _compute(batch: Batch, options: Options, files: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, pa.Array]:
    found = {}
    for name, known in files.items():
        table = load(paths[name], known["hash"], known["example"], known["label"])
        rows = table.rows(batch.documents.column("id"))
        found[name] = table.label.take(rows)
        if "posterior" in known["has"] and table.posterior is not None:
            found[f"{name}_posterior"] = table.posterior.take(rows)
        if "n" in known["has"] and table.n is not None:
            found[f"{name}_n"] = table.n.take(rows)
    return found


@lru_cache(maxsize=32)
def load(path: str, digest: str, example: str, label: str) -> Table:
    """The labels of a file whose content has this hash. Raises NotLabels naming file and row."""
    rows: dict[str, tuple[Any, Any, Any]] = {}
    columns: tuple[str, ...] = ()
    for number, row in enumerate(_rows(Path(path)), 1):
        columns = columns or tuple(row)
        for wanted in (example, label):
            if wanted not in row:
                raise NotLabels(
                    f"{path}, row {number}, has no column {wanted!r}; it has {', '.join(row)}. Name the columns in the "
                    "recipe: `example` for the document's id and `label`."
                )
        name = row[example]
        if name is None or str(name) == "":
            raise NotLabels(f"{path}, row {number}: no document id in column {example!r}")
        if str(name) in rows:
            raise NotLabels(
                f"{path}, row {number}: document {name} is labelled a second time. One label a document is needed: "
                "put many together by `tamis label aggregate`."
            )
        rows[str(name)] = (row[label], row.get("posterior"), row.get("n"))
    names = sorted(rows, key=str.encode)
    values = [rows[name] for name in names]
    return Table(
        np.array([name.encode() for name in names], dtype=bytes),
        _labels([value[0] for value in values]),
        _numbers([value[1] for value in values], SHARE, path, "posterior") if "posterior" in columns else None,
        _numbers([value[2] for value in values], INT, path, "n") if "n" in columns else None,
    )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a CSV, JSON Lines or Parquet file; an empty cell of a CSV is null."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        try:
            for batch in pq.ParquetFile(path, page_checksum_verification=True).iter_batches(10_000):
                yield from batch.to_pylist()
        except pa.ArrowInvalid as error:
            raise NotLabels(f"{path}: not Parquet, or damaged: {error}") from None
    elif path.suffix in (".jsonl", ".ndjson"):
        import json

        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        row = json.loads(line)
                    except ValueError as error:
                        raise NotLabels(f"{path}:{number}: not JSON: {error}") from None
                    if not isinstance(row, dict):
                        raise NotLabels(f"{path}:{number}: a row is an object with named columns")
                    yield row
    elif path.suffix in (".csv", ".tsv"):
        import csv

        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t" if path.suffix == ".tsv" else ","):
                yield {name: value if value != "" else None for name, value in row.items() if name is not None}
    else:
        raise NotLabels(f"{path}: labels are read from .parquet, .jsonl, .csv or .tsv")


def _labels(values: list[Any]) -> pa.Array:
    """Numbers where all of them are; true and false as texts, as people choose them."""
    given = [value for value in values if value is not None]
    numbers = [_number(value) for value in given]
    if given and all(number is not None for number in numbers):
        return pa.array([None if value is None else _number(value) for value in values], SHARE)
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _numbers(values: list[Any], type_: pa.DataType, path: str, column: str) -> pa.Array:
    numbers = [None if value is None else _number(value) for value in values]
    for value, number in zip(values, numbers, strict=True):
        if value is not None and number is None:
            raise NotLabels(f"{path}: {value!r} in column {column} is no number")
    return pa.array(numbers, pa.float64()).cast(type_, safe=False)


def _names(name: str, known: Mapping[str, Any]) -> list[str]:
    return [name, *(f"{name}_{part}" for part in known["has"])]
