"""What two corpora have in common and what not: documents, tokens, recipes.

Documents are matched by id, so the corpora may lie in different workspaces with other shards. Memory: about 40 bytes
a document of each corpus; text is never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.corpus.order import id_words
from tamis.documents import read_table

if TYPE_CHECKING:
    from tamis.corpora import Corpus

NOT_READ = "(not read)"
MOST_ROWS = 20


@dataclass(frozen=True)
class Group:
    """Kept documents of one source, language or reason: in both corpora, in A only, in B only; and their tokens, each
    counted by the tokenizer of the corpus that keeps them (B's where both do)."""

    name: str
    both: int
    only_a: int
    only_b: int
    tokens_both: int
    tokens_only_a: int
    tokens_only_b: int


@dataclass(frozen=True)
class Difference:
    """A setting of the recipe that is not the same: where, and the two values; None where it is absent."""

    path: str
    a: Any
    b: Any


@dataclass(frozen=True)
class CorpusDiff:
    """Two corpora side by side. `lost`: why B drops what only A keeps, by B's first reason; `won`: why A drops what
    only B keeps. `(not read)`: the other corpus never saw the document."""

    a: str
    b: str
    total: Group
    sources: tuple[Group, ...]
    languages: tuple[Group, ...]
    lost: Mapping[str, int]
    won: Mapping[str, int]
    recipe: tuple[Difference, ...]

    @property
    def jaccard(self) -> float:
        """Documents in both, of those in either: in [0, 1]; 1 for two empty corpora."""
        union = self.total.both + self.total.only_a + self.total.only_b
        return self.total.both / union if union else 1.0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "lost": dict(self.lost), "won": dict(self.won), "jaccard": self.jaccard}

    def render(self) -> str:
        """For a terminal. Names from data are printed without anything that a terminal would obey."""
        from tamis.verdicts.display import columns, printable

        one = self.total
        kept_a, kept_b = one.both + one.only_a, one.both + one.only_b
        lines = [f"A {self.a} keeps {kept_a:,} documents, B {self.b} keeps {kept_b:,}; {self.jaccard:.1%} are in both"]
        lines.append("tokens are counted by each corpus's own tokenizer")
        right = (False, True, True, True, True, True)
        for title, groups in (("", (one,)), ("source", self.sources), ("language", self.languages)):
            heads = [title, "both", "only A", "only B", "tokens only A", "tokens only B"]
            if len(groups) == 1 and title == "source":
                continue
            rows = [
                [
                    printable(group.name, 40),
                    *(f"{n:,}" for n in (group.both, group.only_a, group.only_b)),
                    *(f"{n:,}" for n in (group.tokens_only_a, group.tokens_only_b)),
                ]
                for group in groups[:MOST_ROWS]
            ]
            lines += ["", *columns([heads, *rows], right)]
            if len(groups) > MOST_ROWS:
                lines.append(f"and {len(groups) - MOST_ROWS} more (--json lists all)")
        for title, reasons in (
            ("only A: why B drops them", self.lost),
            ("only B: why A drops them", self.won),
        ):
            if reasons:
                lines += ["", title, *columns([[printable(k, 40), f"{n:,}"] for k, n in reasons.items()], right, "  ")]
        lines += ["", "recipes are the same" if not self.recipe else "recipe: A -> B"]
        lines += [f"  {printable(change.path)}: {_short(change.a)} -> {_short(change.b)}" for change in self.recipe]
        return "\n".join(lines)


def compare(a: Corpus, b: Corpus) -> CorpusDiff:
    """Compares the verdicts of two corpora. Raises WorkspaceError where one has none."""
    first, second = Judged.read(a), Judged.read(b)
    left, right = match(first.words, second.words)  # (M,) rows of the documents that both saw
    keep_b_of_a = np.zeros(len(first.keep), dtype=bool)
    keep_b_of_a[left] = second.keep[right]
    keep_a_of_b = np.zeros(len(second.keep), dtype=bool)
    keep_a_of_b[right] = first.keep[left]
    only_a, only_b = first.keep & ~keep_b_of_a, second.keep & ~keep_a_of_b
    both = second.keep & keep_a_of_b

    def groups(name: str) -> tuple[Group, ...]:
        found: dict[str, list[int]] = {}
        for at, (side, mask) in enumerate(((second, both), (first, only_a), (second, only_b))):
            for key, (documents, tokens) in side.count(name, mask).items():
                row = found.setdefault(key, [0] * 6)
                row[at] += documents
                row[3 + at] += tokens
        order = sorted(found.items(), key=lambda item: (-sum(item[1][:3]), item[0]))
        return tuple(Group(key, *row) for key, row in order)

    total = Group(
        "all",
        int(both.sum()),
        int(only_a.sum()),
        int(only_b.sum()),
        int(second.tokens[both].sum()),
        int(first.tokens[only_a].sum()),
        int(second.tokens[only_b].sum()),
    )
    return CorpusDiff(
        a=a.corpus,
        b=b.corpus,
        total=total,
        sources=groups("source"),
        languages=groups("language"),
        lost=_why(second, right, only_a[left], int(only_a.sum())),
        won=_why(first, left, only_b[right], int(only_b.sum())),
        recipe=tuple(differences(a.known["recipe"], b.known["recipe"])),
    )


