"""Fixtures for all tests: real data is found by the environment variable TAMIS_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data. Skips the test where TAMIS_DATA is not set."""
    folder = os.environ.get("TAMIS_DATA")
    if not folder:
        pytest.skip("TAMIS_DATA is not set: this test needs the real data")
    return Path(folder)
