"""Samples: seeded, stratified, silent about what was decided; and what is made of verdicts on them."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from tamis import running
from tamis.audit import estimate, frame, sample
from tamis.audit.contaminated import contaminated
from tamis.audit.page import marked
from tamis.documents import read_table


def truth_of_dedup(corpus, unit):
    """The oracle in place of people: copies were made with at most one word changed."""
    a, b = (sample.clean_text(corpus, gid).split() for gid in (unit.left, unit.right))
    return sum(x != y for x, y in zip(a, b, strict=False)) <= 1 and len(a) == len(b)


def test_frames_hold_every_decision_once(corpus):
    found = frame.frame(corpus, "dedup")
    reasons = read_table(corpus.verdicts(0), ["reason"]).column("reason").to_pylist()
    decided = np.array([band.decided for band in found.bands])[found.band]
    assert sorted(found.left[decided].tolist()) == [row for row, reason in enumerate(reasons) if reason == "duplicate"]
    assert len(set(found.left[~decided].tolist())) == int((~decided).sum()) > 10
    assert sum(found.totals) == len(found.left)
    evals = frame.frame(corpus, "decontamination")
    assert evals.threshold == 0.7
    assert sum(t for t, band in zip(evals.totals, evals.bands, strict=True) if band.decided) >= 6


def test_samples_are_seeded_and_of_the_right_size(corpus):
    units = frame.frame(corpus, "dedup")
    drawn = sample.draw(units, 40, 1)
    assert drawn == sample.draw(units, 40, 1)
    assert len({unit.id for unit in drawn}) == 40
    assert {unit.id for unit in drawn} != {unit.id for unit in sample.draw(units, 40, 2)}
    decided = sum(units.bands[unit.band].decided for unit in drawn)
    assert decided == 20
    assert len(sample.draw(units, 10_000, 1)) == len(units.left)


def test_allocation_never_asks_for_more_than_there_is():
    assert sample.allocate([3, 100, 0], 50) == [3, 47, 0]
    assert sum(sample.allocate([1000, 1000, 1000, 1000], 6)) == 6
    assert sample.allocate([2, 2], 50) == [2, 2]


def test_examples_tell_nothing_of_the_verdict(corpus, tmp_path):
    design = sample.write(corpus, "dedup", 30, 5, tmp_path / "s.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert len(rows) == 30 == sum(band["drawn"] for band in design["bands"])
    assert set(rows[0]) == {"id", "a", "b", "a_url", "b_url", "whole", "evidence"}
    for row in rows:
        for piece in row["evidence"]:
            assert row["a"][slice(*piece["a"])].split() == row["b"][slice(*piece["b"])].split()
    # the dropped document is as often the first as the second
    units = {unit.id: unit for unit in sample.draw(frame.frame(corpus, "dedup"), 30, 5)}
    first = [row["a"] == sample.clean_text(corpus, units[row["id"]].left) for row in rows]
    assert 4 < sum(first) < 26


def test_contamination_examples_mark_the_item(corpus, tmp_path):
    sample.write(corpus, "decontamination", 10, 5, tmp_path / "s.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    for row in rows:
        start, end = row["evidence"][0]["document"]
        assert row["document"][start:end].split()[0] in row["item"]


@pytest.mark.parametrize("kind", ["dedup", "decontamination"])
def test_a_page_is_escaped_and_loads_nothing(corpus, tmp_path, kind):
    sample.write(corpus, kind, 12, 5, tmp_path / "s.html")
    text = (tmp_path / "s.html").read_text()
    assert "<script>alert(" not in text
    assert "default-src 'none'" in text
    assert text.count("<article>") == 12
    assert "http://" not in text


def test_marks_are_where_the_spans_are():
    assert marked("a<b>c", [(1, 4)]) == "a<mark>&lt;b&gt;</mark>c"


def test_an_oracle_gets_the_true_precision_and_recall(corpus, tmp_path):
    units = frame.frame(corpus, "dedup")
    every = [SimpleNamespace(left=int(a), right=int(b)) for a, b in zip(units.left, units.right, strict=True)]
    true = np.array([truth_of_dedup(corpus, unit) for unit in every])
    decided = np.array([band.decided for band in units.bands])[units.band]
    precision, recall = true[decided].mean(), true[decided].sum() / true.sum()
    inside = 0
    for seed in range(5):
        sample.write(corpus, "dedup", 40, seed, tmp_path / "s.jsonl")
        drawn = sample.draw(units, 40, seed)
        lines = [
            {"example": unit.id, "label": "copy" if truth_of_dedup(corpus, unit) else "different"} for unit in drawn
        ]
        (tmp_path / "v.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        found = estimate.read(corpus, tmp_path / "v.jsonl")
        inside += found["precision"]["low"] <= precision <= found["precision"]["high"]
        inside += found["recall"]["low"] <= recall <= found["recall"]["high"]
    assert inside >= 9
    noted = json.loads((corpus.work.path / "corpora/main/audit.json").read_text())
    assert noted["dedup"]["judged"] == 40
    page = running.write_report(corpus)[0]
    assert "40 of 40 by 1 rater" in page.read_text()
    noted["dedup"]["digest"] = "of other verdicts"
    (corpus.work.path / "corpora/main/audit.json").write_text(json.dumps(noted))
    assert "by 1 rater" not in running.write_report(corpus)[0].read_text()


def test_known_pairs_of_real_documents(data_dir):
    """The estimator on edges of real documents whose true pairs are known: no interval may miss more than 1 in 20."""
    pairs = pq.read_table(data_dir / "dedup" / "pairs.parquet")
    jaccard = pairs.column("jaccard5").to_numpy()
    rng = np.random.default_rng(5)
    measured = np.clip(jaccard + rng.normal(0, 0.02, len(jaccard)), 0.5, 1)  # a measure that errs near the threshold
    true = jaccard >= 0.8
    cuts = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    band = np.searchsorted(cuts, measured, side="right") - 1
    bands = tuple(frame.Band(str(cut), cut >= 0.8) for cut in cuts)
    number = np.arange(len(jaccard)).astype(np.uint64)
    units = frame.Frame("dedup", bands, band, number, number + np.uint64(1), 0.8, "")
    decided = measured >= 0.8
    precision, recall = true[decided].mean(), true[decided].sum() / true.sum()
    inside = [0, 0]
    for seed in range(20):
        drawn = sample.draw(units, 200, seed)
        design = {
            "kind": "dedup",
            "threshold": 0.8,
            "seed": seed,
            "bands": [
                {"name": b.name, "decided": b.decided, "total": t} for b, t in zip(bands, units.totals, strict=True)
            ],
            "examples": {unit.id: unit.band for unit in drawn},
        }
        found = estimate.estimate(design, {unit.id: bool(true[unit.left]) for unit in drawn})
        inside[0] += found["precision"]["low"] <= precision <= found["precision"]["high"]
        inside[1] += found["recall"]["low"] <= recall <= found["recall"]["high"]
    assert min(inside) >= 17


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_several_raters_are_settled_and_ties_are_left_out(tmp_path):
    rows = [("task", "worker", "answer")]
    for n in range(12):
        rows += [(f"e{n}", rater, "yes" if n % 2 else "no") for rater in "ab"]
    rows += [("tie", "a", "yes"), ("tie", "b", "no"), ("none", "a", "unsure")]
    found = estimate.settled(estimate.read_verdicts(write_csv(tmp_path / "v.csv", rows)))
    assert {f"e{n}" for n in range(12)} <= set(found)
    assert found["e1"]
    assert not found["e2"]
    assert "none" not in found


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("example", "label"), ("x", "maybe")], "is no verdict"),
        ([("example", "opinion"), ("x", "yes")], "no column 'label'"),
        ([("example", "label")], "no verdicts"),
        ([("example", "rater", "label"), ("x", "a", "yes"), ("x", "a", "no")], "two verdicts"),
    ],
)
def test_bad_verdicts_are_named(tmp_path, rows, said):
    with pytest.raises(estimate.BadVerdicts, match=said):
        estimate.settled(estimate.read_verdicts(write_csv(tmp_path / "v.csv", rows)))


def test_verdicts_of_another_sample_or_corpus_are_refused(corpus, tmp_path):
    sample.write(corpus, "decontamination", 5, 1, tmp_path / "s.jsonl")
    verdicts = write_csv(tmp_path / "v.csv", [("example", "label"), ("c0000", "yes")])
    with pytest.raises(estimate.BadVerdicts, match="not of this sample"):
        estimate.read(corpus, verdicts)
    with pytest.raises(estimate.BadVerdicts, match="no such file"):
        estimate.read(corpus, tmp_path / "none.csv")
    place = sample.design_path(corpus, "dedup")
    for kind in ("dedup", "decontamination"):
        place = sample.design_path(corpus, kind)
        if place.exists():
            place.write_text(json.dumps({**json.loads(place.read_text()), "digest": "other"}))
    with pytest.raises(estimate.BadVerdicts, match="decided anew"):
        estimate.read(corpus, verdicts)


def test_items_are_counted_per_set_and_in_what_was_kept(corpus):
    found = contaminated(corpus)
    sets = {row["set"]: row for row in found["sets"]}
    assert sets["rivers"]["items"] == 4
    assert sets["copies"] == {
        "set": "copies", "items": 1, "found": 1, "in_kept": 0, "documents": 6, "kept_documents": 0, "share": 1.0,
    }  # fmt: skip
    assert found["most"][0] == {"item": "rivers/1", "documents": 6, "kept": 0}
    low = contaminated(corpus, 0.5)
    assert {row["set"]: row for row in low["sets"]}["rivers"]["in_kept"] == 1
    with pytest.raises(frame.NotMeasured, match="are not listed"):
        contaminated(corpus, 0.1)
