"""What a proof trains on is what the workspace holds: raw, a corpus, a corpus under other verdicts."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import proof_work
from tamis.corpora import Corpus
from tamis.documents import VERDICTS, read_table, write_table
from tamis.proof.trained_on import Rejudged, TrainedOn
from tamis.workspace import Workspace, WorkspaceError


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return proof_work.make(tmp_path_factory.mktemp("trained_on"))


def rows(texts):
    return [(i, t) for ids, found in texts.batches() for i, t in zip(ids.to_pylist(), found.to_pylist(), strict=True)]


def test_raw_is_every_extracted_document(work):
    raw = TrainedOn(work, "raw")
    found = rows(raw)
    assert sorted(text for _, text in found) == sorted(proof_work.documents())
    assert "before any rule" in raw.label
    assert found == rows(TrainedOn("nowhere", f"{work}:raw")), "[WORK:]NAME names another workspace"


def test_a_corpus_is_what_its_recipe_keeps(work):
    main = TrainedOn(work, "main")
    corpus = Corpus(Workspace(work))
    kept = sum(manifest.summary["out"] for manifest in corpus.manifests("verdicts"))
    found = rows(main)
    assert 200 < kept == len(found) < len(proof_work.documents())
    assert not any("Products" in text and "Login" in text for _, text in found)
    assert main.identity()["hash"] != TrainedOn(work, "raw").identity()["hash"]
    assert main.identity() == TrainedOn(work, "main").identity()


def test_other_verdicts_give_other_documents(work, tmp_path):
    corpus = Corpus(Workspace(work))
    own = [corpus.verdicts(shard) for shard in range(corpus.shards)]
    same = Rejudged(corpus, own, "full")
    assert sorted(rows(same)) == sorted(rows(TrainedOn(work, "main")))
    tables = [read_table(path) for path in own]
    every = []
    for number, table in enumerate(tables):
        has = pc.not_equal(pc.fill_null(table.column("reason"), ""), "extract.failed")
        every.append(tmp_path / f"{number}.parquet")
        write_table(every[-1], table.set_column(table.schema.get_field_index("keep"), "keep", has), VERDICTS)
    other = Rejudged(corpus, every, "all")
    assert len(rows(other)) == len(proof_work.documents())
    assert other.identity()["hash"] != same.identity()["hash"]
    with pytest.raises(ValueError, match="files of verdicts"):
        Rejudged(corpus, own + own, "twice")


def test_what_is_not_there_is_said(work):
    with pytest.raises(WorkspaceError, match="no corpus mian"):
        TrainedOn(work, "mian")


def test_batches_have_no_null_and_no_empty_text(work):
    for ids, texts in TrainedOn(work, "main").batches():
        assert len(ids) == len(texts)
        assert texts.null_count == 0
        assert texts.type == pa.large_string()
        assert pc.min(pc.binary_length(texts)).as_py() > 0
