"""The ledger of rules: what its design sees, which rules it trains, how it judges, and one made for real."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

import proof_work  # noqa: E402
from tamis.cli import app  # noqa: E402
from tamis.corpora import Corpus  # noqa: E402
from tamis.proof import judged_rules, ledger, ledger_report, small_runs  # noqa: E402
from tamis.proof.comparison import difference  # noqa: E402
from tamis.proof.left_out import LeftOut, leave_out  # noqa: E402
from tamis.workspace import Workspace  # noqa: E402

RECIPE = """
name: main
sources: [{name: docs, path: docs.jsonl}]
rules:
  set:
    short: text.words >= 30
    long: text.words <= 300
    menu: text.stop_words >= 2
tokens: null
"""


def test_what_the_design_sees_is_seen_that_often_by_simulation() -> None:
    found = judged_rules.sees(0.01, "here", seeds=6, rules=5, slope=0.4)
    random = np.random.default_rng(2)
    draws = found.effect + 0.01 * random.standard_normal((20_000, 6))
    t = draws.mean(1) / (draws.std(1, ddof=1) / math.sqrt(6))
    from scipy.stats import t as student

    p = 2 * student.sf(np.abs(t), 5)
    assert np.mean(p < judged_rules.LEVEL / 5) == pytest.approx(judged_rules.POWER, abs=0.012)
    # the share of useless text that makes such a difference: slope x ln(1 / (1 - share))
    assert found.share is not None
    assert -0.4 * math.log(1 - found.share) == pytest.approx(found.effect)
    assert judged_rules.sees(0.01, "here", 6, 5, -0.1).share == 1.0
    assert (
        judged_rules.sees(0.01, "here", 6, 1, 0.4).effect
        < found.effect
        < judged_rules.sees(0.01, "here", 4, 5, 0.4).effect
    )


def rule(name: str) -> LeftOut:
    empty = np.zeros(0, np.int64)
    return LeftOut(name, "x > 1", ("text",), 5, empty, empty, 0, 0)


def test_as_many_rules_are_trained_as_can_be_seen_among_so_many() -> None:
    rules = [rule(name) for name in "abcde"]
    shares = {"a": 0.001, "b": 0.2, "c": 0.06, "d": 0.3, "e": 0.01}
    seen, chosen = judged_rules.chosen(rules, shares, 0.008, 6, 0.4, None, False)
    assert seen.share is not None
    assert seen.rules == len(chosen)
    assert [one.rule for one in chosen] == [name for name in "abcde" if shares[name] >= seen.share]
    # one more would not be seen among one more
    left = [shares[one.rule] for one in rules if one not in chosen]
    more = judged_rules.sees(0.008, "", 6, len(chosen) + 1, 0.4)
    assert more.share is not None
    assert max(left) < more.share
    seen, chosen = judged_rules.chosen(rules, shares, 0.008, 6, 0.4, 0.05, False)
    assert [one.rule for one in chosen] == ["b", "c", "d"]
    assert seen.rules == 3
    assert len(judged_rules.chosen(rules, shares, 0.008, 6, 0.4, None, True)[1]) == 5
    assert judged_rules.chosen(rules, shares, 5.0, 6, 0.4, None, False)[1] == []


def test_rules_are_judged_by_t_with_holm_and_sorted() -> None:
    random = np.random.default_rng(5)
    seeds = 6
    full = 3 + 0.01 * random.standard_normal(seeds)
    effects = {"hurts": -0.05, "helps": 0.08, "nothing": 0.0}
    rules = [rule(name) for name in (*effects, "small")]

    def arm(values: np.ndarray) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(bits={"reference": one, "own": one + 1}, domains={"reference": {"x": one}})
            for one in values
        ]

    arms = [arm(full + effect + 0.004 * random.standard_normal(seeds)) for effect in effects.values()]
    whole = SimpleNamespace(rules=rules)
    rows = judged_rules.rows(
        whole, rules, rules[:3], arms, full, arm(full), dict.fromkeys([*effects, "small"], 0.1), {"text": 2.0}, 0.05
    )
    assert [row.rule for row in rows] == ["helps", "nothing", "hurts", "small"]
    assert [row.says.split(";")[0] for row in rows[:3]] == ["the rule helps", "no change shown", "the rule hurts"]
    for row in rows[:3]:
        assert row.p is not None
        assert row.p_holm is not None
        assert row.p <= row.p_holm <= 1
        assert row.change is not None
        assert row.domains["x"] == pytest.approx(row.change.value)
        assert row.own == pytest.approx(row.change.value)
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.change.value < row.high
        assert (row.low > 0 or row.high < 0) == (row.says in ("the rule helps", "the rule hurts"))
    assert rows[0].p_holm == pytest.approx(3 * rows[0].p)
    assert rows[3].change is None
    assert rows[3].cpu == 2.0
    assert "nothing comes back" in rows[3].why


def test_a_hundred_ledgers_of_rules_that_do_nothing_declare_something_in_five() -> None:
    random = np.random.default_rng(7)
    found = 0
    for _ in range(400):
        raw = [judged_rules.paired_t(row) for row in 0.01 * random.standard_normal((8, 6))]
        found += min(judged_rules.holm(raw)) < judged_rules.LEVEL
    assert found / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert judged_rules.paired_t(np.zeros(5)) == 1.0


def test_intervals_leave_out_0_exactly_where_holm_rejects() -> None:
    from scipy.stats import t

    assert judged_rules.holm_levels([0.2, 0.001, 0.02, 0.03]) == [0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3]
    random = np.random.default_rng(3)
    for _ in range(200):
        rows = random.normal([[0.0], [0.006], [0.012], [0.02]], 0.01, (4, 6))
        raw = [judged_rules.paired_t(row) for row in rows]
        for row, p, level in zip(rows, judged_rules.holm(raw), judged_rules.holm_levels(raw), strict=True):
            low, high = judged_rules.t_interval(row, level)
            assert (low > 0 or high < 0) == (p < judged_rules.LEVEL)
    low, high = judged_rules.t_interval(np.array([1.0, 2.0, 3.0]), 0.05)
    assert (low, high) == pytest.approx(t.interval(0.95, 2, 2.0, 1 / math.sqrt(3)))


def test_a_judged_ledger_is_not_asked_again_with_other_pairs_or_rules(tmp_path: Path) -> None:
    question = {"corpus": {"hash": "a"}, "tokens": 1000}
    asked = {"seeds": 5, "only": ["long"], "least_share": None}
    note = ledger.announce(tmp_path, question, asked)
    # nothing was judged yet: change your mind
    assert ledger.announce(tmp_path, question, {**asked, "seeds": 4}) == note
    ledger.announce(tmp_path, question, asked)
    ledger._judged(note)
    assert ledger.announce(tmp_path, question, asked) == note
    for other in ({"seeds": 6}, {"only": []}, {"only": ["short"]}):
        with pytest.raises(ledger.BadQuestion, match=r"judged with 5 pairs.*--seeds 5 --only long"):
            ledger.announce(tmp_path, question, {**asked, **other})
    assert json.loads(note.read_text())["asked"] == asked
    more = ledger.announce(tmp_path, {**question, "tokens": 2000}, asked)
    assert (ledger._others(more), ledger._others(note)) == (1, 0)


def test_own_text_is_a_draw_and_not_the_beginning_of_the_crawl() -> None:
    ids = [f"{n:032x}" for n in range(4000)]
    texts = [f"{n:08d}" for n in range(4000)]

    def batches() -> Iterator[tuple[pa.Array, pa.Array]]:
        for at in range(0, 4000, 500):
            yield pa.array(ids[at : at + 500]), pa.array(texts[at : at + 500])

    every = ledger.set_aside(SimpleNamespace(batches=batches), 10**6)
    some = ledger.set_aside(SimpleNamespace(batches=batches), 160)
    assert 40 < len(every) < 130
    assert some.texts == every.texts[:20]
    assert some.texts != sorted(every.texts)[:20]
    assert set(some.texts) != set(sorted(every.texts)[:20])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proof_work.make(tmp_path_factory.mktemp("ledger"), RECIPE)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "prose.jsonl"
    words = ["river", "stone", "winter", "lamp", "bread", "garden", "window", "letter", "morning", "harbour"]
    random = np.random.default_rng(4)
    lines = [json.dumps({"text": " ".join(random.choice(words, 120))}) for _ in range(40)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_ledger_is_made_and_answers_at_once_the_second_time(work: Path, reference: Path) -> None:
    asked = ["prove", "--rules", "main", "--work", str(work), "--tokens", "9000", "--seeds", "2", "-j", "1",
             "--only", "long", "--reference", str(reference), "--sizes", "0.01M", "--json"]  # fmt: skip
    first = CliRunner().invoke(app, asked)
    assert first.exit_code == 0, first.output
    body = json.loads(first.stdout)
    rows = {row["rule"]: row for row in body["rules"]}
    whole = leave_out(Corpus(Workspace(work)))
    for one in whole.rules:
        assert (rows[one.rule]["fails"], rows[one.rule]["documents"]) == (one.fails, len(one.back))
    assert rows["long"]["change"]["n"] == 2
    assert rows["long"]["p_holm"] == rows["long"]["p"]
    assert rows["long"]["tokens"] == next(one.bytes_back + len(one.back) for one in whole.rules if one.rule == "long")
    assert 0 < rows["long"]["share"] < 1
    assert rows["menu"]["change"] is None
    assert rows["menu"]["cpu"] > 0
    assert "no 13-gram is shared" in body["held_out"]
    assert body["models"]["trained"] == 2 + 2 + 2 + 2
    assert {"design", "can see"} <= {line[:9].strip() for line in first.stderr.splitlines()}
    again = json.loads(CliRunner().invoke(app, asked).stdout)
    assert again["models"]["trained"] == 0
    assert again["rules"][0]["change"] == body["rules"][0]["change"]
    other = CliRunner().invoke(app, ["3" if one == "2" else one for one in asked])
    assert other.exit_code == 2
    assert "judged with 2 pairs" in other.output


class Stop(Exception):
    """Before anything is trained."""


def test_the_placebo_is_text_that_the_run_does_not_read_and_changed_references_are_read_again(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[small_runs.Job] = []

    def outcomes(jobs: list[small_runs.Job], *rest: object) -> None:
        given[:] = jobs
        raise Stop

    monkeypatch.setattr(ledger, "outcomes", outcomes)
    prose = tmp_path / "prose.jsonl"
    held = []
    for words in ("river stone winter", "lamp bread garden"):
        random = np.random.default_rng(4)
        texts = [" ".join(random.choice(words.split(), 120)) for _ in range(40)]
        prose.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        with pytest.raises(Stop):
            ledger.run(work, "main", seeds=2, tokens=9000, size="0.01M", references=[str(prose)], out=tmp_path / "out")
        held.append(given[0].held["reference"])
    assert held[0] != held[1]
    assert "lamp" in held[1].read_text()

    def sequences(job: small_runs.Job) -> list[bytes]:
        feed = small_runs.feed_of(job)
        return [row.tobytes() for step in range(job.steps) for row in feed(0, step)]

    full, placebo = given[0], next(job for job in given if job.named["arm"] == "placebo")
    plain, mixed = sequences(full), sequences(placebo)
    taken = {one for one, other in zip(mixed, plain, strict=True) if one != other}
    assert abs(len(taken) - len(plain) * judged_rules.PLACEBO) <= 1
    assert not taken & set(plain)


def test_what_of_the_placebo_is_new_where_a_corpus_is_small() -> None:
    assert ledger._new_share(128 * 1100 + 1, 1000) == 1
    assert ledger._new_share(128 * 1050 + 1, 1000) == 0.5
    assert ledger._new_share(128 * 500 + 1, 1000) == 0


def test_what_has_no_rules_is_refused(work: Path) -> None:
    for name, said in (("raw", "it has no rules"), ("none", "no corpus none")):
        result = CliRunner().invoke(app, ["prove", "--rules", name, "--work", str(work)])
        assert result.exit_code == 2
        assert said in result.output
    result = CliRunner().invoke(app, ["prove", "--rules", "main", "--only", "nowhere", "--work", str(work)])
    assert result.exit_code == 2
    assert "no rule nowhere" in result.output


def test_the_text_says_what_was_not_trained_and_why(tmp_path: Path) -> None:
    sees = judged_rules.sees(0.01, "of the placebo", 4, 1, 0.4)
    same = np.array([3.0, 3.1, 3.0, 3.2])
    noise = np.array([0.005, -0.015, 0.015, -0.005])
    placebo = difference("bits per byte", same, same + 0.005 + noise, "bit/byte", "lower")
    change = difference("bits per byte", same, same + 0.105 + noise, "bit/byte", "lower")
    rows = [
        judged_rules.Row(
            "good", "a", 10, 9, 0, 900, 0.2, change, {}, 0.001, 0.001, 0.09, 0.12, 0.05, -0.02, 1.5, ("text",)
        ),
        judged_rules.Row(
            "tiny",
            "b",
            3,
            1,
            0,
            20,
            0.001,
            None,
            {},
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            (),
            "too little to measure: 0.10 %",
        ),
    ]
    setting = {"parameters": 49_152, "tokens": 1000, "epochs": 0.1, "seeds": 4}
    said = ledger_report.render(
        ledger.Ledger("main", setting, sees, rows, placebo, 0.4, same.tolist(), "held out  x", 1, 2, 60.0, tmp_path, 3)
    )
    assert "the rule helps" in said
    assert "+0.1050" in said
    assert "too little to measure" in said
    assert "2 trained, 1 reused" in said
    assert "placebo   +0.0050" in said
    assert "[+0.0900, +0.1200]" in said
    assert "only 40% of that text is new" in said
    assert "3 more of this corpus judged here" in said
