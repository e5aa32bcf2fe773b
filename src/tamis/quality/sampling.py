"""A bounded, seeded sample of two kinds of documents as hashed n-grams, on disk.

Memory: about 100 bytes a document of the sample. The n-grams of the sample (4 bytes each) lie in a temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import kernels
from tamis.quality.linear import Features, Settings, featurize
from tamis.quality.reading import Texts, group_of

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """N documents. good bool (N,); sizes (N,) UTF-8 bytes; groups (N,) number of the host, each document without URL
    its own; languages (N,) number of the language in `codes`."""

    features: Features
    good: npt.NDArray[np.bool_]
    sizes: Ints
    groups: Ints
    hosts: tuple[int, int]  # different hosts of good and of bad documents
    languages: Ints
    codes: tuple[str, ...]
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.good)


# draw, begin, end (of its n-grams), bytes, host, language, content hash, number
Row = tuple[float, int, int, int, str | None, str, int, int]


class _Side:
    """A uniform sample of a stream: every document draws a number, the `cap` smallest stay."""

    def __init__(self, spool: Any, settings: Settings, cap: int, side: int) -> None:
        self.spool, self.settings, self.cap = spool, settings, cap
        self.generator = np.random.default_rng([settings.seed, 3, side])
        self.limit = np.inf
        self.rows: list[Row] = []

    def read(self, texts: Texts, advance: Callable[[int], None]) -> None:
        for batch in texts:
            draws = self.generator.random(batch.num_rows)
            chosen = np.flatnonzero(draws < self.limit)
            text = batch.column("text").take(pa.array(chosen))
            offsets, buckets = featurize(text, self.settings)
            start = self.spool.tell() // 4
            self.spool.write(buckets.tobytes())
            hashes = kernels.content_hash(text)
            urls = batch.column("url").take(pa.array(chosen)).to_pylist()
            for i, row in enumerate(chosen.tolist()):
                data = text[i].as_buffer().to_pybytes()
                begin, end = start + int(offsets[i]), start + int(offsets[i + 1])
                key = int(hashes[i, 0]) ^ int(hashes[i, 1])
                if end > begin:  # a text without a word says nothing
                    code = _language(data)
                    self.rows.append((draws[row], begin, end, len(data), group_of(urls[i]), code, key, len(self.rows)))
            if len(self.rows) > 2 * self.cap:
                self.trim()
            advance(batch.num_rows)
        self.trim()
        self.rows.sort(key=lambda row: row[1])

    def trim(self) -> None:
        if len(self.rows) > self.cap:
            self.rows.sort()
            del self.rows[self.cap :]
            self.limit = self.rows[-1][0]


def _language(data: bytes) -> str:
    from tamis.signals import language

    text = language.sample(np.frombuffer(data, np.uint8))
    found = language.predict(text) if text.strip() else []
    return found[0][0] if found else language.UNDETERMINED


def draw(
    good: Texts, bad: Texts, settings: Settings, cap: int, folder: Path | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Sample:  # fmt: skip
    """At most `cap` documents of each kind. Of equal texts (`kernels.content_hash`) one stays; those that are in both
    kinds are left out of both, for they say nothing and would be learned by heart."""
    with tempfile.TemporaryFile(dir=folder) as spool:
        sides = []
        for number, texts in enumerate((good, bad)):
            side = _Side(spool, settings, cap, number)
            side.read(texts, advance)
            sides.append(side.rows)
        spool.flush()
        # the map outlives the name of the file
        size = spool.tell() // 4
        buckets = np.memmap(spool, np.uint32, "r", shape=(size,)) if size else np.zeros(0, np.uint32)
    keys = [{row[6] for row in found} for found in sides]
    both = keys[0] & keys[1]
    rows, labels, repeated = [], [], 0
    for label, found in zip((True, False), sides, strict=True):
        seen: set[int] = set()
        for row in found:
            repeated += row[6] in seen
            if row[6] not in both and row[6] not in seen:
                rows.append(row)
                labels.append(label)
            seen.add(row[6])
    hosts = sorted({row[4] for row in rows if row[4]})
    number_of = {host: i for i, host in enumerate(hosts)}
    groups = [number_of[row[4]] if row[4] else len(hosts) + i for i, row in enumerate(rows)]
    codes = tuple(sorted({row[5] for row in rows}))
    marked = np.array(labels, bool)
    return Sample(
        Features(buckets, np.array([r[1] for r in rows], np.int64), np.array([r[2] for r in rows], np.int64)),
        marked,
        np.array([r[3] for r in rows], np.int64),
        np.unique(np.array(groups, np.int64), return_inverse=True)[1] if rows else np.zeros(0, np.int64),
        (_hosts(rows, labels, True), _hosts(rows, labels, False)),
        np.array([codes.index(r[5]) for r in rows], np.int64),
        codes,
        {
            "good": int(marked.sum()),
            "bad": int((~marked).sum()),
            "cap": cap,
            "seed": settings.seed,
            "repeated": repeated,
            "in_both": len(both),
        },
    )


def _hosts(rows: Sequence[Row], labels: Sequence[bool], side: bool) -> int:
    return len({row[4] for row, label in zip(rows, labels, strict=True) if row[4] and label == side})
