import json
from collections import Counter

import numpy as np
import pytest

from planted_models import Knows, english
from tamis.proof.claims import _planted as planted
from tamis.proof.claims import duplicates
from tamis.proof.claims._planted import COPIES, Estimate, Texts, over_seeds
from tamis.proof.claims.claim import Missing, Setting, Verdict, claim_of

BASE, SPARE, HELD = english(6, 1), english(20, 2), english(4, 3)


def jobs(seeds=(0, 1), passages=10):
    texts = Texts(BASE, SPARE, {"held out": HELD, "novels": english(3, 4)}, "held out  no 13-gram is shared\nmore")
    return list(duplicates._jobs(texts, duplicates.passages_of(SPARE, passages), seeds, "0.05M")), texts


def measured(arm, seed, *, share=0.0, bits=None, held=3.0, easier=0.0):
    """A model by whose account passages of 64 copies are extractable with `share`, and cost `bits` by copies."""
    copies = planted.dealt(20, seed)
    costs = np.array([(bits or {}).get(int(k), 3.0) for k in copies]) - easier
    shares = np.where(copies == 64, share, 0.0)
    held = {"held out": held, "novels": held + 1}
    return duplicates.Measured(arm, held, costs, shares, 32 * shares, copies, 100, 5000)


def test_copies_are_dealt_evenly_and_anew_for_every_seed():
    first, second = planted.dealt(20, 0), planted.dealt(20, 1)
    assert Counter(first.tolist()) == Counter(second.tolist()) == dict.fromkeys(COPIES, 4)
    assert (first != second).any()
    np.testing.assert_array_equal(first, planted.dealt(20, 0))


def test_every_second_copy_ends_in_a_line_of_its_own():
    found = duplicates.copied(["one", "two", "three"], np.array([4, 0, 1]))
    assert found == ["one", "one\nMirror 1.", "one", "one\nMirror 3.", "three"]


def test_passages_are_prose_one_of_a_document():
    table = "1 | 2 | 3 | 4\n" * 40
    documents = [table, *SPARE[:3], "Too short."]
    found = duplicates.passages_of(documents, 3)
    assert found == [one[: duplicates.LENGTH] for one in SPARE[:3]]
    with pytest.raises(Missing, match="3 documents have a paragraph of 192 characters of their own; 4 are needed"):
        duplicates.passages_of(documents, 4)


def test_no_passage_is_taken_twice_or_from_what_is_in_the_corpus():
    notice = SPARE[0]
    documents = [f"{notice}\n\n{SPARE[1]}", f"{SPARE[2]}\n\n{notice}", f"{SPARE[3]}\n\n{notice}", notice, *SPARE[4:]]
    first = [SPARE[1], notice, SPARE[3], SPARE[4]]
    assert duplicates.passages_of(documents, 4) == [one[: duplicates.LENGTH] for one in first]
    base = [SPARE[1].replace(" ", "\n"), SPARE[4]]
    other = [notice, SPARE[2], SPARE[3], SPARE[5]]
    assert duplicates.passages_of(documents, 4, base) == [one[: duplicates.LENGTH] for one in other]


def test_tamis_own_deduplication_leaves_one_of_every_passage():
    (job, *_), _ = jobs()
    left = duplicates.deduplicated(job.corpus)
    assert len(job.corpus) == len(BASE) + 2 * (1 + 4 + 16 + 64)
    assert len(left) == len(BASE) + 8
    assert set(BASE) <= set(left)
    kept = [body.partition("\nMirror")[0] for body in left]
    assert sorted(kept) == sorted(BASE + [p for p, k in zip(job.passages, job.copies, strict=True) if k])


