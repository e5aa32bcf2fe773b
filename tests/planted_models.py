"""A stand-in for a trained model: it goes on as the text that it was given does, and knows nothing else."""

from __future__ import annotations

import numpy as np

from tamis.models.data import bytes_of


class Knows:
    """A Predictor over bytes: wherever the last `order` bytes stand in its texts, it expects what follows there (the
    first time) with most of its belief; elsewhere all bytes are equally likely."""

    context = 128

    def __init__(self, texts, order=8):
        tokens, self.order = bytes_of(texts).tolist(), order
        self.next = {}
        for place in range(order, len(tokens)):
            self.next.setdefault(tuple(tokens[place - order : place]), tokens[place])

    def logits(self, ids):
        found = np.zeros((*ids.shape, 257))
        for b, row in enumerate(ids.tolist()):
            for t in range(self.order - 1, len(row)):
                after = self.next.get(tuple(row[t + 1 - self.order : t + 1]))
                if after is not None:
                    found[b, t, after] = 12.0
        return found

    def nats(self, ids):
        logits = self.logits(ids[:, :-1])
        logs = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
        return -np.take_along_axis(logs, ids[:, 1:, None], -1)[..., 0]


def english(count, seed=0):
    """`count` documents of made words, each a paragraph of prose of about 400 characters; no two alike."""
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    found = []
    for _ in range(count):
        words = ["".join(random.choice(letters, size)) for size in random.integers(2, 10, 60)]
        found.append(" ".join(words).capitalize() + ".")
    return found
