"""The groups of the dialects against their definitions in plain Python, on texts that hypothesis makes."""

from __future__ import annotations

import importlib.util
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.signals import GROUPS, datatrove, dclm, dolma, fineweb2, redpajama
from tamis.signals.batch import Batch
from tamis.signals.characters import Characters
from tamis.signals.ngrams import repeated
from tamis.signals.tokens import spacy_like, split, unicode_words, word_punctuation
from tamis.verdicts.rules import RuleSet, load_rules
from tamis.verdicts.texts import failed, kept

WORDS = [
    "the",
    "of",
    "and",
    "house",
    "Haus",
    "e.g.",
    "...",
    "…",
    "#tag",
    "3.14",
    "don't",
    "x",
    "naïve",
    "中文",
    "–",
    "•",
]
TEXTS = st.lists(
    st.text(
        st.one_of(
            st.sampled_from("ab \n.#-…{}'é中カ1_\u0301\u00a0"), st.characters(codec="utf-8", max_codepoint=0xFFFF)
        ),
        max_size=60,
    )
    | st.lists(st.sampled_from([*WORDS, "\n", "\n\n", "\n\n\n"]), max_size=60).map(" ".join),
    min_size=1,
    max_size=6,
)


@cache
def definitions() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/peers/definitions.py"
    spec = importlib.util.spec_from_file_location("definitions", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def rules_of(preset: str) -> RuleSet:
    return load_rules([preset], {})


def columns(module: Any, texts: list[str]) -> dict[str, list[Any]]:
    batch = Batch(
        pa.record_batch({"text": pa.array(texts, pa.large_string()), "url": pa.nulls(len(texts), pa.string())})
    )
    return {name: values.to_pylist() for name, values in module.GROUP.compute(batch, {}).items()}


def pieces(found: Any, texts: list[str]) -> list[list[str]]:
    out: list[list[str]] = [[] for _ in texts]
    for start, end, row in zip(found.start.tolist(), found.end.tolist(), found.row.tolist(), strict=True):
        out[row].append(texts[row][start - found.text.offsets[row] : end - found.text.offsets[row]])
    return out


@given(TEXTS)
@settings(max_examples=40)
def test_cuts_as_python_does(texts: list[str]) -> None:
    text = Characters.of_arrow(pa.array(texts, pa.large_string()))
    assert pieces(split(text), texts) == [one.split() for one in texts]
    assert pieces(text.lines(), texts) == [one.split("\n") for one in texts]
    assert [list(map(str.strip, parts)) for parts in pieces(text.lines().stripped(), texts)] == [
        [line.strip() for line in one.split("\n") if line.strip()] for one in texts
    ]
    assert text.occurrences("...").tolist() == [one.count("...") for one in texts]
    assert text.occurrences(". . .").tolist() == [one.count(". . .") for one in texts]
    assert np.array_equal(Characters.of_strings(texts).codes, text.codes)


def test_raw_words_are_those_of_nltk() -> None:
    texts = ["Don't stop_it: 3.14, naïve—yes!", "", "中文 x²"]
    found = pieces(word_punctuation(Characters.of_strings(texts)), texts)
    assert found == [
        ["Don", "'", "t", "stop_it", ":", "3", ".", "14", ",", "naïve", "—", "yes", "!"], [], ["中文", "x²"]
    ]  # fmt: skip


def test_unicode_words() -> None:
    texts = ["The e.g. can't 3.14,5 foo_bar x:y 中文 カタカナ naïve e\u0301t . #a"]
    (found,) = pieces(unicode_words(Characters.of_strings(texts)), texts)
    assert found == [
        "The", "e.g", "can't", "3.14,5", "foo_bar", "x:y", "中", "文", "カタカナ", "naïve", "e\u0301t", "a"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's (really) good, isn't it?", ["It", "'s", "(", "really", ")", "good", ",", "is", "n't", "it", "?"]),
        ("Mr. Smith paid $5.50... yes!", ["Mr.", "Smith", "paid", "$", "5.50", "...", "yes", "!"]),
        ("well-known and/or a -- b", ["well", "-", "known", "and", "/", "or", "a", "--", "b"]),
        ("https://example.org/a:b. U.S. 10km 50%", ["https://example.org/a:b", ".", "U.S.", "10", "km", "50", "%"]),
        ("we'll cannot end.Next", ["we", "'ll", "can", "not", "end", ".", "Next"]),
    ],
)
def test_tokens_close_to_spacy(text: str, tokens: list[str]) -> None:
    """All but and/or, which is an exception of spaCy's, are its tokens."""
    assert pieces(spacy_like(Characters.of_strings([text])), [text]) == [tokens]


