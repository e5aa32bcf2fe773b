"""(h) Test items in the corpus inflate the score: by how much, per copy.

Items are made of text that any machine has: the beginning of a paragraph, and which of four pieces of text goes on with
it; the three others go on with paragraphs of documents that are nowhere in the corpus, and have nearly the same length.
With TAMIS_DATA there is a second set of real items (CommonsenseQA). Every item, question with right answer, is planted
0, 1, 4, 16 or 64 times into clean text; one model is trained on it for one epoch; the score of items of each number of
copies is compared with that of items of none, in the same model.

Small models know little: the clean score is near chance, and all that copies add is memory. The figures say how memory
of an item grows with copies here, not what a benchmark score of a large model is worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims import _planted as planted
from tamis.proof.claims import material
from tamis.proof.claims._planted import COPIES, Estimate, Floats, Ints, over_seeds
from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Table, Verdict, claim
from tamis.proof.items import Item

MADE, REAL = "continuations", "CommonsenseQA"
OPTIONS = 4
PROMPT, ENDING, LOOSE = 75, 48, 8  # bytes at most, so that an item fits the model's context; how many fewer
MOST = COPIES[-1]
LITTLE = 0.02  # an inflation that would not matter
MEASURES = ("accuracy", "probability", "bits")


@dataclass(frozen=True)
class Job:
    """One model, trained on a corpus with items of one set in it."""

    name: str
    seed: int
    size: str
    corpus: list[str] = field(repr=False)
    items: list[Item] = field(repr=False)
    copies: Ints = field(repr=False)


@dataclass(frozen=True)
class Scores:
    """Of one model and every item: whether its best option per byte is right, the probability of the right option
    among its options, bits per byte of the right answer; and the item's copies."""

    accuracy: Floats
    probability: Floats
    bits: Floats
    copies: Ints


@dataclass(frozen=True)
class Inflation:
    """Of one set of items and one measure: by copies the value and how much more it is than without copies, and the
    rise with every doubling of copies from 1 on (least squares)."""

    value: dict[int, Estimate]
    more: dict[int, Estimate]
    doubling: Estimate


