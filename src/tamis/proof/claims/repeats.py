"""Claim (d): what a repeated token is worth, and what comes of training on.

U tokens are repeated 2, 4, 8 and 16 times; beside each stands a model of the same shape and seed trained on as many
fresh tokens. A repeated run's loss, read off its own seed's curve of fresh tokens (straight between points in ln D),
says how many fresh tokens D' it was worth; (D' - U) / (D - U) is the worth of a repeated token. R* of the
data-constrained law, D' = U (1 + R (1 - exp(-r / R))) for r repeats (Muennighoff et al. 2023, equation 5), is fitted
to ln D' of each seed. Every seed has text of its own, so the intervals are over text, initial weights and order.

Over-training: a few tokens repeated many times at a constant rate, held-out loss along the way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
HELD_BYTES = 60_000


@claim(
    "repeated-epochs",
    letter="d",
    version=1,
    statement="Up to four epochs a repeated token is worth nearly as much as a fresh one, at sixteen it is worth less, "
    "and training on after that makes the model worse.",
    source="Muennighoff et al. 2023, Scaling Data-Constrained Language Models, arXiv 2305.16264 (R* of 15.4 epochs); "
    "over-fitting by many epochs: Hernandez et al. 2022, arXiv 2205.10487",
    rule=f"holds when over seeds the 95% interval of the worth of a repeated token at 4 epochs lies above {NEARLY}, "
    "that of the worth at 16 less the worth at 4 below 0, and that of the rise in held-out loss from its lowest point "
    "to the end of over-training above 0. Does not hold when any of the three lies wholly on the other side. Anything "
    "else is not shown.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.data import bytes_of
    from tamis.proof.small_runs import BATCH, CONTEXT, Job, Shape, outcomes, write_held, write_tokens

    width = setting.pick(tiny=16, small=32, grows=0.0)
    unique = setting.pick(tiny=4096, small=32_768)
    epochs = EPOCHS if not setting.tiny else (2, 4)
    seeds = setting.seeds(tiny=2, small=4)
    few = setting.pick(tiny=4096, small=8192, grows=0.5)
    rounds = setting.pick(tiny=8, small=64, grows=0.0)
    most = unique * max(epochs) + 2 * CONTEXT
    documents = material.text(round(1.1 * most * len(seeds)) + 4 * HELD_BYTES, setting.seed, setting.data)
    held, rest = _split(documents, HELD_BYTES if not setting.tiny else 8_000)
    folder = setting.runs / "repeats"
    folder.mkdir(parents=True, exist_ok=True)
    tag = f"{setting.label}-{setting.seed}"
    paths = {"held out": write_held(folder / f"held-{tag}.jsonl", [one for one, _ in held], [t for _, t in held])}
    stream = bytes_of(text for _, text in rest)
    most = min(most, len(stream) // len(seeds))
    jobs: list[Job] = []
    shape = Shape(4, width)
    marks = tuple(few * n for n in _marks(rounds))
    for place, seed in enumerate(seeds):
        mine = write_tokens(folder / f"tokens-{tag}-{place}.npy", stream[place * most : (place + 1) * most])
        base: dict[str, Any] = {"tokens": mine, "held": paths, "shape": shape, "seed": seed}
        jobs += [Job(**base, train=unique * n, named={"kind": "fresh", "n": n, "seed": seed}) for n in (1, *epochs)]
        jobs += [
            Job(**base, train=unique * n, unique=unique + 1, named={"kind": "repeated", "n": n, "seed": seed})
            for n in epochs
        ]
        jobs.append(
            Job(
                **base, train=few * rounds, unique=few + 1, schedule="constant", at=marks,
                named={"kind": "over", "n": rounds, "seed": seed},
            )
        )  # fmt: skip
    found = outcomes(jobs, folder / "models", setting.processes, "repeats")
    fresh, repeated, over = (_by(found, kind) for kind in ("fresh", "repeated", "over"))
    worths = np.array([[_worth(fresh[s], repeated[s][n], unique, n) for n in epochs] for s in seeds])  # (S, epochs)
    constants = np.array([_constant(fresh[s], repeated[s], unique) for s in seeds])
    along = np.array([[bits["held out"] for _, bits in one.along] + [one.bits["held out"]]
                      for one in (over[s][rounds] for s in seeds)])  # fmt: skip
    passes = [*_marks(rounds), rounds]
    lowest = int(along.mean(0).argmin())
    rise = along[:, -1] - along[:, lowest]
    at_four, at_most = worths[:, epochs.index(4)], worths[:, -1]
    figures = [
        _figure(f"worth of a repeated token at {n} epochs", worths[:, i], "fresh tokens", "1 is as good as fresh")
        for i, n in enumerate(epochs)
    ]
    figures.append(_figure("R*", np.log(constants), "epochs", "geometric mean; as published 15.4", back=True))
    drop = _figure(f"worth at {epochs[-1]} epochs less that at 4", at_most - at_four, "fresh tokens")
    up = _figure(f"rise from the lowest held-out loss (epoch {passes[lowest]}) to epoch {rounds}", rise, "bit/byte")
    figures += [drop, up]
    verdict, because = _decide(setting, figures[epochs.index(4)], drop, up)
    rows = [
        [n, *(float(np.mean([kind[s][n].bits["held out"] for s in seeds])) for kind in (fresh, repeated)),
         float(worths[:, i].mean())]
        for i, n in enumerate(epochs)
    ]  # fmt: skip
    picture = _draw(setting.out / "repeats.png", epochs, worths, constants, passes, along, few)
    return Finding(
        verdict, because,
        {
            "model": f"decoder of {shape.config().parameters:,} parameters without embedding and head, bytes",
            "text": material.where_text_is_from(setting.data),
            "unique tokens": unique, "epochs": list(epochs),
            "over-training": f"{few:,} tokens, {rounds} epochs, constant rate",
            "batch": f"{BATCH} x {CONTEXT} tokens",
        },
        figures, len(seeds),
        [Table("Held-out bits per byte", ["epochs", "as many fresh tokens", "repeated", "worth"], rows)],
        [picture], sum(one.cpu_seconds for one in found),
    )  # fmt: skip


def _marks(rounds: int) -> list[int]:
    """Epochs after which over-training is measured, without the last: 1, 2, 3, 4, 6, 8, 12, 16 ..."""
    return [n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48) if n < rounds]


def _split(documents: Sequence[tuple[str, str]], held: int) -> tuple[list[Any], list[Any]]:
    size = 0
    for place, (_, text) in enumerate(documents):
        size += len(text.encode())
        if size >= held:
            return list(documents[: place + 1]), list(documents[place + 1 :])
    raise Missing(f"there are only {size:,} bytes of text")


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


def _figure(name: str, values: Floats, unit: str, note: str = "", *, back: bool = False) -> Figure:
    from tamis.proof.comparison import mean_interval

    low, high, _ = mean_interval(values)
    value = float(values.mean())
    if back:
        value, low, high = math.exp(value), math.exp(low), math.exp(high)
    return Figure(name, value, low, high, unit, len(values), len(values), note)


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
    middle = float(np.exp(np.log(constants).mean()))
    for constant, colour, what in (
        (middle, RED, f"law, R* {middle:.3g}"),
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
