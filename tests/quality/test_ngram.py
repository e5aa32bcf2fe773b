"""N-gram models: modified Kneser-Ney by hand and by KenLM, sums to one, pruning, files."""

from __future__ import annotations

import gzip
import itertools
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis import kernels
from tamis.quality import arpa, counting, perplexity
from tamis.quality.modelfile import NotAModel
from tamis.quality.reading import Texts

SENTENCES = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "the cat and the dog sat", "on"]


def corpus(tmp_path: Path, lines: list[str] = SENTENCES) -> Texts:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return Texts((str(path),))


def random_lines(seed: int, count: int) -> list[str]:
    """Zipf words with some order: the last word decides where the next is drawn."""
    generator = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        word, words = 0, []
        for _ in range(generator.integers(1, 15)):
            word = int(min(generator.zipf(1.4), 40)) + word % 7
            words.append(f"w{chr(97 + word % 26)}{chr(97 + word // 26)}")
        lines.append(" ".join(words))
    return lines


def by_hand(lines: list[str], order: int) -> dict[tuple[str, ...], float]:
    """p(last | rest) of every n-gram, straight from Chen and Goodman's definitions."""
    sentences = [["<s>", *line.split(), "</s>"] for line in lines]
    seen = Counter(tuple(s[i : i + n]) for s in sentences for n in range(1, order + 1) for i in range(len(s) - n + 1))
    counts: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(order + 1)]
    for gram, times in seen.items():
        if len(gram) == order or (gram[0] == "<s>" and len(gram) > 1):
            counts[len(gram)][gram] += times
        if len(gram) > 1:
            counts[len(gram) - 1][gram[1:]] += 1
    for n in range(1, order):  # of those at the beginning of a sentence only their number of times
        counts[n] = Counter({g: c for g, c in counts[n].items() if g[0] != "<s>" or (n > 1 and c == seen[g])})
    counts[1].pop(("<s>",), None)
    words = {w for (w,) in counts[1]} | {"<unk>"}
    prob: dict[tuple[str, ...], float] = {}
    for n in range(1, order + 1):
        of = Counter(min(c, 5) for c in counts[n].values())
        d = counting.discounts((of[1], of[2], of[3], of[4])) or counting.FALLBACK
        for _, grams in itertools.groupby(sorted(counts[n]), lambda g: g[:-1]):
            grams_ = list(grams)
            total = sum(counts[n][g] for g in grams_)
            gamma = sum(d[min(counts[n][g], 3) - 1] for g in grams_) / total
            for gram in grams_:
                lower = prob[gram[1:]] if n > 1 else 1 / len(words)
                prob[gram] = (counts[n][gram] - d[min(counts[n][gram], 3) - 1]) / total + gamma * lower
            if n == 1:
                prob[("<unk>",)] = gamma / len(words)
    return prob


def probabilities(path: Path) -> dict[tuple[str, ...], tuple[float, float]]:
    """An ARPA file, read the plain way."""
    out = {}
    for line in path.read_text().splitlines():
        fields = line.split("\t")
        if len(fields) > 1:
            out[tuple(fields[1].split(" "))] = (float(fields[0]), float(fields[2]) if len(fields) > 2 else 0.0)
    return out


