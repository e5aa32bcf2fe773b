"""Importance weights and the draw by them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis import kernels
from tamis.quality import dsir, resampling
from tamis.quality.modelfile import NotAModel
from tamis.quality.reading import Texts


def texts(path: Path, lines: list[str]) -> Texts:
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return Texts((str(path),))


def lines(seed: int, words: list[str], count: int = 200) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(words, generator.integers(3, 30))) for _ in range(count)]


def test_log_weights_by_hand(tmp_path: Path) -> None:
    """The formula of the paper, n-gram by n-gram, with every count one more."""
    target, raw = ["a b a", "b c"], ["c c d", "a d"]
    model = dsir.train(texts(tmp_path / "t", target), texts(tmp_path / "r", raw), buckets=10_000)

    def grams(line: str) -> list[str]:
        words = line.split()
        return [*words, *(" ".join(pair) for pair in pairwise(words))]

    p, q = (Counter(g for line in side for g in grams(line)) for side in (target, raw))

    def log_ratio(gram: str) -> float:
        return math.log((p[gram] + 1) / (p.total() + 10_000)) - math.log((q[gram] + 1) / (q.total() + 10_000))

    document = "A b, c c e"
    expected = sum(log_ratio(g) for g in grams("a b c c e"))
    assert model.log_weights(pa.array([document]))[0] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(model.log_weights(pa.array(["", "—"]))).all()
    assert model.header["divergence"] == pytest.approx(dsir.divergence(model.target, model.raw), abs=1e-4)
    assert model.target.sum() == pytest.approx(1)


def test_the_file(tmp_path: Path) -> None:
    model = dsir.train(texts(tmp_path / "t", lines(1, ["x", "y"])), texts(tmp_path / "r", lines(2, ["y", "z"])))
    path = tmp_path / "m.dsir"
    dsir.save(model, path)
    again = dsir.load(str(path))
    np.testing.assert_array_equal(again.ratios, model.ratios)
    assert again.header["data"]["raw"]["documents"] == 200
    with pytest.raises(NotAModel, match="changed"):
        dsir.load(str(path), "other")


def test_noise_is_standard_gumbel_and_of_the_document_alone() -> None:
    ids = [f"{i:032x}" for i in range(20_000)]
    noise = dsir.noise(ids, 17, "wiki")
    assert noise.mean() == pytest.approx(0.5772, abs=0.03)
    assert noise.var() == pytest.approx(math.pi**2 / 6, abs=0.06)
    np.testing.assert_array_equal(dsir.noise(ids[500:700], 17, "wiki"), noise[500:700])
    assert not np.isclose(dsir.noise(ids[:50], 18, "wiki"), noise[:50]).any()
    assert not np.isclose(dsir.noise(ids[:50], 17, "books"), noise[:50]).any()
    assert noise[0] == pytest.approx(float(dsir.noise([ids[0]], 17, "wiki")[0]))


def test_top_keys_are_a_draw_in_proportion_to_weights() -> None:
    """Of two documents the one of weight w wins w / (1 + w) of the draws (Gumbel maximum)."""
    ids = [f"{i:032x}" for i in range(20_000)]
    first, second = dsir.noise(ids, 1, "a") + math.log(3), dsir.noise(ids, 2, "a")
    assert np.mean(first > second) == pytest.approx(0.75, abs=0.015)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=60), st.integers(1, 60),
    st.integers(1, 7),
)  # fmt: skip
def test_threshold_is_the_brute_force_one(values: list[float], keep: int, size: int) -> None:
    array = np.array(values)

    def shards() -> Iterator[np.ndarray]:
        for start in range(0, len(array), size):
            yield array[start : start + size]

    ranked = np.sort(array[~np.isnan(array)])[::-1]
    possible = keep <= len(ranked) and (keep == len(ranked) or ranked[keep - 1] > ranked[keep])
    if not possible:
        with pytest.raises(resampling.NoSuchThreshold):
            resampling.threshold(shards, keep)
        return
    found = resampling.threshold(shards, keep)
    assert found.value == ranked[keep - 1]
    assert np.count_nonzero(array >= found.value) == keep == found.keeps
    assert (found.measured, found.of) == (len(ranked), len(array))


def test_resampling_comes_nearer_to_the_target(tmp_path: Path) -> None:
    """Of a raw text with a fifth like the target, the draw has a smaller divergence than the whole."""
    target, other = lines(1, ["sun", "moon", "star", "sky"]), lines(2, ["tax", "bank", "loan", "sky"], 400)
    raw = [*other, *lines(3, ["sun", "moon", "star", "sky"], 100)]
    model = dsir.train(texts(tmp_path / "t", target), texts(tmp_path / "r", raw))
    column = pa.array(raw, pa.large_string())
    keys = model.log_weights(column) + dsir.noise([f"{i:032x}" for i in range(len(raw))], 3, "t")
    line = resampling.threshold(lambda: iter([keys]), 100)
    chosen = np.flatnonzero(keys >= line.value)
    assert len(chosen) == 100
    assert np.mean(chosen >= 400) > 0.9
    every = dsir.divergence(model.target, dsir.smoothed(dsir.counts_of(column)))
    drawn = dsir.divergence(model.target, dsir.smoothed(dsir.counts_of(column.take(pa.array(chosen)))))
    assert drawn < every / 3


def test_buckets_are_spread_evenly() -> None:
    _, hashes, _, _ = kernels.word_ngrams(
        pa.array([" ".join(f"w{chr(97 + i % 26)}{'x' * (i // 26)}" for i in range(5000))])
    )
    counts = np.bincount(kernels.bucket(hashes, 100), minlength=100)
    assert counts.min() > 0.6 * counts.mean()
    assert kernels.bucket(np.array([0, 2**64 - 1], np.uint64), 10_000).tolist() == [0, 9999]
