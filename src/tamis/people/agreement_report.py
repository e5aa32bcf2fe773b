"""One page on the agreement in a file of labels: every measure side by side, and on demand raters, pairs and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tamis.people import spans
from tamis.people.agreement import LEVELS, Agreement, NoOrder, ac1, alpha, fleiss, ratings_of, raw
from tamis.people.agreement_tables import OfRater, OfSelf, Period, by_rater, over_time, with_self
from tamis.people.kappa import Weights, each_pair, light
from tamis.people.labels import COLUMNS, _open, read_question


@dataclass(frozen=True)
class Report:
    """What `tamis label agreement` prints."""

    path: Path
    labels: int
    examples: int
    raters: int
    values: int
    left_out: int
    measures: tuple[Agreement, ...]
    by_rater: tuple[OfRater, ...] = ()
    of_self: tuple[OfSelf, ...] = ()
    pairs: tuple[tuple[str, str, Agreement], ...] = ()
    over: tuple[tuple[str, Agreement], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON."""
        return {
            "file": str(self.path), "labels": self.labels, "examples": self.examples, "raters": self.raters,
            "values": self.values, "left_out": self.left_out,
            "measures": [measure.to_json() for measure in self.measures],
            "by_rater": [row.to_json() for row in self.by_rater],
            "with_self": [row.to_json() for row in self.of_self],
            "pairs": [{"first": a, "second": b, **kappa.to_json()} for a, b, kappa in self.pairs],
            "over_time": [{"period": period, **value.to_json()} for period, value in self.over],
        }  # fmt: skip

    def render(self) -> str:
        """For people."""
        first = self.measures[0]
        lines = [
            f"{self.path}: {self.labels:,} labels of {self.examples:,} examples by {self.raters:,} raters, "
            f"{self.values:,} values",
            f"compared   {first.ratings:,} ratings of {first.examples:,} examples that two raters or more rated",
        ]
        if self.left_out:
            lines.append(f"left out   {self.left_out:,} examples that a rater answered again, each time differently")
        width = max(len(_name(measure)) for measure in self.measures)
        for measure in self.measures:
            shown = f"{measure.value:.4f}  {_bounds(measure)}" if measure.defined else f"undefined. {measure.why}"
            lines.append(f"{_name(measure):<{width}}  {shown}")
        drawn = max(measure.resamples for measure in self.measures)
        if drawn:
            lines.append(f"brackets   95% of {drawn:,} resamples of the examples, seed {first.seed}")
        for row in self.of_self:
            lines.append(
                f"again      {row.rater}: {row.flips:.1%} of {row.pairs:,} pairs of own answers differ "
                f"[{row.low:.1%}, {row.high:.1%}]"
            )
        if self.by_rater:
            lines += ["", f"{'rater':<20} {'ratings':>8}  alpha with the others      raw"]
        for of in self.by_rater:
            if of.ratings:
                alpha_shown = f"{of.alpha:7.4f} [{of.low:.3f}, {of.high:.3f}]"
                lines.append(
                    f"{of.rater[:20]:<20} {of.ratings:>8,}  {alpha_shown:<24}  "
                    f"{of.raw:.3f} [{of.raw_low:.3f}, {of.raw_high:.3f}]"
                )
            else:
                lines.append(f"{of.rater[:20]:<20} {0:>8}  rated only what nobody else did")
        if self.pairs:
            lines += ["", f"{'pair':<28} {'shared':>7}  Cohen's kappa"]
        for a, b, kappa in self.pairs:
            value = f"{kappa.value:7.4f} {_bounds(kappa)}" if kappa.defined else f"undefined. {kappa.why}"
            lines.append(f"{f'{a} / {b}'[:28]:<28} {kappa.examples:>7,}  {value}")
        if self.over:
            lines += ["", f"{'period':<14} {'examples':>8}  alpha"]
        for period, measure in self.over:
            value = f"{measure.value:7.4f} {_bounds(measure)}" if measure.defined else f"undefined. {measure.why}"
            lines.append(f"{period:<14} {measure.examples:>8,}  {value}")
        return "\n".join(lines)


