"""How alike two models are: what they predict on the same text, token by token.

Two models of one tokenizer read the same windows. KL(first || second) in bits per token says how many bits more the
second would need to code what the first expects; the Jensen-Shannon divergence is its symmetric form, at most 1 bit;
top-1 agreement is the share of places where both expect the same token most. Two seeds of one recipe do not agree
either: a figure means something beside theirs.

Memory: the logits of one batch of each model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.models.model import Predictor, batches, logit_tokens
from tamis.proof.likelihood import windows
from tamis.proof.metric import Bools, Floats, Ints, Metric, ratio

Logits = npt.NDArray[np.float32] | npt.NDArray[np.float64]

BATCH_TOKENS = 1 << 11
# Float64 probabilities held at once, of each of about six arrays.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class Alike:
    """Sums over the tokens of each of D documents: KL in both directions and Jensen-Shannon in bits, places where the
    most likely tokens are the same."""

    first_second: Floats
    second_first: Floats
    shannon: Floats
    same: Ints
    tokens: Ints

    def kl(self, reverse: bool = False) -> Metric:
        """KL(first || second), or the other way round."""
        sums = self.second_first if reverse else self.first_second
        name = "KL(second || first)" if reverse else "KL(first || second)"
        return ratio(name, sums, self.tokens, unit="bit/token", direction="neither", of="documents")

    def jensen_shannon(self) -> Metric:
        """0 the same, 1 nothing in common."""
        return ratio("Jensen-Shannon", self.shannon, self.tokens, unit="bit/token", direction="neither", of="documents")

    def top_1(self) -> Metric:
        """Share of tokens at which both models expect the same token most."""
        return ratio("top-1 agreement", self.same, self.tokens, unit="share", direction="neither", of="documents")


def alike(
    first: Predictor,
    second: Predictor,
    ids: Sequence[npt.ArrayLike],
    *,
    end_of_text: int,
    batch_tokens: int = BATCH_TOKENS,
) -> Alike:
    """Compares two models on documents, cut into windows of the shorter context. Raises ValueError where their
    vocabularies differ."""
    cut = windows(ids, min(first.context, second.context), end_of_text)
    batch_tokens = min(logit_tokens(first, batch_tokens), logit_tokens(second, batch_tokens))
    sums = np.zeros((3, len(ids)))
    same, tokens = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    for numbers, block in batches(cut.rows, batch_tokens):
        a, b = first.logits(block[:, :-1]), second.logits(block[:, :-1])
        if a.shape != b.shape:
            raise ValueError(f"vocabularies of {a.shape[-1]:,} and {b.shape[-1]:,} tokens: these models cannot agree")
        found, top = _divergences(a, b)
        for place, number in enumerate(numbers):
            length, owner = len(cut.rows[number]) - 1, cut.owner[number]
            sums[:, owner] += found[:, place, :length].sum(-1)
            same[owner] += int(top[place, :length].sum())
            tokens[owner] += length
    return Alike(sums[0], sums[1], sums[2], same, tokens)


def _divergences(a: Logits, b: Logits) -> tuple[Floats, Bools]:
    """Of logits (B, T, V): KL both ways and Jensen-Shannon in bits (3, B, T), and whether the highest is the same."""
    shape, wide = a.shape[:2], a.shape[-1]
    a, b = a.reshape(-1, wide), b.reshape(-1, wide)
    found = np.empty((3, len(a)))
    step = max(1, _BLOCK // wide)
    for at in range(0, len(a), step):
        p, q = _log_softmax(a[at : at + step]), _log_softmax(b[at : at + step])
        middle = np.logaddexp(p, q) - math.log(2)
        found[:, at : at + step] = [_kl(p, q), _kl(q, p), (_kl(p, middle) + _kl(q, middle)) / 2]
    if np.isnan(found).any():
        raise ValueError("a model gives logits that are not numbers: it has diverged")
    return found.reshape(3, *shape) / math.log(2), (a.argmax(-1) == b.argmax(-1)).reshape(shape)


def _kl(p: Floats, q: Floats) -> Floats:
    """Of log probabilities (P, V): (P,) nats. A token that p rules out adds nothing."""
    with np.errstate(invalid="ignore"):
        terms = np.where(np.isneginf(p), 0.0, np.exp(p) * (p - q))
    found: Floats = terms.sum(-1)
    return found


def _log_softmax(logits: Logits) -> Floats:
    wide = np.asarray(logits, np.float64)
    shifted: Floats = wide - wide.max(-1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found
