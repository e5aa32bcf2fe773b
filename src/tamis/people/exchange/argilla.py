"""Argilla's JSON, as its `to_json` writes it: a list of records with `fields`, `responses`, `suggestions`, `metadata`.

Carried by the format itself: id (`example`), fields, responses as question -> values with a `user_id` (`rater`, a UUID:
one made from the rater's name), suggestions with score and agent (aggregated labels). Everything else is under the key
`tamis`, which Argilla does not read: it comes back from our own files, not from its. Argilla writes no time, no seconds
and no skips; its values do not say their kind, so `kinds` may name it, and otherwise it is guessed from all answers.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.people.exchange.annotations import KINDS, Aggregated, Annotation, BadAnnotation
from tamis.people.exchange.evidence import BadExchange, dump

Record = dict[str, Any]
OWN = "tamis"
# Raters' names have no UUIDs of their own: these are made from them, the same every time.
NAMES = uuid.UUID("0d0fbf4e-52c9-5a52-8d2c-7a3151000017")
LONGEST_LABEL = 100


def to_json(annotations: Sequence[Annotation], aggregated: Sequence[Aggregated]) -> list[Record]:
    """Records in the order of examples."""
    by_example: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        by_example[annotation.example].append(annotation)
    said: dict[str, list[Aggregated]] = defaultdict(list)
    for one in aggregated:
        said[one.example].append(one)
    records: list[Record] = []
    for example in sorted(set(by_example) | set(said)):
        rows = by_example[example]
        fields = dict(rows[0].fields) if rows else {}
        responses: dict[str, list[dict[str, Any]]] = defaultdict(list)
        bodies = []
        for row in rows:
            if not row.skipped:
                responses[row.question].append(
                    {"value": _value(row.kind, row.value), "user_id": str(uuid.uuid5(NAMES, row.rater))}
                )
            body = row.to_json()
            if body.get("fields", {}) == fields:
                body.pop("fields", None)
                body["fields_of_record"] = True
            bodies.append(body)
        kinds = {row.question: row.kind for row in rows}
        records.append(
            {
                "id": example,
                "fields": {name: value if isinstance(value, str) else dump(value) for name, value in fields.items()},
                "metadata": {},
                "suggestions": {
                    one.question: {
                        "value": _value(kinds.get(one.question, "choice"), one.label),
                        "score": one.posterior,
                        "agent": one.method or "tamis",
                    }
                    for one in said[example]
                },
                "responses": dict(responses),
                "vectors": {},
                "_server_id": None,
                OWN: {"fields": fields, "annotations": bodies, "aggregated": [one.to_json() for one in said[example]]},
            }
        )
    return records


def from_json(
    records: Sequence[Record], kinds: Mapping[str, str]
) -> tuple[list[Annotation], list[Aggregated], list[str]]:
    """Annotations, aggregated labels, and sentences about what had to be guessed. Raises BadExchange."""
    annotations: list[Annotation] = []
    aggregated: list[Aggregated] = []
    problems: dict[str, None] = {}
    foreign = [record for record in records if OWN not in record]
    guessed = {question: _kind(values) for question, values in _answers(foreign).items() if question not in kinds}
    for question, kind in sorted(guessed.items()):
        problems[f"question {question} is taken for a {kind}: name its kind if that is wrong"] = None
    if wrong := sorted(set(kinds.values()) - set(KINDS)):
        raise BadExchange(f"no kind of question is named {wrong[0]}: choose {', '.join(KINDS)}")
    for number, record in enumerate(records, 1):
        try:
            if OWN in record:
                own = record[OWN]
                for body in own["annotations"]:
                    body = dict(body)
                    if body.pop("fields_of_record", False) and own["fields"]:
                        body["fields"] = own["fields"]
                    annotations.append(Annotation.from_json(body))
                aggregated += [Aggregated.from_json(one) for one in own["aggregated"]]
                continue
            annotations += _read(record, {**guessed, **kinds})
            for question, one in (record.get("suggestions") or {}).items():
                aggregated.append(
                    Aggregated(
                        example=str(record["id"]), label=one["value"], posterior=one.get("score"), question=question,
                        method=str(one.get("agent") or "suggestion"),
                    )
                )  # fmt: skip
        except (BadAnnotation, KeyError, TypeError, AttributeError) as error:
            raise BadExchange(f"record {number}: it cannot be read: {error!r}") from None
    return annotations, aggregated, list(problems)


def _value(kind: str, value: Any) -> Any:
    """An answer as Argilla has it."""
    if kind in ("preference", "ranking") and isinstance(value, list):
        return [name for names in value for name in names]
    if kind == "rewrite" and isinstance(value, Mapping):
        return value["text"]
    return value


def _read(record: Record, kinds: Mapping[str, str]) -> list[Annotation]:
    metadata = {"argilla": record["metadata"]} if record.get("metadata") else {}
    rows = []
    for question, given in (record.get("responses") or {}).items():
        kind = kinds[question]
        for one in given:
            value = one["value"]
            options: tuple[str, ...] = ()
            if kind in ("ranking", "preference"):
                value = [[name] for name in value]
                options = tuple(sorted(name for names in value for name in names))
            if kind == "rewrite":
                value = {"text": value, "diff": []}
            rows.append(
                Annotation(
                    example=str(record["id"]), rater=str(one.get("user_id") or "unknown"), value=value, kind=kind,  # type: ignore[arg-type]
                    question=question, fields=dict(record.get("fields") or {}), options=options, meta=metadata,
                )
            )  # fmt: skip
    return rows


def _answers(records: Sequence[Record]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        for question, given in (record.get("responses") or {}).items():
            found[question] += [one.get("value") for one in given]
    return found


def _kind(values: Sequence[Any]) -> str:
    """What kind of question has such answers."""
    if all(isinstance(value, int | float) for value in values):
        return "rating"
    if all(isinstance(value, list) for value in values):
        if any(isinstance(item, Mapping) for value in values for item in value):
            return "span"
        sets = {tuple(sorted(value)) for value in values}
        return "ranking" if len(sets) == 1 and len(next(iter(sets))) > 1 and len(values) > 1 else "multi"
    texts = [str(value) for value in values]
    short = all(len(text) <= LONGEST_LABEL and "\n" not in text for text in texts)
    return "choice" if short and (len(set(texts)) < len(texts) or len(texts) < 3) else "text"
