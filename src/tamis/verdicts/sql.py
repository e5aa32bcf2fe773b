"""The one module that talks to DuckDB.

Tables come from our own verified reader and are laid side by side by position, never joined; results leave as Arrow
or numpy. Connections live in memory, run one thread, cannot reach files or the network, and cannot be reconfigured.

Memory: the columns that are given, DuckDB's own buffers (at most `MEMORY_LIMIT`), and 8 bytes a row of result.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

MEMORY_LIMIT = "512MB"

# Bit 0 of a mask says that the document has no text; rule number i (from 0) has bit i + 1; bit 63 is left for
# verdicts that are no rule. So a rule set holds at most this many rules.
MOST_RULES = 62


class SqlError(ValueError):
    """DuckDB refused an expression; the message is its own, shortened to the first line."""


def connect() -> Any:
    """A DuckDB connection in memory: one thread, a memory limit, no files, no extensions, configuration locked."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": os.path.join(tempfile.gettempdir(), f"tamis-duckdb-{os.getpid()}"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


class Parser:
    """Parses, rewrites and type-checks expressions without data. One connection; close it or use `with`."""

    def __init__(self) -> None:
        self._connection = connect()

    def __enter__(self) -> Parser:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def parse(self, text: str) -> dict[str, Any]:
        """The syntax tree of `SELECT (text)` as DuckDB's parser sees it. Raises SqlError."""
        # The line break ends a comment at the end of the text, which would otherwise swallow the parenthesis.
        query = "SELECT json_serialize_sql(?::VARCHAR)"
        answer = self._connection.execute(query, [f"SELECT ({text}\n)"]).fetchall()[0][0]
        tree: dict[str, Any] = json.loads(answer)
        if tree["error"]:
            raise SqlError(_first_line(tree["error_message"]))
        return tree

    def unparse(self, tree: dict[str, Any]) -> str:
        """The expression of a tree as SQL text, fully parenthesized."""
        query = "SELECT json_deserialize_sql(?::JSON)"
        answer: str = self._connection.execute(query, [json.dumps(tree)]).fetchall()[0][0]
        return answer.removeprefix("SELECT ")

    def type_of(self, expression: str, columns: Mapping[str, pa.DataType]) -> str:
        """DuckDB's type of an expression over columns of these types.

        It is bound and then run over two made-up rows, one of them all null, so that a conversion that would fail
        on data (comparing a string with a number) fails here. Raises SqlError.
        """
        import duckdb

        probe = pa.table({name: pa.array([_probe(kind), None], kind) for name, kind in columns.items()})
        if not columns:
            probe = pa.table({"position": pa.array([0, 1])})
        self._connection.register("probe", probe)
        try:
            answer = self._connection.sql(f"SELECT ({expression}) AS value FROM probe")
            kind = str(answer.types[0])
            answer.fetchall()
        except duckdb.Error as error:
            raise SqlError(_first_line(str(error))) from error
        finally:
            self._connection.unregister("probe")
        return kind


def failed_mask(conditions: Sequence[str], extracted: np.ndarray, columns: Mapping[str, pa.ChunkedArray]) -> np.ndarray:
    """Which rules each document fails: uint64 (N,), bit i + 1 for condition i, bit 0 where no text was extracted.

    `conditions` are SQL expressions over the quoted flat names in `columns`; each is true where the rule *fails*
    (null counts as not failed). `extracted` is bool (N,). A document without text fails nothing but bit 0: none of
    its signals was measured.
    """
    if len(conditions) > MOST_RULES:
        raise ValueError(
            f"{len(conditions)} rules are more than a mask holds ({MOST_RULES}). "
            "Join rules with `and`, or set some to `off`."
        )
    rows = len(extracted)
    mask = np.zeros(rows, np.uint64)
    if conditions and rows:
        table = pa.table({**columns, "position": pa.array(np.arange(rows, dtype=np.int64))})
        bits = " | ".join(
            f"(CASE WHEN {condition} THEN {1 << (number + 1)}::UBIGINT ELSE 0::UBIGINT END)"
            for number, condition in enumerate(conditions)
        )
        connection = connect()
        try:
            connection.register("signals", table)
            answer = connection.sql(f"SELECT {bits} AS failed FROM signals ORDER BY position").to_arrow_table()
        finally:
            connection.close()
        mask = answer.column("failed").to_numpy().astype(np.uint64)
    return np.where(extracted, mask, np.uint64(1))


def values(expressions: Mapping[str, str], columns: Mapping[str, pa.ChunkedArray]) -> list[dict[str, Any]]:
    """Each named expression for each row, in row order; for a few rows (a receipt), not for shards."""
    rows = len(next(iter(columns.values()))) if columns else 0
    if not rows or not expressions:
        return [{} for _ in range(rows)]
    table = pa.table({**columns, "position": pa.array(np.arange(rows, dtype=np.int64))})
    chosen = ", ".join(f"({text}) AS {quote(name)}" for name, text in expressions.items())
    connection = connect()
    try:
        connection.register("signals", table)
        answer = connection.sql(f"SELECT {chosen} FROM signals ORDER BY position").to_arrow_table()
    finally:
        connection.close()
    found: list[dict[str, Any]] = answer.to_pylist()
    return found


def quote(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _probe(kind: pa.DataType) -> Any:
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_integer(kind):
        return 1
    if pa.types.is_floating(kind):
        return 0.5
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "x"
    return None


def _first_line(message: str) -> str:
    line = message.strip().split("\n", 1)[0]
    for prefix in ("Binder Error: ", "Conversion Error: ", "Parser Error: ", "Catalog Error: "):
        line = line.removeprefix(prefix)
    return line
