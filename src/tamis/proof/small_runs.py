"""Many small models trained on rows of token ids and measured on held-out texts: what grids, ledgers and claims run.

A `Job` says everything that decides one model; its result is stored under the hash of that and used again, so a killed
grid goes on where it was. Models are the decoder of `tamis.models`; tokens are bytes unless the job names a tokenizer.

Memory: of each process the ids that its job trains on, read from disk by page, and the held-out texts.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tamis.models.data import VOCABULARY, ByteEncoder
from tamis.stage import hash_file
from tamis.whole import write_atomic

Ids = npt.NDArray[np.int64]

# 1: the first. Bumped when the same job would give another result.
VERSION = 1
# Keys name the torch that trained, but for this one: results of it were stored before keys did.
UNNAMED_TORCH = "2.13.0+cpu"
CONTEXT = 128
BATCH = 8


@dataclass(frozen=True)
class Shape:
    """A decoder's shape: layers, width, heads."""

    layers: int
    width: int

    @property
    def heads(self) -> int:
        return max(1, self.width // 64)

    def config(self, context: int = CONTEXT, vocab: int = VOCABULARY) -> Any:
        """The `tamis.models` Config."""
        from tamis.models.decoder import Config

        return Config(vocab, context, self.layers, self.width, self.heads)


@dataclass(frozen=True)
class Job:
    """One model to train. tokens: ids (N,), as .npy or as plain little-endian uint16, of which the first `unique` are
    used (0: all). train: tokens to train on, with repeats where they are more than there are. held: by name, .jsonl of
    texts (`id`, `text`, `domain`).

    other: ids that take the place of `share` of the sequences, all else being equal (see `Replaced`). other_start:
    sequences of `other`, in its order, that are passed over: where `other` is `tokens`, as many as the run reads.
    at: numbers of tokens at which the held-out texts are measured along the way, beside the end. named: for people and
    for telling results apart; it decides nothing."""

    tokens: Path
    held: Mapping[str, Path]
    shape: Shape
    train: int
    seed: int
    unique: int = 0
    context: int = CONTEXT
    batch: int = BATCH
    lr: float | None = None
    schedule: Literal["wsd", "cosine", "constant"] = "wsd"
    weight_decay: float = 0.0
    other: Path | None = None
    share: float = 0.0
    other_start: int = 0
    at: tuple[int, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return max(1, round(self.train / (self.batch * self.context)))

    @property
    def flops(self) -> float:
        """Of the training, forward and backward."""
        return float(self.shape.config(self.context).flops_per_token * self.steps * self.batch * self.context)

    def key(self, hashes: dict[Path, str]) -> str:
        """hashes: of files seen so far, so that each is read once."""
        from tamis.models.training import VERSION as TRAINING

        body: dict[str, Any] = {"version": VERSION, "training": TRAINING}
        torch = version("torch")
        if torch != UNNAMED_TORCH:
            body["torch"] = torch
        for one in fields(self):
            value = getattr(self, one.name)
            # jobs without a start were stored before there was one
            if one.name == "named" or (one.name == "other_start" and not value):
                continue
            if one.name == "held":
                value = {name: _hash(path, hashes) for name, path in sorted(value.items())}
            elif isinstance(value, Path):
                value = _hash(value, hashes)
            elif isinstance(value, Shape):
                value = [value.layers, value.width]
            body[one.name] = value
        return hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What came of a job. bits: by held-out text, bits per byte. along: (tokens, bits by text) along the way.
    domains: by text and domain. curve: tokens and training loss in nats per token. flops: of the training."""

    job: Job
    params: int
    params_with_head: int
    tokens: int
    flops: float
    bits: Mapping[str, float]
    domains: Mapping[str, Mapping[str, float]]
    along: list[tuple[int, dict[str, float]]]
    curve: tuple[list[int], list[float]]
    cpu_seconds: float
    reused: bool = False

    def nats(self, text: str) -> float:
        """Nats per token, which with byte tokens is bits per byte x ln 2."""
        return self.bits[text] * math.log(2)


class Replaced:
    """A Feed: `feed`, but that a share of its sequences is taken from `other`, in an order of its own.

    Which places are taken depends on the seed alone, so two such feeds and the plain one agree everywhere else: a
    comparison with the plain one is paired by every other sequence. Places are spread evenly: of the first n sequences
    n x share, to within one.
    """

    def __init__(self, feed: Any, other: Any, share: float, seed: int) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share={share}: it must lie in (0, 1]")
        self.feed, self.other, self.share, self.seed = feed, other, share, seed
        self.context, self.steps, self.batch = feed.context, feed.steps, feed.batch
        self._shift = float(np.random.default_rng([seed, 1]).random())

    def identity(self) -> dict[str, Any]:
        return {
            "feed": self.feed.identity(), "other": self.other.identity(), "share": self.share, "seed": self.seed,
        }  # fmt: skip

    def __call__(self, epoch: int, step: int) -> Ids:
        found = np.array(self.feed(epoch, step))
        first = (epoch * self.steps + step) * self.batch
        # the sum of the shares so far, rounded: place n is taken where it passes a whole number
        counts = np.floor((np.arange(first, first + self.batch + 1)) * self.share + self._shift).astype(np.int64)
        taken = np.flatnonzero(np.diff(counts))
        for place in taken:
            found[place] = self.other.sequence(int(counts[place]))
        return found


class Endless:
    """Sequences of an array of ids by number, epoch after epoch in new orders, without the first `start`.

    The order of an epoch is that of an ArrayFeed of the same ids and seed: with the start after what such a feed has
    given in its first epoch, none of that comes until the epoch is over."""

    def __init__(self, tokens: npt.NDArray[Any], context: int, seed: int, start: int = 0) -> None:
        from tamis.models.data import ArrayFeed

        self.feed, self.start = ArrayFeed(tokens, context, 1, seed), start

    def identity(self) -> dict[str, Any]:
        return {**self.feed.identity(), "start": self.start}

    def sequence(self, number: int) -> Ids:
        """ids (context + 1,)."""
        number += self.start
        found: Ids = self.feed(number // self.feed.steps, number % self.feed.steps)[0]
        return found


def outcomes(jobs: Sequence[Job], store: Path, processes: int = 2, what: str = "models") -> list[Outcome]:
    """Every job's result, in the order of jobs: from `store` where it is there, else trained and stored."""
    from tamis.models.many import many

    store.mkdir(parents=True, exist_ok=True)
    hashes: dict[Path, str] = {}
    keys = [job.key(hashes) for job in jobs]
    missing = {key: job for key, job in zip(keys, jobs, strict=True) if not (store / f"{key}.json").exists()}
    reused = set(keys) - set(missing)
    if missing:
        # the longest first: the last ones decide when all is done
        order = sorted(missing.items(), key=lambda one: -one[1].flops)
        given = [(job, str(store / f"{key}.json")) for key, job in order]
        many(_stored, given, processes, lambda one: f"{one[0].shape.width} wide, seed {one[0].seed}", what)
    return [_read(job, store / f"{key}.json", key in reused) for key, job in zip(keys, jobs, strict=True)]


def feed_of(job: Job) -> Any:
    """What the job trains on, a Feed."""
    from tamis.models.data import ArrayFeed

    tokens = _ids(job.tokens)
    feed = ArrayFeed(tokens[: job.unique or len(tokens)], job.context, job.batch, job.seed)
    if job.other is None or job.share <= 0:
        return feed
    other = Endless(_ids(job.other), job.context, job.seed, job.other_start)
    return Replaced(feed, other, job.share, job.seed)


def train(job: Job) -> dict[str, Any]:
    """Trains and measures one model; the JSON of an Outcome."""
    import torch

    from tamis.models.decoder import Decoder
    from tamis.models.model import TorchModel
    from tamis.models.settings import Settings
    from tamis.models.training import fit
    from tamis.proof.likelihood import text_losses

    torch.set_num_threads(1)
    began = time.process_time()
    config = job.shape.config(job.context)
    feed = feed_of(job)
    module = Decoder(config, job.seed)
    texts = {name: _texts(path) for name, path in job.held.items()}
    step_tokens = job.batch * job.context
    marks = {max(1, round(one / step_tokens)): one for one in job.at}
    along: list[tuple[int, dict[str, float]]] = []

    def measure() -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        bits, domains = {}, {}
        for name, (ids, bodies, kinds) in texts.items():
            found = text_losses(TorchModel(module, job.context), ByteEncoder(), bodies, documents=ids, domains=kinds)
            bits[name] = float(found.bits.sum() / found.bytes.sum())
            if len(set(kinds)) > 1:
                many_ = np.array(kinds)
                domains[name] = {
                    one: float(found.bits[many_ == one].sum() / found.bytes[many_ == one].sum())
                    for one in sorted(set(kinds))
                }
        return bits, domains

    def on_step(step: Any) -> None:
        if step.step in marks and step.step < job.steps:
            along.append((step.tokens, measure()[0]))

    settings = Settings(
        steps=job.steps, batch=job.batch, seed=job.seed, schedule=job.schedule, lr=job.lr, weight_decay=job.weight_decay
    )
    curve = fit(module, feed, settings, on_step if marks else None)
    bits, domains = measure()
    return {
        "params": config.parameters,
        "params_with_head": config.parameters + config.vocab * config.width,
        "tokens": job.steps * step_tokens,
        "flops": job.flops,
        "bits": bits,
        "domains": domains,
        "along": along,
        "curve": [[int(one) for one in curve.tokens], [round(float(one), 5) for one in curve.loss]],
        "cpu_seconds": round(time.process_time() - began, 2),
    }


def _stored(given: tuple[Job, str]) -> None:
    job, path = given
    body = train(job)
    write_atomic(Path(path), json.dumps({"named": dict(job.named), **body}) + "\n")


def _read(job: Job, path: Path, reused: bool) -> Outcome:
    body = json.loads(path.read_text(encoding="utf-8"))
    return Outcome(
        job, body["params"], body["params_with_head"], body["tokens"], body["flops"], body["bits"], body["domains"],
        [(int(tokens), bits) for tokens, bits in body["along"]], (body["curve"][0], body["curve"][1]),
        body["cpu_seconds"], reused,
    )  # fmt: skip


def write_held(path: Path, ids: Sequence[str], texts: Sequence[str], domains: Sequence[str] | None = None) -> Path:
    """Held-out texts as a Job reads them."""
    kinds = domains or ["text"] * len(ids)
    lines = [
        json.dumps({"id": one, "text": text, "domain": kind}, ensure_ascii=False)
        for one, text, kind in zip(ids, texts, kinds, strict=True)
    ]
    write_atomic(path, "\n".join(lines) + "\n")
    return path


def write_tokens(path: Path, tokens: npt.NDArray[Any]) -> Path:
    """Ids as a Job reads them; the file appears when it is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.npy")
    np.save(part, np.ascontiguousarray(tokens, np.uint16))
    part.replace(path)
    return path


def _texts(path: Path) -> tuple[list[str], list[str], list[str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["id"] for row in rows], [row["text"] for row in rows], [row["domain"] for row in rows]


def _ids(path: Path) -> npt.NDArray[Any]:
    return np.load(path, mmap_mode="r") if path.suffix == ".npy" else np.memmap(path, "<u2", "r")


def _hash(path: Path, hashes: dict[Path, str]) -> str:
    if path not in hashes:
        hashes[path] = hash_file(path)
    return hashes[path]