@pytest.mark.parametrize("lines", [SENTENCES, random_lines(1, 400)], ids=["tiny", "random"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_by_hand(tmp_path: Path, lines: list[str], order: int) -> None:
    out = tmp_path / "m.arpa"
    header = perplexity.train(corpus(tmp_path, lines), out, order)
    model, expected = probabilities(out), by_hand(lines, order)
    assert set(model) == {*expected, ("<s>",)}
    for gram, p in expected.items():
        assert 10 ** model[gram][0] == pytest.approx(p, rel=2e-6), gram
    assert header["tokens"] == sum(len(line.split()) + 1 for line in lines)


def log_prob(model: dict[tuple[str, ...], tuple[float, float]], words: tuple[str, ...]) -> float:
    if words in model:
        return model[words][0]
    if len(words) == 1:
        return model[("<unk>",)][0]
    return model.get(words[:-1], (0.0, 0.0))[1] + log_prob(model, words[1:])


@pytest.mark.parametrize("prune", [(0,), (0, 0, 1), (0, 1, 2)])
def test_sums_to_one_in_every_context(tmp_path: Path, prune: tuple[int, ...]) -> None:
    out = tmp_path / "m.arpa"
    perplexity.train(corpus(tmp_path, random_lines(2, 500)), out, 3, prune)
    model = probabilities(out)
    words = [gram[0] for gram in model if len(gram) == 1 and gram != ("<s>",)]
    contexts = [g for g in model if len(g) < 3 and g[-1] != "</s>"]
    generator = np.random.default_rng(0)
    for i in generator.choice(len(contexts), min(60, len(contexts)), replace=False):
        total = sum(10 ** log_prob(model, (*contexts[i], w)) for w in words)
        assert total == pytest.approx(1, abs=1e-5), contexts[i]
    assert sum(10 ** log_prob(model, ("never", "seen", w)) for w in words) == pytest.approx(1, abs=1e-5)
    for gram in model:  # what longer n-grams stand on
        if len(gram) > 1:
            assert gram[:-1] in model
            assert gram[1:] in model


@pytest.mark.parametrize("suffix", [".arpa", ".arpa.gz"])
@pytest.mark.parametrize("prune", [(0,), (0, 0, 1, 1)])
def test_kenlm_agrees(tmp_path: Path, data_dir: Path, suffix: str, prune: tuple[int, ...]) -> None:
    """Every probability and every sentence of real text, within 1e-4."""
    kenlm = pytest.importorskip("kenlm")
    table = pq.read_table(data_dir / "web" / "pages-gold.parquet", columns=["text"])
    pq.write_table(table.slice(0, 40), tmp_path / "train.parquet")
    out = tmp_path / f"m{suffix}"
    perplexity.train(Texts((str(tmp_path / "train.parquet"),)), out, 4, prune)
    theirs, ours = kenlm.Model(str(out)), perplexity.load(str(out))
    lines = [line for text in table.slice(30, 20)["text"].to_pylist() for line in text.split("\n")]
    normal = kernels.normalize(pa.array(lines, pa.large_string())).to_pylist()
    total, tokens, unknown = kernels.lm_scores(pa.array(lines, pa.large_string()), ours.table, ours.order)
    single = {}
    for i, line in enumerate(normal):
        if not line:
            assert tokens[i] == 0
            continue
        words = list(theirs.full_scores(line))
        assert tokens[i] == len(words)
        assert unknown[i] == sum(oov for _, _, oov in words)
        assert total[i] == pytest.approx(sum(p for p, _, _ in words), abs=1e-4 * len(words))
        assert 10 ** (-total[i] / tokens[i]) == pytest.approx(theirs.perplexity(line), rel=1e-4)
        single[line] = total[i]
    assert len(single) > 100


def test_scores_are_those_of_the_backing_off(tmp_path: Path) -> None:
    out = tmp_path / "m.arpa"
    perplexity.train(corpus(tmp_path, random_lines(3, 200)), out, 3)
    model, ours = probabilities(out), perplexity.load(str(out))
    for line in [*random_lines(4, 50), "nobody said this wab"]:
        words = ("<s>", *(w if (w,) in model else "<unk>" for w in line.split()), "</s>")
        expected = sum(log_prob(model, words[max(0, i - 2) : i + 1]) for i in range(1, len(words)))
        total, tokens, _ = kernels.lm_scores(pa.array([line]), ours.table, ours.order)
        assert total[0] == pytest.approx(expected, abs=1e-4)
        assert tokens[0] == len(words) - 1


def test_discounts_of_chen_and_goodman() -> None:
    assert counting.discounts((0, 3, 2, 1)) is None
    assert counting.discounts((10, 1, 9, 1)) is None  # 2 - 3 y n3 / n2 is below 0
    found = counting.discounts((12454, 4007, 2226, 1408))
    assert found is not None
    y = 12454 / (12454 + 2 * 4007)
    assert found == pytest.approx((1 - 2 * y * 4007 / 12454, 2 - 3 * y * 2226 / 4007, 3 - 4 * y * 1408 / 2226))


def test_the_three_files_are_the_same_model(tmp_path: Path) -> None:
    texts = corpus(tmp_path, random_lines(5, 300))
    outs = [tmp_path / name for name in ("a.arpa", "a.arpa.gz", "a.bin")]
    for out in outs:
        header = perplexity.train(texts, out, 3, reference=texts, licence="CC0")
    documents = pa.array([*random_lines(6, 30), ""])
    values = [perplexity.load(str(out)).perplexities(documents) for out in outs]
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])
    assert np.isnan(values[0][-1])
    assert [arpa.header_of(out)["terciles"] for out in outs] == [header["terciles"]] * 3
    first = outs[1].read_bytes()
    perplexity.train(texts, outs[1], 3, reference=texts, licence="CC0")
    assert outs[1].read_bytes() == first
    assert gzip.decompress(first) == outs[0].read_bytes()


