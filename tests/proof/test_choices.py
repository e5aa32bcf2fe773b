import json

import numpy as np
import pytest

from proof_models import Bigram, Bytes, Recall
from tamis.proof.agreement_of_models import alike
from tamis.proof.choices import after_hashes, answer_nats, cloze, exact_match, multiple_choice, plain
from tamis.proof.items import BadItems, Item, item, read_items
from tamis.proof.metric import NothingCounted

ENCODER = Bytes()


def knows(*texts, context=200):
    return Recall([np.concatenate([[256], ids]) for ids in ENCODER.encode(texts)], 257, context)


def test_the_option_that_the_model_knows_is_chosen():
    model = knows("Q: two and two? four")
    items = [Item("1", "Q: two and two?", "four", ("five", "four", "f"), 1)]
    found = multiple_choice(model, items, ENCODER)
    assert found.accuracy(per_byte=True).value == 1
    confidence, correct = found.confidence(per_byte=True)
    assert correct.tolist() == [True]
    assert confidence[0] > 0.45
    assert found.right_bits_per_byte().value < 2
    assert "chance 0.333" in found.accuracy().note
    assert found.probabilities()[0].sum() == pytest.approx(1)


def test_a_long_prompt_loses_its_beginning():
    model = knows("why? no", context=12)
    found = multiple_choice(model, [Item("1", "x" * 50 + " why?", "no", ("no", "yes"), 0)], ENCODER)
    assert found.cut == 1
    assert found.accuracy().value == 1


def test_an_answer_longer_than_the_context_is_read_in_pieces():
    table = np.random.default_rng(0).normal(size=(257, 257))
    answer = "an answer that is longer than the context"
    (short, long) = (answer_nats(Bigram(table, c), [("why?", answer)], ENCODER, greedy=True) for c in (12, 90))
    assert short[0] == pytest.approx(long[0])  # a bigram needs one token of the past, whatever the pieces
    assert short[2].tolist() == [True]
    assert long[2].tolist() == [False]
    letters = "abcdefghijklmnopqrstuvwxyz"  # each two of them stand once: the model goes on as the row does
    asked = [("why?", " " + letters), ("why?", " " + letters[:20] + "z")]
    assert answer_nats(knows("why? " + letters, context=12), asked, ENCODER, greedy=True)[1].tolist() == [True, False]


def test_bytes_are_those_of_the_option_without_its_space():
    found = multiple_choice(knows("x"), [Item("1", "?", "é", ("é", "", "abc"), 0)], ENCODER)
    assert found.bytes[0].tolist() == [2, 1, 3]


def test_a_model_without_finite_losses_is_refused():
    table = np.zeros((257, 257))
    table[ord(" ")] = np.nan
    with pytest.raises(ValueError, match="diverged"):
        multiple_choice(Bigram(table), [Item("1", "?", "a", ("a", "b"), 0)], ENCODER)
    with pytest.raises(ValueError, match="diverged"):
        alike(Bigram(table), Bigram(0 * table), ENCODER.encode(["a b"]), end_of_text=256)


def test_no_items_are_nothing_to_count():
    for ask in (multiple_choice, cloze, exact_match):
        with pytest.raises(NothingCounted):
            ask(knows("x"), [], ENCODER)


def test_an_answer_of_marks_is_compared_as_it_is():
    model = knows("( [ ] )\n")
    items = [Item("1", "( [", "] )"), Item("2", "( [", "] }")]
    assert exact_match(model, items, ENCODER).right.tolist() == [True, False]


def test_likelihood_is_that_of_the_option_alone():
    table = np.random.default_rng(0).normal(size=(257, 257))
    found = multiple_choice(Bigram(table, 64), [Item("1", "ab", "c", ("c", "de"), 0)], ENCODER)
    logs = table - np.logaddexp.reduce(table, -1, keepdims=True)
    b, c, d, e, s = map(ord, "bcde ")
    assert found.scores[0] == pytest.approx([logs[b, s] + logs[s, c], logs[b, s] + logs[s, d] + logs[d, e]])


