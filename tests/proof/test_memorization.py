import numpy as np
import pytest

from proof_models import Recall
from tamis.proof.memorization import contamination_gap, memorized
from tamis.proof.metric import NothingCounted

rng = np.random.default_rng(0)
DOCUMENTS = [rng.permutation(400)[:30] + 1 for _ in range(20)]


def written(model, row, tokens):
    """Greedy writing as it is done: token by token."""
    row = row.copy()
    for _ in range(tokens):
        row = np.append(row, model.logits(row[None])[0, -1].argmax())
    return row[-tokens:]


def test_one_pass_decides_what_writing_would():
    model = Recall(DOCUMENTS[:10], 401)
    partly = [np.concatenate([d[:25], d[:5]]) for d in DOCUMENTS[:3]]
    documents = [*DOCUMENTS, *partly, DOCUMENTS[0][:12]]
    copies = [4] * 10 + [0] * 10 + [1] * 3 + [9]
    found = memorized(model, documents, copies, prefix=10, suffix=20, batch_tokens=100)
    assert found.skipped == 1
    for document, followed in zip(documents, found.followed, strict=False):
        text = written(model, document[:10], 20)
        right = text == document[10:30]
        assert followed == (20 if right.all() else right.argmin())
    assert found.extractable.tolist() == [True] * 10 + [False] * 13
    assert found.by_copies()[4].value == 1
    assert found.by_copies()[0].high < 0.3
    assert found.excess(4).low > 0.5
    assert found.followed_by_copies()[4].value == 20
    assert found.trend()[1] < 0.001
    with pytest.raises(NothingCounted, match="controls"):
        memorized(model, documents[:3], [1, 1, 1], prefix=10, suffix=5).excess(1)


def test_prefix_and_suffix_must_fit():
    with pytest.raises(ValueError, match="do not fit"):
        memorized(Recall([], 10, context=20), [np.arange(40)], [1], prefix=11, suffix=11)


def test_the_gap_of_seen_items():
    copies = np.repeat([0, 1, 8], 200)
    right = np.random.default_rng(1).random(600) < np.repeat([0.3, 0.4, 0.9], 200)
    found = contamination_gap(right, copies)
    assert found.gap.low < 0.35 < found.gap.high
    assert found.p < 0.01
    assert found.by_copies[1].value < 0.3 < found.by_copies[8].low
    assert contamination_gap(right, copies).gap == found.gap
    with pytest.raises(NothingCounted):
        contamination_gap([1.0], [0])


def test_no_gap_is_found_at_the_stated_rate(monkeypatch):
    monkeypatch.setattr("tamis.proof.memorization._PERMUTATIONS", 200)
    generator = np.random.default_rng(7)
    found = [contamination_gap(generator.random(40) < 0.5, np.arange(40) % 2).p <= 0.05 for _ in range(150)]
    assert np.mean(found) <= 0.1
