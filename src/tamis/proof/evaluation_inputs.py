"""What `tamis evaluate` is told to measure on: texts and sets of items, as they are named on the command line.

A text is `FILE:COLUMN` (Parquet or JSON Lines with `text` and a column of domains), or whatever `references` reads:
`[DOMAIN=]FILE`, a folder, `[WORK:]NAME` of a corpus. Documents are taken in an order drawn by seed, domains in turn, so
that a limit of bytes leaves every domain its part.

Memory: a file named with a column is read whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tamis.documents import read_table
from tamis.errors import WrongUse
from tamis.proof.evaluation import ItemSet
from tamis.proof.holdout import Candidates
from tamis.proof.items import read_items
from tamis.proof.references import BadReference, candidates
from tamis.rows import BadRow, json_rows


class BadInput(ValueError, WrongUse):
    """A text or a set cannot be read as it was named."""


def read_text(given: Sequence[str], work: Path, limit_bytes: int, seed: int = 17) -> Candidates:
    """All texts that were named, at most about three times `limit_bytes`. Raises BadInput."""
    ids: list[str] = []
    texts: list[str] = []
    domains: list[str] = []
    for one in given:
        path, colon, column = one.rpartition(":")
        if colon and Path(path).is_file():
            found = _columns(Path(path), column, seed)
        else:
            try:
                found = candidates([one], work, limit_bytes, seed)
            except BadReference as error:
                raise BadInput(str(error).replace("--reference", "--text")) from error
        ids += found.ids
        texts += found.texts
        domains += found.domains
    made = _in_turn(Candidates(ids, texts, domains))
    if not len(made):
        raise BadInput(f"--text {' '.join(given)}: there is no text of 400 bytes or more in it")
    sizes = np.cumsum([len(text.encode()) for text in made.texts])
    return made.take(range(min(len(made), int(np.searchsorted(sizes, 3 * limit_bytes)) + 1)))


def _columns(path: Path, column: str, seed: int) -> Candidates:
    if path.name.endswith(".parquet"):
        table = read_table(path)
        missing = [name for name in ("text", column) if name not in table.column_names]
        if missing:
            raise BadInput(f"--text {path}: no column {missing[0]}; it has {', '.join(table.column_names)}")
        names = ["text", column, *(["id"] if "id" in table.column_names else [])]
        rows = table.select(list(dict.fromkeys(names))).to_pylist()
    else:
        try:
            rows = [row for _, row in json_rows(path)]
        except BadRow as error:
            raise BadInput(f"--text {path}:{error.line}: {error.said}") from None
    kept = [(i, row) for i, row in enumerate(rows) if isinstance(row.get("text"), str) and row["text"].strip()]
    order = np.random.default_rng(seed).permutation(len(kept)).tolist()
    chosen = [kept[i] for i in order]
    return Candidates(
        [str(row.get("id") if row.get("id") is not None else f"{path.name}#{i}") for i, row in chosen],
        [row["text"] for _, row in chosen],
        ["" if row.get(column) is None else str(row[column]) for _, row in chosen],
    )


def _in_turn(found: Candidates) -> Candidates:
    """One document of each domain after the other, domains by name; within a domain the order stays."""
    places: dict[str, list[int]] = {}
    for i, domain in enumerate(found.domains):
        places.setdefault(domain, []).append(i)
    ranked = [(turn, domain, i) for domain, rows in places.items() for turn, i in enumerate(rows)]
    return found.take([i for _, _, i in sorted(ranked)])


def read_sets(files: Sequence[Path], where: Sequence[str], choices: str | None, limit: int | None) -> list[ItemSet]:
    """One set of each file for each combination of the values that `where` gives its columns ("set=boolq" and
    "set=copa" are two sets, "set=boolq" and "split=dev" are one). A condition counts for the files that have its
    column, of which there must be one. Raises BadInput, BadItems."""
    conditions: dict[str, list[str]] = {}
    for one in where:
        column, equals, value = one.partition("=")
        if not equals or not column:
            raise BadInput(f"--where {one}: say COLUMN=VALUE")
        conditions.setdefault(column, []).append(value)
    known = {path: _column_names(path) for path in files} if conditions else {}
    for column in conditions:
        if not any(column in names for names in known.values()):
            every = sorted(set().union(*known.values()))
            raise BadInput(f"--where {column}=...: no file of --items has that column; there are {', '.join(every)}")
    options = tuple(one.strip() for one in choices.split(",")) if choices else ()
    found: list[ItemSet] = []
    for path in files:
        own = {column: values for column, values in conditions.items() if column in known[path]}
        for values in product(*own.values()):
            chosen: dict[str, Any] = dict(zip(own, values, strict=True))
            name = " ".join([path.name.split(".")[0], *values])
            found.append(ItemSet(name, read_items(path, choices=options, where=chosen, limit=limit)))
    return found


def _column_names(path: Path) -> set[str]:
    """Of a Parquet file, or of the first row of another one."""
    if path.name.endswith(".parquet"):
        import pyarrow.parquet as pq

        return set(pq.read_schema(path).names)
    try:
        return set(next((row for _, row in json_rows(path)), {}))
    except BadRow as error:
        raise BadInput(f"--items {path}:{error.line}: {error.said}") from None
