"""Small models and an encoder for the tests of evaluation: no training, known answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Bigram:
    """A Predictor whose next token depends on the last one only. table: (V, V) logits."""

    def __init__(self, table: np.ndarray, context: int = 16) -> None:
        self.table, self.context, self.calls = np.asarray(table, np.float64), context, 0

    def logits(self, ids: np.ndarray) -> np.ndarray:
        assert ids.shape[1] <= self.context
        return self.table[ids]

    def nats(self, ids: np.ndarray) -> np.ndarray:
        assert ids.shape[1] <= self.context + 1
        self.calls += 1
        logits = self.logits(ids[:, :-1])
        logs = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
        return -np.take_along_axis(logs, ids[:, 1:, None], -1)[..., 0]


class Recall:
    """A Predictor that goes on as the rows that it was given do, wherever the last two tokens stand in one of them,
    and expects token 0 elsewhere."""

    def __init__(self, rows: Sequence[np.ndarray], vocabulary: int, context: int = 64) -> None:
        self.context, self.vocabulary = context, vocabulary
        self.next = {(a, b): c for row in rows for a, b, c in zip(row, row[1:], row[2:], strict=False)}

    def logits(self, ids: np.ndarray) -> np.ndarray:
        out = np.zeros((*ids.shape, self.vocabulary))
        for b, row in enumerate(ids.tolist()):
            for t in range(len(row)):
                out[b, t, self.next.get(tuple(row[max(0, t - 1) : t + 1]), 0)] = 5.0
        return out

    def nats(self, ids: np.ndarray) -> np.ndarray:
        logits = self.logits(ids[:, :-1])
        logs = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
        return -np.take_along_axis(logs, ids[:, 1:, None], -1)[..., 0]


class Bytes:
    """Tokens are UTF-8 bytes; 256 ends a text."""

    end_of_text = 256
    vocabulary = 257

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int64) for text in texts]

    def decode(self, ids: Any) -> str:
        return bytes(int(i) for i in ids if i < 256).decode("utf-8", "replace")
