"""Held-out texts that the corpora provably do not contain.

Always three: held out of A, held out of B, and a reference from sources that are in neither, which is the primary one.
`held` says by its id alone whether a document is set aside, so A and B set aside the same ones and training skips
them. Web text repeats itself, so setting documents aside is not enough: `hold_out` looks every n-gram of the candidates
up in every text that is trained on and drops candidates that share one. What is left is then looked up once more, by
the kernel's hash table, and the counts of that second pass are the proof.

N-grams are those of Tamis's own lookup: 13 successive words of the normalized text (lower case, no marks or
punctuation; `script` words; numbers as they are). Different n-grams with one 64-bit hash can only drop a document too
many, never hide one. A candidate of fewer words than an n-gram is dropped: nothing can be proven of it.

Memory: the candidates' text, 8 bytes for each of their n-grams and 16 to 32 for the table; the corpora are read twice,
batch by batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import kernels
from tamis.corpus.order import below, draw, id_words
from tamis.errors import SaidNo

NGRAM = 13
_BATCH_BYTES = 4 << 20

Batches = Callable[[], Iterator[pa.Array]]


class NotHeldOut(ValueError, SaidNo):
    """Nothing is left of a held-out text, or it shares n-grams with what is trained on."""


@dataclass(frozen=True)
class Candidates:
    """Documents offered for a held-out text, in the order in which they are wanted. domains: "text" where not given."""

    ids: list[str]
    texts: list[str]
    domains: list[str]

    @classmethod
    def of(cls, ids: Sequence[str], texts: Sequence[str], domain: str | Sequence[str] = "text") -> Candidates:
        if len(ids) != len(texts):
            raise ValueError(f"{len(ids)} ids and {len(texts)} texts")
        return cls(list(ids), list(texts), [domain] * len(ids) if isinstance(domain, str) else list(domain))

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> Candidates:
        return Candidates(*([column[i] for i in rows] for column in (self.ids, self.texts, self.domains)))


@dataclass(frozen=True)
class TextProof:
    """Of one held-out text: documents offered; dropped as too short, as a copy of another one of this text, as sharing
    an n-gram, and as beyond the limit of bytes; kept, with their bytes, words' n-grams (different ones), and the hash
    of ids and texts. shared_with: how many share one with each corpus."""

    offered: int
    short: int
    copies: int
    shared: int
    shared_with: dict[str, int]
    beyond: int
    kept: int
    bytes: int
    ngrams: int
    sha256: str


@dataclass(frozen=True)
class CorpusProof:
    """Of one corpus: documents and bytes that were looked through, n-grams in the first pass found among the
    candidates (every occurrence counts), and in the second among those kept, which must be 0."""

    documents: int
    bytes: int
    first_hits: int
    hits: int


@dataclass(frozen=True)
class Proof:
    """What was looked up, where, and what came of it."""

    ngram: int
    words: str
    texts: dict[str, TextProof]
    corpora: dict[str, CorpusProof]

    @property
    def holds(self) -> bool:
        """No n-gram of any held-out text is in any corpus."""
        return all(one.hits == 0 for one in self.corpora.values())

    def to_json(self) -> dict[str, Any]:
        return {
            "ngram": self.ngram,
            "words": self.words,
            "holds": self.holds,
            "texts": {name: vars(one) for name, one in self.texts.items()},
            "corpora": {name: vars(one) for name, one in self.corpora.items()},
        }

    def __str__(self) -> str:
        lines = [f"held out  {'no' if self.holds else 'A'} {self.ngram}-gram is shared with what is trained on"]
        for name, text in self.texts.items():
            lost = [f"{text.shared:,} sharing an n-gram", f"{text.short:,} short", f"{text.copies:,} copies"]
            lost += [f"{text.beyond:,} beyond the limit"] if text.beyond else []
            lines.append(
                f"  {name:<12} {text.kept:,} of {text.offered:,} documents, {text.bytes:,} bytes, {text.ngrams:,} "
                f"different n-grams; dropped {', '.join(lost)}"
            )
        for name, corpus in self.corpora.items():
            lines.append(
                f"  {name:<12} {corpus.documents:,} documents, {corpus.bytes:,} bytes looked through: "
                f"{corpus.first_hits:,} n-grams found among all candidates, {corpus.hits:,} among those kept"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class HeldOut:
    """texts: by name, the documents to measure on. proof: that they are in no corpus."""

    texts: dict[str, Candidates]
    proof: Proof


def held(ids: pa.Array | pa.ChunkedArray, share: float = 0.01, seed: int = 17) -> npt.NDArray[np.bool_]:
    """Which documents are set aside: (N,) bool, by id and seed alone. ids: 32 hexadecimal digits each."""
    if not 0 < share < 1:
        raise ValueError(f"share={share}: it must lie between 0 and 1")
    return below(draw(id_words(ids), seed, "held out"), share)


def hold_out(
    candidates: Mapping[str, Candidates],
    corpora: Mapping[str, Batches],
    *,
    ngram: int = NGRAM,
    limit_bytes: int | None = None,
) -> HeldOut:
    """The held-out texts and their proof.

    candidates: by the name of the text. corpora: by name, a function that gives every text trained on, as Arrow string
    arrays without nulls, from the beginning at each call (without the documents set aside). limit_bytes: each text ends
    with the document that fills it. Raises NotHeldOut where nothing is left of a text, or where the second pass finds
    an n-gram (the corpus has changed in between).
    """
    sets = {name: _Grams.of(text, ngram) for name, text in candidates.items()}
    found, first, sizes = _found(sets, corpora, ngram)
    texts: dict[str, Candidates] = {}
    proofs: dict[str, TextProof] = {}
    for name, text in candidates.items():
        texts[name], proofs[name] = _kept(name, text, sets[name], found, limit_bytes, ngram)
    empty = [name for name, one in proofs.items() if not one.kept]
    if empty:
        one = proofs[empty[0]]
        raise NotHeldOut(
            f"nothing is left of the held-out text {empty[0]}: of {one.offered:,} documents {one.shared:,} share a "
            f"{ngram}-gram with a corpus, {one.short:,} are shorter than that, {one.copies:,} are copies. Offer more."
        )
    table = kernels.ngram_table(np.concatenate([_Grams.of(text, ngram).every for text in texts.values()]))
    hits = {name: _hits(batches, table, ngram) for name, batches in corpora.items()}
    proof = Proof(
        ngram,
        "script",
        proofs,
        {name: CorpusProof(*sizes[name], first_hits=first[name], hits=hits[name]) for name in corpora},
    )
    if not proof.holds:
        raise NotHeldOut(f"a held-out text shares n-grams with a corpus, which changed while it was read:\n{proof}")
    return HeldOut(texts, proof)


@dataclass(frozen=True)
class _Grams:
    """The n-grams of N documents: those of document i are every[offsets[i]:offsets[i + 1]], sorted. 0 is stored as 1,
    as in the kernels' tables. whole: (N,) documents of at least an n-gram's words."""

    offsets: npt.NDArray[np.int64]
    every: npt.NDArray[np.uint64]
    whole: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, text: Candidates, ngram: int) -> _Grams:
        offsets, values, whole = [np.zeros(1, np.int64)], [np.zeros(0, np.uint64)], [np.zeros(0, np.bool_)]
        for batch in _cut(pa.array(text.texts, pa.large_string())):
            at, grams = kernels.shingles(batch, ngram, False)
            offsets.append(at[1:] + offsets[-1][-1])
            values.append(np.maximum(grams, np.uint64(1)))
            # a shorter text has one shingle of all its words: only counting tells
            words = [len(one.split(" ")) if one else 0 for one in kernels.normalize(batch, digits=False).to_pylist()]
            whole.append(np.array(words) >= ngram)
        return cls(np.concatenate(offsets), np.concatenate(values), np.concatenate(whole))

    def document(self, number: int) -> npt.NDArray[np.uint64]:
        return self.every[self.offsets[number] : self.offsets[number + 1]]


def _found(
    sets: Mapping[str, _Grams], corpora: Mapping[str, Batches], ngram: int
) -> tuple[dict[str, npt.NDArray[np.uint64]], dict[str, int], dict[str, tuple[int, int]]]:
    """First pass. By corpus: candidates' n-grams that it holds, sorted; how often they occur; (documents, bytes)."""
    every = np.unique(np.concatenate([one.every for one in sets.values()]))
    table = kernels.ngram_table(every)
    found, hits, sizes = {}, {}, {}
    for name, batches in corpora.items():
        seen = np.zeros(len(every), np.bool_)
        hits[name], documents, size = 0, 0, 0
        for array in batches():
            for batch in _cut(array):
                counts = kernels.ngram_hits(batch, table, ngram, False)
                documents, size = documents + len(batch), size + _bytes(batch)
                hits[name] += int(counts.sum())
                if counts.any():
                    grams = kernels.shingles(batch.filter(pa.array(counts > 0)), ngram, False)[1]
                    grams = np.maximum(grams, np.uint64(1))
                    at = np.minimum(np.searchsorted(every, grams), len(every) - 1)
                    seen[at[every[at] == grams]] = True
        found[name], sizes[name] = every[seen], (documents, size)
    return found, hits, sizes


