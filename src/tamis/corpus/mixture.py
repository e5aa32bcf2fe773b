"""How often each document enters a corpus: weights, epochs and a token target become one rate per source.

The rate is the expected number of copies of a document. A document gets floor(rate) copies, and one more where its
seeded draw falls under the rest, so that the whole is exact in expectation and no state is kept. Memory: O(sources).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tamis.corpus.order import Words, below, draw
from tamis.corpus.tally import Tally

Unit = Literal["tokens", "documents", "bytes"]


class MixtureError(ValueError):
    """The mixture asks for what the kept documents cannot give; the message names the source and the remedy."""


@dataclass(frozen=True)
class Share:
    """One source of a planned mixture. `rate`: copies per document of weight 1; `epochs`: the most that it may be.
    Planned figures are expectations."""

    source: str
    available: Tally
    weight: float | None
    epochs: float
    rate: float

    @property
    def documents(self) -> float:
        return self.rate * self.available.weighted_documents

    @property
    def tokens(self) -> float:
        return self.rate * self.available.weighted_tokens

    @property
    def bytes(self) -> float:
        return self.rate * self.available.weighted_bytes


@dataclass(frozen=True)
class Plan:
    """A mixture over sources. `limited_by`: the sources whose epochs kept the total under what it could be."""

    shares: tuple[Share, ...]
    unit: Unit
    target: int | None
    limited_by: tuple[str, ...] = ()

    @property
    def tokens(self) -> float:
        """Expected tokens, without end-of-text marks."""
        return sum(share.tokens for share in self.shares)

    @property
    def bytes(self) -> float:
        """Expected bytes of text: what the shuffle moves."""
        return sum(share.bytes for share in self.shares)

    def rates(self) -> dict[str, float]:
        return {share.source: share.rate for share in self.shares}

    def table(self, reached: Mapping[str, Tally]) -> list[dict[str, Any]]:
        """One row per source: what there was, what was planned, what was reached; tokens without end-of-text marks.
        Shares are of the tokens, or of the bytes of a corpus without tokens."""
        of = "tokens" if self.tokens else "bytes"
        planned = getattr(self, of) or 1.0
        total = sum(getattr(tally, of) for tally in reached.values()) or 1
        rows = []
        for share in self.shares:
            got = reached.get(share.source, Tally())
            rows.append(
                {
                    "source": share.source,
                    "available_documents": share.available.documents,
                    "available_tokens": share.available.tokens,
                    "available_bytes": share.available.bytes,
                    "weight": share.weight,
                    "epochs": share.epochs,
                    "rate": share.rate,
                    "planned_documents": round(share.documents),
                    "planned_tokens": round(share.tokens),
                    "planned_bytes": round(share.bytes),
                    "planned_share": getattr(share, of) / planned,
                    "documents": got.documents,
                    "tokens": got.tokens,
                    "bytes": got.bytes,
                    "share": getattr(got, of) / total,
                }
            )
        return rows


def plan(
    available: Mapping[str, Tally],
    *,
    unit: Unit = "tokens",
    weights: Mapping[str, float] | None = None,
    epochs: Mapping[str, float] | None = None,
    tokens: int | None = None,
) -> Plan:
    """The rate of every source with kept documents.

    weights: relative shares of the corpus, counted in `unit`; every source must have one (0 leaves it out). Without
        weights every source enters as often as its epochs say.
    epochs: how often a source is seen at most, 1 where it is not named; 2.5 gives every document two copies and
        every second one a third.
    tokens: the most tokens wanted. Proportions come first: where a source is too small for its weight at the
        target, the whole mixture shrinks to what its epochs allow, and `limited_by` names it.
    Raises MixtureError for a source of which nothing was kept, and for a missing or negative weight.
    """
    for what, given in (("weights", weights or {}), ("epochs", epochs or {})):
        for name, value in given.items():
            if not (np.isfinite(value) and value >= 0):
                raise MixtureError(f"mixture.{what}.{name} is {value}: it must be a number of 0 or more")
            if value and (name not in available or _size(available[name], unit) <= 0):
                known = ", ".join(sorted(available)) or "none"
                raise MixtureError(
                    f"mixture.{what}.{name} is {value:g}, but no document of `{name}` was kept (kept: {known}): "
                    "set it to 0, or look at what dropped them"
                )
    caps = {name: (epochs or {}).get(name, 1.0) for name in available}
    if not weights:
        most = sum(caps[name] * tally.weighted_tokens for name, tally in available.items())
        thin = tokens / most if tokens is not None and tokens < most else 1.0
        shares = tuple(Share(name, available[name], None, caps[name], caps[name] * thin) for name in sorted(available))
        short = tokens is not None and most < tokens
        return Plan(shares, unit, tokens, tuple(sorted(available)) if short else ())
    missing = sorted(set(available) - set(weights))
    if missing:
        raise MixtureError(f"mixture.weights lacks `{missing[0]}`: give it a weight (0 leaves the source out)")
    per_weight = {name: _size(available[name], unit) / weight for name, weight in weights.items() if weight > 0}
    if not per_weight:
        raise MixtureError("mixture.weights are all 0: nothing would be left")
    # A source gives scale x weight units, so its rate is scale / per_weight; its epochs bound the scale.
    bounds = {name: caps[name] * size for name, size in per_weight.items()}
    scale = min(bounds.values())
    limited = tuple(sorted(name for name, bound in bounds.items() if bound <= scale * (1 + 1e-12)))
    if tokens is not None:
        asked = tokens / sum(available[name].weighted_tokens / size for name, size in per_weight.items())
        if asked <= scale:
            scale, limited = asked, ()
    elif len(per_weight) == 1:
        limited = ()  # one source, whole: nothing was held back
    rates = {name: scale / per_weight[name] if name in per_weight else 0.0 for name in sorted(available)}
    shares = tuple(Share(name, available[name], weights[name], caps[name], rate) for name, rate in rates.items())
    return Plan(shares, unit, tokens, limited)


def _size(tally: Tally, unit: Unit) -> float:
    size: float = getattr(tally, f"weighted_{unit}")
    return size


def copies(words: Words, rate: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.int64]:
    """Copies of each document: int64 (N,), from ids (N, 2) and rates (N,). Its expectation is the rate."""
    whole = np.floor(rate)
    extra: npt.NDArray[np.int64] = below(draw(words, seed, "mixture"), rate - whole).astype(np.int64)
    return whole.astype(np.int64) + extra
