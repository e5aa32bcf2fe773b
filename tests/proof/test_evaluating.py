import itertools
import json
import math
import re

import numpy as np
import pyarrow as pa
import pytest

from proof_models import Bigram, Bytes
from tamis.proof import calibration as calibration_module
from tamis.proof.evaluating import evaluate
from tamis.proof.evaluation import COST, ItemSet, NothingAsked, Options
from tamis.proof.evaluation_report import _file, page, render, write
from tamis.proof.holdout import Candidates
from tamis.proof.items import BadItems, Item
from tamis.proof.likelihood import text_losses
from tamis.proof.subjects import Subject

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(257, 257))
WORDS = [f"word{i}" for i in range(2000)]
PLAIN = Options(cost=False)


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(calibration_module, "PERFECT", 20)
    monkeypatch.setattr(calibration_module.calibration, "__kwdefaults__",
                        calibration_module.calibration.__kwdefaults__ | {"resamples": 20})  # fmt: skip


def subject(name, table, tokens="bytes", tmp_path="."):
    return Subject(name, tmp_path, "bigram", Bigram(table, context=120), Bytes(), tokens, None)


def sentence(start, count=40):
    return " ".join(WORDS[start : start + count])


class Trained:
    name = "main"

    def __init__(self, *texts):
        self.texts = list(texts)

    def batches(self):
        yield pa.array([f"{i:032x}" for i in range(len(self.texts))]), pa.array(self.texts, pa.large_string())

    def identity(self):
        return {}


TEXT = Candidates.of([f"d{i}" for i in range(30)], [sentence(60 * i) for i in range(30)], ["books", "web"] * 15)
QUESTIONS = ItemSet("colours", [
    Item(str(i), f"What is {sentence(20 * i, 16)}?", "red", ("red", "green"), 0) for i in range(24)
])  # fmt: skip


def metric(found, group, model, name):
    (one,) = (row.metric for row in found.rows if (row.group, row.model, row.metric.name) == (group, model, name))
    return one


def test_two_models_are_measured_and_compared_on_the_same_cases():
    a, b = subject("a", TABLE), subject("b", 0.5 * TABLE)
    told = []
    options = Options(cost=False, temperature=True)
    found = evaluate([a, b], text=TEXT, sets=[QUESTIONS], options=options, tell=lambda doing, _: told.append(doing))
    begun = [doing for doing, _ in itertools.groupby(told)]
    assert len(begun) == len(set(begun)), begun  # each thing is told of once
    for one in (a, b):
        losses = text_losses(one.model, Bytes(), TEXT.texts, domains=TEXT.domains)
        assert metric(found, "text", one.name, "bits per byte").value == pytest.approx(losses.bits_per_byte().value)
        assert metric(found, "text", one.name, "bits per byte, web").n == 15
        for group in ("next tokens", "colours"):
            assert metric(found, group, one.name, "ECE, monotone bins").low >= 0
            assert metric(found, group, one.name, "temperature").n > 5
    gap = metric(found, "text", "b - a", "bits per byte, difference")
    assert gap.high < 0  # random text is lost less on by the flatter model
    assert metric(found, "colours", "b - a", "accuracy, difference").n == 24
    assert [test[0] for test in found.tests] == ["colours: accuracy"]
    assert 0 < metric(found, "agreement", "a || b", "top-1 agreement").value <= 1
    assert metric(found, "agreement", "a || b", "KL(first || second)").value > 0
    for row in found.rows:
        assert row.metric.n > 0
        assert row.metric.direction in ("lower", "higher", "neither")
        assert row.metric.low <= row.metric.value + 1e-9, row.metric
        assert row.metric.value <= row.metric.high + 1e-9, row.metric
    assert "not proved" in found.notes[0]


def test_what_the_training_text_holds_is_left_out_counted_and_set_apart():
    planted = [item.prompt for item in QUESTIONS.items[:8]]
    trained = Trained(sentence(0), *planted, *planted, *(sentence(i, 60) + " z" for i in range(1900, 1930)))
    found = evaluate([subject("a", TABLE)], text=TEXT, sets=[QUESTIONS], trained=trained, options=PLAIN)
    assert found.proof is not None
    assert found.proof.holds
    assert found.text["documents"] < 30  # d0 and more are in the corpus
    assert "d0" not in found.losses["a"].documents
    assert any("colours: 8 of 24 items stand in the training text" in note for note in found.notes)
    gap = metric(found, "colours", "a", "contamination gap")
    assert gap.note.startswith("8 contaminated, 16 clean; of: probability of the right option; permutation p")
    names = {row.metric.name for row in found.rows if row.group == "memorization"}
    assert {"extractable, 0 copies", "extractable, 1 copies"} <= names
    assert any("extractable, 1 copies against" in group for group, _, _ in found.tests)
    assert "no 13-gram is shared" in render(found)
    assert found.trained == ["a: main, as given; not checked to be what the model read"]
    assert found.trained[0] in render(found)
    assert found.trained[0] in page(found)


