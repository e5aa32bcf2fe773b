"""The reference sets of truth inference, and small tables that hypothesis makes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.people.labels import Labels, read_truth

Crowd = Callable[[str], tuple[Labels, dict[str, str]]]


@pytest.fixture(scope="session")
def crowd(data_dir: Path) -> Crowd:
    """`crowd(name)`: labels and known answers of bluebird, rte, web, trec, product, temporal, wsd or example."""
    cache: dict[str, tuple[Labels, dict[str, str]]] = {}

    def load(name: str) -> tuple[Labels, dict[str, str]]:
        if name not in cache:
            folder = data_dir / "crowd"
            cache[name] = _matrix(folder / "mace" / name) if name in ("temporal", "wsd", "example", "pos") else (
                Labels.read(folder / name / "label.csv"), read_truth(folder / name / "truth.csv")
            )  # fmt: skip
        return cache[name]

    return load


def _matrix(path: Path) -> tuple[Labels, dict[str, str]]:
    """MACE's form: one line an item, one column a rater; and the answers, one a line."""
    rows = []
    with path.with_suffix(".csv").open() as file:
        for item, row in enumerate(csv.reader(file)):
            rows += [(str(item), f"rater {rater}", label) for rater, label in enumerate(row) if label]
    answers = path.with_suffix(".key").read_text().split("\n")
    return Labels.of(*zip(*rows, strict=True)), {str(item): answer for item, answer in enumerate(answers) if answer}


@pytest.fixture(scope="session")
def anaesthetists(data_dir: Path) -> Labels:
    """45 patients, five anaesthetists, the first of whom saw every patient three times (Dawid and Skene 1979)."""
    with (data_dir / "crowd/dawid-skene-1979/anesthesia_long.csv").open() as file:
        rows = [(row["item"], row["rater"], row["rating"]) for row in csv.DictReader(file)]
    return Labels.of(*zip(*rows, strict=True))
