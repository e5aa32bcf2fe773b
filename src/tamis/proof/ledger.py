"""The ledger of a recipe: one rule left out at a time, and what the models say of the text that it removes.

Models are trained on the whole recipe, and on the recipe without one rule: the same training, in which the share of
the sequences that the returning text has of the larger corpus is replaced by sequences of it (`small_runs.Replaced`).
So both arms see the same in every other place, and differ in what the rule decides; pairs are by seed.

Before any rule is judged, three things are trained: the whole recipe; a placebo, in which a tenth of the sequences is
replaced by others of the whole recipe, whose scatter is that of nothing; and the whole recipe at half the tokens. What
the design can see follows: the smallest difference at this scatter, and by the slope of the loss over tokens, the
share of text that would have to be worth nothing to make that difference. Rules that remove less are not trained but
listed as too little to measure.

Decisions: a two-sided paired t-test a rule, corrected for the number of rules by Holm (1979); the exact permutation p
stands beside it, and cannot be small with few seeds.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.corpora import Corpus
from tamis.errors import SaidNo
from tamis.models.data import ByteEncoder
from tamis.proof.comparison import Difference, difference, holm
from tamis.proof.left_out import LeftOut, Whole, leave_out, returned
from tamis.proof.metric import Floats
from tamis.proof.small_runs import Job, Outcome, Shape, outcomes, write_held
from tamis.whole import write_atomic

PLACEBO = 0.1  # share of the sequences that the placebo draws anew
HALF_SEEDS = 2
HELD_SHARE, HELD_SEED = 0.02, 17
HELD_BYTES = 150_000
LEVEL, POWER = 0.05, 0.8
# Of the paired differences of the placebo, in bits per byte: .012 on the demo's crawl, .008 on web pages
# (docs/rule-ledger.md).
USUAL_SCATTER = 0.01
WIDTHS = {"0.01M": 16, "0.05M": 32, "0.2M": 64, "0.8M": 128}
STREAM_ROOM = 1.02
TOKENS = 150_000


class NothingToJudge(ValueError, SaidNo):
    """The corpus has no rule that dropped anything."""


@dataclass(frozen=True)
class Sees:
    """What the design can see. scatter: standard deviation of the paired differences in bits per byte, and where it
    is from; effect: the smallest difference that is shown `POWER` of the time at the level of Holm's first step;
    slope: how much lower the loss is for e times more tokens; share: of the text, if worth nothing, that makes such a
    difference (1 where none does)."""

    scatter: float
    where: str
    seeds: int
    rules: int
    effect: float
    slope: float | None
    share: float | None

    def __str__(self) -> str:
        said = (
            f"can see   a change of {self.effect:.4f} bits per byte {POWER:.0%} of the time: {self.seeds} pairs by "
            f"seed, {LEVEL:g} over {self.rules} rules (Holm), scatter {self.scatter:.4f} ({self.where})"
        )
        if self.share is not None and self.slope is not None:
            said += (
                f"\n          that is {self.share:.1%} of the text, were it worth nothing: the loss falls by "
                f"{self.slope:.3f} for e times more tokens"
            )
        return said


@dataclass(frozen=True)
class Row:
    """One rule. share: of the corpus without it that is text which it alone removes. change: loss without the rule
    less loss with it, None where it was not trained (`why`); p: of the paired t-test, p_holm: corrected."""

    rule: str
    where: str
    fails: int
    documents: int
    gone: int
    tokens: int
    share: float
    change: Difference | None
    domains: dict[str, float]
    p: float | None
    p_holm: float | None
    cpu: float | None
    groups: tuple[str, ...]
    why: str = ""

    @property
    def says(self) -> str:
        if self.change is None or self.p_holm is None:
            return self.why
        if self.p_holm >= LEVEL:
            return f"no change shown; {self.change.could_see:.4f} would be seen 4 times in 5 (this rule alone)"
        return "the rule helps" if self.change.value > 0 else "the rule hurts"


@dataclass(frozen=True)
class Ledger:
    """The ledger of corpus `name`. rows: measured rules by change, the most helpful first, then the others by tokens.
    placebo: its differences; half: loss of the whole recipe at half the tokens."""

    name: str
    setting: dict[str, Any]
    sees: Sees
    rows: list[Row]
    placebo: Difference
    full: list[float]
    held_out: str
    reused: int
    trained: int
    cpu_seconds: float
    folder: Path

    def to_json(self) -> dict[str, Any]:
        def of(one: Difference | None) -> dict[str, Any] | None:
            return None if one is None else {**vars(one), "differences": one.differences.tolist()}

        return {
            "corpus": self.name,
            "setting": self.setting,
            "sees": vars(self.sees),
            "rules": [{**vars(row), "change": of(row.change), "says": row.says} for row in self.rows],
            "placebo": of(self.placebo),
            "full_recipe": self.full,
            "held_out": self.held_out,
            "models": {"trained": self.trained, "reused": self.reused, "cpu_seconds": self.cpu_seconds},
        }


@dataclass(frozen=True)
class _Back:
    """Fulfils `trained_on.Texts`: the documents that come back without one rule."""

    whole: Whole
    rule: LeftOut

    @property
    def name(self) -> str:
        return f"without {self.rule.rule}"

    def batches(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        for ids, texts, _ in returned(self.whole, [self.rule]):
            yield ids, texts

    def identity(self) -> dict[str, Any]:
        return {"kind": "left out", "rule": self.rule.rule, "back": blake2b(self.rule.back.tobytes()).hexdigest()}


def run(
    work: Path,
    name: str,
    *,
    seeds: int = 6,
    tokens: int = TOKENS,
    size: str = "0.05M",
    references: Sequence[str] = (),
    least_share: float | None = None,
    only: Sequence[str] = (),
    processes: int = 2,
    out: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Ledger:
    """Trains and judges. name: `[WORK:]NAME`. tokens: of each training; size: of WIDTHS; references: as `tamis prove`
    takes them, none: this machine's. least_share: train rules that remove at least this share, instead of what the
    design can see; only: these rules, whatever their share. out: where models are stored, `proofs/rules-NAME` if None.
    say: for each line as it is known. Raises NothingToJudge, NotHeldOut, WrongUse."""
    from tamis.proof.trained_on import TrainedOn

    began = time.process_time()
    if size not in WIDTHS:
        raise NothingToJudge(f"there is no size {size!r}; there are {', '.join(WIDTHS)}")
    texts = TrainedOn(work, name)
    if texts.corpus is None:
        raise NothingToJudge(f"`{name}` is the raw text: it has no rules. Name a corpus that a recipe made")
    whole = leave_out(texts.corpus)
    unknown = sorted(set(only) - {rule.rule for rule in whole.rules})
    if unknown:
        raise NothingToJudge(f"no rule {', '.join(unknown)} dropped anything in {name}")
    rules = [rule for rule in whole.rules if len(rule.back) and (not only or rule.rule in only)]
    if not rules:
        raise NothingToJudge(f"no rule of {name} alone drops a document: without any of them it is the same corpus")
    folder = out or texts.work.file(f"proofs/rules-{texts.corpus.corpus}")
    held = _held_out(whole, texts, rules, references, work, folder)
    say(held["said"])
    shape = Shape(4, WIDTHS[size])
    full = _stream(texts, folder / "full.u2", tokens)
    shares = {rule.rule: _share(whole, rule) for rule in rules}
    base = {"tokens": Path(full.path), "held": held["paths"], "shape": shape, "train": tokens}
    reference = "reference"

    first = sees(USUAL_SCATTER, "usual; measured next", seeds, len(rules), None)
    say(
        f"design    {size} parameters ({shape.config().parameters:,} without embedding and head), {tokens:,} tokens "
        f"each, {seeds} seeds; whole recipe, placebo, and each rule that removes enough\n{first}"
    )
    jobs = [Job(**base, seed=seed, named={"arm": "full"}) for seed in range(seeds)]
    jobs += [
        Job(**base, seed=seed, other=Path(full.path), share=PLACEBO, named={"arm": "placebo"}) for seed in range(seeds)
    ]
    halves = min(HALF_SEEDS, seeds)
    jobs += [Job(**{**base, "train": tokens // 2}, seed=seed, named={"arm": "half"}) for seed in range(halves)]
    found = outcomes(jobs, folder / "models", processes, "whole recipe")
    whole_bits = _bits(found[:seeds], reference)
    placebo = difference("bits per byte", whole_bits, _bits(found[seeds : 2 * seeds], reference), "bit/byte", "lower")
    slope = float(np.mean(_bits(found[2 * seeds :], reference) - whole_bits[:halves])) / math.log(2)
    measured, trained = _chosen(rules, shares, placebo.sd, seeds, slope, least_share, bool(only))
    least = measured.share if least_share is None else least_share
    say(str(measured))
    arms: list[list[Outcome]] = []
    if trained:
        jobs = []
        for rule in trained:
            back = _stream(_Back(whole, rule), folder / f"without-{rule.rule}.u2", tokens * shares[rule.rule])
            jobs += [
                Job(**base, seed=seed, other=Path(back.path), share=shares[rule.rule], named={"without": rule.rule})
                for seed in range(seeds)
            ]
        done = outcomes(jobs, folder / "models", processes, "rules")
        arms = [done[at : at + seeds] for at in range(0, len(done), seeds)]
        found += done
    costs = signal_costs(whole.corpus, sorted({group for rule in rules for group in rule.groups}))
    rows = _rows(whole, rules, trained, arms, whole_bits, found[:seeds], shares, costs, least)
    setting = {
        "size": size, "parameters": shape.config().parameters, "tokens": tokens, "seeds": seeds,
        "batch": f"{jobs[0].batch} x {jobs[0].context}", "documents": whole.documents, "unique_tokens": full.unique,
        "epochs": round(full.epochs(tokens), 3), "reference": held["domains"],
    }  # fmt: skip
    ledger = Ledger(
        name, setting, measured, rows, placebo, whole_bits.tolist(), held["said"],
        sum(one.reused for one in found), sum(not one.reused for one in found),
        sum(one.cpu_seconds for one in found) + time.process_time() - began, folder,
    )  # fmt: skip
    write_atomic(folder / "ledger.json", json.dumps(ledger.to_json(), indent=1, default=str) + "\n")
    return ledger


def sees(scatter: float, where: str, seeds: int, rules: int, slope: float | None) -> Sees:
    """What `seeds` pairs show of `rules` rules. Source of the power: the noncentral t distribution."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    edge = float(t.isf(LEVEL / (2 * max(1, rules)), seeds - 1))
    size = float(brentq(lambda e: nct.sf(edge, seeds - 1, e * math.sqrt(seeds)) - POWER, 0.0, 20 * edge))
    effect = scatter * size
    share = None
    if slope is not None:
        # without a share s of useful text the loss is that of (1 - s) x the tokens: slope x -ln(1 - s) higher
        share = 1 - math.exp(-effect / slope) if slope > 0 else 1.0
    return Sees(scatter, where, seeds, rules, effect, slope, share)


