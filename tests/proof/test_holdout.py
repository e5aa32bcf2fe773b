import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis import kernels
from tamis.proof.holdout import Candidates, NotHeldOut, held, hold_out

WORDS = [f"w{i}" for i in range(400)]


def text(start, count=20):
    return " ".join(WORDS[start : start + count])


def corpus(*texts):
    return lambda: iter([pa.array(texts, pa.large_string())])


def grams(texts, n):
    found = set()
    for one in kernels.normalize(pa.array(texts, pa.large_string()), digits=False).to_pylist():
        words = one.split(" ") if one else []
        found |= {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
    return found


def test_documents_that_share_an_ngram_are_dropped():
    offered = Candidates.of(["far", "near", "short", "copy"], [text(0), text(100), text(0, 12), text(0).upper() + "!"])
    found = hold_out({"of A": offered}, {"A": corpus("x " + text(105, 13) + " y"), "B": corpus(text(200))})
    proof = found.proof.texts["of A"]
    assert found.texts["of A"].ids == ["far"]
    assert (proof.offered, proof.short, proof.copies, proof.shared, proof.kept) == (4, 1, 1, 1, 1)
    assert proof.shared_with == {"A": 1, "B": 0}
    assert found.proof.corpora["A"].first_hits == 1
    assert found.proof.holds
    assert "no 13-gram is shared" in str(found.proof)
    assert json.loads(json.dumps(found.proof.to_json()))["holds"] is True


def test_twelve_words_may_be_shared():
    found = hold_out({"r": Candidates.of(["a"], [text(0)])}, {"A": corpus(text(0, 12) + " z " + text(13))})
    assert found.texts["r"].ids == ["a"]


def test_the_limit_is_of_bytes():
    offered = Candidates.of(list("abc"), [text(0), text(30), text(60)], ["x", "y", "z"])
    found = hold_out({"r": offered}, {"A": corpus("other")}, limit_bytes=80)
    assert found.texts["r"].domains == ["x", "y"]
    assert found.proof.texts["r"].beyond == 1


def test_nothing_left_and_a_corpus_that_changes():
    with pytest.raises(NotHeldOut, match="nothing is left"):
        hold_out({"r": Candidates.of(["a"], [text(0)])}, {"A": corpus(text(0))})
    passes = iter([["other"], [text(0)]])
    with pytest.raises(NotHeldOut, match="changed"):
        hold_out(
            {"r": Candidates.of(["a"], [text(0)])}, {"A": lambda: iter([pa.array(next(passes), pa.large_string())])}
        )


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=12), max_size=6),
    st.lists(st.lists(st.sampled_from("abc"), max_size=12), max_size=6),
)
def test_what_is_kept_shares_nothing_by_plain_sets(offered, trained):
    offered, trained = [" ".join(one) for one in offered], [" ".join(one) for one in trained]
    try:
        found = hold_out({"r": Candidates.of(offered, offered)}, {"A": corpus(*trained)}, ngram=4)
    except NotHeldOut:
        kept = []
    else:
        kept = found.texts["r"].texts
    there = grams(trained, 4)
    assert not grams(kept, 4) & there
    expected = {one for one in offered if grams([one], 4) and not grams([one], 4) & there}
    assert {frozenset(grams([one], 4)) for one in kept} == {frozenset(grams([one], 4)) for one in expected}


def test_documents_are_set_aside_by_id():
    ids = pa.array([f"{i:032x}" for i in range(20_000)])
    first = held(ids, 0.05)
    assert 0.04 < first.mean() < 0.06
    assert held(ids.slice(100, 50), 0.05).tolist() == first[100:150].tolist()
    assert held(ids, 0.05, seed=18).tolist() != first.tolist()


def test_real_text_repeats_itself(data_dir):
    import pyarrow.parquet as pq

    table = pq.read_table(data_dir / "text/english.parquet", columns=["id", "text"]).slice(0, 600)
    ids, texts = table.column("id").to_pylist(), table.column("text").to_pylist()
    found = hold_out(
        {"of A": Candidates.of(ids[::10], texts[::10])}, {"A": corpus(*(t for i, t in enumerate(texts) if i % 10))}
    )
    proof = found.proof.texts["of A"]
    assert proof.shared > 0
    assert proof.kept > 0
    assert not grams(found.texts["of A"].texts, 13) & grams([t for i, t in enumerate(texts) if i % 10], 13)
