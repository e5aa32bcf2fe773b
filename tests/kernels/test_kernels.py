"""What the kernels count, on small texts counted by hand, with the backend in use and the reference."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from tamis import kernels
from tamis.kernels import reference

BACKENDS = ["reference", *(["native"] if kernels.backend() == "native" else [])]


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test of this file runs on both backends."""
    if request.param == "reference":
        monkeypatch.setattr(kernels, "_module", reference)
        monkeypatch.setattr(kernels, "_name", "reference")


def column(*documents: str) -> pa.Array:
    return pa.array(documents, pa.string())


def stats(text: str) -> dict[str, int]:
    return {name: int(values[0]) for name, values in kernels.text_stats(column(text)).items()}


def test_words() -> None:
    s = stats('He said: "the 2 (two) -- and... that\'s it!" the')
    assert s["tokens"] == 10
    assert s["words"] == 9  # "--" has nothing left
    assert s["word_chars"] == len("Hesaidthe2twoandthat'sitthe")
    assert s["stripped_marks"] == len(':"()--...!"')
    assert s["alpha_tokens"] == 8
    assert s["stop_words"] == 2
    assert s["ellipses"] == 1


def test_script_words() -> None:
    s = stats("你好，世界。ok再见!")
    assert (s["words"], s["word_chars"]) == (1, 10)
    assert (s["script_words"], s["script_word_chars"]) == (7, 8)
    thai = stats("ภาษาไทย ๑๒๓")
    assert thai["script_words"] == 7 + 1  # digits stay together


def test_characters() -> None:
    s = stats("Äb{}#1٣ ǅ.")
    assert (s["upper_chars"], s["alpha_chars"], s["digit_chars"]) == (1, 3, 2)
    assert (s["curly"], s["hashes"], s["chars"], s["bytes"]) == (2, 1, 10, 13)


def test_splitlines_lines() -> None:
    s = stats("• a\r\n - b...\x85* c…  \u2028d\n\n-")
    assert (s["lines"], s["bullet_lines"], s["star_lines"], s["ellipsis_lines"]) == (6, 4, 1, 2)


def test_newline_lines() -> None:
    s = stats('one.\ntwo! \n\n  \n"three"\n四。\none.\n' + "x" * 30 + "\n" + "y" * 31)
    assert (s["newlines"], s["all_lines"], s["nonblank_lines"]) == (8, 9, 7)
    assert s["terminal_lines"] == 3  # the white space behind two! counts
    assert s["unicode_terminal_lines"] == 3
    assert s["short_lines"] == 6
    assert (s["dup_lines"], s["dup_line_chars"]) == (1, 4)


def test_paragraphs() -> None:
    s = stats("\na\nb\n\n\n  \n\na\nb\n\nc\n\na\nb\n")
    assert (s["paragraphs"], s["dup_paragraphs"], s["dup_paragraph_chars"]) == (4, 2, 6)


def test_empty_document() -> None:
    s = stats("")
    assert s["all_lines"] == 1
    assert {name for name, value in s.items() if value} == {"all_lines"}
    assert all(len(v) == 0 for v in kernels.text_stats(pa.array([], pa.string())).values())


def repetition(text: str, words: kernels.WordForm = "script") -> dict[str, int]:
    return {name: int(values[0]) for name, values in kernels.repetition(column(text), words).items()}


def test_top_ngrams() -> None:
    r = repetition("a bb, a bb c dd. c dd")
    assert r["word_chars"] == 12
    assert r["top_2"] == 2 * 4  # "a bb" comes before "c dd"
    assert r["top_3"] == 0  # nothing occurs twice
    assert repetition("一二三一二")["top_2"] == 2 * 2
    assert repetition("一二三一二", "whitespace")["top_2"] == 0


def test_duplicate_ngrams() -> None:
    five = "a b c d e"
    r = repetition(f"{five} {five} {five}")
    assert r["dup_5"] == 10  # second and third copies, each counted once
    # of the ten 6-grams the sixth is the first seen before, and the scan goes on behind it
    assert r["dup_6"] == 6
    assert r["dup_10"] == 10


