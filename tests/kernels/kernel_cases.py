"""Both backends side by side."""

from __future__ import annotations

import importlib
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import strategies as st

from tamis import kernels
from tamis.kernels import reference


def native_module() -> ModuleType | None:
    try:
        return importlib.import_module("tamis.kernels._native")
    except ImportError:
        return None


NATIVE = native_module()
ISAS: list[str] = NATIVE.isas() if NATIVE else []

A, B = kernels._permutations32(19, 7)  # no multiple of a vector
A64, B64 = kernels._permutations64(11, 7)
WEIGHTS = np.random.default_rng(3).normal(size=1000).astype(np.float32)
PHRASES = [b"the", b"{", b"lorem ipsum", b"\xe3\x80\x82", b"aaaa", b"b\xc3\x9f"]

# The characters that the kernels treat apart, of one to four bytes, and pieces that make runs of them likely.
ALPHABET = (
    "abtheofzAZ\u00dfÄéİſ ΣσςЖж1²٣५,.،٫!?'\"#{}-*•…()~$|`^_\t\n\r\v\f\x00\x1b\x1c\x1d\x1e\x1f\x7f\x85\xa0"
    "\u2028\u2029\u3000"
    "\u200b\u00ad\ufeff\u0301\u0327\u0323\u093c\u094d\u0e33\u0e31กขລកမကあカｶ中文。、々가각힣ᄀ\u1161\u11a8ⅣÃ©â€œ™Â\x9dŒœ°√≈�𝒜😀𠀀𑀁\U0001d15e\U000e0041"
)
PIECES = [
    "the ", "The", "be to of", "...", "....", "..", "\n\n", "\n\n\n", "\r\n", "  ", "1,234.5", "12.", ".5", "3،4",
    "٣٤", "a1b2", "- item", "• item", "*x", "你好，世界", "ภาษาไทย", "한국어", "Ã©", "â€™", "Å\x9c", "lorem ipsum",
    "LOREM Ipsum", "aaaaa",
    "x" * 61, "a " * 30, "., " * 20, "é" * 31, "one two three four five six ", "a b a b a b a b ",
    "\n-\n", "{}", "9" * 63,
]  # fmt: skip


def texts() -> st.SearchStrategy[str]:
    """Any Unicode, with preference for what matters, around the 64-byte edges of the blocks."""
    letters = st.text(st.sampled_from(ALPHABET), max_size=40)
    pieces = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
    anything = st.text(max_size=30)
    padding = st.integers(0, 70).map(lambda n: "w" * n)
    return st.lists(st.one_of(letters, pieces, anything, padding), max_size=6).map("".join)


def all_kernels(module: ModuleType, text: pa.Array) -> dict[str, Any]:
    """The results of all kernels over text, flat by name."""
    out: dict[str, Any] = {}
    for name, values in module.text_stats(text).items():
        out[f"stats.{name}"] = values
    for form in ("script", "whitespace"):
        for name, values in module.repetition(text, form).items():
            out[f"repetition.{form}.{name}"] = values
    for digits in (True, False):
        for script in (True, False):
            normal = module.normalize(text, digits, script)
            if not isinstance(normal, pa.Array):
                offsets, data = normal
                normal = pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(offsets), pa.py_buffer(data))
            out[f"normalize.{digits}.{script}"] = normal.to_pylist()
        for n in (1, 3):
            offsets, values = module.shingles(text, n, digits)
            out[f"shingles.{digits}.{n}"], out[f"shingle_offsets.{digits}.{n}"] = values, offsets
    out["content_hash"] = module.content_hash(text)
    out["minhash"] = module.minhash(text, A, B, 3)
    out["minhash64"] = module.minhash64(text, A64, B64, 3)
    offsets, values = reference.shingles(text, 2)
    table = kernels.ngram_table(values[::2])
    out["ngram_hits"] = module.ngram_hits(text, table, 2, False)
    last = max(len(text) - 1, 0)
    if len(text):
        pairs = np.arange(len(text), dtype=np.int64)
        out["overlaps"] = module.overlaps(offsets, values, pairs, last - pairs)
    for name, values in module.line_table(text, PHRASES).items():
        out[f"lines.{name}"] = values
    for distinct in (True, False):
        for name, values in zip(
            ("offsets", "hash", "first", "size"), module.word_ngrams(text, 3, distinct), strict=True
        ):
            out[f"word_ngrams.{distinct}.{name}"] = values
        for name, values in zip(("sum", "count"), module.ngram_sums(text, WEIGHTS, 2, distinct), strict=True):
            out[f"ngram_sums.{distinct}.{name}"] = values
    out["gram_hash"] = module.gram_hash(text)
    for name, values in zip(("lines", "words", "hash", "ends", "bytes"), module.sentences(text), strict=True):
        out[f"sentences.{name}"] = values
    scores = module.lm_scores(text, small_model(tuple(text.to_pylist())), 3, *kernels.MARK_HASHES)
    for name, values in zip(("sum", "tokens", "unknown"), scores, strict=True):
        out[f"lm_scores.{name}"] = values
    out["screen"] = module.screen(text)
    out["suspicious_lines"] = np.stack([c.astype(np.int64) for c in module.suspicious_lines(text)])
    return out


@lru_cache(maxsize=4)
def small_model(documents: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    """An n-gram model that knows about half of what stands in the text, with probabilities made of hashes."""
    words = sorted({word for t in documents for word in reference._normal_words(t)})[::2]
    grams = [("<s>",), ("</s>",), *((w.decode(),) for w in words), *(("<s>", w.decode()) for w in words)]
    for t in documents:
        for line in reference._lines(t):
            known = [w.decode() for w in line]
            for n in (2, 3):
                grams += [tuple(known[i : i + n]) for i in range(len(known) - n + 1)]
    names = sorted({" ".join(g) for g in grams if len(g) < 3 or len(g[0]) % 2})
    keys = reference.gram_hash(pa.array(names, pa.string()))
    values = (keys >> np.uint64(40)).astype(np.float32) / np.float32(-(1 << 23))
    return kernels.lm_table(keys, values, values / 3)


def assert_equal(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert list(left) == list(right)
    for name, values in left.items():
        if isinstance(values, list):
            assert values == right[name], name
        else:
            assert values.dtype == right[name].dtype, name
            np.testing.assert_array_equal(values, right[name], err_msg=name)
