"""Results for people: lines for a terminal, and the page `docs/claims.md` with its pictures.

The page holds no clock and no path of the machine that made it: the same results give the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.console import several
from tamis.proof.claims.claim import Figure, Table, number
from tamis.proof.claims.results import Result
from tamis.whole import write_atomic

HEAD = """# Claims about data and scale, put to the test

What is often said about training data, each as an experiment that runs on two CPU cores with `tamis claim NAME`. This
page is written by `tamis claim --all`. Every verdict follows from intervals by a rule that stands with the claim, and
with it what was changed after a first run was seen. It says what these small models and data showed, no more: *holds*
and *does not hold* speak of the statement in the setting given here; *not shown here* means that this run can say
neither. To add a claim, see
[adding a claim](adding-a-claim.md).
"""


def text(result: Result) -> str:
    """One result on a terminal."""
    one = result.claim
    lines = [f"({one.letter}) {one.name}", f"claim    {one.statement}", f"source   {one.source}"]
    if result.finding is None:
        return "\n".join([*lines, f"verdict  NOT RUN: {result.not_run}"])
    found = result.finding
    lines += [f"rule     {one.rule}", *(f"{k:<8} {v}" for k, v in _settings(found.setting))]
    width = max((len(figure.name) for figure in found.figures), default=0)
    lines += ["", *(f"  {figure.name:<{width}}  {figure}  ({_basis(figure)})" for figure in found.figures), ""]
    lines += [f"picture  {path}" for path in found.pictures]
    again = ", stored" if result.reused else ""
    lines.append(
        f"cost     {number(found.cpu_seconds)} CPU seconds{again}; scale {result.scale}, {several(found.seeds, 'seed')}"
    )
    lines.append(f"verdict  {found.verdict.value.upper()}: {found.because}")
    return "\n".join(lines)


def write(results: Sequence[Result], broken: Mapping[str, str], page: Path) -> Path:
    """Writes the page, and the pictures to images/claims beside it. Pictures of claims that are no more are removed."""
    images = page.parent / "images" / "claims"
    kept = set()
    body = [HEAD, *_verdicts(results, broken)]
    for result in results:
        links = []
        for place, picture in enumerate(result.finding.pictures if result.finding else ()):
            name = f"{result.claim.name}{f'-{place + 1}' if place else ''}.png"
            images.mkdir(parents=True, exist_ok=True)
            _copy(picture, images / name)
            kept.add(name)
            links.append(f"images/claims/{name}")
        body += _section(result, links)
    if images.is_dir():
        for old in images.glob("*.png"):
            if old.name not in kept:
                old.unlink()
    write_atomic(page, "\n".join(body).rstrip() + "\n")
    return page


def _verdicts(results: Sequence[Result], broken: Mapping[str, str]) -> Iterator[str]:
    yield "| | claim | verdict | because | scale, seeds |"
    yield "| --- | --- | --- | --- | --- |"
    for result in results:
        one, found = result.claim, result.finding
        because = found.because if found else result.not_run
        basis = f"{result.scale}, {found.seeds}" if found else result.scale
        link = f"[{one.statement}](#{_anchor(_title(result))})"
        yield f"| {one.letter} | {_cell(link)} | **{result.said}** | {_cell(because)} | {basis} |"
    for name, why in broken.items():
        yield f"| | `{name}.py` | **not run** | {_cell(f'the file cannot be imported: {why}')} | |"
    yield ""


def _section(result: Result, pictures: Sequence[str]) -> Iterator[str]:
    one, found = result.claim, result.finding
    yield f"## {_text(_title(result))}\n"
    yield f"> {_text(one.statement)}\n"
    yield f"Source: {_text(one.source)}\n"
    command = f"tamis claim {one.name} --scale {result.scale.removeprefix('x')}"
    command += f" --seed {result.seed}" if result.seed else ""
    command += f" --data {result.data}" if result.data else ""
    if found is None:
        yield f"**Not run**: {_text(result.not_run).rstrip('.')}.\n"
        yield f"Rule: {_text(one.rule)}\n"
        yield f"`{command}`\n"
        return
    yield f"**{found.verdict.value.capitalize()}**: {_text(found.because).rstrip('.')}.\n"
    for place, picture in enumerate(pictures):
        yield f"![{one.name}, picture {place + 1}]({picture})\n"
    yield f"Rule: {_text(one.rule)}\n"
    yield "| figure | value | 95% interval | unit | basis | |"
    yield "| --- | ---: | --- | --- | --- | --- |"
    for figure in found.figures:
        interval = "" if figure.low is None else f"[{number(figure.low)}, {number(figure.high)}]"
        cells = (figure.name, number(figure.value), interval, figure.unit, _basis(figure), figure.note)
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield ""
    for table in found.tables:
        yield from _table(table)
    yield "Setting:\n"
    yield from (f"- {key}: {_text(value)}" for key, value in _settings(found.setting))
    yield f"\n{_cost(result)} Command: `{command}`\n"


def _table(table: Table) -> Iterator[str]:
    yield f"{_text(table.title)}\n"
    yield f"| {' | '.join(map(_cell, table.columns))} |"
    words = [any(isinstance(row[column], str) for row in table.rows) for column in range(len(table.columns))]
    yield f"| {' | '.join('---' if one else '---:' for one in words)} |"
    for row in table.rows:
        yield f"| {' | '.join(_cell(one if isinstance(one, str) else number(one)) for one in row)} |"
    yield f"\n{_text(table.note)}\n" if table.note else ""


def _cost(result: Result) -> str:
    found = result.finding
    assert found is not None
    made = result.made or {}
    packages = ", ".join(f"{name} {which}" for name, which in (made.get("packages") or {}).items())
    return (
        f"{number(found.cpu_seconds)} CPU seconds on {made.get('machine', 'an unknown machine')}; "
        f"Python {made.get('python', '?')}, {packages}."
    )


def _title(result: Result) -> str:
    return f"({result.claim.letter}) {result.claim.name}"


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _settings(setting: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, value in setting.items():
        listed = ", ".join(map(_value, value)) if isinstance(value, list | tuple) else _value(value)
        yield str(key).replace("_", " "), listed


def _value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return number(value)


def _basis(figure: Figure) -> str:
    return f"n = {figure.n:,}, {several(figure.seeds, 'seed')}" if figure.seeds else f"n = {figure.n:,}"


def _cell(value: str) -> str:
    """Text within a table: one line, no bar that would end the cell."""
    return " ".join(_text(value).split()).replace("|", "\\|")


def _text(value: str) -> str:
    """What claims write about themselves may hold Markdown, never HTML: data could speak through it."""
    return value.replace("<", "&lt;")


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(target.name + ".partial")
    shutil.copyfile(source, part)
    os.replace(part, target)
