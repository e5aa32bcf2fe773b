"""GPT-3's cuts."""

import pyarrow as pa

from evaluation_items import LAW, RIVER, SHORT, TEMPLATE
from tamis.clean.edits import apply_edits
from tamis.decontaminate import search, window
from tamis.documents import EDITS
from tamis.recipe import Window

FILL = "wörter ohne belang " * 40


def spans(made, text, **settings):
    normal = search.normals(made, pa.array([text], pa.large_string()))[0]
    return window.cuts(made, text, normal, Window(**settings))


def test_a_match_goes_with_200_characters_on_each_side(made):
    text = FILL + RIVER + FILL
    ((start, end),) = spans(made, text)
    assert start == len(FILL) - 200
    assert end == len(FILL) + len(RIVER) - 1 + 200  # the question mark is no word


def test_templates_are_no_match_and_short_items_only_with_their_answer(made):
    assert spans(made, FILL + TEMPLATE + FILL) == []
    assert spans(made, FILL + SHORT + FILL) == []
    assert len(spans(made, FILL + SHORT + " Seventeen. " + FILL)) == 1


def test_short_pieces_go_too_and_many_cuts_take_the_whole():
    settings = Window(chars=0, least=200, most=3)
    assert window.removed([(150, 300), (400, 500)], 1000, settings) == [(0, 500)]
    assert window.removed([(300, 400)], 1000, settings) == [(300, 400)]
    assert window.removed([(300, 900)], 1000, settings) == [(300, 1000)]
    assert window.removed([(n * 500, n * 500 + 1) for n in range(4)], 3000, settings) == [(0, 3000)]
    assert window.removed([], 1000, settings) == []


def test_edits_are_byte_spans_that_leave_the_rest(made, monkeypatch):
    monkeypatch.setattr(window, "load_index", lambda params, paths: made)
    edit = window.editor({"window": Window().model_dump()}, {})
    texts = pa.array([FILL + LAW + FILL, "clean", ""], pa.large_string())
    edits = edit(texts)
    assert edits.type == EDITS.field("edits").type
    left = apply_edits(texts, edits).to_pylist()
    assert left[1:] == ["clean", ""]
    assert left[0] == FILL[:-200] + (FILL + "。" * 0)[199:] or LAW[:5] not in left[0]
    assert FILL[: len(FILL) - 200] == left[0][: len(FILL) - 200]
