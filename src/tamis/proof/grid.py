"""An IsoFLOP grid on this machine: models of several sizes at each of several budgets of compute, and what laws say.

Sizes are the decoder's of four layers (the ladder of claims) at widths from 8 to 128: 3,072 to 786,432 parameters N,
without embedding and head; the head's are counted beside (`params_with_head`), because which are counted moves the
exponent at this size (Porian et al. 2024; Pearce and Song 2024). Compute C is that of `Config.flops_per_token`, head
and attention included, times the tokens. Every run has a schedule of its own length, warm-up included: a point of a
longer schedule lies too high (Hoffmann et al. 2022, section 3.1). It has a rate of its own length too (`rate`): at one
rate for all, short runs of the larger sizes lose more than a valley is deep, and the best size comes out too small.

A level has its best size inside when neither its lowest run nor the lowest point of its parabola is at or beyond the
smallest or the largest size. Otherwise it gets another size on that side, three times at most. Every run sees each
token once: a size that would need more tokens than there are is left out, and said to be. Losses are nats per token on
held-out text that shares no 13-gram with the training.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tamis.errors import WrongUse
from tamis.models.data import ByteEncoder
from tamis.proof import approaches, runs, scaling, streams
from tamis.proof.holdout import Candidates, held, hold_out
from tamis.proof.repeats import ONCE
from tamis.proof.small_runs import BATCH, CONTEXT, Job, Outcome, Shape, outcomes, write_held
from tamis.whole import write_atomic

if TYPE_CHECKING:
    from tamis.proof.approaches import Frontier
    from tamis.proof.runs import Runs
    from tamis.proof.scaling import LossFit
    from tamis.proof.trained_on import Texts

LAYERS = 4
WIDTHS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128)
FLOPS = (1e11, 2e11, 4e11, 8e11)
PER_LEVEL = 6
GUESS = 20.0  # tokens a parameter: where the sizes of a level are centred at first
EXTENSIONS = 3
# The rate of a run of so many steps, from a sweep on another seed (docs/scaling-laws.md): .24 to .12 was best at 24
# steps, .12 at 96, .06 at 384; .03 loses up to 1.0, .4 and .06 bits per byte there. Longer runs follow the same line.
SWEPT_STEPS, SWEPT_RATE, SWEPT_POWER, RATES = 384, 0.065, 0.4, (0.03, 0.2)
HELD_SHARE, HELD_SEED, HELD_BYTES = 0.05, 17, 120_000
COLUMNS = (
    "params", "params_with_head", "flops", "tokens", "unique", "loss", "bits_per_byte", "seed", "width", "level",
    "cpu_seconds",
)  # fmt: skip


class BadGrid(ValueError, WrongUse):
    """A grid that cannot be run; the message says why."""


@dataclass(frozen=True)
class Listed:
    """Fulfils `trained_on.Texts`: documents in a list (id, text)."""

    name: str
    documents: Sequence[tuple[str, str]]

    def batches(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        for start in range(0, len(self.documents), 1024):
            part = self.documents[start : start + 1024]
            ids = [hashlib.blake2b(one.encode(), digest_size=16).hexdigest() for one, _ in part]
            yield pa.array(ids), pa.array([text for _, text in part], pa.large_string())

    def identity(self) -> dict[str, Any]:
        digest = hashlib.blake2b(digest_size=16)
        for one, text in self.documents:
            digest.update(f"{one}\0{text}\0".encode("utf-8", "surrogatepass"))
        return {"kind": "listed", "hash": digest.hexdigest()}


@dataclass(frozen=True)
class Material:
    """What small models train on and are measured on. tokens: in the file. said: the proof that they are apart."""

    path: Path
    tokens: int
    held: Path
    said: str


def prepare(texts: Texts, folder: Path, most: float, *, held_bytes: int = HELD_BYTES) -> Material:
    """Writes a stream of bytes of at most `most` tokens, and a held-out text; or gives those that are there."""
    key = hashlib.blake2b(json.dumps([texts.identity(), round(most), held_bytes]).encode(), digest_size=6).hexdigest()
    stream = streams.write(
        texts, folder / f"train-{key}.u2", ByteEncoder(), most=most, share=HELD_SHARE, seed=HELD_SEED
    )
    path, note = folder / f"held-{key}.jsonl", folder / f"held-{key}.json"
    if not note.exists():
        ids: list[str] = []
        bodies: list[str] = []
        for names, found in texts.batches():
            mask = pa.array(held(names, HELD_SHARE, HELD_SEED))
            ids += names.filter(mask).to_pylist()
            bodies += found.filter(mask).to_pylist()
            if sum(map(len, bodies)) > 6 * held_bytes:
                break
        apart = hold_out(
            {"held out": Candidates.of(ids, bodies)},
            {"the corpus": lambda: (text for _, text in streams.training_texts(texts, HELD_SHARE, HELD_SEED))},
            limit_bytes=held_bytes,
        )
        kept = apart.texts["held out"]
        write_held(path, kept.ids, kept.texts)
        write_atomic(note, json.dumps({"said": str(apart.proof)}) + "\n")
    return Material(Path(stream.path), stream.tokens, path, json.loads(note.read_text(encoding="utf-8"))["said"])


def tokens_for(width: int, flops: float) -> int:
    """Tokens that a model of that width trains on within the budget."""
    per_token: float = Shape(LAYERS, width).config(CONTEXT).flops_per_token
    return round(flops / per_token)


def widths_for(flops: float, count: int = PER_LEVEL) -> list[int]:
    """The `count` neighbouring widths whose middle is nearest to GUESS tokens a parameter."""
    ratio = [abs(math.log(tokens_for(w, flops) / Shape(LAYERS, w).config().parameters / GUESS)) for w in WIDTHS]
    best = min(range(len(WIDTHS) - count + 1), key=lambda at: sum(ratio[at : at + count]))
    return list(WIDTHS[best : best + count])


def rate(steps: int) -> float:
    """The learning rate of a run of so many steps of BATCH x CONTEXT tokens."""
    line: float = SWEPT_RATE * (SWEPT_STEPS / steps) ** SWEPT_POWER
    return round(min(max(line, RATES[0]), RATES[1]), 4)


def most_tokens(flops: Sequence[float], widths: Sequence[int] = ()) -> int:
    """Tokens of the longest run that the grid may come to: at each budget that of the smallest size, which without
    `widths` is EXTENSIONS below the smallest at first. Raises BadGrid."""
    _known(widths)
    smallest = {level: min(widths) if widths else _down(widths_for(level)[0]) for level in flops}
    return max((tokens_for(width, level) for level, width in smallest.items()), default=0)


def _down(width: int) -> int:
    return WIDTHS[max(0, WIDTHS.index(width) - EXTENSIONS)]


def _known(widths: Sequence[int]) -> None:
    unknown = sorted(set(widths) - set(WIDTHS))
    if unknown:
        raise BadGrid(f"there is no width {unknown[0]}; there are {', '.join(map(str, WIDTHS))}")


def job(material: Material, width: int, flops: float, seed: int) -> Job:
    train = tokens_for(width, flops)
    if train < 8 * BATCH * CONTEXT:
        raise BadGrid(f"{flops:.2g} FLOP are {train:,} tokens for a model {width} wide: fewer than 8 steps")
    return Job(
        material.path, {"held out": material.held}, Shape(LAYERS, width), train, seed,
        lr=rate(round(train / (BATCH * CONTEXT))), named={"level": flops},
    )  # fmt: skip


def _once(material: Material, width: int, flops: float) -> bool:
    """Whether there are enough tokens to see each once."""
    return tokens_for(width, flops) <= ONCE * material.tokens


@dataclass(frozen=True)
class Edge:
    """A level whose best size is not inside the sizes tried. side: -1 below the smallest, 1 above the largest. why: why
    no further size was tried; decided: whether that is because EXTENSIONS of them were (else it is undecidable)."""

    side: int
    why: str
    decided: bool


@dataclass(frozen=True)
class Grid:
    """The runs, and what the three approaches make of them, N counted without and with the head. edges: of the levels
    whose best size is not inside. left_out: sizes that needed more tokens than there are, in words."""

    levels: list[float]
    found: list[Outcome]
    law: LossFit
    frontiers: list[Frontier]
    law_with_head: LossFit
    frontiers_with_head: list[Frontier]
    said: str
    edges: dict[float, Edge] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def table(self, *, head: bool = False) -> Runs:
        return _table(self.found, head)

    def csv(self) -> str:
        """RUNS.csv, as `tamis scale fit RUNS.csv --params params --flops flops --tokens tokens --loss loss` reads."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in sorted(self.found, key=lambda o: (o.job.named["level"], o.params, o.job.seed)):
            bits = one.bits["held out"]
            writer.writerow(
                [one.params, one.params_with_head, f"{one.flops:.6g}", one.tokens, _unique(one),
                 f"{bits * math.log(2):.6f}", f"{bits:.6f}", one.job.seed, one.job.shape.width,
                 f"{one.job.named['level']:g}", one.cpu_seconds]
            )  # fmt: skip
        return text.getvalue()

    def to_json(self) -> dict[str, Any]:
        return {
            "runs": len(self.found),
            "levels": self.levels,
            "params": {"law": self.law.to_json(), "approaches": [one.to_json() for one in self.frontiers]},
            "params_with_head": {
                "law": self.law_with_head.to_json(),
                "approaches": [one.to_json() for one in self.frontiers_with_head],
            },
            "edges": {f"{level:g}": vars(one) for level, one in self.edges.items()},
            "left_out": list(self.left_out),
            "cpu_seconds": sum(one.cpu_seconds for one in self.found),
        }


