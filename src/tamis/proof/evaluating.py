"""Everything that `tamis evaluate` measures of one or several models, in one object.

Per model: bits per byte on a text, by domain; how well its confidence in the next token is calibrated; questions
(multiple choice with calibration, cloze, exact match, as the rows allow); tasks of lm-evaluation-harness; what it
copies of its training text; cost. Where the training text is given, the text measured on is first looked up in it, and
items that stand in it are set against those that do not. Of several models, each is compared with the first: paired
differences on the same cases, and agreement on the same tokens.

Memory: the text and the items, one model's batch, and what `holdout` and `seen_in_training` need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tamis.models.model import F32, F64, Ids, Predictor
from tamis.proof import cost
from tamis.proof.agreement_of_models import alike
from tamis.proof.calibration import calibration
from tamis.proof.choices import Choices, Cloze, Written, after_hashes, cloze, exact_match, multiple_choice
from tamis.proof.evaluation import COST, Evaluation, ItemSet, NothingAsked, Options, Row
from tamis.proof.holdout import Candidates, hold_out
from tamis.proof.items import BadItems
from tamis.proof.likelihood import losses
from tamis.proof.memorization import contamination_gap, memorized
from tamis.proof.metric import Metric, NothingCounted, paired
from tamis.proof.next_token import guesses
from tamis.proof.proportions import same_items
from tamis.proof.seen_in_training import copies_of_items, draw, was_read
from tamis.proof.subjects import Subject
from tamis.proof.temperature import temperature
from tamis.proof.trained_on import Texts

# Of the text, for what costs the logits of two models.
AGREEMENT_BYTES = 300_000
MEMORIZED = 50  # tokens of prefix and of suffix
_LEAST_ITEMS = 5
_DEFAULT = Options()

Tell = Callable[[str, int], None]


class _Watched:
    """A Predictor that tells how many tokens it has read, under the name of what is being done."""

    def __init__(self, model: Predictor, tell: Tell) -> None:
        self._model, self._tell, self.doing, self._read = model, tell, "", 0

    @property
    def context(self) -> int:
        return self._model.context

    def begin(self, doing: str) -> None:
        self.doing, self._read = doing, 0
        self._tell(doing, 0)

    def nats(self, ids: Ids) -> F32 | F64:
        return self._counted(ids, self._model.nats(ids))

    def logits(self, ids: Ids) -> F32 | F64:
        return self._counted(ids, self._model.logits(ids))

    def _counted(self, ids: Ids, found: F32 | F64) -> F32 | F64:
        self._read += ids.size
        self._tell(self.doing, self._read)
        return found


def evaluate(
    subjects: Sequence[Subject],
    *,
    text: Candidates | None = None,
    sets: Sequence[ItemSet] = (),
    trained: Texts | None = None,
    options: Options = _DEFAULT,
    tell: Tell = lambda _doing, _tokens: None,
) -> Evaluation:
    """tell(what is being done, tokens read of it). Raises NothingAsked, NotHeldOut, BadItems, NothingCounted."""
    if text is None and not sets and not options.tasks:
        raise NothingAsked("there is nothing to measure on: give --text, --items or --lm-eval")
    found = Evaluation([one.to_json() for one in subjects])
    if trained is not None:
        found.trained = [_read(one, trained) for one in subjects]
    if text is not None:
        text = _text(found, text, trained, options, tell)
    seen = [_seen(trained, one, tell) for one in sets] if trained is not None else [None] * len(sets)
    watched = [_Watched(one.model, tell) for one in subjects]
    asked: dict[str, list[_Asked]] = {}
    for subject, model in zip(subjects, watched, strict=True):
        if text is not None:
            _on_text(found, subject, model, text, options)
        asked[subject.name] = [
            _ask(found, subject, model, one, copies, options) for one, copies in zip(sets, seen, strict=True)
        ]
        if trained is not None:
            _copied(found, subject, model, trained, text, options)
        if options.tasks:
            _tasks(found, subject, model, options)
        if options.cost:
            _cost(found, subject, model)
    for other, model in zip(subjects[1:], watched[1:], strict=True):
        _against(found, subjects[0], watched[0], other, model, text, asked, options)
    return found


def _read(subject: Subject, trained: Texts) -> str:
    """Whether what is said to be the training text is what this model read."""
    known, name = was_read(trained, subject.feed), trained.name
    if known:
        return f"{subject.name}: {name} is what it was trained on: run.json names the same token shards"
    if known is None:
        return f"{subject.name}: {name}, as given; not checked to be what the model read"
    return (
        f"{subject.name}: {name} is NOT what it was trained on: run.json names other token shards (another corpus, or "
        "this one before its recipe was run again); nothing is proved of what the model read"
    )


def _text(found: Evaluation, text: Candidates, trained: Texts | None, options: Options, tell: Tell) -> Candidates:
    """What is measured on: not in the training text where that is known, up to the limit of bytes."""
    if trained is not None:
        tell("looking the text up in what was trained on", 0)
        held = hold_out(
            {"text": text},
            {trained.name: lambda: (texts for _, texts in trained.batches())},
            limit_bytes=options.limit_bytes,
        )
        found.proof, text = held.proof, held.texts["text"]
    else:
        found.notes.append("the training text was not given (--train): that the text was held out is not proved")
        text = _limited(text, options.limit_bytes)
    sizes = [len(one.encode()) for one in text.texts]
    found.text = {"documents": len(text), "bytes": sum(sizes), "domains": sorted(set(text.domains))}
    return text


def _limited(text: Candidates, limit: int) -> Candidates:
    sizes = np.cumsum([len(one.encode()) for one in text.texts])
    count = int(np.searchsorted(sizes, limit)) + 1
    return text if count >= len(text) else text.take(range(count))


def _on_text(found: Evaluation, subject: Subject, model: _Watched, text: Candidates, options: Options) -> None:
    model.begin(f"{subject.name}: text")
    ids = subject.encoder.encode(text.texts)
    sizes = [len(one.encode()) for one in text.texts]
    end = subject.encoder.end_of_text
    scored = losses(model, ids, sizes, end_of_text=end, documents=text.ids, domains=text.domains)
    found.losses[subject.name] = scored
    metrics = [scored.bits_per_byte(seed=options.seed)]
    by = scored.by_domain(seed=options.seed)
    metrics += by.values() if len(by) > 1 else []
    found.rows += [Row("text", subject.name, one) for one in metrics]
    model.begin(f"{subject.name}: next tokens")
    drawn = guesses(model, ids, end_of_text=end, seed=options.seed)
    _calibrated(
        found, subject, "next tokens", *drawn.confidence(), f"highest probability; {drawn.windows:,} windows", options,
        drawn.documents,
    )  # fmt: skip
    if options.temperature:
        _tempered(found, subject, "next tokens", drawn.logits, drawn.right, options, drawn.documents)


def _calibrated(
    found: Evaluation, subject: Subject, group: str, confidence: Any, correct: Any, what: str, options: Options,
    documents: Any = None,
) -> None:  # fmt: skip
    made = calibration(confidence, correct, what=what, seed=options.seed, documents=documents)
    found.calibrations[(subject.name, group)] = made
    sweep = _noted(made.sweep, f"{made.sweep_bins} bins; a perfect model gives {made.perfect['sweep']:.4f}")
    rms = _noted(made.debiased, f"{made.bins} bins; a perfect model gives {made.perfect['debiased']:.4f}")
    found.rows += [Row(group, subject.name, one) for one in (sweep, rms, made.brier, made.gap)]


def _noted(metric: Metric, note: str) -> Metric:
    return replace(metric, note="; ".join(one for one in (metric.note, note) if one))


def _tempered(
    found: Evaluation, subject: Subject, group: str, logits: Any, labels: Any, options: Options, documents: Any = None
) -> None:
    try:
        made = temperature(logits, labels, seed=options.seed, documents=documents)
    except NothingCounted as error:
        found.notes.append(f"{subject.name}, {group}: {error}")
        return
    found.temperatures[(subject.name, group)] = made
    note = f"fitted on {made.fitted_on:,}" + ("; at the end of the range searched" if made.at_bound else "")
    fitted = Metric(
        "temperature", "", "neither", made.value, made.low, made.high, made.fitted_on, 0.95, "answers", note
    )
    judged = "on the half that the temperature was not fitted on"
    before, after = _noted(made.before.sweep, judged), _noted(made.after.sweep, judged)
    found.rows += [
        Row(group, subject.name, one)
        for one in (
            fitted,
            replace(before, name="ECE, monotone bins, before temperature"),
            replace(after, name="ECE, monotone bins, after temperature"),
        )
    ]


@dataclass(frozen=True)
class _Asked:
    """One set put to one model."""

    set: ItemSet
    choices: Choices | None
    cloze: Cloze | None
    written: Written | None

    def metrics(self) -> list[Metric]:
        if self.choices is not None:
            one = self.choices
            return [one.accuracy(), one.accuracy(per_byte=True), one.right_probability(), one.right_bits_per_byte()]
        made = [self.cloze.accuracy(), self.cloze.bits_per_byte()] if self.cloze else []
        return made + ([self.written.exact_match()] if self.written else [])

    def comparable(self) -> list[tuple[Metric, Any]]:
        """Metrics with a value of each item, and what each item weighs in them."""
        if self.choices is not None:
            right = self.choices.right
            size = [one[r] for one, r in zip(self.choices.bytes, right, strict=True)]
            return [
                (self.choices.accuracy(), None),
                (self.choices.right_probability(), None),
                (self.choices.right_bits_per_byte(), size),
            ]
        made = [(self.cloze.accuracy(), None), (self.cloze.bits_per_byte(), self.cloze.bytes)] if self.cloze else []
        return made + ([(self.written.exact_match(), None)] if self.written else [])


def _ask(
    found: Evaluation, subject: Subject, model: _Watched, one: ItemSet, copies: tuple[Any, Any] | None, options: Options
) -> _Asked:
    model.begin(f"{subject.name}: {one.name}")
    with_options = [bool(item.options) for item in one.items]
    if all(with_options):
        made = _Asked(one, multiple_choice(model, one.items, subject.encoder), None, None)
    elif not any(with_options):
        told = cloze(model, one.items, subject.encoder)
        some = one.items[: options.write]
        hashes = all("####" in item.answer for item in some)
        if some:
            model.begin(f"{subject.name}: {one.name}, writing")
        text = (
            exact_match(model, some, subject.encoder, tokens=options.tokens, extract=after_hashes if hashes else str)
            if some
            else None
        )
        made = _Asked(one, None, told, text)
    else:
        count = sum(with_options)
        raise BadItems(f"{one.name}: {count} of {len(one.items)} items have options and the others none: split the set")
    found.rows += [Row(one.name, subject.name, metric) for metric in made.metrics()]
    if made.choices is not None and len(one.items) >= _LEAST_ITEMS:
        what = "highest softmax of log-likelihoods over the options"
        _calibrated(found, subject, one.name, *made.choices.confidence(), what, options)
        if options.temperature:
            _tempered(found, subject, one.name, made.choices.logits(), made.choices.right, options)
    if copies is not None:
        _gap(found, subject, made, *copies)
    return made


def _seen(trained: Texts, one: ItemSet, tell: Tell) -> tuple[Any, Any]:
    doing = f"looking {one.name} up in what was trained on"
    tell(doing, 0)
    return copies_of_items(trained, one.items)


def _gap(found: Evaluation, subject: Subject, made: _Asked, copies: Any, searched: Any) -> None:
    """The score of items that stand in the training text less that of the others. Items too short to be searched are
    left out."""
    seen, out_of = int((copies[searched] > 0).sum()), int(searched.sum())
    name = made.set.name
    said = f"{name}: {seen:,} of {out_of:,} items stand in the training text"
    if out_of < len(searched):
        said += f"; {len(searched) - out_of:,} are too short or too common to be looked up"
    if said not in found.notes:
        found.notes.append(said)
    if not seen or seen == out_of:
        return
    metric = made.choices.right_probability() if made.choices else made.cloze.accuracy() if made.cloze else None
    if metric is None or metric.per_item is None:
        return
    gap = contamination_gap(metric.per_item[searched], copies[searched])
    first = _noted(
        gap.gap, f"of: {metric.name}; permutation p = {gap.p:.3f}; items in the training text may be other ones"
    )
    found.rows.append(Row(name, subject.name, first))
    if len(gap.by_copies) > 1:
        found.rows += [Row(name, subject.name, one) for one in gap.by_copies.values()]


def _copied(
    found: Evaluation, subject: Subject, model: _Watched, trained: Texts, text: Candidates | None, options: Options
) -> None:
    model.begin(f"{subject.name}: memorization")
    drawn = draw(trained, seed=options.seed)
    controls = [] if text is None else text.texts[:200]
    size = min(MEMORIZED, model.context // 2)
    ids = subject.encoder.encode([*drawn.texts, *controls])
    copies = np.concatenate([drawn.copies, np.zeros(len(controls), np.int64)])
    made = memorized(model, ids, copies, prefix=size, suffix=size, end_of_text=subject.encoder.end_of_text)
    if not len(made.copies):
        found.notes.append(f"memorization: no document has {2 * size} tokens")
        return
    group = "memorization"
    for metrics in (made.by_copies(), made.followed_by_copies()):
        found.rows += [Row(group, subject.name, one) for one in metrics.values()]
    if controls:
        for level in sorted(set(made.copies.tolist()) - {0}):
            gap = made.excess(level)
            found.tests.append((f"extractable, {level} copies against text held out", subject.name, gap))
        said = "memorization: 0 copies is the held-out text; it is a fair control only where it is of the same kind"
    else:
        said = "memorization: without --text there is no control of documents that were not trained on"
    if said not in found.notes:
        found.notes.append(said)


def _tasks(found: Evaluation, subject: Subject, model: _Watched, options: Options) -> None:
    from tamis.proof import harness

    model.begin(f"{subject.name}: lm-evaluation-harness")
    for result in harness.run(model, subject.encoder, options.tasks, limit=options.task_limit):
        group = f"{result.task} (lm-evaluation-harness)"
        found.rows += [Row(group, subject.name, one) for one in result.metrics]


def _cost(found: Evaluation, subject: Subject, model: _Watched) -> None:
    model.begin(f"{subject.name}: cost")
    forward = cost.counted_flops(subject.module, model.context)
    metrics = cost.parameters(subject.module) + cost.flops(forward, subject.trained_tokens)
    rows = max(1, 4096 // (model.context + 1))
    metrics.append(cost.evaluation_speed(subject.model, np.zeros((rows, model.context + 1), np.int64), 1.0))
    if subject.trained_tokens and subject.seconds:
        metrics += cost.training_speed(subject.trained_tokens, subject.seconds, subject.cpu_seconds)
    metrics.append(cost.peak_memory())
    found.rows += [Row(COST, subject.name, one) for one in metrics]


def _against(
    found: Evaluation, first: Subject, mine: _Watched, other: Subject, theirs: _Watched, text: Candidates | None,
    asked: dict[str, list[_Asked]], options: Options,
) -> None:  # fmt: skip
    """`other` less `first`, on the same cases, and how much they agree on the same tokens."""
    name = f"{other.name} - {first.name}"
    if text is not None:
        a, b = found.losses[first.name], found.losses[other.name]
        domains = sorted(set(text.domains))
        found.rows += [
            Row("text", name, b.minus(a, domain, seed=options.seed))
            for domain in (None, *(domains if len(domains) > 1 else ()))
        ]
    for one, two in zip(asked[first.name], asked[other.name], strict=True):
        for (a_, weight), (b_, _) in zip(one.comparable(), two.comparable(), strict=True):
            gap = paired(f"{a_.name}, difference", a_, b_, below=weight, seed=options.seed)
            mine_, theirs_ = a_.per_item, b_.per_item
            if mine_ is not None and theirs_ is not None and set(np.unique([mine_, theirs_])) <= {0.0, 1.0}:
                test = same_items(mine_, theirs_)  # whose interval is right at 0 and 1, where a bootstrap has none
                gap = replace(gap, low=test.low, high=test.high)
                found.tests.append((f"{one.set.name}: {a_.name}", name, test))
            found.rows.append(Row(one.set.name, name, gap))
    if text is None:
        return
    if first.tokens != other.tokens:
        found.notes.append(f"{name}: other tokenizers, so no agreement by token ({first.tokens}; {other.tokens})")
        return
    for one_ in (mine, theirs):  # they read in turn: under one name, or progress is told anew for each batch
        one_.begin(f"{name}: agreement")
    part = _limited(text, AGREEMENT_BYTES)
    end = first.encoder.end_of_text
    same = alike(mine, theirs, first.encoder.encode(part.texts), end_of_text=end)
    pair = f"{first.name} || {other.name}"
    found.rows += [
        Row("agreement", pair, one) for one in (same.top_1(), same.jensen_shannon(), same.kl(), same.kl(reverse=True))
    ]
