"""How many labels an example needs: the rule that stops asking, and a simulation of it before anybody is asked.

The rule (`posterior`, `enough`) is what the queue uses. The simulation draws examples, raters and their errors, asks by
that rule (which knows each rater's accuracy, as gold questions tell it), and compares with asking everybody the same
number of times. Memory: examples x classes of one simulated project.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tamis.errors import WrongUse
from tamis.people.units import Floats

SURE = 1e-6  # no rater is taken to be right, or wrong, more surely than this
EDGE = 1e-9  # two votes at 0.75 against none make 0.9 exactly, but for rounding
MOST = 25


class BadPlan(ValueError, WrongUse):
    """Settings that no plan can be made of."""


def posterior(
    labels: Sequence[int], accuracies: Sequence[float], classes: int, prior: Sequence[float] | None = None
) -> Floats:
    """The probability of each class, (classes,), after labels of raters of known accuracy.

    A rater gives the true class with his accuracy and each other class with an equal share of the rest. `prior`: of the
    classes, even where absent.

    >>> posterior([0, 0, 1], [0.75, 0.75, 0.75], 2).round(2).tolist()
    [0.75, 0.25]
    """
    if classes < 2:
        raise BadPlan(f"a posterior needs at least two classes, not {classes}")
    logs = np.log(np.full(classes, 1 / classes) if prior is None else np.asarray(prior, np.float64))
    for label, accuracy in zip(labels, accuracies, strict=True):
        right = min(max(accuracy, SURE), 1 - SURE)
        wrong = math.log((1 - right) / (classes - 1))
        logs = logs + wrong
        logs[label] += math.log(right) - wrong
    shares = np.exp(logs - logs.max())
    found: Floats = shares / shares.sum()
    return found


def enough(posterior: Sequence[float] | Floats, labels_so_far: int, target: float, most: int, least: int = 1) -> bool:
    """Whether to stop asking: after `most` labels in any case; from `least` on once a class is as likely as `target`.

    >>> enough([0.96, 0.04], 3, target=0.95, most=7), enough([0.9, 0.1], 3, target=0.95, most=7)
    (True, False)
    """
    return labels_so_far >= most or (labels_so_far >= least and max(posterior) >= target - EDGE)


@dataclass(frozen=True)
class Settings:
    """What is planned. accuracy: of raters, their mean where `spread` (standard deviation) is not 0. target: posterior
    at which an example is done. most, least: labels of one example. budget: labels in all. cost: of one label."""

    examples: int
    accuracy: float
    target: float
    classes: int = 2
    spread: float = 0.0
    most: int = MOST
    least: int = 1
    budget: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        if self.examples < 1 or self.classes < 2 or not 1 <= self.least <= self.most:
            raise BadPlan("a plan needs an example, two classes, and 1 <= least <= most")
        if not 1 / self.classes < self.accuracy < 1:
            raise BadPlan(
                f"raters who are right {self.accuracy:g} of the time among {self.classes} classes tell nothing: the "
                f"accuracy lies above {1 / self.classes:.3g}, which is chance, and below 1"
            )
        if not 1 / self.classes < self.target < 1:
            raise BadPlan(f"the target lies between chance ({1 / self.classes:.3g}) and 1, not at {self.target:g}")
        if self.spread < 0 or self.spread**2 >= self.accuracy * (1 - self.accuracy):
            raise BadPlan(f"no raters have a mean accuracy of {self.accuracy:g} and a spread of {self.spread:g}")


@dataclass(frozen=True)
class Figure:
    """A mean over simulated projects, and the range that 95 % of the projects fall in."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Fixed:
    """Asking everybody the same number of times."""

    overlap: int
    accuracy: Figure


@dataclass(frozen=True)
class Plan:
    """What asking adaptively comes to. labels: of one example; accuracy: share of examples whose likeliest class is the
    true one; done: share of examples whose posterior passed the target; fixed: the same with equal numbers, up to the
    least that reaches the adaptive accuracy, `same` (None where none up to `most` does). even: where a budget ends the
    asking, there is no `fixed`, but the accuracy of as many labels spread evenly over the examples."""

    settings: Settings
    projects: int
    seed: int
    labels: Figure
    accuracy: Figure
    done: Figure
    total: Figure
    fixed: tuple[Fixed, ...]
    same: int | None
    even: Figure | None = None

    @property
    def cost(self) -> Figure | None:
        """Of the whole project, where a label's cost is known."""
        each = self.settings.cost
        return None if each is None else Figure(*(each * x for x in (self.total.mean, self.total.low, self.total.high)))

    @property
    def saved(self) -> float | None:
        """Share of labels saved against the fixed overlap that is as accurate."""
        return None if self.same is None else 1 - self.labels.mean / self.same

    def to_json(self) -> dict[str, Any]:
        """JSON."""
        cost = self.cost
        return asdict(self) | {"cost": None if cost is None else asdict(cost), "saved": self.saved}


