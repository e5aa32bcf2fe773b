"""Greedy writing of many prompts at once.

A model is asked through `logits` alone, so every token costs a pass over its row: no keys and values are kept. What
makes it usable is that rows of about one length are read together, and leave when they have ended: one token of B rows
costs one pass (docs/evaluation.md has figures).

Memory: the logits of one batch, which stays under `model.MOST_LOGITS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tamis.models.model import Encoder, Ids, Predictor, logit_tokens

BATCH_TOKENS = 1 << 13


def continuations(
    model: Predictor,
    encoder: Encoder,
    prompts: Sequence[Ids],
    *,
    tokens: int = 64,
    stop: Sequence[str] = ("\n",),
    batch_tokens: int = BATCH_TOKENS,
    done: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """What the model writes after each prompt (ids, not empty), the likeliest token each time: at most `tokens` tokens,
    up to the end of text or the first of the strings `stop`, without it. A row longer than the context loses its
    beginning. done: is told how many prompts have been answered so far."""
    ends = [one for one in stop if one]
    wide = min(model.context, max((len(one) for one in prompts), default=1) + tokens)
    rows = max(1, logit_tokens(model, batch_tokens) // wide) if prompts else 1
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    texts = [""] * len(prompts)
    for start in range(0, len(order), rows):
        numbers = order[start : start + rows]
        for number, written in zip(
            numbers, _written(model, encoder, [prompts[i] for i in numbers], tokens, ends), strict=True
        ):
            texts[number] = _before(encoder.decode(written), ends)
        done(start + len(numbers))
    return texts


def _written(
    model: Predictor, encoder: Encoder, prompts: Sequence[Ids], tokens: int, stop: Sequence[str]
) -> list[list[int]]:
    """The ids written after each of B prompts, without the end-of-text token."""
    found: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))
    for _ in range(tokens):
        if not active:
            break
        tails = [np.concatenate([prompts[i], found[i]]).astype(np.int64)[-model.context :] for i in active]
        block = np.zeros((len(tails), max(map(len, tails))), np.int64)
        for row, tail in zip(block, tails, strict=True):
            row[: len(tail)] = tail
        last = np.array([len(tail) - 1 for tail in tails])
        logits = model.logits(block)[np.arange(len(tails)), last]  # (B, V)
        if np.isnan(logits).any():
            raise ValueError("the model gives logits that are not numbers: it has diverged")
        left = []
        for i, token in zip(active, logits.argmax(-1).tolist(), strict=True):
            if token == encoder.end_of_text:
                continue
            found[i].append(token)
            if not any(one in encoder.decode(found[i]) for one in stop):
                left.append(i)
        active = left
    return found


def _before(text: str, stop: Sequence[str]) -> str:
    places = [text.find(one) for one in stop]
    return text[: min((at for at in places if at >= 0), default=len(text))]
