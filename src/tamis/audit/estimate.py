"""People's verdicts on a sample, read back as precision and recall with intervals (`intervals.stratified`)."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.audit.frame import KINDS
from tamis.audit.intervals import Stratum, clopper_pearson, stratified
from tamis.audit.sample import design_path
from tamis.corpora import Corpus
from tamis.errors import WrongUse
from tamis.whole import write_atomic

YES = ("copy", "duplicate", "contaminated", "same", "yes", "true", "1")
NO = ("different", "clean", "distinct", "no", "false", "0")
UNSURE = ("unsure", "unclear", "skip", "?", "")

_EXAMPLE = ("example", "item", "task", "id")
_RATER = ("rater", "worker", "annotator")
_LABEL = ("label", "answer", "response", "verdict")


class BadVerdicts(ValueError, WrongUse):
    """Verdicts that cannot be read back; the message says what is wrong and how to mend it."""


def read_verdicts(path: Path) -> list[tuple[str, str, bool | None]]:
    """(example, rater, true; None where unsure) of every row of a CSV or JSONL file. Raises BadVerdicts."""
    rows = _rows(path)
    if not rows:
        raise BadVerdicts(f"{path} holds no verdicts")
    columns: dict[str, str] = {}
    for wanted in (_EXAMPLE, _RATER, _LABEL):
        found = [name for name in rows[0] if name is not None and name.strip().lower() in wanted]
        if not found and wanted is not _RATER:
            raise BadVerdicts(f"{path} has no column {wanted[0]!r} (it has {', '.join(map(str, rows[0]))})")
        columns[wanted[0]] = found[0] if found else ""
    verdicts = []
    for number, row in enumerate(rows, 1):
        example, rater = row.get(columns["example"]), row.get(columns["rater"])
        label = str(row.get(columns["label"])).strip().lower() if row.get(columns["label"]) is not None else ""
        if label not in (*YES, *NO, *UNSURE):
            raise BadVerdicts(
                f"{path}, row {number}: {label!r} is no verdict; it must be one of "
                f"{', '.join((*YES, *NO, *UNSURE[:-1]))}"
            )
        verdicts.append((str(example), str(rater or "1"), None if label in UNSURE else label in YES))
    return verdicts


def _rows(path: Path) -> list[dict[str, Any]]:
    name = path.name.lower()
    opened = gzip.open if name.endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            if name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
                rows = [json.loads(line) for line in file if line.strip()]
                if not all(isinstance(row, dict) for row in rows):
                    raise BadVerdicts(f"{path}: every line must be a JSON object")
                return rows
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise BadVerdicts(f"{path}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise BadVerdicts(f"{path} cannot be read: {error}") from None


def settled(verdicts: Sequence[tuple[str, str, bool | None]]) -> dict[str, bool]:
    """One verdict per example: of several raters by aggregation (`tamis.people.aggregation`, automatic choice), a tie
    is unsettled and left out. Raises BadVerdicts where one rater contradicts themselves."""
    given: dict[tuple[str, str], bool] = {}
    for example, rater, verdict in verdicts:
        if verdict is None:
            continue
        if given.setdefault((example, rater), verdict) != verdict:
            raise BadVerdicts(f"rater {rater} gave example {example} two verdicts: keep one")
    if len({rater for _, rater in given}) < 2:
        return {example: verdict for (example, _), verdict in sorted(given.items())}
    from tamis.people.aggregation import aggregate
    from tamis.people.labels import Labels

    keys = sorted(given)
    labels = Labels.of([e for e, _ in keys], [r for _, r in keys], ["yes" if given[key] else "no" for key in keys])
    found = aggregate(labels)
    classes = labels.classes
    return {
        example: classes[label] == "yes"
        for example, label, tied in zip(labels.examples, found.label.tolist(), found.tied.tolist(), strict=True)
        if not tied
    }


def estimate(design: Mapping[str, Any], verdicts: Mapping[str, bool]) -> dict[str, Any]:
    """Precision and recall of the decisions of a design (`sample.write`) from one verdict per example.

    Examples without a verdict are taken as missing at random inside their band. Raises BadVerdicts for examples that
    the design has not.
    """
    known = design["examples"]
    strange = sorted(set(verdicts) - set(known))
    if strange:
        raise BadVerdicts(f"{len(strange)} examples are not of this sample, the first is {strange[0]}")
    judged, hits = [0] * len(design["bands"]), [0] * len(design["bands"])
    for example, verdict in verdicts.items():
        judged[known[example]] += 1
        hits[known[example]] += verdict
    rows = []
    strata: dict[bool, list[Stratum]] = {True: [], False: []}
    for band, n, k in zip(design["bands"], judged, hits, strict=True):
        low, high = clopper_pearson(k, n)
        rows.append({**band, "judged": n, "true": k, "low": low, "high": high})
        strata[band["decided"]].append(Stratum(band["total"], n, k))
    precision = stratified(strata[True])
    recall = stratified(strata[True], strata[False]) if strata[False] else None
    return {
        "kind": design["kind"],
        "threshold": design["threshold"],
        "seed": design["seed"],
        "judged": sum(judged),
        "drawn": len(known),
        "level": 0.95,
        "method": "stratified by band; melded Clopper-Pearson intervals, mid-p, finite populations",
        "precision": vars(precision) if strata[True] else None,
        "recall": vars(recall) if recall else None,
        "bands": rows,
    }


def read(corpus: Corpus, path: Path) -> dict[str, Any]:
    """Reads verdicts back, finds the sample that they are of, estimates, and notes the result in the corpus's
    `audit.json` (kind -> result). Raises BadVerdicts."""
    verdicts = read_verdicts(path)
    designs = {}
    for kind in KINDS:
        place = design_path(corpus, kind)
        if place.exists():
            designs[kind] = json.loads(place.read_text(encoding="utf-8"))
    if not designs:
        raise BadVerdicts(f"no sample was drawn from corpus {corpus.corpus}: begin with `tamis audit dedup`")
    examples = {example for example, _, _ in verdicts}
    design = max(designs.values(), key=lambda one: len(examples & set(one["examples"])))
    if design["digest"] != corpus.verdicts_digest:
        raise BadVerdicts(
            f"corpus {corpus.corpus} was decided anew after this sample was drawn: its figures would be of another "
            "corpus. Draw a new sample, or run the recipe as it was."
        )
    result = estimate(design, settled(verdicts))
    result["raters"] = len({rater for _, rater, _ in verdicts})
    result["unsettled"] = len(examples) - result["judged"]
    target = corpus.work.file(f"{corpus.home}/audit.json")
    body = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    body[design["kind"]] = {**result, "digest": design["digest"]}
    write_atomic(target, json.dumps(body, indent=1, sort_keys=True) + "\n")
    return result
