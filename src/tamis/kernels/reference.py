"""The kernels in plain Python: their specification, the oracle of their tests, and the fallback.

Every function takes an Arrow string array without nulls and gives numpy arrays with one row per document, in
document order, unless it says otherwise. The compiled kernels must give the same values bit for bit.

Words of a text (`words="whitespace"`) are its ``str.split()`` tokens stripped of punctuation on both sides, empty
ones dropped. With `words="script"` each token is first cut at every letter or mark of the Han, Hiragana, Katakana,
Thai, Lao, Khmer and Burmese scripts; each of these is a word of its own, and the runs between them are stripped in
the same way. Character classes come from `unicode_tables`, never from the Unicode version of the running Python.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.kernels import unicode_tables as tables

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Columns = dict[str, npt.NDArray[np.generic]]

M64 = (1 << 64) - 1
P61 = (1 << 61) - 1
# the five primes of XXH64
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
CONTENT_SEEDS = (0, P1)

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
V1_TERMINAL = frozenset(".'\"!?")
SHORT_LINE = 30

STATS = (
    "bytes", "chars", "tokens", "words", "word_chars", "alpha_tokens", "stripped_marks", "script_words",
    "script_word_chars", "stop_words", "hashes", "ellipses", "curly", "upper_chars", "alpha_chars", "digit_chars",
    "newlines", "lines", "bullet_lines", "star_lines", "ellipsis_lines", "all_lines", "nonblank_lines",
    "terminal_lines", "unicode_terminal_lines", "short_lines", "dup_lines", "dup_line_chars", "paragraphs",
    "dup_paragraphs", "dup_paragraph_chars",
)  # fmt: skip
REPETITION = ("top_2", "top_3", "top_4", "dup_5", "dup_6", "dup_7", "dup_8", "dup_9", "dup_10", "word_chars")

SUSPICIOUS, NOT_NFC, CONTROLS, ODD_WHITESPACE = 1, 2, 4, 8


# --- hashes ---


def _rotl(x: int, r: int) -> int:
    return (x << r | x >> (64 - r)) & M64


def _round(acc: int, lane: int) -> int:
    return _rotl((acc + lane * P2) & M64, 31) * P1 & M64


def avalanche(h: int) -> int:
    """The finalizer of XXH64."""
    h ^= h >> 33
    h = h * P2 & M64
    h ^= h >> 29
    h = h * P3 & M64
    return h ^ h >> 32


def xxh64(data: bytes, seed: int = 0) -> int:
    """XXH64 (Yann Collet's xxHash, 64-bit variant) of `data`.

    >>> hex(xxh64(b""))
    '0xef46db3751d8e999'
    """
    n, p = len(data), 0
    if n >= 32:
        lanes = [(seed + P1 + P2) & M64, (seed + P2) & M64, seed, (seed - P1) & M64]
        while p + 32 <= n:
            for i in range(4):
                lanes[i] = _round(lanes[i], int.from_bytes(data[p + 8 * i : p + 8 * i + 8], "little"))
            p += 32
        h = sum(_rotl(lane, r) for lane, r in zip(lanes, (1, 7, 12, 18), strict=True)) & M64
        for lane in lanes:
            h = ((h ^ _round(0, lane)) * P1 + P4) & M64
    else:
        h = (seed + P5) & M64
    h = (h + n) & M64
    while p + 8 <= n:
        h = (_rotl(h ^ _round(0, int.from_bytes(data[p : p + 8], "little")), 27) * P1 + P4) & M64
        p += 8
    if p + 4 <= n:
        h = (_rotl(h ^ (int.from_bytes(data[p : p + 4], "little") * P1 & M64), 23) * P2 + P3) & M64
        p += 4
    for byte in data[p:]:
        h = _rotl(h ^ (byte * P5 & M64), 11) * P1 & M64
    return avalanche(h)


def _mum(a: int, b: int) -> int:
    product = a * b
    return (product & M64) ^ (product >> 64)


def word_hash(data: bytes) -> int:
    """64-bit hash of a word: a folded 128-bit product (the idea of wyhash) of its first and last eight bytes, the
    first padded with zeros, the last 0 where there are no more than eight; longer words are first mixed in sixteens.
    """
    n = len(data)
    s = n * P1 & M64

    def read(at: int) -> int:
        return int.from_bytes(data[at : at + 8], "little")

    p = 0
    while n - p > 16:
        s = _mum(read(p) ^ P2, read(p + 8) ^ s)
        p += 16
    return _mum(read(p) ^ P2 ^ s, (read(n - 8) if n > 8 else 0) ^ P3)


# --- characters and words ---


@cache
def _flags() -> list[int]:
    return tables.flags().tolist()  # type: ignore[no-any-return]


@cache
def _characters(flag: int) -> str:
    """All characters that carry a flag."""
    return "".join(map(chr, np.flatnonzero(tables.flags() & flag).tolist()))


@cache
def _script_run() -> re.Pattern[str]:
    """Splits a token into script characters and the runs between them."""
    cps = np.flatnonzero(tables.flags() & tables.SCRIPT)
    ranges = np.split(cps, np.flatnonzero(np.diff(cps) > 1) + 1)
    inside = "".join(f"{chr(r[0])}-{chr(r[-1])}" for r in ranges)
    return re.compile(f"[{inside}]|[^{inside}]+")


def _spans(text: str, words: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the words of a text, in characters."""
    punctuation = _characters(tables.PUNCT)
    for token in re.finditer(r"\S+", text):
        runs = [token] if words == "whitespace" else _script_run().finditer(text, token.start(), token.end())
        for run in runs:
            whole = run.group()
            kept = whole.lstrip(punctuation)
            start = run.start() + len(whole) - len(kept)
            kept = kept.rstrip(punctuation)
            if kept:
                yield start, start + len(kept)


def check_words(words: str) -> str:
    if words not in ("script", "whitespace"):
        raise ValueError(f"words={words!r}: the word forms are 'script' and 'whitespace'")
    return words


def _flag_array(text: str) -> npt.NDArray[np.uint16]:
    flags: npt.NDArray[np.uint16] = tables.flags()[np.frombuffer(text.encode("utf-32-le"), "<u4")]
    return flags


def _repeats(pieces: Sequence[str]) -> tuple[int, int]:
    """(number, characters) of the second and later copies."""
    seen: set[str] = set()
    count = chars = 0
    for piece in pieces:
        if piece in seen:
            count, chars = count + 1, chars + len(piece)
        seen.add(piece)
    return count, chars


def _ends_ellipsis(line: str) -> bool:
    return line.rstrip().endswith(("...", "…"))


# --- statistics ---


def _document_stats(text: str) -> tuple[int, ...]:
    flags = _flag_array(text)
    table = _flags()
    tokens = text.split()
    words = [text[a:b] for a, b in _spans(text, "whitespace")]
    script = [b - a for a, b in _spans(text, "script")]
    word_chars = sum(map(len, words))
    lines = text.splitlines()
    starts = [line.lstrip()[:1] for line in lines]
    all_lines = text.split("\n")
    nonblank = [line for line in all_lines if line.strip()]
    blocks = [block.strip("\n") for block in re.split(r"\n{2,}", text)]
    paragraphs = [block for block in blocks if block.strip()]
    return (
        len(text.encode()),
        len(text),
        len(tokens),
        len(words),
        word_chars,
        sum(any(table[ord(c)] & tables.ALPHA for c in token) for token in tokens),
        sum(map(len, tokens)) - word_chars,
        len(script),
        sum(script),
        len(STOP_WORDS.intersection(words)),
        text.count("#"),
        text.count("...") + text.count("…"),
        text.count("{") + text.count("}"),
        int(np.count_nonzero(flags & tables.UPPER)),
        int(np.count_nonzero(flags & tables.ALPHA)),
        int(np.count_nonzero(flags & tables.DIGIT)),
        text.count("\n"),
        len(lines),
        sum(c in ("•", "-", "*") for c in starts),
        sum(c == "*" for c in starts),
        sum(map(_ends_ellipsis, lines)),
        len(all_lines),
        len(nonblank),
        sum(line[-1] in V1_TERMINAL for line in nonblank),
        sum(bool(table[ord(line[-1])] & tables.TERMINAL) for line in nonblank),
        sum(len(line) <= SHORT_LINE for line in nonblank),
        *_repeats(nonblank),
        len(paragraphs),
        *_repeats(paragraphs),
    )


def text_stats(text: pa.Array) -> dict[str, I64]:
    """See `tamis.kernels.text_stats`."""
    rows = np.array([_document_stats(t) for t in text.to_pylist()], np.int64).reshape(-1, len(STATS))
    return {name: rows[:, i].copy() for i, name in enumerate(STATS)}


# --- repetition ---


def _document_repetition(text: str, form: str) -> list[int]:
    spans = list(_spans(text, form))
    words = [text[a:b] for a, b in spans]
    # a joint is counted where something stands between two words: always in English, not inside Chinese
    joints = [0, *(int(b[0] > a[1]) for a, b in pairwise(spans))]
    out = []
    for n in (2, 3, 4):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        gram, count = Counter(grams).most_common(1)[0] if grams else ((), 0)
        size = 0
        if count > 1:
            first = grams.index(gram)
            size = count * (sum(map(len, gram)) + sum(joints[first + 1 : first + n]))
        out.append(size)
    for n in range(5, 11):
        seen: set[tuple[str, ...]] = set()
        size = i = 0
        while i < len(words) - n + 1:
            gram = tuple(words[i : i + n])
            if gram in seen:
                size += sum(map(len, gram))
                i += n
            else:
                seen.add(gram)
                i += 1
        out.append(size)
    return [*out, sum(map(len, words))]


def repetition(text: pa.Array, words: str = "script") -> dict[str, I64]:
    """See `tamis.kernels.repetition`."""
    check_words(words)
    rows = np.array([_document_repetition(t, words) for t in text.to_pylist()], np.int64)
    rows = rows.reshape(-1, len(REPETITION))
    return {name: rows[:, i].copy() for i, name in enumerate(REPETITION)}


# --- normalization, content hash, shingles ---


@cache
def _fold_table(script: bool) -> dict[int, str]:
    table = dict(tables.folds())
    for cp in range(0xAC00, 0xD7A4):  # Hangul decomposes by rule (Unicode, section 3.12)
        lead, rest = divmod(cp - 0xAC00, 588)
        vowel, final = divmod(rest, 28)
        table[cp] = chr(0x1100 + lead) + chr(0x1161 + vowel) + (chr(0x11A7 + final) if final else "")
    if script:
        for c in _characters(tables.SCRIPT):
            folded = table.get(ord(c), c)
            if folded.strip():
                table[ord(c)] = f" {folded} "
    return table


@cache
def _number() -> re.Pattern[str]:
    digit, separator = _characters(tables.DIGIT), re.escape(_characters(tables.NUMSEP))
    return re.compile(f"[{digit}]+(?:[{separator}][{digit}]+)?")


def _normalize(text: str, digits: bool, script: bool) -> str:
    if digits:
        text = _number().sub("0", text)
    return " ".join(text.translate(_fold_table(script)).split())


def normalize(text: pa.Array, digits: bool = True, script: bool = True) -> pa.LargeStringArray:
    """See `tamis.kernels.normalize`."""
    return pa.array([_normalize(t, digits, script) for t in text.to_pylist()], pa.large_string())


def content_hash(text: pa.Array) -> U64:
    """See `tamis.kernels.content_hash`."""
    normal = [_normalize(t, False, True).encode() for t in text.to_pylist()]
    return np.array([[xxh64(t, s) for s in CONTENT_SEEDS] for t in normal], np.uint64).reshape(-1, 2)


def _shingle_hashes(text: str, ngram: int, digits: bool) -> list[int]:
    """Hashes of all word n-grams in order; of all words together where there are fewer than `ngram`."""
    hashes = [word_hash(w.encode()) for w in _normalize(text, digits, True).split(" ") if w]
    if not hashes:
        return []
    n = min(ngram, len(hashes))
    out = []
    for i in range(len(hashes) - n + 1):
        h = 0
        for value in hashes[i : i + n]:
            h = (h * P1 + value) & M64
        out.append(avalanche(h))
    return out


def shingle_count(text: pa.Array, ngram: int = 5) -> I64:
    """Number of shingles of every document, repeated ones included."""
    counts = [len(_normalize(t, True, True).split()) for t in text.to_pylist()]
    return np.array([max(n - ngram + 1, min(n, 1)) for n in counts], np.int64)


def shingles(text: pa.Array, ngram: int = 5, digits: bool = False) -> tuple[I64, U64]:
    """See `tamis.kernels.shingles`."""
    sets = [sorted(set(_shingle_hashes(t, ngram, digits))) for t in text.to_pylist()]
    offsets = np.cumsum([0, *map(len, sets)], dtype=np.int64)
    return offsets, np.array([h for s in sets for h in s], np.uint64)


def overlaps(offsets: I64, values: U64, left: I64, right: I64) -> I64:
    """See `tamis.kernels.overlaps`."""
    out = [
        len(np.intersect1d(values[offsets[a] : offsets[a + 1]], values[offsets[b] : offsets[b + 1]], True))
        for a, b in zip(left, right, strict=True)
    ]
    return np.array(out, np.int64)


# --- MinHash ---


def minhash(text: pa.Array, multipliers: npt.NDArray[np.uint32], addends: npt.NDArray[np.uint32],
            ngram: int) -> npt.NDArray[np.uint32]:  # fmt: skip
    """Signatures: the least ``multiplier * (shingle mod 2^32) + addend (mod 2^32)`` over a text's shingles."""
    out = np.full((len(text), len(multipliers)), 0xFFFFFFFF, np.uint32)
    for row, t in enumerate(text.to_pylist()):
        hashes = np.array(_shingle_hashes(t, ngram, True), np.uint64).astype(np.uint32)
        if len(hashes):
            out[row] = (hashes[:, None] * multipliers + addends).min(axis=0)
    return out


def minhash64(text: pa.Array, multipliers: U64, addends: U64, ngram: int) -> U64:
    """Signatures of the compatible form: the least ``(hash * multiplier + addend mod 2^64) mod (2^61 - 1)``."""
    out = np.full((len(text), len(multipliers)), M64, np.uint64)
    for row, t in enumerate(text.to_pylist()):
        words = [w for w in _normalize(t, True, True).split(" ") if w]
        joined = [" ".join(words[i : i + ngram]).encode() for i in range(len(words) - ngram + 1)]
        if joined:
            hashes = np.array([xxh64(j) for j in joined], np.uint64)[:, None]
            out[row] = ((hashes * multipliers + addends) % np.uint64(P61)).min(axis=0)
    return out


def components(left: U64, right: U64) -> tuple[U64, U64]:
    """See `tamis.kernels.components`."""
    nodes, ends = np.unique(np.concatenate([left, right]), return_inverse=True)
    a, b = ends[: len(left)], ends[len(left) :]
    root = np.arange(len(nodes))
    while True:  # every round hooks roots to smaller roots, then shortens all paths
        low = np.minimum(root[a], root[b])
        before = root.copy()
        np.minimum.at(root, root[a], low)
        np.minimum.at(root, root[b], low)
        while not np.array_equal(root, root[root]):
            root = root[root]
        if np.array_equal(before, root):
            return nodes, nodes[root]


def ngram_hits(text: pa.Array, table: U64, ngram: int, digits: bool) -> I64:
    """How many of a text's shingles, repeated ones included, are in the table."""
    known = set(table[table != 0].tolist())
    out = [sum((h or 1) in known for h in _shingle_hashes(t, ngram, digits)) for t in text.to_pylist()]
    return np.array(out, np.int64)


# --- lines ---

LINE_TABLE: tuple[tuple[str, type[np.generic]], ...] = (
    ("document", np.int32),
    ("start", np.int64),
    ("end", np.int64),
    ("chars", np.int64),
    ("words", np.int64),
    ("longest_token", np.int64),
    ("alpha_chars", np.int64),
    ("upper_chars", np.int64),
    ("digit_chars", np.int64),
    ("nonspace_chars", np.int64),
    ("last_char", np.uint32),
    ("ends_ellipsis", np.bool_),
    ("phrases", np.uint64),
    ("hash", np.uint64),
)


def line_table(text: pa.Array, phrases: Sequence[bytes]) -> Columns:
    """See `tamis.kernels.line_table`; the phrases are UTF-8 with ASCII letters in lower case."""
    rows: list[tuple[int | bool, ...]] = []
    for number, document in enumerate(text.to_pylist()):
        at = 0
        for line in document.split("\n"):
            data = line.encode()
            low = data.lower()
            tokens = line.split()
            flags = _flag_array(line)
            stripped = line.strip()
            rows.append(
                (
                    number,
                    at,
                    at + len(data),
                    len(line),
                    len(tokens),
                    max(map(len, tokens), default=0),
                    int(np.count_nonzero(flags & tables.ALPHA)),
                    int(np.count_nonzero(flags & tables.UPPER)),
                    int(np.count_nonzero(flags & tables.DIGIT)),
                    sum(map(len, tokens)),
                    ord(stripped[-1]) if stripped else 0,
                    _ends_ellipsis(line),
                    sum(1 << i for i, phrase in enumerate(phrases) if phrase in low),
                    xxh64(stripped.encode().lower()),
                )
            )
            at += len(data) + 1
    columns = list(zip(*rows, strict=True)) or [()] * len(LINE_TABLE)
    return {name: np.array(columns[i], dtype) for i, (name, dtype) in enumerate(LINE_TABLE)}


# --- screen ---


def _nfc_suspect(cps: npt.NDArray[np.uint32]) -> bool:
    """The quick check of UAX #15: a code point that NFC may change, or marks out of canonical order."""
    ccc = tables.combining()[cps]
    disorder = (ccc[1:] != 0) & (ccc[:-1] > ccc[1:])
    return bool(np.any(tables.flags()[cps] & tables.NFC_SUSPECT) or np.any(disorder))


def _mojibake(cps: npt.NDArray[np.uint32]) -> bool:
    """Whether two or three neighbours could fire ftfy's detector."""
    kinds = tables.mojibake()[cps]
    third = np.append(kinds[2:], tables.MOJIBAKE_CLASSES)
    if len(kinds) < 2:
        return False
    return bool(np.any(tables.mojibake_third()[tables.mojibake_pair()[kinds[:-1], kinds[1:]], third]))


def _line_suspicious(line: str) -> bool:
    """`line` keeps its newline: ftfy sees it too."""
    cps = np.frombuffer(line.encode("utf-32-le"), "<u4")
    return bool(np.any(tables.flags()[cps] & tables.FTFY_CHAR)) or _nfc_suspect(cps) or _mojibake(cps)


def _document_screen(text: str) -> int:
    cps = np.frombuffer(text.encode("utf-32-le"), "<u4")
    flags = tables.flags()[cps]
    out = 0
    if _mojibake(cps) or np.any(flags & tables.FTFY_CHAR):
        out |= SUSPICIOUS
    if _nfc_suspect(cps):
        out |= NOT_NFC | SUSPICIOUS
    if np.any(flags & tables.CONTROL):
        out |= CONTROLS
    runs = "  " in text or " \n" in text or "\n\n\n" in text or text.endswith(" ")
    if runs or np.any(flags & tables.ODD_SPACE):
        out |= ODD_WHITESPACE
    return out


def screen(text: pa.Array) -> npt.NDArray[np.uint32]:
    """See `tamis.kernels.screen`."""
    return np.array([_document_screen(t) for t in text.to_pylist()], np.uint32)


def suspicious_lines(text: pa.Array) -> tuple[npt.NDArray[np.int32], I64, I64]:
    """See `tamis.kernels.suspicious_lines`."""
    rows = []
    for number, document in enumerate(text.to_pylist()):
        at = 0
        for line in re.findall(r"[^\n]*\n|[^\n]+", document):
            end = at + len(line.encode())
            if _line_suspicious(line):
                rows.append((number, at, end - line.endswith("\n")))
            at = end
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return np.array(columns[0], np.int32), np.array(columns[1], np.int64), np.array(columns[2], np.int64)


# --- models of text ---


def _normal_words(text: str) -> list[bytes]:
    return [w.encode() for w in _normalize(text, True, True).split(" ") if w]


def _gram_sums(words: Sequence[bytes], size: int) -> list[int]:
    """The polynomials of all n-grams of one size, before the finalizer."""
    hashes = [word_hash(w) for w in words]
    out = []
    for i in range(len(words) - size + 1):
        h = 0
        for value in hashes[i : i + size]:
            h = (h * P1 + value) & M64
        out.append(h)
    return out


def _word_ngrams(text: str, ngram: int, distinct: bool) -> list[tuple[int, int, int]]:
    """(hash, first word, size) of all n-grams of 1 ... ngram words, or of the first copies."""
    words = _normal_words(text)
    seen: set[int] = set()
    out = []
    for size in range(1, ngram + 1):
        for first, h in enumerate(map(avalanche, _gram_sums(words, size))):
            if not (distinct and h in seen):
                out.append((h, first, size))
            seen.add(h)
    return out


def word_ngrams(
    text: pa.Array, ngram: int, distinct: bool
) -> tuple[I64, U64, npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """See `tamis.kernels.word_ngrams`."""
    rows = [_word_ngrams(t, ngram, distinct) for t in text.to_pylist()]
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    grams = [gram for row in rows for gram in row]
    return (
        offsets,
        np.array([g[0] for g in grams], np.uint64),
        np.array([g[1] for g in grams], np.int32),
        np.array([g[2] for g in grams], np.uint8),
    )


def ngram_sums(
    text: pa.Array, weights: npt.NDArray[np.float32], ngram: int, distinct: bool
) -> tuple[npt.NDArray[np.float64], I64]:
    """See `tamis.kernels.ngram_sums`. Added up in the order of `word_ngrams`, in doubles."""
    sums, counts = [], []
    for t in text.to_pylist():
        total, grams = 0.0, _word_ngrams(t, ngram, distinct)
        for h, _, _ in grams:
            total += float(weights[(h >> 32) * len(weights) >> 32])
        sums.append(total)
        counts.append(len(grams))
    return np.array(sums, np.float64), np.array(counts, np.int64)


def gram_hash(text: pa.Array) -> U64:
    """See `tamis.kernels.gram_hash`."""
    out = []
    for t in text.to_pylist():
        tokens = t.encode().split(b" ")
        out.append(avalanche(_gram_sums(tokens, len(tokens))[0]))
    return np.array(out, np.uint64)


def _lines(text: str) -> list[list[bytes]]:
    """The words of each line that holds any."""
    found = [_normal_words(line) for line in text.split("\n")]
    return [words for words in found if words]


def sentences(text: pa.Array) -> tuple[I64, I64, U64, I64, npt.NDArray[np.uint8]]:
    """See `tamis.kernels.sentences`."""
    documents = [_lines(t) for t in text.to_pylist()]
    lines = [line for document in documents for line in document]
    words = [word for line in lines for word in line]
    return (
        np.cumsum([0, *map(len, documents)], dtype=np.int64),
        np.cumsum([0, *map(len, lines)], dtype=np.int64),
        np.array([word_hash(w) for w in words], np.uint64),
        np.cumsum([0, *map(len, words)], dtype=np.int64),
        np.frombuffer(b"".join(words), np.uint8).copy(),
    )


def lm_scores(
    text: pa.Array, table: U64, order: int, begin: int, end: int, unknown: int
) -> tuple[npt.NDArray[np.float64], I64, I64]:
    """See `tamis.kernels.lm_scores`. Probabilities and back-offs are added up word by word, in doubles."""
    entries = table.reshape(-1, 2)
    floats = np.ascontiguousarray(entries[:, 1]).view(np.float32).reshape(-1, 2)
    used = np.flatnonzero(entries[:, 0])
    model = {int(entries[i, 0]): (float(floats[i, 0]), float(floats[i, 1])) for i in used.tolist()}

    def find(hashes: Sequence[int]) -> tuple[float, float] | None:
        h = 0
        for value in hashes:
            h = (h * P1 + value) & M64
        return model.get(avalanche(h) or 1)

    rows = []
    for t in text.to_pylist():
        total, tokens, strange = 0.0, 0, 0
        for line in _lines(t):
            history = [begin]
            known = min(1, order - 1)  # how many of the last words the model knows as a context
            for word in [*map(word_hash, line), end]:
                if find([word]) is None:
                    word, strange = unknown, strange + 1
                history.append(word)
                prob, _ = find([word]) or (-100.0, 0.0)
                length = 1  # of the longest n-gram of the model that ends here
                while length <= known and (found := find(history[-length - 1 :])):
                    prob, length = found[0], length + 1
                total += prob
                for k in range(length, known + 1):  # contexts that could not be extended by this word
                    total += (find(history[-k - 1 : -1]) or (0.0, 0.0))[1]
                known = min(length, order - 1)
                tokens += 1
        rows.append((total, tokens, strange))
    return (
        np.array([r[0] for r in rows], np.float64),
        np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.int64),
    )
