"""Expressions of rules: one boolean SQL expression over signals, checked without data.

The text is parsed by DuckDB's own parser, and the tree may hold only what is listed here: columns, constants,
comparisons, `and`, `or`, `not`, `in`, `between`, `is null`, `case`, casts, and a short list of functions that depend
on nothing but their arguments. Everything else (subqueries, windows, aggregates, files, settings, parameters) is
refused by not being listed. The canonical form names each column by its quoted flat name, `"text.words"`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tamis.verdicts.sql import Parser, SqlError, quote

Value = bool | int | float | str

# fmt: off
FUNCTIONS = frozenset((
    "!~~", "!~~*", "%", "*", "**", "+", "-", "/", "//", "^", "abs", "ceil", "ceiling", "concat", "contains",
    "ends_with", "exp", "floor", "greatest", "ifnull", "ilike_escape", "isfinite", "isnan", "least", "len",
    "length", "like_escape", "ln", "log", "log10", "log2", "lower", "ltrim", "not_ilike_escape",
    "not_like_escape", "nullif", "pow", "power", "prefix", "regexp_full_match", "regexp_matches", "replace",
    "round", "rtrim", "sign", "sqrt", "starts_with", "strlen", "strpos", "substr", "substring", "suffix",
    "trim", "trunc", "upper", "||", "~~", "~~*", "~~~",
))
# fmt: on
_PLAIN = {"COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN", "CASE", "CAST", "CONSTANT", "COLUMN_REF", "TYPE"}
_COMPARE = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_MIRROR = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


# Groups that exist only where a recipe has this key.
ASKED_FOR = {
    "eval": "decontaminate",
    "harm": "signals.words or signals.harm",
    "importance": "signals.importance",
    "labels": "signals.labels",
    "perplexity": "signals.perplexity",
    "quality": "signals.quality",
}


class ExpressionError(ValueError):
    """An expression cannot be a rule. `.signal` is the unknown signal, where that is the reason."""

    def __init__(self, message: str, signal: str | None = None) -> None:
        super().__init__(message)
        self.signal = signal


@dataclass(frozen=True)
class Limit:
    """`column operator constant`, for example `text.words >= 50`. Operators: = <> < <= > >=."""

    column: str
    operator: str
    constant: Value

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {constant(self.constant)}"

    def holds(self, value: Value | None) -> bool | None:
        """Whether a value is within the limit; None where it was not measured."""
        if value is None:
            return None
        left: Any = value
        right: Any = self.constant
        return bool(
            {
                "=": lambda: left == right,
                "<>": lambda: left != right,
                "<": lambda: left < right,
                "<=": lambda: left <= right,
                ">": lambda: left > right,
                ">=": lambda: left >= right,
            }[self.operator]()
        )


@dataclass(frozen=True)
class Expression:
    """A checked expression. `query` is its canonical SQL; `columns` the signals it reads, in order of appearance;
    `limits` its thresholds where the whole of it is a conjunction of `column operator constant`, else empty."""

    text: str
    query: str
    columns: tuple[str, ...]
    limits: tuple[Limit, ...]


def parse(text: str, signals: Mapping[str, pa.DataType], parser: Parser) -> Expression:
    """Checks `text` against the types of all known signals (by `GROUP.column`).

    Raises ExpressionError: not one expression, something that is not allowed, an unknown signal, not boolean.
    """
    if not text.strip():
        raise ExpressionError("the expression is empty")
    try:
        tree = parser.parse(text)
    except SqlError as error:
        raise ExpressionError(f"this is no SQL expression: {error}") from error
    node = _single(tree)
    columns: list[str] = []
    for part in _walk(node):
        _allow(part)
        if part["class"] == "COLUMN_REF":
            name = ".".join(part["column_names"])
            if name not in signals:
                raise ExpressionError(unknown_signal(name, signals), signal=name)
            part["column_names"] = [name]
            if name not in columns:
                columns.append(name)
    query = parser.unparse(tree)
    try:
        kind = parser.type_of(query, {name: signals[name] for name in columns})
    except SqlError as error:
        raise ExpressionError(f"the types do not fit: {error}") from error
    if kind != "BOOLEAN":
        raise ExpressionError(f"it gives {kind.lower()}, not true or false; compare it with something")
    return Expression(text.strip(), query, tuple(columns), tuple(_limits(node) or ()))


def unknown_signal(name: str, signals: Mapping[str, pa.DataType]) -> str:
    """What to say of a signal that does not exist: the near name, and what its group has."""
    near = difflib.get_close_matches(name, list(signals), n=1, cutoff=0.6)
    group = name.split(".", 1)[0]
    groups = sorted({known.split(".", 1)[0] for known in signals})
    if group not in groups and group in ASKED_FOR:
        return (
            f"unknown signal: {name}\n  Signals `{group}` are made where the recipe asks for them, with "
            f"`{ASKED_FOR[group]}` (docs/recipe.md)."
        )
    if group not in groups:
        # `words` alone: the column's name without its group is the most frequent slip.
        near = [known for known in signals if known.split(".", 1)[-1] == name] or near
    message = f"unknown signal: {name}"
    if near:
        message += f"        did you mean {near[0]}?"
        group = group if group in groups else near[0].split(".", 1)[0]
    if group in groups:
        members = ", ".join(known.split(".", 1)[1] for known in signals if known.startswith(group + "."))
        verb = "tamis rules --signals --work W" if group in ASKED_FOR else "tamis rules --signals"
        return message + f"\n  Group `{group}` has {members} (`{verb}` lists all, with units)."
    return message + f"\n  There are the groups {', '.join(groups)} (`tamis rules --signals` lists all, with units)."


def constant(value: Value) -> str:
    """A value as an SQL literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def column(name: str) -> str:
    """A signal's name as it stands in canonical SQL."""
    return quote(name)