def run(
    material: Material,
    store: Path,
    *,
    flops: Sequence[float] = FLOPS,
    widths: Sequence[int] = (),
    seeds: Sequence[int] = (0,),
    processes: int = 2,
    bootstrap: int = 1000,
    say: Callable[[str], None] = lambda line: None,
) -> Grid:
    """Trains what is not stored yet and fits. widths: for every level; chosen by level where empty. Raises BadGrid."""
    levels = sorted(set(flops))
    if not levels or min(levels) <= 0:
        raise BadGrid("name at least one budget of FLOP above 0")
    _known(widths)
    chosen = {level: sorted(set(widths)) or widths_for(level) for level in levels}
    left_out: dict[tuple[float, int], str] = {}
    for level, mine in chosen.items():
        for width in [one for one in mine if not _once(material, one, level)]:
            left_out[level, width] = _too_few(material, width, level)
            say(left_out[level, width])
        chosen[level] = [one for one in mine if _once(material, one, level)]
        if not chosen[level]:
            raise BadGrid(f"{left_out[level, mine[-1]]}. Take smaller budgets or more text")
    found: list[Outcome] = []
    for again in range(EXTENSIONS + 1):
        jobs = [job(material, w, level, seed) for level in levels for w in chosen[level] for seed in seeds]
        found = outcomes(jobs, store, processes, "grid")
        sides = {level: side for level in levels if (side := _side(found, level))}
        edges: dict[float, Edge] = {}
        longer: dict[float, int] = {}
        for level, side in sides.items():
            further, why = _beyond(material, max(chosen[level]) if side > 0 else min(chosen[level]), side, level)
            if widths:
                edges[level] = Edge(side, "the widths were given", False)
            elif further is None:
                edges[level] = Edge(side, why, False)
            elif again == EXTENSIONS:
                edges[level] = Edge(side, f"{EXTENSIONS} more sizes were tried", True)
            else:
                longer[level] = further
        if not longer:
            break
        for level, width in longer.items():
            say(f"at {level:.2g} FLOP the lowest loss is at the edge of the sizes: a model {width} wide is tried too")
            chosen[level] = sorted({*chosen[level], width})
    plain, head = _table(found, False), _table(found, True)
    return Grid(
        levels, found, scaling.fit(plain, bootstrap=bootstrap), _frontiers(found, False),
        scaling.fit(head, bootstrap=bootstrap), _frontiers(found, True), material.said, edges, tuple(left_out.values()),
    )  # fmt: skip


