"""What a model says of the examples: names, which make it one more rater, or probabilities, for CROWDLAB."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tamis.people.labels import COLUMNS, NotLabels, open_table, plain

_EXPECTED = "example (or item, task), and label or one p_CLASS column a class"


@dataclass(frozen=True)
class Predictions:
    """By example: `probabilities` {class: probability} where the file has columns p_CLASS, else `names`."""

    names: dict[str, str] = field(default_factory=dict)
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)

    def as_names(self) -> dict[str, str]:
        """The most probable class of each example; the first by name where two are equal."""
        best = {example: max(sorted(row), key=row.__getitem__) for example, row in self.probabilities.items()}
        return best or self.names


def read_predictions(path: str | Path) -> Predictions:
    """From CSV, JSONL or Parquet with columns example (item, task), and `label`, or `p_CLASS` for every class (what
    `tamis label aggregate --out` writes). Raises NotLabels where a column is missing or an example is there twice."""
    path = Path(path)
    header, batches = open_table(
        path, lambda name: name in COLUMNS["example"] or name == "label" or name.startswith("p_"), _EXPECTED
    )
    example = [name for name in header if plain(name) in COLUMNS["example"]]
    classes = {name: name.strip().lstrip("\ufeff")[2:] for name in header if plain(name).startswith("p_")}
    label = [name for name in header if plain(name) == "label"]
    if len(example) != 1 or not (classes or len(label) == 1):
        raise NotLabels(f"{path} is no table of predictions\n  Found: {', '.join(header)}. Wanted: {_EXPECTED}.")
    found = Predictions()
    for batch in batches:
        names = batch.column(example[0]).cast(pa.large_string()).to_pylist()
        try:
            columns = {name: batch.column(column).cast(pa.float64()).to_pylist() for column, name in classes.items()}
        except pa.ArrowInvalid as error:
            raise NotLabels(f"{path}: probabilities must be numbers: {error}") from None
        answers = [] if classes else batch.column(label[0]).cast(pa.large_string()).to_pylist()
        for row, name in enumerate(names):
            if name in found.names or name in found.probabilities:
                raise NotLabels(f"{path}: example {name} is there twice: keep one prediction an example")
            if classes:
                found.probabilities[name] = {one: values[row] or 0.0 for one, values in columns.items()}
            elif answers[row] not in (None, ""):
                found.names[name] = answers[row].strip()
    return found
