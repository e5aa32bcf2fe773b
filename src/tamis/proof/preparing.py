"""What a proof needs before it trains: held-out texts with their proof, the streams of its arms, how long to train.

Always three texts for two arms: held out of A, held out of B, and a reference from sources in neither, which decides.
Without a reference (nothing given, no prose of this machine that the corpora lack) the mean of the other two decides,
and the proof says that it is the weaker one: each text favours the corpus that it is from.

Everything lies in one folder whose name is a hash of what decides the proof; done parts are found again. Memory: the
candidates' text (a few times `limit_bytes`) and what `holdout` and `streams` say.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.corpus.order import draw, id_words
from tamis.errors import WrongUse
from tamis.proof import arm_runs, streams
from tamis.proof.arm_runs import BYTES, Job
from tamis.proof.holdout import Candidates, HeldOut, NotHeldOut, held, hold_out
from tamis.proof.references import PIECE_BYTES, beginning, candidates, of_this_machine
from tamis.proof.streams import Stream
from tamis.proof.trained_on import Texts
from tamis.stage import hash_file
from tamis.whole import write_atomic

# Part of a proof's identity: bumped where the same corpora would give other figures.
VERSION = 2
REFERENCE = "reference"
TOKENS = 1_500_000
# Streams hold this many times the tokens of a run, so that seeds draw from more than one run reads.
STREAM_RUNS = 12
# Set aside more where a held-out text keeps less than this: web text repeats itself, most candidates share n-grams.
_SHARES = (0.03, 0.06, 0.12, 0.25)
_WANTED_BYTES = 48_000


class BadDesign(ValueError, WrongUse):
    """A proof that cannot be made as asked."""


@dataclass(frozen=True)
class Options:
    """tokens, flops or minutes (of CPU): of each run; TOKENS where none is given. sizes: rungs of `models.decoder`.
    share: documents set aside. limit_bytes: of each held-out text. machine: offer this machine's prose where no
    reference is given."""

    sizes: tuple[str, ...] = ("0.05M",)
    tokens: int | None = None
    flops: float | None = None
    minutes: float | None = None
    reference: tuple[str, ...] = ()
    machine: bool = True
    encoder: str = BYTES
    items: str | None = None
    share: float = 0.03
    limit_bytes: int = 128_000
    context: int = arm_runs.CONTEXT
    batch: int = arm_runs.BATCH
    lr: float | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.tokens, self.flops, self.minutes)) > 1:
            raise BadDesign("say how long to train once: --tokens, --flops or --minutes")
        if not self.sizes:
            raise BadDesign("name at least one size")
        from tamis.models.decoder import LADDER

        unknown = [size for size in self.sizes if size not in LADDER]
        if unknown:
            raise BadDesign(f"there is no size {unknown[0]!r}; there are {', '.join(LADDER)}")

    def identity(self) -> dict[str, Any]:
        files = {name: hash_file(Path(value)) for name, value in (("encoder", self.encoder), ("items", self.items))
                 if value and value != BYTES}  # fmt: skip
        # how long to train enters as tokens, however it was said
        names = ("sizes", "share", "limit_bytes", "context", "batch", "lr")
        return {name: getattr(self, name) for name in names} | {"files": files}


@dataclass(frozen=True)
class Prepared:
    """arms: by letter. texts: by name (REFERENCE and the letters of `held_of`). proof: of `hold_out`, as JSON. tokens:
    of a run, by size. speeds: by size, tokens per CPU second. primary: the texts whose mean decides. items: of
    `_looked_up`, where there are items."""

    folder: Path
    runs: Path
    options: Options
    arms: Mapping[str, Texts]
    streams: Mapping[str, Stream]
    texts: Mapping[str, Candidates]
    proof: dict[str, Any]
    tokens: Mapping[str, int]
    speeds: Mapping[str, Mapping[str, float]]
    primary: tuple[str, ...]
    items: Mapping[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def weaker(self) -> bool:
        """Decided without a text from sources in neither corpus."""
        return REFERENCE not in self.texts

    @property
    def measured_bytes(self) -> int:
        return sum(one["bytes"] for one in self.proof["texts"].values())

    def job(self, arm: str, size: str, seed: int, *, tokens: int | None = None) -> Job:
        options = self.options
        count = self.tokens[size] if tokens is None else tokens
        known = "" if tokens is None else f"-{tokens}"
        return Job(
            arm, size, seed, count, self.streams[arm], options.encoder, str(self.folder / "texts.parquet"),
            str(self.runs), str(self.folder / "results" / f"{size}-{arm}-{seed}{known}.json"), options.items,
            options.context, options.batch, options.lr, self.primary[0],
            None if self.items is None else str(self.folder / "items.json"),
        )  # fmt: skip

    def cpu_seconds(self, jobs: Sequence[Job]) -> float:
        """What these runs will cost, by the quick measurement."""
        per_token = 1 / max(1.0, next(iter(self.streams.values())).bytes_per_token)
        measured = self.measured_bytes * per_token
        return sum(
            job.tokens / self.speeds[job.size]["train"] + measured / self.speeds[job.size]["measure"] for job in jobs
        )


def prepare(
    arms: Mapping[str, Texts], options: Options, work: Path, *, held_of: Sequence[str] = ("A", "B"),
    out: Path | None = None, say: Any = lambda line: None,
) -> Prepared:  # fmt: skip
    """Reads the corpora, sets texts aside, writes the streams. work: the workspace that keeps runs and proofs. Raises
    NotHeldOut, NothingToTrainOn, BadReference, BadDesign."""
    speeds = {size: _speed(work, size, options) for size in options.sizes}
    tokens = {size: _tokens(size, options, speeds[size]) for size in options.sizes}
    reference = (
        candidates(options.reference, work, options.limit_bytes)
        if options.reference
        else of_this_machine(options.limit_bytes) if options.machine else Candidates([], [], [])
    )  # fmt: skip
    import torch

    from tamis.models import training

    if options.reference and not len(reference):
        raise BadDesign(f"--reference {' '.join(options.reference)}: no document of at least 400 bytes there")
    identity = {
        "version": VERSION,
        "arms": {letter: texts.identity() for letter, texts in arms.items()},
        "held_of": list(held_of),
        "reference": _hash(reference),
        "tokens": tokens,
        # what else decides a run: results of another version of the training are another proof's
        "training": training.VERSION,
        "torch": torch.__version__,
        "rate": arm_runs.settings(max(tokens.values()), options.batch, options.lr, 0).rate,
        **options.identity(),
    }
    text = json.dumps(identity, sort_keys=True)
    folder = out or work / "proofs" / hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    note = folder / "design.json"
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) != json.loads(text):
        raise BadDesign(f"{folder} holds another proof; name another --out, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(note, json.dumps(identity, indent=1, sort_keys=True) + "\n")
    (folder / "results").mkdir(exist_ok=True)
    texts, proof, share = _held_texts(folder, arms, held_of, reference, options, say)
    encoder = arm_runs.encoder_of(options.encoder)
    dtype = "<u2" if arm_runs.vocabulary(encoder) <= 1 << 16 else "<u4"
    made = {
        letter: streams.write(
            one, folder / "streams" / f"{letter}.bin", encoder, most=STREAM_RUNS * max(tokens.values()), share=share,
            seed=HELD_SEED, dtype=dtype,
        )
        for letter, one in arms.items()
    }  # fmt: skip
    primary = (REFERENCE,) if REFERENCE in texts else tuple(held_of)
    items = _looked_up(folder, arms, options, share, say) if options.items else None
    found = Prepared(folder, work / "runs", options, arms, made, texts, proof, tokens, speeds, primary, items)
    found.warnings.extend(_warnings(found))
    return found


HELD_SEED = 17


def _warnings(prepared: Prepared) -> Iterator[str]:
    if prepared.weaker:
        yield (
            "no reference text: the mean over the texts held out of the arms decides, and each favours its own corpus. "
            "This is the weaker proof; give --reference a text from sources in neither corpus."
        )
    for letter, stream in prepared.streams.items():
        most = max(prepared.tokens.values())
        if stream.epochs(most) > 4:
            yield (
                f"{letter} repeats its {stream.unique:,} tokens {stream.epochs(most):.1f} times: beyond about 4 epochs "
                "a repeated token is worth less than a new one (Muennighoff et al. 2023), so this compares amounts too"
            )
    if prepared.items is not None and not prepared.items["asked"]:
        yield "every item stands in what an arm trains on: none is asked"
    for name, one in prepared.proof["texts"].items():
        if one["bytes"] < 20_000:
            yield f"the held-out text {name} has only {one['bytes']:,} bytes: small differences are of these documents"


def _held_texts(
    folder: Path, arms: Mapping[str, Texts], held_of: Sequence[str], reference: Candidates, options: Options, say: Any
) -> tuple[dict[str, Candidates], dict[str, Any], float]:
    note, place = folder / "held-out.json", folder / "texts.parquet"
    if note.exists() and place.exists():
        body = json.loads(note.read_text(encoding="utf-8"))
        return arm_runs.read_texts(place), body["proof"], body["share"]
    say(f"looking every held-out text up in {' and '.join(one.name for one in arms.values())}")
    shares = [options.share, *(one for one in _SHARES if one > options.share)]
    found, used = None, options.share
    for share in shares:
        offered = {letter: _aside(arms[letter], share, 3 * options.limit_bytes) for letter in held_of}
        if len(reference):
            offered = {REFERENCE: reference, **offered}

        def batches(texts: Texts, share: float = share) -> Iterator[pa.Array]:
            return (found for _, found in streams.training_texts(texts, share, HELD_SEED))

        corpora = {letter: (lambda texts=texts: batches(texts)) for letter, texts in arms.items()}
        try:
            found, used = _hold_out(offered, corpora, options), share
        except NotHeldOut:
            if share == shares[-1] and found is None:
                raise
            continue
        if REFERENCE not in found.texts:
            reference = Candidates([], [], [])
        kept = {letter: found.proof.texts[letter].bytes for letter in held_of}
        if share == shares[-1] or min(kept.values()) >= min(_WANTED_BYTES, options.limit_bytes // 2):
            break
        least = min(kept, key=lambda letter: kept[letter])
        say(f"of {arms[least].name} only {kept[least]:,} bytes are held out at {share:.0%}; setting more aside")
    assert found is not None
    arm_runs.write_texts(found.texts, place)
    proof = found.proof.to_json()
    write_atomic(note, json.dumps({"share": used, "proof": proof, "said": str(found.proof)}, indent=1) + "\n")
    return dict(found.texts), proof, used


def _hold_out(
    offered: Mapping[str, Candidates], corpora: Mapping[str, Callable[[], Iterator[pa.Array]]], options: Options
) -> HeldOut:
    """Without this machine's prose, where that is what makes it impossible: all of it may be in the corpora."""
    try:
        return hold_out(offered, corpora, limit_bytes=options.limit_bytes)
    except NotHeldOut:
        own = {name: one for name, one in offered.items() if name != REFERENCE}
        if options.reference or len(own) in (0, len(offered)):
            raise
        return hold_out(own, corpora, limit_bytes=options.limit_bytes)