def plain_dolma(text: str) -> dict[str, float]:
    """The tagger's definition, for one text with words."""
    import re

    words = text.split()
    chars = sum(map(len, words))
    lines = re.split("\n+", text)
    again = {line: count for line, count in Counter(lines).items() if count > 1}
    out = {
        "words": len(words),
        "median_word": median(map(len, words)),
        "symbol_words": sum("#" in word or "…" in word for word in words) / len(words),
        "alpha_words": sum(any(map(str.isalpha, word)) for word in words) / len(words),
        "bullet_lines": sum(line.startswith(("*", "-")) for line in lines) / len(lines),
        "ellipsis_lines": sum(line.endswith("…") for line in lines) / len(lines),
        "dup_lines": sum(again.values()) / len(lines),
        "dup_line_chars": sum(len(line) * count for line, count in again.items()) / chars,
    }
    for n in range(2, 11):
        grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
        if not grams:
            continue
        sizes = {gram: count * sum(map(len, gram)) for gram, count in grams.items()}
        if n < 5:
            out[f"top_{n}"] = sizes[grams.most_common(1)[0][0]] / chars
        else:
            out[f"dup_{n}"] = sum(size for gram, size in sizes.items() if grams[gram] > 1) / sum(sizes.values())
    return out


@given(TEXTS)
@settings(max_examples=25)
def test_dolma(texts: list[str]) -> None:
    found = columns(dolma, texts)
    for row, text in enumerate(texts):
        if text.split():
            for name, value in plain_dolma(text).items():
                assert found[name][row] == pytest.approx(value, abs=1e-12), name


@given(TEXTS)
@settings(max_examples=25)
def test_decides_as_the_definitions(texts: list[str]) -> None:
    plain = definitions()
    texts = [text for text in texts if text.split()]
    words = pieces(unicode_words(Characters.of_strings(texts)), texts)
    wanted = {
        "gopher@dclm~": [plain.dclm(text, own) for text, own in zip(texts, words, strict=True)],
        "redpajama-v2": [plain.redpajama(text) for text in texts],
    }
    for preset, decisions in wanted.items():
        rules = rules_of(preset)
        ours = kept(rules, failed(rules, texts))
        for row, decision in enumerate(decisions):
            assert {name: bool(ours[name][row]) for name in decision} == decision, (preset, texts[row])


def plain_greedy(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    at = chars = 0
    while at <= len(words) - n:
        gram = tuple(words[at : at + n])
        if gram in seen:
            chars += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return chars


@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=40).map(" ".join), min_size=1, max_size=4))
def test_greedy_duplicates(texts: list[str]) -> None:
    for grams in repeated(split(Characters.of_strings(texts))):
        assert grams.greedy().tolist() == [plain_greedy(text.split(), grams.n) for text in texts]


def test_redpajama_of_a_small_text() -> None:
    found = {name: values[0] for name, values in columns(redpajama, ["The THE end.\n\n• javascript… {1}\n"]).items()}
    assert found["rps_doc_word_count"] == 6  # the the end • javascript… 1
    assert found["ccnet_nlines"] == 3


def test_signals_without_their_model_are_null() -> None:
    found = columns(redpajama, ["some text", ""])
    assert all(found[name] == [None, None] for name in redpajama.ABSENT)
    assert len(redpajama.ABSENT) == 14


def test_empty_batch_and_empty_texts() -> None:
    for module in (datatrove, dolma, dclm, redpajama, fineweb2):
        assert all(values == [] for values in columns(module, []).values())
        assert set(columns(module, ["", " \n"])) == {column.name for column in module.GROUP.columns}
        assert GROUPS[module.GROUP.name].optional


def test_rows_do_not_depend_on_their_neighbours() -> None:
    texts = ["a b a b a b\n\na b a b a b", "", "the the the of x.\nthe the the of x.", "中文。中文。"]
    for module in (datatrove, dolma, dclm, redpajama):
        whole = columns(module, texts)
        for row, text in enumerate(texts):
            alone = columns(module, [text])
            assert {name: values[row] for name, values in whole.items()} == {n: v[0] for n, v in alone.items()}


def test_fineweb2_knows_its_languages() -> None:
    known = fineweb2.thresholds()
    assert len(known) == 26
    assert known["fr"].config == "fra_Latn"
    assert known["fr"].limits["dup_lines"] == 0.264
    german = "Das ist ein langer Satz, der von der Geschichte der Stadt und den Menschen in ihr handelt. " * 3
    chinese = "这是一个关于城市历史的长句子，里面有很多人和事。" * 5
    english = "This is a long sentence about the history of the town and the people who live in it. " * 3
    found = columns(fineweb2, [german, chinese, english])
    assert found["language"] == ["deu_Latn", "cmn_Hani", None]
    assert found["max_dup_lines"] == [0.263, 0.287, None]
    assert found["max_top_2"] == [0.169, None, None]  # Chinese words come from an analyser
    assert found["stop_words"][0] >= 4
    rules = load_rules(["fineweb2@v1~"], {})
    assert failed(rules, [english]).tolist() == [0]