def test_items_without_options_are_scored_and_written():
    items = ItemSet("sums", [Item(str(i), f"1 + {i} =", f"step #### {i + 1}") for i in range(6)])
    found = evaluate([subject("a", TABLE)], sets=[items], options=Options(cost=False, write=3, tokens=4))
    assert metric(found, "sums", "a", "cloze accuracy").n == 6
    assert metric(found, "sums", "a", "exact match").n == 3
    none = evaluate([subject("a", TABLE)], sets=[items], options=Options(cost=False, write=0))
    assert not [row for row in none.rows if row.metric.name == "exact match"]
    mixed = ItemSet("mixed", [*items.items, QUESTIONS.items[0]])
    with pytest.raises(BadItems, match="1 of 7 items have options"):
        evaluate([subject("a", TABLE)], sets=[mixed], options=PLAIN)


def test_nothing_asked_and_other_tokenizers():
    with pytest.raises(NothingAsked):
        evaluate([subject("a", TABLE)])
    other = subject("b", TABLE, tokens="tokenizer 12")
    found = evaluate([subject("a", TABLE), other], text=TEXT, options=PLAIN)
    assert any("other tokenizers" in note for note in found.notes)
    assert not [row for row in found.rows if row.group == "agreement"]


def test_the_report_is_the_same_each_time_and_obeys_no_name(tmp_path):
    pytest.importorskip("matplotlib")
    evil = "x|<script>alert(1)</script>\n# y"
    text = Candidates(TEXT.ids, TEXT.texts, [evil, "web"] * 15)
    shown = []
    for folder in ("one", "two"):
        found = evaluate([subject("a/../b", TABLE)], text=text, sets=[QUESTIONS], options=PLAIN)
        shown.append(found)
        made = write(found, tmp_path / folder)
    names = sorted(path.name for path in made)
    shapes = [r"bits-per-byte\.png", r"evaluation\.json", r"losses-a-\.\.-b-\w{8}\.parquet",
              r"reliability-a-\.\.-b-colours-\w{8}\.png", r"reliability-a-\.\.-b-next-tokens-\w{8}\.png",
              r"report\.md"]  # fmt: skip
    assert len(names) == len(shapes)
    assert all(re.fullmatch(shape, name) for shape, name in zip(shapes, names, strict=True)), names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    report = (tmp_path / "one" / "report.md").read_text()
    assert "<script>" not in report
    assert all(line.count(" | ") == 6 for line in report.splitlines() if line.startswith("| "))
    body = json.loads((tmp_path / "one" / "evaluation.json").read_text())
    assert {"unit", "direction", "n", "low", "high", "note"} <= set(body["metrics"][0])
    assert page(shown[0]) == page(shown[1])
    assert not any(isinstance(row["low"], float) and math.isnan(row["low"]) for row in body["metrics"])


def test_other_names_are_other_files():
    names = [("中文",), ("日本",), ("a/b",), ("a b",), ("a-b",), ("x" * 70,), ("x" * 71,), ("a-b", "c"), ("a", "b-c")]
    assert len({_file(*one) for one in names}) == len(names)
    assert _file("6e7b.v1_x") == "6e7b.v1_x"
    assert re.fullmatch(r"unnamed-\w{8}", _file("中文"))


def test_intervals_of_next_tokens_resample_documents():
    found = evaluate([subject("a", TABLE)], text=TEXT, options=Options(cost=False, temperature=True))
    for name in ("ECE, monotone bins", "RMS calibration error, debiased", "Brier score"):
        one = metric(found, "next tokens", "a", name)
        assert "interval: 30 documents resampled" in one.note
        assert one.of == "answers"
    assert "documents resampled" in metric(found, "next tokens", "a", "ECE, monotone bins, after temperature").note


def test_progress_is_told_and_cost_stands_apart(require):
    try:
        import torch
    except ImportError:
        require(False, "torch is not installed")
    from tamis.models.decoder import Config, Decoder
    from tamis.models.model import TorchModel

    torch.set_num_threads(1)
    config = Config(vocab=257, context=32, layers=1, width=16, heads=1)
    module = Decoder(config)
    one = Subject("a", ".", "run", TorchModel(module, 32), Bytes(), "bytes", module, 1000, 2.0, 1.0)
    told = []
    found = evaluate([one], text=TEXT.take(range(4)), tell=lambda doing, tokens: told.append((doing, tokens)))
    assert {doing for doing, _ in told} >= {"a: text", "a: next tokens", "a: cost"}
    assert max(tokens for doing, tokens in told if doing == "a: text") >= sum(len(t) for t in TEXT.texts[:4])
    assert metric(found, COST, "a", "FLOP of training").value == config.flops_per_token * 1000
    assert metric(found, COST, "a", "speed of training").value == 500
    assert not [row for row in found.to_json()["metrics"] if row["group"] == COST]
    assert found.cost_json()
