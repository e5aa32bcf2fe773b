"""Claim (a): half of the training labels wrong, test error still low.

One hidden layer of rectified units, trained by gradient descent with momentum, on pictures whose training labels were
made wrong in four shapes. A share p of wrong labels means that exactly p of the training labels differ from the truth.

- another class: wrong labels are drawn evenly among the other classes (what the claim is about)
- any class: labels drawn evenly among all classes, the true one too, until p of them are wrong
- next class: every wrong label is the class after the true one, so that at one half truth and error are tied
- look-alike: a linear model of the clean data says which class a picture is most easily taken for; pictures near the
  line are more often wrong (labels depend on the picture, as those of people do)

"Any class" at p wrong needs p / (1 - 1/classes) replaced labels: it is "another class" seen from the other side, so the
two must agree; both are run because the literature counts in replaced labels. Two epochs are reported: the last one,
and the one chosen as a user can choose it, by the lowest error on a tenth of the *noisy* training labels held out.

Many models train at once as batched matrix products: one array of weights (K, inputs, units) for K models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims import material
from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Table, Verdict, claim
from tamis.proof.claims.material import Images

VERSION = 1  # raised when training changes: stored models of another version are not used
SHAPES = ("another class", "any class", "next class", "look-alike")
# A fifth of the noise: of 50 points of wrong labels at most 10 may reach the test error.
LOW = 0.10
HALF = 0.5
UNITS = 128
BATCH = 128
RATE = 0.05
HELD = 0.1

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Job:
    """K models of one data set trained at once: (shape, share wrong, seed) each, on the first n pictures of an order
    drawn by the seed. looks: how often they are looked at, evenly over the steps."""

    data: str
    n: int
    steps: int
    looks: int
    models: tuple[tuple[str, float, int], ...]
    test: int

    def __str__(self) -> str:
        return f"{self.data}, {self.n:,} pictures, {len(self.models)} models"

    def key(self, pictures: str) -> str:
        """Of everything that decides the trained models; `pictures` is the hash of the data set."""
        decides = repr((self, pictures, VERSION, UNITS, BATCH, RATE, HELD))
        return hashlib.sha256(decides.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Task:
    """A job, and where what came of it lies, so that a killed claim goes on where it was."""

    job: Job
    path: Path

    def __str__(self) -> str:
        return str(self.job)


@dataclass(frozen=True)
class Trained:
    """curve: (K, looks) test error. wrong: at the chosen and the last look, which test pictures are taken wrongly
    (K, 2, test). chosen: (K,) number of the look with the fewest errors on held-out noisy labels. kept: (K,) share
    of the wrong training labels that the model of the last look repeats."""

    job: Job
    curve: Array
    wrong: Array
    chosen: Array
    kept: Array


@claim(
    "noisy-labels",
    letter="a",
    version=VERSION,
    statement="With half of the training labels wrong at random, a network's test error is still low.",
    source="Rolnick, Veit, Belongie and Shavit 2017, Deep Learning is Robust to Massive Label Noise, "
    "[arXiv 1705.10694](https://arxiv.org/abs/1705.10694); told earlier by Hinton of MNIST",
    rule="low means that at most a fifth of the noise arrives: with half of the labels wrong (each drawn among the "
    "other classes) test error is at most 10 points above that with clean labels, at the epoch that held-out noisy "
    "labels choose. Holds if the upper end of the 95% interval of that difference, paired by seed, is below 10 points "
    "in every data set; does not hold if the lower end is above 10 points in any; else not shown. Other shapes of "
    "noise and the last epoch are reported and do not decide.",
    asks={"torch": "train", "sklearn": "claims", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.many import many

    sets, lacking = _sets(setting)
    seeds = setting.seeds(3, 5)
    shares = setting.pick((HALF,), (0.2, 0.4, HALF, 0.6, 0.8))
    jobs = _jobs(setting, sets, seeds, shares)
    material_of = {one.name: one for one in sets}
    if setting.tiny:
        trained = [train(job, material_of[job.data]) for job in jobs]
    else:
        digests = {one.name: material.digest_of(one) for one in sets}
        tasks = [Task(job, setting.runs / "noisy-labels" / f"{job.key(digests[job.data])}.npz") for job in jobs]
        trained = many(_work, tasks, setting.processes, title="noisy labels")
    return _finding(setting, sets, lacking, seeds, trained)


def _sets(setting: Setting) -> tuple[list[Images], list[str]]:
    """Digits always (they come with scikit-learn); larger sets where they are installed, but not for tiny."""
    found, lacking = [material.digits()], []
    if not setting.tiny:
        for read in (material.mnist, material.fashion):
            try:
                found.append(read())
            except Missing as error:
                lacking.append(str(error))
    return found, lacking


def _jobs(setting: Setting, sets: Sequence[Images], seeds: Sequence[int], shares: Sequence[float]) -> list[Job]:
    """Models that share data, length and number of pictures go into one job per seed, so that jobs are alike."""
    jobs = []
    for one in sets:
        n, test = len(one.x), min(len(one.test_x), 5000)
        steps = setting.pick(60, {"digits": 400, "mnist": 900, "fashion": 2400}[one.name], grows=0.5)
        looks = setting.pick(6, 24)
        # All shares only where a model takes a second; the large set has the half alone, and its number of pictures.
        wrong = shares if one.name != "fashion" else (HALF,)
        every = [("clean", 0.0), *((shape, share) for shape in SHAPES for share in wrong)]
        jobs += [
            Job(one.name, n, steps, looks, tuple((shape, share, seed) for shape, share in every), test)
            for seed in seeds
        ]
        if one.name == "fashion":
            few = (("clean", 0.0), ("another class", HALF))
            for part in (1000, 4000, 16000):
                models = tuple((shape, share, seed) for seed in seeds for shape, share in few)
                jobs.append(Job(one.name, part, steps, looks, models, test))
    return sorted(jobs, key=lambda job: -job.steps * len(job.models))


def _work(task: Task) -> Trained:
    """In another process, which reads its own copy of the pictures, once."""
    if task.path.is_file():
        with np.load(task.path) as stored:
            return Trained(task.job, *(stored[name] for name in ("curve", "wrong", "chosen", "kept")))
    found = train(task.job, _images(task.job.data))
    task.path.parent.mkdir(parents=True, exist_ok=True)
    part = task.path.with_suffix(".partial.npz")
    np.savez_compressed(part, curve=found.curve, wrong=found.wrong, chosen=found.chosen, kept=found.kept)
    part.replace(task.path)
    return found


@lru_cache(maxsize=1)
def _images(name: str) -> Images:
    read: dict[str, Callable[[], Images]] = {
        "digits": material.digits,
        "mnist": material.mnist,
        "fashion": material.fashion,
    }
    return read[name]()


def train(job: Job, images: Images) -> Trained:
    """Trains the job's models. Memory: K x (weights, momentum, gradients) and one batch of pictures for each."""
    import torch

    data = [_noisy(images, job.n, shape, share, seed) for shape, share, seed in job.models]
    held = round(job.n * HELD)
    pixels = torch.from_numpy(images.x)
    rows = torch.from_numpy(np.stack([one[0] for one in data]))
    labels = torch.from_numpy(np.stack([one[1] for one in data]))
    truth = torch.from_numpy(images.y)[rows]
    test_x, test_y = torch.from_numpy(images.test_x[: job.test]), torch.from_numpy(images.test_y[: job.test])
    made = torch.Generator().manual_seed(job.models[0][2] * 7919 + job.n)
    count = len(job.models)
    weights = _weights(count, pixels.shape[1], images.classes, [seed for *_, seed in job.models])
    optimizer = torch.optim.SGD(weights, lr=RATE, momentum=0.9, foreach=True)
    looks = {round(job.steps * (place + 1) / job.looks) for place in range(job.looks)}
    curve, doubts, wrongs = [], [], []
    every = torch.arange(len(test_x)).expand(count, -1)
    for step in range(1, job.steps + 1):
        # Held-out pictures stand first in `rows`; the same places are drawn for each model of other pictures.
        places = torch.randint(held, job.n, (BATCH,), generator=made)
        x, y = pixels[rows[:, places]], labels[:, places]
        loss = torch.nn.functional.cross_entropy(_logits(weights, x).flatten(0, 1), y.flatten()) * count
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step in looks:
            with torch.inference_mode():
                wrong = _answers(weights, test_x, every) != test_y
                doubt = _answers(weights, pixels, rows[:, :held]) != labels[:, :held]
                wrongs.append(wrong.numpy())
                curve.append(wrong.float().mean(1).numpy())
                doubts.append(doubt.float().mean(1).numpy())
    with torch.inference_mode():
        some = min(job.n, held + 5000)
        answers = _answers(weights, pixels, rows[:, held:some])
        false = labels[:, held:some] != truth[:, held:some]
        repeated = ((answers == labels[:, held:some]) & false).sum(1) / false.sum(1).clamp(min=1)
    chosen = np.argmin(np.stack(doubts), axis=0)  # the earliest of equals
    stacked = np.stack(wrongs, axis=1)
    picked = np.stack([stacked[np.arange(count), chosen], stacked[:, -1]], axis=1)
    return Trained(job, np.stack(curve, axis=1), picked, chosen, repeated.numpy())


