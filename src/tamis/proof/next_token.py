"""How sure a model is of the next token, and how often it is right: for calibration on running text.

Tokens are drawn at random: `PER_WINDOW` of each of some windows. Confidence is the highest probability of the softmax
over the whole vocabulary. Tokens of one document are not independent: `documents` says which belong together, so that
intervals resample documents.

Memory: the logits of the tokens drawn, at most `model.MOST_LOGITS` / 4 numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.models import model as models
from tamis.models.model import Predictor, batches, logit_tokens
from tamis.proof.likelihood import windows
from tamis.proof.metric import Bools, Floats, Ints, NothingCounted

TOKENS = 4000
PER_WINDOW = 8


@dataclass(frozen=True)
class Guesses:
    """logits (n, V) before n tokens of running text, and the tokens that stand there (n,). windows: of how many.
    documents (n,): the document of each."""

    logits: npt.NDArray[np.float32]
    right: Ints
    windows: int
    documents: Ints

    def confidence(self) -> tuple[Floats, Bools]:
        """The highest probability (n,), and whether its token is the one that stands there (n,)."""
        wide = self.logits.astype(np.float64)
        top = wide.max(1)
        return 1 / np.exp(wide - top[:, None]).sum(1), wide.argmax(1) == self.right


def guesses(
    model: Predictor, ids: Sequence[npt.ArrayLike], *, end_of_text: int, tokens: int = TOKENS, seed: int = 17,
    batch_tokens: int = 1 << 13,
) -> Guesses:  # fmt: skip
    """ids: D documents. Raises NothingCounted where they have no tokens."""
    cut = windows(ids, model.context, end_of_text)
    if not cut.rows:
        raise NothingCounted("calibration of next tokens: there are no tokens")
    wide = int(model.logits(np.zeros((1, 1), np.int64)).shape[-1])
    tokens = max(1, min(tokens, models.MOST_LOGITS // 4 // wide))
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    places: dict[int, npt.NDArray[np.int64]] = {}
    for row in rng.permutation(len(cut.rows)).tolist():
        targets = len(cut.rows[row]) - 1
        places[row] = np.sort(rng.permutation(targets)[:PER_WINDOW])
        chosen.append(row)
        tokens -= len(places[row])
        if tokens <= 0:
            break
    rows = [cut.rows[i] for i in chosen]
    logits: dict[int, npt.NDArray[np.float32]] = {}
    for numbers, block in batches(rows, logit_tokens(model, batch_tokens)):
        found = model.logits(block[:, :-1])
        for place, number in enumerate(numbers):
            logits[number] = np.asarray(found[place, places[chosen[number]]], np.float32)
    right = [rows[i][1 + places[chosen[i]]] for i in range(len(rows))]
    owners = np.repeat([cut.owner[row] for row in chosen], [len(places[row]) for row in chosen])
    return Guesses(np.concatenate([logits[i] for i in range(len(rows))]), np.concatenate(right), len(rows), owners)