@dataclass(frozen=True)
class Judged:
    """The verdicts of one corpus: words (N, 2) uint64, keep (N,), tokens (N,) 0 where not kept, and dictionary-coded
    columns by name."""

    words: npt.NDArray[np.uint64]
    keep: npt.NDArray[np.bool_]
    tokens: npt.NDArray[np.int64]
    coded: Mapping[str, tuple[npt.NDArray[np.int32], list[str]]]

    @staticmethod
    def read(corpus: Corpus) -> Judged:
        words, keep, tokens = [np.zeros((0, 2), np.uint64)], [np.zeros(0, bool)], [np.zeros(0, np.int64)]
        columns: dict[str, list[pa.Array]] = {"source": [], "language": [], "reason": []}
        counted = {manifest.task: manifest.files[0].path for manifest in corpus.manifests("token-ids")}
        for shard in range(corpus.shards):
            table = read_table(corpus.verdicts(shard), ["id", "keep", "reason"])
            mask = table.column("keep").to_numpy()
            words.append(id_words(table.column("id")))
            keep.append(mask)
            columns["reason"].append(table.column("reason"))
            columns["source"].append(read_table(corpus.documents(shard), ["source"]).column("source"))
            lang = corpus.signals("lang", shard)
            codes = read_table(lang, ["code"]).column("code") if lang else pa.nulls(len(mask), pa.string())
            columns["language"].append(pc.fill_null(codes, "und"))
            sizes = np.zeros(len(mask), dtype=np.int64)
            path = counted.get(f"{shard:05d}")
            if path is not None:
                sizes[mask] = read_table(corpus.work.file(path), ["n_tokens"]).column("n_tokens").to_numpy()
            tokens.append(sizes)
        coded = {name: _coded(parts) for name, parts in columns.items()}
        return Judged(np.concatenate(words), np.concatenate(keep), np.concatenate(tokens), coded)

    def count(self, name: str, mask: npt.NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
        """(documents, tokens) of the rows under `mask` by a coded column."""
        codes, names = self.coded[name]
        documents = np.bincount(codes[mask], minlength=len(names))
        tokens = np.bincount(codes[mask], weights=self.tokens[mask], minlength=len(names))
        return {names[at]: (int(documents[at]), int(tokens[at])) for at in np.flatnonzero(documents).tolist()}


def _coded(parts: Sequence[pa.Array | pa.ChunkedArray]) -> tuple[npt.NDArray[np.int32], list[str]]:
    chunks = [chunk for part in parts for chunk in (part.chunks if isinstance(part, pa.ChunkedArray) else [part])]
    column = pa.chunked_array(chunks, pa.string()).fill_null("").combine_chunks()
    encoded = (pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column).dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def match(
    left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of equal ids in two tables (N, 2) and (M, 2), each with unique ids: two arrays of the same length."""
    words = np.concatenate([left, right])
    order = np.lexsort((np.arange(len(words)), words[:, 1], words[:, 0]))
    same = np.flatnonzero((words[order[1:]] == words[order[:-1]]).all(axis=1))
    return order[same], order[same + 1] - len(left)


def _why(other: Judged, rows: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_], total: int) -> dict[str, int]:
    """First reasons in `other` of some documents; those that it never saw are the rest up to `total`."""
    codes, names = other.coded["reason"]
    counts = np.bincount(codes[rows[chosen]], minlength=len(names))
    found = {names[at]: int(counts[at]) for at in np.flatnonzero(counts).tolist()}
    unseen = total - int(chosen.sum())
    if unseen:
        found[NOT_READ] = unseen
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def differences(a: Any, b: Any, path: str = "") -> Iterator[Difference]:
    """Settings that are not equal, depth first, in the order of A and then of what only B has."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys((*a, *b)):
            yield from differences(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
    elif a != b:
        yield Difference(path, a, b)


def _short(value: Any) -> str:
    from tamis.verdicts.display import printable

    return "absent" if value is None else printable(str(value), 60)