def _weights(count: int, inputs: int, classes: int, seeds: Sequence[int]) -> list[Any]:
    """He's start, drawn by each model's own seed, so that clean and noisy models of one seed start alike."""
    import torch

    first, second = [], []
    for seed in seeds:
        made = torch.Generator().manual_seed(seed)
        first.append(torch.randn(inputs, UNITS, generator=made) * (2 / inputs) ** 0.5)
        second.append(torch.randn(UNITS, classes, generator=made) * (2 / UNITS) ** 0.5)
    found = [torch.stack(first), torch.zeros(count, 1, UNITS), torch.stack(second), torch.zeros(count, 1, classes)]
    return [one.requires_grad_() for one in found]


def _logits(weights: Sequence[Any], x: Any) -> Any:
    """(K, B, inputs) -> (K, B, classes)."""
    import torch

    return torch.baddbmm(weights[3], torch.relu(torch.baddbmm(weights[1], x, weights[0])), weights[2])


def _answers(weights: Sequence[Any], pixels: Any, rows: Any, block: int = 500) -> Any:
    """What each model takes its rows (K, n) of the pixels for."""
    import torch

    starts = range(0, rows.shape[1], block)
    return torch.cat([_logits(weights, pixels[rows[:, at : at + block]]).argmax(2) for at in starts], 1)