def test_both_arms_train_for_as_long_on_texts_with_and_without_copies(monkeypatch):
    seen = []

    def train(texts, steps, size, seed):
        seen.append((texts, steps, size, seed))
        return Knows(texts)

    monkeypatch.setattr(planted, "train", train)
    (first, second, third, *_), _ = jobs()
    one, other, few = (duplicates.measure(job) for job in (first, second, third))
    (texts, *rest), (fewer, *same), (some, *equal) = seen
    assert rest == same == equal
    assert len(fewer) == len(BASE) + 8
    # of two passages each: one copy, one, two and five
    assert len(some) == few.documents == len(BASE) + 2 * (1 + 1 + 2 + 5)
    assert one.documents == len(texts)
    assert other.bytes == sum(len(text) + 1 for text in fewer)
    for found in (one, other, few):  # the stand-in needs no second copy
        np.testing.assert_array_equal(found.extractable, first.copies > 0)
        assert found.bits[first.copies > 0].max() < 2 < found.bits[first.copies == 0].min()
        assert set(found.held) == {"held out", "novels"}


def test_memory_is_measured_against_passages_without_copies_and_between_arms_on_the_same():
    pairs = [
        # the deduplicated arm is better everywhere by half a bit: no memory
        (measured("duplicated", s, share=0.6, bits={64: 1.0, 16: 2.0}), measured("deduplicated", s, easier=0.5))
        for s in range(3)
    ]
    most = duplicates.memory(pairs, 64)
    assert most.excess["duplicated"].value == pytest.approx(2.0)
    assert most.excess["deduplicated"].value == pytest.approx(0.0)
    assert most.excess_difference.value == pytest.approx(2.0)
    assert most.extractable_difference.value == pytest.approx(0.6)
    assert duplicates.memory(pairs, 16).excess_difference.value == pytest.approx(1.0)
    assert duplicates.memory(pairs, 4).excess_difference.value == pytest.approx(0.0)