def _chosen(
    rules: list[LeftOut], shares: dict[str, float], scatter: float, seeds: int, slope: float, least: float | None,
    every: bool,
) -> tuple[Sees, list[LeftOut]]:  # fmt: skip
    """What the design sees, and the rules to train: the most of them of which each removes enough text to be seen
    among so many (more tests see less)."""
    where = f"of the placebo, {PLACEBO:.0%} drawn anew"
    order = sorted(rules, key=lambda rule: -shares[rule.rule])
    for many in range(len(order), 0, -1):
        found = sees(scatter, where, seeds, many, slope)
        wanted = least if least is not None else found.share
        if every or (wanted is not None and shares[order[many - 1].rule] >= wanted):
            chosen = {rule.rule for rule in order[:many]}
            return found, [rule for rule in rules if rule.rule in chosen]
    return sees(scatter, where, seeds, 1, slope), []


def signal_costs(corpus: Corpus, groups: Sequence[str]) -> dict[str, float]:
    """CPU seconds to measure each signal group on the corpus's documents, from a run of it alone on the first shard
    (reading, edits and writing included), scaled by documents. Groups of a recipe's own are not measured."""
    from tamis.signals import GROUPS
    from tamis.signals.task import signals_task

    edits = {name: path for name in corpus.edit_groups() if (path := corpus.edits(name, 0)) is not None}
    sizes = [corpus.documents(shard).stat().st_size for shard in range(corpus.shards)]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for group in groups:
            if group not in GROUPS or GROUPS[group].after:
                continue
            params = {"groups": [group], "edits": {name: at for at, name in enumerate(edits, 1)}}
            began = time.process_time()
            signals_task(_Quiet(), params, [corpus.documents(0), *edits.values()], [Path(folder) / f"{group}.parquet"])
            found[group] = (time.process_time() - began) * sum(sizes) / max(1, sizes[0])
    return found


