"""`tamis prove` on a small workspace: same answer from a second call, after a kill, and by the rule fixed before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import proof_work
from tamis.proof import arm_runs, prove_plots, prove_report, proving
from tamis.proof.arm_runs import Measured
from tamis.proof.holdout import Candidates, held
from tamis.proof.preparing import BadDesign, Options, prepare
from tamis.proof.streams import training_texts
from tamis.proof.trained_on import TrainedOn

TOKENS = 20 * 4 * 64
QUICK = Options(tokens=TOKENS, context=64, batch=4, limit_bytes=6_000, share=0.1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return proof_work.make(tmp_path_factory.mktemp("proving"))


@pytest.fixture(scope="module")
def proof(work):
    """raw against main, two pairs, and what was said before."""
    said: list[str] = []
    found = proving.prove(
        TrainedOn(work, "raw"), TrainedOn(work, "main"), QUICK, work, seeds_most=2, processes=1, say=said.append
    )
    prove_plots.write(found, found.prepared.folder)
    prove_report.write(found, found.prepared.folder / "report.md")
    return found, said


def test_a_difference_with_an_interval_on_three_texts(proof):
    found, said = proof
    rows = {d.metric: d for d in found.deciding.differences}
    names = list(rows)
    assert names[0] == "bits per byte, reference"
    assert {"bits per byte, held out of A", "bits per byte, held out of B"} <= set(names)
    assert "bits per byte, python reference" in names
    for d in rows.values():
        assert d.low < d.value < d.high
        assert d.n == 2
        assert 2 < d.a < 12
    assert found.prepared.proof["holds"]
    # before the first run: what it costs and what it can see
    text = "\n".join(said)
    assert text.index("CPU minutes") < text.index("can see")
    assert "80% of the time" in text


def test_both_arms_are_equal_but_for_their_corpus(proof):
    found, _ = proof
    assert {(one.tokens, one.flops) for one in found.results} == {(TOKENS, found.results[0].flops)}
    assert sorted((one.arm, one.seed) for one in found.results) == [("A", 1), ("A", 2), ("B", 1), ("B", 2)]
    # one initialization for both arms of a pair: at the first step the loss differs by the data alone
    first = {(one.arm, one.seed): one.curve[0][1] for one in found.results}
    assert abs(first["A", 1] - first["B", 1]) < 0.1


def test_nothing_set_aside_is_trained_on(proof, work):
    found, _ = proof
    share = json.loads((found.prepared.folder / "held-out.json").read_text())["share"]
    for letter, name in (("A", "raw"), ("B", "main")):
        texts = {text for _, part in training_texts(TrainedOn(work, name), share, 17) for text in part.to_pylist()}
        stream = found.prepared.streams[letter]
        assert stream.documents <= len(texts) + stream.repeated
        assert all(one not in texts for one in found.prepared.texts[letter].texts)
        assert not any(held(ids, share, 17).any() for ids, _ in training_texts(TrainedOn(work, name), share, 17))


def test_a_second_call_trains_nothing(proof, work, monkeypatch):
    found, _ = proof
    monkeypatch.setattr(arm_runs, "perform", lambda job: pytest.fail("trained again"))
    again = proving.prove(TrainedOn(work, "raw"), TrainedOn(work, "main"), QUICK, work, seeds_most=2)
    assert again.reused == len(again.results) == 4
    assert again.deciding.to_json() == found.deciding.to_json()
    assert again.warnings == found.warnings


def test_other_looks_after_the_first_run_are_said(proof, work):
    before = (proof[0].prepared.folder / "announced.json").read_text()
    assert json.loads(before)["looks"] == [2]
    rule = proving.Rule(metric=proof[0].rule.metric, looks=(4, 8))
    assert any("looks chosen after" in one for one in proving._announce_once(proof[0].prepared.folder, rule))
    assert (proof[0].prepared.folder / "announced.json").read_text() == before


def test_the_page_and_the_terminal_say_the_same(proof):
    found, _ = proof
    page = (found.prepared.folder / "report.md").read_text()
    words = prove_report.render(found)
    assert prove_report.answer(found) in page
    assert prove_report.answer(found) in words
    assert words in page
    d = found.deciding.differences[0]
    assert f"{d.value:+.4f}" in words
    assert f"[{d.low:+.4f}, {d.high:+.4f}]" in words
    body = json.loads((found.prepared.folder / "proof.json").read_text())
    assert body["comparisons"]["0.05M"]["metrics"][0]["value"] == d.value
    assert body["arms"]["A"]["name"] == "raw"
    for name in ("curves.png", "differences.png"):
        assert (found.prepared.folder / name).read_bytes()[:4] == b"\x89PNG"


def test_a_killed_proof_goes_on_to_the_same_figures(proof, work, tmp_path):
    """SIGKILL while the second pair trains; the same command again."""
    out = tmp_path / "killed"
    code = (
        "from tamis.proof import proving\nfrom tamis.proof.preparing import Options\n"
        "from tamis.proof.trained_on import TrainedOn\nfrom pathlib import Path\n"
        "if __name__ == '__main__':\n"
        f"    options = Options(tokens={TOKENS}, context=64, batch=4, limit_bytes=6_000, share=0.1)\n"
        f"    proving.prove(TrainedOn({str(work)!r}, 'raw'), TrainedOn({str(work)!r}, 'main'), options, "
        f"Path({str(tmp_path)!r}), seeds_most=2, processes=1, out=Path({str(out)!r}))\n"
    )
    script = tmp_path / "go.py"
    script.write_text(code)
    command = [sys.executable, str(script)]
    child = subprocess.Popen(command, start_new_session=True)
    while not list(out.glob("results/*-A-1.json")) and child.poll() is None:
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not (out / "proof.json").exists()
    subprocess.run(command, check=True, timeout=500)
    killed = json.loads((out / "proof.json").read_text())
    assert killed["reused"] >= 1
    assert killed["comparisons"]["0.05M"]["metrics"] == proof[0].to_json()["comparisons"]["0.05M"]["metrics"]


def test_items_are_measured_beside_the_text(work, tmp_path, proof):
    rows = [{"text": f"{i} and {i} is", "options": [f"{2 * i}", f"{2 * i + 1}"], "answer": "A"} for i in range(12)]
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    prepared = proof[0].prepared
    options = Options(tokens=TOKENS, context=64, batch=4, limit_bytes=6_000, share=0.1, items=str(path))
    job = prepared.job("A", "0.05M", 1)
    found = arm_runs.perform(
        type(job)(**{**vars(job), "items": options.items, "out": str(tmp_path / "with-items.json")})
    )
    assert set(found.items) == {"accuracy", "probability of the right option"}
    assert found.run == proof[0].results[0].run, "the trained run is another proof's too"
    assert found.bits == proof[0].results[0].bits


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens": 10_000, "flops": 1e9}, "once"),
        ({"sizes": ("3M",)}, "no size '3M'"),
        ({"sizes": ()}, "at least one size"),
    ],
)
def test_designs_that_cannot_be(arguments, message):
    with pytest.raises(BadDesign, match=message):
        Options(**arguments)


def test_too_short_runs_and_foreign_folders_are_refused(work, tmp_path, proof):
    arms = {"A": TrainedOn(work, "raw"), "B": TrainedOn(work, "main")}
    with pytest.raises(BadDesign, match="at least 20 steps"):
        prepare(arms, Options(tokens=1000, context=64, batch=4), work)
    with pytest.raises(BadDesign, match="another proof"):
        prepare(arms, Options(tokens=2 * TOKENS, context=64, batch=4), work, out=proof[0].prepared.folder)


def test_one_corpus_against_itself_is_refused(work):
    with pytest.raises(proving.SameText, match="nothing to prove"):
        proving.prove(TrainedOn(work, "main"), TrainedOn(work, "main"), QUICK, work, seeds_most=2)


def test_without_a_reference_the_proof_is_the_weaker_one(work, tmp_path):
    arms = {"A": TrainedOn(work, "raw"), "B": TrainedOn(work, "main")}
    options = Options(tokens=TOKENS, context=64, batch=4, limit_bytes=6_000, share=0.1, machine=False)
    prepared = prepare(arms, options, work, out=tmp_path / "weak")
    assert prepared.weaker
    assert set(prepared.texts) == {"A", "B"} == set(prepared.primary)
    assert any("weaker proof" in one for one in prepared.warnings)
    bits = {"A": {"": 3.0}, "B": {"": 2.0}}
    result = Measured("A", "0.05M", 1, 1, 1.0, 1.0, 1.0, bits, {}, [], [], "")
    values = proving.values_of(prepared, [result], "A", "0.05M")
    assert values[proving.primary_name(prepared)].values == {1: 2.5}


def test_a_corpus_that_is_repeated_often_is_said(proof):
    prepared = proof[0].prepared
    many = type(prepared)(**{**vars(prepared), "tokens": {"0.05M": 9 * prepared.streams["B"].unique}})
    from tamis.proof.preparing import _warnings

    said = [one for one in _warnings(many) if "epochs" in one]
    assert len(said) >= 1
    assert "B repeats its" in said[-1]


def test_scatter_is_learnt_from_the_proof_nearest_in_length(tmp_path):
    for name, tokens, sd in (("aa", 1_000_000, 0.02), ("bb", 4_000_000, 0.01)):
        folder = tmp_path / "proofs" / name
        folder.mkdir(parents=True)
        metric = {"n": 4, "sd": sd}
        body = {"comparisons": {"0.05M": {"metrics": [metric]}}, "sizes": [{"size": "0.05M", "tokens": tokens}]}
        (folder / "proof.json").write_text(json.dumps(body))
    (tmp_path / "proofs" / "torn").mkdir()
    (tmp_path / "proofs" / "torn" / "proof.json").write_text("{")
    assert proving.known_scatter(tmp_path, "0.05M", 3_000_000, tmp_path)[0] == 0.01
    assert proving.known_scatter(tmp_path, "0.05M", 1_500_000, tmp_path)[0] == 0.02
    assert proving.known_scatter(tmp_path, "0.05M", 1_500_000, tmp_path / "proofs" / "aa")[0] == 0.01
    assert "default" in proving.known_scatter(tmp_path, "0.8M", 1_500_000, tmp_path)[1]


def test_held_out_pieces_are_drawn_not_the_first(work):
    from tamis.proof.preparing import _aside

    texts = TrainedOn(work, "raw")
    every = _aside(texts, 0.25, 10**9)
    some = _aside(texts, 0.25, 20_000)
    assert isinstance(some, Candidates)
    assert some.ids == every.ids[: len(some)]
    order = [i for ids, _ in texts.batches() for i in ids.to_pylist()]
    places = [order.index(i) for i in some.ids]
    assert places != sorted(places)
    assert 20_000 < sum(len(text) for text in some.texts) < 26_000


def test_the_command_line(work, proof, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tamis", "prove", "raw", "nothing", "--work", str(work)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no corpus nothing" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "tamis", "prove", "--help"], capture_output=True, text=True, cwd=Path(tmp_path)
    )
    assert "tamis prove raw main" in done.stdout
