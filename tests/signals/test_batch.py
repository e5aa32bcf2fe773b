from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tamis.clean.edits import from_lists
from tamis.signals.batch import buffers


def test_text_states_apply_the_edits_of_their_groups(batch) -> None:
    one = batch(
        ["keep cut drop", None],
        clean=from_lists(2, [0], [5], [9], "", "boilerplate"),
        c4=from_lists(2, [0], [9], [13], "", "c4.short"),
    )
    assert one.valid.tolist() == [True, False]
    assert one.extracted.to_pylist() == ["keep cut drop", ""]
    assert one.clean.to_pylist() == ["keep drop", ""]
    assert one.final.to_pylist() == ["keep ", ""]
    assert one.slice(0, 1).final.to_pylist() == ["keep "]


def test_states_with_one_text_share_one_analysis(batch) -> None:
    plain = batch(["a b c"])
    assert plain.analysis("final") is plain.analysis("extracted")
    trimmed = batch(["a b c"], c4=from_lists(1, [0], [0], [2], "", "x"))
    assert trimmed.analysis("clean") is trimmed.analysis("extracted")
    assert trimmed.analysis("final")["stats"]["words"].tolist() == [2]


def test_edits_of_another_shard_are_refused(batch) -> None:
    with pytest.raises(ValueError, match="2 rows of edits"):
        batch(["a"], clean=from_lists(2, [], [], [], "", ""))


def test_buffers_of_slices_and_empty_arrays() -> None:
    text = pa.array(["ab", "", "ćd", "e"], pa.large_string())
    data, offsets = buffers(text.slice(1, 2))
    assert data.tobytes().decode() == "ćd"
    assert offsets.tolist() == [0, 0, 3]
    for empty, rows in ((text.slice(0, 0), 0), (text.slice(1, 1), 1), (pa.array([], pa.large_string()), 0)):
        data, offsets = buffers(empty)
        assert len(data) == 0
        assert offsets.tolist() == [0] * (rows + 1)
        assert offsets.dtype == np.int64