class _Quiet:
    """A task's context where nobody listens."""

    suspects: frozenset[str] = frozenset()

    def heartbeat(self, what: str) -> None: ...

    def advance(self, amount: int) -> None: ...


def _rows(
    whole: Whole, rules: list[LeftOut], trained: list[LeftOut], arms: list[list[Outcome]], full: Floats,
    full_found: list[Outcome], shares: dict[str, float], costs: dict[str, float], least: float | None,
) -> list[Row]:  # fmt: skip
    changes = [difference("bits per byte", full, _bits(arm, "reference"), "bit/byte", "lower") for arm in arms]
    raw = [paired_t(one.differences) for one in changes]
    corrected = holm(raw) if raw else []
    by_rule = {rule.rule: at for at, rule in enumerate(trained)}
    measured: list[Row] = []
    others: list[Row] = []
    for rule in whole.rules:
        at = by_rule.get(rule.rule)
        change = None if at is None else changes[at]
        why = "" if at is not None else _why(rule, rules, shares, least)
        row = Row(
            rule.rule, rule.where, rule.fails, len(rule.back), len(rule.gone), rule.bytes_back + len(rule.back),
            shares.get(rule.rule, 0.0), change, {} if at is None else _domains(full_found, arms[at]),
            None if at is None else raw[at], None if at is None else corrected[at],
            _cost(rule, costs),
            rule.groups, why,
        )  # fmt: skip
        (others if change is None else measured).append(row)
    measured.sort(key=lambda row: -(row.change.value if row.change else 0.0))
    others.sort(key=lambda row: -row.tokens)
    return measured + others


