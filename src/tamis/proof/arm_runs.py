"""One model of a proof: trained on the stream of an arm, measured on the held-out texts, kept, and found again.

What is trained lies in `RUNS/ID` (`models.training.train`), which any proof reuses; what was measured lies in the
proof, one JSON a run and the loss of every document in a Parquet file beside it. A run that was killed goes on.

Memory: the model and its optimizer, one batch, and the held-out texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.models.model import Encoder
from tamis.proof.holdout import Candidates
from tamis.proof.streams import Stream
from tamis.whole import write_atomic

if TYPE_CHECKING:
    from tamis.models.decoder import Config
    from tamis.models.settings import Settings

BYTES = "bytes"
CONTEXT = 256
# Halving the batch of 16 sequences gains .4 bits per byte at 400,000 tokens: small models need steps (docs/proving.md).
BATCH = 8
# How often a model in training is asked for its loss on the probe, and the bytes of that.
PROBES = 8
PROBE_BYTES = 16_000


@dataclass(frozen=True)
class Job:
    """What decides one run, and where its results go. tokens: trained on. encoder: `bytes`, or a tokenizers file.
    texts: Parquet written by `write_texts`. items: a file of multiple-choice items, or nothing; asked: JSON with the
    numbers of those to ask, else all. out: JSON."""

    arm: str
    size: str
    seed: int
    tokens: int
    stream: Stream = field(repr=False)
    encoder: str
    texts: str
    runs: str
    out: str
    items: str | None = None
    context: int = CONTEXT
    batch: int = BATCH
    lr: float | None = None
    probe: str = "reference"
    asked: str | None = None

    def __str__(self) -> str:
        return f"{self.arm}, {self.size}, seed {self.seed}"


@dataclass(frozen=True)
class Measured:
    """Of one run. bits: text -> domain -> bits per byte (the whole text under ""). curve: (tokens, nats per token of
    training); probe: (tokens, bits per byte of the probe), empty where the run was another proof's. items: metric ->
    value."""

    arm: str
    size: str
    seed: int
    tokens: int
    flops: float
    cpu_seconds: float
    training_loss: float
    bits: Mapping[str, Mapping[str, float]]
    items: Mapping[str, float]
    curve: list[list[float]]
    probe: list[list[float]]
    run: str


def encoder_of(name: str) -> Encoder:
    """`bytes`, or a tokenizers file."""
    if name == BYTES:
        from tamis.models.data import ByteEncoder

        return ByteEncoder()
    from tamis.corpus.tokenizer import Tokenizer

    return Tokenizer.load(name)


def vocabulary(encoder: Encoder) -> int:
    return int(encoder.vocabulary)  # type: ignore[attr-defined]


def shape(size: str, encoder: Encoder, context: int) -> Config:
    from tamis.models.decoder import ladder

    return ladder(size, vocabulary(encoder), context)


def settings(tokens: int, batch: int, lr: float | None, seed: int) -> Settings:
    from tamis.models.settings import Settings as Made

    return Made(tokens=tokens, batch=batch, lr=lr, seed=seed, precision="fp32")


def write_texts(texts: Mapping[str, Candidates], path: Path) -> None:
    """Held-out texts as one file: text (its name), id, domain, body."""
    rows = [
        (name, i, domain, body)
        for name, one in texts.items()
        for i, domain, body in zip(one.ids, one.domains, one.texts, strict=True)
    ]
    columns = list(zip(*rows, strict=True))
    table = pa.table({name: pa.array(column, pa.large_string()) for name, column in zip(_TEXTS, columns, strict=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
    partial.replace(path)


_TEXTS = ("text", "id", "domain", "body")


def read_texts(path: Path | str) -> dict[str, Candidates]:
    rows = pq.read_table(path, page_checksum_verification=True).to_pylist()
    found: dict[str, Candidates] = {}
    for row in rows:
        one = found.setdefault(row["text"], Candidates([], [], []))
        one.ids.append(row["id"])
        one.texts.append(row["body"])
        one.domains.append(row["domain"])
    return found


def done(job: Job) -> Measured | None:
    """The results, where the run is whole."""
    path = Path(job.out)
    return Measured(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def perform(job: Job) -> Measured:
    """Trains and measures, or gives what is there. For `models.many`."""
    found = done(job)
    if found is not None:
        return found
    import torch

    from tamis.models.data import ArrayFeed
    from tamis.models.training import train

    torch.set_num_threads(1)
    encoder = encoder_of(job.encoder)
    config = shape(job.size, encoder, job.context)
    chosen = settings(job.tokens, job.batch, job.lr, job.seed)
    feed = ArrayFeed(job.stream.ids(), job.context, job.batch, job.seed)
    texts = read_texts(job.texts)
    watch = _Probe(job, encoder, texts)
    # a file goes into the run's folder, so that whoever evaluates the run reads it with the same
    tokenizer = None if job.encoder == BYTES else Path(job.encoder)
    run = train(feed, config, chosen, Path(job.runs), tokenizer=tokenizer, on_step=watch)
    bits, items = _measure(job, run.model(), encoder, texts)
    curve = run.curve
    at = np.unique(np.linspace(0, len(curve) - 1, 60).astype(int))
    smooth = _smoothed(curve.loss)
    measured = Measured(
        job.arm, job.size, job.seed, int(curve.tokens[-1]), run.flops, run.cpu_seconds, curve.final(), bits, items,
        [[float(curve.tokens[i]), float(smooth[i])] for i in at], watch.points(), str(run.folder),
    )  # fmt: skip
    write_atomic(Path(job.out), json.dumps(vars(measured), indent=1) + "\n")
    watch.forget()
    return measured


def _measure(
    job: Job, model: Any, encoder: Encoder, texts: Mapping[str, Candidates]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    from tamis.proof.likelihood import text_losses

    bits: dict[str, dict[str, float]] = {}
    tables = []
    for name, one in texts.items():
        found = text_losses(model, encoder, one.texts, documents=one.ids, domains=one.domains)
        bits[name] = {"": float(found.bits.sum() / found.bytes.sum())}
        domains = np.array(found.domains, dtype=object)
        for domain in sorted(set(found.domains)):
            if not domain:
                raise ValueError(f"the text {name} has a domain without a name, which would stand for the whole text")
            rows = domains == domain
            bits[name][domain] = float(found.bits[rows].sum() / found.bytes[rows].sum())
        tables.append(found.table().append_column("text", pa.array([name] * len(found), pa.string())))
    pq.write_table(pa.concat_tables(tables), Path(job.out).with_suffix(".parquet"), compression="zstd")
    items: dict[str, float] = {}
    if job.items:
        from tamis.proof.choices import multiple_choice
        from tamis.proof.items import read_items

        offered = read_items(job.items, limit=MOST_ITEMS)
        if job.asked:
            offered = [offered[i] for i in json.loads(Path(job.asked).read_text(encoding="utf-8"))["asked"]]
        if offered:
            found_items = multiple_choice(model, offered, encoder)
            for metric in (found_items.right_probability(), found_items.accuracy()):
                items[metric.name] = metric.value
    return bits, items


MOST_ITEMS = 1000


class _Probe:
    """Asks the model in training for its loss on the beginning of the reference. Kept beside the results, so that a
    run that was killed has its first points too."""

    def __init__(self, job: Job, encoder: Encoder, texts: Mapping[str, Candidates]) -> None:
        self.job, self.encoder = job, encoder
        self.path = Path(job.out).with_suffix(".probe.json")
        self.found: dict[int, float] = {}
        if self.path.exists():
            self.found = {int(tokens): bits for tokens, bits in json.loads(self.path.read_text(encoding="utf-8"))}
        self.texts = list(_some(texts.get(job.probe) or next(iter(texts.values()))))

    def __call__(self, step: Any) -> None:
        # denser at first: the steps lie on a square root
        whole = PROBES * (step.step / step.steps) ** 0.5
        before = PROBES * ((step.step - 1) / step.steps) ** 0.5
        if int(whole) == int(before):
            return
        from tamis.models.model import TorchModel
        from tamis.proof.likelihood import text_losses

        found = text_losses(TorchModel(step.module, self.job.context), self.encoder, self.texts)
        self.found[int(step.tokens)] = float(found.bits.sum() / found.bytes.sum())
        write_atomic(self.path, json.dumps(self.points()) + "\n")

    def points(self) -> list[list[float]]:
        return [[float(tokens), bits] for tokens, bits in sorted(self.found.items())]

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def _some(text: Candidates) -> Iterator[str]:
    size = 0
    for one in text.texts:
        yield one
        size += len(one.encode())
        if size >= PROBE_BYTES:
            return


def _smoothed(loss: npt.NDArray[np.float64], window: int = 25) -> npt.NDArray[np.float64]:
    """Running mean over the last steps."""
    sums = np.cumsum(np.concatenate([[0.0], loss]))
    at = np.arange(1, len(loss) + 1)
    first = np.maximum(0, at - window)
    found: npt.NDArray[np.float64] = (sums[at] - sums[first]) / (at - first)
    return found


def speed(
    size: str, encoder_name: str, context: int = CONTEXT, batch: int = BATCH, steps: int = 10
) -> dict[str, float]:
    """A quick look at this machine: training and evaluation, tokens per CPU second of one thread."""
    import time

    import torch

    from tamis.models.data import ArrayFeed
    from tamis.models.decoder import Decoder
    from tamis.models.loop import Loop
    from tamis.models.model import TorchModel

    torch.set_num_threads(1)
    encoder = encoder_of(encoder_name)
    config = shape(size, encoder, context)
    ids = np.random.default_rng(0).integers(0, vocabulary(encoder), (steps + 4) * batch * context + 1)
    feed = ArrayFeed(ids.astype(np.int64), context, batch)
    loop = Loop(Decoder(config), feed, settings((steps + 4) * batch * context, batch, None, 0))
    for _ in range(3):
        loop.step()
    began = time.process_time()
    for _ in range(steps):
        loop.step()
    middle = time.process_time()
    TorchModel(loop.module, context).nats(feed(0, 0))
    TorchModel(loop.module, context).nats(feed(0, 1))
    ended = time.process_time()
    tokens = batch * context
    return {"train": steps * tokens / (middle - began), "measure": 2 * tokens / (ended - middle)}
