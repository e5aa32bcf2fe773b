"""Pages and documents that hang, kill or make raise what works on them: they alone are lost, with a reason."""

import json

import pytest

import fault_tasks
from tamis.corpora import Corpus
from tamis.documents import read_table
from tamis.engine import Local
from tamis.workspace import Workspace


@pytest.fixture
def hostile(place, lines):
    """Three bad documents among good ones."""

    def write(*words):
        made = [json.dumps({"text": f"{word} {'a good text of words ' * 12}"}) + "\n" for word in words]
        (place / "rows.jsonl").write_text("".join([*lines[:5], made[0], *lines[5:10], *made[1:], *lines[10:15]]))
        return place

    return write


def test_pages_that_hang_or_kill_the_extractor_are_documents_without_text(hostile, monkeypatch, tamis):
    place = hostile("HANGS", "KILLS")
    monkeypatch.setattr("tamis.reading.read_task", fault_tasks.hostile_documents)
    with Local(1, hang_seconds=5.0) as engine:
        found = fault_tasks.drive(place / "recipe.yaml", place / "work", engine)
    assert (found.records, found.documents) == (17, 17)
    assert found.reasons == {"extract.hung": 1, "extract.died": 1}
    rows = read_table(Corpus(Workspace(place / "work")).documents(0), ["id", "reason"]).to_pylist()
    (identity,) = [row["id"] for row in rows if row["reason"] == "extract.hung"]
    assert "extract.hung" in tamis("why", identity, "--work", place / "work").stdout


def test_a_signal_that_raises_hangs_or_kills_is_null_for_that_row_and_counted(hostile, monkeypatch):
    place = hostile("RAISES", "SLEEPS", "DEADLY")
    monkeypatch.setattr("tamis.signals.task.signals_task", fault_tasks.hostile_signals)
    with Local(1, hang_seconds=5.0) as engine:
        fault_tasks.drive(place / "recipe.yaml", place / "work", engine)
    corpus = Corpus(Workspace(place / "work"))
    (manifest,) = corpus.work.manifests("signals")
    failed = manifest.summary["failed"]
    assert failed["text"] == {"Died": 2, "ZeroDivisionError": 1}
    assert failed["lang"] == {"Died": 2}
    words = read_table(corpus.signals("text", 0), ["words"]).column("words").to_pylist()
    assert [row for row, value in enumerate(words) if value is None] == [5, 11, 12]
    assert sum(m.summary["in"] for m in corpus.manifests("verdicts")) == 18
