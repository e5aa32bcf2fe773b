"""(h) Test items in the corpus inflate the score: by how much, per copy.

Items are made of text that any machine has: the beginning of a paragraph, and which of four pieces of text goes on with
it; the three others go on with paragraphs of documents that are nowhere in the corpus, and have nearly the same length.
With TAMIS_DATA there is a second set of real items (CommonsenseQA). Every item, question with right answer, is planted
0, 1, 4, 16 or 64 times into clean text; one model is trained on it for one epoch, and one on as many bytes of clean
text alone. Both are asked the same items: what an item scores more in the first is its inflation.

Small models know little: the clean score is near chance, and all that copies add is memory. The figures say how memory
of an item grows with copies here, not what a benchmark score of a large model is worth. A quarter of the bytes of the
corpus are items, far more than in any real one: they also push out text that would have taught the model to read.
"""

from __future__ import annotations

import math
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
CLEAN = "clean"
WEIGHTS = (4, 4, 4, 2, 1)  # items of each number of copies: few of many, which would be most of the corpus
OPTIONS = 4
PROMPT, ENDING, LOOSE = 75, 48, 8  # bytes at most, so that an item fits the model's context; how many fewer
MOST = COPIES[-1]
LITTLE = 0.02  # an inflation that would not matter
MEASURES = ("accuracy", "probability", "bits")


@dataclass(frozen=True)
class Job:
    """One model, trained on a corpus with items of one set in it, or of none: then name is CLEAN. items: by set, all
    that the model is asked. steps: equal for all models."""

    name: str
    seed: int
    size: str
    steps: int
    corpus: list[str] = field(repr=False)
    items: Mapping[str, list[Item]] = field(repr=False)


@dataclass(frozen=True)
class Scores:
    """Of one model and every item: whether its best option per byte is right, the probability of the right option
    among its options (of likelihoods per byte too), bits per byte of the right answer."""

    accuracy: Floats
    probability: Floats
    bits: Floats


@dataclass(frozen=True)
class Pair:
    """Of one set and seed: the model that was trained on items, that which was not, and copies (n,) of every item."""

    with_items: Scores
    clean: Scores
    copies: Ints


@dataclass(frozen=True)
class Inflation:
    """Of one set of items and one measure, by copies: the value, that of the clean model on the same items, and how
    much more the former is; and the rise of that with every doubling of copies from 1 on (least squares)."""

    value: dict[int, Estimate]
    clean: dict[int, Estimate]
    more: dict[int, Estimate]
    doubling: Estimate


