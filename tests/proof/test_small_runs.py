"""Feeds that differ in a share of their sequences, and jobs that are stored under what decides them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tamis.models import training  # noqa: E402
from tamis.models.data import ArrayFeed, bytes_of  # noqa: E402
from tamis.proof import small_runs  # noqa: E402
from tamis.proof.small_runs import Endless, Job, Replaced, Shape, outcomes, write_held, write_tokens  # noqa: E402
from tamis.stage import hash_file  # noqa: E402

TEXT = [f"Line {n} says that {n} times {n} is {n * n}, which is a number like another.\n" * 3 for n in range(400)]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    held = write_held(tmp_path / "held.jsonl", ["a", "b"], TEXT[:2], ["one", "two"])
    tokens = write_tokens(tmp_path / "tokens.npy", bytes_of(TEXT[2:]))
    return Job(tokens, {"held": held}, Shape(1, 8), 4096, seed=3, context=32, batch=4)


def places(share: float, steps: int = 40, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of a feed of zeros in which others are ones, and of the plain feed: (steps x batch, context + 1)."""
    base = ArrayFeed(np.arange(20_000, dtype=np.uint16) + 1, 16, 8, seed)
    other = Endless(np.zeros(2000, np.uint16), 16, seed)
    feed = Replaced(base, other, share, seed)
    assert feed.context == 16
    mixed = np.concatenate([feed(step // base.steps, step % base.steps) for step in range(steps)])
    plain = np.concatenate([base(step // base.steps, step % base.steps) for step in range(steps)])
    return mixed, plain


@pytest.mark.parametrize("share", [0.01, 0.1, 0.37, 1.0])
def test_a_share_of_the_sequences_is_replaced_and_all_others_are_equal(share: float) -> None:
    mixed, plain = places(share)
    taken = (mixed == 0).all(1)
    assert abs(taken.sum() - share * len(mixed)) <= 1
    assert (mixed[~taken] == plain[~taken]).all()
    # evenly: no stretch has more than its share, to within one
    sums = np.concatenate([[0], np.cumsum(taken)])
    for width in (50, 100):
        assert np.abs(sums[width:] - sums[:-width] - share * width).max() <= 1


def test_replaced_places_go_on_over_epochs_without_a_jump() -> None:
    base = ArrayFeed(np.arange(700, dtype=np.uint16) + 1, 16, 8, 1)
    feed = Replaced(base, Endless(np.zeros(400, np.uint16), 16, 1), 0.25, 1)
    taken = np.concatenate([(feed(n // base.steps, n % base.steps) == 0).all(1) for n in range(4 * base.steps)])
    assert abs(taken.sum() - 0.25 * len(taken)) <= 1


def test_the_returning_text_comes_whole_before_any_of_it_comes_again() -> None:
    other = Endless(np.arange(330, dtype=np.uint16), 16, 2)
    first = [int(other.sequence(n)[0]) for n in range(2 * other.feed.steps)]
    half = len(first) // 2
    assert sorted(first[:half]) == sorted(first[half:])
    assert len(set(first[:half])) == half
    assert first[:half] != first[half:]


def test_text_after_what_the_run_reads_is_new_to_it(job: Job, tmp_path: Path) -> None:
    from dataclasses import replace

    tokens = write_tokens(tmp_path / "own.npy", np.arange(6000, dtype=np.uint16))  # a sequence is known by its first id
    plain = replace(job, tokens=tokens, train=4096)
    read = plain.steps * plain.batch
    assert read * 1.1 < 6000 // 32

    def firsts(one: Job) -> np.ndarray:
        feed = small_runs.feed_of(one)
        return np.concatenate([feed(0, step)[:, 0] for step in range(one.steps)])

    base = firsts(plain)
    for start, seen in ((read, 0), (0, 12)):  # from the beginning nearly all were read
        mixed = firsts(replace(plain, other=tokens, share=0.1, other_start=start))
        taken = mixed[mixed != base]
        assert 12 <= len(taken) <= 13
        assert len(set(taken)) == len(taken)
        assert len(set(taken) & set(base)) >= seen if seen else not set(taken) & set(base)


def test_keys_of_what_was_stored_before_torch_was_named_still_stand(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setattr(small_runs, "version", lambda name: small_runs.UNNAMED_TORCH)
    key = job.key({})
    # the bytes hashed for this job before `other_start` and torch were part of it
    body = {
        "version": small_runs.VERSION, "training": training.VERSION, "tokens": hash_file(job.tokens),
        "held": {"held": hash_file(job.held["held"])}, "shape": [1, 8], "train": 4096, "seed": 3, "unique": 0,
        "context": 32, "batch": 4, "lr": None, "schedule": "wsd", "weight_decay": 0.0, "other": None, "share": 0.0,
        "at": [],
    }  # fmt: skip
    assert key == hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=12).hexdigest()
    assert replace(job, other_start=7).key({}) != key
    monkeypatch.setattr(small_runs, "version", lambda name: "2.99.0")
    assert job.key({}) != key


def test_a_job_is_trained_once_and_read_again(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "models"
    store.mkdir()
    key = job.key({})
    (store / f"{key}.json").write_text(json.dumps(small_runs.train(job)))
    monkeypatch.setattr(small_runs, "_stored", None)  # nothing may be trained
    (one,) = outcomes([job], store, processes=1)
    assert one.reused
    assert one.tokens == 4096
    assert one.params == Shape(1, 8).config(32).parameters
    assert 0 < one.bits["held"] < 9
    assert set(one.domains["held"]) == {"one", "two"}
    assert one.nats("held") == pytest.approx(one.bits["held"] * np.log(2))
    assert one.curve[0] == list(range(128, 4097, 128))


def test_the_key_says_what_decides_and_only_that(job: Job, tmp_path: Path) -> None:
    from dataclasses import replace

    key = job.key({})
    assert replace(job, named={"anything": 1}).key({}) == key
    copy = write_tokens(tmp_path / "copy.npy", np.load(job.tokens))
    assert replace(job, tokens=copy).key({}) == key
    for other in (replace(job, seed=4), replace(job, train=8192), replace(job, shape=Shape(1, 16)),
                  replace(job, unique=999), replace(job, share=0.5, other=copy)):  # fmt: skip
        assert other.key({}) != key


def test_measured_along_the_way_without_changing_the_end(job: Job) -> None:
    from dataclasses import replace

    plain = small_runs.train(job)
    watched = small_runs.train(replace(job, at=(1024, 2048, 4096)))
    assert [tokens for tokens, _ in watched["along"]] == [1024, 2048]
    assert watched["bits"] == plain["bits"]
    assert watched["along"][0][1]["held"] > watched["bits"]["held"]


def test_plain_uint16_is_read_as_npy_is(job: Job, tmp_path: Path) -> None:
    from dataclasses import replace

    raw = tmp_path / "tokens.u2"
    np.load(job.tokens).astype("<u2").tofile(raw)
    assert small_runs.train(replace(job, tokens=raw))["bits"] == small_runs.train(job)["bits"]
