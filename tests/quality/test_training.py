"""Training on worlds whose truth is known: what is told apart, what is refused, and what is said about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tamis.quality import linear, training
from tamis.quality.linear import Settings
from tamis.quality.reading import NoText, Texts, group_of
from tamis.quality.sampling import draw

SETTINGS = Settings(buckets=1 << 14, epochs=3)
COMMON = ["river", "stone", "under", "light", "when", "paper", "seven", "green", "walk", "house"]
GOOD = ["theorem", "evidence", "measured", "history"]
BAD = ["subscribe", "cookies", "login", "cart"]

Document = tuple[str, str]


def world(
    path: Path, count: int, own: list[str], seed: int, host: Callable[[int], str] = lambda i: f"h{i % 40}",
    words: tuple[int, int] = (30, 60), share: float = 0.1,
) -> Texts:  # fmt: skip
    generator = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            size = int(generator.integers(*words))
            drawn = [str(generator.choice(own if own and generator.random() < share else COMMON)) for _ in range(size)]
            file.write(json.dumps({"text": " ".join(drawn), "url": f"https://{host(i)}.example/{i}"}) + "\n")
    return Texts((str(path),))


def test_tells_two_kinds_apart(tmp_path: Path) -> None:
    good, bad = world(tmp_path / "g.jsonl", 200, GOOD, 1), world(tmp_path / "b.jsonl", 300, BAD, 2)
    model = training.train(good, bad, SETTINGS)
    report = model.header["report"]
    assert report["by_document"]["auc"]["low"] > 0.95
    assert report["by_host"]["auc"]["low"] > 0.95
    assert report["sample"]["good"] == 200
    assert {row["ngram"] for row in report["telling"]["good"][:4]} <= set(GOOD)
    assert {row["ngram"] for row in report["telling"]["bad"][:4]} <= set(BAD)
    assert model.header["data"]["good"]["documents"] == 200
    again = training.train(good, bad, SETTINGS)
    np.testing.assert_array_equal(again.weights, model.weights)
    assert again.header == model.header


def test_refuses_what_cannot_be_told_apart(tmp_path: Path) -> None:
    good, bad = world(tmp_path / "g.jsonl", 150, [], 1), world(tmp_path / "b.jsonl", 150, [], 2)
    with pytest.raises(training.NotSeparable, match=r"interval reaches 0\.5") as refusal:
        training.train(good, bad, SETTINGS)
    assert refusal.value.report["by_document"]["auc"]["low"] <= 0.5
    model = training.train(good, bad, SETTINGS, anyway=True)
    assert "0.5" in model.header["objection"]


def test_refuses_length_for_quality(tmp_path: Path) -> None:
    """Long and short documents of the same words."""
    good = world(tmp_path / "g.jsonl", 150, [], 1, words=(300, 400))
    bad = world(tmp_path / "b.jsonl", 150, [], 2, words=(5, 12))
    with pytest.raises(training.NotSeparable, match="length"):
        training.train(good, bad, SETTINGS)


def test_refuses_language_for_quality(tmp_path: Path, data_dir: Path) -> None:
    folder = data_dir / "text"
    german = Texts((str(folder / "multilingual.parquet"),), where="lang=de")
    english = Texts((str(folder / "english.parquet"),))
    with pytest.raises(training.NotSeparable, match="language alone has an AUC of"):
        training.train(german, english, SETTINGS, cap=200)


def test_hosts_learned_by_heart_show_by_host(tmp_path: Path) -> None:
    """Each host has a word of its own: documents are told apart, hosts never seen are not."""

    def site(path: Path, seed: int, first: int) -> Texts:
        generator = np.random.default_rng(seed)
        with path.open("w", encoding="utf-8") as file:
            for i in range(240):
                name = f"site{chr(first + i % 12)}"
                drawn = [str(generator.choice(COMMON)) for _ in range(40)] + [name] * 8
                file.write(json.dumps({"text": " ".join(drawn), "url": f"https://{name}.example/{i}"}) + "\n")
        return Texts((str(path),))

    with pytest.raises(training.NotSeparable, match="by host") as refusal:
        training.train(site(tmp_path / "g.jsonl", 1, 97), site(tmp_path / "b.jsonl", 2, 110), SETTINGS)
    report = refusal.value.report
    assert report["by_document"]["auc"]["value"] > 0.95
    assert report["by_host"]["auc"]["low"] <= 0.5


def test_group_folds_never_split_a_group() -> None:
    generator = np.random.default_rng(0)
    groups = np.minimum(generator.geometric(0.05, 2000) - 1, 80)
    groups = np.unique(groups, return_inverse=True)[1]
    good = generator.random(2000) < 0.3
    folds = training.group_folds(good, groups, 1)
    assert all(len(set(folds[groups == g].tolist())) == 1 for g in range(int(groups.max()) + 1))
    assert np.bincount(folds, good).min() > 60


def test_equal_texts_are_seen_once(tmp_path: Path) -> None:
    world(tmp_path / "g.jsonl", 80, GOOD, 1)
    world(tmp_path / "b.jsonl", 80, BAD, 2)
    good = (tmp_path / "g.jsonl").read_text().splitlines()
    bad = (tmp_path / "b.jsonl").read_text().splitlines()
    (tmp_path / "g.jsonl").write_text("\n".join([*good, *good[:10], *bad[:5]]))
    model = training.train(Texts((str(tmp_path / "g.jsonl"),)), Texts((str(tmp_path / "b.jsonl"),)), SETTINGS)
    sample = model.header["report"]["sample"]
    assert (sample["repeated"], sample["in_both"], sample["good"], sample["bad"]) == (10, 5, 80, 75)


def test_the_sample_is_bounded(tmp_path: Path) -> None:
    good, bad = world(tmp_path / "g.jsonl", 500, GOOD, 1), world(tmp_path / "b.jsonl", 90, BAD, 2)
    sample = training.draw(good, bad, SETTINGS, 100)
    assert (sample.about["good"], sample.about["bad"]) == (100, 90)
    rows = np.arange(len(sample))
    buckets, counts = sample.features.take(rows)
    assert counts.min() > 0
    assert counts.sum() == len(buckets)


def test_real_pages_against_documentation(data_dir: Path) -> None:
    """Main text of the web against technical documentation: easy, and easy for hosts never seen too."""
    good = Texts((str(data_dir / "web" / "pages-gold.parquet"),))
    bad = Texts((str(data_dir / "text" / "english.parquet"),))
    model = training.train(good, bad, Settings(buckets=1 << 16, epochs=3), cap=400)
    report = model.header["report"]
    assert report["by_host"]["auc"]["low"] > 0.9
    assert report["by_host"]["hosts"]["good"] > 100


def test_names_that_hold_no_text(tmp_path: Path) -> None:
    with pytest.raises(NoText, match="no such file"):
        list(Texts(("nothing",), tmp_path))
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n')
    with pytest.raises(NoText, match="no document"):
        list(Texts((str(tmp_path / "empty.jsonl"),)))
    assert group_of("https://www.example.org/a") == "example.org"
    assert group_of("not a url") is None


def test_ngrams_are_listed_for_the_side_that_has_them_more_often(tmp_path: Path) -> None:
    """A common weight of all n-grams says nothing, for the logit is a mean of weights."""
    good = world(tmp_path / "g.jsonl", 150, GOOD, 1, words=(60, 120))
    bad = world(tmp_path / "b.jsonl", 150, BAD, 2, words=(20, 120))
    settings = Settings(buckets=1 << 14, epochs=3)
    sample = draw(good, bad, settings, 1000, None)
    weights, _ = linear.fit(sample.features, np.arange(len(sample)), sample.good, settings)
    found = training.telling(sample, weights, settings, good, bad)
    assert min(map(len, found.values())) >= 3
    assert all(row["weight"] > 0 and row["good"] > row["bad"] for row in found["good"])
    assert all(row["weight"] < 0 and row["good"] < row["bad"] for row in found["bad"])
    shifted = training.telling(sample, weights - np.float32(2), settings, good, bad)
    assert [row["ngram"] for row in shifted["bad"]] == [row["ngram"] for row in found["bad"]]
