"""How well a model predicts held-out text: bits per byte, by domain, with the loss of every document kept.

Bits per byte is comparable across tokenizers, and over training seeds it is far less noisy than accuracy (about 80
times, see docs/evaluation.md): it is the first metric of every comparison.

A document is scored as it was trained: after the end-of-text token, in windows of the model's context; every token of
it is scored exactly once, the end-of-text token itself is not. With `overlap`, a window begins with that many tokens
of the one before, so that its first tokens have something to go by (0: faster, and what training saw).

Memory: the ids of all documents, 8 bytes a token, and one batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.models.model import Encoder, Ids, Model, batches
from tamis.proof.metric import Floats, Ints, Metric, NothingCounted, paired, ratio

BATCH_TOKENS = 1 << 13


@dataclass(frozen=True)
class Losses:
    """Of D documents: ids (of the documents, for people and joins), domains, nats, tokens scored, UTF-8 bytes."""

    documents: list[str]
    domains: list[str]
    nats: Floats
    tokens: Ints
    bytes: Ints

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def bits(self) -> Floats:
        return self.nats / math.log(2)

    def bits_per_byte(self, domain: str | None = None, level: float = 0.95, seed: int = 17) -> Metric:
        """Nats of all tokens / (ln 2 x bytes), of one domain or of all; the interval resamples documents. Raises
        NothingCounted."""
        rows = self._rows(domain)
        return ratio(
            "bits per byte" + (f", {domain}" if domain else ""),
            self.bits[rows], self.bytes[rows], unit="bit/byte", direction="lower", of="documents", level=level,
            seed=seed,
        )  # fmt: skip

    def by_domain(self, level: float = 0.95, seed: int = 17) -> dict[str, Metric]:
        """Bits per byte of every domain, by name."""
        return {name: self.bits_per_byte(name, level, seed) for name in sorted(set(self.domains))}

    def nats_per_token(self) -> float:
        return float(self.nats.sum() / self._tokens())

    def bytes_per_token(self) -> float:
        """Turns bits per byte into nats per token: x ln 2 x this."""
        return float(self.bytes.sum() / self._tokens())

    def _tokens(self) -> int:
        if not self.tokens.sum():
            raise NothingCounted("nats per token: there are no tokens to measure it on")
        return int(self.tokens.sum())

    def minus(self, other: Losses, domain: str | None = None, level: float = 0.95, seed: int = 17) -> Metric:
        """Bits per byte of this model less those of `other` on the same documents; negative: this one predicts
        better. The interval is about documents, not about training seeds."""
        if self.documents != other.documents or not np.array_equal(self.bytes, other.bytes):
            raise ValueError("the two models were not scored on the same documents in the same order")
        rows = self._rows(domain)
        mine, theirs = self.bits_per_byte(domain, level, seed), other.bits_per_byte(domain, level, seed)
        return paired(
            mine.name + ", difference", theirs, mine, below=self.bytes[rows].astype(np.float64), level=level, seed=seed
        )

    def table(self) -> pa.Table:
        """One row per document: id, domain, nats, tokens, bytes."""
        return pa.table(
            {
                "id": pa.array(self.documents, pa.string()),
                "domain": pa.array(self.domains, pa.string()),
                "nats": self.nats,
                "tokens": self.tokens,
                "bytes": self.bytes,
            }
        )

    @classmethod
    def from_table(cls, table: pa.Table) -> Losses:
        """What `table` gave."""
        numbers = {name: table.column(name).to_numpy() for name in ("nats", "tokens", "bytes")}
        return cls(table.column("id").to_pylist(), table.column("domain").to_pylist(), **numbers)

    def _rows(self, domain: str | None) -> npt.NDArray[np.int64]:
        if domain is None:
            return np.arange(len(self))
        found = np.flatnonzero(np.array(self.domains, dtype=object) == domain)
        if not len(found):
            known = ", ".join(sorted(set(self.domains)))
            raise NothingCounted(f"there are no documents of the domain {domain!r}; there are {known or 'none'}")
        return found


@dataclass(frozen=True)
class Windows:
    """Rows of ids with, for each, the document it is of and how many of its first targets are context only."""

    rows: list[Ids]
    owner: list[int]
    skip: list[int]


def windows(ids: Sequence[npt.ArrayLike], context: int, end_of_text: int, overlap: int = 0) -> Windows:
    """Documents cut for a model: rows of at most context + 1 ids whose targets cover every token exactly once."""
    if not 0 <= overlap < context:
        raise ValueError(f"overlap={overlap}: it must be at least 0 and less than the context of {context} tokens")
    found = Windows([], [], [])
    for number, one in enumerate(ids):
        whole = np.concatenate([[end_of_text], np.asarray(one, np.int64)])
        done = 1  # everything before this place has been scored; place 0 is the end-of-text token
        while done < len(whole):
            first = max(0, done - 1 - overlap)
            row = whole[first : first + context + 1]
            found.rows.append(row)
            found.owner.append(number)
            found.skip.append(done - 1 - first)
            done = first + len(row)
    return found


def losses(
    model: Model,
    ids: Sequence[npt.ArrayLike],
    sizes: npt.ArrayLike,
    *,
    end_of_text: int,
    documents: Sequence[str] | None = None,
    domains: Sequence[str] | None = None,
    overlap: int = 0,
    batch_tokens: int = BATCH_TOKENS,
) -> Losses:
    """The loss of every document. ids: D arrays of token ids, without end-of-text tokens; sizes: (D,) UTF-8 bytes of
    the text that each encodes. Raises ValueError where a model gives a loss that is not a number."""
    count = len(ids)
    if len(np.asarray(sizes)) != count:
        raise ValueError(f"{count} documents and {len(np.asarray(sizes))} sizes")
    cut = windows(ids, model.context, end_of_text, overlap)
    nats, tokens = np.zeros(count), np.zeros(count, np.int64)
    for numbers, block in batches(cut.rows, batch_tokens):
        found = np.asarray(model.nats(block), np.float64)  # float32 sums lose digits past 1e7 tokens
        for place, number in enumerate(numbers):
            mine = found[place, cut.skip[number] : len(cut.rows[number]) - 1]
            nats[cut.owner[number]] += mine.sum()
            tokens[cut.owner[number]] += len(mine)
    names = [str(i) for i in range(count)] if documents is None else list(documents)
    bad = np.flatnonzero(~np.isfinite(nats))
    if len(bad):
        raise ValueError(
            f"the loss of document {names[bad[0]]} and of {len(bad) - 1:,} more is not a finite number: the model has "
            "diverged, or its ids lie outside its vocabulary"
        )
    return Losses(
        names, ["text"] * count if domains is None else list(domains), nats, tokens, np.asarray(sizes, np.int64)
    )


def text_losses(
    model: Model,
    encoder: Encoder,
    texts: Sequence[str],
    *,
    documents: Sequence[str] | None = None,
    domains: Sequence[str] | None = None,
    overlap: int = 0,
) -> Losses:
    """`losses` of texts, encoded here."""
    ids = encoder.encode(texts)
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    end = encoder.end_of_text
    return losses(model, ids, sizes, end_of_text=end, documents=documents, domains=domains, overlap=overlap)
