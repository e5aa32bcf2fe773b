import hashlib
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from tamis.proof.items import Item
from tamis.proof.seen_in_training import copies_of_items, draw, was_read
from tamis.proof.trained_on import TrainedOn

WORDS = [f"word{i}" for i in range(500)]


def text(start, count=40):
    return " ".join(WORDS[start : start + count])


class Trained:
    name = "made"

    def __init__(self, *texts):
        self.texts = texts

    def batches(self):
        for at in range(0, len(self.texts), 3):
            part = self.texts[at : at + 3]
            yield pa.array([f"{at + i:032x}" for i in range(len(part))]), pa.array(part, pa.large_string())

    def identity(self):
        return {}


def test_documents_are_drawn_by_their_copies():
    texts = [text(0)] * 5 + [text(50)] + [text(100)] * 2 + ["short"] * 2 + [text(i) for i in range(150, 170)]
    found = draw(Trained(*texts), most=4)
    by = dict(zip(found.texts, found.copies.tolist(), strict=True))
    assert found.documents == len(texts)
    assert by[text(0)] == 4  # five copies: the level of 4 to 7
    assert by[text(100)] == 2
    assert "short" not in by
    assert sorted(found.copies.tolist()) == [1, 1, 1, 1, 2, 4]
    assert draw(Trained(*texts), most=4).texts == found.texts
    assert draw(Trained(*texts), most=4, seed=3).texts != found.texts
    assert draw(Trained()).documents == 0


def test_items_are_counted_in_documents():
    items = [
        Item("a", text(0, 30), "x"),
        Item("b", text(200, 30), "x"),
        Item("c", "too short", "x"),
        Item("d", text(0, 30), "y"),
    ]
    corpus = Trained("lead in " + text(0, 30) + " and more", text(0, 35), text(300), "none of it", text(0, 5))
    copies, searched = copies_of_items(corpus, items)
    assert copies.tolist() == [2, 0, 0, 2]
    assert searched.tolist() == [True, True, False, True]
    assert copies.dtype == np.int64


def test_whether_a_corpus_is_what_a_run_read(tmp_path):
    corpus = TrainedOn.__new__(TrainedOn)
    corpus.work = SimpleNamespace(file=lambda name: tmp_path / name)
    corpus.corpus = SimpleNamespace(home="corpora/main")
    index = tmp_path / "corpora/main/tokens/index.json"
    feed = {"index": hashlib.sha256(b"shards").hexdigest(), "context": 8}
    assert was_read(corpus, feed) is None  # no tokens are there
    index.parent.mkdir(parents=True)
    index.write_bytes(b"shards")
    assert was_read(corpus, feed) is True
    index.write_bytes(b"other shards")
    assert was_read(corpus, feed) is False
    assert was_read(corpus, {"tokens": "ab"}) is None  # a file of text, or the arm of a proof
    assert was_read(corpus, None) is None
    assert was_read(Trained(text(0)), feed) is None
