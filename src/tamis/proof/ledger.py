"""The ledger of a recipe: one rule left out at a time, and what the models say of the text that it removes.

Models are trained on the whole recipe, and on the recipe with the text that one rule alone takes away: the same
training, in which the share of the sequences that the returning text has of the larger corpus is replaced by sequences
of it (`small_runs.Replaced`). So both arms see the same in every other place, and differ in what the rule decides;
pairs are by seed. Kept duplicates that would lose to a returning document stay in.

Before any rule is judged, three things are trained: the whole recipe; a placebo, in which a tenth of the sequences is
replaced by text of the same corpus that the run does not read, whose scatter is that of nothing; and the whole recipe
at half the tokens. What the design can see follows: the smallest difference at this scatter, and by the slope of the
loss over tokens, the share of text that would have to be worth nothing to make that difference. Rules that remove less
are not trained but listed as too little to measure.

One look: the seeds and the rules asked for are announced in the folder before anything is trained, and the same
question with other seeds or rules is refused once it was judged, since each further look would find something where
nothing is.
"""

from __future__ import annotations

import heapq
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.corpus.order import draw, id_words
from tamis.errors import SaidNo, WrongUse
from tamis.models.data import ByteEncoder
from tamis.proof.comparison import Difference, difference
from tamis.proof.holdout import Candidates, NotHeldOut, held, hold_out
from tamis.proof.judged_rules import PLACEBO, Row, Sees, bits, chosen, rows, sees
from tamis.proof.left_out import LeftOut, Whole, leave_out, returned, sources_hash
from tamis.proof.signal_costs import signal_costs
from tamis.proof.small_runs import BATCH, CONTEXT, Job, Shape, outcomes, write_held
from tamis.proof.streams import NothingToTrainOn
from tamis.whole import write_atomic

# Part of the identity of what is stored here; models are stored under what decides them.
VERSION = 2
HALF_SEEDS = 2
HELD_SHARE, HELD_SEED = 0.02, 17
HELD_BYTES = 150_000
# Of the paired differences of the placebo, in bits per byte: .013 on the demo's crawl, .019 on web pages
# (docs/rule-ledger.md).
USUAL_SCATTER = 0.015
WIDTHS = {"0.01M": 16, "0.05M": 32, "0.2M": 64, "0.8M": 128}
STREAM_ROOM = 1.02
TOKENS = 150_000
REFERENCE, OWN = "reference", "own"
LEAST_STEPS = 8


class NothingToJudge(ValueError, SaidNo):
    """The corpus has no rule that dropped anything, or there is no text to judge by."""


class BadQuestion(ValueError, WrongUse):
    """A ledger that cannot be made as asked."""


@dataclass(frozen=True)
class Ledger:
    """The ledger of corpus `name`. rows: measured rules by change, the most helpful first, then the others by tokens.
    placebo: its differences; placebo_new: share of the text it puts in that the run has not read, below 1 where the
    corpus is too small. full: bits per byte of the whole recipe, by seed. others: ledgers of this corpus judged in
    `folder` beside this one."""

    name: str
    setting: dict[str, Any]
    sees: Sees
    rows: list[Row]
    placebo: Difference
    placebo_new: float
    full: list[float]
    held_out: str
    reused: int
    trained: int
    cpu_seconds: float
    folder: Path
    others: int = 0

    def to_json(self) -> dict[str, Any]:
        def of(one: Difference | None) -> dict[str, Any] | None:
            return None if one is None else {**vars(one), "differences": one.differences.tolist()}

        return {
            "corpus": self.name,
            "setting": self.setting,
            "sees": vars(self.sees),
            "rules": [{**vars(row), "change": of(row.change), "says": row.says} for row in self.rows],
            "placebo": of(self.placebo),
            "placebo_new": self.placebo_new,
            "full_recipe": self.full,
            "held_out": self.held_out,
            "other_ledgers": self.others,
            "models": {"trained": self.trained, "reused": self.reused, "cpu_seconds": self.cpu_seconds},
        }


