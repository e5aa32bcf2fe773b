"""An evaluation for people: a table on the terminal, and a Markdown page with pictures. Every line of a table states
value, interval, unit, which way is better, and on how many cases.

Names come from files and models of strangers: they are shown and never obeyed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tamis.corpus.inert import markdown, visible
from tamis.proof.evaluation import COST, Evaluation, Row
from tamis.proof.metric import Metric

_HEAD = ("metric", "model", "value", "95% interval", "unit", "better", "n")


def render(found: Evaluation) -> str:
    """The tables as text."""
    lines = [_models(found)]
    if found.proof is not None:
        lines.append(str(found.proof))
    lines += [f"  {_line(one)}" for one in found.trained]
    for group, rows in _groups(found).items():
        lines.append("")
        lines += _aligned([(f"{_line(group)}:",) + ("",) * 6, _HEAD, *(_cells(row) for row in rows)])
        lines += [f"  note  {_line(note)}" for note in _notes(rows)]
    if found.tests:
        lines += ["", "shares:", *(f"  {_line(group)}, {_line(name)}: {test}" for group, name, test in found.tests)]
    return "\n".join([*lines, "", *(f"note      {_line(one)}" for one in found.notes)])


def write(found: Evaluation, out: Path) -> list[Path]:
    """evaluation.json, cost.json, report.md, losses-MODEL.parquet and pictures in `out`. The same evaluation gives the
    same bytes, cost.json and the report's part on cost aside."""
    from tamis.documents import write_table
    from tamis.proof import evaluation_plots
    from tamis.proof.calibration_plot import reliability_diagram

    out.mkdir(parents=True, exist_ok=True)
    made = [_json(out / "evaluation.json", found.to_json())]
    if cost := found.cost_json():
        made.append(_json(out / "cost.json", cost))
    for name, losses in found.losses.items():
        path = out / f"losses-{_file(name)}.parquet"
        table = losses.table()
        write_table(path, table, table.schema)
        made.append(path)
    pictures: list[tuple[str, Path]] = []
    if found.losses:
        pictures.append(("Bits per byte, with 95% intervals over documents", out / "bits-per-byte.png"))
        evaluation_plots.bits_per_byte(found.losses, pictures[-1][1])
    for (name, group), one in found.calibrations.items():
        path = out / f"reliability-{_file(name, group)}.png"
        reliability_diagram(one, path, visible(f"{name}: {group}"))
        pictures.append((f"Reliability of {name}, {group}", path))
    report = out / "report.md"
    report.write_text(page(found, pictures), encoding="utf-8")
    return [*made, *(path for _, path in pictures), report]


def page(found: Evaluation, pictures: Sequence[tuple[str, Path]] = ()) -> str:
    """The report, Markdown without HTML."""
    parts = ["# Evaluation", "", *(f"- {markdown(line)}" for line in _models(found).splitlines())]
    if found.text:
        text = found.text
        domains = ", ".join(text["domains"])
        parts += ["", f"Text: {text['documents']:,} documents, {text['bytes']:,} bytes; {markdown(domains)}."]
    if found.proof is not None:
        parts += [
            "",
            "## Proof that the text is not in what was given as training text",
            "",
            *(f"    {visible(one)}" for one in str(found.proof).splitlines()),
        ]
    if found.trained:
        parts += ["", "The training text:", "", *(f"- {markdown(one)}" for one in found.trained)]
    for group, rows in _groups(found).items():
        parts += ["", f"## {markdown(group)}", "", _markdown_row(_HEAD), _markdown_row(["---"] * len(_HEAD))]
        parts += [_markdown_row([markdown(cell) for cell in _cells(row)]) for row in rows]
        notes = _notes(rows)
        parts += ["", *(f"- {markdown(note)}" for note in notes)] if notes else []
    if found.tests:
        parts += [
            "",
            "## Tests of shares",
            "",
            *(f"- {markdown(f'{g}, {name}: {one}')}" for g, name, one in found.tests),
        ]
    if found.notes:
        parts += ["", "## Notes", "", *(f"- {markdown(one)}" for one in found.notes)]
    for title, path in pictures:
        parts += ["", f"![{markdown(title)}]({path.name})"]
    return "\n".join(parts) + "\n"


