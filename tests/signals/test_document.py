from __future__ import annotations

from tamis.clean.edits import from_lists
from tamis.signals import document


def test_known_for_documents_without_text(batch) -> None:
    edits = from_lists(3, [0, 0, 2], [0, 4, 0], [2, 5, 1], "", "boilerplate")
    out = {
        name: values.to_pylist()
        for name, values in document.compute(batch(["añb c", None, "xy"], clean=edits), {}).items()
    }
    assert out["extracted"] == [True, False, True]
    assert out["bytes"] == [6, None, 2]
    assert out["chars"] == [5, None, 2]
    assert out["clean_edits"] == [2, None, 1]
    assert out["clean_bytes"] == [3, None, 1]


def test_edits_of_a_slice(batch) -> None:
    edits = from_lists(2, [0, 1], [0, 0], [1, 2], "", "x")
    out = document.compute(batch(["ab", "cd"], clean=edits).slice(1, 2), {})
    assert out["clean_bytes"].to_pylist() == [2]
