"""Documents of a corpus as examples for people: a seeded sample of its verdicts, kept and dropped.

What is drawn depends on the documents' ids and the seed alone. The examples say nothing about the verdict: whoever
judges them is blind to it, and the id leads back. Memory: the verdicts of one shard, and the sample.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis.clean.edits import apply_edits, merge
from tamis.corpora import Corpus
from tamis.documents import read_batches, read_table
from tamis.errors import SaidNo, WrongUse

KEPT = "kept"
LONGEST = 100_000  # characters of a text that a person is asked to read


class NothingToDraw(ValueError, SaidNo):
    """No document fits what is asked for."""


class BadSample(ValueError, WrongUse):
    """What is asked for makes no sample."""


@dataclass(frozen=True)
class Sample:
    """What was drawn. strata: reason (or `kept`) -> (drawn, documents there are). asked: how many were, of each reason
    (`each`) or in all. replaced: whether another file was there under the name."""

    path: Path
    rows: int
    strata: dict[str, tuple[int, int]]
    seed: int
    asked: int
    each: bool = False
    replaced: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON."""
        return {**asdict(self), "path": str(self.path)}

    def render(self) -> str:
        """For people."""
        instead = ", in place of the file that was there" if self.replaced else ""
        lines = [f"{self.path}: {self.rows:,} examples, seed {self.seed}{instead}"]
        if self.each:
            short = [f"{n:,} of {why}" for why, (n, _) in sorted(self.strata.items()) if n < self.asked]
            few = ", ".join(short)
        else:
            few = f"{self.rows:,}" if self.rows < self.asked else ""
        if few:
            lines.append(f"{self.asked:,} were asked for, and there are no more than {few}")
        lines += [f"{drawn:>8,} of {total:>9,}  {reason}" for reason, (drawn, total) in sorted(self.strata.items())]
        return "\n".join(lines)


def sample(
    corpus: Corpus, out: Path, n: int, *, reasons: tuple[str, ...] = (), each: bool = False, seed: int = 17
) -> Sample:
    """Draws `n` documents with a text and writes them as JSON Lines: id, url, text (with the corpus's edits).

    reasons: only documents that were dropped for one of them, or `kept`; all where empty. each: `n` of every reason
    rather than `n` in all. Raises BadSample, NothingToDraw.
    """
    if n < 1:
        raise BadSample(f"a sample has at least one document, not {n}")
    totals: Counter[str] = Counter()
    heaps: dict[str, list[tuple[int, int, int, str]]] = {}
    for shard in range(corpus.shards):
        verdicts = read_table(corpus.verdicts(shard), ["id", "keep", "reason"]).to_pydict()
        for row in _with_text(corpus.documents(shard)):
            reason = KEPT if verdicts["keep"][row] else verdicts["reason"][row] or "unknown"
            totals[reason] += 1
            if reasons and reason not in reasons:
                continue
            heap = heaps.setdefault(reason if each else "", [])
            # the n smallest keys stay; heapq keeps the smallest on top, so keys are negative
            item = (-_key(seed, verdicts["id"][row]), shard, row, reason)
            heapq.heappush(heap, item) if len(heap) < n else heapq.heappushpop(heap, item)
    if unknown := sorted(set(reasons) - set(totals)):
        fate = KEPT if unknown[0] == KEPT else f"dropped by {unknown[0]}"
        raise NothingToDraw(
            f"no document of corpus {corpus.corpus} was {fate}; there are {', '.join(sorted(totals)) or 'none'}"
        )
    chosen = sorted((key, shard, row, reason) for heap in heaps.values() for key, shard, row, reason in heap)
    if not chosen:
        raise NothingToDraw(f"corpus {corpus.corpus} has no document with a text")
    texts = _texts(corpus, {(shard, row) for _, shard, row, _ in chosen})
    drawn = Counter(reason for *_, reason in chosen)
    replaced = out.exists()
    with out.open("w", encoding="utf-8", newline="\n") as file:
        for _, shard, row, _ in chosen:
            file.write(json.dumps(texts[shard, row], ensure_ascii=False) + "\n")
    strata = {reason: (drawn[reason], total) for reason, total in totals.items() if drawn[reason]}
    return Sample(out, len(chosen), strata, seed, n, each, replaced)


def _with_text(documents: Path) -> list[int]:
    reasons = read_table(documents, ["reason"]).column("reason")  # null where extraction gave a text
    return [row for row, reason in enumerate(reasons.to_pylist()) if reason is None]


def _texts(corpus: Corpus, wanted: set[tuple[int, int]]) -> dict[tuple[int, int], dict[str, Any]]:
    """The examples of the wanted rows, text with all of the corpus's edits."""
    found = {}
    for shard in sorted({shard for shard, _ in wanted}):
        rows = sorted(row for of, row in wanted if of == shard)
        paths = [path for group in corpus.edit_groups() if (path := corpus.edits(group, shard)) is not None]
        spans = [read_table(path, ["edits"]).column("edits").combine_chunks() for path in paths]
        start = 0
        for batch in read_batches(corpus.documents(shard), ["id", "url", "text"]):
            inside = [row for row in rows if start <= row < start + batch.num_rows]
            if inside:
                picked = pa.array([row - start for row in inside])
                text = batch.column("text").take(picked).cast(pa.large_string())
                edits = [column.take(pa.array(inside)) for column in spans]
                for more in edits[1:]:
                    edits[0] = merge(edits[0], more)
                if edits:
                    text = apply_edits(text, edits[0])
                ids, urls = batch.column("id").take(picked), batch.column("url").take(picked)
                for row, id_, url, body in zip(
                    inside, ids.to_pylist(), urls.to_pylist(), text.to_pylist(), strict=True
                ):
                    found[shard, row] = {"id": id_, "url": url, "text": body[:LONGEST]}
            start += batch.num_rows
    return found


def _key(seed: int, id_: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}|{id_}".encode(), digest_size=8).digest(), "big")
