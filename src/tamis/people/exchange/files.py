"""Files of labels: which format a path has, and its rows as JSON Lines or Parquet.

Memory: all annotations of the file; labels are few beside documents.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tamis.people.exchange import argilla, label_studio, training
from tamis.people.exchange.annotations import Aggregated, Annotation, ordered
from tamis.people.exchange.evidence import COLUMN, BadExchange, dump, pack, unpack

TRAINING = tuple(training.MAKERS)
FORMATS = ("annotations", *TRAINING, "label-studio", "argilla")


@dataclass(frozen=True)
class Written:
    """What was written. unused: examples that give no row, in `unused_path`, by reason."""

    path: Path
    rows: int
    unused: int = 0
    unused_path: Path | None = None
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """What was read, in the order of `annotations.ordered`. problems: sentences about what could not be carried.
    left_out: of a model's answers, how many are none to examples, by reason."""

    annotations: list[Annotation]
    aggregated: list[Aggregated] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def write(
    annotations: Iterable[Annotation],
    aggregated: Iterable[Aggregated] = (),
    *,
    format: str,
    path: Path | str,
    prompt: str | None = None,
) -> Written:
    """Writes annotations and what they come to in one of FORMATS. Raises BadExchange.

    path: .jsonl or .parquet, for Label Studio and Argilla .json. prompt: the field (or fields, by commas) that is the
    prompt, where its name does not say so. The same rows give the same bytes, in whatever order they come.
    """
    path = Path(path)
    if format not in FORMATS:
        raise BadExchange(f"no format of labels is named {format!r}: choose {', '.join(FORMATS)}")
    suffixes = (".json",) if format in ("label-studio", "argilla") else (".jsonl", ".parquet")
    if path.suffix not in suffixes:
        raise BadExchange(f"{path}: a file in format {format} ends in {' or '.join(suffixes)}")
    annotations, aggregated = ordered(annotations), sorted(aggregated, key=lambda one: (one.example, one.question))
    if format in ("label-studio", "argilla"):
        room = label_studio if format == "label-studio" else argilla
        body = room.to_json(annotations, aggregated)
        _put(path, (dump(body) + "\n").encode())
        return Written(path, len(body))
    beside = path.with_name(f"{path.stem}.unused{path.suffix}")
    if format == "annotations":
        _write_rows(path, _table(annotations, aggregated))
        return Written(path, len(annotations))
    used, unused = training.rows(format, annotations, aggregated, prompt)
    _write_rows(path, used)
    if not unused:
        beside.unlink(missing_ok=True)  # of a former export under this name: `read` would take it for part of this one
        return Written(path, len(used))
    _write_rows(beside, unused)
    reasons: dict[str, int] = {}
    for row in unused:
        reasons[row["why"]] = reasons.get(row["why"], 0) + 1
    return Written(path, len(used), len(unused), beside, reasons)


def read(path: Path | str, format: str | None = None, kinds: dict[str, str] | None = None) -> Imported:
    """Reads what `write` wrote, files of Label Studio and Argilla, and answers of `tamis label judge`. Raises
    BadExchange.

    format: found from the content where absent. kinds: question -> kind, for Argilla's, which do not say so.
    """
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise BadExchange(f"no format of labels is named {format!r}: choose {', '.join(FORMATS)}")
    if not path.is_file():
        raise BadExchange(f"{path}: there is no such file")
    if path.suffix == ".json":
        return _read_json(path, format, kinds or {})
    rows = list(_read_rows(path))
    if rows and {"prompt_hash", "raw"} <= set(rows[0][1]):  # answers of a model
        from tamis.people import judges

        judged = judges.read(path)
        why = [
            "gold questions" if row.right is not None else "no answer could be read"
            for row in judged
            if row.right is not None or row.label is None
        ]
        return Imported(ordered(judges.to_annotations(judged)), left_out=dict(Counter(why)))
    beside = path.with_name(f"{path.stem}.unused{path.suffix}")
    if beside.is_file():
        rows += _read_rows(beside)
    if rows and not any(COLUMN in row for _, row in rows):
        raise BadExchange(
            f"{path}: no column {COLUMN!r}, so this is no export of Tamis; it has "
            f"{', '.join(rows[0][1])}. Tables of example, rater, label are read by `tamis label aggregate` as they are."
        )
    annotations: list[Annotation] = []
    aggregated: list[Aggregated] = []
    for where, row in rows:
        some, said = unpack(row, where)
        annotations += some
        aggregated += said
    return Imported(ordered(annotations), sorted(aggregated, key=lambda one: (one.example, one.question)))


