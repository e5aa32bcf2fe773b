"""Which threshold of a signal keeps exactly k of a corpus's documents, found in bounded memory.

The values of a signal are read shard by shard, as often as eight times: each pass counts the next two bytes of the
order-preserving form of the numbers, until the k-th largest is known. Memory: one shard's column and 65,536 counters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import SaidNo, WrongUse
from tamis.quality import dsir

Floats = npt.NDArray[np.float64]
Values = Callable[[], Iterator[Floats]]


class NoSuchThreshold(ValueError, SaidNo):
    """No threshold keeps exactly that many documents."""


class NoSignal(ValueError, WrongUse):
    """The corpus has no such signal."""


@dataclass(frozen=True)
class Threshold:
    """`value >= threshold` keeps exactly `keeps` of `measured` documents; `of` are in the corpus."""

    value: float
    keeps: int
    measured: int
    of: int


def ordered(values: Floats) -> npt.NDArray[np.uint64]:
    """The numbers as integers of the same order (no NaN)."""
    bits = (values + 0.0).view(np.uint64)  # + 0.0: minus zero is zero
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)


def unordered(key: int) -> float:
    bits = key & ~(1 << 63) if key >> 63 else ~key & (1 << 64) - 1
    return float(np.array([bits], np.uint64).view(np.float64)[0])


def threshold(values: Values, keep: int) -> Threshold:
    """The keep-th largest value. `values` gives arrays (NaN: not measured), each time from the beginning. Raises
    NoSuchThreshold where there are fewer, or several documents share the value at the line."""
    of = measured = 0
    for array in values():
        of += len(array)
        measured += int(np.count_nonzero(~np.isnan(array)))
    if not 0 < keep <= measured:
        raise NoSuchThreshold(f"{keep:,} documents are wanted and {measured:,} of {of:,} have a value")
    prefix, above = 0, 0  # of the key; documents that are surely kept
    for shift in (48, 32, 16, 0):
        counts = np.zeros(1 << 16, np.int64)
        for array in values():
            keys = ordered(array[~np.isnan(array)])
            if shift < 48:
                keys = keys[keys >> np.uint64(shift + 16) == np.uint64(prefix)]
            counts += np.bincount((keys >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.int64), minlength=1 << 16)
        from_top = above + np.cumsum(counts[::-1])
        digit = (1 << 16) - 1 - int(np.searchsorted(from_top, keep))
        above = int(from_top[(1 << 16) - 1 - digit]) - int(counts[digit])
        prefix = prefix << 16 | digit
    equal = int(counts[digit])
    if above + equal != keep:
        raise NoSuchThreshold(
            f"{equal:,} documents have the value {unordered(prefix)!r} at the line: {above:,} or {above + equal:,} "
            "documents can be kept, not "
            f"{keep:,}. Keys with noise (importance.NAME_key) never tie"
        )
    return Threshold(unordered(prefix), keep, measured, of)


def of_corpus(reader: Any, signal: str) -> Values:
    """The values of a signal for the documents that a corpus keeps. Raises NoSignal."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from tamis.documents import read_table

    group, _, column = signal.partition(".")
    if not column or reader.shards == 0 or any(reader.signals(group, shard) is None for shard in range(reader.shards)):
        raise NoSignal(f"corpus {reader.corpus} has no signal {signal}: name it in its recipe and run that again")

    def read() -> Iterator[Floats]:
        for shard in range(reader.shards):
            try:
                table = read_table(reader.signals(group, shard), [column])
                values = table.column(column).cast(pa.float64())
            except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
                raise NoSignal(f"signal group {group} of corpus {reader.corpus} has no numbers {column}") from None
            keep = read_table(reader.verdicts(shard), ["keep"]).column("keep")
            kept = pc.fill_null(values, float("nan")).filter(keep)
            yield np.asarray(kept.to_numpy(), np.float64)

    return read


def resample(reader: Any, signal: str, documents: int | None, share: float | None) -> Threshold:
    """The threshold for a number or a share of the documents that the corpus keeps now."""
    values = of_corpus(reader, signal)
    if (documents is None) == (share is None):
        raise NoSignal("say how many: --documents N or --share S")
    if documents is None:
        assert share is not None
        if not 0 < share <= 1:
            raise NoSignal(f"--share {share}: it lies between 0 and 1")
        measured = sum(int(np.count_nonzero(~np.isnan(array))) for array in values())
        documents = max(1, round(share * measured))
    return threshold(values, documents)


def gain(reader: Any, signal: str, line: Threshold, model: dsir.Importance) -> dict[str, float]:
    """Kullback-Leibler divergence from the target, in nats, of all kept documents and of those above the line (both
    as bags of n-grams): DSIR's measure of how much nearer a selection is (Xie et al. 2023, section 4)."""
    from tamis.documents import read_batches

    buckets = len(model.ratios)
    every, chosen = np.zeros(buckets, np.int64), np.zeros(buckets, np.int64)
    for values, manifest in zip(of_corpus(reader, signal)(), reader.manifests("kept"), strict=True):
        start = 0
        for batch in read_batches(reader.work.file(manifest.files[0].path), ["text"]):
            rows = values[start : start + batch.num_rows] >= line.value  # NaN is not
            text = batch.column("text")
            inside = dsir.counts_of(text.filter(rows), buckets, model.ngram)
            every += inside + dsir.counts_of(text.filter(~rows), buckets, model.ngram)
            chosen += inside
            start += batch.num_rows
        if start != len(values):
            raise NoSignal(
                f"corpus {reader.corpus}: {manifest.task} keeps other documents than its verdicts; run it again"
            )
    before, after = (dsir.divergence(model.target, dsir.smoothed(c)) for c in (every, chosen))
    return {"before": round(before, 4), "after": round(after, 4), "reduction": round(before - after, 4)}


def answer(reader: Any, signal: str, documents: int | None, share: float | None) -> dict[str, Any]:
    """The rule, what it keeps, and, for importance signals whose model is at hand, how much nearer that is."""
    line = resample(reader, signal, documents, share)
    found: dict[str, Any] = {
        "rule": f"{signal} >= {line.value!r}",
        "keeps": line.keeps,
        "measured": line.measured,
        "documents": line.of,
    }
    if reader.settings.dedup.on:
        found["note"] = "a duplicate may come back where the document that it lost to falls below the line"
    group, _, column = signal.partition(".")
    path = reader.settings.signals.importance.get(column.removesuffix("_key")) if group == "importance" else None
    if path:
        found["divergence"] = gain(reader, signal, line, dsir.load(str(path)))
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The answer for people."""
    out = [
        f"{found['rule']}",
        f"  keeps {found['keeps']:,} of {found['measured']:,} measured documents of {found['documents']:,}",
    ]
    if "note" in found:
        out.append(f"  {found['note']}")
    if "divergence" in found:
        d = found["divergence"]
        out.append(
            f"  divergence from the target: {d['before']:.4f} nats before, {d['after']:.4f} after "
            f"(reduction {d['reduction']:.4f})"
        )
        if d["reduction"] <= 0:
            out.append(
                "  warning: what would be kept is no nearer to the target than what there is: few documents, or a "
                "model of another target; do not use this rule for it"
            )
    return out