def test_cloze_and_exact_match():
    model = knows("I care about signs\n", "Result: 12\n")
    items = [Item("1", "I care about", "signs"), Item("2", "I care about", "lines")]
    found = cloze(model, items, ENCODER)
    assert found.greedy.tolist() == [True, False]
    assert found.nats[0] < found.nats[1]
    written = exact_match(model, [Item("3", "Result:", "#### 12")], ENCODER, extract=after_hashes)
    assert written.texts == ["12"]
    assert written.exact_match().value == 1
    assert plain("It's -3.50!") == "it s -3.50"


def test_rows_of_every_form(tmp_path):
    assert item({"text": "T", "answer": "(B)", "choices": ["x", "y"]}).right == 1
    assert item({"text": "T", "answer": 0, "options": ["x", "y"]}).right == 0
    assert item({"text": "T", "answer": True}, ["no", "yes"]).right == 1
    arc = {"question": "Q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "1", "id": None}
    assert (item(arc, place="row 4").right, item(arc, place="row 4").id) == (0, "row 4")
    with pytest.raises(BadItems, match="list of strings"):
        item({"text": "T", "answer": "x", "options": "x|y"})
    assert item({"text": "T\nOptions:\n(A) x\n(B) y", "answer": "(A)"}).options == ("x", "y")
    assert item({"text": "I care about signs", "answer": "signs"}).prompt == "I care about"
    with pytest.raises(BadItems, match="none of the 2 options"):
        item({"text": "T", "answer": "z"}, ["x", "y"])
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(json.dumps({"set": s, "text": "T", "answer": "True"}) for s in "aab"))
    assert len(read_items(path, where={"set": "a"}, choices=["True", "False"])) == 2
    path.write_text('{"text": "T", "answer": "x", "fold": 3}')
    assert len(read_items(path, where={"fold": "3"})) == 1
    with pytest.raises(BadItems, match="no row"):
        read_items(path, where={"set": "z"})
    path.write_text("{oops")
    with pytest.raises(BadItems, match=r"jsonl:1"):
        read_items(path)


def test_real_sets(data_dir):
    path = data_dir / "eval/evalsets.parquet"
    boolq = read_items(path, where={"set": "boolq"}, choices=["False", "True"], limit=50)
    assert {one.right for one in boolq} == {0, 1}
    navigate = read_items(path, where={"set": "bbh_navigate"})
    assert len(navigate) == 250
    assert navigate[0].options == ("Yes", "No")
    lambada = read_items(path, where={"set": "lambada"}, limit=20)
    assert all(not one.prompt.endswith(one.answer) for one in lambada)


def test_agreement_does_not_depend_on_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    p, q = Bigram(rng.normal(size=(257, 257))), Bigram(rng.normal(size=(257, 257)))
    ids = ENCODER.encode(["some text to read", "more of it"])
    whole = alike(p, q, ids, end_of_text=256)
    monkeypatch.setattr("tamis.proof.agreement_of_models._BLOCK", 257 * 3)
    monkeypatch.setattr("tamis.models.model.MOST_LOGITS", 257 * 5)
    cut = alike(p, q, ids, end_of_text=256)
    assert np.allclose(cut.first_second, whole.first_second)
    assert np.array_equal(cut.same, whole.same)
    with pytest.raises(ValueError, match="cannot agree"):
        alike(p, Bigram(np.zeros((300, 300))), ids, end_of_text=256)


def test_agreement_of_models():
    rng = np.random.default_rng(2)
    table = rng.normal(size=(257, 257))
    ids = ENCODER.encode(["some text to read", "more, longer than one window of the model"])
    same = alike(Bigram(table), Bigram(table + 3), ids, end_of_text=256)
    assert same.kl().value == pytest.approx(0, abs=1e-12)
    assert same.top_1().value == 1
    p, q = Bigram(table), Bigram(rng.normal(size=(257, 257)))
    found, back = alike(p, q, ids, end_of_text=256), alike(q, p, ids, end_of_text=256, batch_tokens=1)
    assert found.kl().value == pytest.approx(back.kl(reverse=True).value)
    assert 0 < found.jensen_shannon().value < 1
    assert found.tokens.tolist() == [len(i) for i in ids]
    row = np.concatenate([[256], ids[0][:-1]])
    a, b = (t[row] - np.logaddexp.reduce(t[row], -1, keepdims=True) for t in (table, q.table))
    assert found.first_second[0] == pytest.approx((np.exp(a) * (a - b)).sum() / np.log(2))