def _table(annotations: list[Annotation], aggregated: list[Aggregated]) -> Iterator[dict[str, Any]]:
    """One row per annotation, with the columns that `tamis label aggregate` reads; aggregated labels have no rater."""
    for annotation in annotations:
        row: dict[str, Any] = {
            "example": annotation.example,
            "rater": annotation.rater,
            "label": None if annotation.skipped else _plain(annotation.value),
            "question": annotation.question,
            "kind": annotation.kind,
            "seconds": annotation.seconds,
            "at": annotation.at,
        }
        yield {**row, COLUMN: pack(row, [annotation])}
    for one in aggregated:
        row = dict.fromkeys(("rater", "label", "kind", "seconds", "at")) | {
            "example": one.example, "rater": "(aggregated)", "question": one.question,
        }  # fmt: skip
        yield {**row, COLUMN: pack(row, [], [one])}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else dump(value)


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    if path.suffix == ".jsonl":
        _put(path, "".join(dump(row, in_order=True) + "\n" for row in rows).encode())
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row)) or [COLUMN]
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        columns.append(_column(values))
    temporary = path.with_name(f".{path.name}.part")
    table = pa.table(dict(zip(names, columns, strict=True)))
    pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    temporary.replace(path)


def _column(values: list[Any]) -> Any:
    """One type for a column: what all values are, texts of JSON where they differ."""
    import pyarrow as pa

    types = {type(value) for value in values if value is not None}
    if types <= {list}:
        return pa.array(values, pa.list_(pa.large_string()) if types else pa.large_string())
    if types <= {bool} and types:
        return pa.array(values, pa.bool_())
    if types <= {int} and types and all(abs(v) < 1 << 62 for v in values if v is not None):
        return pa.array(values, pa.int64())
    if types <= {int, float} and types and bool not in types:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([None if v is None else _plain(v) for v in values], pa.large_string())


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows and where each stands."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path, page_checksum_verification=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise BadExchange(f"{path}: not Parquet, or damaged: {error}") from None
        for number, row in enumerate(table.to_pylist(), 1):
            yield f"{path}, row {number}", row
        return
    with path.open(encoding="utf-8", newline="\n") as lines:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise BadExchange(f"{path}:{number}: a row is an object with named columns")
                    yield f"{path}:{number}", row
        except json.JSONDecodeError as error:
            raise BadExchange(f"{path}:{number}: not JSON: {error.msg}") from None
        except UnicodeDecodeError as error:
            raise BadExchange(f"{path}: not UTF-8: {error}") from None


def _read_json(path: Path, format_: str | None, kinds: dict[str, str]) -> Imported:
    try:
        body = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadExchange(f"{path}: not JSON: {error}") from None
    if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
        raise BadExchange(f"{path}: a list of tasks (Label Studio) or of records (Argilla) is expected")
    if format_ is None:
        format_ = "argilla" if any("fields" in one for one in body) else "label-studio"
    room = label_studio if format_ == "label-studio" else argilla
    annotations, aggregated, problems = room.from_json(body, kinds)
    return Imported(ordered(annotations), sorted(aggregated, key=lambda one: (one.example, one.question)), problems)


def _put(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    temporary.replace(path)