def _noisy(images: Images, n: int, shape: str, share: float, seed: int) -> tuple[Array, Array]:
    """The pictures of one training set (numbers of rows, in order) and their labels, `share` of them wrong."""
    rng = np.random.default_rng([seed, n])
    rows = rng.permutation(len(images.x))[:n]
    truth = images.y[rows]
    return rows, wrong_labels(images.x[rows], truth, images.classes, shape, share, seed)


def wrong_labels(x: Array, truth: Array, classes: int, shape: str, share: float, seed: int) -> Array:
    """Labels of which round(share x n) are wrong. A seed makes the same pictures wrong at a larger share."""
    labels = truth.copy()
    count = round(share * len(truth))
    if not count:
        return labels
    rng = np.random.default_rng([seed, SHAPES.index(shape)])
    order = rng.permutation(len(truth))
    if shape == "another class":
        which = order[:count]
        labels[which] = (truth[which] + rng.integers(1, classes, len(truth))[:count]) % classes
    elif shape == "any class":
        drawn = rng.integers(0, classes, len(truth))
        until = np.searchsorted(np.cumsum(drawn[order] != truth[order]), count) + 1
        labels[order[:until]] = drawn[order[:until]]
    elif shape == "next class":
        which = order[:count]
        labels[which] = (truth[which] + 1) % classes
    else:
        scores = _linear(x, truth, classes)
        own = scores[np.arange(len(truth)), truth].copy()
        scores[np.arange(len(truth)), truth] = -np.inf
        margin = own - scores.max(1)
        # Drawn without replacement, odds falling with the margin (Gumbel's top k): near the line, not only on it.
        keys = rng.gumbel(size=len(truth)) - 2 * margin / margin.std()
        which = np.argsort(-keys, kind="stable")[:count]
        labels[which] = scores.argmax(1)[which]
    return labels


