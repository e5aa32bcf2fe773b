"""Claim (c): a small clean corpus against a large dirty one at equal compute.

The small corpus is read again and again, the large one hardly once: both models, equal in shape, see the same number
of tokens. Dirt is what extraction leaves on the real web (all visible text of pages whose content people have marked)
where TAMIS_DATA has such pages, else dirt made to a stated share. Text of other sources decides, because each model
is at home in its own corpus.

Every seed draws documents, initial weights and data order anew, so the intervals cover all three. How many passes
over the small corpus it takes until the large one is as good, the break-even, is read off between the measured
lengths of training, each with its own falling learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Table, Verdict, claim

DECIDES = 4  # passes over the small corpus: to this many, repeated text is known to be worth nearly as much as new
TIMES = 16  # the large corpus holds so many times the bytes of the small one
DIRT = 0.45  # where it is made here

F64 = npt.NDArray[np.float64]


@claim(
    "clean-or-large",
    letter="c",
    version=1,
    statement=f"At equal compute, a small clean corpus read {DECIDES} times trains a better model than a dirty one "
    f"{TIMES} times as large that is read less than once.",
    source="Gunasekar et al. 2023, Textbooks Are All You Need, arXiv 2306.11644; Penedo et al. 2024, FineWeb, arXiv "
    "2406.17557; on passes: Muennighoff et al. 2023, Scaling Data-Constrained Language Models, arXiv 2305.16264",
    rule="Difference of bits per byte, dirty less clean, on text of other sources in equal parts, at the compute of "
    f"{DECIDES} passes over the small corpus, paired by seed. Holds when its 95% interval over seeds lies above 0, "
    "does not hold when it lies below, else is not shown. Other lengths of training and the break-even stand beside "
    "it and do not decide.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.many import many
    from tamis.proof.claims import _training as training
    from tamis.proof.claims._texts import rows

    context, batch = 128, setting.pick(tiny=8, small=16, grows=0)
    small = setting.pick(tiny=8_192, small=32_768)
    passes = setting.pick(tiny=(1, DECIDES), small=(1, 2, DECIDES, 8))
    seeds = setting.seeds(tiny=2, small=5)
    windows = setting.pick(tiny=4, small=24, grows=0)
    matter = _matter(setting, small, windows * (context + 1) * 4)
    texts = {name: rows(docs, context, windows) for name, docs in matter.references.items()}
    per_pass = small // (batch * context)
    jobs = []
    for seed in seeds:
        for arm, tokens in zip(("clean", "dirty"), matter.draw(seed), strict=True):
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
            "share of dirt, of characters": round(matter.share, 3),
            "bytes of the small corpus": small,
            "bytes of the large corpus": TIMES * small,
            "text that decides": ", ".join(texts),
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


# --- the two corpora ---


@dataclass(frozen=True)
class Matter:
    """pages: (clean, dirty) text of each document. references: text of other sources, by name."""

    pages: list[tuple[str, str]]
    small: int
    share: float
    clean_is: str
    dirty_is: str
    references: dict[str, list[tuple[str, str]]]

    def draw(self, seed: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """The small clean corpus and the large dirty one of one seed, of different documents. Raises Missing."""
        from tamis.proof.claims._texts import size, stream, upto

        order = np.random.default_rng(seed).permutation(len(self.pages))
        clean = upto([(str(i), self.pages[i][0]) for i in order], self.small)
        dirty = [(str(i), self.pages[i][1]) for i in order[len(clean) :]]
        wanted = TIMES * self.small
        if size(clean) < self.small or size(dirty) < wanted:
            raise Missing(
                f"{size(clean):,} bytes of clean and {size(dirty):,} of dirty text are here; {self.small:,} and "
                f"{wanted:,} are needed"
            )
        return stream(clean, self.small), stream(dirty, wanted)


def _matter(setting: Setting, small: int, reference: int) -> Matter:
    """Of the real web, or made here."""
    from tamis.proof.claims import _texts as texts
    from tamis.proof.claims import material
    from tamis.proof.claims._dirt import dirty

    needed = (TIMES + 2) * small
    if setting.data is None:
        try:
            pages = texts.web_pages(10_000 if not setting.tiny else 60)
            references = {
                "documentation": material.text(reference, setting.seed),
                "Reddit posts": texts.reddit(reference, setting.seed),
                "novels": texts.books(reference, setting.seed),
            }
        except Missing:
            pass
        else:
            both = [(page.clean, page.raw) for page in pages]
            return Matter(
                both, small, texts.dirt_share(pages), "web pages, the text that people marked as their content",
                "other web pages, all visible text of their HTML, as in WET files", references,
            )  # fmt: skip
    kinds = texts.kinds(needed, reference, setting.seed, setting.data)
    clean = kinds.first
    soiled = dict(dirty(clean, DIRT, setting.seed))
    return Matter(
        [(body, soiled[name]) for name, body in clean], small, DIRT, kinds.names[0],
        f"other {kinds.names[0]} with menus, notices, markup, wrong encodings mixed in",
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
    log scale). gaps (seeds, passes). A seed whose gap does not change sign has its break-even outside."""
    x = np.log2(np.asarray(passes, np.float64))
    found = [_crossing(x, gap) for gap in gaps]
    inside = np.array([one for one in found if np.isfinite(one)])
    name, unit, seeds = "break-even", "passes", len(gaps)
    if len(inside) == seeds and seeds > 1:
        value, low, high = (float(2**one) for one in interval(inside))
        figure = Figure(name, value, low, high, unit, len(passes), seeds, "n counts lengths of training")
        return figure, f"break-even at {value:.1f} passes [{low:.1f}, {high:.1f}]"
    beyond = sum(one == np.inf for one in found)
    before = sum(one == -np.inf for one in found)
    if beyond > before:
        edge, said = float(passes[-1]), f"break-even beyond {passes[-1]} passes in {beyond} of {seeds} seeds"
    else:
        edge, said = float(passes[0]), f"break-even before {passes[0]} pass in {before} of {seeds} seeds"
    return Figure(name, edge, None, None, unit, len(passes), seeds, f"a bound, not a value: {said}"), said


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
