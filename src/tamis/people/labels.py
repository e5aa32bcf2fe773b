"""Labels: who called which example what. The one table that agreement, aggregation, judges and the store share.

In: CSV, JSONL or Parquet with a header, or three sequences. Out: three arrays of codes and the names behind them.
Names are sorted (as numbers where all of them are numbers) and rows are sorted by code, so that nothing that is
computed from `Labels` can depend on the order of rows. Memory: 12 bytes a label and the distinct names; files are
streamed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tamis.errors import WrongUse

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "example": ("example", "item", "task"),
    "rater": ("rater", "worker", "annotator"),
    "label": ("label",),
}
TRUTH: Mapping[str, tuple[str, ...]] = {"example": COLUMNS["example"], "truth": ("truth", "gold", "control", "label")}
MISSING = ("", "NaN", "nan")  # what spreadsheets and data frames write where nobody has answered

Codes = NDArray[np.int32]


class NotLabels(ValueError, WrongUse):
    """A file or sequences that are no table of labels; the message says what was found and how to mend it."""


@dataclass(frozen=True)
class Labels:
    """N labels of I examples by R raters from K classes. Repeated labels by one rater on one example are allowed.

    example, rater, label: (N,) codes into `examples`, `raters`, `classes`; rows are sorted by (example, rater, label).
    unlabelled: rows that had no label and were left out. ignored: columns that were not read.
    """

    example: Codes
    rater: Codes
    label: Codes
    examples: tuple[str, ...]
    raters: tuple[str, ...]
    classes: tuple[str, ...]
    unlabelled: int = 0
    ignored: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def of(cls, examples: Iterable[Any], raters: Iterable[Any], labels: Iterable[Any]) -> Labels:
        """From three sequences of equal length; names become strings, None and NaN labels are counted and left out.

        >>> labels = Labels.of(["a", "a", "b"], ["ann", "bob", "ann"], ["yes", "no", None])
        >>> labels.classes, len(labels), labels.unlabelled
        (('no', 'yes'), 2, 1)
        """
        columns = [[_name(value) for value in column] for column in (examples, raters, labels)]
        if len({len(column) for column in columns}) != 1:
            sizes = ", ".join(f"{len(column):,} {name}s" for name, column in zip(COLUMNS, columns, strict=True))
            raise NotLabels(f"{sizes}: the three must be of equal length")
        return _build([[pa.array(column, pa.large_string()) for column in columns]], "the sequences", 1)

    @classmethod
    def read(cls, path: str | Path) -> Labels:
        """From a file named .csv, .tsv, .jsonl, .ndjson or .parquet (also .csv.gz and .jsonl.gz).

        Columns: example (or item, task), rater (or worker, annotator), label. Others are left unread and listed in
        `ignored`. Raises NotLabels where a column is missing or named twice, or where a row lacks its example or rater.
        """
        columns, ignored, batches = _open(Path(path), COLUMNS)
        rows = ([batch[name] for name in columns] for batch in batches)
        return _build(rows, str(path), 2 if _kind(Path(path)) == "csv" else 1, ignored)

    def where(self, keep: NDArray[np.bool_]) -> Labels:
        """The labels of which `keep` (N,) is true. Names stay, so codes mean the same as before."""
        columns = (self.example[keep], self.rater[keep], self.label[keep])
        return Labels(*columns, self.examples, self.raters, self.classes, self.unlabelled, self.ignored)

    def compact(self) -> Labels:
        """The same without names that no label uses."""
        columns: list[Codes] = []
        names: list[tuple[str, ...]] = []
        for codes, old in zip(self._columns, (self.examples, self.raters, self.classes), strict=True):
            used, inverse = np.unique(codes, return_inverse=True)
            columns.append(inverse.astype(np.int32))
            names.append(tuple(old[code] for code in used.tolist()))
        (example, rater, label), (examples, raters, classes) = columns, names
        return Labels(example, rater, label, examples, raters, classes, self.unlabelled, self.ignored)

    def and_rater(self, name: str, labels: Mapping[str, str]) -> Labels:
        """These labels and those of one more rater (a model, say) on the examples that are here; others are left out.

        Raises NotLabels where a rater of that name is here already.
        """
        if name in self.raters:
            raise NotLabels(f"a rater called {name} is in the labels already: give the new one another name")
        added = [(example, labels[example]) for example in self.examples if example in labels]
        triples = zip(*([(e, name, label) for e, label in added] + list(self)), strict=True)
        more = Labels.of(*triples)
        return Labels(*more._columns, more.examples, more.raters, more.classes, self.unlabelled, self.ignored)

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        for example, rater, label in zip(*(column.tolist() for column in self._columns), strict=True):
            yield self.examples[example], self.raters[rater], self.classes[label]

    @property
    def _columns(self) -> tuple[Codes, Codes, Codes]:
        return self.example, self.rater, self.label

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """(K,) the classes as numbers, for ratings. Raises NotLabels where a class is no number."""
        try:
            return np.array([float(name) for name in self.classes])
        except ValueError as error:
            raise NotLabels(f"ratings must be numbers: {error}") from None


def read_question(path: str | Path, question: str | None = None) -> Labels:
    """As `Labels.read`, of one question; all of a file that has no column `question`. Answers to several questions are
    no labels of anything together, so one must be named. Raises NotLabels."""
    labels = Labels.read(path)
    if "question" not in labels.ignored:
        if question is not None:
            raise NotLabels(f"{path} has no column `question`, so none can be chosen")
        return labels
    _, _, batches = _open(Path(path), {**COLUMNS, "question": ("question",)})
    names = (*COLUMNS, "question")
    rows = [row for batch in batches for row in zip(*(batch[name].to_pylist() for name in names), strict=True)]
    known = sorted({str(asked) for *_, label, asked in rows if label is not None})
    if question is None and len(known) == 1:
        return labels
    if question not in known:
        said = f"has no question {question!r}" if question is not None else "holds answers to several questions"
        raise NotLabels(f"{path} {said}: name one by --question: {', '.join(known)}")
    return Labels.of(*zip(*((e, r, label) for e, r, label, asked in rows if str(asked) == question), strict=True))


def read_truth(path: str | Path) -> dict[str, str]:
    """Known answers (gold, controls) by example, from a file with columns example (item, task) and truth (gold,
    control, label). Rows without an answer are left out. Raises NotLabels where one example has two answers."""
    _, _, batches = _open(Path(path), TRUTH)
    truth: dict[str, str] = {}
    for batch in batches:
        for example, answer in zip(batch["example"].to_pylist(), batch["truth"].to_pylist(), strict=True):
            if answer is not None and truth.setdefault(example, answer) != answer:
                raise NotLabels(f"{path}: example {example} has two answers, {truth[example]} and {answer}: keep one")
    return truth


def _name(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)  # a data frame with a gap in it makes 1.0 of 1
    name = str(value).strip()
    return None if name in MISSING else name


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst", ".bz2")]
    kind = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
    kind[".parquet"] = kind[".pq"] = "parquet"
    found = kind.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise NotLabels(f"{path}: what kind of file is it? Name it .csv, .tsv, .jsonl or .parquet")
    return found


Opened = tuple[tuple[str, ...], tuple[str, ...], Iterator[dict[str, pa.Array]]]


def _open(path: Path, columns: Mapping[str, tuple[str, ...]]) -> Opened:
    """The wanted columns' names, the ignored ones, and batches of trimmed strings (null where missing)."""
    wanted = {name for names in columns.values() for name in names}
    header, batches = open_table(path, lambda name: name in wanted, _wanted(columns))
    found = _match(path, header, columns)
    ignored = tuple(name for name in header if name not in found.values())
    return tuple(columns), ignored, _strings(path, batches, found)


