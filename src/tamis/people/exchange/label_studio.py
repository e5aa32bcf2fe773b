"""Label Studio's JSON: a list of tasks with `data`, `annotations` and `predictions`.

Carried by the format itself: id and data (`example`, `fields`); annotation: completed_by (`rater`), lead_time
(`seconds`), created_at (`at`), was_cancelled (`skipped`), ground_truth (an adjudicator's); result: from_name
(`question`), to_name (`of`), type and value (`kind`, `value`). Aggregated labels are predictions with score and
model_version. Everything else is under the key `tamis`, which Label Studio does not read: it comes back from our own
files, not from its. Spans count code points on both sides. Ties, which its Pairwise tag lacks, are choices named `tie`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.people.exchange.annotations import TIE, Aggregated, Annotation, BadAnnotation
from tamis.people.exchange.evidence import BadExchange

Task = dict[str, Any]
OWN = "tamis"


def to_json(annotations: Sequence[Annotation], aggregated: Sequence[Aggregated]) -> list[Task]:
    """Tasks in the order of examples. Users are numbered from 1 in the order of raters' names."""
    users = {name: number for number, name in enumerate(sorted({a.rater for a in annotations}), 1)}
    by_example: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        by_example[annotation.example].append(annotation)
    said: dict[str, list[Aggregated]] = defaultdict(list)
    for one in aggregated:
        said[one.example].append(one)
    tasks: list[Task] = []
    for number, example in enumerate(sorted(set(by_example) | set(said)), 1):
        rows = by_example[example]
        fields = dict(rows[0].fields) if rows else {}
        sheets: dict[tuple[str, int, str], list[Annotation]] = defaultdict(list)
        for annotation in rows:
            sheets[annotation.rater, annotation.repeat, annotation.submission or ""].append(annotation)
        task: Task = {
            "id": number,
            "data": {"id": example, **fields},
            "annotations": [_sheet(sheet, users, fields) for _, sheet in sorted(sheets.items())],
            OWN: {"example": example, "fields": sorted(fields)},
        }
        if said[example]:
            kinds = {a.question: a for a in rows}
            task["predictions"] = [_prediction(one, kinds.get(one.question)) for one in said[example]]
        tasks.append(task)
    return tasks