def _cost(rule: LeftOut, costs: dict[str, float]) -> float | None:
    known = bool(rule.groups) and all(group in costs for group in rule.groups)
    return sum(costs[group] for group in rule.groups) if known else None


def _why(rule: LeftOut, rules: list[LeftOut], shares: dict[str, float], least: float | None) -> str:
    if not len(rule.back):
        return "nothing comes back: other rules drop the same documents"
    if rule not in rules:
        return "not asked for"
    return f"too little to measure: {shares[rule.rule]:.2%} of the text, {least or 0:.2%} is needed"


def _domains(full: list[Outcome], arm: list[Outcome]) -> dict[str, float]:
    """Mean change by domain of the reference."""
    names = full[0].domains.get("reference", {})
    return {
        name: float(np.mean([b.domains["reference"][name] - a.domains["reference"][name]
                             for a, b in zip(full, arm, strict=True)]))
        for name in names
    }  # fmt: skip


def paired_t(differences: Floats) -> float:
    """Two-sided p of a paired t-test; 1 where nothing scatters."""
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue) if float(np.std(differences)) > 0 else 1.0


def _share(whole: Whole, rule: LeftOut) -> float:
    back = rule.bytes_back + len(rule.back)
    return back / (whole.bytes - rule.bytes_gone + whole.documents - len(rule.gone) + back)


def _bits(found: Sequence[Outcome], text: str) -> Floats:
    return np.array([one.bits[text] for one in found])


def _stream(texts: Any, path: Path, most: float) -> Any:
    from tamis.proof import streams

    # the file's name says whose it is: other text, another file
    tag = blake2b(json.dumps([texts.identity(), round(most)], sort_keys=True).encode(), digest_size=6).hexdigest()
    return streams.write(
        texts, path.with_name(f"{path.stem}-{tag}{path.suffix}"), ByteEncoder(), most=most * STREAM_ROOM + 4096,
        share=HELD_SHARE, seed=HELD_SEED,
    )  # fmt: skip


