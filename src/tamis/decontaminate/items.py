"""Evaluation sets, JSONL or Parquet, as one Parquet file of distinct items: what the index is made of.

Text is kept in its normalized form only (lower case, no marks, no punctuation, single spaces, numbers as they are),
so the file is searched as documents are. Items of equal text are one row with several names.

Memory: the items of all sets once as text and once normalized (100,000 items: about 200 MB while it is made).
"""

from __future__ import annotations

import ast
import contextlib
import glob
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis import kernels
from tamis.documents import write_table
from tamis.errors import WrongUse
from tamis.rows import BadRow, json_rows
from tamis.yaml_models import near

# 1: the first. 2: `variants`.
VERSION = 2

# `names` are SET/ID, in the order of the sets; `text` and `answer` are normalized, `answer` null where there is none
# or where it says nothing; `shown` is the beginning of the item as it stands in the set, for people; `variants`: how
# many different texts, up to case and white space, are this one when normalized (puzzles that differ in brackets only).
ITEMS = pa.schema(
    [
        pa.field("names", pa.list_(pa.string()), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("answer", pa.large_string()),
        pa.field("shown", pa.large_string(), nullable=False),
        pa.field("variants", pa.int64(), nullable=False),
    ]
)

SHOWN = 400  # characters
# An answer that more than this share of a set's items have is no evidence (yes, no, true, a letter).
MOST_COMMON_ANSWER = 0.05

Row = tuple[str, str, str | None]  # id, text, answer


class BadSet(ValueError, WrongUse):
    """An evaluation set cannot be read; the message names the set, the file and the row."""


def set_files(name: str, paths: Sequence[str]) -> list[Path]:
    """The files of a set: paths, globs, and folders (their JSONL and Parquet files), sorted. Raises BadSet."""
    found: list[Path] = []
    for path in paths:
        place = Path(path)
        if place.is_dir():
            hits = [p for p in sorted(place.rglob("*")) if _format(p)]
        elif place.is_file():
            hits = [place]
        else:
            hits = [Path(hit) for hit in sorted(glob.glob(path, recursive=True))]
        if not hits:
            raise BadSet(f"evaluation set {name}: {path} is no file, glob or folder with JSONL or Parquet files")
        found += hits
    for file in found:
        if not _format(file):
            raise BadSet(f"evaluation set {name}: {file} is neither .jsonl, .jsonl.gz nor .parquet")
    return list(dict.fromkeys(found))


def _format(path: Path) -> str | None:
    for ending, name in ((".jsonl", "jsonl"), (".jsonl.gz", "jsonl"), (".ndjson", "jsonl"), (".parquet", "parquet")):
        if path.name.lower().endswith(ending):
            return name
    return None


def read_set(settings: Mapping[str, Any], files: Sequence[Path], cache: dict[Path, pa.Table]) -> list[Row]:
    """(id, text, answer) of every item of one set. settings: name, text, answer, id, where, as in the recipe.

    Raises BadSet for a missing column, a row that is no JSON object, a text that is no string, and a set without
    items (a `where` that nothing fulfils is a mistake that must not pass for a clean corpus).
    """
    name, where = settings["name"], settings.get("where") or {}
    text_column, answer_column, id_column = settings["text"], settings.get("answer"), settings.get("id")
    rows: list[Row] = []
    columns: dict[str, None] = {}
    for file in files:
        for number, record in enumerate(_records(name, file, where, cache)):
            columns.update(dict.fromkeys(map(str, record)))
            if text_column not in record:
                raise _no_text(name, f"{file}, row {number + 1},", text_column, record)
            if any(record.get(key) != value for key, value in where.items()):
                continue
            text = record[text_column]
            if not isinstance(text, str):
                raise BadSet(f"evaluation set {name}: {file}, row {number + 1}: {text_column!r} is no string")
            if not text.strip():
                continue
            answer = record.get(answer_column) if answer_column else None
            identity = record.get(id_column) if id_column else None
            rows.append((str(number if identity is None else identity), text, answer_text(answer)))
    if not rows:
        for key in where:
            if columns and key not in columns:
                raise _no_column(name, ", ".join(map(str, files)), key, "`where`", columns)
        raise _no_items(name, where)
    return rows


def check_set(settings: Mapping[str, Any], files: Sequence[Path], named: Collection[str]) -> None:
    """Looks before a run for what would stop it, or pass in silence: files that cannot be opened, columns that are
    not there, and a `where` that nothing fulfils. Raises BadSet.

    settings as in `read_set`; named: which of them stand in the recipe itself: the columns `answer` and `id` are
    optional where it does not name them. Of Parquet files the schema and the columns of `where` are read, up to the
    first row that fulfils it; files of lines are read through.
    """
    name, where = settings["name"], settings.get("where") or {}
    wanted = [(key, settings[key]) for key in ("answer", "id") if key in named and settings.get(key)]
    lines = [file for file in files if _format(file) == "jsonl"]
    fulfilled = False
    for file in files:
        if file not in lines:
            fulfilled |= _parquet_fulfils(settings, file, wanted, enough=fulfilled)
    with contextlib.suppress(NoItems):
        fulfilled |= bool(read_set(settings, lines, {}))
    if not fulfilled:
        raise _no_items(name, where)
    columns = {str(column): None for file in lines for record in _records(name, file, where, {}) for column in record}
    for key, column in wanted:
        if columns and column not in columns:  # a line may lack it: the item has no answer
            raise _no_column(name, ", ".join(map(str, lines)), column, f"`{key}:`", columns)


def _parquet_fulfils(
    settings: Mapping[str, Any], file: Path, wanted: Sequence[tuple[str, str]], *, enough: bool
) -> bool:
    """Checks the columns of a file; whether a row of it fulfils `where`, not looked for where it is `enough`."""
    name, text, where = settings["name"], settings["text"], settings.get("where") or {}
    with _opened(name, file), pq.ParquetFile(file, page_checksum_verification=True) as opened:
        schema = opened.schema_arrow
        if text not in schema.names:
            raise _no_text(name, str(file), text, schema.names)
        kind = schema.field(text).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
            raise BadSet(f"evaluation set {name}: {file}: {text!r} is no string but {kind}: name another with `text:`")
        for key, column in [*wanted, *(("where", key) for key in where)]:
            if column not in schema.names:
                raise _no_column(name, str(file), column, "`where`" if key == "where" else f"`{key}:`", schema.names)
        if enough or not where:
            return enough or bool(opened.metadata.num_rows)
        for group in range(opened.num_row_groups):
            rows = opened.read_row_group(group, columns=list(where), use_threads=False)
            if any(all(row[key] == value for key, value in where.items()) for row in rows.to_pylist()):
                return True
    return False


@contextlib.contextmanager
def _opened(name: str, file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise BadSet(f"evaluation set {name}: {file} cannot be read: {error}") from None


class NoItems(BadSet):
    """A set without items."""


def _no_items(name: str, where: Mapping[str, Any]) -> NoItems:
    conditions = ", ".join(f"{key} = {value!r}" for key, value in where.items())
    return NoItems(f"evaluation set {name} has no items" + (f" with {conditions}" if where else ""))


def _no_text(name: str, place: str, column: str, columns: Iterable[Any]) -> BadSet:
    known = [str(one) for one in columns]
    return BadSet(
        f"evaluation set {name}: {place} has no column {column!r}{near(column, known)} "
        f"(it has {', '.join(known)}): name it with `text:`"
    )


def _no_column(name: str, place: str, column: str, key: str, columns: Iterable[str]) -> BadSet:
    known = list(columns)
    return BadSet(
        f"evaluation set {name}: {place} has no column {column!r} that {key} names{near(column, known)} "
        f"(it has {', '.join(known)})"
    )


def _records(
    name: str, file: Path, where: Mapping[str, Any], cache: dict[Path, pa.Table]
) -> Iterator[Mapping[str, Any]]:
    if _format(file) == "parquet":
        if file not in cache:
            with _opened(name, file):
                cache[file] = pq.read_table(file, page_checksum_verification=True, use_threads=False)
        table = cache[file]
        for key, value in where.items():
            if key not in table.column_names:
                raise _no_column(name, str(file), key, "`where`", table.column_names)
            if pa.types.is_string(table.schema.field(key).type) and isinstance(value, str):
                table = table.filter(pc.equal(table.column(key), value))
        yield from table.to_pylist()
        return
    try:
        for _, record in json_rows(file):
            yield record
    except BadRow as error:
        raise BadSet(f"evaluation set {name}: {error}") from None


def answer_text(answer: Any) -> str | None:
    """An answer as it would stand in a text: the first of a list, 43 for 43.0.

    >>> answer_text("['43']"), answer_text("[39.0]"), answer_text(7.0), answer_text("9 (apples)")
    ('43', '39', '7', '9 (apples)')
    """
    if isinstance(answer, str) and answer.startswith("[") and answer.endswith("]"):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError):  # no list: as it stands
            answer = ast.literal_eval(answer)
    while isinstance(answer, list | tuple):
        if not answer:
            return None
        answer = answer[0]
    if answer is None or isinstance(answer, bool | dict):
        return None
    return re.sub(r"^(-?\d+)\.0$", r"\1", str(answer).strip()) or None


def telling(answers: Sequence[str | None]) -> list[str | None]:
    """The normalized answers of a set without those that say nothing: one character, or common to the set."""
    counts: dict[str, int] = {}
    for answer in answers:
        if answer:
            counts[answer] = counts.get(answer, 0) + 1
    most = max(1.0, MOST_COMMON_ANSWER * len(answers))
    return [a if a and len(a.replace(" ", "")) > 1 and counts[a] <= most else None for a in answers]


def normalized(texts: Sequence[str], words: str) -> list[str]:
    """`kernels.normalize` with numbers kept, in the word form asked for."""
    made: list[str] = kernels.normalize(pa.array(texts, pa.large_string()), False, words == "script").to_pylist()
    return made


def distinct_items(sets: Sequence[tuple[str, Sequence[Row]]], words: str = "script") -> pa.Table:
    """ITEMS of all sets, ordered by first appearance. sets: (name, rows) as `read_set` gives them."""
    names: dict[str, list[str]] = {}
    answers: dict[str, str] = {}
    shown: dict[str, str] = {}
    variants: dict[str, set[bytes]] = {}
    for name, rows in sets:
        texts = normalized([text for _, text, _ in rows], words)
        given = telling([a or None for a in normalized([answer or "" for _, _, answer in rows], words)])
        for (identity, raw, _), text, answer in zip(rows, texts, given, strict=True):
            if not text:
                continue
            names.setdefault(text, []).append(f"{name}/{identity}")
            shown.setdefault(text, raw[:SHOWN])
            variants.setdefault(text, set()).add(_digest(raw))
            if answer:
                answers.setdefault(text, answer)
    columns = [
        list(names.values()),
        list(names),
        [answers.get(text) for text in names],
        [shown[text] for text in names],
        [len(variants[text]) for text in names],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, ITEMS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=ITEMS)


def _digest(raw: str) -> bytes:
    return hashlib.blake2b(" ".join(raw.casefold().split()).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def items_task(
    context: Any, params: Mapping[str, Any], inputs: Sequence[Path], outputs: Sequence[Path]
) -> dict[str, Any]:
    """Writes ITEMS. params: ``sets`` (as in the recipe, each with ``files``: indexes into `inputs`), ``words``."""
    cache: dict[Path, pa.Table] = {}
    sets = [(one["name"], read_set(one, [Path(inputs[i]) for i in one["files"]], cache)) for one in params["sets"]]
    table = distinct_items(sets, params["words"])
    write_table(outputs[0], table, ITEMS)
    return {"sets": {name: len(rows) for name, rows in sets}, "items": table.num_rows}