def from_json(tasks: Sequence[Task], kinds: Mapping[str, str]) -> tuple[list[Annotation], list[Aggregated], list[str]]:
    """Annotations, aggregated labels, and sentences about what has no place here. Raises BadExchange."""
    annotations: list[Annotation] = []
    aggregated: list[Aggregated] = []
    problems: dict[str, None] = {}
    many = _multiple(tasks)
    for number, task in enumerate(tasks, 1):
        where = f"task {number}"
        data = task.get("data")
        if not isinstance(data, dict):
            raise BadExchange(f"{where}: no `data`, so this is no task of Label Studio")
        own = task.get(OWN) or {}
        example = str(own.get("example") or data.get("id") or task.get("id") or number)
        for sheet in task.get("annotations") or task.get("completions") or []:
            try:
                fields = {name: data[name] for name in own.get("fields", data)}
                annotations += _read_sheet(sheet, example, fields, many, kinds, problems)
            except (BadAnnotation, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                raise BadExchange(f"{where}: an annotation cannot be read: {error!r}") from None
        for prediction in task.get("predictions") or []:
            if isinstance(prediction, dict) and OWN in prediction:
                aggregated.append(Aggregated.from_json(prediction[OWN]))
            else:
                problems["predictions of other tools are not read as aggregated labels"] = None
    return annotations, aggregated, list(problems)


def _sheet(rows: Sequence[Annotation], users: Mapping[str, int], fields: Mapping[str, Any]) -> dict[str, Any]:
    first = rows[0]
    bodies = [row.to_json() for row in rows]
    for body in bodies:
        if body.get("fields", {}) == fields:
            body.pop("fields", None)
            body["fields_of_task"] = True
    out = {
        "completed_by": users[first.rater],
        "was_cancelled": all(row.skipped for row in rows),
        "ground_truth": first.role == "adjudicator",
        "result": [result for row in rows if not row.skipped for result in _results(row)],
        OWN: bodies,
    }
    if first.seconds is not None:
        out["lead_time"] = first.seconds
    if first.at is not None:
        out["created_at"] = first.at
    return out


def _prediction(one: Aggregated, like: Annotation | None) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    if like is not None and one.label is not None:
        shape = Annotation(
            example=one.example, rater="-", value=one.label, kind=like.kind, question=one.question,
            options=like.options, of=like.of, fields=like.fields,
        )  # fmt: skip
        results = _results(shape)
    return {"model_version": one.method or "tamis", "score": one.posterior, "result": results, OWN: one.to_json()}


def _results(row: Annotation) -> list[dict[str, Any]]:
    """The regions of one answer."""
    head = {"from_name": row.question, "to_name": row.of or next(iter(row.fields), "text")}
    value = row.value
    if row.kind == "choice":
        return [{**head, "type": "choices", "value": {"choices": [value]}}]
    if row.kind == "multi":
        return [{**head, "type": "choices", "value": {"choices": list(value)}}]
    if row.kind == "rating":
        whole = isinstance(value, int) and value >= 0
        return [{**head, "type": "rating" if whole else "number", "value": {"rating" if whole else "number": value}}]
    if row.kind == "pairwise":
        head["to_name"] = ",".join(row.options)
        if value in row.options[:2]:
            side = "left" if value == row.options[0] else "right"
            return [{**head, "type": "pairwise", "value": {"selected": side}}]
        return [{**head, "type": "choices", "value": {"choices": [value]}}]
    if row.kind in ("preference", "ranking"):
        flat = [name for names in value for name in names]
        return [{**head, "type": "ranker", "value": {"ranker": {"rank": flat}}}]
    if row.kind == "span":
        text = row.fields.get(row.of, "")
        text = text if isinstance(text, str) else ""
        found = []
        for number, span in enumerate(value):
            start, end = span["start"], span["end"]
            region = {"start": start, "end": end, "text": text[start:end], "labels": [span["label"]]}
            found.append({**head, "id": f"{number}", "type": "labels", "value": region})
        return found
    text = value["text"] if row.kind == "rewrite" else value
    return [{**head, "type": "textarea", "value": {"text": [text]}}]


def _read_sheet(
    sheet: Mapping[str, Any],
    example: str,
    data: Mapping[str, Any],
    many: frozenset[str],
    kinds: Mapping[str, str],
    problems: dict[str, None],
) -> list[Annotation]:
    if OWN in sheet:
        rows = []
        for body in sheet[OWN]:
            body = dict(body)
            if body.pop("fields_of_task", False) and data:
                body["fields"] = dict(data)
            rows.append(Annotation.from_json(body))
        return rows
    user = sheet.get("completed_by")
    if isinstance(user, Mapping):  # the full export has the account in it: never its e-mail address or name
        user = user.get("id")
    common: dict[str, Any] = {
        "example": example,
        "rater": f"user-{user}" if user is not None else "unknown",
        "fields": dict(data),
        "seconds": sheet.get("lead_time"),
        "at": sheet.get("created_at"),
        "role": "adjudicator" if sheet.get("ground_truth") else "rater",
    }
    results = sheet.get("result") or []
    if sheet.get("was_cancelled"):
        names = sorted({r.get("from_name", "label") for r in results}) or ["label"]
        return [Annotation(skipped=True, question=name, **common) for name in names]
    by_question: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        if result.get("type") == "relation":
            problems["relations between regions have no place here and are left out"] = None
        else:
            by_question[result["from_name"]].append(result)
    rows = []
    for question, parts in sorted(by_question.items()):
        kind, value, more = _value(parts, question in many or kinds.get(question) == "multi")
        if kind is None:
            problems[f"results of type {parts[0].get('type')} have no place here and are left out"] = None
            continue
        rows.append(Annotation(question=question, kind=kind, value=value, **more, **common))  # type: ignore[arg-type]
    return rows


def _value(parts: Sequence[Mapping[str, Any]], multi: bool) -> tuple[str | None, Any, dict[str, Any]]:
    first = parts[0]
    kind, value, to = first.get("type"), first["value"], str(first.get("to_name", ""))
    if kind == "choices":
        chosen = list(value["choices"])
        if chosen == [TIE] and "," in to:
            return "pairwise", TIE, {"options": tuple(to.split(","))}
        return ("multi", chosen, {}) if multi or len(chosen) != 1 else ("choice", chosen[0], {})
    if kind in ("rating", "number"):
        return "rating", value[kind], {}
    if kind == "pairwise":
        options = tuple(to.split(",")) if "," in to else ("left", "right")
        return "pairwise", options[0 if value["selected"] == "left" else 1], {"options": options}
    if kind == "ranker":
        order = [[name] for name in next(iter(value["ranker"].values()), [])]
        return "ranking", order, {"options": tuple(sorted(name for names in order for name in names))}
    if kind in ("labels", "hypertextlabels"):
        spans = [
            {"start": int(p["value"]["start"]), "end": int(p["value"]["end"]), "label": label}
            for p in parts
            for label in p["value"].get("labels") or p["value"].get("hypertextlabels") or []
        ]
        return "span", sorted(spans, key=lambda s: (s["start"], s["end"], s["label"])), {"of": to}
    if kind == "textarea":
        text = value["text"]
        return "text", text if isinstance(text, str) else "\n".join(text), {}
    return None, None, {}


def _multiple(tasks: Sequence[Task]) -> frozenset[str]:
    """The questions that somebody gave several choices, or none."""
    return frozenset(
        result["from_name"]
        for task in tasks
        for sheet in task.get("annotations") or []
        for result in sheet.get("result") or []
        if result.get("type") == "choices" and len(result["value"]["choices"]) != 1
    )