def _too_few(material: Material, width: int, level: float) -> str:
    return (
        f"at {level:.2g} FLOP a model {width} wide would train on {tokens_for(width, level):,} tokens and there are "
        f"{material.tokens:,}: it is left out, since repeated tokens are worth less"
    )


def lowest(found: Sequence[Outcome], level: float) -> tuple[list[int], list[float], int]:
    """Of a level: widths, mean losses over seeds, and the place of the lowest."""
    mine: dict[int, list[float]] = {}
    for one in found:
        if one.job.named["level"] == level:
            mine.setdefault(one.job.shape.width, []).append(one.bits["held out"])
    widths = sorted(mine)
    losses = [float(np.mean(mine[width])) for width in widths]
    return widths, losses, int(np.argmin(losses))


def _side(found: Sequence[Outcome], level: float) -> int:
    """Where the best size of a level lies: 0 inside the sizes tried; -1 or 1 where the lowest run or the parabola's
    lowest point (head counted) is at or beyond the smallest or the largest. A level without a parabola (fewer than 6
    runs) goes by its lowest run."""
    widths, losses, best = lowest(found, level)
    if best in (0, len(widths) - 1):
        return -1 if best == 0 else 1
    mine = [one for one in found if one.job.named["level"] == level]
    for level_ in approaches.isoflop(_table(mine, True), bootstrap=0).levels:
        curve, slope, _ = level_.parabola
        if level_.params is None and any(level_.parabola):
            sizes = [math.log(one.params_with_head) for one in mine]
            middle = (min(sizes) + max(sizes)) / 2
            if curve > 0:
                return -1 if -slope / (2 * curve) < middle else 1
            return -1 if losses[0] < losses[-1] else 1
    return 0