def _linear(x: Array, y: Array, classes: int) -> Array:
    """Scores of ridge regression on the clean labels (n, classes): what a simple eye takes a picture for."""
    some = x[:5000].astype(np.float64)  # enough for 785 numbers a class
    middle = some.mean(0)
    gram = (some - middle).T @ (some - middle)
    gram[np.diag_indices_from(gram)] += 1e-2 * len(some)
    target = np.eye(classes)[y[:5000]]
    weights = np.linalg.solve(gram, (some - middle).T @ (target - target.mean(0)))
    found: Array = x @ weights.astype(x.dtype) + (target.mean(0) - middle @ weights).astype(x.dtype)
    return found


# What was found.


@dataclass(frozen=True)
class Mean:
    value: float
    low: float
    high: float
    n: int
    seeds: int


def mean_over(cases: Array) -> Mean:
    """The mean of (seeds, items), with a t interval that holds for other seeds and other test items.

    The variance is that of the means of seeds over the seeds, plus that of the means of items over the items: a bit too
    wide, for chance within a seed counts in both. Degrees of freedom: seeds - 1, the smaller of the two.
    """
    from scipy.stats import t

    seeds, n = cases.shape
    value = float(cases.mean())
    least, most = float(cases.min() >= 0) - 1, 1.0  # shares lie in [0, 1], differences of shares in [-1, 1]
    if seeds < 2:
        return Mean(value, least, most, n, seeds)
    variance = cases.mean(1).var(ddof=1) / seeds + cases.mean(0).var(ddof=1) / n
    half = float(t.ppf(0.975, seeds - 1)) * float(np.sqrt(variance))
    return Mean(value, max(least, value - half), min(most, value + half), n, seeds)


class Found:
    """The trained models by (data, n, shape, share): wrongness (seeds, 2, test items), in the order of seeds."""

    def __init__(self, trained: Sequence[Trained]) -> None:
        gathered: dict[tuple[str, int, str, float], dict[int, tuple[Array, Array, float]]] = {}
        for one in trained:
            for place, (shape, share, seed) in enumerate(one.job.models):
                key = (one.job.data, one.job.n, shape, share)
                gathered.setdefault(key, {})[seed] = (one.wrong[place], one.curve[place], float(one.kept[place]))
        self.keys = sorted(gathered)
        self._wrong = {key: np.stack([by[seed][0] for seed in sorted(by)]) for key, by in gathered.items()}
        self.kept = {key: float(np.mean([each[2] for each in by.values()])) for key, by in gathered.items()}
        self.lowest = {key: float(np.mean([each[1].min() for each in by.values()])) for key, by in gathered.items()}

    def error(self, data: str, n: int, shape: str, share: float, last: bool = False) -> Mean:
        return mean_over(self._wrong[data, n, shape, share][:, int(last)].astype(np.float64))

    def excess(self, data: str, n: int, shape: str, share: float, last: bool = False) -> Mean:
        """Above clean labels, of the same seeds on the same test items."""
        noisy, clean = (
            self._wrong[data, n, shape, share][:, int(last)],
            self._wrong[data, n, "clean", 0.0][:, int(last)],
        )
        return mean_over(noisy.astype(np.float64) - clean)

    def shares(self, data: str, n: int, shape: str) -> list[float]:
        return [0.0, *(share for d, m, s, share in self.keys if (d, m, s) == (data, n, shape))]