def open_table(path: Path, reads: Callable[[str], bool], expected: str) -> tuple[list[str], Iterable[pa.RecordBatch]]:
    """Names and batches of a CSV, JSONL or Parquet file; of Parquet only columns whose plain name `reads` wants.
    `expected` says in errors what columns the file should have. Raises NotLabels where it cannot be read."""
    kind = _kind(path)
    if not path.is_file():
        raise NotLabels(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise NotLabels(f"{path} is empty: its first line must name the columns {expected}")
    try:
        if kind == "csv":
            return _csv(path)
        return _jsonl(path) if kind == "jsonl" else _parquet(path, reads)
    except pa.ArrowInvalid as error:
        raise NotLabels(f"{path} cannot be read as {kind}: {error}") from None


def _csv(path: Path) -> tuple[list[str], Iterable[pa.RecordBatch]]:
    import csv
    import gzip

    import pyarrow.csv as pc_csv

    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        first = file.readline().decode("utf-8-sig", "replace")
    separator = "\t" if "\t" in first and "," not in first else ","
    # Nothing is a null and everything is a string here: "NA" may be a class, and 007 is not 7.
    names = next(csv.reader([first], delimiter=separator), [])
    types = {name: pa.large_string() for name in names}
    reader = pc_csv.open_csv(
        path,
        read_options=pc_csv.ReadOptions(block_size=1 << 24, use_threads=False),
        parse_options=pc_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pc_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
    )
    return reader.schema.names, reader


def _jsonl(path: Path) -> tuple[list[str], Iterable[pa.RecordBatch]]:
    import pyarrow.json as json

    table = json.read_json(path, read_options=json.ReadOptions(use_threads=False))
    return table.schema.names, table.to_batches()


def _parquet(path: Path, reads: Callable[[str], bool]) -> tuple[list[str], Iterable[pa.RecordBatch]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, page_checksum_verification=True)
    header = file.schema_arrow.names
    return header, file.iter_batches(columns=[name for name in header if reads(plain(name))])


def plain(name: str) -> str:
    """A column's name as it is compared: without blanks and byte order mark, in small letters."""
    return name.strip().lstrip("\ufeff").lower()


def _wanted(columns: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(" or ".join(names) for names in columns.values())


def _match(path: Path, header: Sequence[str], columns: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    found = {}
    for column, names in columns.items():
        matches = [name for name in header if plain(name) in names]
        if column == "truth" and len(matches) > 1:  # a file of answers may carry the labels' column too
            matches = sorted(matches, key=lambda name: names.index(plain(name)))[:1]
        if len(matches) != 1:
            people = "time" if column == "at" else column
            if len(header) == 1 and ";" in header[0]:
                raise NotLabels(
                    f"{path}: its columns seem to be separated by `;` ({header[0]}): save it with commas or tabs "
                    "between them"
                )
            what = f"two columns for the {people}: {', '.join(matches)}" if matches else f"no column for the {people}"
            raise NotLabels(
                f"{path} has {what}\n  Found: {', '.join(header) or 'nothing'}. Accepted: {_wanted(columns)}. "
                "Rename the columns in the file's first line."
            )
        found[column] = matches[0]
    return found


def _strings(path: Path, batches: Iterable[pa.RecordBatch], found: Mapping[str, str]) -> Iterator[dict[str, pa.Array]]:
    try:
        for batch in batches:
            yield {column: _text(path, column, batch.column(name)) for column, name in found.items()}
    except pa.ArrowInvalid as error:
        raise NotLabels(f"{path}: {error}") from None


def _text(path: Path, column: str, values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type):
        raise NotLabels(f"{path}: the {column} is of type {values.type}; a plain name or number is needed")
    if pa.types.is_floating(values.type):
        values = pa.array([_name(value) for value in values.to_pylist()], pa.large_string())
    text = pc.utf8_trim_whitespace(values.cast(pa.large_string()))
    return pc.if_else(pc.is_in(text, value_set=pa.array(MISSING, pa.large_string())), None, text)


def _build(batches: Iterable[Sequence[pa.Array]], where: str, first: int, ignored: tuple[str, ...] = ()) -> Labels:
    """Codes from batches of the three columns. `first` is the number that people give to the first row."""
    parts: list[list[pa.Array]] = [[], [], []]
    unlabelled = seen = 0
    for example, rater, label in batches:
        empty = label.null_count
        if empty:
            present = label.is_valid()
            rows = np.flatnonzero(present.to_numpy(zero_copy_only=False)) + seen
            seen += len(label)
            example, rater, label = (column.filter(present) for column in (example, rater, label))
        else:
            rows = np.arange(seen, seen + len(label))
            seen += len(label)
        unlabelled += empty
        for name, column in (("example", example), ("rater", rater)):
            if column.null_count:
                row = rows[int(np.argmin(column.is_valid().to_numpy(zero_copy_only=False)))] + first
                raise NotLabels(f"{where}, line {row:,}: the {name} is empty. Fill it in or take the line out.")
        for part, column in zip(parts, (example, rater, label), strict=True):
            part.append(column.dictionary_encode())
    if not seen:
        raise NotLabels(f"{where}: there are no labels below the header")
    if unlabelled == seen:
        raise NotLabels(f"{where}: none of the {seen:,} rows has a label")
    coded = [_codes(part) for part in parts]
    (example, examples), (rater, raters), (label, classes) = coded
    key = (example.astype(np.int64) * len(raters) + rater) * len(classes) + label
    order = np.argsort(key, kind="stable")
    return Labels(example[order], rater[order], label[order], examples, raters, classes, unlabelled, ignored)


def _codes(parts: list[pa.Array]) -> tuple[Codes, tuple[str, ...]]:
    column = pa.chunked_array(parts).unify_dictionaries()
    names: list[str] = column.chunk(0).dictionary.to_pylist()
    order = sorted(range(len(names)), key=_order(names))
    rank = np.empty(len(names), np.int32)
    rank[order] = np.arange(len(names), dtype=np.int32)
    codes = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in column.chunks])
    return rank[codes], tuple(names[position] for position in order)


def _order(names: Sequence[str]) -> Any:
    """The key by which positions of names are sorted: as numbers where all are, else as text."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return names.__getitem__
    return lambda position: (numbers[position], names[position])
