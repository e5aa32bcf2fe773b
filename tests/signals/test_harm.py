"""Word lists: whole words, languages, evidence; and the columns of models."""

from __future__ import annotations

import importlib.util

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.recipe import PROFANITY, Signals
from tamis.signals import harm
from tamis.signals.batch import Batch
from tamis.signals.wordlists import BadWordList, WordList, fold, folded_with_places, list_files, word_list


def list_of(folder, *entries, name="words.txt"):
    path = folder / name
    path.write_text("\n".join(entries), encoding="utf-8")
    return path


def found(folder, entries, text):
    folded = fold(text)
    return [folded[m.start : m.end] for m in WordList(list_of(folder, *entries)).search(folded)]


@pytest.mark.parametrize(
    ("entries", "text", "expected"),
    [
        (["ass"], "An ASS, a bass, classes; ass.", ["ass", "ass"]),
        (["bad", "bad word"], "a bad word is bad", ["bad word", "bad"]),
        (["straße"], "STRASSE und Straßen", ["strasse"]),
        (["坏话"], "他说坏话了", ["坏话"]),
        (["c++ hack"], "no C++ hack here", ["c++ hack"]),
        (["किताब"], "किताब और किताबें", ["किताब"]),
        (["x", "# a comment", "y # another"], "x y z", ["x", "y"]),
    ],
)
def test_entries_match_as_whole_words(tmp_path, entries, text, expected):
    assert found(tmp_path, entries, text) == expected


@given(st.text(max_size=40))
def test_places_lead_back_to_the_text(text):
    folded, places = folded_with_places(text)
    assert len(places) == len(folded) + 1
    assert places == sorted(places)
    assert places[-1] == len(text)


def test_files_of_a_list(tmp_path):
    list_of(tmp_path, "a", name="de.txt")
    list_of(tmp_path, "b", name="en")
    list_of(tmp_path, "c", name="README.md")
    assert set(list_files(tmp_path, None)) == {"de", "en"}
    assert set(list_files(tmp_path, ["de"])) == {"de"}
    assert set(list_files(tmp_path / "en", None)) == {""}
    with pytest.raises(BadWordList, match=r"no file fr\.txt; it has de, en"):
        list_files(tmp_path, ["fr"])
    with pytest.raises(FileNotFoundError):
        list_files(tmp_path / "none.txt", None)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(BadWordList, match="no entry"):
        WordList(tmp_path / "empty.txt")


def measured(settings, rows):
    (extra,) = harm.extra_groups(settings)
    texts = pa.array([text for text, _ in rows], pa.large_string())
    documents = pa.RecordBatch.from_arrays([texts, pa.nulls(len(rows), pa.string())], ["text", "url"])
    languages = pa.table({"code": [code for _, code in rows]})
    group = extra.group
    made = group.compute(Batch(documents, signals={"lang": languages}), {})
    assert set(made) == {column.name for column in group.columns}
    return {name: values.to_pylist() for name, values in made.items()}, extra


def test_a_list_of_a_language_is_for_its_documents(tmp_path):
    list_of(tmp_path, "gift", name="de.txt")
    settings = Signals.model_validate({"words": {"poison": {"path": str(tmp_path)}}})
    made, extra = measured(
        settings, [("Das Gift wirkt, Gift!", "de"), ("a gift for you", "en"), ("gift", None), ("", "de")]
    )
    assert made["poison_count"] == [2, 0, 0, 0]
    assert made["poison_distinct"] == [1, 0, 0, 0]
    assert made["poison_share"] == [0.5, 0.0, 0.0, None]
    (first, second) = extra.findings("Äh, das Gift wirkt, GIFT!")
    assert "Äh, das Gift wirkt, GIFT!".encode()[first.start : first.end] == b"Gift"
    assert second.what == "gift (poison, de)"


def test_a_changed_list_is_another_group(tmp_path):
    path = list_of(tmp_path, "a")
    settings = Signals.model_validate({"words": {"w": {"path": str(path)}}})
    (before,) = harm.extra_groups(settings)
    list_of(tmp_path, "a", "b")
    assert harm.extra_groups(settings)[0].folder() != before.folder()
    word_list.cache_clear()
    with pytest.raises(BadWordList, match="has changed since the run began"):  # nor are its matches kept as the first's
        before.findings("a b")


def test_the_package(tmp_path, require):
    require(importlib.util.find_spec("profanity_check"), "alt-profanity-check is not installed")
    settings = Signals.model_validate({"harm": {"profanity": PROFANITY}})
    made, _ = measured(settings, [("You are a stupid idiot!", "en"), ("The meeting begins at nine.", "en")])
    bad, good = made["profanity"]
    assert bad > 0.8 > 0.2 > good