def report(
    path: Path,
    level: str = "nominal",
    *,
    order: Sequence[str] | None = None,
    weights: str = "none",
    raters: bool = False,
    pairs: bool = False,
    over: str | None = None,
    question: str | None = None,
    resamples: int = 1000,
    seed: int = 17,
) -> Report:
    """Reads labels and measures their agreement. `question`: of a file that has a column of that name with several.
    Raises NotLabels, NoOrder."""
    level_, weights_ = _one_of(level, LEVELS, "level"), _one_of(weights, get_args(Weights), "weights")
    labels = read_question(path, question)
    ratings = ratings_of(labels)
    drawing: dict[str, Any] = {"resamples": resamples, "seed": seed}
    measures = [alpha(ratings, level_, order=order, **drawing)]
    if level_ != "nominal":
        measures.append(alpha(ratings, **drawing))
    measures += [ac1(ratings, **drawing), fleiss(ratings, **drawing)]
    measures += [light(ratings, weights_, order=order, **drawing), raw(ratings, **drawing)]
    periods: list[tuple[str, Agreement]] = []
    if over is not None:
        period: Period = _one_of(over, get_args(Period), "period")
        periods = over_time(ratings, times(path), period, level_, order=order, **drawing)
    return Report(
        path=path,
        labels=len(labels),
        examples=len(labels.examples),
        raters=len(labels.raters),
        values=len(labels.classes),
        left_out=ratings.left_out,
        measures=tuple(measures),
        by_rater=tuple(by_rater(ratings, level_, order=order, **drawing)) if raters else (),
        of_self=tuple(with_self(labels, **drawing)),
        pairs=tuple(each_pair(ratings, weights_, order=order, **drawing)) if pairs else (),
        over=tuple(periods),
    )


@dataclass(frozen=True)
class SpanReport:
    """What `tamis label agreement` prints of spans: every two raters."""

    path: Path
    pairs: tuple[spans.SpanAgreement, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON."""
        return {"file": str(self.path), "pairs": [pair.to_json() for pair in self.pairs]}

    def render(self) -> str:
        """For people."""
        lines = [f"{self.path}: spans", f"{'pair':<28} {'texts':>6} {'spans':>6}  token kappa / exact F1 / overlap F1"]
        for one in self.pairs:
            figures = (
                (one.kappa, one.kappa_low, one.kappa_high), (one.exact, one.exact_low, one.exact_high),
                (one.overlap, one.overlap_low, one.overlap_high),
            )  # fmt: skip
            shown = "  ".join(f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in figures)
            name = f"{one.first} / {one.second}"[:28]
            lines.append(f"{name:<28} {one.examples:>6,} {one.spans:>6,}  {one.why or shown}")
        if not self.pairs:
            lines.append("No two raters marked the same text, so there is nothing to compare.")
        return "\n".join(lines)


def span_report(path: Path, question: str | None = None, resamples: int = 1000, seed: int = 17) -> SpanReport | None:
    """Agreement on the spans of an export; None for a file of other labels."""
    if path.suffix not in (".jsonl", ".parquet"):
        return None
    _, ignored, _ = _open(path, COLUMNS)
    if not {"kind", "evidence"} <= set(ignored):
        return None
    from tamis.people import exchange

    rows = [a for a in exchange.read(path).annotations if question in (None, a.question) and not a.skipped]
    if not rows or any(a.kind != "span" for a in rows):
        return None
    marked: dict[str, dict[str, list[spans.Span]]] = {}
    for a in sorted(rows, key=lambda a: -a.repeat):  # of a rater's answers the first stays
        found = [spans.Span(one["start"], one["end"], one["label"]) for one in a.value]
        marked.setdefault(a.example, {})[a.rater] = found
    texts = {a.example: str(a.fields.get(a.of, "")) for a in rows}
    return SpanReport(path, tuple(spans.each_pair(texts, marked, resamples=resamples, seed=seed)))


def times(path: Path) -> dict[str, str]:
    """example -> the time of its last label, of a file of labels with a column `at` (or `time`, `created_at`)."""
    wanted = {"example": COLUMNS["example"], "at": ("at", "time", "created_at")}
    _, _, batches = _open(path, wanted)
    found: dict[str, str] = {}
    for batch in batches:
        for example, at in zip(batch["example"].to_pylist(), batch["at"].to_pylist(), strict=True):
            if example is not None and at is not None and found.get(example, "") < at:
                found[example] = at
    return found


def _one_of(value: str, known: Sequence[Any], what: str) -> Any:
    if value not in known:
        raise NoOrder(f"no {what} is named {value!r}: choose {', '.join(known)}")
    return value


def _name(measure: Agreement) -> str:
    return f"{measure.name} ({measure.level})" if "alpha" in measure.name else measure.name


def _bounds(measure: Agreement) -> str:
    return f"[{measure.low:.4f}, {measure.high:.4f}]" if measure.low == measure.low else "no interval"