def _models(found: Evaluation) -> str:
    lines = []
    for one in found.models:
        trained = f", trained on {one['trained_tokens']:,} tokens" if one["trained_tokens"] else ""
        read = f"context {one['context']:,}, {_line(one['tokenizer'])}"
        lines.append(f"{_line(one['name'])}: {_line(one['kind'])}{trained}, {read}")
    return "\n".join(lines)


def _groups(found: Evaluation) -> dict[str, list[Row]]:
    """Rows by group, cost last; within a group the models' rows of one metric together."""
    groups: dict[str, list[Row]] = {}
    for row in found.rows:
        groups.setdefault(row.group, []).append(row)
    if COST in groups:
        groups[COST] = groups.pop(COST)
    for name, rows in groups.items():
        order = {metric: i for i, metric in enumerate(dict.fromkeys(row.metric.name for row in rows))}
        groups[name] = sorted(rows, key=lambda row: order[row.metric.name])
    return groups


def _notes(rows: Sequence[Row]) -> list[str]:
    """What metrics have to say, those that say the same together; of one model only where the others say otherwise."""
    said: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row.metric.note:
            said.setdefault(row.metric.note, {}).setdefault(row.metric.name, []).append(row.model)
    every = {name: sum(row.metric.name == name for row in rows) for name in (row.metric.name for row in rows)}
    lines = []
    for note, metrics in said.items():
        told = [
            name if len(models) == every[name] else f"{name} ({', '.join(models)})" for name, models in metrics.items()
        ]
        lines.append(f"{', '.join(told)}: {note}")
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    one = row.metric
    counted = one.n == 1 and one.low == one.value == one.high
    known = math.isfinite(one.low) and math.isfinite(one.high)
    interval = "counted" if counted else f"[{_number(one, one.low)}, {_number(one, one.high)}]" if known else "none"
    better = "" if one.direction == "neither" else one.direction
    return (
        _line(one.name), _line(row.model), _number(one, one.value), interval, one.unit, better, f"{one.n:,} {one.of}",
    )  # fmt: skip


def _number(metric: Metric, value: float) -> str:
    """As many digits as the larger end of the interval needs; thousands with commas."""
    size = (
        max(abs(x) for x in (metric.value, metric.low, metric.high) if math.isfinite(x)) if math.isfinite(value) else 0
    )
    if size >= 1e12:
        return f"{value:.3e}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}" if size >= 10 else f"{value:.4f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side; the first row is a title of its own."""
    body = rows[1:]
    wide = [max(len(row[i]) for row in body) for i in range(len(body[0]))]
    right = (2, 3)
    lines = [rows[0][0]]
    for row in body:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, wide, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _line(text: object) -> str:
    return " ".join(visible(str(text)).split())


def _file(*names: str) -> str:
    """Names of strangers as part of a file's name, other names another one: with a hash where it is not the name."""
    joined = "-".join(names)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", joined).strip("-.")[:60] or "unnamed"
    if len(names) == 1 and plain == joined:
        return plain
    data = "\0".join(names).encode("utf-8", "surrogatepass")
    return f"{plain}-{hashlib.blake2b(data, digest_size=4).hexdigest()}"


def _json(path: Path, body: Any) -> Path:
    path.write_text(json.dumps(finite(body), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def finite(body: Any) -> Any:
    """What is no number is null in JSON."""
    if isinstance(body, dict):
        return {name: finite(value) for name, value in body.items()}
    if isinstance(body, list | tuple):
        return [finite(value) for value in body]
    return None if isinstance(body, float) and not math.isfinite(body) else body