@claim(
    "contamination",
    letter="h",
    version=1,
    statement="Test items in the training data inflate the score, and the more copies the more.",
    source="Magar and Schwartz 2022, Data Contamination: From Memorization to Exploitation, "
    "https://arxiv.org/abs/2203.08242; Jiang et al. 2024, https://arxiv.org/abs/2401.06059; Bordt et al. 2024, "
    "https://arxiv.org/abs/2410.03249",
    rule="accuracy (options by likelihood per byte) of items with copies in the corpus less that of items without, in "
    "the same model. It holds when on the items made of text the 95% intervals over seeds lie above zero both for "
    f"items of {MOST} copies and for the rise with every doubling of copies. It does not hold when the former lies "
    f"below {LITTLE} throughout. Otherwise it is not shown.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.many import many

    base, each = setting.pick(25_000, 120_000), setting.pick(3, 24)
    seeds, count = setting.seeds(2, 5), each * len(COPIES)
    texts = planted.documents(base + 9000 * count, setting.seed, setting.data)
    first = planted.upto(texts, base)
    sets = {seed: _sets(texts[first:], count, seed, texts[:first]) for seed in seeds}
    jobs = list(_jobs(texts[:first], sets, setting.pick("0.05M", "0.2M")))
    scores = many(measure, jobs, setting.processes, describe=lambda job: f"{job.name}, seed {job.seed}", title="models")
    by_set = {name: [one for job, one in zip(jobs, scores, strict=True) if job.name == name] for name in sets[seeds[0]]}
    return _finding(setting, jobs, by_set)


def _sets(documents: Sequence[str], count: int, seed: int, base: Sequence[str]) -> dict[str, list[Item]]:
    """The items of one seed, by set: other ones for every seed, so that intervals over seeds are about items too."""
    real = real_items(count, seed)
    return {MADE: made_items(documents, count, seed, base)} | ({REAL: real} if real else {})


def _jobs(base: list[str], sets: Mapping[int, Mapping[str, list[Item]]], size: str) -> Iterator[Job]:
    for seed, by_name in sets.items():
        for name, items in by_name.items():
            copies = planted.dealt(len(items), seed)
            texts = [text for item, k in zip(items, copies, strict=True) for text in int(k) * [as_text(item)]]
            yield Job(name, seed, size, planted.corpus(base, texts, seed), items, copies)


def as_text(item: Item) -> str:
    """How an item stands in the corpus: as it is asked, with its right answer."""
    return f"{item.prompt} {item.answer}"


def made_items(documents: Sequence[str], wanted: int, seed: int, base: Sequence[str] = ()) -> list[Item]:
    """`wanted` items of OPTIONS options: documents drawn by `seed` give paragraphs and how they go on, the others the
    wrong options, each of which serves in nearly as many items as the others. Nothing of an item stands in `base`.
    Raises Missing."""
    random = np.random.default_rng([seed, 3])
    found = _distinct(documents, planted.flat(base))
    found = [found[i] for i in random.permutation(len(found))]
    if len(found) < 2 * wanted:
        raise Missing(f"{len(found)} documents have a paragraph long enough; {2 * wanted} are needed")
    asked, spare = found[:wanted], sorted((ending for _, ending in found[wanted:]), key=lambda one: (len(one), one))
    # In the order of length the i-th item meets its neighbours among the wrong options, which are as long as its own.
    order = sorted(range(wanted), key=lambda i: (len(asked[i][1]), i))
    places = {number: rank * len(spare) // wanted for rank, number in enumerate(order)}
    rights = np.resize(np.arange(OPTIONS), wanted)
    random.shuffle(rights)
    items = []
    for number, (prompt, ending) in enumerate(asked):
        wrong = [spare[(places[number] + step) % len(spare)] for step in range(OPTIONS - 1)]
        options = [wrong[i] for i in random.permutation(OPTIONS - 1)]
        options.insert(int(rights[number]), ending)
        items.append(Item(f"made/{number}", prompt, ending, tuple(options), int(rights[number])))
    return items


def _distinct(documents: Sequence[str], base: str) -> list[tuple[str, str]]:
    """Of each document one pair of which neither half stands in the corpus or in a pair before: documents share
    notices and warnings."""
    seen: set[str] = set()
    found = []
    for body in documents:
        pairs = (one for one in _pairs(body) if not seen.intersection(one) and not any(half in base for half in one))
        pair = next(pairs, None)
        if pair is not None:
            seen.update(pair)
            found.append(pair)
    return found


def _pairs(body: str) -> Iterator[tuple[str, str]]:
    """The beginning of each long paragraph, the last one first, and how it goes on, cut between words."""
    for paragraph in reversed(planted.paragraphs(body)):
        words = paragraph.split(" ")
        prompt = _fill(words, PROMPT)
        ending = _fill(words[prompt:], ENDING)
        if len(" ".join(words[: prompt + ending]).encode()) >= PROMPT + ENDING - 2 * LOOSE:
            yield " ".join(words[:prompt]), " ".join(words[prompt : prompt + ending])


def _fill(words: Sequence[str], size: int) -> int:
    """How many of the first words fit into `size` bytes."""
    sizes = np.cumsum([len(word.encode()) + 1 for word in words]) - 1
    return int(np.searchsorted(sizes, size, side="right"))


def real_items(wanted: int, seed: int) -> list[Item]:
    """Items of CommonsenseQA that fit the model's context; none where TAMIS_DATA does not have them."""
    import pyarrow.parquet as pq

    try:
        path = material.file("eval/evalsets.parquet")
    except Missing:
        return []
    rows = pq.read_table(
        path, columns=["id", "text", "answer"], filters=[("set", "=", REAL.lower()), ("split", "=", "dev")]
    )
    found = []
    for row in rows.to_pylist():
        question, mark, listed = row["text"].rpartition("? ")
        options = tuple(listed.split(" / "))
        right = ord(row["answer"]) - ord("A")
        longest = len(question.encode()) + max(len(one.encode()) for one in options) + 3
        if mark and len(options) == 5 and 0 <= right < 5 and longest <= planted.CONTEXT:
            found.append(Item(str(row["id"]), question + "?", options[right], options, right))
    chosen = np.random.default_rng([seed, 4]).permutation(len(found))[:wanted]
    return [found[i] for i in chosen] if len(chosen) == wanted else []


def measure(job: Job) -> Scores:
    """Trains one model for one epoch and asks it every item."""
    from tamis.models.data import ByteEncoder
    from tamis.proof.choices import multiple_choice

    model = planted.train(job.corpus, planted.steps_of(job.corpus), job.size, job.seed)
    found = multiple_choice(model, job.items, ByteEncoder())
    right = [int(one) for one in found.right]
    _, hits = found.confidence(per_byte=True)
    sizes = [one[r] for one, r in zip(found.bytes, right, strict=True)]
    nats = [-one[r] for one, r in zip(found.scores, right, strict=True)]
    likely = [float(one[r]) for one, r in zip(found.probabilities(), right, strict=True)]
    bits = np.array(nats) / np.log(2) / np.array(sizes)
    return Scores(hits.astype(np.float64), np.array(likely), bits, job.copies)


def inflation(scores: Sequence[Scores], measure: str) -> Inflation:
    """Seeds are the cases: of every model the mean over the items of each number of copies."""
    means = [planted.mean_by_copies(getattr(one, measure), one.copies) for one in scores]
    value = {k: over_seeds([one[k] for one in means]) for k in COPIES}
    more = {k: over_seeds([one[k] - one[0] for one in means]) for k in COPIES[1:]}
    x = np.log2(np.array(COPIES[1:], np.float64))
    slopes = [float(np.polyfit(x, [one[k] for k in COPIES[1:]], 1)[0]) for one in means]
    return Inflation(value, more, over_seeds(slopes))


def decide(accuracy: Inflation) -> tuple[Verdict, str]:
    """The rule."""
    most, clean = accuracy.more[MOST], accuracy.value[0]
    because = (
        f"items of {MOST} copies score {accuracy.value[MOST].value:.3f}, items of none {clean.value:.3f}: an inflation "
        f"of {most}; every doubling of copies adds {accuracy.doubling}, the first copy {accuracy.more[1]}."
    )
    if most.low > 0 and accuracy.doubling.low > 0:
        return Verdict.HOLDS, because
    if most.high < LITTLE:
        return Verdict.DOES_NOT_HOLD, because
    return Verdict.NOT_SHOWN, because


def _finding(setting: Setting, jobs: Sequence[Job], by_set: Mapping[str, Sequence[Scores]]) -> Finding:
    all_ = {name: {one: inflation(scores, one) for one in MEASURES} for name, scores in by_set.items()}
    verdict, because = decide(all_[MADE]["accuracy"])
    seeds = len(by_set[MADE])
    each = int((jobs[0].copies == MOST).sum())
    figures, tables = [], []
    for name, found in all_.items():
        for k, one in found["accuracy"].more.items():
            figures.append(Figure(f"{name}: accuracy with {k} {'copy' if k == 1 else 'copies'}, more than clean",
                                  one.value, one.low, one.high, "share", each, seeds))  # fmt: skip
        slope = found["accuracy"].doubling
        figures.append(Figure(f"{name}: accuracy for every doubling of copies", slope.value, slope.low, slope.high,
                              "share", each * len(COPIES[1:]), seeds, "least squares, 1 to 64 copies"))  # fmt: skip
        slope = found["bits"].doubling
        figures.append(Figure(f"{name}: bits of the right answer for every doubling", slope.value, slope.low,
                              slope.high, "bit/byte", each * len(COPIES[1:]), seeds))  # fmt: skip
        tables.append(Table(
            f"{name}: by copies in the corpus",
            ["copies", "accuracy", "more than clean", "probability of the right option", "bits per byte of the answer"],
            [[str(k), str(found["accuracy"].value[k]), str(found["accuracy"].more[k]) if k else "",
              str(found["probability"].value[k]), str(found["bits"].value[k])] for k in COPIES],
            f"{each} items for each number of copies and seed. Intervals are Student's t over seeds, each of which "
            f"has other items. Chance is {chance(jobs, name):.2f}.",
        ))  # fmt: skip
    sizes = [sum(len(one.encode()) + 1 for one in job.corpus) for job in jobs]
    job = jobs[0]
    added = sum(int(k) * (len(as_text(item).encode()) + 1) for item, k in zip(job.items, job.copies, strict=True))
    words = {
        "text": material.where_text_is_from(setting.data),
        "items": f"{len(job.items)} of a set, {each} for each of 0, 1, 4, 16 and 64 copies, other ones for every seed; "
        f"a planted item is a document of its own, the question with its right answer; {MADE}: {OPTIONS} options, the "
        "wrong ones of the same length and from documents that are not in the corpus"
        + (f"; {REAL}: 5 options, development split" if REAL in by_set else ""),
        "training": f"decoder of {job.size} parameters on bytes, Muon, one epoch of {min(sizes):,} to {max(sizes):,} "
        f"bytes, of which planted items are {added / sizes[0]:.0%}",
        "score": "the option of highest likelihood per byte after the question",
    }
    picture = _picture(setting.out / "contamination.png", all_, {name: chance(jobs, name) for name in all_})
    return Finding(verdict, because, words, figures, seeds, tables, [picture])


def chance(jobs: Sequence[Job], name: str) -> float:
    return float(np.mean([1 / len(item.options) for job in jobs if job.name == name for item in job.items]))


def _picture(path: Path, by_set: Mapping[str, Mapping[str, Inflation]], chances: Mapping[str, float]) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(9.5, 3.9), layout="constrained")
    FigureCanvasAgg(drawing)
    panels: npt.NDArray[Any] = drawing.subplots(1, 2)
    titles = {"accuracy": "Accuracy (dotted: chance)", "bits": "Bits per byte of the right answer"}
    for panel, (measure, title) in zip(panels, titles.items(), strict=True):
        for (name, found), colour in zip(by_set.items(), ("#c4541d", "#1d6fa5"), strict=False):
            shown = list(found[measure].value.values())
            error = [[one.value - one.low for one in shown], [one.high - one.value for one in shown]]
            panel.errorbar(range(len(COPIES)), [one.value for one in shown], error, marker="o", capsize=3,
                           color=colour, label=name)  # fmt: skip
            if measure == "accuracy":
                panel.axhline(chances[name], color=colour, ls=":", lw=1)
        panel.set_xticks(range(len(COPIES)), [str(k) for k in COPIES])
        panel.set(xlabel="copies of the item in the corpus", title=title)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(0, 1.05)
    panels[1].set_ylim(bottom=0)
    panels[0].legend(frameon=False)
    drawing.savefig(path, dpi=110)
    return path
