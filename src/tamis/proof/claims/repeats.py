"""Claim (d): what a repeated token is worth, and what comes of training on.

Each seed has documents of its own, cut into windows of 128 bytes that lie in random order (so one byte in 128 is
predicted across a join, in every arm alike). Its first U tokens are a sample of all of its documents; they are repeated
2, 4, 8 and 16 times, and beside each stands a model of the same shape, seed and rate trained once on the first 2, 4, 8
and 16 U tokens: both share U, and one epoch of either is the same run. A repeated run's loss, read off its own seed's
curve of fresh tokens (straight between points in ln D), says how many fresh tokens D' it was worth; (D' - U) / (D - U)
is the worth of a repeated token. R* of the data-constrained law, D' = U (1 + R (1 - exp(-r / R))) for r repeats
(Muennighoff et al. 2023, equation 5), is fitted to ln D' of each seed.

Over-training: fewer tokens of the same windows repeated many times at a constant rate, held-out loss along the way. The
two epochs that are compared are fixed beforehand. Held-out text shares no 13 words with any seed's documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims import material
from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Table, Verdict, claim

if TYPE_CHECKING:
    from tamis.proof.small_runs import Outcome

Floats = npt.NDArray[np.float64]

EPOCHS = (2, 4, 8, 16)
NEARLY = 0.75  # a token repeated up to four times is worth at least this much of a fresh one
# Held-out documents: pieces of at most so many characters, so that no single one makes up much of the text.
HELD_BYTES, HELD_LONGEST, HELD_LEAST = 75_000, 1500, 40
LATER = 4  # over-training: the last epoch is compared with the one after a quarter of them


@claim(
    "repeated-epochs",
    letter="d",
    # 2: windows of all documents rather than the first few documents; U is a part of the fresh tokens; held-out text
    # of 40 documents or more with proof; over-training compares epochs fixed beforehand; rates by length.
    version=2,
    statement="For a small model and text drawn from many documents, up to four epochs a repeated token is worth "
    "nearly as much as a fresh one and at sixteen it is worth less; trained on a quarter as many tokens at a constant "
    "rate, the model is worse after 64 epochs than after 16.",
    source="Muennighoff et al. 2023, Scaling Data-Constrained Language Models, arXiv 2305.16264 (R* of 15.4 epochs); "
    "over-fitting by many epochs: Hernandez et al. 2022, arXiv 2205.10487",
    rule=f"holds when over seeds the 95% interval of the worth of a repeated token at 4 epochs lies above {NEARLY}, "
    "that of the worth at 16 less the worth at 4 below 0, and that of the held-out loss after 64 epochs of "
    "over-training less that after 16 above 0. Does not hold when any of the three lies wholly on the other side. "
    "Anything else is not shown. "
    "Sampling and the over-training part were rewritten after a first version was reviewed; this is a new run.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.proof import small_runs
    from tamis.proof.grid import rate
    from tamis.proof.small_runs import BATCH, CONTEXT, Job, Shape, write_tokens

    width = setting.pick(tiny=16, small=32, grows=0.0)
    step = BATCH * CONTEXT  # of whole steps, so that epochs of all arms end at the same ones
    unique = setting.pick(tiny=4096, small=32_768) // step * step
    epochs = EPOCHS if not setting.tiny else (2, 4)
    seeds = setting.seeds(tiny=2, small=5)
    few = setting.pick(tiny=4096, small=8192) // step * step
    rounds = setting.pick(tiny=8, small=64, grows=0.0)
    folder = setting.runs / "repeats"
    folder.mkdir(parents=True, exist_ok=True)
    tag = f"{setting.label}-{setting.seed}"
    most = unique * max(epochs)
    texts = _texts(setting, most, len(seeds), folder / f"held-{tag}.jsonl")
    jobs: list[Job] = []
    shape = Shape(4, width)
    marks = tuple(few * n for n in _marks(rounds))
    behind: dict[str, list[int]] = {"unique": [], "fresh": [], "over": []}  # documents, of each seed
    for place, seed in enumerate(seeds):
        tokens, sources = _windows(texts.mine[place], most, setting.seed * 1000 + place)
        for name, count in (("unique", unique), ("fresh", most), ("over", few)):
            behind[name].append(len(np.unique(sources[: count // CONTEXT])))
        path = write_tokens(folder / f"tokens-{tag}-{place}.npy", tokens)
        base: dict[str, Any] = {"tokens": path, "held": {"held out": texts.held}, "shape": shape, "seed": seed}
        # one token more than the windows: the last one's last target
        jobs += [
            Job(
                **base, train=unique * n, unique=unique * n + 1, lr=rate(unique * n // step),
                named={"kind": "fresh", "n": n, "seed": seed},
            )
            for n in (1, *epochs)
        ]  # fmt: skip
        jobs += [
            Job(
                **base, train=unique * n, unique=unique + 1, lr=rate(unique * n // step),
                named={"kind": "repeated", "n": n, "seed": seed},
            )
            for n in epochs
        ]  # fmt: skip
        jobs.append(
            Job(
                **base, train=few * rounds, unique=few + 1, schedule="constant", at=marks,
                named={"kind": "over", "n": rounds, "seed": seed},
            )
        )  # fmt: skip
    found = small_runs.outcomes(jobs, folder / "models", setting.processes, "repeats")
    fresh, repeated, over = (_by(found, kind) for kind in ("fresh", "repeated", "over"))
    worths = np.array([[_worth(fresh[s], repeated[s][n], unique, n) for n in epochs] for s in seeds])  # (S, epochs)
    constants = np.array([_constant(fresh[s], repeated[s], unique) for s in seeds])
    along = np.array([[bits["held out"] for _, bits in one.along] + [one.bits["held out"]]
                      for one in (over[s][rounds] for s in seeds)])  # fmt: skip
    passes = [*_marks(rounds), rounds]
    first = rounds // LATER
    at_four, at_most = worths[:, epochs.index(4)], worths[:, -1]
    n = texts.documents
    figures = [
        _figure(f"worth of a repeated token at {k} epochs", worths[:, i], "fresh tokens", n, "1 is as good as fresh")
        for i, k in enumerate(epochs)
    ]
    figures.append(_r_star(constants, n))
    drop = _figure(f"worth at {epochs[-1]} epochs less that at 4", at_most - at_four, "fresh tokens", n)
    up = _figure(
        f"held-out loss of over-training after {rounds} epochs less that after {first}",
        along[:, -1] - along[:, passes.index(first)], "bit/byte", n,
    )  # fmt: skip
    figures += [drop, up]
    verdict, because = _decide(setting, figures[epochs.index(4)], drop, up)
    rows = [
        [k, rate(unique * k // step),
         *(float(np.mean([kind[s][k].bits["held out"] for s in seeds])) for kind in (fresh, repeated)),
         float(worths[:, i].mean())]
        for i, k in enumerate(epochs)
    ]  # fmt: skip
    trained_on: list[list[str | float | None]] = [
        [what, size, f"{min(behind[name])} to {max(behind[name])}"]
        for what, name, size in (
            ("U, repeated", "unique", unique), ("most fresh tokens", "fresh", most), ("over-training", "over", few),
        )
    ]  # fmt: skip
    picture = _draw(setting.out / "repeats.png", epochs, worths, constants, passes, along, few)
    return Finding(
        verdict, because,
        {
            "model": f"decoder of {shape.config().parameters:,} parameters without embedding and head, bytes",
            "text": f"{material.where_text_is_from(setting.data)}; every seed has documents of its own, cut into "
            f"windows of {CONTEXT} bytes in random order",
            "held-out text": texts.said,
            "unique tokens": unique, "epochs": list(epochs),
            "rates": "by the length of the run, the same in both arms (docs/scaling-laws.md has the sweep); "
            "over-training at a constant 0.03",
            "over-training": f"{few:,} tokens, {rounds} epochs, constant rate",
            "batch": f"{BATCH} x {CONTEXT} tokens",
        },
        figures, len(seeds),
        [
            Table("Held-out bits per byte", ["epochs", "rate", "as many fresh tokens", "repeated", "worth"], rows),
            Table("Documents behind the tokens of a seed", ["tokens", "how many", "documents"], trained_on),
        ],
        [picture], sum(one.cpu_seconds for one in found),
    )  # fmt: skip


@dataclass(frozen=True)
class _Texts:
    """mine: documents of each seed. held: the file of held-out texts, of so many documents. said: the proof."""

    mine: list[list[str]]
    held: Path
    documents: int
    said: str


def _texts(setting: Setting, most: int, seeds: int, path: Path) -> _Texts:
    """Raises Missing where there is too little text for all seeds, or too little to measure on."""
    import pyarrow as pa

    from tamis.proof.holdout import Candidates, hold_out
    from tamis.proof.small_runs import write_held

    held_bytes = HELD_BYTES if not setting.tiny else 8000
    # each seed's part ends with the document that fills it
    wanted = seeds * (most + material.LONGEST) + 8 * held_bytes
    found = [body.encode("utf-8", "replace").decode() for _, body in material.text(wanted, setting.seed, setting.data)]
    sizes = np.cumsum([0, *(len(body.encode()) + 1 for body in found)])
    mine: list[list[str]] = []
    start = 0
    for _ in range(seeds):
        stop = int(np.searchsorted(sizes, sizes[start] + most + 1))  # a token beyond the windows, see `_windows`
        if stop > len(found):
            raise Missing(
                f"{seeds} seeds need {most:,} bytes of text each and some to measure on; {sizes[-1]:,} bytes are here"
            )
        mine.append(found[start:stop])
        start = stop
    pieces = [body[:HELD_LONGEST] for body in found[start:]]
    if not pieces:
        raise Missing(f"{sizes[-1]:,} bytes of text are here: none is left to measure on")
    arrays = [pa.array(one, pa.large_string()) for one in mine]
    kept = hold_out(
        {"held out": Candidates.of([str(i) for i in range(len(pieces))], pieces)},
        {"what is trained on": lambda: iter(arrays)},
        limit_bytes=held_bytes,
    )
    texts, proof = kept.texts["held out"], kept.proof.texts["held out"]
    if len(texts) < HELD_LEAST and not setting.tiny:
        raise Missing(
            f"{len(texts)} documents are left to measure on; {HELD_LEAST} are needed: there is too little text"
        )
    write_held(path, texts.ids, texts.texts)
    said = f"{proof.kept} documents, {proof.bytes:,} bytes; no 13 words are shared with what is trained on"
    return _Texts(mine, path, len(texts), said)


def _windows(documents: Sequence[str], most: int, seed: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """Windows of CONTEXT tokens of the documents' stream in an order drawn by seed: (most + 1,) ids, the last of which
    only ends the last window, and (most / CONTEXT,) the document that each window begins in."""
    from tamis.models.data import bytes_of
    from tamis.proof.small_runs import CONTEXT

    stream = bytes_of(documents)
    source = np.repeat(np.arange(len(documents)), [len(one.encode()) + 1 for one in documents])
    order = np.random.default_rng([seed, 3]).permutation(most // CONTEXT)
    ids = stream[: len(order) * CONTEXT].reshape(-1, CONTEXT)[order].ravel()
    return np.append(ids, stream[len(order) * CONTEXT]), source[order * CONTEXT]


def _marks(rounds: int) -> list[int]:
    """Epochs after which over-training is measured, without the last: 1, 2, 3, 4, 6, 8, 12, 16 ..."""
    return [n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48) if n < rounds]


def _by(found: Sequence[Outcome], kind: str) -> dict[int, dict[int, Outcome]]:
    """seed -> epochs -> outcome."""
    made: dict[int, dict[int, Outcome]] = {}
    for one in found:
        if one.job.named["kind"] == kind:
            made.setdefault(one.job.named["seed"], {})[one.job.named["n"]] = one
    return made


def _equivalent(fresh: Mapping[int, Outcome], bits: float) -> float:
    """How many times U fresh tokens give that loss: straight in ln D between the fresh runs, made monotone, and along
    the outermost pieces beyond them."""
    n = np.log(np.array(sorted(fresh), np.float64))
    losses = np.minimum.accumulate([fresh[k].bits["held out"] for k in sorted(fresh)])
    x, y = -losses, n
    keep = np.concatenate([[True], np.diff(x) > 1e-9])
    x, y = x[keep], y[keep]
    if len(x) < 2:
        return 1.0
    at = int(np.clip(np.searchsorted(x, -bits) - 1, 0, len(x) - 2))
    return float(np.exp(y[at] + (y[at + 1] - y[at]) * (-bits - x[at]) / (x[at + 1] - x[at])))


def _worth(fresh: Mapping[int, Outcome], repeated: Outcome, unique: int, epochs: int) -> float:
    return (_equivalent(fresh, repeated.bits["held out"]) - 1) / (epochs - 1)


def _constant(fresh: Mapping[int, Outcome], repeated: Mapping[int, Outcome], unique: int) -> float:
    """R* of least squares in ln D', on a grid."""
    from tamis.proof.repeats import RANGE, worth

    n = np.array(sorted(repeated), np.float64)
    seen = np.log([max(1e-3, _equivalent(fresh, repeated[int(k)].bits["held out"])) for k in n])
    grid = np.geomspace(*RANGE, 400)
    said = np.log(np.stack([worth(1.0, n - 1, r) for r in grid]))
    return float(grid[int(((said - seen) ** 2).sum(1).argmin())])


