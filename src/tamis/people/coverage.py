"""How a file of labels lies over a corpus, before a recipe decides on it: which documents it covers, by verdict."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tamis.corpora import Corpus
from tamis.documents import read_table
from tamis.errors import SaidNo, WrongUse
from tamis.people.sampling import KEPT
from tamis.signals.labels import load
from tamis.stage import hash_file

COLUMN_NAME = r"[a-z][a-z0-9_]{0,39}"  # as recipes have it


class NoneHere(ValueError, SaidNo):
    """No label is about a document of the corpus."""


class BadName(ValueError, WrongUse):
    """A name that a recipe would refuse."""


@dataclass(frozen=True)
class Coverage:
    """labels: in the file; found: about documents of the corpus; by_label: label -> verdict (`kept` or the reason) ->
    documents."""

    path: Path
    name: str
    example: str
    label: str
    labels: int
    found: int
    documents: int
    by_label: dict[str, dict[str, int]]
    columns: list[str]

    def to_json(self) -> dict[str, Any]:
        """JSON."""
        return {**asdict(self), "path": str(self.path)}

    def render(self) -> str:
        """For people."""
        lines = [
            f"{self.path}: {self.labels:,} labels, {self.found:,} of them about the {self.documents:,} documents of "
            "the corpus"
        ]
        for label, verdicts in sorted(self.by_label.items()):
            told = ", ".join(f"{n:,} {why}" for why, n in sorted(verdicts.items(), key=lambda x: (-x[1], x[0])))
            lines.append(f"  {label}: {told}")
        named = "".join(
            f", {key}: {value}" for key, value, usual in
            (("example", self.example, "example"), ("label", self.label, "label")) if value != usual
        )  # fmt: skip
        rule = f"labels.{self.name} <> 'LABEL'" if "text" in self.columns[0] else f"labels.{self.name} >= 3"
        lines += [
            f"columns: {', '.join(column.split()[0] for column in self.columns)}",
            "in the recipe:",
            f"  signals: {{labels: {{{self.name}: {{path: {self.path}{named}}}}}}}",
            f'  rules: {{set: {{{self.name}: "{rule}"}}}}',
        ]
        return "\n".join(lines)


def coverage(corpus: Corpus, path: Path, name: str, example: str = "example", label: str = "label") -> Coverage:
    """Counts every label of the file by the verdict on its document. Raises BadName, NotLabels, NoneHere."""
    import pyarrow as pa

    if not re.fullmatch(COLUMN_NAME, name):
        raise BadName(
            f"{name!r} cannot be a column of a recipe: small letters, digits and _, a letter first, at most 40 in all"
        )
    table = load(str(path), hash_file(path), example, label)
    counts: dict[str, Counter[str]] = {}
    documents = 0
    for shard in range(corpus.shards):
        verdicts = read_table(corpus.verdicts(shard), ["id", "keep", "reason"])
        documents += verdicts.num_rows
        rows = table.rows(verdicts.column("id").combine_chunks())
        for said, there, keep, reason in zip(
            table.label.take(rows).to_pylist(), rows.is_valid().to_pylist(), verdicts.column("keep").to_pylist(),
            verdicts.column("reason").to_pylist(), strict=True,
        ):  # fmt: skip
            if there:
                shown = "(none)" if said is None else f"{said:g}" if isinstance(said, float) else said
                counts.setdefault(shown, Counter())[KEPT if keep else reason or "unknown"] += 1
    found = sum(sum(one.values()) for one in counts.values())
    if not found:
        raise NoneHere(
            f"none of the {len(table.ids):,} examples of {path} is a document of corpus {corpus.corpus}: column "
            f"{example!r} must hold ids as `tamis label sample` writes them"
        )
    kind = "number" if pa.types.is_floating(table.label.type) else "text"
    columns = [f"labels.{name} ({kind})"]
    columns += [f"labels.{name}_{part}" for part in ("posterior", "n") if getattr(table, part) is not None]
    return Coverage(
        path, name, example, label, len(table.ids), found, documents,
        {said: dict(by) for said, by in counts.items()}, columns,
    )  # fmt: skip
