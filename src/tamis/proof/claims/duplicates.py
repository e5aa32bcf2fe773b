"""(b) Duplicates hurt, and a model trained on the deduplicated corpus memorizes less, by number of copies.

Passages of documents that are not in the corpus are planted 0, 1, 4, 16 or 64 times; every second copy ends in a line
of its own, as mirrors and versions do, so hashes of whole documents do not find it. Two arms: the corpus as it is, for
one epoch, and what Tamis's own deduplication (exact and MinHash, verified) leaves of it, for as many tokens.

Half of the bytes of that corpus are copies, far more than in a crawl. A third arm has few: the same passages with a
fifteenth of the copies, about 5% of the bytes, trained for as many tokens. It is reported and decides nothing.

Lee et al. 2022 (section 6) trained on C4 and found perplexity no worse, on some held-out sets better, and ten times
less verbatim text; Hernandez et al. 2022 repeated a small share of the data and measured how much of a model that
costs; Carlini et al. 2023 found extractable text to grow with the logarithm of copies.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tamis.proof.claims import _planted as planted
from tamis.proof.claims._planted import COPIES, Estimate, Floats, Ints, Texts, over_seeds
from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Table, Verdict, claim
from tamis.proof.claims.material import where_text_is_from

LENGTH = 192  # characters of a planted passage
PREFIX, SUFFIX = 32, 32  # bytes that are shown, and that must be written
ARMS = ("duplicated", "deduplicated")
FEW = "few copies"
FEWER = 15  # how many times fewer copies, so that about 5% of the bytes are copies
MOST = COPIES[-1]


@dataclass(frozen=True)
class Job:
    """One model: an arm and a seed. steps: of the training, equal in all arms. copies: of each passage in the
    duplicated arm."""

    arm: str
    seed: int
    size: str
    steps: int
    corpus: list[str] = field(repr=False)
    held: Mapping[str, list[str]] = field(repr=False)
    passages: list[str] = field(repr=False)
    copies: Ints = field(repr=False)


@dataclass(frozen=True)
class Measured:
    """Of one model: bits per byte of the held-out texts by name; of each passage its bits per byte, whether its suffix
    is extractable, and how many bytes of it greedy writing gets right. documents: trained on."""

    arm: str
    held: dict[str, float]
    bits: Floats
    extractable: Floats
    followed: Floats
    copies: Ints
    documents: int
    bytes: int


@claim(
    "duplicates",
    letter="b",
    # 2: a side arm of few copies; smaller corpora, other passages; refutation corrected for four intervals
    version=2,
    statement="Duplicates in the training data hurt where half of its bytes are copies: at equal compute a model of "
    "the deduplicated corpus predicts unseen text better, and memorizes less of what was duplicated.",
    source="Lee et al. 2022, Deduplicating Training Data Makes Language Models Better, "
    "https://arxiv.org/abs/2107.06499; Hernandez et al. 2022, https://arxiv.org/abs/2205.10487; Carlini et al. 2023, https://arxiv.org/abs/2202.07646",
    rule="of every measure, the duplicated arm less the deduplicated one, paired by seed. It holds when the 95% "
    "interval lies above zero both for bits per byte (held-out text and, where there is one, a reference of another "
    "kind) and for memory of the passages of 64 copies (extractable share and excess likelihood). It does not hold "
    "when one of these intervals, widened for their number (the first step of Holm's procedure), lies below zero. "
    "Otherwise it is not shown. The arm of few copies decides nothing. "
    "The share of copies and the widening were added after a first run was reviewed; this is a new run.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.many import many

    base, each = setting.pick(12_000, 140_000), setting.pick(1, 8)
    size = setting.pick("0.05M", "0.2M")
    seeds = setting.seeds(2, 5)
    held = setting.pick(3_000, 40_000, grows=0.5)
    found = planted.texts(base, 25 * LENGTH * each * len(COPIES), held, setting.seed, setting.data)
    passages = passages_of(found.spare, each * len(COPIES), found.base)
    jobs = list(_jobs(found, passages, seeds, size))
    measured = many(measure, jobs, setting.processes, lambda job: f"{job.arm}, seed {job.seed}", title="models")
    return _finding(setting, jobs, [Arms(*measured[i : i + 3]) for i in range(0, len(measured), 3)], found)


def _jobs(found: Texts, passages: list[str], seeds: Sequence[int], size: str) -> Iterator[Job]:
    """Three neighbours are the arms of one seed: ARMS and FEW."""
    for seed in seeds:
        copies = planted.dealt(len(passages), seed)
        texts = planted.corpus(found.base, copied(passages, copies), seed)
        few = planted.corpus(found.base, copied(passages, fewer(copies)), seed)
        for arm in (*ARMS, FEW):
            corpus = few if arm == FEW else texts
            yield Job(arm, seed, size, planted.steps_of(texts), corpus, found.held, passages, copies)


def passages_of(documents: Sequence[str], wanted: int, base: Sequence[str] = ()) -> list[str]:
    """One passage of LENGTH characters of each document that has a paragraph so long, no two that begin alike and none
    that stands in `base`: documents share notices and warnings. Raises Missing."""
    found: list[str] = []
    known, seen = planted.flat(base), set()
    for body in documents:
        for one in reversed(planted.paragraphs(body)):
            start = one[: PREFIX + SUFFIX]
            if len(one) >= LENGTH and start not in seen and start not in known:
                found.append(one[:LENGTH])
                seen.add(start)
                break
        if len(found) == wanted:
            return found
    raise Missing(f"{len(found)} documents have a paragraph of {LENGTH} characters of their own; {wanted} are needed")


def copied(passages: Sequence[str], copies: Ints) -> list[str]:
    """Every copy of every passage; each second one of a passage ends in a line that no other has."""
    return [
        f"{body}\nMirror {number}." if number % 2 else body
        for body, count in zip(passages, copies, strict=True)
        for number in range(int(count))
    ]


def fewer(copies: Ints) -> Ints:
    """A fifteenth of the copies, rounded up: 64 become 5, 16 become 2, and one stays one."""
    return -(-copies // FEWER)


def deduplicated(texts: Sequence[str]) -> list[str]:
    """What Tamis keeps of the texts: a run of its pipeline with deduplication as by default and nothing else."""
    from tamis.engine import Inline
    from tamis.pipeline import Pipeline
    from tamis.proof.trained_on import TrainedOn
    from tamis.recipe import Recipe
    from tamis.workspace import Workspace

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "texts.jsonl"
        lines = [json.dumps({"id": str(i), "text": body}) for i, body in enumerate(texts)]
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        options = {"text_field": "text", "id_field": "id"}
        recipe = {
            "sources": [{"name": "texts", "path": str(source), "format": "jsonl", "options": options}],
            "clean": {"unicode": False, "boilerplate": False},
            # the share of copies is known here and high
            "dedup": {"guard": {"max_removed": 1.0, "max_cluster": 1.0}},
            "tokens": None,
        }
        work = folder / "work"
        Pipeline(Recipe.model_validate(recipe), Workspace(work, create=True), Inline()).run()
        return [str(body) for _, bodies in TrainedOn(work, "main").batches() for body in bodies.to_pylist()]


def measure(job: Job) -> Measured:
    """Trains one model and asks it for everything."""
    from tamis.models.data import ByteEncoder
    from tamis.proof.likelihood import text_losses
    from tamis.proof.memorization import memorized

    texts = job.corpus
    if job.arm == "deduplicated":
        texts = planted.corpus(sorted(deduplicated(texts)), [], job.seed)
    model, encoder = planted.train(texts, job.steps, job.size, job.seed), ByteEncoder()
    held = {name: text_losses(model, encoder, body).bits_per_byte().value for name, body in job.held.items()}
    losses = text_losses(model, encoder, job.passages)
    remembered = memorized(
        model, [one.astype(np.int64) for one in encoder.encode(job.passages)], job.copies,
        prefix=PREFIX, suffix=SUFFIX, end_of_text=encoder.end_of_text,
    )  # fmt: skip
    return Measured(
        job.arm, held, losses.bits / losses.bytes, remembered.extractable.astype(np.float64),
        remembered.followed.astype(np.float64), job.copies, len(texts), sum(len(one.encode()) + 1 for one in texts),
    )  # fmt: skip


@dataclass(frozen=True)
class Arms:
    """The models of one seed."""

    duplicated: Measured
    deduplicated: Measured
    few: Measured


@dataclass(frozen=True)
class Memory:
    """Of the passages of one number of copies, by arm: extractable share, bytes followed, bits per byte below those
    that were never trained on (excess); and the difference of the arms in the first and the last."""

    extractable: dict[str, Estimate]
    followed: dict[str, Estimate]
    excess: dict[str, Estimate]
    extractable_difference: Estimate
    excess_difference: Estimate


def memory(pairs: Sequence[tuple[Measured, Measured]], copies: int, level: float = 0.95) -> Memory:
    """pairs: an arm with copies and the deduplicated one, of each seed. copies: more than 0, in the duplicated arm.
    level: of the differences. Seeds are the cases. The arms are compared on the same passages, and what the arms differ
    by on passages of no copy is taken off the difference in excess: it is no memory."""
    hits: dict[str, list[Floats]] = {arm: [] for arm in ARMS}
    runs: dict[str, list[float]] = {arm: [] for arm in ARMS}
    bits: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for pair in pairs:
        for arm, one in zip(ARMS, pair, strict=True):
            mine, none = one.copies == copies, one.copies == 0
            hits[arm].append(one.extractable[mine])
            runs[arm].append(float(one.followed[mine].mean()))
            bits[arm].append(float(one.bits[none].mean() - one.bits[mine].mean()))
    return Memory(
        {arm: planted.shares_over_seeds(found) for arm, found in hits.items()},
        {arm: over_seeds(found) for arm, found in runs.items()},
        {arm: over_seeds(found) for arm, found in bits.items()},
        planted.shares_apart(hits[ARMS[0]], hits[ARMS[1]], level),
        over_seeds(np.subtract(bits[ARMS[0]], bits[ARMS[1]]), level),
    )


def harm(pairs: Sequence[tuple[Measured, Measured]], level: float = 0.95) -> dict[str, Estimate]:
    """Bits per byte of each held-out text: an arm with copies less the deduplicated one."""
    names = pairs[0][0].held
    return {
        name: over_seeds([first.held[name] - second.held[name] for first, second in pairs], level) for name in names
    }


def decided_on(pairs: Sequence[tuple[Measured, Measured]]) -> tuple[dict[str, Estimate], Memory, list[Estimate]]:
    """What `decide` takes: the 95% intervals, and all of them again as wide as refutation by any of them asks."""
    hurt, most = harm(pairs), memory(pairs, MOST)
    level = 1 - 0.05 / (len(hurt) + 2)
    wide = memory(pairs, MOST, level)
    return hurt, most, [*harm(pairs, level).values(), wide.extractable_difference, wide.excess_difference]


def decide(hurt: Mapping[str, Estimate], most: Memory, wide: Sequence[Estimate]) -> tuple[Verdict, str]:
    """The rule. hurt: bits per byte, duplicated less deduplicated, by text; most: of the most copied passages. wide:
    all these with intervals that together err at most 5% of the time (Bonferroni, which is Holm's first step)."""
    needed = [*hurt.values(), most.extractable_difference, most.excess_difference]
    said = ", ".join(f"{one} bits per byte on {name}" for name, one in hurt.items())
    because = (
        f"duplicates cost {said}; of passages of {MOST} copies {most.extractable['duplicated'].value:.0%} are "
        f"extractable, {most.extractable['deduplicated'].value:.0%} after deduplication (difference "
        f"{most.extractable_difference}), and their excess likelihood is {most.excess_difference} bits per byte higher."
    )
    if all(one.low > 0 for one in needed):
        return Verdict.HOLDS, because
    if any(one.high < 0 for one in wide):
        return Verdict.DOES_NOT_HOLD, because
    return Verdict.NOT_SHOWN, because


def _finding(setting: Setting, jobs: Sequence[Job], by_seed: Sequence[Arms], found: Texts) -> Finding:
    seeds, job = len(by_seed), jobs[0]
    pairs = [(one.duplicated, one.deduplicated) for one in by_seed]
    hurt, most, wide = decided_on(pairs)
    by = {k: memory(pairs, k) for k in COPIES[1:]}
    verdict, because = decide(hurt, most, wide)
    each = int((job.copies == MOST).sum())
    size = dict(zip(ARMS, zip(*pairs, strict=True), strict=True)) | {FEW: [one.few for one in by_seed]}
    documents = {arm: float(np.mean([one.documents for one in models])) for arm, models in size.items()}
    whole = {arm: float(np.mean([one.bytes for one in models])) for arm, models in size.items()}
    copied_share = {arm: 1 - whole[ARMS[1]] / whole[arm] for arm in size}
    figures = [
        Figure(f"{name}: cost of duplicates", one.value, one.low, one.high, "bit/byte", len(job.held[name]), seeds,
               "duplicated less deduplicated; above zero: duplicates hurt")
        for name, one in hurt.items()
    ]  # fmt: skip
    few = [(one.few, one.deduplicated) for one in by_seed]
    little = memory(few, MOST)
    which = f"where {copied_share[FEW]:.0%} of the bytes are copies"
    figures += [
        Figure(f"{name}: cost of duplicates {which}", one.value, one.low, one.high, "bit/byte", len(job.held[name]),
               seeds, "decides nothing")
        for name, one in harm(few).items()
    ]  # fmt: skip
    figures.append(Figure(f"excess likelihood of passages of {fewer(np.array(MOST))} copies {which}, more than "
                          "deduplicated", little.excess_difference.value, little.excess_difference.low,
                          little.excess_difference.high, "bit/byte", each, seeds, "decides nothing"))  # fmt: skip
    for k, one in by.items():
        share, excess = one.extractable_difference, one.excess_difference
        which = f"with {k} {'copy' if k == 1 else 'copies'}, more than deduplicated"
        figures.append(Figure(f"extractable {which}", share.value, share.low,
                              share.high, "share", each, seeds))  # fmt: skip
        figures.append(Figure(f"excess likelihood {which}", excess.value, excess.low,
                              excess.high, "bit/byte", each, seeds))  # fmt: skip
    rows = [
        [str(k), *(str(getattr(one, what)[arm]) for what in ("extractable", "followed", "excess") for arm in ARMS)]
        for k, one in by.items()
    ]
    columns = ["copies", *(f"{what}, {arm}" for what in
               ("extractable share", f"bytes followed of {SUFFIX}", "excess, bit/byte") for arm in ARMS)]  # fmt: skip
    scores = Table(
        "Bits per byte", ["text", *(f"{arm} ({copied_share[arm]:.0%} copies)" for arm in size)],
        [[name, *(str(over_seeds([one.held[name] for one in models])) for models in size.values())]
         for name in job.held],
    )  # fmt: skip
    by_copies = Table(
        "Memory by number of copies", columns, rows,
        "Excess: bits per byte less than passages that were never trained on. Intervals are Student's t over seeds; "
        f"greedy writing follows {over_seeds([float(one.followed[one.copies == 0].mean()) for one in size[ARMS[0]]])} "
        "bytes of the latter.",
    )  # fmt: skip
    words = {
        "text": where_text_is_from(setting.data),
        "corpus": f"{documents[ARMS[0]]:,.0f} documents of {whole[ARMS[0]]:,.0f} bytes, of which Tamis's deduplication "
        f"(exact, then MinHash at Jaccard 0.8) leaves {documents[ARMS[1]]:,.1f} of {whole[ARMS[1]]:,.0f} bytes: "
        f"{copied_share[ARMS[0]]:.0%} of the bytes are copies",
        FEW: f"the same passages with a fifteenth of their copies, rounded up (64 become 5): {documents[FEW]:,.0f} "
        f"documents of {whole[FEW]:,.0f} bytes, of which {copied_share[FEW]:.1%} are copies",
        "planted": f"{len(job.passages)} passages of {LENGTH} characters, {each} for each of 0, 1, 4, 16 and 64 "
        "copies, dealt anew for every seed; every second copy ends in a line of its own",
        "training": f"decoder of {job.size} parameters on bytes, Muon, {job.steps * planted.BATCH * planted.CONTEXT:,} "
        f"tokens in every arm: one epoch of the duplicated corpus, {whole[ARMS[0]] / whole[ARMS[1]]:.2f} of the "
        f"deduplicated one, {whole[ARMS[0]] / whole[FEW]:.2f} of that with few copies",
        "memory": f"the next {SUFFIX} bytes of a passage after its first {PREFIX}, written greedily without an error",
        "held out": found.proof.splitlines()[0].removeprefix("held out").strip()
        + ": " + ", ".join(f"{name} ({len(one)} documents)" for name, one in job.held.items()),
    }  # fmt: skip
    picture = _picture(setting.out / "duplicates.png", by, size, list(job.held))
    return Finding(verdict, because, words, figures, seeds, [scores, by_copies], [picture])


def _picture(
    path: Path, by: Mapping[int, Memory], size: Mapping[str, Sequence[Measured]], texts: Sequence[str]
) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(12, 3.9), layout="constrained")
    FigureCanvasAgg(drawing)
    panels = drawing.subplots(1, 3)
    colours = {"duplicated": "#c4541d", FEW: "#8a8a2b", "deduplicated": "#1d6fa5"}
    shown = ("duplicated", FEW, "deduplicated")
    titles = ("extractable", f"Share of passages written on\nword for word ({SUFFIX} bytes after {PREFIX})"), (
        "excess", "Excess likelihood: bits per byte less than\npassages never trained on")  # fmt: skip
    for panel, (what, title) in zip(panels, titles, strict=False):
        panel.axhline(0, color="0.7", lw=0.8)
        for arm in ARMS:
            shift = 0.96 if arm == "duplicated" else 1.04
            found = [getattr(one, what)[arm] for one in by.values()]
            error = [[one.value - one.low for one in found], [one.high - one.value for one in found]]
            panel.errorbar([k * shift for k in by], [one.value for one in found], error, marker="o", capsize=3,
                           color=colours[arm], label=arm)  # fmt: skip
        panel.set_xscale("log", base=2)
        panel.set_xticks(list(by), [str(k) for k in by])
        panel.set(xlabel="copies planted in the corpus", title=title)
    panels[0].set_ylim(-0.05, 1.05)
    panels[0].legend(frameon=False)
    for place, name in enumerate(texts):
        xs = [3 * place + x for x in range(3)]
        for models in zip(*(size[arm] for arm in shown), strict=True):
            ys = [one.held[name] for one in models]
            panels[2].plot(xs, ys, color="0.6", lw=1, zorder=1)
            panels[2].scatter(xs, ys, color=[colours[arm] for arm in shown], zorder=2)
        panels[2].annotate(name, (3 * place + 1, 1), xycoords=("data", "axes fraction"), ha="center", va="top",
                           xytext=(0, -4), textcoords="offset points")  # fmt: skip
    panels[2].margins(x=0.15, y=0.2)
    names = ["dupl.", "few", "dedupl."]
    panels[2].set_xticks([3 * place + x for place in range(len(texts)) for x in range(3)], names * len(texts))
    panels[2].set(title="Bits per byte of unseen text\n(a line is a seed; lower is better)")
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, dpi=110)
    return path
