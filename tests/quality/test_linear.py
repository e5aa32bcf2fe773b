"""The linear classifier: parity with scikit-learn, calibration, its file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tamis.quality import linear, metrics
from tamis.quality.modelfile import NotAModel


def features(texts: list[str], settings: linear.Settings) -> linear.Features:
    offsets, buckets = linear.featurize(pa.array(texts, pa.large_string()), settings)
    return linear.Features(buckets, offsets[:-1], offsets[1:])


@pytest.mark.parametrize("pair", [(3, 4), (1, 2)])
def test_as_accurate_as_scikit_learn(data_dir: Path, pair: tuple[int, int]) -> None:
    """Business or technology, world or sports: hashed n-grams and logistic regression there and here."""
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression

    with (data_dir / "classification" / "ag_news_test.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if int(row[0]) in pair]
    texts = [f"{row[1]} {row[2]}" for row in rows]
    good = np.array([int(row[0]) == pair[0] for row in rows])
    held = np.arange(len(rows)) % 4 == 0
    settings = linear.Settings(buckets=1 << 18)
    ours = features(texts, settings)
    weights, bias = linear.fit(ours, np.flatnonzero(~held), good, settings)
    logits = ours.logits(weights, bias, np.flatnonzero(held))
    matrix = HashingVectorizer(n_features=1 << 18, ngram_range=(1, 2), alternate_sign=False).transform(texts)
    theirs = LogisticRegression(C=10, max_iter=200).fit(matrix[~held], good[~held])
    assert np.mean((logits > 0) == good[held]) >= theirs.score(matrix[held], good[held]) - 0.01
    assert metrics.auc(good[held], logits) >= metrics.auc(good[held], theirs.decision_function(matrix[held])) - 0.005


def toy(seed: int = 0, size: int = 400) -> tuple[list[str], np.ndarray]:
    generator = np.random.default_rng(seed)
    good = np.arange(size) % 2 == 0
    words = [f"w{i}" for i in range(200)]
    texts = []
    for is_good in good:
        chosen = generator.choice(200, generator.integers(20, 60)) // (1 if is_good else 2)
        texts.append(" ".join(words[i] for i in chosen))
    return texts, good


def test_deterministic_and_blind_to_length() -> None:
    texts, good = toy()
    settings = linear.Settings(buckets=1 << 12, seed=5)
    found = [linear.fit(features(texts, settings), np.arange(len(texts)), good, settings) for _ in range(2)]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    model = linear.Linear(*found[0], 1.0, 0.0, 2, {})
    one = pa.array(["w1 w2 w3 w4"])
    np.testing.assert_array_equal(model.logits(one), model.logits(pa.array(["W1, w2. w3! w4"])))
    # every weight moved by the same number moves every document alike, whatever its length
    moved = linear.Linear(found[0][0] + np.float32(0.25), found[0][1], 1.0, 0.0, 2, {})
    docs = pa.array([*texts, " ".join(texts)])
    np.testing.assert_allclose(moved.logits(docs) - model.logits(docs), 2.5, rtol=1e-4)


def test_native_scores_are_those_of_training() -> None:
    texts, good = toy(1)
    settings = linear.Settings(buckets=1 << 14)
    ours = features(texts, settings)
    weights, bias = linear.fit(ours, np.arange(len(texts)), good, settings)
    model = linear.Linear(weights, bias, 2.0, 0.5, 2, {})
    logits = ours.logits(weights, bias, np.arange(len(texts)))
    np.testing.assert_allclose(model.logits(pa.array(texts)), logits, rtol=1e-9)
    np.testing.assert_allclose(model.scores(pa.array(texts)), 1 / (1 + np.exp(-(2 * logits + 0.5))), rtol=1e-9)


def test_no_word_is_no_score() -> None:
    model = linear.Linear(np.ones(8, np.float32), 0.0, 1.0, 0.0, 2, {})
    assert np.isnan(model.scores(pa.array(["", " ... ", "—"]))).all()
    assert not np.isnan(model.scores(pa.array(["一"]))).any()


def test_platt_recovers_a_known_calibration() -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 3, 20_000)
    good = generator.random(20_000) < 1 / (1 + np.exp(-(0.7 * logits - 0.4)))
    slope, intercept = linear.platt(logits, good, np.ones(20_000))
    assert slope == pytest.approx(0.7, abs=0.03)
    assert intercept == pytest.approx(-0.4, abs=0.05)
    assert linear.platt(-logits, good, np.ones(20_000))[0] == 0.0  # never turned round


def test_the_file_describes_itself(tmp_path: Path) -> None:
    settings = linear.Settings(buckets=64)
    weights = np.arange(64, dtype=np.float32)
    model = linear.Linear(weights, 0.5, 2.0, 0.25, 2, {**linear.about(settings, 0.5, (2.0, 0.25)), "licence": "CC0"})
    path = tmp_path / "m.quality"
    model.save(path)
    first = path.read_bytes()
    model.save(path)
    assert path.read_bytes() == first
    assert json.loads(first.split(b"\n")[0])["licence"] == "CC0"
    again = linear.load(str(path))
    np.testing.assert_array_equal(again.weights, weights)
    assert (again.bias, again.slope, again.intercept, again.ngram) == (0.5, 2.0, 0.25, 2)
    with pytest.raises(NotAModel, match="changed"):
        linear.load(str(path), "another digest")
    path.write_bytes(first[:-1] + b"\x01")
    linear.load.cache_clear()
    with pytest.raises(NotAModel, match="damaged"):
        linear.load(str(path))
    path.write_text("no model")
    with pytest.raises(NotAModel, match="no model"):
        linear.load(str(path))