@dataclass(frozen=True)
class _Back:
    """Fulfils `trained_on.Texts`: the documents that come back without one rule."""

    whole: Whole
    rule: LeftOut
    sources: str  # `left_out.sources_hash`

    @property
    def name(self) -> str:
        return f"without {self.rule.rule}"

    def batches(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        for ids, texts, _ in returned(self.whole, [self.rule]):
            yield ids, texts

    def identity(self) -> dict[str, Any]:
        back = blake2b(self.rule.back.tobytes()).hexdigest()
        return {"kind": "left out", "rule": self.rule.rule, "back": back, "sources": self.sources}


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
    say: for each line as it is known. Raises NothingToJudge, BadQuestion, NotHeldOut, BadReference."""
    from tamis.proof.trained_on import TrainedOn

    began = time.process_time()
    if size not in WIDTHS:
        raise BadQuestion(f"there is no size {size!r}; there are {', '.join(WIDTHS)}")
    if seeds < 2:
        raise BadQuestion(f"{seeds} pairs have no scatter: at least 2 seeds are needed")
    if tokens < LEAST_STEPS * BATCH * CONTEXT:
        raise BadQuestion(f"{tokens:,} tokens are fewer than {LEAST_STEPS} steps of {BATCH * CONTEXT:,}")
    texts = TrainedOn(work, name)
    if texts.corpus is None:
        raise BadQuestion(f"`{name}` is the raw text: it has no rules. Name a corpus that a recipe made")
    whole = leave_out(texts.corpus)
    unknown = sorted(set(only) - {rule.rule for rule in whole.rules})
    if unknown:
        raise BadQuestion(f"no rule {', '.join(unknown)} dropped anything in {name}")
    rules = [rule for rule in whole.rules if len(rule.back) and (not only or rule.rule in only)]
    if not rules:
        raise NothingToJudge(f"no rule of {name} alone drops a document: without any of them it is the same corpus")
    folder = out or texts.work.file(f"proofs/rules-{texts.corpus.corpus}")
    sources = sources_hash(whole.corpus)
    backs = {rule.rule: _Back(whole, rule, sources) for rule in rules}
    text = _held_out(whole, texts, list(backs.values()), references, work, folder)
    note = announce(
        folder, {"corpus": texts.identity(), "reference": text["reference"], "tokens": tokens, "size": size,
         "sources": sources},
        {"seeds": seeds, "only": sorted(only), "least_share": least_share},
    )  # fmt: skip
    say(text["said"])
    shape = Shape(4, WIDTHS[size])
    # beside what a run reads, the placebo needs text that it does not
    full = _stream(texts, folder / "full.u2", tokens * (1 + PLACEBO))
    if full.tokens <= BATCH * CONTEXT:
        raise NothingToJudge(
            f"{name} has {full.tokens:,} tokens to train on, fewer than one step of {BATCH * CONTEXT:,}"
        )
    shares = {rule.rule: _share(whole, rule) for rule in rules}
    base = {"tokens": Path(full.path), "held": text["paths"], "shape": shape, "train": tokens}

    first = sees(USUAL_SCATTER, "usual; measured next", seeds, len(rules), None)
    say(
        f"design    {size} parameters ({shape.config().parameters:,} without embedding and head), {tokens:,} tokens "
        f"each, {seeds} seeds; whole recipe, placebo, and each rule that removes enough; announced in {note}\n{first}"
    )
    jobs = [Job(**base, seed=seed, named={"arm": "full"}) for seed in range(seeds)]
    read = jobs[0].steps * BATCH
    new = _new_share(full.tokens, read)
    jobs += [
        Job(**base, seed=seed, other=Path(full.path), share=PLACEBO, other_start=read, named={"arm": "placebo"})
        for seed in range(seeds)
    ]
    halves = min(HALF_SEEDS, seeds)
    jobs += [Job(**{**base, "train": tokens // 2}, seed=seed, named={"arm": "half"}) for seed in range(halves)]
    found = outcomes(jobs, folder / "models", processes, "whole recipe")
    whole_bits = bits(found[:seeds], REFERENCE)
    placebo = difference("bits per byte", whole_bits, bits(found[seeds : 2 * seeds], REFERENCE), "bit/byte", "lower")
    slope = float(np.mean(bits(found[2 * seeds :], REFERENCE) - whole_bits[:halves])) / math.log(2)
    measured, wanted = chosen(rules, shares, placebo.sd, seeds, slope, least_share, bool(only))
    least = measured.share if least_share is None else least_share
    say(str(measured))
    trained: list[LeftOut] = []
    jobs = []
    for rule in wanted:
        try:
            back = _stream(backs[rule.rule], folder / f"without-{rule.rule}.u2", tokens * shares[rule.rule])
        except NothingToTrainOn:
            continue  # all of it was set aside
        if back.tokens <= CONTEXT:
            continue
        trained.append(rule)
        jobs += [
            Job(**base, seed=seed, other=Path(back.path), share=shares[rule.rule], named={"without": rule.rule})
            for seed in range(seeds)
        ]
    done = outcomes(jobs, folder / "models", processes, "rules") if jobs else []
    arms = [done[at : at + seeds] for at in range(0, len(done), seeds)]
    costs = signal_costs(whole.corpus, sorted({group for rule in rules for group in rule.groups}))
    table = rows(whole, rules, trained, arms, whole_bits, found[:seeds], shares, costs, least)
    found += done
    if trained:
        _judged(note)
    setting = {
        "size": size, "parameters": shape.config().parameters, "tokens": tokens, "seeds": seeds,
        "batch": f"{BATCH} x {CONTEXT}", "documents": whole.documents, "unique_tokens": full.unique,
        "epochs": round(full.epochs(tokens), 3), "reference": text["domains"],
    }  # fmt: skip
    ledger = Ledger(
        name, setting, measured, table, placebo, new, whole_bits.tolist(), text["said"],
        sum(one.reused for one in found), sum(not one.reused for one in found),
        sum(one.cpu_seconds for one in found) + time.process_time() - began, folder, _others(note),
    )  # fmt: skip
    write_atomic(folder / "ledger.json", json.dumps(ledger.to_json(), indent=1, default=str) + "\n")
    return ledger


def announce(folder: Path, question: dict[str, Any], asked: dict[str, Any]) -> Path:
    """Writes what is asked before anything of it is trained. question: what a ledger is about; asked: pairs and rules.
    Raises BadQuestion where this question was judged with others: that would be another look."""
    key = blake2b(json.dumps([VERSION, question], sort_keys=True).encode(), digest_size=6).hexdigest()
    note = folder / f"announced-{key}.json"
    known: dict[str, Any] = {"asked": asked, "judged": False}
    if note.exists():
        known = json.loads(note.read_text(encoding="utf-8"))
    if known["judged"] and known["asked"] != asked:
        before = known["asked"]
        rules = "".join(f" --only {rule}" for rule in before["only"])
        raise BadQuestion(
            f"this ledger was announced and judged with {before['seeds']} pairs ({note}). To look again with other "
            "pairs or rules finds a difference where there is none more often than is said. `--seeds "
            f"{before['seeds']}{rules}` gives it again; to look closer, ask with more --tokens, which is a question of "
            "its own"
        )
    folder.mkdir(parents=True, exist_ok=True)
    body = {"question": question, "asked": asked, "judged": known["judged"]}
    write_atomic(note, json.dumps(body, indent=1, sort_keys=True) + "\n")
    return note


def _judged(note: Path) -> None:
    body = json.loads(note.read_text(encoding="utf-8"))
    write_atomic(note, json.dumps({**body, "judged": True}, indent=1, sort_keys=True) + "\n")


def _others(note: Path) -> int:
    """Ledgers of the same corpus judged here beside this one."""
    corpus = json.loads(note.read_text(encoding="utf-8"))["question"]["corpus"]
    every = [json.loads(one.read_text(encoding="utf-8")) for one in note.parent.glob("announced-*.json") if one != note]
    return sum(bool(one["judged"]) and one["question"]["corpus"] == corpus for one in every)


def _new_share(tokens: int, read: int) -> float:
    """Of the sequences that the placebo puts in, the share that a run of `read` sequences of the stream leaves
    unread."""
    left = (tokens - 1) // CONTEXT - read
    return min(1.0, max(0, left) / math.ceil(PLACEBO * read))


def _share(whole: Whole, rule: LeftOut) -> float:
    back = rule.bytes_back + len(rule.back)
    return back / (whole.bytes - rule.bytes_gone + whole.documents - len(rule.gone) + back)


def _stream(texts: Any, path: Path, most: float) -> Any:
    from tamis.proof import streams

    # the file's name says whose it is: other text, another file
    tag = blake2b(json.dumps([texts.identity(), round(most)], sort_keys=True).encode(), digest_size=6).hexdigest()
    return streams.write(
        texts, path.with_name(f"{path.stem}-{tag}{path.suffix}"), ByteEncoder(), most=most * STREAM_ROOM + 4096,
        share=HELD_SHARE, seed=HELD_SEED,
    )  # fmt: skip


def _held_out(
    whole: Whole, texts: Any, backs: list[_Back], references: Sequence[str], work: Path, folder: Path
) -> dict[str, Any]:
    """The reference (primary) and the text held out of the corpus, proven to share no n-gram with what is trained on:
    the corpus, and everything that comes back. `reference` in it: the hash of what was offered."""
    from tamis.proof import references as offered
    from tamis.proof.streams import training_texts

    reference = offered.candidates(references, work, HELD_BYTES) if references else offered.of_this_machine(HELD_BYTES)
    if not len(reference):
        raise NothingToJudge("this machine has no reference text that is in no corpus: give one by --reference FILE")
    shown = json.dumps([reference.ids, reference.domains, reference.texts])
    mark = blake2b(shown.encode(), digest_size=16).hexdigest()
    tag = {
        "version": VERSION, "texts": texts.identity(), "reference": mark, "back": [one.identity() for one in backs],
        "held": [HELD_SHARE, HELD_SEED, HELD_BYTES],
    }  # fmt: skip
    key = blake2b(json.dumps(tag, sort_keys=True).encode(), digest_size=6).hexdigest()
    note = folder / f"held-{key}.json"
    paths = {one: folder / f"held-{key}-{one}.jsonl" for one in (REFERENCE, OWN)}
    if note.exists():
        body = json.loads(note.read_text(encoding="utf-8"))
        return {**body, "paths": {one: path for one, path in paths.items() if one in body["kept"]}}
    corpora = {
        "the corpus": lambda: (text for _, text in training_texts(texts, HELD_SHARE, HELD_SEED)),
        "what comes back": lambda: (text for _, text, _ in returned(whole, [one.rule for one in backs])),
    }
    given = {REFERENCE: reference}
    own = set_aside(texts)
    try:
        found = hold_out({**given, OWN: own} if len(own) else given, corpora, limit_bytes=HELD_BYTES)
    except NotHeldOut:
        if not len(own):
            raise
        found = hold_out(given, corpora, limit_bytes=HELD_BYTES)  # the corpus repeats all of its own, or it fails again
    kept: dict[str, Candidates] = dict(found.texts)
    folder.mkdir(parents=True, exist_ok=True)
    for one, text in kept.items():
        write_held(paths[one], text.ids, text.texts, text.domains)
    body = {
        "said": str(found.proof), "kept": sorted(kept), "domains": sorted(set(kept[REFERENCE].domains)),
        "reference": mark,
    }  # fmt: skip
    write_atomic(note, json.dumps(body) + "\n")
    return {**body, "paths": {one: paths[one] for one in kept}}


def set_aside(texts: Any, most: int = 3 * HELD_BYTES) -> Candidates:
    """The documents set aside of a corpus, in the order of a draw by id, until they have `most` characters."""
    heap: list[tuple[int, str, str]] = []  # the last of the draw on top
    size = 0
    for names, found in texts.batches():
        keys = draw(id_words(names), HELD_SEED, "own text of a ledger")
        for row in np.flatnonzero(held(names, HELD_SHARE, HELD_SEED)).tolist():
            body = found[row].as_py()
            heapq.heappush(heap, (-int(keys[row]), names[row].as_py(), body))
            size += len(body)
            while size - len(heap[0][2]) >= most:
                size -= len(heapq.heappop(heap)[2])
    ordered = sorted(heap, key=lambda one: (-one[0], one[1]))
    return Candidates.of([one[1] for one in ordered], [one[2] for one in ordered], "held out of the corpus")
