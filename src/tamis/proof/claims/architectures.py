"""Claim (f): architectures trained on one corpus become alike.

Three architectures of equal parameters are trained on each of two corpora. At steps of the training all models read
the same held-out text, a third of it of the first corpus, of the second, and of a third kind in neither. The distance
of two models is the mean Jensen-Shannon divergence of their predictions of the next token, in bits.

Both corpora and the held-out text are the same in all replicates: intervals speak of other initial weights and other
orders of the data, not of other text. No two models of one replicate share a seed, so neither initial weights nor the
order of the data make two of them alike. The distances of equal models with another seed are the floor that no pair
can be expected to pass.

An architecture may also differ because it is worse. So the distance of two architectures is taken once more at equal
loss: the weaker one at the end against the better one at the step at which it was as good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims.claim import Figure, Finding, Setting, Table, Verdict, claim

NETWORKS = ("decoder", "recurrent", "convolutional")
# Shares of the training after which models are compared. The rate is constant up to STABLE and falls to 0 after it:
# the trend is taken up to there, for a falling rate alone brings models together.
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
STABLE = 3 / 4
# The trend begins here: before, no model has learned more than which bytes are common.
FROM = 1 / 8
REFUTES = 1 - 0.05 / 2  # the level of the intervals that refute, one of two

F64 = npt.NDArray[np.float64]
# log probabilities (P, V) of P places of text, by (network, corpus, replicate) and share of the training
Said = Mapping[tuple[str, int, int], Mapping[float, Mapping[str, npt.NDArray[np.float16]]]]


@claim(
    "architectures",
    letter="f",
    version=1,
    statement="Small models of different architectures, trained briefly on one corpus, end nearer to each other than "
    "one architecture trained on two corpora, and as training goes on the first distance falls relative to the "
    "second.",
    source="J. Betker 2023, \"The 'it' in AI models is the dataset\", https://nonint.com/2023/06/10/the-it-in-ai-models"
    "-is-the-dataset/; Huh, Cheung, Wang and Isola 2024, The Platonic Representation Hypothesis, arXiv 2405.07987",
    rule="R = mean Jensen-Shannon distance between architectures on one corpus / mean distance of one architecture "
    "between two corpora, on three kinds of held-out text in equal parts. Holds when the 95% interval over replicates "
    "of R at the end lies below 1 and that of the slope of log R on log tokens, from an eighth of the training to "
    "where the learning rate begins to fall, lies below 0. Does not hold when either lies above, both asked at 97.5% "
    "(Holm, of two). Anything else is not shown. The distance between architectures itself, its slope, and R at equal "
    "loss stand beside it and do not decide. Replicates differ in initial weights and order of data; both corpora and "
    "the held-out text (few documents) stay, so intervals speak of no other text. Training is brief, at small 5 tokens "
    "for each parameter, with one learning rate that was not tuned for each architecture. "
    "The 97.5% was added after a first run; both runs have the same figures.",
    asks={"torch": "train", "scipy": "train", "matplotlib": "train"},
)
def run(setting: Setting) -> Finding:
    from tamis.models.many import many
    from tamis.proof.claims import _training as training
    from tamis.proof.claims._texts import kinds, rows, shared, size, stream, upto

    context, batch = 128, setting.pick(tiny=4, small=16, grows=0)
    steps = setting.pick(tiny=12, small=160)
    replicates = range(setting.pick(tiny=2, small=4, grows=0.5))
    windows = setting.pick(tiny=3, small=12, grows=0)
    wanted = setting.pick(tiny=60_000, small=1_500_000)
    held = 3 * windows * context
    found = kinds(wanted + held, held, setting.seed, setting.data)
    corpora = (found.first, found.second)
    measured, tokens, held_docs, trained_docs = {}, [], {}, []
    for name, docs in zip(found.names[:2], corpora, strict=True):
        cut = len(upto(docs, held))  # the first documents are held out
        measured[name] = rows(docs[:cut], context, windows)
        tokens.append(stream(docs[cut:], wanted))
        held_docs[name] = docs[:cut]
        trained_docs += upto(docs[cut:], wanted)
    held_docs[found.names[2]] = found.reference
    measured[found.names[2]] = rows(found.reference, context, windows)
    at = tuple(max(1, round(share * steps)) for share in SHARES)
    keys = [(net, corpus, replicate) for replicate in replicates for net in NETWORKS for corpus in (0, 1)]
    jobs = [
        training.Job(
            f"{net} on {found.names[corpus]}", tokens[corpus], steps, 1000 * setting.seed + place, measured,
            training.half, at, network=net, context=context, batch=batch, decay=1 - STABLE,
        )
        for place, (net, corpus, _) in enumerate(keys)
    ]  # fmt: skip
    config = training.config_of(jobs[0].shape, context)
    parameters = {net: _size(jobs, keys, net) for net in NETWORKS}
    results = many(training.trained, jobs, setting.processes, describe=lambda job: job.name)
    said: Said = {
        key: {share: result[step] for share, step in zip(SHARES, at, strict=True)}
        for key, result in zip(keys, results, strict=True)
    }
    seen = steps * batch * context
    with setting.bar("distances", len(SHARES) * len(measured)) as done:
        distances = measure(said, list(measured), len(replicates), done)
    truth = {name: block[:, 1:].reshape(-1) for name, block in measured.items()}
    places = sum(len(one) for one in truth.values())
    bits = losses(said, truth)
    equal = equal_loss(said, bits, places, len(replicates))
    judged = judge(distances, places)
    picture = setting.out / "architectures.png"
    draw(distances, bits, seen, found.names, picture)
    return Finding(
        verdict=Verdict.NOT_SHOWN if setting.tiny else judged.verdict,
        because=judged.because,
        setting={
            "corpora": f"{found.names[0]}; {found.names[1]}",
            "text of neither": found.names[2],
            "held-out text": shared(held_docs, (body for _, body in trained_docs)),
            "bytes of each corpus": min(size(docs) for docs in corpora),
            "architectures, parameters in all": ", ".join(f"{net} {parameters[net]:,}" for net in NETWORKS),
            "decoder without embeddings": config.parameters,
            "tokens (bytes) of each training": seen,
            "optimizer": f"Muon, rate {jobs[0].lr:g} for all, constant up to {STABLE:.0%}, then falling to 0",
            "places compared": places,
            "trainings": len(jobs),
        },
        figures=[*judged.figures, equal],
        seeds=len(replicates),
        tables=[_by_text(distances, found.names), _losses(bits, list(truth))],
        pictures=[picture],
    )


def _size(jobs: list[Any], keys: list[tuple[str, int, int]], net: str) -> int:
    from tamis.proof.claims._networks import count
    from tamis.proof.claims._training import network

    return count(network(jobs[[key[0] for key in keys].index(net)]))


# --- distances ---


@dataclass(frozen=True)
class Prediction:
    """What a model says of P places: p (P, V), its entropy (P,) in bits, the likeliest token (P,)."""

    p: npt.NDArray[np.float32]
    entropy: npt.NDArray[np.float32]
    top: npt.NDArray[np.int64]


def prediction(said: npt.NDArray[Any]) -> Prediction:
    """Of log probabilities (n, T, V). Halves of float precision do not quite add up to 1: they are made to."""
    p = np.exp(said.reshape(-1, said.shape[-1]).astype(np.float32))
    p /= p.sum(-1, keepdims=True)
    return Prediction(p, _entropy(p), p.argmax(-1))


def shannon(a: Prediction, b: Prediction) -> npt.NDArray[np.float32]:
    """Jensen-Shannon divergence (P,) in bits, 0 the same, 1 nothing in common: the entropy of the mean less the mean
    of the entropies."""
    middle: npt.NDArray[np.float32] = (a.p + b.p) * np.float32(0.5)
    found: npt.NDArray[np.float32] = _entropy(middle) - (a.entropy + b.entropy) * np.float32(0.5)
    return found


def _entropy(p: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = -(p * np.log2(np.maximum(p, np.float32(1e-30)))).sum(-1)
    return found


@dataclass(frozen=True)
class Distances:
    """Mean distance of the pairs of one kind, (R replicates, S shares, T texts): `architectures` on one corpus,
    `corpora` of one architecture, `seeds` of equal models. disagree: the same of the share of places where the
    likeliest tokens differ."""

    architectures: F64
    corpora: F64
    seeds: F64
    disagree: Mapping[str, F64]

    @property
    def ratio(self) -> F64:
        """(R, S)"""
        found: F64 = self.architectures.mean(-1) / self.corpora.mean(-1)
        return found


def pairs(replicate: int, replicates: int) -> dict[str, list[tuple[tuple[str, int, int], tuple[str, int, int]]]]:
    """The pairs of models of one replicate. Equal models are those of the next one."""
    after = (replicate + 1) % replicates
    return {
        "architectures": [
            ((a, corpus, replicate), (b, corpus, replicate)) for a, b in combinations(NETWORKS, 2) for corpus in (0, 1)
        ],
        "corpora": [((a, 0, replicate), (a, 1, replicate)) for a in NETWORKS],
        "seeds": [((a, corpus, replicate), (a, corpus, after)) for a in NETWORKS for corpus in (0, 1)],
    }


def measure(said: Said, texts: Sequence[str], replicates: int, done: Callable[[int], None]) -> Distances:
    """Memory: the predictions of all models at one step on one text."""
    shape = (replicates, len(SHARES), len(texts))
    kept = {kind: np.zeros(shape) for kind in ("architectures", "corpora", "seeds")}
    tops = {kind: np.zeros(shape) for kind in kept}
    for at, share in enumerate(SHARES):
        for text, name in enumerate(texts):
            now = {key: prediction(one[share][name]) for key, one in said.items()}
            for replicate in range(replicates):
                for kind, found in pairs(replicate, replicates).items():
                    both = [(now[a], now[b]) for a, b in found]
                    kept[kind][replicate, at, text] = np.mean([shannon(a, b).mean() for a, b in both])
                    tops[kind][replicate, at, text] = np.mean([(a.top != b.top).mean() for a, b in both])
            done(1)
    return Distances(kept["architectures"], kept["corpora"], kept["seeds"], tops)


def losses(said: Said, truth: Mapping[str, npt.NDArray[np.int64]]) -> dict[tuple[str, int], F64]:
    """Bits per byte of (network, corpus): (R, S, T)."""
    found: dict[tuple[str, int], list[list[list[float]]]] = {}
    for (net, corpus, _), one in said.items():
        table = [[_bits(one[share][name], truth[name]) for name in truth] for share in SHARES]
        found.setdefault((net, corpus), []).append(table)
    return {key: np.array(one) for key, one in found.items()}


def _bits(said: npt.NDArray[Any], truth: npt.NDArray[np.int64]) -> float:
    p = prediction(said).p
    return float(-np.log2(np.maximum(p[np.arange(len(truth)), truth], np.float32(1e-30))).mean())


def equal_loss(said: Said, bits: Mapping[tuple[str, int], F64], places: int, replicates: int) -> Figure:
    """R at the end with the better architecture of each pair taken back to the share at which it was as good."""
    found = []
    for replicate in range(replicates):
        kinds = pairs(replicate, replicates)
        near = []
        for first, second in kinds["architectures"]:
            ends = {key: bits[key[0], key[1]][replicate].mean(-1) for key in (first, second)}
            weak, good = sorted((first, second), key=lambda key: -ends[key][-1])
            share = SHARES[int(np.abs(ends[good] - ends[weak][-1]).argmin())]
            near.append(_mean_distance(said[weak][1.0], said[good][share]))
        far = [_mean_distance(said[first][1.0], said[second][1.0]) for first, second in kinds["corpora"]]
        found.append(np.log(np.mean(near) / np.mean(far)))
    value, low, high = _interval(np.array(found))
    return Figure(
        "R at the end, at equal loss", float(np.exp(value)), float(np.exp(low)), float(np.exp(high)), "",
        places, replicates,
        "the better architecture of each pair at the measured step at which its loss is nearest to the weaker one's",
    )  # fmt: skip


def _mean_distance(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    both = [(prediction(first[name]), prediction(second[name])) for name in first]
    return float(np.mean([shannon(a, b).mean() for a, b in both]))


# --- the verdict ---


@dataclass(frozen=True)
class Judged:
    verdict: Verdict
    because: str
    figures: list[Figure]


def judge(distances: Distances, places: int) -> Judged:
    """By the rule above. places: of text at which models are compared."""
    stable = [at for at, share in enumerate(SHARES) if FROM <= share <= STABLE]
    x = np.log2(np.array(SHARES)[stable])
    logs = {
        "R": np.log(distances.ratio),
        "architectures": np.log(distances.architectures.mean(-1)),
        "corpora": np.log(distances.corpora.mean(-1)),
        "seeds": np.log(distances.seeds.mean(-1)),
    }
    end = {name: _interval(one[:, -1]) for name, one in logs.items()}
    slopes = {name: np.array([_slope(x, row) for row in one[:, stable]]) for name, one in logs.items()}
    slope = {name: _interval(one) for name, one in slopes.items()}
    replicates = len(distances.ratio)
    figures = [
        _exp("R at the end", end["R"], "", places, replicates, "distance between architectures / between corpora")
    ]
    for name, what, note in (
        ("R", "R", "from an eighth of the training to where the learning rate begins to fall"),
        ("architectures", "the distance between architectures", "below 0: they do become alike"),
        ("corpora", "the distance between corpora", ""),
        ("seeds", "the distance between seeds", "the floor"),
    ):
        value, low, high = (float(np.expm1(one)) for one in slope[name])
        title = f"change of {what} with each doubling of the tokens"
        figures.append(Figure(title, value, low, high, "share", places, replicates, note))
    figures += [
        _exp(f"distance at the end, {what}", end[name], "bit/token", places, replicates, "Jensen-Shannon; at most 1")
        for name, what in (
            ("architectures", "architectures on one corpus"),
            ("corpora", "one architecture on two corpora"),
            ("seeds", "equal models with another seed"),
        )
    ]
    value, low, high = _interval(distances.disagree["architectures"][:, -1].mean(-1))
    others = {kind: distances.disagree[kind][:, -1].mean() for kind in ("corpora", "seeds")}
    note = f"corpora {others['corpora']:.3f}, seeds {others['seeds']:.3f}"
    title = "other top-1 token at the end, architectures"
    figures.append(Figure(title, value, low, high, "share", places, replicates, note))
    high_r, high_s = end["R"][2], slope["R"][2]
    # Either refutes: each at half of what may miss (Holm's first step, which is all that one refutation asks for).
    strict = (_interval(logs["R"][:, -1], REFUTES), _interval(slopes["R"], REFUTES))
    if any(low > 0 for _, low, _ in strict):
        verdict = Verdict.DOES_NOT_HOLD
    else:
        verdict = Verdict.HOLDS if high_r < 0 and high_s < 0 else Verdict.NOT_SHOWN
    _, low_a, high_a = slope["architectures"]
    apart = "falls" if high_a < 0 else "rises" if low_a > 0 else "neither falls nor rises for certain"
    because = (
        f"R at the end is {figures[0]}, and changes by {figures[1].value:+.1%} "
        f"[{figures[1].low:+.1%}, {figures[1].high:+.1%}] with each doubling of the tokens; "
        f"the distance between architectures itself {apart} ({figures[2].value:+.1%} a doubling)"
    )
    return Judged(verdict, because, figures)


def _slope(x: F64, y: F64) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _interval(values: F64, level: float = 0.95) -> tuple[float, float, float]:
    """Mean over replicates with its interval."""
    from tamis.proof.comparison import mean_interval

    low, high, _ = mean_interval(values, level)
    return float(values.mean()), low, high


def _exp(name: str, one: tuple[float, float, float], unit: str, places: int, seeds: int, note: str) -> Figure:
    value, low, high = (float(np.exp(x)) for x in one)
    return Figure(name, value, low, high, unit, places, seeds, note)


# --- tables and the picture ---


def _by_text(distances: Distances, names: tuple[str, str, str]) -> Table:
    rows: list[list[str | float | None]] = []
    for text, name in enumerate(names):
        ends = [one[:, -1, text].mean() for one in (distances.architectures, distances.corpora, distances.seeds)]
        rows.append([_short(name), *map(float, ends), float(ends[0] / ends[1])])
    return Table(
        "Distance at the end by text, bit/token", ["text", "architectures", "corpora", "seeds", "R"], rows,
        "means over replicates and pairs",
    )  # fmt: skip


def _losses(bits: Mapping[tuple[str, int], F64], names: Sequence[str]) -> Table:
    rows: list[list[str | float | None]] = [
        [net, _short(names[corpus]), *map(float, one[:, -1].mean(0))] for (net, corpus), one in bits.items()
    ]
    note = "means over replicates; lower is better"
    return Table("Bits per byte at the end", ["architecture", "trained on", *map(_short, names)], rows, note)


def draw(
    distances: Distances, bits: Mapping[tuple[str, int], F64], tokens: int, names: tuple[str, str, str], path: Path
) -> None:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(11, 3.9), layout="constrained")
    left, middle, right = canvas.subplots(1, 3)
    x = np.array(SHARES) * tokens
    for one, label, color in (
        (distances.corpora, "one architecture, two corpora", "#c8553d"),
        (distances.architectures, "two architectures, one corpus", "#2a6f97"),
        (distances.seeds, "equal models, another seed", "0.55"),
    ):
        _band(left, x, one.mean(-1), label, color)
    left.set(xscale="log", ylim=(0, None), title="distance of predictions", ylabel="Jensen-Shannon, bit/token")
    left.legend(frameon=False, fontsize=8)
    _band(middle, x, distances.ratio, "", "#2a6f97")
    middle.axhline(1, color="0.6", linewidth=1, linestyle="--")
    middle.set(xscale="log", ylim=(0, None), title="R: architectures / corpora")
    colors = dict(zip(NETWORKS, ("#2a6f97", "#c8553d", "#588157"), strict=True))
    for (net, corpus), one in bits.items():
        style = "-" if corpus == 0 else "--"
        right.plot(x, one[:, :, corpus].mean(0), style, color=colors[net], label=net if corpus == 0 else None)
    right.set(xscale="log", title="loss on held-out text of its corpus", ylabel="bit/byte")
    right.plot([], [], "-", color="0.4", label=_short(names[0]))
    right.plot([], [], "--", color="0.4", label=_short(names[1]))
    right.legend(frameon=False, fontsize=8)
    for axes in (left, middle, right):
        axes.set_xticks(x, [f"{one / 1000:,.0f}k" for one in x], fontsize=7)
        axes.minorticks_off()
        axes.axvspan(STABLE * tokens, tokens, color="0.93", zorder=0)
        axes.set_xlabel("tokens of training (grey: the learning rate falls)", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=120, metadata={"Software": None})


def _band(axes: Any, x: F64, values: F64, label: str, color: str) -> None:
    """Mean over replicates (R, S) with its interval."""
    found = np.array([_interval(column) for column in values.T])
    axes.plot(x, found[:, 0], "o-", color=color, markersize=3.5, linewidth=1.4, label=label or None)
    axes.fill_between(x, found[:, 1], found[:, 2], color=color, alpha=0.2, linewidth=0)


def _short(name: str) -> str:
    return name.split(" (")[0] if len(name) > 24 else name
