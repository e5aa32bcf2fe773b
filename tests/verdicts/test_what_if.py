from __future__ import annotations

import numpy as np
import pytest

from tamis.documents import read_table
from tamis.verdicts.election import Strength
from tamis.verdicts.rules import RuleError, load_rules
from tamis.verdicts.what_if import Change, what_if
from tamis.verdicts.what_if_text import render

BASE = {
    "words": "text.words >= 60",
    "top": {"where": "repetition.top_2 <= 0.7", "scope": "lang.spaced"},
    "english": "lang.code <> 'zh'",
}


@pytest.fixture
def base(make_workspace, decide, signals):
    folder = make_workspace([300, 0, 200, 100], edges=500)
    decide(folder, load_rules([], BASE, signals), Strength(0.8))
    return folder


def kept(folder) -> dict[int, dict]:
    rows = [row for shard in range(folder.shards) for row in read_table(folder.verdicts(shard)).to_pylist()]
    return {row["gid"]: row for row in rows if row["keep"]}


@pytest.mark.parametrize(
    "settings",
    [
        {"top": "repetition.top_2 <= 0.4"},
        {"top": "repetition.top_2 <= 0.9", "words": "off"},
        {"english": "off", "short": "final.chars >= 20"},
        {"top": {"scope": None}},
        {"words": False, "top": False, "english": False},
        {"words": "text.words >= 60"},
        {"blocked": "url.blocked is null or url.blocked <> 'de'"},
    ],
)
def test_the_answer_is_what_a_run_would_give(base, decide, signals, settings):
    answer = what_if(base, settings, signals=signals)
    before = kept(base)
    sizes = {
        (shard << 32) | row: size or 0
        for shard in range(base.shards)
        for row, size in enumerate(read_table(base.signals("final", shard), ["bytes"]).column("bytes").to_pylist())
    }
    decide(base, base.rules.changed(settings, signals), base.strength)
    after = kept(base)
    assert (answer.kept_before, answer.kept_after) == (len(before), len(after))
    won, lost = set(after) - set(before), set(before) - set(after)
    assert (answer.won, answer.lost) == (len(won), len(lost))
    assert answer.by_rules + answer.by_election == len(won) + len(lost)
    assert answer.tokens_after == round(sum(sizes[gid] for gid in after) / 4)
    for one in answer.examples:
        assert one.gid in (won if one.gain else lost)
        assert (after if one.gain else before)[one.gid]["id"] == one.id
    for rows in (answer.by_source(), answer.by_language()):
        assert sum(row.won for row in rows) == len(won)
        assert sum(row.lost for row in rows) == len(lost)


def test_blocks_do_not_change_the_answer(base, signals, monkeypatch):
    settings = {"top": "repetition.top_2 <= 0.5", "words": "text.words >= 30"}
    whole = what_if(base, settings, signals=signals)
    monkeypatch.setattr("tamis.verdicts.what_if.BLOCK_DOCUMENTS", 1)
    assert what_if(base, settings, signals=signals) == whole


def test_examples_are_nearest_the_line_first(base, signals):
    answer = what_if(base, {"top": "repetition.top_2 <= 0.5"}, signals=signals, examples=4)
    assert len(answer.examples) == 4
    assert not any(one.gain for one in answer.examples)
    values = [one.value for one in answer.examples]
    assert values == sorted(values)
    assert values[0] - 0.5 < 0.05
    assert answer.examples[0].limit == "repetition.top_2 <= 0.5"
    assert answer.examples[0].url.startswith("https://site")


def test_a_signal_that_was_not_measured_is_refused(base, signals):
    with pytest.raises(RuleError, match="`pii` was not measured"):
        what_if(base, {"mail": "pii.emails < 3"}, signals={**signals, "pii.emails": signals["text.words"]})
    with pytest.raises(RuleError, match=r"signal text\.curly was not measured"):
        what_if(base, {"curl": "text.curly < 3"}, signals={**signals, "text.curly": signals["text.words"]})


def test_the_line_is_the_numeric_limit_that_moves(signals):
    def rule(text: str):
        return load_rules([], {"r": text}, signals)["r"]

    change = Change("r", rule("text.words between 3 and 10"), rule("text.words between 3 and 12"))
    assert str(change.line) == "text.words <= 12"
    assert str(Change("r", rule("text.words >= 5"), None).line) == "text.words >= 5"
    assert Change("r", None, rule("lang.code = 'en'")).line is None


def test_render_says_what_moved_and_escapes_urls(base, signals):
    answer = what_if(base, {"top": "repetition.top_2 <= 0.5", "words": "off"}, signals=signals)
    text = render(answer)
    assert text.startswith("what if   words is off (was text.words >= 60)\n          top: repetition.top_2 <= 0.5")
    assert f"{answer.kept_before:,} -> {answer.kept_after:,} of 600 documents" in text
    assert "nearest the line" in text
    assert "\x1b" not in render(what_if(base, {}, signals=signals))
    assert np.isfinite(answer.bytes_per_token)
