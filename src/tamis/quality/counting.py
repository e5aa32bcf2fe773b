"""Counting n-grams out of core, and modified Kneser-Ney: from texts to the probabilities of a back-off model.

Every line that holds words is a sentence, ``<s> words </s>``, of the words of `kernels.sentences`. An n-gram is a row
of 64-bit word hashes in DuckDB, which groups, sorts and joins under a memory limit and spills to a folder; the words
themselves stay in memory, once each.

The estimate is Chen and Goodman's (1998, section 3) as KenLM's lmplz makes it (Heafield et al. 2013): the count of an
n-gram of lower order is the number of different words before it, that of one at the beginning of a sentence its number
of times; three discounts an order; interpolated; the shortest context leaves its mass to a uniform distribution over
the words with <unk> and </s>. An n-gram is pruned whose count is at most the order's limit, unless a longer one that
stays begins or ends with it; what it had goes to its context's back-off, so that probabilities always sum to one.

Memory: DuckDB's limit, about 100 bytes a different word, and one batch. Disk: about 8 * order bytes a word of text.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import kernels
from tamis.errors import SaidNo, WrongUse
from tamis.quality.reading import Texts

U64 = npt.NDArray[np.uint64]
Discounts = tuple[float, float, float]

BEGIN, END, UNKNOWN = kernels.MARK_HASHES
# where n1 ... n4 do not all occur, or give an impossible discount; as lmplz --discount_fallback
FALLBACK: Discounts = (0.5, 1.0, 1.5)


class NoWords(ValueError, SaidNo):
    """The texts hold no word."""


class BadMemory(ValueError, WrongUse):
    """DuckDB does not understand the memory limit."""


class TooLittle(ValueError, SaidNo):
    """DuckDB needs more memory, or more room for what it spills."""


@dataclass(frozen=True)
class Order:
    """One order of the estimate. `counts`: how many n-grams have the (adjusted) count 1, 2, 3, 4."""

    found: int
    kept: int
    counts: tuple[int, int, int, int]
    discounts: Discounts
    fallback: bool


def discounts(counts: Sequence[int]) -> Discounts | None:
    """Discounts of n-grams counted once, twice, more often: Chen and Goodman 1998, equation 26; None where the counts
    of counts do not allow them.

    >>> [round(d, 4) for d in discounts((100, 40, 20, 10))]
    [0.5556, 1.1667, 1.8889]
    """
    n1, n2, n3, n4 = counts
    if min(n1, n2, n3) == 0:
        return None
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 <= d <= i for i, d in enumerate(found, 1)) else None


class Estimate:
    """An n-gram model while it is made. Use as a context manager: it owns a temporary database."""

    def __init__(self, order: int, prune: Sequence[int], memory: str = "1GB", folder: Path | None = None) -> None:
        if not 1 <= order <= 8:
            raise ValueError(f"order is {order}: it must be 1 to 8")
        limits = [*prune, *[prune[-1] if prune else 0] * (order - len(prune))][:order]
        if any(b < a for a, b in pairwise(limits)) or (limits and limits[0]):
            raise ValueError(f"prune is {list(prune)}: it begins with 0 (words are never pruned) and never falls")
        self.order, self.limits, self.memory = order, limits, memory
        self.vocabulary = _Vocabulary()
        self.orders: list[Order] = []
        self.sentences = self.tokens = 0
        self._folder = tempfile.TemporaryDirectory(dir=folder, prefix="tamis-ngram-")

    def __enter__(self) -> Estimate:
        import duckdb

        home = Path(self._folder.name)
        config: dict[str, Any] = {
            "threads": 2,
            "memory_limit": self.memory,
            "temp_directory": str(home / "spill"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        try:
            self._db = duckdb.connect(str(home / "grams.duckdb"), config=config)
        except duckdb.Error as error:
            self._folder.cleanup()
            raise BadMemory(f"--memory {self.memory}: {str(error).splitlines()[0]}") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._db.close()
        self._folder.cleanup()

    def run(self, texts: Texts, say: Callable[[str], None] = lambda _: None) -> None:
        """Counts, discounts, prunes, interpolates. Raises NoWords, TooLittle."""
        import duckdb

        try:
            self._run(texts, say)
        except duckdb.OutOfMemoryException as error:
            raise TooLittle(f"counting {', '.join(texts.names)} does not fit into {self.memory}: {error}") from None

    def _run(self, texts: Texts, say: Callable[[str], None]) -> None:
        say("counting")
        self._count(texts)
        if not self.tokens:
            raise NoWords(f"{', '.join(texts.names)}: there is no word in it")
        say(f"{self.tokens:,} words and ends in {self.sentences:,} lines, {len(self.vocabulary):,} different words")
        self._adjust()
        for n in range(1, self.order + 1):
            self.orders.append(self._describe(n))
        for n in range(self.order, 0, -1):
            self._prune(n)
        for n in range(2, self.order + 1):
            self._contexts(n)
        self._interpolate()
        for n in range(1, self.order + 1):
            before = self.orders[n - 1]
            kept = self._one(f"SELECT count(*) FROM p{n}") + (2 if n == 1 else 0)  # <s> and <unk>
            self.orders[n - 1] = Order(before.found, kept, before.counts, before.discounts, before.fallback)
            say(f"{kept:,} {n}-grams")

    # --- steps ---

    def _count(self, texts: Texts) -> None:
        columns = [f"w{k}" for k in range(1, self.order + 1)]
        schema = pa.schema([pa.field(name, pa.uint64()) for name in columns])
        reader = pa.RecordBatchReader.from_batches(schema, self._windows(texts, schema))
        self._db.register("windows", reader)
        self._db.execute(f"CREATE TABLE full_ AS SELECT {', '.join(columns)}, count(*) AS c FROM windows GROUP BY ALL")
        self._db.unregister("windows")

    def _windows(self, texts: Texts, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """For every word and end of a sentence, it and the words before it up to <s>; 0 before that."""
        for batch in texts:
            _, words, hashes, ends, data = kernels.sentences(batch.column("text"))
            self.vocabulary.add(hashes, ends, data)
            lines, sizes = len(words) - 1, np.diff(words)
            self.sentences += lines
            self.tokens += len(hashes) + lines
            total = len(hashes) + 2 * lines
            begins = words[:-1] + 2 * np.arange(lines)  # of <s> in the joined sequence
            sequence = np.zeros(total, np.uint64)
            inside = np.ones(total, bool)
            inside[begins] = inside[begins + sizes + 1] = False
            sequence[inside] = hashes
            sequence[begins], sequence[begins + sizes + 1] = BEGIN, END
            place = np.arange(total) - np.repeat(begins, sizes + 2)
            columns = []
            for back in range(self.order - 1, -1, -1):
                column = np.zeros(total, np.uint64)
                column[back:] = sequence[: total - back]
                column[place < back] = 0
                columns.append(pa.array(column[place > 0]))
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _adjust(self) -> None:
        top, names = self.order, _names(self.order)
        w = [f"w{k}" for k in range(1, top + 1)]
        renamed = ", ".join(f"{a} AS {b}" for a, b in zip(w, names, strict=True))
        self._db.execute(f"CREATE TABLE a{top} AS SELECT {renamed}, c::BIGINT AS a FROM full_ WHERE w1 <> 0")
        for n in range(top - 1, 0, -1):
            own = ", ".join(f"{a} AS {b}" for a, b in zip(w[top - n :], names, strict=False))
            suffix = ", ".join(f"{a} AS {b}" for a, b in zip(names[1 : n + 1], names, strict=False))
            self._db.execute(
                f"CREATE TABLE a{n} AS SELECT {own}, c::BIGINT AS a FROM full_ WHERE w{top - n + 1} = {BEGIN} "
                f"UNION ALL SELECT {suffix}, count(*)::BIGINT AS a FROM a{n + 1} GROUP BY {', '.join(names[1 : n + 1])}"
            )
        self._db.execute("DROP TABLE full_")

    def _describe(self, n: int) -> Order:
        rows = dict(self._db.execute(f"SELECT a, count(*) FROM a{n} WHERE a <= 4 GROUP BY a").fetchall())
        counts = (rows.get(1, 0), rows.get(2, 0), rows.get(3, 0), rows.get(4, 0))
        found = discounts(counts)
        return Order(self._one(f"SELECT count(*) FROM a{n}"), 0, counts, found or FALLBACK, found is None)

    def _prune(self, n: int) -> None:
        """k<n>: the n-grams that stay, with their counts."""
        limit, names = self.limits[n - 1], ", ".join(_names(n))
        if not limit:
            self._db.execute(f"CREATE VIEW k{n} AS SELECT * FROM a{n}")
            return
        needed = ""
        if n < self.order:
            up = _names(n + 1)
            needed = (
                f" OR ({names}) IN (SELECT ({', '.join(up[:-1])}) FROM k{n + 1})"
                f" OR ({names}) IN (SELECT ({', '.join(up[1:])}) FROM k{n + 1})"
            )
        self._db.execute(f"CREATE TABLE k{n} AS SELECT * FROM a{n} WHERE a > {limit}{needed}")

    def _contexts(self, n: int) -> None:
        """g<n>: of each context of n - 1 words the sum of counts and the mass that it leaves to shorter ones."""
        context = ", ".join(_names(n - 1))
        d1, d2, d3 = _literals(self.orders[n - 1].discounts)
        taken = f"CASE a WHEN 1 THEN {d1} WHEN 2 THEN {d2} ELSE {d3} END"
        # counted by kind, so that no sum of fractions depends on the order of rows
        self._db.execute(
            f"CREATE TABLE g{n} AS WITH every AS (SELECT {context}, sum(a)::BIGINT AS total FROM a{n} GROUP BY ALL), "
            f"stay AS (SELECT {context}, sum(a)::BIGINT AS held, sum((a = 1)::BIGINT) AS n1, "
            f"sum((a = 2)::BIGINT) AS n2, sum((a > 2)::BIGINT) AS n3 FROM k{n} GROUP BY ALL) "
            f"SELECT {context}, total, (total - held + {d1} * n1 + {d2} * n2 + {d3} * n3) / total AS gamma "
            f"FROM every JOIN stay USING ({context})"
        )
        self._db.execute(f"CREATE VIEW u{n} AS SELECT *, a - {taken} AS rest FROM k{n}")

    def _interpolate(self) -> None:
        d1, d2, d3 = self.orders[0].discounts
        total, n1, n2, n3 = self._db.execute(
            "SELECT sum(a)::BIGINT, sum((a = 1)::BIGINT), sum((a = 2)::BIGINT), sum((a > 2)::BIGINT) FROM a1"
        ).fetchall()[0]
        gamma = (d1 * n1 + d2 * n2 + d3 * n3) / total
        self.uniform = gamma / (len(self.vocabulary) + 2)  # <unk> and </s> are words, <s> is never predicted
        e1, e2, e3 = _literals((d1, d2, d3))
        self._db.execute(
            f"CREATE TABLE p1 AS SELECT x1, (a - CASE a WHEN 1 THEN {e1} WHEN 2 THEN {e2} ELSE {e3} END) / {total} "
            f"+ {self.uniform!r}::DOUBLE AS p FROM a1"
        )
        for n in range(2, self.order + 1):
            names = _names(n)
            same = " AND ".join(f"g.{x} = u.{x}" for x in names[:-1])
            suffix = " AND ".join(f"q.{a} = u.{b}" for a, b in pairwise(names))
            columns = ", ".join(f"u.{x}" for x in names)
            self._db.execute(
                f"CREATE TABLE p{n} AS SELECT {columns}, u.rest / g.total + g.gamma * q.p AS p FROM u{n} u "
                f"JOIN g{n} g ON {same} JOIN p{n - 1} q ON {suffix}"
            )

    # --- what came out ---

    def grams(self, n: int) -> Iterator[tuple[U64, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Batches of the n-grams of an order, sorted by their hashes: (hashes (M, n), log10 probability, log10
        back-off). The first batch of words begins with <unk>, <s> and </s>."""
        names = _names(n)
        back = "1.0::DOUBLE"
        join = ""
        if n < self.order:
            back = "coalesce(g.gamma, 1.0)"
            join = f" LEFT JOIN g{n + 1} g ON " + " AND ".join(f"g.{x} = p.{x}" for x in names)
        columns = ", ".join(f"p.{x}" for x in names)
        if n == 1:
            start = self._db.execute(f"SELECT gamma FROM g2 WHERE x1 = {BEGIN}").fetchall() if self.order > 1 else []
            marks = np.array([[UNKNOWN], [BEGIN]], np.uint64)
            probs = np.array([self.uniform, 1.0])
            yield marks, _log10(probs), _log10(np.array([1.0, start[0][0] if start else 1.0]))
        reader = self._db.sql(f"SELECT {columns}, p.p, {back} AS b FROM p{n} p{join} ORDER BY {columns}")
        for batch in reader.to_arrow_reader(1 << 18):
            hashes = np.stack([np.asarray(batch.column(k)) for k in range(n)], axis=1).astype(np.uint64)
            yield hashes, _log10(np.asarray(batch.column(n))), _log10(np.asarray(batch.column(n + 1)))

    def describe(self) -> list[dict[str, Any]]:
        """The orders for a header: n-grams found and kept, counts of counts, discounts."""
        return [
            {
                "found": order.found,
                "kept": order.kept,
                "counts": list(order.counts),
                "discounts": [round(d, 6) for d in order.discounts],
                **({"fallback": True} if order.fallback else {}),
            }
            for order in self.orders
        ]

    def _one(self, query: str) -> int:
        return int(self._db.execute(query).fetchall()[0][0])


