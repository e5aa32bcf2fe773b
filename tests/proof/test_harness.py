import json

import numpy as np
import pytest

from proof_models import Bigram, Bytes
from tamis.proof.choices import multiple_choice
from tamis.proof.items import read_items
from tamis.proof.likelihood import text_losses

ENCODER = Bytes()
TABLE = np.random.default_rng(0).normal(size=(257, 257)) * 2


@pytest.fixture(scope="module")
def harness(require):
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        require(False, "lm-eval is not installed")
    from tamis.proof import harness

    return harness


class Request:
    def __init__(self, *args):
        self.args = args


@pytest.fixture
def questions(tmp_path):
    rng = np.random.default_rng(1)
    words = ["red", "a green one", "blue", "x"]
    rows = []
    for number in range(30):
        options = [str(one) for one in rng.permutation(words)[: rng.integers(2, 5)]]
        rows.append({"question": f"What is number {number}?", "choices": options, "answer": int(number % len(options))})
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def settings(path, **more):
    return {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "test_split": "test",
        "doc_to_text": "{{question}}",
        **more,
    }


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_a_task_gives_what_our_own_multiple_choice_gives(harness, questions, no_cache, tmp_path):
    task = tmp_path / "colours.yaml"
    body = settings(questions, task="colours", output_type="multiple_choice", doc_to_choice="{{choices}}",
                    doc_to_target="{{answer}}", metric_list=[{"metric": "acc"}, {"metric": "acc_bytes"}])  # fmt: skip
    task.write_text(json.dumps(body))  # JSON is YAML
    model = Bigram(TABLE, context=64)
    (found,) = harness.run(model, ENCODER, [str(task)])
    ours = multiple_choice(model, read_items(questions), ENCODER)
    by_name = {one.name: one for one in found.metrics}
    assert by_name["acc"].value == pytest.approx(ours.accuracy().value, abs=1e-12)
    assert by_name["acc"].n == 30
    assert (by_name["acc"].low, by_name["acc"].high) == (ours.accuracy().low, ours.accuracy().high)
    assert by_name["acc_bytes"].value == pytest.approx(ours.accuracy(per_byte=True).value, abs=1e-12)
    assert by_name["acc"].direction == "higher"
    assert 0 < ours.accuracy().value < 1
    # every likelihood, not only who won
    asked = [Request(one.prompt, " " + option) for one in ours.items for option in one.options]
    theirs = [nats for nats, _ in harness.HarnessModel(model, ENCODER).loglikelihood(asked)]
    assert theirs == pytest.approx(np.concatenate(ours.scores).tolist(), abs=1e-6)


def test_rolling_likelihood_is_that_of_the_text(harness):
    texts = ["short", "a text that is much longer than one window of the model", ""]
    for context in (7, 200):
        model = Bigram(TABLE, context)
        found = harness.HarnessModel(model, ENCODER).loglikelihood_rolling([Request(one) for one in texts])
        assert found == pytest.approx((-text_losses(model, ENCODER, texts).nats).tolist(), abs=1e-6)


def test_generation_stops_and_samples_nothing(harness):
    table = np.zeros((257, 257))
    for a, b in zip("abc.", "bc.a", strict=True):
        table[ord(a), ord(b)] = 9
    model = harness.HarnessModel(Bigram(table, 40), ENCODER)
    asked = [
        Request("a", {"until": ["."]}),
        Request("xa", {"until": [], "max_gen_toks": 6}),
        Request("b", {"until": "c"}),
    ]
    assert model.generate_until(asked) == ["bc", "bc.abc", ""]
    with pytest.raises(harness.BadTask, match="likeliest"):
        model.generate_until([Request("a", {"do_sample": True, "temperature": 0.7})])


def test_blanks_move_and_greedy_is_told(harness):
    table = np.zeros((257, 257))
    table[ord("a"), ord(" ")] = table[ord(" "), ord("b")] = 20
    model = harness.HarnessModel(Bigram(table, 40), ENCODER)
    (one, hit), (other, miss) = model.loglikelihood([Request("a ", "b"), Request("a", " c")])
    assert one == pytest.approx(0, abs=1e-5)
    assert hit
    assert not miss
    assert other < -10


def test_other_metrics_keep_the_harness_interval_or_say_that_there_is_none(harness, tmp_path, no_cache):
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"question": "", "text": f"a text, number {i}"}) for i in range(8)))
    body = settings(path, task="rolling", output_type="loglikelihood_rolling", doc_to_target="{{text}}",
                    metric_list=[{"metric": "bits_per_byte"}])  # fmt: skip
    model = Bigram(TABLE, 16)
    (found,) = harness.run(model, ENCODER, [body])
    (metric,) = found.metrics
    texts = [f"a text, number {i}" for i in range(8)]
    assert metric.value == pytest.approx(text_losses(model, ENCODER, texts).bits_per_byte().value, abs=1e-6)
    assert metric.direction == "lower"
    assert "no interval" in metric.note


def test_what_is_not_here_is_not_fetched(harness, tmp_path):
    with pytest.raises(harness.BadTask, match="no such file"):
        harness.run(Bigram(TABLE), ENCODER, [str(tmp_path / "none.yaml")])
    body = settings("x", task="far", output_type="loglikelihood_rolling", doc_to_target="{{text}}")
    body |= {"dataset_path": "super_glue", "dataset_name": "boolq", "dataset_kwargs": {}}
    with pytest.raises(harness.BadTask, match=r"cannot run far.*must be on this machine"):
        harness.run(Bigram(TABLE), ENCODER, [body], limit=2)