def _figure(name: str, values: Floats, unit: str, n: int, note: str = "") -> Figure:
    """The mean over seeds. n: held-out documents."""
    from tamis.proof.comparison import mean_interval

    low, high, _ = mean_interval(values)
    return Figure(name, float(values.mean()), low, high, unit, n, len(values), note)


def _r_star(constants: Floats, n: int) -> Figure:
    """The geometric mean over seeds; where a seed's R* is at an end of the search, which is no value, the median
    without an interval."""
    from tamis.proof.repeats import RANGE

    ends = int(((constants <= RANGE[0] * 1.01) | (constants >= RANGE[1] * 0.99)).sum())
    if ends:
        note = f"median: AT_BOUND in {ends} of {len(constants)} seeds, whose R* is only known to be beyond the ends of "
        note += f"the search, {RANGE[0]:g} and {RANGE[1]:g}; so no interval"
        return Figure("R*", float(np.median(constants)), None, None, "epochs", n, len(constants), note)
    logs = _figure("R*", np.log(constants), "epochs", n)
    low, high = (math.exp(one) for one in (logs.low, logs.high) if one is not None)
    note = "geometric mean; as published 15.4"
    return Figure("R*", math.exp(logs.value), low, high, "epochs", n, len(constants), note)


def _decide(setting: Setting, four: Figure, drop: Figure, up: Figure) -> tuple[Verdict, str]:
    because = f"at 4 epochs a repeated token is worth {four}, {drop.name} is {drop}, and the {up.name} is {up}"
    if setting.tiny:
        return Verdict.NOT_SHOWN, f"tiny shows nothing; {because}"
    if _above(four, NEARLY) and _below(drop, 0) and _above(up, 0):
        return Verdict.HOLDS, because
    if _below(four, NEARLY) or _above(drop, 0) or _below(up, 0):
        return Verdict.DOES_NOT_HOLD, because
    return Verdict.NOT_SHOWN, because


