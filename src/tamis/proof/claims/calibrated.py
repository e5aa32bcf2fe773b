"""Claim (g): larger models are better calibrated.

Decoders of one kind and several sizes read one corpus, first at equal tokens, then at equal compute. Two things are
asked of each: how sure it is of the next byte of held-out text, and of the right ending among four of a passage
(multiple choice by likelihood). Calibration is the error of the sweep estimator (Roelofs et al. 2022), which unlike
plain bins is near zero for a perfect model; the debiased error, the temperature that would mend the model, and what a
perfect model would show stand beside it.

The corpus, the held-out text and the items are the same for all seeds: intervals speak of other initial weights and
other orders of the data, not of other text.
At equal compute a large model sees few tokens, so the smallest sizes, which would need very many, are left out there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Table, Verdict, claim

# (layers, width, heads): 3,072 to 786,432 parameters without embeddings; the last ones are the ladder's.
SHAPES = ((4, 8, 1), (4, 16, 1), (4, 32, 1), (4, 64, 1), (4, 96, 2), (4, 128, 2))
# Equal compute is what this shape needs for the tokens of the first part; at most MOST times its tokens are read.
BASE = (4, 64, 1)
MOST = 4
PROMPT, ENDING, OPTIONS = 64, 28, 4  # characters, characters, endings of an item
SETTINGS = ("equal tokens", "equal compute")
REFUTES = 1 - 0.05 / 2  # the level of the intervals that refute, one of two

F64 = npt.NDArray[np.float64]


@claim(
    "calibrated",
    letter="g",
    version=1,
    statement="Among small models of one kind and one learning rate, larger ones are better calibrated: the error of "
    "their confidence in the next byte falls with their size, at equal tokens as well as at equal compute.",
    source="after Kadavath et al. 2022, Language Models (Mostly) Know What They Know, arXiv 2207.05221, and Srivastava "
    "et al. 2022, BIG-bench, arXiv 2206.04615, section 3.3, which say so of multiple choice and of models thousands of "
    "times as large; here the next byte decides; estimator: Roelofs et al. 2022, arXiv 2012.08668",
    rule="Slope of the sweep calibration error of the likeliest next byte, on held-out text of the training's kind, "
    "by doublings of the parameters, within each seed. Holds when the 95% intervals over seeds lie below 0 at equal "
    "tokens and at equal compute, does not hold when one of them, at 97.5% (Holm, of two), lies above 0, else is not "
    "shown. Multiple choice, text of another kind, and Kendall's tau stand beside it and do not decide. All sizes "
    "train at one rate that was tuned for none, and at equal compute the largest take few steps (23 at small): the "
    "slope is that of this training, not of the best one of each size. Seeds differ in initial weights and order of "
    "data; the text, of which few documents are held out, stays, so intervals speak of no other text. "
    "The 97.5% was added after the run; the verdict is the same without it.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.many import many
    from tamis.proof.claims import _training as training
    from tamis.proof.claims._texts import kinds, rows, shared, stream, upto

    context, batch = 128, setting.pick(tiny=8, small=16, grows=0)
    shapes = SHAPES[:3] if setting.tiny else SHAPES
    base = SHAPES[1] if setting.tiny else BASE
    steps = setting.pick(tiny=12, small=80)
    seeds = setting.seeds(tiny=2, small=4)
    windows, asked = setting.pick(tiny=8, small=48, grows=0), setting.pick(tiny=24, small=160, grows=0)
    held = 2 * windows * context + 4 * asked * (PROMPT + ENDING)
    wanted = steps * batch * context * MOST
    found = kinds(wanted + held, 2 * windows * context, setting.seed, setting.data)
    cut = len(upto(found.first, held))
    texts = {
        "own": rows(found.first[:cut], context, windows),
        "other": rows(found.reference, context, windows),
        "items": items(found.first[:cut], asked, setting.seed),
    }
    tokens = stream(found.first[cut:], wanted)
    plan = planned(shapes, base, steps, context)
    jobs = [
        training.Job(
            f"{training.config_of(shape, context).parameters:,} parameters, {length} steps", tokens, length, seed,
            texts,
            answers, (length,), shape=shape, context=context, batch=batch,
        )
        for seed in seeds for shape, length in sorted({one for part in plan.values() for one in part})
    ]  # fmt: skip
    results = many(training.trained, jobs, setting.processes, describe=lambda job: job.name)
    by = {(job.shape, job.steps, job.seed): one[job.steps] for job, one in zip(jobs, results, strict=True)}
    measured = {
        name: Measured.of([[by[shape, length, seed] for shape, length in part] for seed in seeds], part, context)
        for name, part in plan.items()
    }
    judged = judge(measured)
    picture = setting.out / "calibrated.png"
    draw(measured, picture)
    return Finding(
        verdict=Verdict.NOT_SHOWN if setting.tiny else judged.verdict,
        because=judged.because,
        setting={
            "corpus": found.names[0],
            "text of another kind": found.names[2],
            "held-out text": shared(
                {found.names[0]: found.first[:cut], found.names[2]: found.reference},
                (body for _, body in upto(found.first[cut:], wanted)),
            ),
            "model": f"decoder on bytes, context {context}, parameters without embeddings: "
            + ", ".join(f"{int(one):,}" for one in measured[SETTINGS[0]].parameters),
            "equal tokens": f"{steps * batch * context:,}",
            "equal compute, tokens": ", ".join(
                f"{int(size):,}: {length * batch * context:,} in {length} steps"
                for size, (_, length) in zip(measured[SETTINGS[1]].parameters, plan[SETTINGS[1]], strict=True)
            ),
            "optimizer": f"Muon, rate {jobs[0].lr:g} for all sizes",
            "next bytes asked of each model": windows * context,
            "items": f"{asked}, the true ending of {ENDING} characters among {OPTIONS}",
            "trainings": len(jobs),
        },
        figures=judged.figures,
        seeds=len(seeds),
        tables=[_table(name, one) for name, one in measured.items()],
        pictures=[picture],
    )


def planned(
    shapes: Sequence[tuple[int, int, int]], base: tuple[int, int, int], steps: int, context: int
) -> dict[str, list[tuple[tuple[int, int, int], int]]]:
    """The (shape, steps) of both parts, by rising size."""
    from tamis.proof.claims._training import config_of

    cost = {shape: config_of(shape, context).flops_per_token for shape in shapes}
    lengths = {shape: round(steps * cost[base] / cost[shape]) for shape in shapes}
    equal = [(shape, steps) for shape in shapes]
    return {
        SETTINGS[0]: equal,
        SETTINGS[1]: [(shape, length) for shape, length in lengths.items() if 1 <= length <= MOST * steps],
    }


def items(docs: Sequence[tuple[str, str]], count: int, seed: int) -> list[Any]:
    """Passages of held-out text with their true ending among those of other passages. Raises Missing."""
    from tamis.proof.items import Item

    found = []
    for name, body in docs:
        flat = " ".join(body.split())
        for start in range(0, len(flat) - PROMPT - 2 * ENDING, 3 * (PROMPT + ENDING)):
            first, split = flat.find(" ", start) + 1, flat.find(" ", start + PROMPT)
            end = flat.rfind(" ", split, split + 1 + ENDING)
            if first < split and split < end:
                found.append((f"{name}@{start}", flat[first:split], flat[split + 1 : end]))
    if len(found) < count:
        raise Missing(f"the held-out text gives {len(found)} multiple-choice items; {count} are needed")
    rng = np.random.default_rng(seed)
    chosen = [found[int(i)] for i in np.sort(rng.permutation(len(found))[:count])]
    made = []
    for place, (name, prompt, ending) in enumerate(chosen):
        others = [chosen[(place + int(step)) % count][2] for step in 1 + rng.permutation(count - 1)[: OPTIONS - 1]]
        right = int(rng.integers(OPTIONS))
        options = (*others[:right], ending, *others[right:])
        made.append(Item(name, prompt, ending, options, right))
    return made


@dataclass(frozen=True)
class Answers:
    """confidence (n,), right (n,): of the likeliest answer. bits: per byte of the text, NaN for items. temperature:
    fitted on the first half of the answers. mended (n / 2,): confidence at it of the second half."""

    confidence: F64
    right: npt.NDArray[np.bool_]
    bits: float
    temperature: float
    mended: F64


def answers(module: Any, asked: Any) -> Answers:
    """Of next bytes, asked (n, T + 1), or of a list of items."""
    from tamis.proof.claims._training import log_probabilities

    if isinstance(asked, list):
        from tamis.models.data import ByteEncoder
        from tamis.models.model import TorchModel
        from tamis.proof.choices import multiple_choice

        chosen = multiple_choice(TorchModel(module, 128), asked, ByteEncoder())
        scores, truth, bits = np.stack(chosen.scores), chosen.right, np.nan
    else:
        said = log_probabilities(module, asked)
        scores, truth = said.reshape(-1, said.shape[-1]).astype(np.float64), asked[:, 1:].reshape(-1)
        bits = float(-scores[np.arange(len(truth)), truth].mean() / np.log(2))
    half = len(truth) // 2
    heat = fitted(scores[:half], truth[:half])
    p = _softmax(scores)
    return Answers(p.max(1), p.argmax(1) == truth, bits, heat, _softmax(scores[half:] / heat).max(1))


def fitted(scores: F64, truth: npt.NDArray[np.int64]) -> float:
    """The temperature of the least negative log-likelihood (Guo et al. 2017), between 1/16 and 16."""
    from scipy.optimize import minimize_scalar

    def nats(log_heat: float) -> float:
        p = _softmax(scores / np.exp(log_heat))
        return float(-np.log(np.maximum(p[np.arange(len(truth)), truth], 1e-30)).mean())

    edge = np.log(16)
    return float(np.exp(minimize_scalar(nats, bounds=(-edge, edge), method="bounded", options={"xatol": 0.01}).x))


def _softmax(scores: F64) -> F64:
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    found: F64 = shifted / shifted.sum(1, keepdims=True)
    return found


# --- errors by size, and the verdict ---


@dataclass(frozen=True)
class Measured:
    """Of R seeds and S sizes, by name of the text: sweep and debiased error, gap (mean confidence less share right),
    share right, temperature, error after it (R, S); answers of all seeds together by size. bits (R, S) of own."""

    parameters: F64
    sweep: Mapping[str, F64]
    debiased: Mapping[str, F64]
    gap: Mapping[str, F64]
    right: Mapping[str, F64]
    temperature: Mapping[str, F64]
    mended: Mapping[str, F64]
    bits: F64
    pooled: Mapping[str, list[tuple[F64, npt.NDArray[np.bool_]]]]

    @classmethod
    def of(
        cls,
        found: Sequence[Sequence[Mapping[str, Answers]]],
        part: Sequence[tuple[tuple[int, int, int], int]],
        context: int,
    ) -> Measured:
        """found: [seed][size]."""
        from tamis.proof.calibration import errors
        from tamis.proof.claims._training import config_of

        names = list(found[0][0])
        grid = {name: [[one[name] for one in row] for row in found] for name in names}

        def each(function: Any) -> dict[str, F64]:
            return {name: np.array([[function(one) for one in row] for row in grid[name]]) for name in names}

        both = each(lambda one: errors(one.confidence, one.right))
        return cls(
            np.array([config_of(shape, context).parameters for shape, _ in part], np.float64),
            {name: one[..., 0] for name, one in both.items()},
            {name: one[..., 1] for name, one in both.items()},
            each(lambda one: one.confidence.mean() - one.right.mean()),
            each(lambda one: one.right.mean()),
            each(lambda one: one.temperature),
            each(lambda one: errors(one.mended, one.right[len(one.right) // 2 :])[0]),
            each(lambda one: one.bits)["own"],
            {
                name: [
                    (np.concatenate([one.confidence for one in column]), np.concatenate([one.right for one in column]))
                    for column in zip(*grid[name], strict=True)
                ]
                for name in names
            },
        )

    def slopes(self, name: str) -> F64:
        """Change of the sweep error with each doubling of the parameters, by seed (R,)."""
        x = np.log2(self.parameters)
        return np.array([np.polyfit(x, row, 1)[0] for row in self.sweep[name]])


@dataclass(frozen=True)
class Judged:
    verdict: Verdict
    because: str
    figures: list[Figure]


def judge(measured: Mapping[str, Measured]) -> Judged:
    """By the rule above."""
    from tamis.proof.trends import kendall

    figures, ends, told = [], [], []
    for name, text, what in (
        *((one, "own", "next byte") for one in SETTINGS),
        *((one, "other", "next byte, text of another kind") for one in SETTINGS),
        *((one, "items", "multiple choice") for one in SETTINGS),
    ):
        one = measured[name]
        value, low, high = interval(one.slopes(text))
        tau, p = kendall(np.tile(np.log2(one.parameters), len(one.bits)), one.sweep[text].ravel())
        n = len(one.pooled[text][0][0]) // len(one.bits)
        figures.append(
            Figure(
                f"error with each doubling of the size, {name}, {what}", value, low, high, "share", n, len(one.bits),
                ("decides; " if text == "own" else "") + f"Kendall's tau {tau:+.2f}, p {p:.2g}; "
                f"{len(one.parameters)} sizes",
            )
        )  # fmt: skip
        if text == "own":
            # Either refutes: each at half of what may miss (Holm's first step, all that one refutation asks for).
            ends.append((interval(one.slopes(text), REFUTES)[1], high))
            told.append(f"{value:+.4f} [{low:+.4f}, {high:+.4f}] at {name}")
    figures += _largest(measured[SETTINGS[0]])
    if any(low > 0 for low, _ in ends):
        verdict = Verdict.DOES_NOT_HOLD
    else:
        verdict = Verdict.HOLDS if all(high < 0 for _, high in ends) else Verdict.NOT_SHOWN
    because = "with each doubling of the size the calibration error of the next byte changes by " + ", ".join(told)
    return Judged(verdict, because, figures)


def _largest(one: Measured) -> list[Figure]:
    """Of the smallest and the largest size at equal tokens: error, and what a perfect model would show."""
    from tamis.proof.calibration import calibration

    figures = []
    for place in (0, -1):
        value, low, high = interval(one.sweep["own"][:, place])
        confidence, right = one.pooled["own"][place]
        n = len(right) // len(one.bits)
        perfect = calibration(confidence[:n], right[:n], resamples=50).perfect["sweep"]
        figures.append(
            Figure(
                f"calibration error of the next byte, {int(one.parameters[place]):,} parameters", value, max(low, 0.0),
                high, "share", n, len(one.bits), f"equal tokens; a perfect model would show {perfect:.4f}",
            )
        )  # fmt: skip
    return figures


def interval(values: F64, level: float = 0.95) -> tuple[float, float, float]:
    """Mean over seeds with its interval."""
    from tamis.proof.comparison import mean_interval

    low, high, _ = mean_interval(values, level)
    return float(values.mean()), low, high


def _table(name: str, one: Measured) -> Table:
    columns = [
        "parameters", "bits per byte", "share right", "sweep error", "debiased", "confidence - right", "temperature",
        "error after it", "another kind", "items right", "items, error",
    ]  # fmt: skip
    parts = [
        one.bits, one.right["own"], one.sweep["own"], one.debiased["own"], one.gap["own"], one.temperature["own"],
        one.mended["own"], one.sweep["other"], one.right["items"], one.sweep["items"],
    ]  # fmt: skip
    rows: list[list[str | float | None]] = [
        [f"{int(size):,}", *(float(part[:, place].mean()) for part in parts)]
        for place, size in enumerate(one.parameters)
    ]
    note = "means over seeds; of the next byte on held-out text, sweep error also on text of another kind and of items"
    return Table(f"Calibration by size, {name}", columns, rows, note)


def draw(measured: Mapping[str, Measured], path: Path) -> None:
    from matplotlib.figure import Figure as Canvas

    from tamis.proof.calibration import diagram

    canvas = Canvas(figsize=(11, 3.9), layout="constrained")
    left, middle, right = canvas.subplots(1, 3)
    sizes = measured[SETTINGS[0]].parameters
    for axes, text, title in ((left, "own", "next byte, held-out text"), (middle, "items", "multiple choice")):
        for (name, one), color in zip(measured.items(), ("#2a6f97", "#c8553d"), strict=True):
            found = np.array([interval(column) for column in one.sweep[text].T])
            errors = np.abs(found[:, 1:] - found[:, :1]).T
            axes.errorbar(one.parameters, found[:, 0], yerr=errors, fmt="o-", color=color, capsize=3, markersize=4,
                          linewidth=1.4, label=name)  # fmt: skip
        axes.set(xscale="log", title=title, xlabel="parameters", ylabel="calibration error (sweep)")
        axes.set_xticks(sizes, [f"{size / 1000:.0f}k" for size in sizes], fontsize=7)
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
    one = measured[SETTINGS[0]]
    right.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
    for place, color in ((0, "#e9c46a"), (len(one.parameters) // 2, "#588157"), (-1, "#264653")):
        confidence, hits = one.pooled["own"][place]
        order = np.argsort(confidence, kind="stable")
        bins = diagram(confidence[order], hits[order].astype(np.float64))
        label = f"{int(one.parameters[place]):,}"
        right.plot([b.confidence for b in bins], [b.right for b in bins], "o-", color=color, markersize=3, label=label)
    right.set(title="reliability at equal tokens", xlabel="confidence in the likeliest byte", ylabel="share right")
    right.legend(frameon=False, fontsize=8, title="parameters", title_fontsize=8)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=120, metadata={"Software": None})
