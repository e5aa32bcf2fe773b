"""The evidence of a training row: the annotations and the aggregated label that it stands on, as one JSON text.

One text, because loaders of JSONL and Parquet give every column one type, and values, fields and notes have many. Texts
that stand in a column of the row already are not written twice: the evidence names the column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tamis.errors import WrongUse
from tamis.people.exchange.annotations import Aggregated, Annotation, BadAnnotation

COLUMN = "evidence"
_SHORT = 64  # characters from which a text is worth a reference


class BadExchange(ValueError, WrongUse):
    """A file of labels that cannot be written or read; the message says where and what to do."""


def pack(row: Mapping[str, Any], annotations: Sequence[Annotation], aggregated: Iterable[Aggregated] = ()) -> str:
    """Evidence for a row whose columns `row` are known. Raises BadExchange for what is no JSON."""
    columns = {value: name for name, value in sorted(row.items()) if isinstance(value, str) and len(value) >= _SHORT}
    bodies = [annotation.to_json() for annotation in annotations]
    shared: dict[str, Any] = {}
    if bodies and all(body.get("fields") == bodies[0].get("fields") for body in bodies):
        shared = dict(bodies[0].get("fields") or {})
        for body in bodies:
            body.pop("fields", None)
    out: dict[str, Any] = {"annotations": bodies}
    refs = {name: columns[text] for name, text in shared.items() if isinstance(text, str) and text in columns}
    if rest := {name: value for name, value in shared.items() if name not in refs}:
        out["fields"] = rest
    if refs:
        out["columns"] = refs
    if said := [one.to_json() for one in aggregated]:
        out["aggregated"] = said
    return dump(out)


def unpack(row: Mapping[str, Any], where: str) -> tuple[list[Annotation], list[Aggregated]]:
    """The inverse of `pack`. Raises BadExchange naming the place."""
    text = row.get(COLUMN)
    if text in (None, ""):
        return [], []
    try:
        body = json.loads(text)
        fields = dict(body.get("fields") or {})
        fields |= {name: row[column] for name, column in (body.get("columns") or {}).items()}
        given = [{"fields": fields, **one} if fields else one for one in body["annotations"]]
        return [Annotation.from_json(one) for one in given], [
            Aggregated.from_json(one) for one in body.get("aggregated", [])
        ]
    except (BadAnnotation, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise BadExchange(f"{where}: the evidence cannot be read: {error}") from None


def dump(body: Any, *, in_order: bool = False) -> str:
    """Compact JSON with sorted keys, or in the order they have. Raises BadExchange for what JSON cannot hold."""
    try:
        text = json.dumps(body, ensure_ascii=False, sort_keys=not in_order, separators=(",", ":"), allow_nan=False)
        text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise BadExchange(f"a label, a field or a note cannot be written as JSON: {error}") from None
    return text
