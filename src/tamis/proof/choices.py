"""Questions put to a model: multiple choice by likelihood, cloze, and exact match of what it writes.

Multiple choice (Gao et al., lm-evaluation-harness): the option whose text, after the prompt and a space, has the
highest log-likelihood; `per_byte` divides by the option's UTF-8 bytes first (without the space, as `acc_bytes` there),
which takes away the advantage of short options. Beside accuracy stand measures that move before it does (Magnusson et
al. 2025, DataDecide): the probability of the right option among the options, and the bits per byte of the right answer.

Prompt and answer are encoded apart. A prompt too long for the model loses its beginning, and an answer too long is read
in pieces that each see at least half a context; how many were is counted.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np

from tamis.models.model import Encoder, Ids, Model, Predictor, batches, logit_tokens
from tamis.proof.generation import continuations
from tamis.proof.items import BadItems, Item
from tamis.proof.metric import Bools, Floats, Ints, Metric, NothingCounted, mean, ratio, share

BATCH_TOKENS = 1 << 13


@dataclass(frozen=True)
class Choices:
    """Of I items: scores[i] (K_i,) log-likelihood in nats of each option, bytes[i] (K_i,) its length (1 where it is
    empty), right (I,). cut: items too long for the model."""

    items: list[Item]
    scores: list[Floats]
    bytes: list[Ints]
    right: Ints
    cut: int

    def probabilities(self, per_byte: bool = False) -> list[Floats]:
        """Of each item, softmax over its options (K_i,), of scores or of scores per byte."""
        return [_softmax(one) for one in self._ranked(per_byte)]

    def confidence(self, per_byte: bool = False) -> tuple[Floats, Bools]:
        """For `calibration`: the highest of `probabilities` (I,), and whether that option is right (I,)."""
        found = self.probabilities(per_byte)
        if not found:
            raise NothingCounted("multiple choice: there are no items to measure it on")
        top = np.array([one.max() for one in found])
        return top, np.array([one.argmax() for one in found]) == self.right

    def accuracy(self, per_byte: bool = False) -> Metric:
        """Share of items whose most likely option is right; of equally likely ones the first counts."""
        hits = np.array([int(one.argmax()) for one in self._ranked(per_byte)]) == self.right
        chance = float(np.mean([1 / len(one) for one in self.scores])) if self.scores else math.nan
        common = np.bincount(self.right).max() / len(self.right) if len(self.right) else math.nan
        name = "accuracy" + (" per byte" if per_byte else "")
        notes = [f"chance {chance:.3f}", f"always one option {common:.3f}", *self._cut_note()]
        return share(name, hits, direction="higher", note="; ".join(notes))

    def right_probability(self, per_byte: bool = False) -> Metric:
        """Mean probability of the right option among the options."""
        found = [one[r] for one, r in zip(self.probabilities(per_byte), self.right, strict=True)]
        return mean("probability of the right option", found, unit="share", direction="higher")

    def right_bits_per_byte(self) -> Metric:
        """Bits per byte of the right answers after their prompts."""
        bits = [-one[r] / math.log(2) for one, r in zip(self.scores, self.right, strict=True)]
        size = [one[r] for one, r in zip(self.bytes, self.right, strict=True)]
        return ratio("bits per byte of the right answer", bits, size, unit="bit/byte", direction="lower")

    def logits(self) -> Floats:
        """For `temperature`: scores (I, K), -inf behind the options of items that have fewer than others."""
        found = np.full((len(self.items), max(map(len, self.scores), default=0)), -np.inf)
        for row, one in zip(found, self.scores, strict=True):
            row[: len(one)] = one
        return found

    def _ranked(self, per_byte: bool) -> list[Floats]:
        return [s / b for s, b in zip(self.scores, self.bytes, strict=True)] if per_byte else self.scores

    def _cut_note(self) -> list[str]:
        return [f"{self.cut:,} items cut to fit"] if self.cut else []


@dataclass(frozen=True)
class Cloze:
    """Of I items: nats (I,) and bytes (I,) of the answer, greedy (I,): whether the model, writing the likeliest token
    each time, writes the answer."""

    items: list[Item]
    nats: Floats
    bytes: Ints
    greedy: Bools
    cut: int

    def accuracy(self) -> Metric:
        note = f"{self.cut:,} items cut to fit" if self.cut else ""
        return share("cloze accuracy", self.greedy, direction="higher", note=note)

    def bits_per_byte(self) -> Metric:
        bits = self.nats / math.log(2)
        return ratio("bits per byte of the answer", bits, self.bytes, unit="bit/byte", direction="lower")


@dataclass(frozen=True)
class Written:
    """What the model wrote after the prompt of each item, and whether it is the answer."""

    items: list[Item]
    texts: list[str]
    right: Bools

    def exact_match(self) -> Metric:
        return share("exact match", self.right, direction="higher", note="greedy; letter case and punctuation aside")


def multiple_choice(model: Model, items: Sequence[Item], encoder: Encoder, batch_tokens: int = BATCH_TOKENS) -> Choices:
    """The likelihood of every option of every item. Raises BadItems where an item has no options, NothingCounted where
    there are no items."""
    if not items:
        raise NothingCounted("multiple choice: there are no items to measure it on")
    for one in items:
        if len(one.options) < 2:
            raise BadItems(f"item {one.id} has {len(one.options)} options: multiple choice needs at least two")
    asked = [(one.prompt, " " + option) for one in items for option in one.options]
    nats, _, cut = answer_nats(model, asked, encoder, batch_tokens)
    starts = np.cumsum([0, *(len(one.options) for one in items)])
    spans = list(pairwise(starts.tolist()))
    return Choices(
        list(items),
        [-nats[a:b] for a, b in spans],
        [np.array([max(1, len(text[1:].encode())) for _, text in asked[a:b]]) for a, b in spans],
        np.array([one.right for one in items], np.int64),
        sum(bool(cut[a:b].any()) for a, b in spans),
    )


def cloze(model: Predictor, items: Sequence[Item], encoder: Encoder, batch_tokens: int = BATCH_TOKENS) -> Cloze:
    """The likelihood of each item's answer after its prompt and a space, and whether it is the model's own."""
    if not items:
        raise NothingCounted("cloze: there are no items to measure it on")
    asked = [(one.prompt, " " + one.answer) for one in items]
    nats, greedy, cut = answer_nats(model, asked, encoder, batch_tokens, greedy=True)
    size = np.array([max(1, len(text[1:].encode())) for _, text in asked], np.int64)
    return Cloze(list(items), nats, size, greedy, int(cut.sum()))


def exact_match(
    model: Predictor,
    items: Sequence[Item],
    encoder: Encoder,
    *,
    tokens: int = 64,
    stop: str = "\n",
    extract: Callable[[str], str] = str,
) -> Written:
    """Greedy text of at most `tokens` tokens up to `stop`, compared with the answer after `extract` and `plain` on
    both (an answer of marks alone, which `plain` leaves nothing of, as it is). Costs one pass over the row for every
    token; see `generation`."""
    if not items:
        raise NothingCounted("exact match: there are no items to measure it on")
    prompts = [prompt_ids(one.prompt, encoder) for one in items]
    texts = [one.strip() for one in continuations(model, encoder, prompts, tokens=tokens, stop=[stop])]
    right = [_same(extract(text), extract(one.answer)) for text, one in zip(texts, items, strict=True)]
    return Written(list(items), texts, np.array(right, np.bool_))


def _same(text: str, answer: str) -> bool:
    return plain(text) == plain(answer) if plain(answer) else text.strip() == answer.strip()


def plain(text: str) -> str:
    """Lower case, no punctuation but signs and points inside numbers, single spaces.

    >>> plain(" The answer:  1,204.5 ")
    'the answer 1204.5'
    """
    text = re.sub(r"(?<=\d),(?=\d{3})", "", unicodedata.normalize("NFKC", text).lower())
    return " ".join(re.sub(r"(?!(?<=\d)\.(?=\d))(?!-(?=\d))[^\w\s]", " ", text).split())


def after_hashes(text: str) -> str:
    """GSM8K's final answer, which follows "####"."""
    return text.rpartition("####")[2].strip()