def _single(tree: dict[str, Any]) -> dict[str, Any]:
    """The only expression of a tree that is nothing but `SELECT expression`."""
    statements = tree["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {}
    bare = (
        node.get("type") == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["from_table"]["type"] == "EMPTY"
        and not node["where_clause"]
        and not node["modifiers"]
        and not node["group_expressions"]
        and not node["having"]
        and not node["qualify"]
        and not node["sample"]
        and not node["cte_map"]["map"]
    )
    if not bare:
        raise ExpressionError("a rule is one expression over signals, not a query")
    found: dict[str, Any] = node["select_list"][0]
    return found


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    """All expressions of a tree, depth first, in the order of the text."""
    if isinstance(node, dict):
        if "class" in node:
            yield node
        for value in node.values():
            yield from _walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value)


def _allow(part: dict[str, Any]) -> None:
    kind = part["class"]
    if kind == "FUNCTION":
        name = part["function_name"].lower()
        extra = part.get("filter") or part.get("distinct") or part["order_bys"]["orders"] or part.get("schema")
        if name not in FUNCTIONS or extra:
            raise ExpressionError(f"the function {name} is not allowed in a rule")
    elif kind not in _PLAIN:
        word = {"SUBQUERY": "a subquery", "WINDOW": "a window function", "STAR": "`*`", "PARAMETER": "a parameter"}
        raise ExpressionError(f"{word.get(kind, kind.lower())} is not allowed in a rule")


def _limits(node: dict[str, Any]) -> list[Limit] | None:
    """The thresholds of a conjunction; None where any part of it is something else."""
    if node["class"] == "CONJUNCTION" and node["type"] == "CONJUNCTION_AND":
        parts = [_limits(child) for child in node["children"]]
        return None if any(part is None for part in parts) else [limit for part in parts if part for limit in part]
    if node["class"] == "BETWEEN":
        return _limit(">=", node["input"], node["lower"], node["upper"])
    if node["class"] == "COMPARISON" and node["type"] in _COMPARE:
        operator = _COMPARE[node["type"]]
        return _limit(operator, node["left"], node["right"]) or _limit(_MIRROR[operator], node["right"], node["left"])
    if node["class"] == "COLUMN_REF":
        return [Limit(node["column_names"][0], "=", True)]
    if node["class"] == "OPERATOR" and node["type"] == "OPERATOR_NOT":
        child = node["children"][0]
        return [Limit(child["column_names"][0], "=", False)] if child["class"] == "COLUMN_REF" else None
    return None


def _limit(operator: str, left: dict[str, Any], *right: dict[str, Any]) -> list[Limit] | None:
    if left["class"] != "COLUMN_REF":
        return None
    operators = (operator, "<=")
    found = []
    for sign, node in zip(operators, right, strict=False):
        value = _constant(node)
        if value is None:
            return None
        found.append(Limit(left["column_names"][0], sign, value))
    return found


def _constant(node: dict[str, Any]) -> Value | None:
    if node["class"] == "FUNCTION" and node["function_name"] == "-" and len(node["arguments"]) == 1:
        value = _constant(node["arguments"][0]["expression"])
        return -value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if node["class"] != "CONSTANT":
        return None
    kind, text = node["literal"]["kind"], node["literal"]["text"]
    if kind == "INTEGER":
        return int(text)
    if kind == "NUMERIC":
        return float(text)
    if kind == "BOOLEAN":
        return bool(text == "true")
    return str(text) if kind == "STRING" else None
