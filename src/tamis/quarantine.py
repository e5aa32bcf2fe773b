"""Keeps a document that kills or hangs a worker from failing its shard.

Rows are worked on in batches under a heartbeat that names them. Where a batch killed its worker, or did not end in
time, the engine starts the task again and the batch is taken row by row; the row at fault is then tried once in a
process of its own, and is lost only if it fails there too. So neither a slow machine nor a neighbour that took all the
memory decides content: only what dies or does not end even alone.

Memory: as the function that is guarded; a row that runs alone is held twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from tamis.engine import Context, Died, Hung, patience

# Far more than any document of a real crawl needs; times `engine.patience()`.
ALONE_SECONDS = 300.0

T = TypeVar("T")
P = TypeVar("P")

logger = logging.getLogger(__name__)


class Slices:
    """Positions start..stop of arrays of the same rows: of one array alone, of several as a tuple."""

    def __init__(self, *arrays: Any) -> None:
        self._arrays = arrays

    def __call__(self, start: int, stop: int) -> Any:
        pieces = tuple(array.slice(start, stop - start) for array in self._arrays)
        return pieces if len(pieces) > 1 else pieces[0]


def guarded(
    context: Context,
    rows: Sequence[int],
    cut: Callable[[int, int], P],
    function: Callable[..., T],
    *arguments: Any,
    seconds: float | None = None,
    said: str = "left out",
) -> Iterator[tuple[int, int, T | None]]:
    """(start, stop, `function(cut(start, stop), *arguments)`) for pieces that cover `rows` in order; None where lost.

    `rows`: what the rows are called, their numbers in the shard. `cut(start, stop)`: those positions of the batch.
    `function`: of a module, with a result and arguments that can be pickled; its results must not depend on how rows
    are cut. `said`: what becomes of a lost row, for the warning. Nothing can be charged to a row while the caller works
    on a piece. A lost piece is a single row.
    Raises what `function` raises.
    """
    if not len(rows):
        return
    batch = f"rows {rows[0]}-{rows[-1]}"
    names = [f"row {row}" for row in rows]
    if batch not in context.suspects and context.suspects.isdisjoint(names):
        context.heartbeat(batch)
        made = function(cut(0, len(rows)), *arguments)
        context.heartbeat("")
        yield 0, len(rows), made
        return
    limit = ALONE_SECONDS * patience() if seconds is None else seconds
    for at, name in enumerate(names):
        piece = cut(at, at + 1)
        if name not in context.suspects:
            context.heartbeat(name)
            made = function(piece, *arguments)
            context.heartbeat("")
            yield at, at + 1, made
            continue
        try:
            made = context.alone(function, piece, *arguments, seconds=limit)
        except (Hung, Died) as error:
            how = str(error).removeprefix(f"{function.__name__} ")
            logger.warning("%s, %s: what worked on it alone %s", name, said, how)
            yield at, at + 1, None
        else:
            yield at, at + 1, made
