"""A table of training runs: parameters N, tokens D, compute C in FLOP and final loss L in nats per token.

Read from CSV or Parquet by the names of its columns. Memory: the table.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tamis.errors import WrongUse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FLOP_PER_PARAMETER_TOKEN = 6  # forward and backward pass, Kaplan et al. 2020, section 2.1


class BadTable(ValueError, WrongUse):
    """The table lacks a column, or a cell is no positive number."""


@dataclass(frozen=True)
class Runs:
    """One row a run (or a point of its curve, where `curve` names the run). Arrays (n,), all positive."""

    params: Floats  # N
    tokens: Floats  # D, counted with repeats
    loss: Floats  # nats per token
    flops: Floats  # as the table says, or 6 N D
    row: Ints  # the row in the file, 1 for the first after the header
    unique: Floats | None = None  # distinct tokens, where the table says
    curve: tuple[str, ...] | None = None  # the run that a row belongs to

    def __len__(self) -> int:
        return len(self.loss)

    def take(self, rows: npt.NDArray[np.bool_] | Ints) -> Runs:
        chosen = np.arange(len(self))[rows]
        return Runs(
            self.params[chosen],
            self.tokens[chosen],
            self.loss[chosen],
            self.flops[chosen],
            self.row[chosen],
            None if self.unique is None else self.unique[chosen],
            None if self.curve is None else tuple(self.curve[at] for at in chosen),
        )

    def without_highest(self, count: int) -> Runs:
        """Without the `count` runs of highest final loss, the order of the others kept. A run goes with its whole
        curve: without its last point alone, an earlier one would pass for its end."""
        if count <= 0:
            return self
        ends = self.finals()
        highest = np.argsort(-ends.loss, kind="stable")[:count]
        if self.curve is None or ends.curve is None:
            keep = np.ones(len(self), dtype=bool)
            keep[highest] = False
        else:
            dropped = {ends.curve[at] for at in highest}
            keep = np.array([name not in dropped for name in self.curve], dtype=bool)
        return self.take(keep)

    def finals(self) -> Runs:
        """The last point of each run: points of one curve are not independent."""
        if self.curve is None:
            return self
        last: dict[str, int] = {}
        for at, name in enumerate(self.curve):
            if name not in last or self.tokens[at] >= self.tokens[last[name]]:
                last[name] = at
        return self.take(np.array(sorted(last.values()), dtype=np.int64))


def make(
    params: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    tokens: npt.ArrayLike | None = None,
    flops: npt.ArrayLike | None = None,
    unique: npt.ArrayLike | None = None,
    curve: Sequence[str] | None = None,
) -> Runs:
    """Runs of arrays (n,). One of tokens and flops may be left out: C = 6 N D. Raises BadTable."""
    if tokens is None and flops is None:
        raise BadTable("tokens or FLOP are needed, to know how long each model was trained")
    many = {"parameters": params, "loss": loss, "tokens": tokens, "FLOP": flops, "unique tokens": unique}
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in many.items() if values is not None}
    size = len(arrays["loss"])
    for name, values in arrays.items():
        if values.shape != (size,):
            raise BadTable(f"{name} has {values.shape} values, the loss {size}")
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise BadTable(
                f"row {first + 1}: {name} is {values[first]:g}; {int(bad.sum())} of {size} rows are no positive number"
            )
    n = arrays["parameters"]
    d = arrays["tokens"] if tokens is not None else arrays["FLOP"] / (FLOP_PER_PARAMETER_TOKEN * n)
    c = arrays["FLOP"] if flops is not None else FLOP_PER_PARAMETER_TOKEN * n * d
    names = None if curve is None else tuple(str(name) for name in curve)
    return Runs(n, d, arrays["loss"], c, np.arange(1, size + 1), arrays.get("unique tokens"), names)


def read(
    path: Path,
    *,
    params: str,
    loss: str,
    flops: str | None = None,
    tokens: str | None = None,
    unique: str | None = None,
    curve: str | None = None,
) -> Runs:
    """Reads the named columns of a CSV or Parquet file. Raises BadTable (what is wrong, which columns there are)."""
    columns = read_columns(path, [name for name in (params, loss, flops, tokens, unique) if name])
    labels = read_columns(path, [curve], numbers=False)[curve] if curve else None
    try:
        return make(
            columns[params],
            columns[loss],
            flops=columns[flops] if flops else None,
            tokens=columns[tokens] if tokens else None,
            unique=columns[unique] if unique else None,
            curve=None if labels is None else [str(name) for name in labels],
        )
    except BadTable as error:
        raise BadTable(f"{path}: {error}") from None


def read_columns(path: Path, names: Sequence[str], *, numbers: bool = True) -> dict[str, npt.NDArray[np.generic]]:
    """Columns by name, as float64 (empty cells NaN) or as objects."""
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    try:
        with path.open("rb") as file:
            table = parquet.read_table(file) if path.suffix == ".parquet" else csv.read_csv(file)
    except pa.ArrowInvalid as error:
        raise BadTable(f"{path}: cannot be read as a table: {error}") from None
    found: dict[str, npt.NDArray[np.generic]] = {}
    for name in names:
        if name not in table.column_names:
            near = difflib.get_close_matches(name, table.column_names, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise BadTable(f"{path} has no column `{name}`{hint} It has: {', '.join(table.column_names)}")
        column = table.column(name)
        if not numbers:
            labels = ["" if value is None else str(value) for value in column.to_pylist()]
            if "" in labels:  # they would all pass for one run
                raise BadTable(f"{path} row {labels.index('') + 1}: `{name}` is empty")
            found[name] = np.array(labels, dtype=object)
            continue
        try:
            found[name] = np.array(
                [np.nan if value is None else float(value) for value in column.to_pylist()], dtype=np.float64
            )
        except (TypeError, ValueError):
            raise BadTable(f"{path}: column `{name}` holds {column.type}, not numbers") from None
    return found