def test_buckets_are_thirds_of_the_reference(tmp_path: Path) -> None:
    texts = corpus(tmp_path, random_lines(7, 301))
    perplexity.train(texts, tmp_path / "m.arpa", 3, reference=texts)
    model = perplexity.load(str(tmp_path / "m.arpa"))
    values = model.perplexities(next(iter(texts)).column("text"))
    counts = Counter(perplexity.bucket(values, model.terciles).to_pylist())
    assert all(abs(counts[name] - 100) <= 6 for name in ("head", "middle", "tail"))
    low = values[[b == "head" for b in perplexity.bucket(values, model.terciles).to_pylist()]]
    assert low.max() <= model.terciles[0]
    assert perplexity.bucket(np.array([np.nan, 1.0]), (2.0, 3.0)).to_pylist() == [None, "head"]
    assert perplexity.bucket(np.array([1.0]), None).to_pylist() == [None]


def test_lines_are_sentences_and_batches_do_not_matter(tmp_path: Path) -> None:
    """One document of many lines is the same as many documents of one line."""
    lines = random_lines(8, 100)
    first, second = tmp_path / "1.arpa", tmp_path / "2.arpa"
    perplexity.train(corpus(tmp_path, lines), first, 3)
    perplexity.train(corpus(tmp_path, ["\n".join(lines[:50]) + "\n\n — \n", "\n".join(lines[50:])]), second, 3)
    assert first.read_text().split("\\data\\")[1] == second.read_text().split("\\data\\")[1]


def test_files_that_are_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.arpa"
    for text, why in (
        ("hello\n", "no line"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\ta\n", "cut off"),
        ("\\data\\\n\n\\1-grams:\nx\ta\n\n\\end\\\n", "number"),
        ("\\data\\\n\n\\1-grams:\n-1\ta b\n\n\\end\\\n", "single spaces"),
        ("\\data\\\n\n\\1-grams:\n-1\n\n\\end\\\n", "no tab"),
        ("\\data\\\n\n\\1-grams:\n-1\ta\n-1\ta\n\n\\end\\\n", "twice"),
    ):
        path.write_text(text)
        with pytest.raises(NotAModel, match=why):
            arpa.read(path)
    path.write_text("\\data\\\nngram 1=2\n\n\\1-grams:\n-1\ta\n-0.5\t</s>\t-0.2\n\n\\end\\\n")
    table, order, header = arpa.read(path)
    assert (order, header) == (1, {})
    total, tokens, unknown = kernels.lm_scores(pa.array(["a b"]), table, order)
    assert (total[0], tokens[0], unknown[0]) == (-1 - 100 - 0.5, 3, 1)
    with pytest.raises(counting.NoWords):
        perplexity.train(corpus(tmp_path, [" ... "]), path, 2)


def test_hashes_of_a_table_are_those_of_its_text(tmp_path: Path) -> None:
    total = kernels.gram_hash(pa.array(["the cat"]))
    words = kernels.word_ngrams(pa.array(["The cat!"]), 2)[1]
    assert words[2] == total[0]
    assert math.isclose(len(set(words.tolist())), 3)


def test_memory_that_is_none_or_too_little(tmp_path: Path) -> None:
    texts = corpus(tmp_path, random_lines(9, 50))
    with pytest.raises(counting.BadMemory, match="--memory plenty"):
        perplexity.train(texts, tmp_path / "m.arpa", 2, memory="plenty")
    with pytest.raises(counting.TooLittle, match="does not fit"):
        perplexity.train(texts, tmp_path / "m.arpa", 5, memory="100KB")
    assert not (tmp_path / "m.arpa").exists()
