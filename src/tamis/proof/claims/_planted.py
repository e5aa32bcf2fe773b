"""Passages planted into a corpus a known number of times: what the claims about copies and about test items share.

Which passage gets how many copies is dealt at random anew for every seed, so passages of different numbers of copies
differ in nothing else, and what they differ in afterwards is caused by the copies. Those dealt no copy are the control.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims import material
from tamis.proof.claims.claim import Missing

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

COPIES = (0, 1, 4, 16, 64)
CONTEXT = 128
BATCH = 8
# Of a document, so that no single one makes up much of a corpus of some hundred thousand bytes.
LONGEST = 3000


def dealt(count: int, seed: int, weights: Sequence[int] = (1,) * len(COPIES)) -> Ints:
    """A number of copies for each of `count` passages, in random order: each of COPIES in proportion to its weight,
    as often as the others by default."""
    copies = np.resize(np.repeat(np.array(COPIES, np.int64), weights), count)
    np.random.default_rng([seed, 1]).shuffle(copies)
    return copies


def corpus(base: Sequence[str], planted: Sequence[str], seed: int) -> list[str]:
    """Both in one random order."""
    texts = [*base, *planted]
    return [texts[place] for place in np.random.default_rng([seed, 2]).permutation(len(texts))]


@dataclass(frozen=True)
class Texts:
    """base: of the corpus. spare: documents of which none is in it, to take passages from. held: held-out texts by
    name, proven to share no 13 words with base or spare."""

    base: list[str]
    spare: list[str]
    held: dict[str, list[str]]
    proof: str


def texts(base: int, spare: int, held: int, seed: int, data: Any) -> Texts:
    """base, spare, held: UTF-8 bytes wanted of each. Raises Missing where there is much too little text."""
    import pyarrow as pa

    from tamis.proof.holdout import Candidates, hold_out

    # some of the held-out documents will share words and fall away
    found = documents(base + spare + 4 * held, seed, data)
    first = upto(found, base)
    second = first + upto(found[first:], spare)
    third = second + upto(found[second:], 4 * held)
    parts = found[:first], found[first:second], found[second:third]
    offered = {"held out": Candidates.of([str(i) for i in range(len(parts[2]))], parts[2])}
    reference = novels(4 * held)
    if reference:
        offered["novels"] = Candidates.of([str(i) for i in range(len(reference))], reference)
    trained = [pa.array(parts[0] + parts[1], pa.large_string())]
    kept = hold_out(offered, {"corpus": lambda: iter(trained)}, limit_bytes=held)
    return Texts(parts[0], parts[1], {name: list(one.texts) for name, one in kept.texts.items()}, str(kept.proof))


def documents(wanted: int, seed: int, data: Any) -> list[str]:
    """Documents of at most LONGEST characters, as many as make up `wanted` bytes. Raises Missing."""
    # Cutting mostly takes up to three quarters of the bytes away, and more of a few long documents.
    for times in (4, 16):
        found = [cut(body) for _, body in material.text(times * wanted, seed, data)]
        have = sum(len(one.encode()) for one in found)
        if have >= wanted:
            break
    else:
        raise Missing(f"{have:,} bytes of text in pieces of {LONGEST:,} characters are here; {wanted:,} are needed")
    return found[: upto(found, wanted)]


def upto(documents: Sequence[str], wanted: int) -> int:
    """How many of the first documents make up so many bytes."""
    sizes = np.cumsum([0, *(len(one.encode()) for one in documents)])
    return min(int(np.searchsorted(sizes, wanted)), len(documents))


def novels(wanted: int) -> list[str]:
    """Passages of novels, a reference of another kind than the documentation that is trained on; none where
    TAMIS_DATA has none."""
    from tamis.proof.claims._texts import books

    try:
        chapters = [body for _, body in books(20 * wanted, 0)]
    except Missing:
        return []
    found: list[str] = []
    for body in chapters:
        if sum(map(len, found)) >= wanted:
            break
        found.append(cut(body))
    return found


def cut(body: str) -> str:
    """The first LONGEST characters, to a line's end. Surrogates, which are no UTF-8, become question marks."""
    body = body.encode("utf-8", "replace").decode()
    end = body.rfind("\n", 0, LONGEST)
    return body if len(body) <= LONGEST else body[: end if end > LONGEST // 2 else LONGEST].rstrip()


def paragraphs(body: str) -> list[str]:
    """Prose, each on one line: runs of words, not tables, code or lists."""
    found = []
    for block in re.split(r"\n\s*\n", body):
        flat = " ".join(block.split())
        if sum(one.isalpha() or one == " " for one in flat) >= 0.9 * len(flat) > 0:
            found.append(flat)
    return found


def flat(documents: Sequence[str]) -> str:
    """All of them with single spaces, a line each: what passages are looked up in."""
    return "\n".join(" ".join(body.split()) for body in documents)


def train(texts: Sequence[str], steps: int, size: str, seed: int) -> Any:
    """A byte decoder of a rung of the ladder trained for `steps` steps on the texts, epoch after epoch: a Predictor."""
    import torch

    from tamis.models.data import ArrayFeed, bytes_of
    from tamis.models.decoder import Decoder, ladder
    from tamis.models.model import TorchModel
    from tamis.models.settings import Settings
    from tamis.models.training import fit

    torch.set_num_threads(1)
    feed = ArrayFeed(bytes_of(texts), CONTEXT, BATCH, seed)
    module = Decoder(ladder(size, 257, CONTEXT), seed)
    fit(module, feed, Settings(steps=steps, batch=BATCH, seed=seed, precision="fp32", schedule="wsd"))
    return TorchModel(module, CONTEXT)


def steps_of(texts: Sequence[str]) -> int:
    """Steps of one epoch."""
    tokens = sum(len(one.encode()) + 1 for one in texts)
    return max(1, tokens // (CONTEXT * BATCH))


@dataclass(frozen=True)
class Estimate:
    """The mean of one value per seed, with Student's t interval over seeds."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def over_seeds(values: npt.ArrayLike, level: float = 0.95) -> Estimate:
    """values: (S,) one for each seed, S at least 2. In each seed passages are dealt anew, so the interval is about
    passages and training both."""
    from scipy.stats import t

    found = np.asarray(values, np.float64)
    if len(found) < 2:
        raise ValueError("one seed has no scatter: at least 2 are needed")
    half = float(t.ppf((1 + level) / 2, len(found) - 1)) * float(found.std(ddof=1)) / math.sqrt(len(found))
    mean = float(found.mean())
    return Estimate(mean, mean - half, mean + half)


def shares_over_seeds(hits: Sequence[Floats]) -> Estimate:
    """hits: for each seed (n,) of 0 and 1. As `over_seeds` of the shares, within [0, 1]; where all seeds agree, which
    says little of few passages, Wilson's interval of all passages together."""
    from tamis.intervals import wilson

    shares = [float(one.mean()) for one in hits]
    if len(set(shares)) > 1:
        return within(over_seeds(shares), 0, 1)
    every = np.concatenate(hits)
    return Estimate(shares[0], *wilson(int(every.sum()), len(every)))


def within(found: Estimate, least: float, most: float) -> Estimate:
    """Its interval cut to what is possible."""
    return Estimate(found.value, max(least, found.low), min(most, found.high))


def shares_apart(first: Sequence[Floats], second: Sequence[Floats], level: float = 0.95) -> Estimate:
    """The share of `first` less that of `second`, of the same seeds, within [-1, 1]; where all seeds agree Newcombe's
    interval of all passages together."""
    from tamis.proof.proportions import two_shares

    gaps = [float(a.mean() - b.mean()) for a, b in zip(first, second, strict=True)]
    if len(set(gaps)) > 1:
        return within(over_seeds(gaps, level), -1, 1)
    a, b = np.concatenate(first), np.concatenate(second)
    found = two_shares(int(b.sum()), len(b), int(a.sum()), len(a), level)
    return Estimate(gaps[0], found.low, found.high)


def mean_by_copies(values: npt.ArrayLike, copies: Ints) -> Mapping[int, float]:
    """values: (n,) of passages -> their mean for each number of copies."""
    found = np.asarray(values, np.float64)
    return {k: float(found[copies == k].mean()) for k in COPIES}