def test_intervals_are_students_over_seeds():
    found = over_seeds([1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert found.high - found.value == pytest.approx(4.302653 / np.sqrt(3))  # t of 2 degrees of freedom, 97.5%
    with pytest.raises(ValueError, match="one seed"):
        over_seeds([1.0])


def test_shares_that_all_seeds_agree_on_are_not_certain():
    none, some = [np.zeros(10)] * 5, [np.eye(10)[0]] * 4 + [np.zeros(10)]
    assert planted.shares_over_seeds(none).low == 0
    assert planted.shares_over_seeds(none).high == pytest.approx(0.0714, abs=1e-4)  # Wilson, 0 of 50
    assert planted.shares_over_seeds(some) == over_seeds([0.1] * 4 + [0])
    apart = planted.shares_apart(none, none)
    assert apart.value == 0
    assert apart.low < -0.05 < 0.05 < apart.high
    assert planted.shares_apart(some, none) == over_seeds([0.1] * 4 + [0])
    assert planted.shares_apart([np.ones(5)] * 2, [np.zeros(5)] * 2).low == pytest.approx(0.61, abs=0.01)


def test_few_copies_are_a_fifteenth_rounded_up():
    assert duplicates.fewer(np.array(COPIES)).tolist() == [0, 1, 1, 2, 5]


def test_shares_stay_within_what_is_possible():
    nearly = [np.ones(10)] * 4 + [np.eye(10)[0]]
    assert over_seeds([1.0] * 4 + [0.1]).high > 1
    assert planted.shares_over_seeds(nearly).high == 1
    assert planted.shares_apart(nearly, [np.zeros(10)] * 5).high == 1
    assert planted.shares_apart([np.zeros(10)] * 5, nearly).low == -1


GOOD, NONE, BAD = Estimate(0.2, 0.1, 0.3), Estimate(0.1, -0.1, 0.3), Estimate(-0.2, -0.3, -0.1)


@pytest.mark.parametrize(
    ("held", "reference", "share", "excess", "verdict"),
    [
        (GOOD, GOOD, GOOD, GOOD, Verdict.HOLDS),
        (GOOD, NONE, GOOD, GOOD, Verdict.NOT_SHOWN),
        (GOOD, GOOD, NONE, GOOD, Verdict.NOT_SHOWN),
        (GOOD, GOOD, GOOD, NONE, Verdict.NOT_SHOWN),
        (BAD, GOOD, GOOD, GOOD, Verdict.DOES_NOT_HOLD),
        (NONE, BAD, GOOD, GOOD, Verdict.DOES_NOT_HOLD),
        (GOOD, GOOD, GOOD, BAD, Verdict.DOES_NOT_HOLD),
        (GOOD, GOOD, Estimate(0, 0, 0), GOOD, Verdict.NOT_SHOWN),
    ],
)
def test_the_rule_needs_both_parts(held, reference, share, excess, verdict):
    arms = dict.fromkeys(duplicates.ARMS, GOOD)
    most = duplicates.Memory(arms, arms, arms, share, excess)
    found, because = duplicates.decide({"held out": held, "novels": reference}, most, [held, reference, share, excess])
    assert found is verdict
    assert str(held) in because


def test_one_of_four_intervals_refutes_only_where_all_of_them_together_could():
    # 0.05 lower and 0.066 higher in turn: 95% lies below zero, and 98.75% does not
    gaps = [-0.09, -0.01, -0.08, -0.02, -0.07]
    pairs = [
        (measured("duplicated", s, held=3 + gap), measured("deduplicated", s, held=3.0)) for s, gap in enumerate(gaps)
    ]
    hurt, most, wide = duplicates.decided_on(pairs)
    assert hurt["held out"].high < 0 < wide[0].high
    assert len(wide) == 4
    assert wide[0].high == pytest.approx(over_seeds(gaps, 0.9875).high)
    assert duplicates.decide(hurt, most, wide)[0] is Verdict.NOT_SHOWN


def test_a_finding_has_every_number_of_copies_and_a_picture(tmp_path):
    arms = [
        duplicates.Arms(
            measured("duplicated", s, share=0.5 + s / 10, bits={64: 1 + s / 9}, held=3.2 + s / 50),
            measured("deduplicated", s),
            measured(duplicates.FEW, s, bits={64: 2.5}, held=3.01 + s / 1000),
        )
        for s in range(3)
    ]
    every, texts = jobs(seeds=(0, 1, 2), passages=20)
    found = duplicates._finding(Setting("small", tmp_path, tmp_path), every, arms, texts)
    assert found.verdict is Verdict.HOLDS
    assert [figure.value for figure in found.figures[:2]] == pytest.approx([0.22, 0.22])
    assert len(found.figures) == 2 + 3 + 2 * 4
    assert [figure.value for figure in found.figures[2:5]] == pytest.approx([0.011, 0.011, 0.5])
    assert len(found.tables[0].columns) == 4
    assert found.seeds == 3
    assert [row[0] for row in found.tables[1].rows] == ["1", "4", "16", "64"]
    assert found.pictures[0].read_bytes()[:4] == b"\x89PNG"
    json.dumps(found.to_json())
    assert claim_of(duplicates.run).letter == "b"


def test_held_out_texts_share_no_words_in_a_row_with_the_corpus(tmp_path):
    # material leaves out documents that repeat lines; here the repeat is within a long line of another document
    documents = english(400, 5)
    documents += [f"{one} {other}" for one, other in zip(english(40, 6), documents, strict=False)]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": one}) + "\n" for one in documents))
    found = planted.texts(20_000, 20_000, 10_000, 0, path)
    trained = " ".join(found.base + found.spare).split()
    grams = {tuple(trained[i : i + 13]) for i in range(len(trained))}
    for body in found.held["held out"]:
        words = body.split()
        assert not grams & {tuple(words[i : i + 13]) for i in range(len(words) - 12)}
    assert sum(map(len, found.base)) >= 20_000
    with pytest.raises(Missing, match="are needed"):
        planted.texts(200_000, 20_000, 10_000, 0, path)
