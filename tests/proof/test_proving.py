"""`tamis prove` on a small workspace: same answer from a second call, after a kill, and by the rule fixed before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import proof_work
from tamis.models.data import ByteEncoder
from tamis.proof import arm_runs, prove_plots, prove_report, proving
from tamis.proof.arm_runs import Measured
from tamis.proof.holdout import Candidates, held
from tamis.proof.preparing import BadDesign, Options, _looked_up, prepare
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
    assert "bits per byte, reference: python reference" in names
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


def test_a_seed_gives_both_arms_one_initialization(proof, monkeypatch):
    """And another seed another one: every weight that is drawn is looked at where training takes over the module."""
    import torch

    from tamis.models import training

    seen = {}

    class Stop(Exception):
        pass

    def looked(module, feed, settings):
        seen[key] = torch.cat([one.detach().flatten() for one in module.parameters()])
        raise Stop

    monkeypatch.setattr(training, "Loop", looked)
    for key in (("A", 1), ("B", 1), ("A", 2)):
        job = proof[0].prepared.job(key[0], "0.05M", key[1], tokens=TOKENS * 2)
        with pytest.raises(Stop):
            arm_runs.perform(replace(job, out=f"{job.out}.none"))
    assert torch.equal(seen["A", 1], seen["B", 1])
    assert not torch.equal(seen["A", 1], seen["A", 2])


def test_nothing_set_aside_is_trained_on(proof, work):
    found, _ = proof
    share = json.loads((found.prepared.folder / "held-out.json").read_text())["share"]
    for letter, name in (("A", "raw"), ("B", "main")):
        stream = found.prepared.streams[letter]
        read = np.asarray(stream.ids()).astype(np.uint8).tobytes()
        for text in found.prepared.texts.values():
            for piece in text.texts:
                data = piece.encode()
                assert data[max(0, len(data) // 2 - 150) :][:300] not in read
        # what is not set aside is there: the search can find
        parts = [part.to_pylist() for _, part in training_texts(TrainedOn(work, name), share, 17)]
        assert sum(one.encode()[:300] in read for part in parts for one in part) >= 5
        assert not any(held(ids, share, 17).any() for ids, _ in training_texts(TrainedOn(work, name), share, 17))


def test_a_second_call_trains_nothing(proof, work, monkeypatch):
    found, _ = proof
    monkeypatch.setattr(arm_runs, "perform", lambda job: pytest.fail("trained again"))
    again = proving.prove(TrainedOn(work, "raw"), TrainedOn(work, "main"), QUICK, work, seeds_most=2)
    assert again.reused == len(again.results) == 4
    assert again.deciding.to_json() == found.deciding.to_json()
    assert again.warnings == found.warnings


def test_looks_and_announcement_stay_what_they_were(proof, work):
    """Stopping early changes no look; what is printed as announced is what was, not what is known by now."""
    found, _ = proof
    assert found.rule.looks == (4, 8, 12)
    decision = found.deciding.decision
    assert (decision.answer, decision.more, decision.look) == ("more", 2, 0)
    assert "needs 2 more seeds" in prove_report.answer(found)
    path = found.prepared.folder / "announced.json"
    before = path.read_text()
    assert json.loads(before)["looks"] == [4, 8, 12]
    assert proving._announced_once(found.prepared.folder, found.rule, 99.0, "elsewhere") == found.announced
    assert path.read_text() == before
    with pytest.raises(BadDesign, match="under another rule"):
        proving._announced_once(found.prepared.folder, replace(found.rule, looks=(2,)), 1.0, "")


@pytest.mark.parametrize("most", [1, 13])
def test_no_look_beyond_the_last(most):
    with pytest.raises(BadDesign, match="last look"):
        proving.stops(most)


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
    assert "in bit/byte, lower is better" in words
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


def test_items_that_an_arm_trains_on_are_not_asked(work, tmp_path, proof):
    rows = [{"text": f"{i} and {i} is", "options": [f"{2 * i}", f"{2 * i + 1}"], "answer": "A"} for i in range(12)]
    _, part = next(training_texts(TrainedOn(work, "main"), 0.25, 17))
    words = max(part.to_pylist(), key=len).split()[10:60]
    rows.insert(3, {"text": " ".join(words[:-3]), "options": [" ".join(words[-3:]), "no"], "answer": "A"})
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    prepared = proof[0].prepared
    options = replace(QUICK, items=str(path))
    items = _looked_up(tmp_path, prepared.arms, options, 0.25, lambda line: None)
    assert items["asked"] == [0, 1, 2, *range(4, 13)]
    assert items["found"]["B"] == 1
    assert "12 of 13 items are asked" in proving.items_said(items)
    asked: list[int] = []
    job = replace(
        prepared.job("A", "0.05M", 1), items=options.items, asked=str(tmp_path / "items.json"),
        out=str(tmp_path / "with-items.json"),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        from tamis.proof import choices

        measure = choices.multiple_choice
        patch.setattr(choices, "multiple_choice", lambda m, i, e: (asked.append(len(i)), measure(m, i, e))[1])
        found = arm_runs.perform(job)
    assert asked == [12]
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
    # the upper 95 % limit at 4 pairs: sqrt(3 / 0.3518)
    assert proving.known_scatter(tmp_path, "0.05M", 3_000_000, tmp_path)[0] == pytest.approx(0.0292, rel=0.01)
    assert proving.known_scatter(tmp_path, "0.05M", 1_500_000, tmp_path)[0] == pytest.approx(0.0584, rel=0.01)
    nearest = proving.known_scatter(tmp_path, "0.05M", 1_500_000, tmp_path / "proofs" / "aa")
    assert nearest[0] == pytest.approx(0.0292, rel=0.01)
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


def test_a_domain_cannot_stand_for_another_metric(proof):
    """Whatever a reference file is called, the whole reference decides."""
    prepared = proof[0].prepared
    bits = {"reference": {"": 3.0, "reference": 1.0, "held out of A": 2.0}, "A": {"": 4.0}, "B": {"": 5.0}}
    result = Measured("A", "0.05M", 1, 1, 1.0, 1.0, 1.0, bits, {}, [], [], "")
    found = {name: one.values[1] for name, one in proving.values_of(prepared, [result], "A", "0.05M").items()}
    assert next(iter(found.items())) == ("bits per byte, reference", 3.0)
    assert found["bits per byte, reference: reference"] == 1.0
    assert found["bits per byte, reference: held out of A"] == 2.0
    assert found["bits per byte, held out of A"] == 4.0
    with pytest.raises(ValueError, match="two values of seed 1"):
        proving.values_of(prepared, [result, result], "A", "0.05M")


def test_another_version_of_the_training_is_another_proof(proof, work, monkeypatch):
    from tamis.models import settings, training

    folder = proof[0].prepared.folder
    design = json.loads((folder / "design.json").read_text())
    assert design["training"] == training.VERSION
    assert design["torch"]
    arms = {"A": TrainedOn(work, "raw"), "B": TrainedOn(work, "main")}
    for patch in (lambda: monkeypatch.setattr(training, "VERSION", -1), lambda: settings.RATES.update(muon=0.5)):
        kept = dict(settings.RATES)
        patch()
        with pytest.raises(BadDesign, match="another proof"):
            prepare(arms, QUICK, work, out=folder)
        settings.RATES.update(kept)
        monkeypatch.undo()


def test_a_run_with_a_tokenizer_file_holds_it(proof, tmp_path, monkeypatch):
    """So that `tamis evaluate` does not read it as bytes."""
    from tamis.models import training

    given = {}

    class Stop(Exception):
        pass

    def looked(*arguments, **named):
        given.update(named)
        raise Stop

    monkeypatch.setattr(training, "train", looked)
    monkeypatch.setattr(arm_runs, "encoder_of", lambda name: ByteEncoder())
    job = proof[0].prepared.job("A", "0.05M", 1)
    for encoder, wanted in (("bytes", None), (str(tmp_path / "t.json"), tmp_path / "t.json")):
        with pytest.raises(Stop):
            arm_runs.perform(replace(job, encoder=encoder, out=str(tmp_path / "none.json")))
        assert given["tokenizer"] == wanted


def test_names_are_inert_in_the_page(proof, tmp_path):
    found, _ = proof
    texts = found.prepared.arms["B"]
    hostile = type("T", (), {"name": "x`](http://a.b) <b>", "label": "l", "identity": lambda self: texts.identity()})()
    prepared = replace(found.prepared, arms={**found.prepared.arms, "B": hostile})
    accepted = replace(found.deciding, decision=replace(found.deciding.decision, answer="accept"))
    other = replace(found, prepared=prepared, comparisons={"0.05M": accepted}, warnings=["<img src=x> [a](b)"])
    prove_report.write(other, tmp_path / "report.md")
    before = (tmp_path / "report.md").read_text().split("## In all")[0]
    assert "<img" not in before
    assert "[a](b)" not in before
    assert "`x'](http://a.b) <b>`" in before.split("**")[1]


def test_the_rule_not_p_says_of_the_first_metric(proof):
    found, _ = proof
    first, second = found.deciding.differences[:2]
    shown = replace(found.deciding, differences=[replace(first, shown=True), replace(second, shown=True)])
    words = prove_report.render(replace(found, comparisons={"0.05M": shown})).splitlines()
    rows = [line for line in words if line.startswith("bits per byte")]
    assert rows[0].endswith("better, by the rule")
    assert rows[1].endswith("better")


def _runner(job):
    """A made-up model: its loss falls as a power of tokens, B's is that of A with 1.5 times as many."""
    tokens = job.tokens * (1.5 if job.arm == "B" else 1)
    loss = 2 + 30 * tokens**-0.3 + 0.001 * (job.seed % 3) + 1e-4 * (job.seed % 2) * (job.arm == "B")
    bits = {name: {"": loss} for name in ("reference", "A", "B")}
    return Measured(job.arm, job.size, job.seed, job.tokens, 1.0, 1.0, 1.0, bits, {}, [], [], "")


