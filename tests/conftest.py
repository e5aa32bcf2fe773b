"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine may stall any single example: time is never what a test asserts.
settings.register_profile("tamis", deadline=None)
settings.load_profile("tamis")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite runs on every core, at most four; parts of it in one process, which starts at once."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return min(len(os.sched_getaffinity(0)), 4) if whole else 0


def _require(condition: object, reason: str) -> None:
    """Skips a test whose condition does not hold, or fails it where TAMIS_REQUIRE_ALL=1 says that nothing may be
    skipped."""
    if condition:
        return
    if os.environ.get("TAMIS_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}, and TAMIS_REQUIRE_ALL=1 forbids skipping")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def require() -> Callable[[object, str], None]:
    """`require(condition, reason)`, for what a test cannot do without: skips, or fails under TAMIS_REQUIRE_ALL=1."""
    return _require


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real test data, which environment variable TAMIS_DATA names."""
    value = os.environ.get("TAMIS_DATA")
    _require(value, "TAMIS_DATA is not set: it names the folder of real test data")
    path = Path(str(value))
    if not path.is_dir():
        pytest.fail(f"TAMIS_DATA={value} is no folder")
    return path
