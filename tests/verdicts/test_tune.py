"""Thresholds from two corpora."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.quality.reading import Texts
from tamis.verdicts.rules import load_rules
from tamis.verdicts.tune import Removed, TooFew, distance_of, measured, numeric_signals, render, tune

VALUES = st.lists(st.floats(-100, 100), min_size=1, max_size=30).map(np.array)


@given(VALUES, VALUES)
@settings(max_examples=40)
def test_distances_are_those_of_the_distribution_functions(one: Any, two: Any) -> None:
    from scipy.stats import wasserstein_distance

    distance, ks = distance_of(one, two)
    assert distance == pytest.approx(wasserstein_distance(one, two), abs=1e-9)
    greatest = max(abs(float((one <= x).mean() - (two <= x).mean())) for x in [*one, *two])
    assert ks == pytest.approx(greatest, abs=1e-9)


def test_interval_of_wilson() -> None:
    """Brown, Cai and DasGupta 2001: the interval of 0 of n does not collapse."""
    low, high = Removed(0, 20).interval
    assert (low, round(high, 4)) == (0.0, 0.1611)
    assert Removed(10, 20).interval == pytest.approx((0.2993, 0.7007), abs=1e-4)


def test_a_sample_is_drawn_from_all_shards_by_its_seed_whatever_the_batches() -> None:
    def batches(size: int) -> list[pa.RecordBatch]:
        texts = pa.table({"text": pa.array(["word " * n for n in range(1, 301)], pa.large_string()), "url": [""] * 300})
        return texts.to_batches(max_chunksize=size)

    words = [measured(batches(size), ("text",), 40)["text.script_words"].tolist() for size in (300, 7)]
    assert words[0] == words[1] == sorted(words[0])
    assert len(set(words[0])) == 40
    assert min(words[0]) < 100 < 200 < max(words[0])
    assert measured(batches(300), ("text",), 40, seed=18)["text.script_words"].tolist() != words[0]
    assert measured(batches(7), ("text",), 300)["text.script_words"].tolist() == list(range(1, 301))


def sides(shift: float) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(7)
    return {"text.mean_word": rng.normal(5, 1, 1_000)}, {"text.mean_word": rng.normal(5 + shift, 1, 1_000)}


def test_threshold_lies_where_the_corpora_part() -> None:
    good, bad = sides(4.0)
    found = tune(good, bad, {"text.mean_word": "characters"})
    (one,) = found.distances
    assert one.wasserstein == pytest.approx(4.0, abs=0.2)
    assert one.candidate is not None
    assert one.candidate.operator == "<="
    assert 6.5 <= one.candidate.threshold <= 7.5
    assert one.candidate.good.share <= 0.05
    assert one.candidate.bad.share > 0.9
    assert found.chosen == (one.candidate,)
    assert "text.mean_word <=" in render(found)


@pytest.mark.parametrize("shift", [4.0, -4.0])
@pytest.mark.parametrize("most", [0.0, 0.01, 0.05])
def test_never_removes_more_of_the_good_than_allowed(shift: float, most: float) -> None:
    good, bad = sides(shift)
    (one,) = tune(good, bad, {"text.mean_word": ""}, most_good=most).distances
    assert one.candidate is not None
    assert one.candidate.operator == ("<=" if shift > 0 else ">=")
    assert one.candidate.good.share <= most


def test_equal_corpora_give_no_rule() -> None:
    good, bad = sides(0.0)
    found = tune(good, bad, {"text.mean_word": ""})
    assert found.chosen == ()
    assert "no threshold" in render(found)


def test_one_of_two_alike_signals() -> None:
    good, bad = sides(4.0)
    for side in (good, bad):
        side["text.mean_line"] = side["text.mean_word"] * 3
    found = tune(good, bad, {"text.mean_word": "", "text.mean_line": ""})
    assert len(found.distances) == 2
    assert len(found.chosen) == 1


def test_too_few_documents() -> None:
    with pytest.raises(TooFew, match="at least 30"):
        tune({"a.b": np.zeros(3)}, {"a.b": np.zeros(300)}, {"a.b": ""})


def test_real_pages_give_rules_that_can_be_pasted(data_dir: Path, tmp_path: Path) -> None:
    """Gold text of pages against the same text with their navigation made up: lists of short lines."""
    import pyarrow.parquet as pq
    import yaml

    gold = pq.read_table(data_dir / "web/pages-gold.parquet", columns=["text"]).column("text").to_pylist()[:120]
    menu = "\n".join(["Home", "News", "Log in", "Read more", "Share"] * 12)
    for name, texts in (("good", gold), ("bad", [f"{menu}\n{text[:400]}\n{menu}" for text in gold])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    groups = ("text", "repetition", "final")
    good, bad = (measured(Texts((str(tmp_path / f"{name}.jsonl"),)), groups) for name in ("good", "bad"))
    found = tune(good, bad, numeric_signals(groups))
    named = {one.signal for one in found.chosen}
    assert named & {"final.short_lines", "final.short_lines_nonblank", "repetition.dup_lines", "final.dup_line_chars"}
    pasted = yaml.safe_load(render(found)[render(found).index("rules:") :].split("\n\n")[0])
    assert len(load_rules([], pasted["rules"]["set"])) == len(found.chosen)


def test_most_documents() -> None:
    batch = pa.record_batch({"text": pa.array(["a b c"] * 10, pa.large_string()), "url": pa.nulls(10, pa.string())})
    found = measured([batch, batch], ("text",), most=13)
    assert len(found["text.mean_word"]) == 13
