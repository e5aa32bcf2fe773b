import json
from collections import Counter

import numpy as np
import pytest

from planted_models import Knows, english
from tamis.proof.claims import _planted as planted
from tamis.proof.claims import contamination
from tamis.proof.claims._planted import COPIES, Estimate
from tamis.proof.claims.claim import Missing, Setting, Verdict, claim_of

DOCUMENTS = english(100, 7)


def pair(seed, rise=0.1, clean=0.25, first=0.0, count=45):
    """Two models, of which the one with items rises by `rise` with every doubling of copies from 1 on above a clean one
    that finds the items of 64 copies easier than others."""
    copies = planted.dealt(count, seed, contamination.WEIGHTS)
    logs = np.log2(np.maximum(copies, 1))
    known = np.where(copies == 64, clean + 0.1, clean)
    value = known + np.where(copies > 0, first + rise * logs, 0)
    return contamination.Pair(
        contamination.Scores(value, value, 3 - value), contamination.Scores(known, known, 3 - known), copies
    )


def test_items_ask_how_a_text_goes_on():
    items = contamination.made_items(DOCUMENTS, 40, 0)
    assert len(items) == 40
    for item in items:
        assert sum(document.startswith(contamination.as_text(item)) for document in DOCUMENTS) == 1
        assert item.options[item.right] == item.answer
        assert len(contamination.as_text(item).encode()) < planted.CONTEXT


def test_wrong_options_are_of_other_documents_as_long_and_used_evenly():
    items = contamination.made_items(DOCUMENTS, 40, 0)
    assert Counter(item.right for item in items) == dict.fromkeys(range(4), 10)
    wrong = [option for item in items for option in item.options if option != item.answer]
    assert len(wrong) == 120
    assert not set(wrong) & {item.answer for item in items}
    asked = [one for one in DOCUMENTS if any(one.startswith(item.prompt) for item in items)]
    assert len(asked) == 40
    for option in set(wrong):
        assert not any(option in document for document in asked)
    assert max(Counter(wrong).values()) <= 3
    right = np.mean([len(item.answer) for item in items])
    assert np.mean([len(one) for one in wrong]) == pytest.approx(right, rel=0.05)


def test_items_depend_on_the_seed_alone_and_need_documents():
    assert contamination.made_items(DOCUMENTS, 20, 3) == contamination.made_items(DOCUMENTS, 20, 3)
    assert contamination.made_items(DOCUMENTS, 20, 3) != contamination.made_items(DOCUMENTS, 20, 4)
    with pytest.raises(Missing, match="100 documents have a paragraph long enough; 102 are needed"):
        contamination.made_items([*DOCUMENTS, "short"], 51, 0)


def test_no_item_is_made_of_what_documents_share_or_the_corpus_holds():
    notice = english(1, 11)[0]
    documents = [f"{one}\n\n{notice}" for one in DOCUMENTS]
    items = contamination.made_items(documents, 40, 0)
    assert sum(notice.startswith(item.prompt) for item in items) <= 1
    assert len({item.prompt for item in items}) == len({item.answer for item in items}) == 40
    base = [f"Before it. {notice}", *DOCUMENTS[:3]]
    prompts = {item.prompt for item in contamination.made_items(documents, 40, 0, base)}
    assert not [one for one in prompts if any(one in body for body in base)]


def test_items_of_commonsenseqa(data_dir):
    items = contamination.real_items(120, 0)
    assert len({item.id for item in items}) == 120
    for item in items:
        assert item.prompt.endswith("?")
        assert len(item.options) == 5
        assert item.options[item.right] == item.answer
        assert all(len(f"{item.prompt} {option}".encode()) <= planted.CONTEXT for option in item.options)
    found = {item.id: item for item in contamination.real_items(1000, 0)}["commonsenseqa-dev-28"]
    assert found.prompt == "After he got hired he hoped for success at his what?"
    assert found.options == ("vocation", "new job", "michigan", "working hard", "manual")
    assert found.right == 1


def test_without_data_there_are_no_real_items(monkeypatch):
    monkeypatch.delenv("TAMIS_DATA", raising=False)
    assert contamination.real_items(10, 0) == []


def test_a_model_that_knows_its_corpus_answers_what_was_planted(monkeypatch):
    monkeypatch.setattr(planted, "train", lambda texts, steps, size, seed: Knows(texts))
    items = contamination.made_items(DOCUMENTS, 40, 0)
    base = english(200, 9)
    jobs = list(contamination._jobs(base, {0: {"made": items}}, "0.05M"))
    ((name, (found,)),) = contamination.paired(jobs, [contamination.measure(job) for job in jobs]).items()
    assert name == "made"
    assert Counter(found.copies.tolist()) == {0: 12, 1: 12, 4: 10, 16: 4, 64: 2}
    seen, items_seen, clean = found.copies > 0, found.with_items, found.clean
    assert items_seen.accuracy[seen].all()
    assert items_seen.bits[seen].max() < 0.1
    assert items_seen.accuracy[~seen].mean() < 0.8
    assert items_seen.bits[~seen].min() > 7
    assert clean.bits.min() > 7
    # per byte, as options are ranked: less certain than of whole options
    assert 0.9 < items_seen.probability[seen].min() < 0.999