def answer_nats(
    model: Model,
    asked: Sequence[tuple[str, str]],
    encoder: Encoder,
    batch_tokens: int = BATCH_TOKENS,
    greedy: bool = False,
) -> tuple[Floats, Bools, Bools]:
    """Of each (prompt, answer): nats of the answer, whether greedy writing gives it (only where `greedy`, else False),
    whether it was too long for the model. (A,) each. Raises BadItems for an answer without tokens, ValueError where a
    model gives a loss that is no number."""
    rows: list[Ids] = []
    owner: list[int] = []
    lengths: list[int] = []
    cut = np.zeros(len(asked), np.bool_)
    prompts: dict[str, Ids] = {}
    for number, (prompt, answer) in enumerate(asked):
        if prompt not in prompts:
            prompts[prompt] = prompt_ids(prompt, encoder)
        ids = np.asarray(encoder.encode([answer])[0], np.int64)
        if not len(ids):
            raise BadItems(f"the answer {answer!r} has no tokens: it cannot be scored")
        whole = np.concatenate([prompts[prompt], ids])
        cut[number] = len(whole) > model.context + 1
        done = len(whole) - len(ids)
        step = len(ids) if len(ids) <= model.context else max(1, model.context // 2)
        while done < len(whole):
            end = min(len(whole), done + step)
            rows.append(whole[max(0, end - model.context - 1) : end])
            owner.append(number)
            lengths.append(end - done)
            done = end
    nats, hit = np.zeros(len(asked)), np.full(len(asked), greedy)
    if greedy and rows:
        batch_tokens = logit_tokens(cast(Predictor, model), batch_tokens)
    for numbers, block in batches(rows, batch_tokens):
        found = np.asarray(model.nats(block), np.float64)
        best = cast(Predictor, model).logits(block[:, :-1]).argmax(-1) if greedy else None
        for place, number in enumerate(numbers):
            end = len(rows[number]) - 1
            mine = slice(end - lengths[number], end)
            nats[owner[number]] += found[place, mine].sum()
            if best is not None and not (best[place, mine] == block[place, 1:][mine]).all():
                hit[owner[number]] = False
    bad = int((~np.isfinite(nats)).sum())
    if bad:
        raise ValueError(f"the model gives {bad:,} of {len(nats):,} answers no finite loss: it has diverged")
    return nats, hit, cut


def prompt_ids(text: str, encoder: Encoder) -> Ids:
    """A prompt as a document begins: after the end-of-text token."""
    return np.concatenate([[encoder.end_of_text], np.asarray(encoder.encode([text])[0], np.int64)])


def _softmax(scores: Floats) -> Floats:
    shifted = np.exp(scores - scores.max())
    found: Floats = shifted / shifted.sum()
    return found
