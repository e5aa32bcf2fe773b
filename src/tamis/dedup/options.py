"""What the dedup tasks are told: one frozen object made from the recipe's `dedup` part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Pairs below both floors are not recorded: a later threshold may move freely above them.
JACCARD_FLOOR = 0.5
CONTAINMENT_FLOOR = 0.9


@dataclass(frozen=True)
class Options:
    """`bands` x `rows` permutations over `ngram`-word shingles nominate; 0 bands: exact duplicates only.

    small: components of at most this many distinct texts have all their pairs verified.
    leaders: in larger ones a document meets this many first documents of each of its buckets,
    most: and at most this many in all, those that share most bands first.
    """

    exact: bool = True
    bands: int = 14
    rows: int = 8
    ngram: int = 5
    seed: int = 1
    min_shingles: int = 2
    small: int = 64
    leaders: int = 8
    most: int = 32
    floor: float = JACCARD_FLOOR
    containment_floor: float = CONTAINMENT_FLOOR

    def __post_init__(self) -> None:
        if self.bands < 0 or (self.bands and self.rows < 1):
            raise ValueError(f"dedup: {self.bands} bands x {self.rows} rows is not a sketch; use for example 14 x 8")
        if not self.exact and not self.bands:
            raise ValueError("dedup: neither exact nor minhash is on; turn one on or leave the stage out")

    @property
    def permutations(self) -> int:
        return self.bands * self.rows

    @staticmethod
    def of(params: Mapping[str, Any]) -> Options:
        """From the recipe's `dedup` mapping: {"exact": bool, "minhash": {"bands", "rows", "ngram"} or None}.

        What concerns the verdict alone (`jaccard`, `containment`, `guard`) is not looked at, so that a threshold
        changes no sketch and no edge.
        """
        given = {name: params[name] for name in ("exact", "seed", "small", "leaders", "most") if name in params}
        minhash = params.get("minhash", {})
        if minhash is None:
            return Options(bands=0, rows=0, **given)
        given |= {name: minhash[name] for name in ("bands", "rows", "ngram") if name in minhash}
        return Options(**given)
