"""Planted cases: what must be found, and what must not be taken for a duplicate although something nominates it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pyarrow as pa
import pytest

Words = Callable[[int, int], list[str]]
EdgesOf = Callable[..., pa.Table]
THRESHOLD = 0.8


def removing(edges: pa.Table, jaccard: float = THRESHOLD) -> set[tuple[int, int]]:
    """Pairs on which an election may drop a document."""
    rows = edges.to_pylist()
    return {(r["left"], r["right"]) for r in rows if r["kind"] == "exact" or r["jaccard"] >= jaccard}


def jaccard_of(a: str, b: str) -> float:
    """Plain Jaccard of 5-word shingles of texts of lower-case words."""
    first, second = (set(zip(*(t.split()[i:] for i in range(5)), strict=False)) for t in (a, b))
    return len(first & second) / len(first | second)


def near_copy(words: list[str], seed: int, changes: int) -> list[str]:
    copy = list(words)
    for place in random.Random(seed).sample(range(len(copy)), changes):
        copy[place] = f"changed{seed}x{place}"
    return copy


def test_templates_are_not_duplicates(edges_of: EdgesOf, words: Words) -> None:
    template = words(0, 40)
    texts = [" ".join([*template, *words(i + 1, 60)]) for i in range(80)]
    edges = edges_of(texts, minhash={"bands": 28, "rows": 2, "ngram": 5})  # nominates nearly every pair
    assert removing(edges) == set()
    assert edges.num_rows == 0


def test_mega_document_is_contained_not_dropped(edges_of: EdgesOf, words: Words) -> None:
    parts = [" ".join(words(i, 80)) for i in range(50)]
    edges = edges_of([" ".join(parts), *parts], minhash={"bands": 112, "rows": 1, "ngram": 5})
    assert removing(edges) == set()
    found = edges.to_pylist()
    assert len(found) >= 40, "with one row a band nearly every part is nominated; its containment is evidence"
    assert all(r["left"] == 0 and r["containment"] == 1.0 and r["jaccard"] < 0.1 for r in found)


def test_chain_keeps_unlike_ends_apart(edges_of: EdgesOf, words: Words) -> None:
    base = words(1, 400)
    for links in (3, 6):
        # every link renews 30 words in a block: neighbours at about 0.85, the next but one below 0.8
        texts = [" ".join([*words(100 + i, 34 * i), *base[34 * i :]]) for i in range(links)]
        found = removing(edges_of(texts))
        true = {
            (i, j) for i in range(links) for j in range(i + 1, links) if jaccard_of(texts[i], texts[j]) >= THRESHOLD
        }
        assert true == {(i, i + 1) for i in range(links - 1)} & true, "the planted chain is one"
        assert found == true


def test_pages_that_differ_only_in_digits(edges_of: EdgesOf) -> None:
    texts = [
        " ".join(f"on day {d} station {d * 7} measured {d * 31} and {d * 17} and reports {d * 3} degrees" for d in days)
        for days in (range(k * 10, k * 10 + 10) for k in range(1, 20))
    ]
    edges = edges_of(texts)
    assert removing(edges) == set()


CHINESE = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"  # noqa: E501
JAPANESE = "のにはをたがでてとしれさあいうえおかきくけこすせそちつなぬねひふへほまみむめもやゆよらりるろわん日本語人年大会国出来事"  # noqa: E501


@pytest.mark.parametrize(("letters", "stop"), [(CHINESE, "。"), (JAPANESE, "。")], ids=["chinese", "japanese"])
def test_near_copies_without_spaces(edges_of: EdgesOf, letters: str, stop: str) -> None:
    random_ = random.Random(5)
    originals = [stop.join("".join(random_.choices(letters, k=24)) for _ in range(12)) + stop for _ in range(40)]
    copies = []
    for text in originals:
        copy = list(text)
        for place in random_.sample(range(len(copy)), 4):
            copy[place] = random_.choice(letters)
        copies.append("".join(copy))
    others = [stop.join("".join(random_.choices(letters, k=24)) for _ in range(12)) + stop for _ in range(40)]
    found = removing(edges_of([*originals, *copies, *others]))
    planted = {(i, 40 + i) for i in range(40)}
    assert found <= planted
    assert len(found & planted) >= 0.95 * len(planted)


def test_recall_of_planted_near_copies(edges_of: EdgesOf, words: Words) -> None:
    texts: list[str] = []
    for i in range(60):
        base = words(i, 200)
        texts += [" ".join(base), " ".join(near_copy(base, i, 3))]
    found = removing(edges_of(texts))
    planted = {(2 * i, 2 * i + 1) for i in range(60) if jaccard_of(texts[2 * i], texts[2 * i + 1]) >= THRESHOLD}
    assert len(planted) >= 50
    assert found <= planted
    assert len(found) >= 0.95 * len(planted)


def test_exact_copies_whatever_the_length_and_punctuation(edges_of: EdgesOf) -> None:
    texts = ["Yes.", "yes", "YES!", None, "", "...", "!!!", "no", "Café au lait", "cafe  AU lait", "1 2 3", "1 2 4"]
    edges = edges_of(texts, shards=3)
    assert {(r["left"], r["right"]) for r in edges.to_pylist()} == {(0, 1), (1, 2), (8, 9)} or {
        (r["left"], r["right"]) for r in edges.to_pylist()
    } == {(0, 1), (0, 2), (8, 9)}
    assert set(edges.column("kind").to_pylist()) == {"exact"}


def test_exact_alone(edges_of: EdgesOf, words: Words) -> None:
    base = words(3, 100)
    texts = [" ".join(base), " ".join(base), " ".join(near_copy(base, 1, 1))]
    assert removing(edges_of(texts, shards=1, minhash=None)) == {(0, 1)}


def test_equal_copies_inherit_the_edges_of_the_first(edges_of: EdgesOf, words: Words) -> None:
    base = words(3, 300)
    longer = [*near_copy(base, 1, 1), "more", "words"]
    texts = [" ".join(base), " ".join(base), " ".join(base), " ".join(longer)]
    rows = {(r["left"], r["right"]): r for r in edges_of(texts).to_pylist()}
    assert set(rows) == {(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)}
    assert rows[1, 3]["kind"] == "near"
    assert rows[1, 3]["jaccard"] == rows[0, 3]["jaccard"] == pytest.approx(jaccard_of(texts[0], texts[3]))
    assert rows[0, 1]["jaccard"] == rows[0, 1]["containment"] == 1.0


def test_edges_do_not_depend_on_shards(edges_of: EdgesOf, words: Words) -> None:
    texts = [" ".join(near_copy(words(i // 6, 120), i, i % 5)) for i in range(60)]
    one = edges_of(texts, shards=1)
    assert one.num_rows > 60
    for shards in (2, 7):
        assert edges_of(texts, shards=shards).equals(one)
