"""Personal data: precision and recall of every kind of span on labelled sentences, false alarms on real text.

    TAMIS_DATA=... python benchmarks/pii.py [--names MODEL] [--json]

The sentences are `pii/synth_dataset_v2.json` (made by templates, so real text is harder). A span counts as found where
a span of the same kind overlaps it, a found span as right where it overlaps a labelled one of its kind. Intervals are
Wilson's at 95 %. Real text has no labels: spans per million characters are printed with the first of each kind, to be
looked at.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.clean import pii
from tamis.clean.identifiers import KINDS, Span

LABELS = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "IBAN_CODE": "iban",
    "CREDIT_CARD": "card",
    "US_SSN": "id",
    "PERSON": "name",
}


def wilson(right: int, all_: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not all_:
        return 0.0, 1.0
    z, share = 1.96, right / all_
    middle = share + z * z / (2 * all_)
    spread = z * math.sqrt(share * (1 - share) / all_ + z * z / (4 * all_ * all_))
    return (middle - spread) / (1 + z * z / all_), (middle + spread) / (1 + z * z / all_)


def labelled(rows: list[dict[str, Any]]) -> list[list[Span]]:
    """The labelled spans of each sentence in bytes."""
    found = []
    for row in rows:
        text = row["full_text"]
        found.append(
            [
                Span(
                    len(text[: one["start_position"]].encode()),
                    len(text[: one["end_position"]].encode()),
                    LABELS[one["entity_type"]],
                )
                for one in row["spans"]
                if one["entity_type"] in LABELS
            ]
        )
    return found


def score(rows: list[dict[str, Any]], model: str | None) -> list[dict[str, Any]]:
    texts = [row["full_text"] for row in rows]
    truth = labelled(rows)
    found: list[list[Span]] = [[] for _ in rows]
    for row, span in pii.spans(pa.array(texts, pa.large_string())):
        found[row].append(span)
    kinds = list(KINDS)
    if model:
        kinds.append("name")
        finder = pii._name_finder(model)
        for row, text in enumerate(texts):
            found[row] += finder(text)
    table = []
    for kind in kinds:
        wanted = [(row, span) for row, spans in enumerate(truth) for span in spans if span.kind == kind]
        given = [(row, span) for row, spans in enumerate(found) for span in spans if span.kind == kind]
        hit = sum(any(_meet(span, other) for other in found[row] if other.kind == kind) for row, span in wanted)
        right = sum(any(_meet(span, other) for other in truth[row] if other.kind == kind) for row, span in given)
        table.append(
            {
                "kind": kind,
                "labelled": len(wanted),
                "found": len(given),
                "recall": hit / len(wanted) if wanted else None,
                "recall_95": wilson(hit, len(wanted)),
                "precision": right / len(given) if given else None,
                "precision_95": wilson(right, len(given)),
            }
        )
    return table


def _meet(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def real(data: Path) -> dict[str, Any]:
    """Spans per million characters of real prose, and the first of every kind."""
    texts = pq.read_table(data / "text/english.parquet", columns=["text"])["text"].to_pylist()
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for row, span in pii.spans(pa.array(texts, pa.large_string())):
        counts[span.kind] += 1
        if len(examples[span.kind]) < 5:
            body = texts[row].encode()
            examples[span.kind].append(body[max(0, span.start - 20) : span.end + 10].decode("utf-8", "ignore"))
    size = sum(map(len, texts)) / 1e6
    per_million = {kind: round(counts[kind] / size, 2) for kind in KINDS}
    return {"characters": int(size * 1e6), "per_million": per_million, "examples": dict(examples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", help="a spaCy model that finds names")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    data = Path(os.environ["TAMIS_DATA"])
    rows = json.loads((data / "pii/synth_dataset_v2.json").read_text(encoding="utf-8"))
    body = {"sentences": len(rows), "kinds": score(rows, given.names), "real": real(data)}
    if given.json:
        print(json.dumps(body, indent=1, ensure_ascii=False))
        return
    print("| kind | labelled | found | recall | precision |\n| --- | --- | --- | --- | --- |")
    for row in body["kinds"]:
        cells = [
            f"{row[name]:.3f} ({row[name + '_95'][0]:.3f} to {row[name + '_95'][1]:.3f})"
            if row[name] is not None
            else "none to judge"
            for name in ("recall", "precision")
        ]
        print(f"| {row['kind']} | {row['labelled']} | {row['found']} | {cells[0]} | {cells[1]} |")
    print(
        f"\n{body['real']['characters']:,} characters of real prose, spans per million: {body['real']['per_million']}"
    )
    for kind, examples in body["real"]["examples"].items():
        print(f"  {kind}: " + " | ".join(repr(example) for example in examples))


if __name__ == "__main__":
    main()
