"""`tamis prove --rules NAME`: what each rule of a recipe is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer


def judge(
    name: str, work: Path, tokens: int | None, size: str, seeds: int, references: Sequence[str], only: Sequence[str],
    processes: int, out: Path | None,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """The ledger as JSON and as text for people; what the design can see is said on standard error before."""
    from tamis.proof import ledger, ledger_report

    found = ledger.run(
        work, name, seeds=seeds, tokens=tokens or ledger.TOKENS, size=size, references=references, only=only,
        processes=processes, out=out, say=lambda line: typer.echo(line, err=True),
    )  # fmt: skip
    return found.to_json(), ledger_report.render(found)
