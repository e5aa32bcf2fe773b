"""Counts of identifiers; how they are found is tested in tests/clean."""

from __future__ import annotations

from tamis.clean.identifiers import KINDS
from tamis.signals import pii


def test_counts(batch) -> None:
    out = pii.compute(batch(["a@b.org, c@d.org and 82.50.72.202", "", None]), {})
    assert out["emails"].to_pylist() == [2, 0, 0]
    assert out["ips"].to_pylist() == [1, 0, 0]
    assert set(out) == {f"{kind}s" for kind in KINDS}