def test_what_it_is_worth_by_training_the_first_arm_longer(proof, work, tmp_path, monkeypatch):
    from tamis.models import many

    asked = []
    monkeypatch.setattr(arm_runs, "perform", _runner)
    monkeypatch.setattr(many, "many", lambda f, jobs, *_, **__: [asked.append(job) or f(job) for job in jobs])
    said: list[str] = []
    arms = TrainedOn(work, "raw"), TrainedOn(work, "main")
    options = replace(QUICK, tokens=2 * TOKENS)
    found = proving.prove(*arms, options, work, out=tmp_path / "p", law=proving.HERE, say=said.append)
    (worth,) = found.equivalents
    assert worth.factor == pytest.approx(1.5, rel=0.01)
    assert 1.4 < worth.low < worth.factor < worth.high < 1.6
    assert "A needs 1.5x its tokens" in prove_report.render(found)
    assert "also the compute-equivalent" in str(worth)
    extra = [job for job in asked if job.tokens != 2 * TOKENS]
    assert sorted({(job.arm, job.seed) for job in extra}) == [("A", 1), ("A", 2)]
    assert sorted({job.tokens for job in extra}) == [TOKENS // 2, TOKENS, 4 * TOKENS]
    assert len({job.out for job in asked}) == len(asked) == 4 * 2 + 6
    assert found.reused == 0
    text = "\n".join(said)
    assert "6 runs of A" in text
    assert text.index("6 runs of A") < text.index("can see")


def test_runs_of_later_looks_are_not_called_reused(work, tmp_path, monkeypatch):
    """The arms differ by nothing but noise, so that every look is taken."""
    from tamis.models import many

    def noise(job):
        sign = (-1) ** job.seed * (1 if job.arm == "A" else -1)
        bits = {name: {"": 3 + 0.01 * sign} for name in ("reference", "A", "B")}
        made = Measured(job.arm, job.size, job.seed, job.tokens, 1.0, 1.0, 1.0, bits, {}, [], [], "")
        Path(job.out).write_text(json.dumps(vars(made)))
        return made

    monkeypatch.setattr(arm_runs, "perform", noise)
    monkeypatch.setattr(many, "many", lambda f, jobs, *_, **__: [f(job) for job in jobs])
    found = proving.prove(
        TrainedOn(work, "raw"), TrainedOn(work, "main"), QUICK, work, out=tmp_path / "p", seeds_most=6
    )
    assert (len(found.results), found.reused) == (12, 0)
    assert (found.deciding.decision.answer, found.deciding.decision.more) == ("more", 2)
    again = proving.prove(TrainedOn(work, "raw"), TrainedOn(work, "main"), QUICK, work, out=tmp_path / "p")
    assert (len(again.results), again.reused) == (24, 12)
    assert again.deciding.decision.answer == "reject"


def test_what_it_is_worth_by_a_law(proof, tmp_path):
    """The gain in bits per byte of the reference, in the nats per token of the law; an unreliable law gives nothing."""
    from tamis.proof.scaling import LossFit, Status

    found, _ = proof
    fit = LossFit(A=20.0, B=60.0, E=0.5, alpha=0.4, beta=0.3, objective=0.0, status=Status.CONVERGED, why="")
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(fit.to_json()))
    d = replace(found.deciding.differences[0], value=-0.05, differences=np.array([-0.049, -0.05, -0.05, -0.051]))
    (data, compute), why = proving._worth(found.prepared, replace(found.deciding, differences=[d]), path)
    term = 60 * TOKENS**-0.3
    assert why == ""
    assert data.factor == pytest.approx((1 - 0.05 * np.log(2) / term) ** (-1 / 0.3))
    assert 1 < data.low < data.factor < data.high
    assert compute.kind == "compute-equivalent"
    path.write_text(json.dumps(replace(fit, status=Status.FLAT, why="two sizes").to_json()))
    assert proving._worth(found.prepared, found.deciding, path) == (
        [], f"no law: {path} is unreliable: the fit is unreliable (FLAT): two sizes"
    )  # fmt: skip
    path.write_text("{}x")
    with pytest.raises(BadDesign, match="no fit of"):
        proving._worth(found.prepared, found.deciding, path)
    with pytest.raises(BadDesign, match="or `here`"):
        proving._worth(found.prepared, found.deciding, tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["raw", "main", "--seeds", "4"], "go with --rules"),
        (["raw", "main", "--only", "short"], "go with --rules"),
        (["--rules", "main", "--seeds-most", "4"], "--rules goes with"),
        (["raw", "main", "--sizes", "9M"], "no size"),
        (["raw", "main", "--seeds-most", "13"], "last look"),
    ],
)
def test_wrong_use(work, arguments, message):
    from typer.testing import CliRunner

    from tamis.cli import app

    done = CliRunner().invoke(app, ["prove", *arguments, "--work", str(work), "--tokens", "100000"])
    assert done.exit_code == 2
    assert message in done.output


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
