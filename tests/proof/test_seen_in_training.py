import numpy as np
import pyarrow as pa

from tamis.proof.items import Item
from tamis.proof.seen_in_training import copies_of_items, draw

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