def test_normalize() -> None:
    def n(text: str, **options: bool) -> str:
        return str(kernels.normalize(column(text), **options)[0])

    assert n("  The QUICK—brown\tfox! ") == "the quick brown fox"
    assert n("Ünïcode ΣΑΣ İ e\u0301") == "unicode σασ i e"
    assert n("1,234.5 x1.5y 12. 3٫٤ ١٢") == "0 0 x0y 0 0 0"
    assert n("1,5 ١", digits=False) == "1 5 ١"
    assert n("你好world") == "你 好 world"
    assert n("你好world", script=False) == "你好world"
    assert n("...") == ""


def test_content_hash() -> None:
    keys = kernels.content_hash(column("Hello, world!", "hello  WORLD", "hello world 2", "hello world 3", ""))
    assert keys.shape == (5, 2)
    assert (keys[0] == keys[1]).all()
    assert len(np.unique(keys[:, 0])) == 4
    # the format: other versions and machines must find the same
    assert [hex(v) for v in keys[0]] == [hex(reference.xxh64(b"hello world", s)) for s in reference.CONTENT_SEEDS]
    assert hex(keys[0, 0]) == "0x45ab6734b21e6968"


def test_minhash_estimates_jaccard() -> None:
    generator = np.random.default_rng(1)
    words = ["".join(chr(97 + c) for c in row) for row in generator.integers(0, 26, (400, 9))]
    common, other = words[:300], words[300:]
    text = column(" ".join(common), " ".join([*common, *other]), "", "one two")
    rows = kernels.minhash(text, permutations=2000, seed=3)
    offsets, values = kernels.shingles(text)
    size = np.diff(offsets)
    both = kernels.overlaps(offsets, values, [0], [1])[0]
    jaccard = both / (size[0] + size[1] - both)
    assert abs((rows[0] == rows[1]).mean() - jaccard) < 4 * np.sqrt(jaccard * (1 - jaccard) / 2000)
    assert (rows[2] == 0xFFFFFFFF).all()
    assert size.tolist() == [296, 396, 0, 1]
    assert (rows[3] != 0xFFFFFFFF).all()


def test_minhash_format() -> None:
    """Signatures are stored: a change here breaks indexes that exist."""
    first = kernels.minhash(column("the quick brown fox jumps over the lazy dog"))[0, :3].tolist()
    assert first == MINHASH_FORMAT
    compatible = kernels.minhash64(column("the quick brown fox jumps over the lazy dog"))[0, :2].tolist()
    assert compatible == MINHASH64_FORMAT


MINHASH_FORMAT = [1406443603, 2404684456, 997528586]
MINHASH64_FORMAT = [85330943174081874, 663359892825767826]


def test_minhash64_is_the_published_arithmetic() -> None:
    words = list("abcdef")
    hashes = [reference.xxh64(" ".join(words[i : i + 5]).encode()) for i in range(2)]
    prime = (1 << 61) - 1
    a, b = kernels._permutations64(4, 1)
    expected = [min((h * int(x) + int(y)) % (1 << 64) % prime for h in hashes) for x, y in zip(a, b, strict=True)]
    assert kernels.minhash64(column("a b c d e f"), permutations=4)[0].tolist() == expected
    assert (kernels.minhash64(column("a b c"), 4)[0] == 2**64 - 1).all()


def test_band_hashes() -> None:
    same = np.full((1, 6), 7, np.uint32)
    keys = kernels.band_hashes(same, 3, 2)
    assert len(np.unique(keys)) == 3  # equal values in different bands differ
    assert (keys == kernels.band_hashes(same.astype(np.uint64), 3, 2)).all()
    order = kernels.band_hashes(np.array([[1, 2], [2, 1]], np.uint32), 1, 2)
    assert order[0, 0] != order[1, 0]
    with pytest.raises(ValueError, match="do not fit"):
        kernels.band_hashes(same, 4, 2)