def _beyond(material: Material, width: int, side: int, level: float) -> tuple[int | None, str]:
    """The width next to `width` on that side, or why there is none that can train."""
    at = WIDTHS.index(width) + side
    if not 0 <= at < len(WIDTHS):
        return None, f"there is no width beyond {width}"
    if tokens_for(WIDTHS[at], level) < 8 * BATCH * CONTEXT:
        return None, f"a model {WIDTHS[at]} wide would have fewer than 8 steps"
    if not _once(material, WIDTHS[at], level):
        return None, f"a model {WIDTHS[at]} wide would need more tokens than there are"
    return WIDTHS[at], ""


def _table(found: Sequence[Outcome], head: bool) -> Runs:
    return runs.make(
        [one.params_with_head if head else one.params for one in found],
        [one.nats("held out") for one in found],
        tokens=[one.tokens for one in found],
        flops=[one.flops for one in found],
        unique=[_unique(one) for one in found],
    )


def _unique(one: Outcome) -> int:
    return min(one.tokens, int(one.job.unique or one.job.tokens.stat().st_size // 2))


def _frontiers(found: Sequence[Outcome], head: bool) -> list[Frontier]:
    """Approaches 1 and 2. Of approach 1 the curve of a size is made of its runs at the levels, each with a schedule
    of its own length, seeds averaged."""
    cells: dict[tuple[int, float], list[Outcome]] = {}
    for one in found:
        cells.setdefault((one.job.shape.width, one.job.named["level"]), []).append(one)
    curves = runs.make(
        [mine[0].params_with_head if head else mine[0].params for mine in cells.values()],
        [float(np.mean([one.nats("held out") for one in mine])) for mine in cells.values()],
        tokens=[mine[0].tokens for mine in cells.values()],
        flops=[mine[0].flops for mine in cells.values()],
        curve=[str(width) for width, _ in cells],
    )
    return [approaches.envelope(curves), approaches.isoflop(_table(found, head))]


def render(grid: Grid) -> str:
    """For people: the lowest size of each level, and what each approach says or why it says nothing."""
    lines = [grid.said, "", f"{'FLOP':>9} {'sizes':>6} {'parameters, lowest':>19} {'tokens each':>12} {'loss':>8}"]
    for level in grid.levels:
        widths, losses, best = lowest(grid.found, level)
        edge = f"   at the edge: no optimum shown ({grid.edges[level].why})" if level in grid.edges else ""
        params = Shape(LAYERS, widths[best]).config().parameters
        lines.append(
            f"{level:>9.2g} {len(widths):>6} {params:>19,} {tokens_for(widths[best], level) / params:>12.1f} "
            f"{losses[best] * math.log(2):>8.4f}{edge}"
        )
    lines.append("          loss: nats per token (byte), mean over seeds; tokens each: per parameter")
    rates = [one.job.lr for one in grid.found if one.job.lr is not None]
    lines.append(f"          rates by length of run, {max(rates):g} (shortest) to {min(rates):g}")
    lines += [f"left out  {one}" for one in grid.left_out]
    for what, law, frontiers in (
        ("parameters without embedding and head", grid.law, grid.frontiers),
        ("parameters with the head", grid.law_with_head, grid.frontiers_with_head),
    ):
        lines += ["", what]
        for one in frontiers:
            said = f"{one.status}: {one.why}"
            if one.a is not None:
                said = f"N grows with C^{one.a.value:.3f} [{one.a.low:.3f}, {one.a.high:.3f}]; {one.why}"
            lines.append(f"  {one.name.split(':')[0]:<10} {said}")
        lines.append(f"  approach 3 {_law(law)}")
    lines += ["", f"cost      {sum(one.cpu_seconds for one in grid.found) / 60:.1f} CPU minutes of training"]
    return "\n".join(lines)


def _law(law: LossFit) -> str:
    if not law.reliable:
        return f"{law.status}: {law.why}. No parameters are given."
    a = law.interval("a")
    return (
        f"N grows with C^{a.value:.3f} [{a.low:.3f}, {a.high:.3f}]; E {law.E:.3f}, A {law.A:.4g}, B {law.B:.4g}, "
        f"alpha {law.alpha:.3f}, beta {law.beta:.3f}"
    )
