"""Which of two corpora makes the better model, by a rule fixed beforehand.

Both arms train the same model from the same initialization on equal tokens (one tokenizer, so equal FLOPs too), paired
by seed; a seed also draws the order of windows. Four pairs are trained, the rule looks, and unless it has decided goes
on to eight and twelve. The largest size decides; smaller ones say whether their ranking could have been trusted.

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
from tamis.proof.comparison import Comparison, compare
from tamis.proof.comparison import Measured as Values
from tamis.proof.equivalence import Equivalent
from tamis.proof.ladder import Trust, decision_accuracy
from tamis.proof.preparing import REFERENCE, BadDesign, Options, Prepared, prepare
from tamis.proof.rule import Rule
from tamis.proof.trained_on import Texts
from tamis.whole import write_atomic

LOOKS = (4, 8, 12)
# Standard deviation of paired differences on the reference in bits per byte, where no earlier proof of the workspace
# tells: .010 was seen on the demo's raw and main at 1.5 million tokens, .047 on web pages at .3 million, so it falls
# about as tokens to the power -.7 (docs/proving.md). Rounded up; other sizes were not measured.
SCATTER = 0.015
SCATTER_TOKENS, SCATTER_POWER = 1_500_000, 0.7
UNIT = "bit/byte"


class SameText(ValueError, SaidNo):
    """Both arms read the same documents."""


@dataclass(frozen=True)
class Proof:
    """What came out. comparisons: by size; the largest decides. trust: of smaller sizes. equivalents: what the
    difference is worth by a law, or `no_law` says why there is none. cost: CPU seconds of all runs of this proof."""

    prepared: Prepared
    rule: Rule
    announced: str
    comparisons: Mapping[str, Comparison]
    results: list[Result]
    trust: list[Trust]
    equivalents: list[Equivalent]
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
        return sum(one.cpu_seconds for one in self.results)

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
            "primary": list(prepared.primary),
            "announced": self.announced,
            "comparisons": {size: one.to_json() for size, one in self.comparisons.items()},
            "answer": self.deciding.decision.answer,
            "trust": [{**vars(one), "clear": one.clear if one.clear_pairs else None} for one in self.trust],
            "equivalents": [vars(one) for one in self.equivalents],
            "no_law": self.no_law,
            "warnings": self.warnings,
            "runs": [vars(one) for one in self.results],
            "reused": self.reused,
            "cpu_seconds": self.cpu_seconds,
            "seconds": self.seconds,
            **self.extra,
        }  # fmt: skip

    def parameters(self, size: str) -> int:
        options = self.prepared.options
        return arm_runs.shape(size, arm_runs.encoder_of(options.encoder), options.context).parameters


def looks(seeds_most: int) -> tuple[int, ...]:
    """4, 8, 12, and so on by fours, the last one at `seeds_most`.

    >>> looks(12), looks(6), looks(2)
    ((4, 8, 12), (4, 6), (2,))
    """
    if seeds_most < 2:
        raise BadDesign(f"--seeds-most {seeds_most}: a difference has no scatter with fewer than 2 pairs")
    return (*range(4, seeds_most, 4), seeds_most)


def prove(
    a: Texts, b: Texts, options: Options, work: Path, *, seeds_most: int = LOOKS[-1], processes: int = 2,
    out: Path | None = None, law: Path | None = None, say: Callable[[str], None] = lambda line: None,
) -> Proof:  # fmt: skip
    """Trains, measures and decides. say: told what goes on, the design and its cost before anything is spent."""
    import time

    from tamis.models.many import many

    began = time.monotonic()
    prepared = prepare({"A": a, "B": b}, options, work, out=out, say=say)
    if len({one.sha256 for one in prepared.streams.values()}) == 1:
        raise SameText(f"{a.name} and {b.name} hold the same documents to train on: there is nothing to prove")
    rule = Rule(metric=primary_name(prepared), looks=looks(seeds_most))
    size = options.sizes[-1]
    scatter, where = known_scatter(work, size, prepared.tokens[size], prepared.folder)
    announced = rule.announce(scatter, UNIT, where)
    warnings = [*prepared.warnings, *_announce_once(prepared.folder, rule)]
    for line in [*plan(prepared, rule, processes), *announced.splitlines(), *(f"warning   {one}" for one in warnings)]:
        say(line)
    reused = 0
    comparisons: dict[str, Comparison] = {}
    results: list[Result] = []
    for count in rule.looks:
        jobs = [prepared.job(arm, size, seed) for seed in range(1, count + 1) for size in options.sizes for arm in "AB"]
        known = [arm_runs.done(job) for job in jobs]
        waiting = [job for job, one in zip(jobs, known, strict=True) if one is None]
        if not results:
            reused = len(jobs) - len(waiting)
        fresh = iter(many(arm_runs.perform, waiting, processes, title="runs") if waiting else [])
        results = [one if one is not None else next(fresh) for one in known]
        comparisons = {one: _compare(prepared, results, one, rule) for one in options.sizes}
        decision = comparisons[size].decision
        if decision.answer != "more" or count == rule.looks[-1]:
            break
        d = comparisons[size].differences[0]
        say(
            f"look      {count} pairs: {d.value:+.4f} {UNIT} [{decision.low:+.4f}, {decision.high:+.4f}] at the level "
            f"of this look; not decided, going on to {decision.look + decision.more}"
        )
    trust = _trust(prepared, results)
    equivalents, no_law = _worth(prepared, comparisons[size], law)
    proof = Proof(
        prepared, rule, announced, comparisons, results, trust, equivalents, no_law, warnings, reused,
        time.monotonic() - began,
    )  # fmt: skip
    write_atomic(prepared.folder / "proof.json", json.dumps(finite(proof.to_json()), indent=1) + "\n")
    return proof


def plan(prepared: Prepared, rule: Rule, processes: int) -> list[str]:
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
    for size in options.sizes:
        config = arm_runs.shape(size, arm_runs.encoder_of(options.encoder), options.context)
        tokens = prepared.tokens[size]
        epochs = ", ".join(f"{k} {one.epochs(tokens):.2f} epochs" for k, one in prepared.streams.items())
        lines.append(
            f"{'models' if size == options.sizes[0] else '':<9} {size}: {config.parameters:,} parameters without "
            f"embeddings, {tokens:,} tokens a run ({epochs}), {config.flops_per_token * tokens:.2e} FLOP each"
        )
    first, last = rule.looks[0], rule.looks[-1]
    minutes = [
        prepared.cpu_seconds([prepared.job(arm, size, 1) for size in options.sizes for arm in prepared.arms]) * n / 60
        for n in (first, last)
    ]
    lines.append(
        f"cost      about {minutes[0]:.1f} CPU minutes for {first} pairs, {minutes[1]:.1f} for {last}; on {processes} "
        f"processes {minutes[0] / processes:.1f} and {minutes[1] / processes:.1f} minutes, less what is there already"
    )
    return lines


def primary_name(prepared: Prepared) -> str:
    return metric_name(REFERENCE) if not prepared.weaker else "bits per byte, mean of the held-out texts"


def metric_name(text: str, domain: str = "") -> str:
    """
    >>> metric_name("reference", "books"), metric_name("A")
    ('bits per byte, books', 'bits per byte, held out of A')
    """
    if domain:
        return f"bits per byte, {domain}"
    return f"bits per byte, {text if text == REFERENCE else f'held out of {text}'}"


def values_of(prepared: Prepared, results: Sequence[Result], arm: str, size: str) -> dict[str, Values]:
    """Every metric of an arm at a size, the primary one first."""
    mine = [one for one in results if one.arm == arm and one.size == size]
    found: dict[str, dict[int, float]] = {primary_name(prepared): {}}
    for one in mine:
        if prepared.weaker:
            found[primary_name(prepared)][one.seed] = float(np.mean([one.bits[t][""] for t in prepared.primary]))
        for text, domains in one.bits.items():
            found.setdefault(metric_name(text), {})[one.seed] = domains[""]
        for domain, value in one.bits.get(REFERENCE, {}).items():
            if domain and len(one.bits[REFERENCE]) > 2:
                found.setdefault(metric_name(REFERENCE, domain), {})[one.seed] = value
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
    runs were nearest in length, else the default."""
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
            found.append((abs(np.log(length / tokens)), row["sd"], f"{row['n']} pairs of {path.parent.name}"))
    if found:
        _, scatter, where = min(found)
        return scatter, where
    shorter = max(1.0, SCATTER_TOKENS / tokens)
    return SCATTER * shorter**SCATTER_POWER, "a default from other corpora; the next proof here knows better"