def test_ngram_hits() -> None:
    _, values = kernels.shingles(column("a b c d e f g", "x y"), ngram=3)
    table = kernels.ngram_table(values)
    hits = kernels.ngram_hits(column("A, b c d! a b c", "q r s", "x y", ""), table, ngram=3)
    assert hits.tolist() == [3, 0, 1, 0]
    many = np.arange(1, 5000, dtype=np.uint64) << np.uint64(32)  # all want the same slot
    crowded = kernels.ngram_table(np.append(many[:300], 0))
    assert set(crowded[crowded != 0].tolist()) == {1, *many[:300].tolist()}


def test_line_table() -> None:
    text = column("Lorem  IPSUM dolor…\n\n x1 Ab \nlorem  ipsum DOLOR…", "", "{é}")
    lines = kernels.line_table(text, ["lorem  ipsum", "{", "É", "or"])
    assert lines["document"].tolist() == [0, 0, 0, 0, 1, 2]
    assert lines["start"].tolist() == [0, 22, 23, 31, 0, 0]
    assert lines["end"].tolist() == [21, 22, 30, 52, 0, 4]
    assert lines["chars"].tolist() == [19, 0, 7, 19, 0, 3]
    assert lines["words"].tolist() == [3, 0, 2, 3, 0, 1]
    assert lines["longest_token"].tolist() == [6, 0, 2, 6, 0, 3]
    assert lines["upper_chars"].tolist() == [6, 0, 1, 5, 0, 0]
    assert lines["last_char"].tolist() == [0x2026, 0, ord("b"), 0x2026, 0, ord("}")]
    assert lines["ends_ellipsis"].tolist() == [True, False, False, True, False, False]
    assert lines["phrases"].tolist() == [0b1001, 0, 0, 0b1001, 0, 0b0010]  # only ASCII letters fold
    assert lines["hash"][0] == lines["hash"][3] != lines["hash"][2]
    with pytest.raises(ValueError, match="64"):
        kernels.line_table(text, ["x"] * 65)
    with pytest.raises(ValueError, match="empty"):
        kernels.line_table(text, [""])


def test_components() -> None:
    nodes, root = kernels.components(np.array([9, 3, 20], np.uint64), np.array([3, 5, 21], np.uint64))
    assert nodes.tolist() == [3, 5, 9, 20, 21]
    assert root.tolist() == [3, 3, 3, 20, 20]


def test_what_is_no_text() -> None:
    with pytest.raises(ValueError, match="1 nulls"):
        kernels.text_stats(pa.array(["a", None]))
    with pytest.raises(TypeError, match="chunked"):
        kernels.screen(pa.chunked_array([["a"]]))
    with pytest.raises(TypeError, match="int64"):
        kernels.minhash(pa.array([1]))
    with pytest.raises(ValueError, match="word forms"):
        kernels.repetition(column("a"), "spacy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown"):
        kernels.analyse(column("a"), ["colour"])
    with pytest.raises(IndexError):
        kernels.overlaps(np.array([0, 1]), np.array([5], np.uint64), [0], [1])


def test_xxh64_published_values() -> None:
    assert reference.xxh64(b"") == 0xEF46DB3751D8E999
    assert reference.xxh64(b"a") == 0xD24EC4F1A98C6E5B
    assert reference.xxh64(b"abc") == 0x44BC2CF5AD770999


def run_python(code: str, **environment: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return {**json.loads(done.stdout), "stderr": done.stderr}


REPORT = "import json; from tamis import kernels; print(json.dumps({'b': kernels.backend(), 'd': kernels.describe()}))"


def test_reference_can_be_forced() -> None:
    said = run_python(REPORT, TAMIS_KERNELS="reference")
    assert said["b"] == "reference"
    assert "TAMIS_KERNELS" in said["d"]


def test_missing_module_breaks_nothing() -> None:
    said = run_python("import sys; sys.modules['tamis.kernels._native'] = None; " + REPORT, TAMIS_KERNELS="")
    assert said["b"] == "reference"
    assert "could not be loaded" in said["d"]
    assert said["stderr"].count("slow kernels are in use") == 1