class _ToTrainOn:
    """A corpus without what is set aside, as `Texts`."""

    def __init__(self, texts: Texts, share: float) -> None:
        self._texts, self._share, self.name = texts, share, texts.name

    def batches(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        return streams.training_texts(self._texts, self._share, HELD_SEED)

    def identity(self) -> dict[str, Any]:
        return {**self._texts.identity(), "set aside": self._share}


def _looked_up(folder: Path, arms: Mapping[str, Texts], options: Options, share: float, say: Any) -> dict[str, Any]:
    """Which items may be asked: those that stand in neither arm's training text. offered: items; found: in each arm;
    unsearched: too short, or shared by too many, to tell a copy from chance (they are asked); asked: their numbers."""
    from tamis.proof.items import read_items
    from tamis.proof.seen_in_training import copies_of_items

    note = folder / "items.json"
    if note.exists():
        known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        return known
    items = read_items(str(options.items), limit=arm_runs.MOST_ITEMS)
    say(f"looking {len(items):,} items up in {' and '.join(one.name for one in arms.values())}")
    copied, searched = np.zeros(len(items), np.bool_), np.ones(len(items), np.bool_)
    found: dict[str, int] = {}
    for letter, one in arms.items():
        copies, could = copies_of_items(_ToTrainOn(one, share), items)
        found[letter] = int((copies > 0).sum())
        copied |= copies > 0
        searched &= could
    body = {
        "offered": len(items),
        "found": found,
        "unsearched": int((~searched).sum()),
        "asked": np.flatnonzero(~copied).tolist(),
    }
    write_atomic(note, json.dumps(body) + "\n")
    return body


def _aside(texts: Texts, share: float, most: int) -> Candidates:
    """The beginnings of documents set aside, in the order of a draw by id, about `most` bytes of them."""
    # the largest draw lies on top, to go first when there is enough
    heap: list[tuple[int, str, str]] = []
    size = 0
    for ids, found in texts.batches():
        mask = held(ids, share, HELD_SEED)
        keys = draw(id_words(ids), HELD_SEED, "offered as held out")
        for row in np.flatnonzero(mask).tolist():
            piece = beginning(found[row].as_py().strip())
            entry = (-int(keys[row]), ids[row].as_py(), piece)
            heapq.heappush(heap, entry)
            size += min(PIECE_BYTES, len(piece))
            while heap and size - len(heap[0][2]) > most:
                size -= min(PIECE_BYTES, len(heapq.heappop(heap)[2]))
    every = sorted(heap, key=lambda one: (-one[0], one[1]))
    return Candidates.of([one[1] for one in every], [one[2] for one in every])


def _tokens(size: str, options: Options, speed: Mapping[str, float]) -> int:
    """Of one run, in whole steps."""
    if options.flops is not None:
        encoder = arm_runs.encoder_of(options.encoder)
        wanted = options.flops / arm_runs.shape(size, encoder, options.context).flops_per_token
    elif options.minutes is not None:
        wanted = options.minutes * 60 * speed["train"]
    else:
        wanted = options.tokens or TOKENS
    step = options.batch * options.context
    if wanted < 20 * step:
        raise BadDesign(f"{wanted:,.0f} tokens are {wanted / step:.1f} steps of {step:,}: train at least 20 steps")
    return int(wanted) // step * step


def _speed(work: Path, size: str, options: Options) -> Mapping[str, float]:
    """Measured once in a workspace, so that `--minutes` means the same tokens at each call."""
    path = work / "proofs" / "speed.json"
    known: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    encoder = arm_runs.encoder_of(options.encoder)
    key = f"{size} context={options.context} batch={options.batch} vocabulary={arm_runs.vocabulary(encoder)}"
    if key not in known:
        known[key] = arm_runs.speed(size, options.encoder, options.context, options.batch)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
    return known[key]


def _hash(text: Candidates) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for parts in zip(text.ids, text.domains, text.texts, strict=True):
        for part in parts:
            digest.update(len(part.encode()).to_bytes(8, "little") + part.encode())
    return digest.hexdigest()