def test_the_clean_model_has_text_in_the_place_of_items_and_the_same_steps():
    items = contamination.made_items(DOCUMENTS, 15, 0)
    base = english(200, 9)
    clean, with_items = contamination._jobs(base, {3: {"made": items}}, "0.05M")
    asked = [contamination.as_text(item) for item in items]
    assert sorted(clean.corpus) == sorted(base)
    assert sum(with_items.corpus.count(text) for text in asked) == 4 * 1 + 4 * 4 + 2 * 16 + 1 * 64
    assert clean.steps == with_items.steps == planted.steps_of(base)
    size = contamination.in_bytes(base)
    assert size <= contamination.in_bytes(with_items.corpus) < size + max(map(len, base)) + 1
    assert clean.items == with_items.items == {"made": items}
    with pytest.raises(Missing, match="find no room in a corpus of"):
        list(contamination._jobs(base[:20], {3: {"made": items}}, "0.05M"))


def test_inflation_is_against_the_clean_model_on_the_same_items():
    found = contamination.inflation([pair(s, clean=0.2 + s / 10, first=0.05) for s in range(4)], "probability")
    assert found.value[0].value == found.clean[0].value == pytest.approx(0.35)
    assert found.clean[64].value == pytest.approx(0.45)
    more = {k: one.value for k, one in found.more.items()}
    assert more == pytest.approx({0: 0, 1: 0.05, 4: 0.25, 16: 0.45, 64: 0.65})
    assert found.more[64].high - found.more[64].low == pytest.approx(0, abs=1e-9)
    assert found.doubling.value == pytest.approx(0.1)
    assert found.value[64].high == 1 < 1.1 + 0.3


def test_accuracy_that_all_seeds_agree_on_is_not_certain():
    copies = planted.dealt(15, 0, contamination.WEIGHTS)
    right = (copies > 4).astype(float)
    every = contamination.Scores(right, right, 3 - right)
    none = contamination.Scores(0 * right, 0 * right, 3 + right)
    found = contamination.inflation([contamination.Pair(every, none, copies)] * 3, "accuracy")
    assert found.value[64].value == 1 == found.value[64].high
    assert found.value[64].low < 0.5
    assert found.more[64].low < 0.4


@pytest.mark.parametrize(
    ("most", "doubling", "verdict"),
    [
        (Estimate(0.4, 0.2, 0.6), Estimate(0.05, 0.01, 0.09), Verdict.HOLDS),
        (Estimate(0.4, 0.2, 0.6), Estimate(0.05, -0.01, 0.11), Verdict.NOT_SHOWN),
        (Estimate(0.1, -0.1, 0.3), Estimate(0.05, 0.01, 0.09), Verdict.NOT_SHOWN),
        (Estimate(0.0, -0.01, 0.01), Estimate(0.0, -0.01, 0.01), Verdict.DOES_NOT_HOLD),
        (Estimate(-0.2, -0.3, -0.1), Estimate(0.05, 0.01, 0.09), Verdict.DOES_NOT_HOLD),
    ],
)
def test_the_rule_needs_an_inflation_that_rises_with_copies(most, doubling, verdict):
    level = dict.fromkeys(COPIES, Estimate(0.3, 0.2, 0.4))
    found, because = contamination.decide(contamination.Inflation(level, level, {1: most, 64: most}, doubling))
    assert found is verdict
    assert str(most) in because


def test_a_finding_has_both_sets_and_a_picture(tmp_path):
    made = contamination.made_items(DOCUMENTS, 45, 0)
    sets = {contamination.MADE: made, contamination.REAL: made}
    jobs = list(contamination._jobs(english(200, 9), dict.fromkeys(range(3), sets), "0.05M"))
    by_set = {name: [pair(s, rise=0.08 + s / 100) for s in range(3)] for name in sets}
    found = contamination._finding(Setting("small", tmp_path, tmp_path), jobs, by_set)
    assert found.verdict is Verdict.HOLDS
    assert found.seeds == 3
    assert len(found.figures) == 2 * 7
    assert len(found.tables) == 2
    assert [row[0] for row in found.tables[0].rows] == ["0", "1", "4", "16", "64"]
    assert found.figures[4].value == pytest.approx(0.54)
    assert "steps: one epoch of" in found.setting["training"]
    assert 0.1 < contamination.share_planted(jobs, contamination.MADE) < 0.9
    assert found.pictures[0].read_bytes()[:4] == b"\x89PNG"
    json.dumps(found.to_json())
    assert claim_of(contamination.run).letter == "h"
