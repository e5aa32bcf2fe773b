"""The index of the evaluation items of tests."""

from __future__ import annotations

import pytest

from evaluation_items import rows
from tamis.decontaminate import index, items


@pytest.fixture(scope="session")
def table():
    return items.distinct_items(rows())


@pytest.fixture(scope="session")
def made(table):
    return index.make(table)