def plan(settings: Settings, *, projects: int = 200, seed: int = 17) -> Plan:
    """Simulates whole projects. Each label comes from another rater; labels are given in rounds (everybody's first,
    then the second of those not done), so a budget that ends leaves all examples about equally far."""
    rng = np.random.default_rng(seed)
    rows = np.array([_adaptive(settings, rng) for _ in range(projects)])  # labels an example, accuracy, done, total
    labels, accuracy, done, total = (_figure(column) for column in rows.T)
    if settings.budget is not None and total.high >= settings.budget:
        even = _figure(np.array([_fixed(settings, settings.budget, rng) for _ in range(projects)]))
        return Plan(settings, projects, seed, labels, accuracy, done, total, (), None, even)
    fixed: list[Fixed] = []
    same = None
    for overlap in range(1, settings.most + 1):
        found = _figure(np.array([_fixed(settings, overlap * settings.examples, rng) for _ in range(projects)]))
        fixed.append(Fixed(overlap, found))
        if found.mean >= accuracy.mean - 1e-9:
            same = overlap
            break
    return Plan(settings, projects, seed, labels, accuracy, done, total, tuple(fixed), same)


def describe(found: Plan) -> str:
    """For people."""
    given = found.settings
    cap = f", at most {given.most}" if given.most != MOST else ""
    spread = f" (spread {given.spread:g})" if given.spread else ""
    lines = [
        f"{given.examples:,} examples, {given.classes} classes, raters at {given.accuracy:g}{spread}, target "
        f"{given.target:.0%}{cap}: {found.labels.mean:.1f} labels each "
        f"[{found.labels.low:.2f}, {found.labels.high:.2f}]",
        f"accuracy   {found.accuracy}   of the likeliest class; {found.done.mean:.1%} of examples reach the target",
        f"labels     {found.total.mean:,.0f} [{found.total.low:,.0f}, {found.total.high:,.0f}] in all",
    ]
    if found.cost is not None:
        lines.append(f"cost       {found.cost.mean:,.2f} [{found.cost.low:,.2f}, {found.cost.high:,.2f}]")
    if given.budget is not None and found.done.mean < 1:
        lines.append(f"budget     {given.budget:,} labels: what is not done when it ends keeps its posterior")
    if found.even is not None:
        lines.append(f"fixed      as many labels, spread evenly, give {found.even}")
    elif found.same is None:
        lines.append(f"fixed      no overlap up to {given.most} is as accurate: {given.most} raters each give "
                     f"{found.fixed[-1].accuracy}")  # fmt: skip
    else:
        lines.append(
            f"fixed      {found.same} {'label each is' if found.same == 1 else 'labels each are'} as accurate "
            f"({found.fixed[-1].accuracy}): "
            f"asking adaptively saves {found.saved:.0%}"
        )
    lines.append(f"simulated  {found.projects:,} projects, seed {found.seed}; brackets hold 95% of them")
    return "\n".join(lines)


def _figure(values: Floats) -> Figure:
    low, high = np.quantile(values, [0.025, 0.975])
    return Figure(float(values.mean()), float(low), float(high))


def _accuracies(settings: Settings, size: int, rng: np.random.Generator) -> Floats:
    if not settings.spread:
        return np.full(size, settings.accuracy)
    both = settings.accuracy * (1 - settings.accuracy) / settings.spread**2 - 1
    drawn = rng.beta(settings.accuracy * both, (1 - settings.accuracy) * both, size)
    return np.clip(drawn, SURE, 1 - SURE)


def _ask(settings: Settings, logs: Floats, rows: Any, rng: np.random.Generator) -> None:
    """One more label for each of the rows; the true class is 0. Adds to (examples, classes) log probabilities."""
    size = len(rows)
    accuracy = _accuracies(settings, size, rng)
    said = np.where(rng.random(size) < accuracy, 0, rng.integers(1, settings.classes, size))
    wrong = np.log((1 - accuracy) / (settings.classes - 1))
    logs[rows, said] += np.log(accuracy) - wrong


def _best(logs: Floats) -> tuple[Floats, Floats]:
    """(examples,) posterior of the likeliest class, and the chance that it is class 0 (ties split)."""
    shares = np.exp(logs - logs.max(1, keepdims=True))
    tied = logs >= logs.max(1, keepdims=True) - 1e-9
    return 1 / shares.sum(1), tied[:, 0] / tied.sum(1)


def _adaptive(settings: Settings, rng: np.random.Generator) -> tuple[float, float, float, int]:
    logs = np.zeros((settings.examples, settings.classes))
    open_ = np.arange(settings.examples)
    left = settings.budget if settings.budget is not None else settings.examples * settings.most
    total = 0
    for number in range(1, settings.most + 1):
        asked = open_[:left]
        _ask(settings, logs, asked, rng)
        left -= len(asked)
        total += len(asked)
        if number >= settings.least:
            open_ = open_[_best(logs[open_])[0] < settings.target - EDGE]
        if not left or not len(open_):
            break
    sure, right = _best(logs)
    return total / settings.examples, float(right.mean()), float((sure >= settings.target - EDGE).mean()), total


def _fixed(settings: Settings, total: int, rng: np.random.Generator) -> float:
    """Accuracy of so many labels, each example having the same number of them, or one more."""
    logs = np.zeros((settings.examples, settings.classes))
    rows = np.arange(settings.examples)
    for start in range(0, total, settings.examples):
        _ask(settings, logs, rows[: total - start], rng)
    return float(_best(logs)[1].mean())