def _above(figure: Figure, line: float) -> bool:
    return figure.low is not None and figure.low > line


def _below(figure: Figure, line: float) -> bool:
    return figure.high is not None and figure.high < line


def _draw(
    path: Path, epochs: Sequence[int], worths: Floats, constants: Floats, passes: Sequence[int], along: Floats, few: int
) -> Path:
    from matplotlib.figure import Figure as Picture

    from tamis.proof.repeats import R_DATA, worth
    from tamis.proof.scaling_plots import BLUE, GREY, INK, RED, save

    picture = Picture(figsize=(10.5, 4.3), layout="constrained")
    left, right = picture.subplots(1, 2)
    n = np.array(epochs, np.float64)
    span = np.geomspace(1.2, n[-1], 100)
    for row in worths:
        left.plot(n, row, color=BLUE, alpha=0.35, marker="o", markersize=3, linewidth=0.8)
    left.plot(n, worths.mean(0), color=BLUE, marker="o", linewidth=2, label="measured, mean of seeds")
    middle = float(np.median(constants))
    for constant, colour, what in (
        (middle, RED, f"law, R* {middle:.3g} (median of seeds)"),
        (R_DATA, GREY, f"law, R* {R_DATA} as published"),
    ):
        left.plot(span, (worth(1.0, span - 1, constant) - 1) / (span - 1), color=colour, linewidth=1.3, label=what)
    left.axhline(1, color=INK, linewidth=0.6)
    left.axhline(0, color=INK, linewidth=0.6)
    left.set(xscale="log", xlabel="epochs", ylabel="worth of a repeated token (fresh = 1)", title="Repeated tokens")
    left.set_xticks(n, [str(one) for one in epochs])
    left.minorticks_off()
    left.legend(frameon=False)
    for row in along:
        right.plot(passes, row, color=BLUE, alpha=0.4, linewidth=0.8)
    right.plot(passes, along.mean(0), color=BLUE, linewidth=2, marker="o", markersize=3)
    right.set(xscale="log", xlabel="epochs", ylabel="held-out bits per byte", title=f"Over-training on {few:,} tokens")
    ticks = [one for one in passes if one & (one - 1) == 0]
    right.set_xticks(ticks, [str(one) for one in ticks])
    right.minorticks_off()
    save(picture, path)
    return path
