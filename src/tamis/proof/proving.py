"""Which of two corpora makes the better model, by a rule fixed beforehand.

Both arms train the same model from the same initialization on equal tokens (one tokenizer, so equal FLOPs too), paired
by seed; a seed also draws the order of windows. Four pairs are trained, the rule looks, and unless it has decided goes
on to eight and twelve. These looks are fixed: whoever stops earlier is told how many seeds the next look needs. The
largest size decides; smaller ones say whether their ranking could have been trusted.

Every run is stored: a proof that is killed goes on, a second call answers at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tamis.errors import SaidNo
from tamis.proof import arm_runs
from tamis.proof.arm_runs import Measured as Result
from tamis.proof.comparison import Comparison, compare, mean_draws
from tamis.proof.comparison import Measured as Values
from tamis.proof.equivalence import Equivalent
from tamis.proof.ladder import Trust, decision_accuracy
from tamis.proof.preparing import REFERENCE, BadDesign, Options, Prepared, prepare
from tamis.proof.rule import Rule
from tamis.proof.trained_on import Texts
from tamis.proof.worth import SEEDS, SHARES, Here, here
from tamis.whole import write_atomic

LOOKS = (4, 8, 12)
# Standard deviation of paired differences on the reference in bits per byte, where no earlier proof of the workspace
# tells: .010 was seen on the demo's raw and main at 1.5 million tokens, .047 on web pages at .3 million, so it falls
# about as tokens to the power -.7 (docs/proving.md). Rounded up; other sizes were not measured.
SCATTER = 0.015
SCATTER_TOKENS, SCATTER_POWER = 1_500_000, 0.7
UNIT = "bit/byte"
# Instead of a fitted law: arm A for other lengths.
HERE = "here"


class SameText(ValueError, SaidNo):
    """Both arms read the same documents."""


@dataclass(frozen=True)
class Proof:
    """What came out. announced: what was said before the first run, whichever call that was. comparisons: by size; the
    largest decides. trust: of smaller sizes. equivalents: what the difference is worth by a law, or by `law_runs` of
    arm A for other lengths; else `no_law` says why there is none. reused: of all runs, those that no look of this call
    trained."""

    prepared: Prepared
    rule: Rule
    announced: str
    comparisons: Mapping[str, Comparison]
    results: list[Result]
    trust: list[Trust]
    equivalents: list[Equivalent | Here]
    law_runs: list[Result]
    no_law: str
    warnings: list[str]
    reused: int
    seconds: float
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def deciding(self) -> Comparison:
        return self.comparisons[self.prepared.options.sizes[-1]]

    @property
    def cpu_seconds(self) -> float:
        return sum(one.cpu_seconds for one in [*self.results, *self.law_runs])

    def to_json(self) -> dict[str, Any]:
        prepared = self.prepared
        return {
            "id": prepared.folder.name,
            "arms": {
                letter: {"name": one.name, "label": getattr(one, "label", one.name), **one.identity(),
                         "stream": {**vars(prepared.streams[letter]), "path": None}}
                for letter, one in prepared.arms.items()
            },
            "sizes": [
                {"size": size, "parameters": self.parameters(size), "tokens": prepared.tokens[size],
                 "flops": next(one.flops for one in self.results if one.size == size),
                 "epochs": {k: one.epochs(prepared.tokens[size]) for k, one in prepared.streams.items()}}
                for size in prepared.options.sizes
            ],
            "tokenizer": prepared.options.encoder,
            "held_out": prepared.proof,
            "items": prepared.items,
            "primary": list(prepared.primary),
            "announced": self.announced,
            "comparisons": {size: one.to_json() for size, one in self.comparisons.items()},
            "answer": self.deciding.decision.answer,
            "trust": [{**vars(one), "clear": one.clear if one.clear_pairs else None} for one in self.trust],
            "equivalents": [vars(one) for one in self.equivalents],
            "no_law": self.no_law,
            "warnings": self.warnings,
            "runs": [vars(one) for one in self.results],
            "law_runs": [vars(one) for one in self.law_runs],
            "reused": self.reused,
            "cpu_seconds": self.cpu_seconds,
            "seconds": self.seconds,
            **self.extra,
        }  # fmt: skip

    def parameters(self, size: str) -> int:
        options = self.prepared.options
        return arm_runs.shape(size, arm_runs.encoder_of(options.encoder), options.context).parameters


def stops(seeds_most: int) -> tuple[int, ...]:
    """How many pairs are trained one after another: to each look, the last time to `seeds_most`. The looks, and what
    each may spend, stay the same.

    >>> stops(12), stops(6), stops(2)
    ((4, 8, 12), (4, 6), (2,))
    """
    if not 2 <= seeds_most <= LOOKS[-1]:
        raise BadDesign(
            f"--seeds-most {seeds_most}: from 2 pairs on a difference has a scatter, and {LOOKS[-1]} is the last look"
        )
    return (*(look for look in LOOKS if look < seeds_most), seeds_most)


def prove(
    a: Texts, b: Texts, options: Options, work: Path, *, seeds_most: int = LOOKS[-1], processes: int = 2,
    out: Path | None = None, law: Path | str | None = None, say: Callable[[str], None] = lambda line: None,
) -> Proof:  # fmt: skip
    """Trains, measures and decides. law: a fit, or HERE. say: told what goes on, the design and its cost before
    anything is spent."""
    import time

    from tamis.models.many import many

    began = time.monotonic()
    prepared = prepare({"A": a, "B": b}, options, work, out=out, say=say)
    if len({one.sha256 for one in prepared.streams.values()}) == 1:
        raise SameText(f"{a.name} and {b.name} hold the same documents to train on: there is nothing to prove")
    counts = stops(seeds_most)
    rule = Rule(metric=primary_name(prepared), looks=LOOKS)
    size = options.sizes[-1]
    scatter, where = known_scatter(work, size, prepared.tokens[size], prepared.folder)
    announced = _announced_once(prepared.folder, rule, scatter, where)
    warnings = list(prepared.warnings)
    planned = plan(prepared, counts, processes, law == HERE)
    for line in [*planned, *announced.splitlines(), *(f"warning   {one}" for one in warnings)]:
        say(line)
    trained = 0
    comparisons: dict[str, Comparison] = {}
    results: list[Result] = []
    for count in counts:
        jobs = [prepared.job(arm, size, seed) for seed in range(1, count + 1) for size in options.sizes for arm in "AB"]
        known = [arm_runs.done(job) for job in jobs]
        waiting = [job for job, one in zip(jobs, known, strict=True) if one is None]
        trained += len(waiting)
        fresh = iter(many(arm_runs.perform, waiting, processes, title="runs") if waiting else [])
        results = [one if one is not None else next(fresh) for one in known]
        comparisons = {one: _compare(prepared, results, one, rule) for one in options.sizes}
        decision = comparisons[size].decision
        if decision.answer != "more" or count == counts[-1]:
            break
        d = comparisons[size].differences[0]
        say(
            f"look      {count} pairs: {d.value:+.4f} {UNIT} [{decision.low:+.4f}, {decision.high:+.4f}] at the level "
            f"of this look; not decided, going on to {counts[counts.index(count) + 1]}"
        )
    trust = _trust(prepared, results)
    equivalents: Sequence[Equivalent | Here]
    law_runs: list[Result] = []
    if law == HERE:
        worth, law_runs, more = _law_here(prepared, results, processes)
        equivalents, no_law, trained = [worth], "", trained + more
    else:
        equivalents, no_law = _worth(prepared, comparisons[size], None if law is None else Path(law))
    proof = Proof(
        prepared, rule, announced, comparisons, results, trust, list(equivalents), law_runs, no_law, warnings,
        len(results) + len(law_runs) - trained, time.monotonic() - began,
    )  # fmt: skip
    write_atomic(prepared.folder / "proof.json", json.dumps(finite(proof.to_json()), indent=1) + "\n")
    return proof


def plan(prepared: Prepared, counts: Sequence[int], processes: int, law: bool = False) -> list[str]:
    """What will be trained on what, and what it costs."""
    options = prepared.options
    lines = []
    for letter, one in prepared.arms.items():
        stream = prepared.streams[letter]
        lines.append(
            f"{'corpora' if letter == 'A' else '':<9} {letter} {one.name}: {getattr(one, 'label', '')}; "
            f"{stream.unique:,} tokens, {stream.set_aside:,} documents set aside"
        )
    for name, text in prepared.proof["texts"].items():
        said = "reference" if name == REFERENCE else f"held out of {name}"
        lines.append(
            f"{'texts' if text is next(iter(prepared.proof['texts'].values())) else '':<9} {said}: {text['kept']:,} "
            f"documents, {text['bytes']:,} bytes, no {prepared.proof['ngram']}-gram shared with what either arm reads "
            f"({text['shared']:,} of {text['offered']:,} offered were dropped for one)"
        )
    if prepared.items is not None:
        lines.append(f"items     {items_said(prepared.items)}")
    for size in options.sizes:
        config = arm_runs.shape(size, arm_runs.encoder_of(options.encoder), options.context)
        tokens = prepared.tokens[size]
        epochs = ", ".join(f"{k} {one.epochs(tokens):.2f} epochs" for k, one in prepared.streams.items())
        lines.append(
            f"{'models' if size == options.sizes[0] else '':<9} {size}: {config.parameters:,} parameters without "
            f"embeddings, {tokens:,} tokens a run ({epochs}), {config.flops_per_token * tokens:.2e} FLOP each"
        )
    first, last = counts[0], counts[-1]
    minutes = [
        prepared.cpu_seconds([prepared.job(arm, size, 1) for size in options.sizes for arm in prepared.arms]) * n / 60
        for n in (first, last)
    ]
    lines.append(
        f"cost      about {minutes[0]:.1f} CPU minutes for {first} pairs, {minutes[1]:.1f} for {last}; on {processes} "
        f"processes {minutes[0] / processes:.1f} and {minutes[1] / processes:.1f} minutes, less what is there already"
    )
    if law:
        jobs = law_jobs(prepared)
        spent = prepared.cpu_seconds(jobs) / 60
        lines.append(
            f"{'':<9} and {spent:.1f} CPU minutes for what it is worth: {len(jobs)} runs of A at "
            f"{', '.join(f'{n:,}' for n in sorted({job.tokens for job in jobs}))} tokens"
        )
    return lines


def items_said(items: Mapping[str, Any]) -> str:
    found = " and ".join(f"{count:,} in {letter}" for letter, count in items["found"].items())
    return (
        f"{len(items['asked']):,} of {items['offered']:,} items are asked; what is trained on holds {found}; "
        f"{items['unsearched']:,} are too short or too common to be looked up"
    )


def primary_name(prepared: Prepared) -> str:
    return metric_name(REFERENCE) if not prepared.weaker else "bits per byte, mean of the held-out texts"


def metric_name(text: str, domain: str = "") -> str:
    """
    >>> metric_name("reference", "books"), metric_name("A")
    ('bits per byte, reference: books', 'bits per byte, held out of A')
    """
    whole = f"bits per byte, {text if text == REFERENCE else f'held out of {text}'}"
    return f"{whole}: {domain}" if domain else whole


def values_of(prepared: Prepared, results: Sequence[Result], arm: str, size: str) -> dict[str, Values]:
    """Every metric of an arm at a size, the primary one first. Raises ValueError where two would have one name."""
    mine = [one for one in results if one.arm == arm and one.size == size]
    found: dict[str, dict[int, float]] = {primary_name(prepared): {}}

    def put(name: str, seed: int, value: float) -> None:
        if seed in found.setdefault(name, {}):
            raise ValueError(f"two values of seed {seed} for the metric {name!r}")
        found[name][seed] = value

    for one in mine:
        if prepared.weaker:
            put(primary_name(prepared), one.seed, float(np.mean([one.bits[t][""] for t in prepared.primary])))
        for text, domains in one.bits.items():
            put(metric_name(text), one.seed, domains[""])
        for domain, value in one.bits.get(REFERENCE, {}).items():
            if domain and len(one.bits[REFERENCE]) > 2:
                put(metric_name(REFERENCE, domain), one.seed, value)
    made = {name: Values(values, UNIT, "lower") for name, values in found.items()}
    for one in mine:
        for name, value in one.items.items():
            known = made.setdefault(name, Values({}, "share", "higher"))
            made[name] = Values({**known.values, one.seed: value}, "share", "higher")
    return made


def _compare(prepared: Prepared, results: Sequence[Result], size: str, rule: Rule) -> Comparison:
    a, b = (values_of(prepared, results, arm, size) for arm in "AB")
    return compare(a, b, rule)


def known_scatter(work: Path, size: str, tokens: int, but: Path) -> tuple[float, str]:
    """Standard deviation of paired differences of the primary metric: of the workspace's proof of this size whose
    runs were nearest in length, else the default. Of a proof the upper 95 % limit is taken: one that was decided after
    few pairs was so partly because they happened to scatter little."""
    from scipy.stats import chi2

    found: list[tuple[float, float, str]] = []
    for path in sorted((work / "proofs").glob("*/proof.json")):
        if path.parent.resolve() == but.resolve():
            continue
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            row = body["comparisons"][size]["metrics"][0]
            length = next(one["tokens"] for one in body["sizes"] if one["size"] == size)
        except (ValueError, KeyError, StopIteration):  # of another version, or without this size
            continue
        if row["n"] >= LOOKS[0] and row["sd"] > 0:
            limit = row["sd"] * float(np.sqrt((row["n"] - 1) / chi2.ppf(0.05, row["n"] - 1)))
            where = f"at most, by {row['n']} pairs of {path.parent.name}"
            found.append((abs(float(np.log(length / tokens))), limit, where))
    if found:
        _, scatter, where = min(found)
        return scatter, where
    shorter = max(1.0, SCATTER_TOKENS / tokens)
    return SCATTER * shorter**SCATTER_POWER, "a default from other corpora; the next proof here knows better"


def _announced_once(folder: Path, rule: Rule, scatter: float, where: str) -> str:
    """What was said before the first run of this proof, whatever later proofs have learnt of the scatter."""
    path = folder / "announced.json"
    if not path.exists():
        body = {
            "metric": rule.metric, "looks": list(rule.looks), "alpha": rule.alpha, "scatter": scatter, "where": where,
            "text": rule.announce(scatter, UNIT, where),
        }  # fmt: skip
        write_atomic(path, json.dumps(body, indent=1) + "\n")
    body = json.loads(path.read_text(encoding="utf-8"))
    if (body["metric"], tuple(body["looks"]), body["alpha"]) != (rule.metric, rule.looks, rule.alpha):
        raise BadDesign(f"{folder} was announced under another rule ({body['metric']}); name another --out")
    return str(body["text"])


def _trust(prepared: Prepared, results: Sequence[Result]) -> list[Trust]:
    sizes = prepared.options.sizes
    if len(sizes) < 2:
        return []
    name = primary_name(prepared)
    encoder = arm_runs.encoder_of(prepared.options.encoder)
    values: dict[float, dict[str, list[float]]] = {}
    for size in sizes:
        parameters = float(arm_runs.shape(size, encoder, prepared.options.context).parameters)
        for arm, texts in prepared.arms.items():
            by_seed = values_of(prepared, results, arm, size)[name].values
            values.setdefault(parameters, {})[texts.name] = [by_seed[seed] for seed in sorted(by_seed)]
    return decision_accuracy(values, paired=True)


def _law_here(prepared: Prepared, known: Sequence[Result], processes: int) -> tuple[Here, list[Result], int]:
    """Arm A for other lengths, trained or found: (what the difference is worth, the runs, how many were trained)."""
    from tamis.models.many import many

    size, name = prepared.options.sizes[-1], primary_name(prepared)
    jobs = law_jobs(prepared)
    found = [arm_runs.done(job) for job in jobs]
    waiting = [job for job, one in zip(jobs, found, strict=True) if one is None]
    fresh = iter(many(arm_runs.perform, waiting, processes, title="runs of the law") if waiting else [])
    runs = [one if one is not None else next(fresh) for one in found]
    losses: dict[float, dict[int, float]] = {}
    for job, one in zip(jobs, runs, strict=True):
        share = job.tokens / prepared.tokens[size]
        losses.setdefault(share, {})[one.seed] = values_of(prepared, [one], "A", size)[name].values[one.seed]
    a, b = (values_of(prepared, known, arm, size)[name].values for arm in "AB")
    return here(a, losses, [b[seed] - a[seed] for seed in sorted(a)], prepared.tokens[size]), runs, len(waiting)


def law_jobs(prepared: Prepared) -> list[arm_runs.Job]:
    """Arm A at other lengths, in whole steps, each with a schedule of its own."""
    size, step = prepared.options.sizes[-1], prepared.options.batch * prepared.options.context
    lengths = [max(1, round(share * prepared.tokens[size] / step)) * step for share in SHARES]
    return [prepared.job("A", size, seed, tokens=tokens) for tokens in lengths for seed in SEEDS]


def _worth(prepared: Prepared, comparison: Comparison, law: Path | None) -> tuple[list[Equivalent], str]:
    """By a law of `tamis scale fit --out` or `tamis scale run`; never by an unreliable one."""
    if law is None:
        return [], "no law given (--law here trains arm A for other lengths; --law FIT.json, of `tamis scale run`)"
    from tamis.proof.equivalence import compute_equivalent, data_equivalent, nats_per_token
    from tamis.proof.scaling import Unreliable, from_json

    options = prepared.options
    size = options.sizes[-1]
    encoder = arm_runs.encoder_of(options.encoder)
    parameters = arm_runs.shape(size, encoder, options.context).parameters
    d = comparison.differences[0]
    # of the text that the difference is measured on
    texts = [text for name in prepared.primary for text in prepared.texts[name].texts]
    per_token = sum(len(one.encode()) for one in texts) / sum(len(one) for one in encoder.encode(texts))
    gains = [nats_per_token(-float(one), per_token) for one in mean_draws(d.differences)]
    try:
        body = json.loads(law.read_text(encoding="utf-8"))
        fit = from_json(body["params"]["law"] if "params" in body else body)  # of `scale run`, or of `scale fit`
        worth = [
            kind(fit, parameters, prepared.tokens[size], nats_per_token(-d.value, per_token), gains=gains)
            for kind in (data_equivalent, compute_equivalent)
        ]
    except Unreliable as error:
        return [], f"no law: {law} is unreliable: {error}"
    except OSError as error:
        raise BadDesign(f"--law {law}: {error.strerror}; name a file of `tamis scale fit --out`, or `here`") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BadDesign(f"--law {law}: it is no fit of `tamis scale fit --out`: {error}") from None
    return worth, ""


def finite(body: Any) -> Any:
    """What is not a number is null, so that any reader of JSON can read it."""
    if isinstance(body, dict):
        return {key: finite(value) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [finite(value) for value in body]
    if isinstance(body, float) and not np.isfinite(body):
        return None
    return body
