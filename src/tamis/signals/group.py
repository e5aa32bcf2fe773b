"""What a signal group is: the shape that every file of this room fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from tamis.signals.batch import Batch

State = Literal["extracted", "clean", "final"]
Options = Mapping[str, Any]
Array = npt.NDArray[Any]

INT = pa.int64()
SHARE = pa.float64()  # doubles: 3 / 10 must equal the literal 0.3 of a rule


@dataclass(frozen=True)
class Column:
    """One signal: its name in rules is GROUP.name."""

    name: str
    type: pa.DataType
    unit: str
    description: str
    source: str = ""
    total: bool = False  # whether the sum over a shard is kept in the task's summary


@dataclass(frozen=True)
class SignalGroup:
    """Columns that are measured together and lie in one file per shard.

    `compute` gives one array per column with one row per document of the batch. Rows without text are made null
    by the caller for every group that reads text; a group with `reads="document"` decides that by itself.
    `analyses` names what the group needs of `kernels.analyse` on the state that it reads.
    `after` names groups of the registry whose columns the group reads as `batch.signals[GROUP]`; only for groups that
    a recipe asks for. An `optional` group is measured only where a rule reads it or the recipe names it in
    `signals.groups`.
    `version` is bumped by hand, with the reason in a comment, whenever a value changes.
    """

    name: str
    version: int
    reads: Literal["document", "extracted", "clean", "final"]
    columns: tuple[Column, ...]
    packages: tuple[str, ...]
    compute: Callable[[Batch, Options], dict[str, pa.Array]]
    description: str = ""
    analyses: tuple[str, ...] = ()
    optional: bool = False
    after: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The schema of the group's file."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])


def count(values: Array) -> pa.Array:
    """Counts as int64."""
    return pa.array(np.asarray(values, np.int64))


def share(numerator: Array, denominator: Array, *, most: float | None = None) -> pa.Array:
    """numerator / denominator as float64, null where the denominator is 0 (there is nothing to measure).

    `most` caps a share whose numerator may count a character twice.
    """
    below = np.asarray(denominator, np.float64)
    empty = below == 0
    values = np.asarray(numerator, np.float64) / np.where(empty, 1.0, below)
    if most is not None:
        values = np.minimum(values, most)
    return pa.array(values, mask=empty if empty.any() else None)
