from __future__ import annotations

from pathlib import Path

import pytest

from tamis.people.agreement import KRIPPENDORFF_2011, LEVELS, alpha, ratings_of
from tamis.people.agreement_tables import by_rater, over_time, with_self
from tamis.people.labels import Labels


@pytest.mark.parametrize("level", LEVELS)
def test_raters_add_up_to_alpha(level: str, data_dir: Path) -> None:
    for table in (KRIPPENDORFF_2011, ratings_of(Labels.read(data_dir / "crowd" / "web" / "label.csv"))):
        rows = [row for row in by_rater(table, level, resamples=0) if row.ratings]  # type: ignore[arg-type]
        mean = sum(row.alpha * row.ratings for row in rows) / sum(row.ratings for row in rows)
        assert mean == pytest.approx(alpha(table, level, resamples=0).value)  # type: ignore[arg-type]


def test_the_spammer_stands_first() -> None:
    rows = [(e, r, str(e % 3)) for e in range(60) for r in "abc"] + [(e, "spam", "0") for e in range(60)]
    rows.append((99, "alone", "1"))
    found = by_rater(Labels.of(*zip(*rows, strict=True)))
    assert [row.rater for row in found] == ["spam", "a", "b", "c", "alone"]
    assert found[0].alpha < 0.1
    assert found[0].raw == pytest.approx(1 / 3)
    assert found[0].raw_low <= found[0].raw <= found[0].raw_high
    assert found[-1].alone == 1
    assert found[-1].to_json()["alpha"] is None


def test_agreement_over_time() -> None:
    rows = [(f"e{e}", r, "xy"[(e + (r == "b" and e >= 10)) % 2]) for e in range(20) for r in "ab"]
    when = {f"e{e}": f"2026-03-0{1 + (e >= 10)}T09:00:00Z" for e in range(20)}
    found = over_time(Labels.of(*zip(*rows, strict=True)), when)
    assert [(day, value.value > 0.9) for day, value in found] == [("2026-03-01", True), ("2026-03-02", False)]
    assert over_time(Labels.of(*zip(*rows, strict=True)), when, "week")[0][0] == "2026-W09"
    with pytest.raises(ValueError, match="Invalid isoformat"):
        over_time(Labels.of(*zip(*rows, strict=True)), {"e1": "yesterday"})


def test_who_changes_his_mind() -> None:
    rows = [(e, "ann", v) for e, vs in enumerate(["xx", "xy", "yy", "xx"]) for v in vs] + [(0, "bob", "x")]
    (found,) = with_self(Labels.of(*zip(*rows, strict=True)))
    assert (found.rater, found.examples, found.pairs, found.flips) == ("ann", 4, 4, 0.25)
    assert found.low <= 0.25 <= found.high
    assert found.to_json()["flips"] == 0.25