def _finding(
    setting: Setting, sets: Sequence[Images], lacking: Sequence[str], seeds: Sequence[int], trained: Sequence[Trained]
) -> Finding:
    found = Found(trained)
    figures, decisive = [], []
    for one in sets:
        n = len(one.x)
        excess = found.excess(one.name, n, "another class", HALF)
        decisive.append((one.name, excess))
        figures.append(_figure(f"{one.name}: error with clean labels", found.error(one.name, n, "clean", 0.0)))
        for last in (False, True):
            when = "last epoch" if last else "chosen epoch"
            error = found.error(one.name, n, "another class", HALF, last)
            figures.append(_figure(f"{one.name}: error with half wrong, {when}", error))
        note = "decides" if not setting.tiny else ""
        figures.append(_figure(f"{one.name}: error above clean, chosen epoch", excess, note))
        tied = found.excess(one.name, n, "next class", HALF)
        figures.append(_figure(f"{one.name}: the same, wrong labels all of the next class", tied))
    verdict = verdict_of([excess for _, excess in decisive])
    told = "; ".join(
        f"{name} {100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]" for name, one in decisive
    )
    pairs = [found.excess(one.name, len(one.x), "next class", HALF).value for one in sets]
    low, high = (f"{100 * end:.0f}" for end in (min(pairs), max(pairs)))
    because = (
        f"half of the labels drawn wrong at random cost {told} points of test error at the chosen epoch (limit 10); "
        f"the same half as pairs of classes costs {low if low == high else f'{low} to {high}'}"
    )
    picture = setting.out / "noisy-labels.png"
    draw(found, sets, picture)
    jobs = [one.job for one in trained]
    words = {
        "model": f"one hidden layer of {UNITS} rectified units; gradient descent, rate {RATE}, momentum 0.9, "
        f"batches of {BATCH}, no regularization",
        "data": [f"{one.name}: {len(one.x):,} to train on, {min(len(one.test_x), 5000):,} to test on" for one in sets],
        "steps": [f"{one.name} {max(job.steps for job in jobs if job.data == one.name):,}" for one in sets],
        "chosen epoch": f"the lowest error on {HELD:.0%} of the noisy training labels, held out",
        "seeds": f"{len(seeds)}, each with its own start, order, training sample and wrong labels",
        "intervals": "t over seeds and test items together",
    }
    if lacking:
        words["without"] = list(lacking)
    return Finding(verdict, because, words, figures, len(seeds), _tables(found, sets), [picture])


def verdict_of(excess: Sequence[Mean]) -> Verdict:
    """The rule."""
    if any(one.low > LOW for one in excess):
        return Verdict.DOES_NOT_HOLD
    return Verdict.HOLDS if all(one.high < LOW for one in excess) else Verdict.NOT_SHOWN


def _figure(name: str, mean: Mean, note: str = "") -> Figure:
    return Figure(name, mean.value, mean.low, mean.high, "share of test items", mean.n, mean.seeds, note)


def _tables(found: Found, sets: Sequence[Images]) -> list[Table]:
    tables = []
    for one in sets:
        rows: list[list[str | float | None]] = []
        for shape in ("clean", *SHAPES):
            for share in (share for d, n, s, share in found.keys if (d, n, s) == (one.name, len(one.x), shape)):
                key = (one.name, len(one.x), shape, share)
                chosen, last = found.error(*key), found.error(*key, last=True)
                rows.append([
                    shape, f"{share:.0%}", _percent(chosen), _percent(last), f"{found.lowest[key]:.1%}",
                    f"{found.kept[key]:.0%}" if share else None,
                ])  # fmt: skip
        columns = ["noise", "wrong labels", "error, chosen epoch", "error, last epoch", "lowest of all epochs"]
        tables.append(
            Table(
                f"{one.name}, {len(one.x):,} pictures to train on",
                [*columns, "wrong labels learnt"],
                rows,
                "The lowest of all epochs is picked on the test pictures themselves: nobody can have it. "
                "Wrong labels learnt: the share of wrong training labels that the last model gives back.",
            )
        )
    parts = sorted({(data, n) for data, n, *_ in found.keys if n < 60_000 and data == "fashion"})
    parts += [("fashion", 60_000)] if parts else []
    if parts:
        lines: list[list[str | float | None]] = [
            [
                f"{n:,}",
                _percent(found.error(data, n, "clean", 0.0)),
                _percent(found.error(data, n, "another class", HALF)),
                _percent(found.excess(data, n, "another class", HALF)),
                _percent(found.excess(data, n, "another class", HALF, last=True)),
            ]
            for data, n in parts
        ]
        columns = ["pictures", "clean", "half wrong", "half wrong above clean", "the same, last epoch"]
        tables.append(Table("Fashion-MNIST by number of training pictures, equal steps", columns, lines))
    return tables


def _percent(mean: Mean) -> str:
    return f"{100 * mean.value:.1f}% [{100 * mean.low:.1f}, {100 * mean.high:.1f}]"


COLOURS = {"another class": "#2a6f97", "any class": "#7fb069", "next class": "#c8553d", "look-alike": "#8e6c8a"}


