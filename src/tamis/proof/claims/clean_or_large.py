"""Claim (c): a small clean corpus against a large dirty one at equal compute.

The small corpus is read again and again, the large one hardly once: both models, equal in shape, see the same number
of tokens. Dirt is what extraction leaves on the real web (all visible text of pages whose content people have marked)
where TAMIS_DATA has such pages, else dirt made to a stated share. Of each page a piece is taken, so that no single one
makes up a corpus. Text of other sources decides, because each model is at home in its own corpus; it shares no 13
words with any text that is trained on.

Every seed draws pages, pieces of them, initial weights and data order anew, so the intervals cover all of these, as far
as the pages that are here go: seeds share some. How many passes over the small corpus it takes until the large one is
as good, the break-even, is read off between the measured lengths of training, each with its own falling learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Table, Verdict, claim
from tamis.proof.claims.material import Documents

DECIDES = 4  # passes over the small corpus: to this many, repeated text is known to be worth nearly as much as new
TIMES = 16  # the large corpus holds so many times the bytes of the small one
DIRT = 0.45  # where it is made here
LONGEST = 3000  # characters of a page
LEAST_FOR_MEDIAN = 6  # seeds; under them even the smallest and the largest one hold the median in under 95%

F64 = npt.NDArray[np.float64]


@claim(
    "clean-or-large",
    letter="c",
    # 2: pieces of pages instead of whole ones, more seeds, held-out text of many documents with proof, copies in made
    # dirt, break-even as a median with seeds outside counted.
    version=2,
    statement=f"At equal compute, a small clean corpus (pieces of some ten pages) read {DECIDES} times trains a better "
    f"small model than a dirty one {TIMES} times as large that is read less than once.",
    source="Gunasekar et al. 2023, Textbooks Are All You Need, arXiv 2306.11644; Penedo et al. 2024, FineWeb, arXiv "
    "2406.17557; on passes: Muennighoff et al. 2023, Scaling Data-Constrained Language Models, arXiv 2305.16264",
    rule="Difference of bits per byte, dirty less clean, on text of other sources in equal parts, at the compute of "
    f"{DECIDES} passes over the small corpus, paired by seed. Holds when its 95% interval over seeds lies above 0, "
    "does not hold when it lies below, else is not shown. Other lengths of training and the break-even (the median of "
    "the seeds, where those that cross beyond the measured lengths count as beyond) stand beside it and do not decide. "
    "Pieces of pages and more seeds came after a first run (not shown) was reviewed; this is a new run.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.many import many
    from tamis.proof.claims import _training as training
    from tamis.proof.claims._texts import held_out, rows, stream

    context, batch = 128, setting.pick(tiny=8, small=16, grows=0)
    small = setting.pick(tiny=8_192, small=24_576)
    passes = setting.pick(tiny=(1, DECIDES), small=(1, 2, DECIDES, 8))
    seeds = setting.seeds(tiny=2, small=12)
    windows = setting.pick(tiny=4, small=48, grows=0)
    matter = _matter(setting, small, windows)
    drawn = [matter.draw(seed) for seed in seeds]
    trained_on = (body for one in drawn for docs in (one.clean, one.dirty) for _, body in docs)
    apart = held_out(matter.references, trained_on, windows)
    texts = {name: rows(docs, context, windows) for name, docs in apart.texts.items()}
    per_pass = small // (batch * context)
    jobs = []
    for seed, both in zip(seeds, drawn, strict=True):
        for arm, docs, length in (("clean", both.clean, small), ("dirty", both.dirty, TIMES * small)):
            tokens = stream(docs, length)
            for many_times in passes:
                steps = per_pass * many_times
                name = f"{arm}, {many_times} passes, seed {seed}"
                jobs.append(
                    training.Job(
                        name, tokens, steps, seed, texts, training.bits, (steps,), context=context, batch=batch
                    )
                )
    found = many(training.trained, jobs, setting.processes, describe=lambda job: job.name)
    scores = np.array(
        [[one[job.steps][name].mean() for name in texts] for job, one in zip(jobs, found, strict=True)]
    ).reshape(len(seeds), 2, len(passes), len(texts))
    judged = judge(scores.mean(-1), passes, sum(len(one) for one in texts.values()))
    picture = setting.out / "clean-or-large.png"
    draw(scores.mean(-1), passes, picture)
    config = training.config_of(jobs[0].shape, context)
    return Finding(
        verdict=Verdict.NOT_SHOWN if setting.tiny else judged.verdict,
        because=judged.because,
        setting={
            "clean": matter.clean_is,
            "dirty": matter.dirty_is,
            "share of dirt, of characters": round(float(np.mean([one.share for one in drawn])), 3),
            "small corpus": f"{small:,} bytes, pieces of {_range([one.pages[0] for one in drawn])} pages",
            "large corpus": f"{TIMES * small:,} bytes, pieces of {_range([one.pages[1] for one in drawn])} other pages",
            "pages to draw from": len(matter.pages),
            "text that decides": apart.said,
            "optimizer": f"Muon, rate {jobs[0].lr:g} for both corpora and all lengths, not tuned",
            "model": f"decoder, {config.parameters:,} parameters without embeddings, bytes, context {context}",
            "tokens of each training": ", ".join(f"{per_pass * one * batch * context:,}" for one in passes),
            "passes over the large corpus": ", ".join(f"{one / TIMES:g}" for one in passes),
            "trainings": len(jobs),
        },
        figures=judged.figures,
        seeds=len(seeds),
        tables=[_table(scores, passes, list(texts))],
        pictures=[picture],
    )


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)} to {max(counts)}"


# --- the two corpora ---


@dataclass(frozen=True)
class Drawn:
    """The two corpora of one seed, of different pages; the last document of each goes beyond its bytes. share: of dirt
    in the dirty one, of its characters."""

    clean: Documents
    dirty: Documents
    share: float

    @property
    def pages(self) -> tuple[int, int]:
        """Behind the clean and the dirty corpus. A copy is of no other page."""
        first, second = ({_page(name) for name, _ in docs} for docs in (self.clean, self.dirty))
        return len(first), len(second)


@dataclass(frozen=True)
class Matter:
    """pages: (clean, raw) text of each; raw is None where dirt is made here. references: text of other sources, by
    name."""

    pages: list[tuple[str, str | None]]
    small: int
    clean_is: str
    dirty_is: str
    references: dict[str, Documents]

    def draw(self, seed: int) -> Drawn:
        """The small clean corpus and the large dirty one. Raises Missing."""
        from tamis.proof.claims import _texts as texts
        from tamis.proof.claims._dirt import dirty

        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.pages))
        pieces = ((str(i), piece(self.pages[i][0], rng)) for i in order)
        clean = texts.upto(pieces, self.small)
        rest, wanted = order[len(clean) :], TIMES * self.small
        if any(self.pages[i][1] is None for i in rest):
            bare = [(str(i), piece(self.pages[i][0], rng)) for i in rest]
            soiled = texts.upto(dirty(bare, DIRT, seed), wanted)
            share = added(dict(bare), soiled)
        else:
            soiled = texts.upto(((str(i), piece(self.pages[i][1] or "", rng)) for i in rest), wanted)
            share = texts.dirt_share([texts.Page(i, self.pages[int(i)][0], body) for i, body in soiled])
        if texts.size(clean) < self.small or texts.size(soiled) < wanted:
            raise Missing(
                f"{texts.size(clean):,} bytes of clean and {texts.size(soiled):,} of dirty text are here; "
                f"{self.small:,} and {wanted:,} are needed"
            )
        return Drawn(clean, soiled, share)


def piece(body: str, rng: np.random.Generator) -> str:
    """LONGEST characters of a page from a place drawn at random, from the beginning of a line or else of a word."""
    if len(body) <= LONGEST:
        return body
    start = int(rng.integers(len(body) - LONGEST + 1))
    for end in ("\n", " "):
        at = body.find(end, start, start + LONGEST // 4)
        if start and at >= 0:
            start = at + 1
            break
    return body[start : start + LONGEST]


def added(clean: Mapping[str, str], soiled: Documents) -> float:
    """Share of the characters that dirt added. A page given twice is clean once at most."""
    once = {_page(name) for name, _ in soiled}
    whole = sum(len(body) for _, body in soiled)
    return max(0.0, 1 - sum(len(clean[name]) for name in once) / whole) if whole else 0.0


def _page(name: str) -> str:
    from tamis.proof.claims._dirt import AGAIN

    return name.removesuffix(AGAIN)


def _matter(setting: Setting, small: int, windows: int) -> Matter:
    """Of the real web, or made here."""
    from tamis.proof.claims import _texts as texts
    from tamis.proof.claims import material

    if setting.data is None:
        wide = windows * material.LONGEST // 2  # so many bytes that most held-out pieces are of different documents
        try:
            pages = texts.web_pages(10_000 if not setting.tiny else 70)
            references = {
                "documentation": material.text(wide, setting.seed),
                "Reddit posts": texts.reddit(2 * windows * texts.HELD_LONGEST, setting.seed),
                "novels": texts.books(wide, setting.seed),
            }
        except Missing:
            pass
        else:
            return Matter(
                [(page.clean, page.raw) for page in pages], small,
                "web pages, the text that people marked as their content",
                "other web pages, all visible text of their HTML, as in WET files", references,
            )  # fmt: skip
    # Pages are cut, and a part of what is held out may share words with what is trained on.
    needed, reference = 2 * (TIMES + 2) * small, 4 * windows * texts.HELD_LONGEST
    kinds = texts.kinds(needed, reference, setting.seed, setting.data)
    return Matter(
        [(body, None) for _, body in kinds.first], small, kinds.names[0],
        f"other {kinds.names[0]} with menus, notices, markup, wrong encodings and copies mixed in",
        {kinds.names[1]: texts.upto(kinds.second, reference), kinds.names[2]: kinds.reference},
    )  # fmt: skip


# --- the verdict ---


@dataclass(frozen=True)
class Judged:
    verdict: Verdict
    because: str
    figures: list[Figure]


def judge(scores: F64, passes: Sequence[int], windows: int) -> Judged:
    """scores: bits per byte (seeds, clean and dirty, passes); windows of text behind each."""
    gaps = scores[:, 1] - scores[:, 0]
    figures: list[Figure] = []
    for at, count in enumerate(passes):
        value, low, high = interval(gaps[:, at])
        figures.append(
            Figure(
                f"dirty less clean after {count} pass{'es' * (count > 1)} of the small", value, low, high, "bit/byte",
                windows, len(gaps), "decides; above 0: clean is better" if count == DECIDES else "",
            )
        )  # fmt: skip
    crossing, said = break_even(gaps, passes)
    figures.insert(0, figures.pop(list(passes).index(DECIDES)))
    figures.insert(1, crossing)
    value, low, high = interval(gaps[:, list(passes).index(DECIDES)])
    verdict = Verdict.HOLDS if low > 0 else Verdict.DOES_NOT_HOLD if high < 0 else Verdict.NOT_SHOWN
    because = f"after {DECIDES} passes over the small corpus the dirty one is {value:+.3f} bit/byte "
    return Judged(verdict, because + f"[{low:+.3f}, {high:+.3f}] from the clean one; {said}", figures)


def break_even(gaps: F64, passes: Sequence[int]) -> tuple[Figure, str]:
    """Passes over the small corpus at which the large one has caught up for good, between the measured lengths (on a
    log scale): the median over seeds. gaps (seeds, passes).

    A seed whose gap does not change sign has its break-even outside and counts as below or above all others. The
    interval is that of order statistics (the sign test's). No value where the median is outside, no interval where one
    of its ends is, or where seeds are under 6.
    """
    x = np.log2(np.asarray(passes, np.float64))
    found = np.sort([_crossing(x, gap) for gap in gaps])
    n = len(found)
    before, beyond = int((found == -np.inf).sum()), int((found == np.inf).sum())
    outside = [f"before {passes[0]} pass in {before}"] * bool(before)
    outside += [f"beyond {passes[-1]} passes in {beyond}"] * bool(beyond)
    note = "median; n counts lengths of training"
    note += f"; {' and '.join(outside)} of {n} seeds" if outside else ""
    middle = found[[(n - 1) // 2, n // 2]]
    value = float(2 ** middle.mean()) if np.isfinite(middle).all() else np.nan
    low, high = (float(2**one) if np.isfinite(one) else None for one in _median_interval(found))
    if low is None or high is None:
        low = high = None
        note += "; no interval: an end of it is outside" if n >= LEAST_FOR_MEDIAN else "; no interval of so few seeds"
    figure = Figure("break-even", value, low, high, "passes", len(passes), n, note)
    if not np.isfinite(value):
        return figure, f"break-even {' and '.join(outside)} of {n} seeds"
    return figure, f"median break-even at {value:.1f} passes" + (
        f" [{low:.1f}, {high:.1f}]"
        if low is not None
        else f" ({' and '.join(outside)} of {n} seeds)"
        if outside
        else ""
    )


def _median_interval(found: F64, level: float = 0.95) -> tuple[float, float]:
    """Of sorted values: order statistics that hold the median with at least that probability; infinite for few."""
    from scipy.stats import binom

    n = len(found)
    at = int(binom.ppf((1 - level) / 2, n, 0.5))  # the largest whose binomial tail is still under half of what may miss
    return (float(found[at - 1]), float(found[n - at])) if at > 0 else (-np.inf, np.inf)


def _crossing(x: F64, gap: F64) -> float:
    """log2 of the passes where the gap last falls through 0; minus or plus infinity outside what was measured."""
    if gap[-1] > 0:
        return np.inf
    above = np.flatnonzero(gap > 0)
    if not len(above):
        return -np.inf
    at = int(above[-1])
    share = gap[at] / (gap[at] - gap[at + 1])
    return float(x[at] + share * (x[at + 1] - x[at]))


def interval(values: F64) -> tuple[float, float, float]:
    """Mean over seeds with its 95% interval."""
    from tamis.proof.comparison import mean_interval

    low, high, _ = mean_interval(values)
    return float(values.mean()), low, high


def _table(scores: F64, passes: Sequence[int], names: Sequence[str]) -> Table:
    """scores (seeds, arms, passes, texts)"""
    means = scores.mean(0)
    rows: list[list[str | float | None]] = [
        [arm, str(count), *map(float, means[at, place]), float(means[at, place].mean())]
        for at, arm in enumerate(("small, clean", "large, dirty"))
        for place, count in enumerate(passes)
    ]
    return Table(
        "Bits per byte by text", ["corpus", "passes of the small", *names, "all"], rows,
        "means over seeds; lower is better; both corpora at the same number of tokens",
    )  # fmt: skip


def draw(scores: F64, passes: Sequence[int], path: Path) -> None:
    """scores (seeds, arms, passes)."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(8.6, 3.8), layout="constrained")
    left, right = canvas.subplots(1, 2)
    x = np.asarray(passes, np.float64)
    for at, label, color in ((0, "small, clean", "#2a6f97"), (1, "large, dirty", "#c8553d")):
        found = np.array([interval(column) for column in scores[:, at].T])
        _line(left, x, found, label, color)
    left.set(title="text of other sources", ylabel="bit/byte (lower is better)")
    left.legend(frameon=False, fontsize=8)
    gaps = scores[:, 1] - scores[:, 0]
    for gap in gaps:
        right.plot(x, gap, color="0.8", linewidth=0.8)
    _line(right, x, np.array([interval(column) for column in gaps.T]), "", "#333333")
    right.axhline(0, color="0.5", linewidth=1, linestyle="--")
    right.set(title="dirty less clean (above 0: clean is better)", ylabel="bit/byte")
    for axes in (left, right):
        axes.axvline(DECIDES, color="#e9c46a", linewidth=5, alpha=0.5, zorder=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(x, [str(one) for one in passes])
        axes.minorticks_off()
        axes.set_xlabel("passes over the small corpus at equal compute (yellow: decides)", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=120, metadata={"Software": None})


def _line(axes: Any, x: F64, found: F64, label: str, color: str) -> None:
    """found (P, 3): mean, low, high."""
    errors = np.abs(found[:, 1:] - found[:, :1]).T
    axes.errorbar(x, found[:, 0], yerr=errors, fmt="o-", color=color, markersize=4, linewidth=1.4, capsize=3,
                  label=label or None)  # fmt: skip