def _announce_once(folder: Path, rule: Rule) -> list[str]:
    """The rule stands when the first run is trained; another one later is said."""
    path = folder / "announced.json"
    now = {"metric": rule.metric, "looks": list(rule.looks), "alpha": rule.alpha}
    if not path.exists():
        write_atomic(path, json.dumps(now) + "\n")
        return []
    before = json.loads(path.read_text(encoding="utf-8"))
    if before == now:
        return []
    return [
        f"this proof was announced with looks at {', '.join(map(str, before['looks']))} seeds and is now read with "
        f"{', '.join(map(str, rule.looks))}: looks chosen after seeing results err more often than {rule.alpha:g}"
    ]


def _trust(prepared: Prepared, results: Sequence[Result]) -> list[Trust]:
    sizes = prepared.options.sizes
    if len(sizes) < 2:
        return []
    name = primary_name(prepared)
    encoder = arm_runs.encoder_of(prepared.options.encoder)
    return decision_accuracy(
        {
            float(arm_runs.shape(size, encoder, prepared.options.context).parameters): {
                prepared.arms[arm].name: list(values_of(prepared, results, arm, size)[name].values.values())
                for arm in "AB"
            }
            for size in sizes
        }
    )


def _worth(prepared: Prepared, comparison: Comparison, law: Path | None) -> tuple[list[Equivalent], str]:
    """By a law of `tamis scale fit --out` or `tamis scale run`; never by an unreliable one."""
    if law is None:
        return [], "no law given (--law FIT.json of `tamis scale run` on the same kind of text)"
    from tamis.proof.equivalence import compute_equivalent, data_equivalent, nats_per_token
    from tamis.proof.metric import resampled_sums
    from tamis.proof.scaling import Unreliable, from_json

    options = prepared.options
    size = options.sizes[-1]
    parameters = arm_runs.shape(size, arm_runs.encoder_of(options.encoder), options.context).parameters
    d = comparison.differences[0]
    per_token = prepared.streams["A"].bytes_per_token
    draws = resampled_sums(d.differences[None])[0] / d.n
    gains = [nats_per_token(-float(one), per_token) for one in draws]
    try:
        body = json.loads(law.read_text(encoding="utf-8"))
        fit = from_json(body["params"]["law"] if "params" in body else body)  # of `scale run`, or of `scale fit`
        worth = [
            kind(fit, parameters, prepared.tokens[size], nats_per_token(-d.value, per_token), gains=gains)
            for kind in (data_equivalent, compute_equivalent)
        ]
    except Unreliable as error:
        return [], f"no law: {law} is unreliable: {error}"
    except (KeyError, ValueError) as error:
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