def draw(found: Found, sets: Sequence[Images], path: Any) -> None:
    """Error against the share of wrong labels, by shape; for the large set against the number of pictures too."""
    from matplotlib.figure import Figure as Canvas

    curves = [one for one in sets if one.name != "fashion"]
    large = [one for one in sets if one.name == "fashion"]
    panels = len(curves) + 2 * len(large)
    wide = 2 if panels > 1 else 1
    canvas = Canvas(figsize=(5.2 * wide, 4.0 * -(-panels // wide)), layout="constrained")
    axes = list(np.atleast_1d(canvas.subplots(-(-panels // wide), wide)).ravel())
    for place, one in enumerate(curves):
        _curves(axes[place], found, one, legend=place == 0)
    for one in large:
        _bars(axes[len(curves)], found, one)
        _by_pictures(axes[len(curves) + 1], found)
    for unused in axes[panels:]:
        unused.remove()
    for used in axes[:panels]:
        used.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=110, metadata={"Software": None})


def _curves(axes: Any, found: Found, one: Images, legend: bool) -> None:
    n = len(one.x)
    for shape in SHAPES:
        shares = found.shares(one.name, n, shape)
        for last in (False, True):
            means = [found.error(one.name, n, shape if share else "clean", share, last) for share in shares]
            x, y = [100 * share for share in shares], [100 * mean.value for mean in means]
            style = {"color": COLOURS[shape], "linewidth": 1.6, "marker": "o", "markersize": 3}
            axes.plot(x, y, linestyle="--" if last else "-", label=None if last else shape, **style)
            if not last:
                low, high = [100 * mean.low for mean in means], [100 * mean.high for mean in means]
                axes.fill_between(x, low, high, color=COLOURS[shape], alpha=0.15, linewidth=0)
    axes.plot([0, 80], [0, 80], color="0.6", linewidth=0.8, linestyle=":", label="error = noise")
    axes.plot([], [], color="0.3", label="chosen epoch, 95% band")
    axes.plot([], [], color="0.3", linestyle="--", label="last epoch")
    axes.set(xlabel="wrong training labels, %", ylabel="test error, %", ylim=(0, 102))
    axes.set_title(f"{one.name}: {n:,} training pictures", fontsize=10)
    if legend:
        axes.legend(frameon=False, fontsize=8, loc="upper left")


def _bars(axes: Any, found: Found, one: Images) -> None:
    n = len(one.x)
    kinds = [("clean", 0.0), *((shape, HALF) for shape in SHAPES)]
    for place, (shape, share) in enumerate(kinds):
        colour = COLOURS.get(shape, "0.5")
        for last in (False, True):
            mean = found.error(one.name, n, shape, share, last)
            errors = [[100 * (mean.value - mean.low)], [100 * (mean.high - mean.value)]]
            face = "white" if last else colour
            x = place + (0.14 if last else -0.14)
            axes.errorbar(
                x,
                100 * mean.value,
                yerr=errors,
                fmt="s" if last else "o",
                color=colour,
                markerfacecolor=face,
                capsize=2,
            )
    axes.set_xticks(range(len(kinds)), [shape.replace(" ", "\n") for shape, _ in kinds], fontsize=8)
    axes.set(ylabel="test error, %", ylim=(0, None))
    axes.set_title(f"{one.name}: {n:,} pictures, half wrong (filled: chosen epoch, open: last)", fontsize=10)


def _by_pictures(axes: Any, found: Found) -> None:
    counts = sorted({n for data, n, shape, _ in found.keys if data == "fashion" and shape == "another class"})
    for last in (False, True):
        for shape, share, colour, label in (
            ("clean", 0.0, "0.5", "clean"),
            ("another class", HALF, COLOURS["another class"], "half wrong"),
        ):
            means = [found.error("fashion", n, shape, share, last) for n in counts]
            y = [100 * mean.value for mean in means]
            axes.plot(counts, y, color=colour, linestyle="--" if last else "-", marker="o", markersize=3,
                      label=f"{label}, {'last' if last else 'chosen'} epoch")  # fmt: skip
            if not last:
                band = [100 * mean.low for mean in means], [100 * mean.high for mean in means]
                axes.fill_between(counts, *band, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set(xlabel="training pictures (equal steps)", ylabel="test error, %", ylim=(0, None))
    axes.set_title("fashion: the more pictures, the less half of them wrong costs", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
