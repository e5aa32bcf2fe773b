"""What the answer of `tamis quality resample` says to people."""

from __future__ import annotations

from tamis.quality import resampling


def test_a_selection_that_is_no_nearer_to_the_target_is_warned_of() -> None:
    found = {"rule": "importance.wiki_key >= 1.0", "keeps": 10, "measured": 20, "documents": 20}
    worse = {"before": 1.0, "after": 1.0156, "reduction": -0.0156}
    assert "warning" in "\n".join(resampling.lines({**found, "divergence": worse}))
    better = {"before": 1.0, "after": 0.9, "reduction": 0.1}
    assert "warning" not in "\n".join(resampling.lines({**found, "divergence": better}))