def _names(n: int) -> list[str]:
    return [f"x{k}" for k in range(1, n + 1)]


def _literals(values: Discounts) -> list[str]:
    """As doubles: DuckDB takes 0.5 for a decimal number of fixed width."""
    return [f"{value!r}::DOUBLE" for value in values]


def _log10(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return np.log10(values).astype(np.float32)


class _Vocabulary:
    """The different words by hash."""

    def __init__(self) -> None:
        self.hashes = np.zeros(0, np.uint64)  # sorted
        self.words = pa.array([], pa.string())

    def __len__(self) -> int:
        return len(self.hashes)

    def add(self, hashes: U64, ends: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> None:
        different, first = np.unique(hashes, return_index=True)
        new = ~np.isin(different, self.hashes, assume_unique=True)
        if not new.any():
            return
        column = pa.LargeStringArray.from_buffers(len(hashes), pa.py_buffer(ends), pa.py_buffer(data))
        words = column.take(pa.array(first[new])).cast(pa.string())
        joined = np.concatenate([self.hashes, different[new]])
        order = np.argsort(joined, kind="stable")
        self.hashes = joined[order]
        self.words = pa.concat_arrays([self.words, words]).take(pa.array(order))

    def strings(self, hashes: U64) -> pa.StringArray:
        """The words of hashes, the three marks too."""
        known = np.concatenate([self.hashes, np.array([BEGIN, END, UNKNOWN], np.uint64)])
        words = pa.concat_arrays([self.words, pa.array(["<s>", "</s>", "<unk>"])])
        order = np.argsort(known, kind="stable")
        return words.take(pa.array(order[np.searchsorted(known, hashes, sorter=order)]))