def _held_out(
    whole: Whole, texts: Any, rules: list[LeftOut], references: Sequence[str], work: Path, folder: Path
) -> dict[str, Any]:
    """The reference (primary) and the text held out of the corpus, proven to share no n-gram with what is trained on:
    the corpus, and everything that comes back."""
    from tamis.proof import references as offered
    from tamis.proof.holdout import Candidates, hold_out
    from tamis.proof.streams import training_texts

    tag = {
        "texts": texts.identity(),
        "references": list(references),
        "back": [_Back(whole, r).identity() for r in rules],
    }
    key = blake2b(json.dumps(tag, sort_keys=True).encode(), digest_size=6).hexdigest()
    note = folder / f"held-{key}.json"
    names = ("reference", "own")
    paths = {one: folder / f"held-{key}-{one}.jsonl" for one in names}
    if note.exists():
        body = json.loads(note.read_text(encoding="utf-8"))
        return {**body, "paths": {one: path for one, path in paths.items() if one in body["kept"]}}
    reference = offered.candidates(references, work, HELD_BYTES) if references else offered.of_this_machine(HELD_BYTES)
    own = _set_aside(texts)
    if not len(reference):
        raise NothingToJudge("this machine has no reference text that is in no corpus: give one by --reference FILE")
    found = hold_out(
        {"reference": reference, "own": own} if len(own) else {"reference": reference},
        {
            "the corpus": lambda: (text for _, text in training_texts(texts, HELD_SHARE, HELD_SEED)),
            "what comes back": lambda: (text for _, text, _ in returned(whole, rules)),
        },
        limit_bytes=HELD_BYTES,
    )
    kept: dict[str, Candidates] = dict(found.texts)
    for one, text in kept.items():
        write_held(paths[one], text.ids, text.texts, text.domains)
    body = {"said": str(found.proof), "kept": sorted(kept), "domains": sorted(set(kept["reference"].domains))}
    write_atomic(note, json.dumps(body) + "\n")
    return {**body, "paths": {one: paths[one] for one in kept}}


def _set_aside(texts: Any) -> Any:
    from tamis.proof.holdout import Candidates, held

    ids: list[str] = []
    bodies: list[str] = []
    for names, found in texts.batches():
        mask = pa.array(held(names, HELD_SHARE, HELD_SEED))
        ids += names.filter(mask).to_pylist()
        bodies += found.filter(mask).to_pylist()
        if sum(map(len, bodies)) > 3 * HELD_BYTES:
            break
    return Candidates.of(ids, bodies, "held out of the corpus")


def render(ledger: Ledger) -> str:
    """For people: the table, what was not trained, what it cost."""
    s = ledger.setting
    width = max([len(row.rule) for row in ledger.rows] + [4])
    lines = [
        f"question  what is each rule of {ledger.name} worth?",
        ledger.held_out,
        f"models    {s['parameters']:,} parameters, {s['tokens']:,} tokens each ({s['epochs']:g} epochs of the "
        f"corpus), {s['seeds']} pairs by seed; {ledger.trained} trained, {ledger.reused} reused",
        str(ledger.sees),
        f"placebo   {ledger.placebo.value:+.4f} [{ledger.placebo.low:+.4f}, {ledger.placebo.high:+.4f}] bits per byte "
        f"for {PLACEBO:.0%} of the same text drawn anew; the whole recipe has {np.mean(ledger.full):.4f}",
        "",
        f"{'rule':<{width}} {'fails':>8} {'alone':>7} {'tokens':>10} {'share':>6} {'change without it':>17}  "
        f"{'95% interval':^20} {'p, Holm':>7}  {'CPU s':>6}",
    ]
    for row in ledger.rows:
        cells = f"{row.rule:<{width}} {row.fails:>8,} {row.documents:>7,} {row.tokens:>10,} {row.share:>6.1%}"
        cpu = "-" if row.cpu is None else f"{row.cpu:.1f}"
        if row.change is None:
            lines.append(f"{cells} {'-':>17}  {'':^20} {'':>7}  {cpu:>6}  {row.why}")
        else:
            interval = f"[{row.change.low:+.4f}, {row.change.high:+.4f}]"
            lines.append(f"{cells} {row.change.value:>+17.4f}  {interval:^20} {row.p_holm:>7.3f}  {cpu:>6}  {row.says}")
    lines += [
        "",
        "fails     documents that the rule drops, with others or alone; alone: they come back without it, with these "
        "tokens (bytes)",
        "change    bits per byte on the reference without the rule less with it: above 0, the rule helps",
        "CPU s     to measure the rule's signals on the workspace; rules of one signal group share it",
        f"cost      {ledger.cpu_seconds / 60:.1f} CPU minutes of training; evidence {ledger.folder}",
    ]
    return "\n".join(lines)
