"""The stream of an arm holds every document to train on once, whole, in an order of its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tamis.models.data import ByteEncoder
from tamis.proof.holdout import held
from tamis.proof.streams import NothingToTrainOn, training_texts, write


class Listed:
    """Texts in memory; every third comes twice."""

    def __init__(self, count=300, batch=37):
        numbers = [i for i in range(count) for _ in range(2 if i % 3 == 0 else 1)]
        self.rows = [
            (f"{i * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}", f"text {i} " + "ab" * i) for i in numbers
        ]
        self.batch, self.name = batch, "listed"

    def batches(self):
        for start in range(0, len(self.rows), self.batch):
            ids, texts = zip(*self.rows[start : start + self.batch], strict=True)
            yield pa.array(ids), pa.array(texts, pa.large_string())

    def identity(self):
        return {"rows": len(self.rows)}


def documents(stream):
    ids = np.asarray(stream.ids())
    assert ids[-1] == 256
    return [ByteEncoder().decode(part) for part in np.split(ids, np.flatnonzero(ids == 256) + 1)[:-1]]


def test_every_document_once_and_none_that_is_set_aside(tmp_path):
    texts = Listed()
    stream = write(texts, tmp_path / "a.bin", ByteEncoder(), most=1e9, share=0.2, seed=17)
    aside = {
        i for (i, _), out in zip(texts.rows, held(pa.array([i for i, _ in texts.rows]), 0.2, 17), strict=True) if out
    }
    wanted = [text for i, text in texts.rows if i not in aside]
    found = documents(stream)
    assert sorted(found) == sorted(wanted)
    assert found != wanted, "the order of the corpus is not kept"
    assert stream.set_aside == len(texts.rows) - len(wanted) > 20
    assert stream.documents == len(wanted)
    assert stream.unique == stream.tokens == sum(len(text) + 1 for text in wanted)
    twice = [text for text in set(found) if found.count(text) == 2]
    assert stream.repeated == len(twice) > 20
    apart = [abs(found.index(text) - (len(found) - 1 - found[::-1].index(text))) for text in twice]
    assert np.median(apart) > 20, "copies of a document lie apart"


def test_the_cut_into_batches_and_shards_changes_nothing(tmp_path):
    one = write(Listed(batch=37), tmp_path / "a.bin", ByteEncoder(), most=1e9, share=0.1, seed=17)
    other = write(Listed(batch=5), tmp_path / "b.bin", ByteEncoder(), most=1e9, share=0.1, seed=17)
    assert one.sha256 == other.sha256


def test_a_part_of_a_large_corpus_is_the_beginning_of_the_same_order(tmp_path):
    whole = write(Listed(), tmp_path / "a.bin", ByteEncoder(), most=1e9, share=0.1, seed=17)
    part = write(Listed(), tmp_path / "b.bin", ByteEncoder(), most=20_000, share=0.1, seed=17)
    assert documents(part) == documents(whole)[: part.documents]
    assert 20_000 <= part.tokens < 22_000
    assert part.unique == pytest.approx(whole.tokens, rel=0.01)
    assert part.epochs(40_000) == 40_000 / part.unique


def test_a_whole_stream_is_found_again_and_a_torn_one_made_again(tmp_path):
    stream = write(Listed(), tmp_path / "a.bin", ByteEncoder(), most=1e9, share=0.1, seed=17)
    before = (tmp_path / "a.bin").stat().st_mtime_ns
    assert write(Listed(), tmp_path / "a.bin", ByteEncoder(), most=1e9, share=0.1, seed=17) == stream
    assert (tmp_path / "a.bin").stat().st_mtime_ns == before
    (tmp_path / "a.bin").write_bytes(b"torn")
    assert write(Listed(), tmp_path / "a.bin", ByteEncoder(), most=1e9, share=0.1, seed=17) == stream
    assert len(documents(stream)) == stream.documents
    assert not list(tmp_path.glob("*.arrived"))


def test_training_texts_leaves_out_what_is_held(tmp_path):
    for ids, texts in training_texts(Listed(), 0.3, 17):
        assert len(ids) == len(texts)
        assert not held(ids, 0.3, 17).any()


def test_nothing_to_train_on_is_said(tmp_path):
    with pytest.raises(NothingToTrainOn, match="listed has no document"):
        write(Listed(count=0), tmp_path / "a.bin", ByteEncoder(), most=1e9, share=0.1, seed=17)
