"""What aggregation gives: labels with their posteriors, raters with their intervals, and how far to trust the fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.intervals import wilson
from tamis.people.aggregation.counts import Bools, Counts, Floats, Ints, sums
from tamis.people.labels import Labels

_TIE = 1e-9  # posteriors that differ by less are one: rounding decides nothing


class Status(Enum):
    """How a fit ended; `Aggregated.why` says it with figures."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not converged"
    FIXED_LENGTH = "fixed number of iterations"
    CLOSED_FORM = "closed form"
    NO_OVERLAP = "no overlap"


@dataclass
class Fit:
    """What a method hands back, in the codes of `Counts`.

    posterior (I, K). log_likelihood: nats, None for methods without a model. trace: the objective after each step; for
    methods that promise it, it never falls. rater: method's own columns, (W,) each. confusion: (P, K) the probability
    of a pair's label given the true class, or None.
    """

    posterior: Floats
    log_likelihood: float | None = None
    objective: str = ""
    trace: list[float] = field(default_factory=list)
    status: Status = Status.CLOSED_FORM
    why: str = ""
    rater: dict[str, Floats] = field(default_factory=dict)
    confusion: Floats | None = None
    prior: Floats | None = None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Accuracy:
    """Share of `n` examples with known truth that are right, a tie counting its chance. low, high: 95 % Wilson."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, right: float, n: int) -> Accuracy:
        """>>> Accuracy.of(90, 100)
        Accuracy(value=0.9, low=0.8256343384950865, high=0.9447708629393249, n=100)
        """
        low, high = wilson(min(right, n), n)
        return cls(right / n if n else math.nan, low, high, n)


@dataclass(frozen=True)
class Aggregated:
    """Labels made of many raters' labels, in the order of `labels.examples`, `labels.raters`, `labels.classes`.

    posterior (I, K); n (I,) labels per example; skill, low, high (W,): share of a rater's labels that agree with the
    posterior on examples that others have seen too, and its 95 % interval (Jeffreys, from posterior counts); nan where
    there are none. log_likelihood: nats of the labels on those examples under the fitted model (MACE-VB: the authors'
    log-marginal of sub-normalised parameters, which is no bound), None for a method without a model.
    trace: the `objective` after each step. rater: the method's own columns.
    """

    labels: Labels
    method: str
    posterior: Floats
    n: Ints
    skill: Floats
    low: Floats
    high: Floats
    judged: Floats
    log_likelihood: float | None
    objective: str
    trace: tuple[float, ...]
    status: Status
    why: str
    rater: Mapping[str, Floats]
    confusion: Floats | None  # (P, K) over `pairs`
    pairs: Ints  # (P, 2) codes of rater and label
    order: Ints  # (K,) classes in the order that breaks ties: the most frequent first
    notes: Mapping[str, Any] = field(default_factory=dict)
    kept: Bools | None = None  # (I,) set by `keep`

    @property
    def iterations(self) -> int:
        return len(self.trace)

    @property
    def converged(self) -> bool:
        return self.status in (Status.CONVERGED, Status.CLOSED_FORM)

    @cached_property
    def _candidates(self) -> Bools:
        """(I, K) the classes that share the highest posterior."""
        best = self.posterior >= self.posterior.max(axis=1, keepdims=True) - _TIE
        candidates: Bools = best & (self.n > 0)[:, None]
        return candidates

    @cached_property
    def tied(self) -> Bools:
        """(I,) examples on which two classes or more share the highest posterior."""
        tied: Bools = self._candidates.sum(axis=1) > 1
        return tied

    @property
    def ties(self) -> int:
        return int(self.tied.sum())

    @cached_property
    def label(self) -> Ints:
        """(I,) code of the class with the highest posterior. A tie goes to the more frequent class, see `tied`."""
        best: Ints = self.order[self._candidates[:, self.order].argmax(axis=1)]
        return best

    @cached_property
    def entropy(self) -> Floats:
        """(I,) nats of the posterior: 0 is certain, log K is open."""
        logs = np.log(np.where(self.posterior > 0, self.posterior, 1))
        entropy: Floats = np.maximum(-(self.posterior * logs).sum(axis=1), 0)
        return entropy

    def keep(self, share: float) -> Aggregated:
        """Only the `share` of examples with the lowest entropy, as MACE's entropy cut. Examples at the limit that are
        equally uncertain all stay, so that no order decides. Raises ValueError outside (0, 1]."""
        if not 0 < share <= 1:
            raise ValueError(f"keep={share}: a share above 0 and at most 1 is needed")
        count = max(int(share * len(self.n)), 1)
        limit = np.partition(self.entropy, count - 1)[count - 1]
        return replace(self, kept=self.entropy <= limit + 1e-12)

    @cached_property
    def _shown(self) -> Ints:
        shown = self.n > 0 if self.kept is None else self.kept & (self.n > 0)
        return np.flatnonzero(shown)

    def expected_accuracy(self, truth: Mapping[str, str]) -> Accuracy:
        """Against known answers, over the examples that are in both. A tie counts as its chance: one over the number
        of classes in it, if the truth is among them. An answer that no rater ever gave counts as an error."""
        classes = {name: code for code, name in enumerate(self.labels.classes)}
        right, n = 0.0, 0
        for row in self._shown.tolist():
            answer = truth.get(self.labels.examples[row])
            if answer is None:
                continue
            n += 1
            code = classes.get(answer)
            if code is not None and self._candidates[row, code]:
                right += 1 / int(self._candidates[row].sum())
        return Accuracy.of(right, n)

    def table(self, posteriors: bool = True) -> pa.Table:
        """One row an example: example, label, posterior, n, tied, entropy; with `posteriors` also p_CLASS each."""
        rows = self._shown
        names = np.array(self.labels.classes, dtype=object)
        columns: dict[str, Any] = {
            "example": [self.labels.examples[row] for row in rows.tolist()],
            "label": pa.array(names[self.label[rows]].tolist(), pa.string()),
            "posterior": self.posterior[rows, self.label[rows]],
            "n": self.n[rows],
            "tied": pa.array(self.tied[rows]),
            "entropy": self.entropy[rows],
        }
        if posteriors:
            columns |= {f"p_{name}": self.posterior[rows, code] for code, name in enumerate(self.labels.classes)}
        return pa.table(columns)

    def posteriors(self, least: float = 1e-6) -> pa.Table:
        """One row an example and class whose posterior is at least `least`: example, label, posterior."""
        rows = np.zeros(len(self.n), bool)
        rows[self._shown] = True
        example, label = np.nonzero((self.posterior >= least) & rows[:, None])
        return pa.table(
            {
                "example": [self.labels.examples[code] for code in example.tolist()],
                "label": [self.labels.classes[code] for code in label.tolist()],
                "posterior": self.posterior[example, label],
            }
        )

    def raters(self) -> list[dict[str, Any]]:
        """One object a rater: rater, n, skill with low and high (null where no example was shared), and the method's
        own figures; `confusion` as {true class: {label: share}}, only what was given."""
        confusion = self._confusions()
        found = []
        for code, name in enumerate(self.labels.raters):
            row: dict[str, Any] = {"rater": name, "n": int(self._rater_n[code]), "skill": _or_none(self.skill[code])}
            row |= {"low": _or_none(self.low[code]), "high": _or_none(self.high[code])}
            row |= {column: _or_none(values[code]) for column, values in self.rater.items()}
            if confusion is not None:
                row["confusion"] = confusion[code]
            found.append(row)
        return found

    @cached_property
    def _rater_n(self) -> Ints:
        return np.bincount(self.labels.rater, minlength=len(self.labels.raters))

    def _confusions(self) -> list[dict[str, dict[str, float]]] | None:
        if self.confusion is None:
            return None
        names = self.labels.classes
        found: list[dict[str, dict[str, float]]] = [{name: {} for name in names} for _ in self.labels.raters]
        for (rater, label), shares in zip(self.pairs.tolist(), self.confusion.tolist(), strict=True):
            for true, share in zip(names, shares, strict=True):
                found[rater][true][names[label]] = round(share, 6)
        return found

    def to_json(self) -> dict[str, Any]:
        """The document of `tamis label aggregate --json`."""
        rows = self._shown.tolist()
        label, n, posterior = self.label.tolist(), self.n.tolist(), self.posterior
        return {
            "labels": [
                {
                    "example": self.labels.examples[row],
                    "label": self.labels.classes[label[row]],
                    "posterior": float(posterior[row, label[row]]),
                    "n": n[row],
                }
                for row in rows
            ],
            "raters": self.raters(),
            "log_likelihood": self.log_likelihood,
            "objective": self.objective or None,
            "method": self.method,
            "status": self.status.value,
            "why": self.why,
            "iterations": self.iterations,
            "ties": int(self.tied[self._shown].sum()),
            "unlabelled": self.labels.unlabelled,
            **self.notes,
        }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def finish(labels: Labels, counts: Counts, fit: Fit, method: str) -> Aggregated:
    """From a method's codes back to names."""
    posterior = np.empty_like(fit.posterior)
    posterior[np.ix_(counts.item_order, counts.class_order)] = fit.posterior
    n = np.bincount(labels.example, minlength=len(labels.examples))
    agrees, judged = agreement(counts, fit.posterior)
    skill, low, high = skills(agrees, judged)
    back = counts.rater_order
    confusion = pairs = None
    if fit.confusion is not None:
        confusion = np.empty_like(fit.confusion)
        confusion[:, counts.class_order] = fit.confusion
        pairs = np.stack([back[counts.pair_rater], counts.class_order[counts.pair_label]], axis=1)
    return Aggregated(
        labels, method, posterior, n,
        _back(skill, back), _back(low, back), _back(high, back), _back(judged, back),
        fit.log_likelihood, fit.objective, tuple(fit.trace), fit.status, fit.why,
        {name: _back(values, back) for name, values in fit.rater.items()},
        confusion, np.zeros((0, 2), np.int64) if pairs is None else pairs, counts.class_order, fit.notes,
    )  # fmt: skip


def _back(values: Floats, order: Ints) -> Floats:
    named = np.empty_like(values)
    named[order] = values
    return named


def agreement(counts: Counts, posterior: Floats) -> tuple[Floats, Floats]:
    """Per rater (W,): the posterior of the labels that the rater gave, summed over shared items; and their number."""
    weight = counts.weight * counts.shared[counts.item]
    agrees: Floats = sums(counts.rater, weight * posterior.ravel()[counts.cell], counts.raters)
    judged: Floats = sums(counts.rater, weight, counts.raters)
    return agrees, judged


def skills(agrees: Floats, judged: Floats) -> tuple[Floats, Floats, Floats]:
    """Share of labels that agree, with the central 95 % of Beta(agrees + 1/2, rest + 1/2); nan without labels."""
    from scipy.special import betaincinv

    some = judged > 0
    agrees, rest = np.where(some, agrees, 0), np.maximum(np.where(some, judged - agrees, 0), 0)
    bounds = [betaincinv(agrees + 0.5, rest + 0.5, tail) for tail in (0.025, 0.975)]
    share = np.divide(agrees, judged, out=np.full(len(judged), np.nan), where=some)
    low, high = (np.where(some, bound, np.nan) for bound in bounds)
    return share, low, high
