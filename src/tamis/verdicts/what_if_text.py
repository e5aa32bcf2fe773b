"""Prints a `WhatIf` for people."""

from __future__ import annotations

from collections.abc import Callable

from tamis.console import several
from tamis.verdicts.display import amount, columns, printable, value
from tamis.verdicts.what_if import Change, Moved, WhatIf

MOST_ROWS = 12


def render(answer: WhatIf) -> str:
    """The answer as plain lines, the verdict first."""
    lines = []
    for number, change in enumerate(answer.changes):
        lines.append(("what if   " if not number else "          ") + _change(change))
    if not answer.changes:
        lines.append("what if   nothing changes: the rules are those of the corpus")
    lines += _pairs(
        [
            ["kept", f"{answer.kept_before:,} -> {answer.kept_after:,} of {answer.documents:,} documents"],
            ["tokens", f"{amount(answer.tokens_before)} -> {amount(answer.tokens_after)}, {_estimate(answer)}"],
            ["won", f"{several(answer.won, 'document')}, {amount(sum(row.won_tokens for row in answer.moved))} tokens"],
            [
                "lost",
                f"{several(answer.lost, 'document')}, {amount(sum(row.lost_tokens for row in answer.moved))} tokens",
            ],
            ["why", f"{answer.by_rules:,} by their own rules, {answer.by_election:,} by the election of duplicates"],
        ]
    )
    lines += _moved("source", answer.by_source(), lambda row: row.source)
    lines += _moved("language", answer.by_language(), lambda row: row.language)
    if answer.examples:
        lines.append("nearest the line")
        rows = [
            [
                "won" if one.gain else "lost",
                one.id[:12],
                one.rule,
                f"{one.signal} {value(one.value)}",
                printable(one.url or "", 70),
            ]
            for one in answer.examples
        ]
        lines += columns(rows, indent="  ")
    return "\n".join(lines) + "\n"


def _change(change: Change) -> str:
    if change.after is None:
        return f"{change.name} is off" + (f" (was {change.before.where.text})" if change.before else "")
    scope = f", where {change.after.scope.text}" if change.after.scope else ""
    was = f" (was {change.before.where.text})" if change.before else " (new)"
    return f"{change.name}: {change.after.where.text}{scope}{was}"


def _estimate(answer: WhatIf) -> str:
    return f"estimated at {answer.bytes_per_token:.2f} bytes a token"


def _pairs(rows: list[list[str]]) -> list[str]:
    return [f"{name:<10}{text}" for name, text in rows]


def _moved(title: str, rows: list[Moved], name: Callable[[Moved], str]) -> list[str]:
    if not rows:
        return []
    cells = [[title, "won", "tokens", "lost", "tokens"]]
    for row in rows[:MOST_ROWS]:
        cells.append(
            [printable(name(row), 30), f"{row.won:,}", amount(row.won_tokens), f"{row.lost:,}", amount(row.lost_tokens)]
        )
    found = columns(cells, (False, True, True, True, True))
    if len(rows) > MOST_ROWS:
        found.append(f"  and {len(rows) - MOST_ROWS} more")
    return found
