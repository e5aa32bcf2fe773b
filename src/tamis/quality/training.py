"""Training a quality model and judging it honestly: `train` gives a model with its report, or refuses.

The report is cross-validated twice where documents have URLs: by document, and by host, which shows what the model
knows of the sites rather than of quality. It says how much length and language alone would have told, and how well
the model tells good from bad among documents of equal language and like length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis import kernels
from tamis.errors import SaidNo
from tamis.quality import linear, metrics
from tamis.quality.linear import Features, Linear, Settings, Weights
from tamis.quality.metrics import Estimate
from tamis.quality.reading import Texts
from tamis.quality.sampling import Sample, draw

FOLDS = 5
LEAST = 50  # documents of each kind
CAP = 20_000
# how much of both kinds must be alike in language and length
OVERLAP = 0.05
FEW_LANGUAGE = 20

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class NotSeparable(ValueError, SaidNo):
    """The two kinds of documents cannot be told apart, or only by their length or language. `.report` says how far."""

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


def train(
    good: Texts,
    bad: Texts,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    *,
    cap: int = CAP,
    licence: str = "",
    anyway: bool = False,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Linear:
    """Samples, cross-validates, calibrates and fits. `anyway`: gives a model even where it would refuse, and says so
    in its header. Raises NotSeparable, NoText. Memory: 12 bytes a bucket and 100 bytes a sampled document."""
    sample = draw(good, bad, settings, cap, folder)
    say(f"{sample.about['good']:,} good and {sample.about['bad']:,} bad documents are in the sample")
    counts = (sample.about["good"], sample.about["bad"])
    if min(counts) < LEAST:
        raise NotSeparable(
            f"there are {counts[0]} good and {counts[1]} bad documents after removing equal ones; at least {LEAST} of "
            "each are needed",
            {"sample": sample.about},
        )
    report, logits = examine(sample, settings, say)
    objection = object_to(report)
    if objection and not anyway:
        raise NotSeparable(objection, report)
    say("fitting on the whole sample")
    rows = np.arange(len(sample))
    weights, bias = linear.fit(sample.features, rows, sample.good, settings)
    calibration = linear.platt(logits, sample.good, balance(sample.good))
    report["telling"] = telling(sample, weights, settings, good, bad)
    header = {
        **linear.about(settings, bias, calibration),
        "data": {"good": good.seen, "bad": bad.seen},
        "licence": licence or "not stated: that of the training data decides",
        "kernels": {"unicode": _unicode()},
        "report": report,
        **({"objection": objection} if objection else {}),
    }
    return Linear(weights, bias, *calibration, settings.ngram, header)


def _unicode() -> str:
    from tamis.kernels.unicode_tables import UNICODE_VERSION

    return str(UNICODE_VERSION)


def balance(good: npt.NDArray[np.bool_]) -> Floats:
    """Weights that make both kinds equally heavy and sum to N."""
    share = good.mean()
    return np.asarray(np.where(good, 0.5 / share, 0.5 / (1 - share)), np.float64)


def examine(
    sample: Sample, settings: Settings, say: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, Any], Floats]:
    """The cross-validated report, and the held-out logits of the stricter split, for calibration."""
    singles = np.arange(len(sample))
    say(f"cross-validating by document, {FOLDS} folds")
    by_document, logits = _validate(sample, settings, document_folds(sample.good, settings.seed), singles)
    by_group: dict[str, Any]
    why = _no_groups(sample)
    groups = singles
    if by_document["auc"]["high"] < 0.5:
        by_document["note"] = (
            "below chance: both kinds hold versions of the same pages, so what training saw of one speaks against the "
            "other; only the split by host tells anything"
        )
    if why:
        by_group = {"why": why}
    else:
        say(f"cross-validating by host, {FOLDS} folds")
        groups = sample.groups
        by_group, logits = _validate(sample, settings, group_folds(sample.good, groups, settings.seed), groups)
        by_group["hosts"] = {"good": sample.hosts[0], "bad": sample.hosts[1]}
    return {
        "sample": sample.about,
        "folds": FOLDS,
        "by_document": by_document,
        "by_host": by_group,
        "explained": explained(sample, logits, groups, settings.seed),
    }, logits


def _no_groups(sample: Sample) -> str | None:
    if min(sample.hosts) == 0:
        return "not both kinds have URLs"
    if min(sample.hosts) < FOLDS:
        return f"the good documents come from {sample.hosts[0]} hosts, the bad from {sample.hosts[1]}: too few to split"
    return None


def document_folds(good: npt.NDArray[np.bool_], seed: int) -> Ints:
    """Fold of each document, each kind spread evenly: int64 (N,)."""
    generator = np.random.default_rng([seed, 4])
    folds = np.empty(len(good), np.int64)
    for kind in (good, ~good):
        rows = np.flatnonzero(kind)
        folds[generator.permutation(rows)] = np.arange(len(rows)) % FOLDS
    return folds


def group_folds(good: npt.NDArray[np.bool_], groups: Ints, seed: int) -> Ints:
    """Fold of each document, a group never split: the largest groups first, each where it unbalances least."""
    order = np.random.default_rng([seed, 5]).permutation(int(groups.max()) + 1)
    heavy = np.stack([np.bincount(groups[kind], minlength=len(order)) / kind.sum() for kind in (good, ~good)], axis=1)
    order = order[np.argsort(-heavy[order].sum(axis=1), kind="stable")]
    load, fold_of = np.zeros((FOLDS, 2)), np.zeros(len(order), np.int64)
    for group in order:
        fold = int(np.argmin(((load + heavy[group]) ** 2 - load**2).sum(axis=1)))
        fold_of[group] = fold
        load[fold] += heavy[group]
    return fold_of[groups]


def _validate(sample: Sample, settings: Settings, folds: Ints, groups: Ints) -> tuple[dict[str, Any], Floats]:
    """Metrics on documents that training did not see, scores calibrated on folds that the document is not in."""
    good, weights = sample.good, balance(sample.good)
    logits = np.empty(len(sample))
    for fold in range(FOLDS):
        rows, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(held):
            logits[held] = sample.features.logits(*linear.fit(sample.features, rows, good, settings), held)
    scores = np.empty(len(sample))
    for fold in range(FOLDS):
        rest, held = folds != fold, folds == fold
        slope, intercept = linear.platt(logits[rest], good[rest], weights[rest])
        scores[held] = linear._sigmoid(slope * logits[held] + intercept)
    groups = np.unique(groups, return_inverse=True)[1]
    ranking = metrics.Ranking(good, logits)

    def estimate(metric: Callable[[Floats], float], base: Floats | None = None) -> dict[str, float]:
        return metrics.interval(metric, groups, settings.seed, base).to_json()

    return {
        "auc": estimate(ranking.auc),
        "average_precision": estimate(ranking.average_precision),
        "share_good": round(float(good.mean()), 4),
        "calibration_error": round(metrics.calibration_error(good, scores, weights), 4),
        "accuracy": round(float((weights * ((scores > 0.5) == good)).sum() / weights.sum()), 4),
        "reliability": metrics.reliability(good, scores, weights),
    }, logits


def explained(sample: Sample, logits: Floats, groups: Ints, seed: int) -> dict[str, Any]:
    """What length and language alone tell, and what the model tells where both are held equal."""
    good = sample.good
    length = np.log(sample.sizes)
    by_length = metrics.auc(good, length)
    rare = np.bincount(sample.languages)[sample.languages] < FEW_LANGUAGE
    language = np.where(rare, len(sample.codes), sample.languages)
    n, n_good = np.bincount(language), np.bincount(language, good)
    by_language = metrics.auc(good, ((n_good + 0.5) / (n + 1))[language])
    # lengths within a factor of the square root of two are alike
    strata = language * 100 + (2 * np.log2(sample.sizes)).astype(np.int64)
    index = np.unique(strata, return_inverse=True)[1]
    overlap = np.minimum(np.bincount(index, good) / good.sum(), np.bincount(index, ~good) / (~good).sum()).sum()
    matched = metrics.interval(
        lambda w: metrics.matched_auc(good, logits, index, w), np.unique(groups, return_inverse=True)[1], seed
    )
    common = np.bincount(sample.languages).argsort()[::-1][:5]
    return {
        "length_auc": round(max(by_length, 1 - by_length), 4),
        "language_auc": round(by_language, 4),
        "matched_auc": matched.to_json(),
        "overlap": round(float(overlap), 4),
        "correlation_with_length": {
            "good": round(metrics.spearman(logits[good], length[good]), 4),
            "bad": round(metrics.spearman(logits[~good], length[~good]), 4),
        },
        "languages": {
            sample.codes[i]: {
                "good": round(float((sample.languages[good] == i).mean()), 4),
                "bad": round(float((sample.languages[~good] == i).mean()), 4),
            }
            for i in common.tolist()
        },
    }


def object_to(report: dict[str, Any]) -> str | None:
    """Why the report gives no right to use the model, or None."""
    split = "by_host" if "auc" in report["by_host"] else "by_document"
    auc = Estimate(**report[split]["auc"])
    if not auc.low > 0.5:
        return (
            f"the two kinds cannot be told apart: held out {split.replace('_', ' ')}, the AUC is {auc}, and its "
            "interval reaches 0.5"
        )
    said = report["explained"]
    causes = [
        f"{name} alone has an AUC of {said[key]:.3f}"
        for name, key in (("length", "length_auc"), ("language", "language_auc"))
        if said[key] > 0.9
    ]
    names = " and ".join(causes) or "together they leave nothing to compare"
    if said["overlap"] < OVERLAP:
        return (
            f"length or language tells the two kinds apart: {names}; their distributions over both overlap by only "
            f"{said['overlap']:.1%}. Give both kinds the same languages and lengths (cut them, or choose others)"
        )
    matched = Estimate(**said["matched_auc"])
    if not matched.low > 0.5:
        return (
            f"what tells the two kinds apart is length or language: among documents alike in both the AUC is {matched}"
        )
    return None


def telling(
    sample: Sample, weights: Weights, settings: Settings, good: Texts, bad: Texts, top: int = 20, read: int = 4000
) -> dict[str, list[dict[str, Any]]]:
    """The n-grams that say most each way, as strings: a second look at `read` documents of each kind finds what fell
    into the heaviest buckets. weight: how far its weight lies above the mean weight of a document's n-grams (both kinds
    weigh the same): the logit is a mean, so only that distance moves it. good, bad: share of each kind's sampled
    documents that have it. They are ranked by weight * (good - bad), and listed only where both agree: a weight
    against the shares corrects for other n-grams and says nothing alone. `also`: the second most frequent string of
    the bucket, if it is no rarity."""
    weights = weights - np.float32(_centre(sample, weights))
    shares = np.stack(
        [_frequencies(sample.features, np.flatnonzero(kind), settings.buckets) for kind in (sample.good, ~sample.good)]
    )
    most = shares.max(axis=0)
    worth = np.where(most >= max(0.005, 5 / len(sample)), weights * (shares[0] - shares[1]), 0)
    worth = np.where(worth > 0, np.copysign(worth, weights), 0)
    order = np.argsort(worth, kind="stable")
    wanted = {"good": order[::-1][: 2 * top], "bad": order[: 2 * top]}
    marked = np.zeros(settings.buckets, bool)
    for chosen in wanted.values():
        marked[chosen] = True
    found: dict[int, Counter[str]] = {}
    for texts in (good, bad):
        seen = texts.seen  # of the first reading
        _strings(replace(texts, seen={}), marked, settings, found, read)
        texts.seen = seen
    out: dict[str, list[dict[str, Any]]] = {}
    for side, chosen in wanted.items():
        rows = []
        for number in chosen.tolist():
            strings = found.get(number, Counter()).most_common(2)
            if strings and worth[number] != 0 and (worth[number] > 0) == (side == "good"):
                also = [text for text, times in strings[1:] if times > strings[0][1] / 10]
                rows.append(
                    {
                        "ngram": strings[0][0],
                        "weight": round(float(weights[number]), 3),
                        "good": round(float(shares[0, number]), 4),
                        "bad": round(float(shares[1, number]), 4),
                        **({"also": also[0]} if also else {}),
                    }
                )
        out[side] = rows[:top]
    return out


def _centre(sample: Sample, weights: Weights) -> float:
    """The mean weight of a document's n-grams, both kinds weighing the same."""
    means = sample.features.logits(weights, 0.0, np.arange(len(sample))) / linear.SCALE
    return float(means[sample.good].mean() + means[~sample.good].mean()) / 2


def _frequencies(features: Features, rows: Ints, buckets: int) -> Floats:
    """Share of the rows that have each bucket (twice where two n-grams fall into one)."""
    counts = np.zeros(buckets)
    for start in range(0, len(rows), 2048):
        counts += np.bincount(features.take(rows[start : start + 2048])[0], minlength=buckets)
    return counts / max(len(rows), 1)


def _strings(
    texts: Texts, marked: npt.NDArray[np.bool_], settings: Settings, found: dict[int, Counter[str]], read: int
) -> None:
    for batch in texts:
        text = batch.column("text")
        offsets, hashes, first, size = kernels.word_ngrams(text, settings.ngram)
        index = kernels.bucket(hashes, settings.buckets)
        normal = kernels.normalize(text)
        for row in range(len(text)):
            hits = np.flatnonzero(marked[index[offsets[row] : offsets[row + 1]]]) + offsets[row]
            words = normal[row].as_py().split(" ") if len(hits) else []
            for at in hits.tolist():
                gram = " ".join(words[first[at] : int(first[at]) + int(size[at])])
                found.setdefault(int(index[at]), Counter())[gram] += 1
        read -= len(text)
        if read <= 0:
            return
