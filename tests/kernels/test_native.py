"""The compiled kernels give what their specification gives, with every instruction set."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import ISAS, NATIVE, all_kernels, assert_equal, texts

from tamis import kernels
from tamis.kernels import reference

pytestmark = pytest.mark.skipif(
    NATIVE is None and os.environ.get("TAMIS_REQUIRE_ALL") != "1", reason="the compiled kernels are not installed"
)


def compare(text: pa.Array) -> None:
    assert NATIVE is not None
    expected = all_kernels(reference, text)
    for isa in ISAS:
        NATIVE._force_isa(isa)
        try:
            assert_equal(expected, all_kernels(NATIVE, text))
        finally:
            NATIVE._force_isa(ISAS[0])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(texts(), max_size=4), st.sampled_from([pa.string(), pa.large_string()]))
def test_any_text(documents: list[str], kind: pa.DataType) -> None:
    compare(pa.array(documents, kind))


@settings(max_examples=40)
@given(st.lists(texts(), min_size=3, max_size=5), st.integers(0, 3), st.integers(0, 3))
def test_slices(documents: list[str], start: int, length: int) -> None:
    whole = pa.array(documents, pa.large_string())
    compare(whole.slice(start, length))
    compare(whole.cast(pa.string()).slice(start, length))


@pytest.mark.parametrize("around", range(56, 73))
def test_block_edges(around: int) -> None:
    """What the kernels treat apart lies across the edge of a block of 64 bytes."""
    cases = ["...", "\r\n", "\n\n\n", "  ", "1,2", "1.2.3", "é", "中", "𝒜b", "—word", "word—", "Ã©"]
    cases += ["e\u0301", "ก1", "12３,4", "9é"]
    padding = "x" * around
    compare(pa.array([f"{padding}{c}{t}" for c in cases for t in ("", "y", " z", "the", "\n")]))


def test_long_documents() -> None:
    """More words, lines and repeats than fit any first allocation, between short documents."""
    words = " ".join(f"w{i % 700} {i % 13}," for i in range(6000))
    lines = "\n".join(f"line {i % 50}\n" * (i % 3) for i in range(2000))
    compare(pa.array(["", words, "a", lines, "中文" * 3000, "." * 5000, "-" * 300 + "a", "\n" * 999, " " * 999]))


@pytest.mark.parametrize("name", ["english", "multilingual"])
def test_real_documents(data_dir: Path, name: str) -> None:
    column = pq.read_table(data_dir / "text" / f"{name}.parquet", columns=["text"])["text"].combine_chunks()
    short = np.flatnonzero([len(t) < 20_000 for t in column.to_pylist()])
    chosen = np.random.default_rng(5).choice(short, 60, replace=False)
    compare(column.take(pa.array(np.sort(chosen))))


@settings(max_examples=60)
@given(
    st.lists(texts(), max_size=4),
    st.sampled_from(["script", "whitespace"]),
    st.sets(st.sampled_from(kernels.ANALYSES)),
)
def test_fused_is_the_same(documents: list[str], words: kernels.WordForm, want: set[str]) -> None:
    text = pa.array(documents, pa.string())
    made = kernels.analyse(text, want, words=words, permutations=16, ngram=2, seed=3)
    assert list(made) == [name for name in kernels.ANALYSES if name in want]
    apart = {
        "stats": lambda: kernels.text_stats(text),
        "repetition": lambda: kernels.repetition(text, words),
        "minhash": lambda: kernels.minhash(text, 16, 2, 3),
        "content_hash": lambda: kernels.content_hash(text),
        "shingle_count": lambda: reference.shingle_count(text, 2),
        "screen": lambda: kernels.screen(text),
    }
    for name in want:
        expected = apart[name]()
        if isinstance(expected, dict):
            assert_equal(expected, made[name])
        else:
            assert_equal({name: expected}, {name: made[name]})


def test_broken_utf8_is_not_read_beyond(native: ModuleType) -> None:
    """Truncated and stray bytes at the ends of documents: no crash, and the neighbours are not touched."""
    pieces = [b"\xe4", b"\xe4\xb8", b"\xf0\x9f\x98", b"\x80\x80", b"a\xc3", b"\xff\xfe", b"\xf7\xbf\xbf\xbf", b"ok"]
    data = b"".join(pieces)
    offsets = np.cumsum([0, *map(len, pieces)]).astype(np.int32)
    broken = pa.StringArray.from_buffers(len(pieces), pa.py_buffer(offsets), pa.py_buffer(data))
    assert native.text_stats(broken)["bytes"].tolist() == [len(p) for p in pieces]
    assert native.text_stats(broken)["words"][-1] == 1
    native.repetition(broken, "script")
    native.normalize(broken, True, True)
    native.line_table(broken, [b"k"])
    native.suspicious_lines(broken)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40), st.integers(1, 1 << 58))
def test_components(edges: list[tuple[int, int]], step: int) -> None:
    assert NATIVE is not None
    left = np.array([a * step for a, _ in edges], np.uint64)
    right = np.array([b * step for _, b in edges], np.uint64)
    for mine, expected in zip(NATIVE.components(left, right), reference.components(left, right), strict=True):
        np.testing.assert_array_equal(mine, expected)
