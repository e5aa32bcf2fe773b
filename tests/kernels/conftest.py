"""Fixtures of the kernels' tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import ISAS, NATIVE


@pytest.fixture(params=ISAS or [pytest.param("none", marks=pytest.mark.skip("no compiled kernels"))])
def native(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The compiled module with one instruction set after the other forced."""
    assert NATIVE is not None
    NATIVE._force_isa(request.param)
    yield NATIVE
    NATIVE._force_isa(ISAS[0])