@claim(
    "contamination",
    letter="h",
    # 2: compared with a clean model on the same items, not with other items; fewer items and copies; probability per
    # byte; intervals of shares within what is possible
    version=2,
    statement="Test items in the training data, here a quarter of its bytes, inflate the score, and the more copies "
    "the more.",
    source="Magar and Schwartz 2022, Data Contamination: From Memorization to Exploitation, "
    "https://arxiv.org/abs/2203.08242; Jiang et al. 2024, https://arxiv.org/abs/2401.06059; Bordt et al. 2024, "
    "https://arxiv.org/abs/2410.03249",
    rule="accuracy (options by likelihood per byte) of a model with items in its corpus less that of one without, on "
    "the same items. It holds when on the items made of text the 95% intervals over seeds lie above zero both for "
    f"items of {MOST} copies and for the rise with every doubling of copies. It does not hold when the former lies "
    f"below {LITTLE} throughout. Otherwise it is not shown. "
    "The model without items came after a first run was reviewed; this is a new run.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.many import many

    size, each = setting.pick(30_000, 220_000), setting.pick(1, 4)
    seeds, count = setting.seeds(2, 5), each * sum(WEIGHTS)
    texts = planted.documents(size + 9000 * count, setting.seed, setting.data)
    first = planted.upto(texts, size)
    sets = {seed: _sets(texts[first:], count, seed, texts[:first]) for seed in seeds}
    jobs = list(_jobs(texts[:first], sets, setting.pick("0.05M", "0.2M")))
    scores = many(measure, jobs, setting.processes, describe=lambda job: f"{job.name}, seed {job.seed}", title="models")
    return _finding(setting, jobs, paired(jobs, scores))


def _sets(documents: Sequence[str], count: int, seed: int, base: Sequence[str]) -> dict[str, list[Item]]:
    """The items of one seed, by set: other ones for every seed, so that intervals over seeds are about items too."""
    real = real_items(count, seed)
    return {MADE: made_items(documents, count, seed, base)} | ({REAL: real} if real else {})


def _jobs(base: list[str], sets: Mapping[int, Mapping[str, list[Item]]], size: str) -> Iterator[Job]:
    """Of each seed the clean model, then one for each set. Items take the place of as many bytes of `base`, so that
    every corpus is as large as `base`. Raises Missing where it has no room for them."""
    steps = planted.steps_of(base)
    for seed, by_name in sets.items():
        yield Job(CLEAN, seed, size, steps, planted.corpus(base, [], seed), by_name)
        for name, items in by_name.items():
            texts = copied(items, dealt(items, seed))
            room = in_bytes(base) - in_bytes(texts)
            if room <= 0:
                raise Missing(f"items of {in_bytes(texts):,} bytes find no room in a corpus of {in_bytes(base):,}")
            kept = base[: int(np.searchsorted(np.cumsum([in_bytes([one]) for one in base]), room)) + 1]
            yield Job(name, seed, size, steps, planted.corpus(kept, texts, seed), {name: items})


def dealt(items: Sequence[Item], seed: int) -> Ints:
    """How many copies of each item are planted."""
    return planted.dealt(len(items), seed, WEIGHTS)


def copied(items: Sequence[Item], copies: Ints) -> list[str]:
    return [text for item, k in zip(items, copies, strict=True) for text in int(k) * [as_text(item)]]


def in_bytes(texts: Sequence[str]) -> int:
    """Bytes of a corpus, an end of text after each."""
    return sum(len(one.encode()) + 1 for one in texts)


def paired(jobs: Sequence[Job], scores: Sequence[Mapping[str, Scores]]) -> dict[str, list[Pair]]:
    """scores: of each job, by set of items. By set, seeds in their order."""
    clean = {job.seed: found for job, found in zip(jobs, scores, strict=True) if job.name == CLEAN}
    by_set: dict[str, list[Pair]] = {}
    for job, found in zip(jobs, scores, strict=True):
        if job.name != CLEAN:
            copies = dealt(job.items[job.name], job.seed)
            by_set.setdefault(job.name, []).append(Pair(found[job.name], clean[job.seed][job.name], copies))
    return by_set


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


def measure(job: Job) -> dict[str, Scores]:
    """Trains one model and asks it every item of its sets."""
    model = planted.train(job.corpus, job.steps, job.size, job.seed)
    return {name: asked(model, items) for name, items in job.items.items()}


def asked(model: Any, items: Sequence[Item]) -> Scores:
    from tamis.models.data import ByteEncoder
    from tamis.proof.choices import multiple_choice

    found = multiple_choice(model, items, ByteEncoder())
    right = [int(one) for one in found.right]
    _, hits = found.confidence(per_byte=True)
    sizes = [one[r] for one, r in zip(found.bytes, right, strict=True)]
    nats = [-one[r] for one, r in zip(found.scores, right, strict=True)]
    likely = [float(one[r]) for one, r in zip(found.probabilities(per_byte=True), right, strict=True)]
    bits = np.array(nats) / np.log(2) / np.array(sizes)
    return Scores(hits.astype(np.float64), np.array(likely), bits)


def inflation(pairs: Sequence[Pair], measure: str) -> Inflation:
    """Seeds are the cases: of both models the mean over the items of each number of copies."""
    value, clean, more = {}, {}, {}
    for k in COPIES:
        first = [getattr(one.with_items, measure)[one.copies == k] for one in pairs]
        second = [getattr(one.clean, measure)[one.copies == k] for one in pairs]
        if measure == "accuracy":
            value[k], clean[k] = planted.shares_over_seeds(first), planted.shares_over_seeds(second)
            more[k] = planted.shares_apart(first, second)
        else:
            most = 1.0 if measure == "probability" else math.inf
            value[k], clean[k] = (
                planted.within(over_seeds([one.mean() for one in x]), 0, most) for x in (first, second)
            )
            more[k] = over_seeds([a.mean() - b.mean() for a, b in zip(first, second, strict=True)])
    x = np.log2(np.array(COPIES[1:], np.float64))
    slopes = []
    for one in pairs:
        gaps = planted.mean_by_copies(getattr(one.with_items, measure) - getattr(one.clean, measure), one.copies)
        slopes.append(float(np.polyfit(x, [gaps[k] for k in COPIES[1:]], 1)[0]))
    return Inflation(value, clean, more, over_seeds(slopes))


def decide(accuracy: Inflation) -> tuple[Verdict, str]:
    """The rule. Only one interval can refute, so none is widened."""
    most = accuracy.more[MOST]
    because = (
        f"items of {MOST} copies score {accuracy.value[MOST].value:.3f}, and {accuracy.clean[MOST].value:.3f} in a "
        f"model of a corpus without items: an inflation of {most}; every doubling of copies adds {accuracy.doubling}, "
        f"the first copy {accuracy.more[1]}."
    )
    if most.low > 0 and accuracy.doubling.low > 0:
        return Verdict.HOLDS, because
    if most.high < LITTLE:
        return Verdict.DOES_NOT_HOLD, because
    return Verdict.NOT_SHOWN, because


def _finding(setting: Setting, jobs: Sequence[Job], by_set: Mapping[str, Sequence[Pair]]) -> Finding:
    all_ = {name: {one: inflation(pairs, one) for one in MEASURES} for name, pairs in by_set.items()}
    verdict, because = decide(all_[MADE]["accuracy"])
    seeds = len(by_set[MADE])
    each = {k: int((by_set[MADE][0].copies == k).sum()) for k in COPIES}
    planted_items = sum(n for k, n in each.items() if k)
    figures, tables = [], []
    for name, found in all_.items():
        for k, one in found["accuracy"].more.items():
            figures.append(Figure(f"{name}: accuracy with {k} {'copy' if k == 1 else 'copies'}, more than clean",
                                  one.value, one.low, one.high, "share", each[k], seeds))  # fmt: skip
        slope = found["accuracy"].doubling
        figures.append(Figure(f"{name}: accuracy for every doubling of copies", slope.value, slope.low, slope.high,
                              "share", planted_items, seeds, "least squares, 1 to 64 copies"))  # fmt: skip
        slope = found["bits"].doubling
        figures.append(Figure(f"{name}: bits of the right answer for every doubling", slope.value, slope.low,
                              slope.high, "bit/byte", planted_items, seeds))  # fmt: skip
        tables.append(Table(
            f"{name}: by copies in the corpus",
            ["copies", "accuracy", "of the clean model", "more than clean", "probability of the right option, per byte",
             "bits per byte of the answer", "of the clean model"],
            [[str(k), *(str(one[k]) for one in (found["accuracy"].value, found["accuracy"].clean,
              found["accuracy"].more, found["probability"].value, found["bits"].value, found["bits"].clean))]
             for k in COPIES],
            f"{', '.join(map(str, each.values()))} items of {', '.join(map(str, COPIES))} copies for each seed, the "
            "same ones put to both models. Intervals are Student's t over seeds, each of which has other items "
            f"(Wilson's and Newcombe's where all seeds agree on a share). Chance is {chance(jobs, name):.2f}.",
        ))  # fmt: skip
    sizes = [in_bytes(job.corpus) for job in jobs]
    items = {name: len(job.items[name]) for job in jobs for name in job.items}[MADE]
    words = {
        "text": material.where_text_is_from(setting.data),
        "items": f"{items} of a set, {', '.join(map(str, each.values()))} for {', '.join(map(str, COPIES))} copies, "
        f"other ones for every seed; a planted item is a document of its own, the question with its right answer; "
        f"{MADE}: {OPTIONS} options, the wrong ones of the same length and from documents that are not in the corpus"
        + (f"; {REAL}: 5 options, development split" if REAL in by_set else ""),
        "training": f"decoder of {jobs[0].size} parameters on bytes, Muon, {jobs[0].steps:,} steps: one epoch of "
        f"{min(sizes):,} to {max(sizes):,} bytes, of which items are "
        + ", ".join(f"{share_planted(jobs, name):.0%} ({name})" for name in by_set)
        + ", and none for the clean model of the same seed, which has more of the same text in their place",
        "score": "the option of highest likelihood per byte after the question",
    }
    picture = _picture(setting.out / "contamination.png", all_, {name: chance(jobs, name) for name in all_})
    return Finding(verdict, because, words, figures, seeds, tables, [picture])


def chance(jobs: Sequence[Job], name: str) -> float:
    return float(np.mean([1 / len(item.options) for job in jobs if job.name == name for item in job.items[name]]))


def share_planted(jobs: Sequence[Job], name: str) -> float:
    """The share of bytes that are items, in the corpora of one set."""
    mine = [job for job in jobs if job.name == name]
    planted_bytes = sum(in_bytes(copied(job.items[name], dealt(job.items[name], job.seed))) for job in mine)
    return planted_bytes / sum(in_bytes(job.corpus) for job in mine)


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
            panel.plot(range(len(COPIES)), [one.value for one in found[measure].clean.values()], ls="--", lw=1.2,
                       marker="o", ms=3, mfc="white", color=colour, label=f"{name}, clean model")  # fmt: skip
            if measure == "accuracy":
                panel.axhline(chances[name], color=colour, ls=":", lw=1)
        panel.set_xticks(range(len(COPIES)), [str(k) for k in COPIES])
        panel.set(xlabel="copies of the item in the corpus", title=title)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(0, 1.05)
    panels[1].set_ylim(bottom=0)
    panels[0].legend(frameon=False, fontsize=8)
    drawing.savefig(path, dpi=110)
    return path
