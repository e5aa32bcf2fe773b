import numpy as np
import pytest

from proof_models import Recall
from tamis.proof.likelihood import Losses
from tamis.proof.memorization import contamination_gap, excess_likelihood, memorized
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
    for scores in (lambda: generator.random(40) < 0.5, lambda: generator.normal(size=40)):
        found = [contamination_gap(scores(), np.arange(40) % 2).p <= 0.05 for _ in range(150)]
        assert 0 < np.mean(found) <= 0.1


def test_the_permutation_of_right_and_wrong_is_exact():
    # 3 of 3 right against 0 of 3: 2 of the 20 ways to choose 3 of 6 are as far apart
    assert contamination_gap([1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]).p == pytest.approx(2 / 20)
    assert contamination_gap([1, 0, 1, 0], [1, 1, 0, 0]).p == pytest.approx(1)
    # the same items by draws, scores moved off 0 and 1
    right = np.array([1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 0]) * 2.0
    exact, drawn = (contamination_gap(one, np.arange(12) < 6).p for one in (right / 2, right))
    assert drawn == pytest.approx(exact, abs=0.03)


def test_items_that_are_all_right_have_an_interval():
    found = contamination_gap([1] * 8 + [0] * 8, [2] * 8 + [0] * 8).gap
    assert found.value == found.high == 1
    assert 0.4 < found.low < 0.7
    rough = contamination_gap([2.0, 0.1], [1, 0]).gap
    assert rough.value == pytest.approx(1.9)
    assert np.isnan([rough.low, rough.high]).all()
    with pytest.raises(ValueError, match="1 of 2 scores are no finite numbers"):
        contamination_gap([np.nan, 1], [1, 0])


def test_the_rise_with_every_doubling():
    copies = np.tile([0, 1, 2, 4, 8, 16], 40)
    noise = np.random.default_rng(3).normal(0, 0.05, len(copies))
    scores = np.where(copies > 0, 0.3 + 0.08 * np.log2(np.maximum(copies, 1)), 0.2) + noise
    found = contamination_gap(scores, copies)
    marked = copies > 0
    assert found.doubling.value == pytest.approx(np.polyfit(np.log2(copies[marked]), scores[marked], 1)[0])
    assert found.doubling.low < 0.08 < found.doubling.high < 0.09
    assert found.by_copies[1].value == pytest.approx(0.1, abs=0.03)
    assert contamination_gap([1.0, 0.5, 0.2], [4, 4, 0]).doubling is None


def simulated(generator, each=30):
    """Documents of which those of 16 copies cost 1.5 bits per byte less."""
    copies = np.repeat([0, 1, 16], each)
    size = generator.integers(100, 300, len(copies))
    bits = size * (3.0 - 1.5 * (copies == 16) + generator.normal(0, 0.2, len(copies)))
    names = [str(i) for i in range(len(copies))]
    return Losses(names, ["text"] * len(copies), bits * np.log(2), size, size), copies


def test_excess_likelihood_is_against_documents_never_trained_on():
    losses, copies = simulated(np.random.default_rng(5))
    found = excess_likelihood(losses, copies)
    mine = [losses.bits[copies == k].sum() / losses.bytes[copies == k].sum() for k in (0, 16)]
    assert found[16].value == pytest.approx(mine[0] - mine[1])
    assert found[16].n == 60
    with pytest.raises(NothingCounted, match="no excess"):
        excess_likelihood(losses, copies + 1)
    with pytest.raises(ValueError, match="90 documents and 2 numbers"):
        excess_likelihood(losses, [0, 1])


def test_the_interval_of_excess_likelihood_covers():
    generator = np.random.default_rng(6)
    found = [excess_likelihood(*simulated(generator)) for _ in range(80)]
    covered = [[one[k].low < true < one[k].high for k, true in ((1, 0.0), (16, 1.5))] for one in found]
    assert (np.mean(covered, 0) >= 0.88).all()
    assert np.mean([one[16].high - one[16].low for one in found]) < 0.3  # 0.2 for normal values of equal size