def _hits(batches: Batches, table: npt.NDArray[np.uint64], ngram: int) -> int:
    return sum(
        int(kernels.ngram_hits(batch, table, ngram, False).sum()) for array in batches() for batch in _cut(array)
    )


def _kept(
    name: str, text: Candidates, grams: _Grams, found: Mapping[str, npt.NDArray[np.uint64]], limit: int | None,
    ngram: int,
) -> tuple[Candidates, TextProof]:  # fmt: skip
    shared = {corpus: _any(grams, np.isin(grams.every, values)) for corpus, values in found.items()}
    lost = np.logical_or.reduce([*shared.values(), np.zeros(len(text), np.bool_)])
    rows: list[int] = []
    seen: set[bytes] = set()
    short = copies = hit = beyond = size = 0
    digest = hashlib.sha256()
    for i, one in enumerate(text.texts):
        key = grams.document(i).tobytes()
        if not grams.whole[i]:
            short += 1
        elif lost[i]:
            hit += 1
        elif key in seen:  # the same words, or so nearly that they have the same n-grams
            copies += 1
        elif limit is not None and size >= limit:
            beyond += 1
        else:
            seen.add(key)
            rows.append(i)
            size += len(one.encode())
            for part in (text.ids[i].encode(), one.encode()):
                digest.update(len(part).to_bytes(8, "little") + part)
    kept = text.take(rows)
    different = len(np.unique(np.concatenate([grams.document(i) for i in rows]))) if rows else 0
    by = {corpus: int((one & grams.whole).sum()) for corpus, one in shared.items()}
    return kept, TextProof(len(text), short, copies, hit, by, beyond, len(rows), size, different, digest.hexdigest())


def _any(grams: _Grams, marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Documents with a marked n-gram: (N,)."""
    sums = np.concatenate([[0], np.cumsum(marks)])
    found: npt.NDArray[np.bool_] = sums[grams.offsets[1:]] > sums[grams.offsets[:-1]]
    return found


def _bytes(batch: pa.Array) -> int:
    offsets = np.frombuffer(batch.buffers()[1], np.int64)
    return int(offsets[batch.offset + len(batch)] - offsets[batch.offset])


def _cut(array: pa.Array) -> Iterator[pa.Array]:
    """Large-string slices of about 4 MB."""
    array = array.cast(pa.large_string())
    if not len(array):
        return
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
    start = 0
    while start < len(array):
        stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + _BATCH_BYTES, side="right")) - 1)
        yield array.slice(start, stop - start)
        start = stop
