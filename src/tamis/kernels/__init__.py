"""The hot loops over text, with one face and two backends.

`native` is the compiled module (C++17), `reference` its plain Python specification, some hundred times slower and
used where no compiler was present at installation or where ``TAMIS_KERNELS=reference`` is set. Both give the same
values bit for bit on every machine.

All functions take documents as an Arrow ``string`` or ``large_string`` array without nulls (slices are fine), hold
nothing between calls, release the GIL and need memory in proportion to the largest document plus their result; pass
batches of a few megabytes. Offsets into text are UTF-8 bytes, lengths are Unicode code points.

Words, two forms: ``whitespace`` words are ``str.split()`` tokens stripped of punctuation on both sides, empty ones
dropped; ``script`` words are the same after each token is cut at every letter or mark of the Han, Hiragana, Katakana,
Thai, Lao, Khmer and Burmese scripts, each of which is a word of its own. Punctuation is the Unicode category P* and
the ASCII symbols ``$+<=>^`|~``. ``punctuation-tokens``, close to spaCy's count, are words + stripped_marks.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

WordForm = Literal["script", "whitespace"]
ANALYSES = ("stats", "repetition", "minhash", "content_hash", "shingle_count", "screen")

SUSPICIOUS, NOT_NFC, CONTROLS, ODD_WHITESPACE = 1, 2, 4, 8

_log = logging.getLogger(__name__)


def _load() -> tuple[ModuleType, Literal["native", "reference"], str]:
    """(module, its name, why it is the slow one)."""
    from tamis.kernels import reference

    forced = os.environ.get("TAMIS_KERNELS", "")
    if forced not in ("", "native", "reference"):
        raise ValueError(f"TAMIS_KERNELS={forced!r}: set it to 'native' or 'reference', or not at all")
    if forced == "reference":
        return reference, "reference", "TAMIS_KERNELS=reference is set"
    try:
        native = importlib.import_module("tamis.kernels._native")
    except ImportError as error:
        if forced == "native":
            raise
        why = f"the compiled module could not be loaded ({error}); install a C++17 compiler and reinstall tamis"
        _log.warning("slow kernels are in use: %s", why)
        return reference, "reference", why
    return native, "native", ""


_module, _name, _why = _load()


def backend() -> Literal["native", "reference"]:
    """Which backend is in use."""
    return _name


def describe() -> str:
    """One line for people: the backend, its instruction set, the Unicode version, and why it is slow if it is."""
    from tamis.kernels.unicode_tables import UNICODE_VERSION

    if _name == "reference":
        return f"reference kernels (plain Python, slow), Unicode {UNICODE_VERSION}: {_why}"
    return f"native kernels ({_module.isa()}), Unicode {UNICODE_VERSION}"


def _check(text: pa.Array) -> pa.Array:
    if isinstance(text, pa.ChunkedArray):
        raise TypeError("text is a chunked array: pass one chunk at a time, or combine_chunks()")
    if not isinstance(text, pa.Array) or not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        kind = text.type if isinstance(text, pa.Array) else type(text).__name__
        raise TypeError(f"text must be an Arrow array of string or large_string, not {kind}")
    if text.null_count:
        raise ValueError(f"text has {text.null_count} nulls: drop or fill them first")
    return text


def _words(form: str) -> str:
    if form not in ("script", "whitespace"):
        raise ValueError(f"words={form!r}: the word forms are 'script' and 'whitespace'")
    return form


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name}={value}: it must be at least 1")
    return value


def html_bounds(
    html: bytes, flat: U64, known: U64, formatting: U64, long_tag: int, many: int
) -> tuple[int, int, int, int]:
    """What a page of HTML can cost a parser, from its bytes: (tags, attributes, depth, formatting).

    Names of elements are their first eight bytes, lower case, as big-endian numbers, in sorted arrays: `flat` ones
    are not counted as open, `known` ones are not closed by "/>", `formatting` ones are summed apart. tags: every
    "<". depth: over names, the sum of how many were ever open at once. attributes: for each tag of more than
    `long_tag` bytes with more than `many` pieces, their number squared.
    """
    if _name == "native":
        found: tuple[int, int, int, int] = _module.html_bounds(html, flat, known, formatting, long_tag, many)
        return found
    from tamis.kernels import html_reference

    return html_reference.html_bounds(html, flat, known, formatting, long_tag, many)


def text_stats(text: pa.Array) -> dict[str, I64]:
    """Counts of every document, by name.

    bytes (UTF-8), chars (code points); tokens (white-space separated), words, word_chars (in words), alpha_tokens
    (tokens with a letter), stripped_marks (punctuation stripped from the edges of tokens; of a token that is all
    punctuation, all of it), script_words, script_word_chars; stop_words (how many different ones of Gopher's eight,
    the be to of and that have with, case-sensitive, stand among the words: 0 to 8); hashes ('#'), ellipses ('...'
    not overlapping, and U+2026), curly ('{' and '}'); upper_chars, alpha_chars, digit_chars (category Nd); newlines.

    Lines as str.splitlines(): lines; bullet_lines (first character that is not white space is U+2022, '-' or '*'),
    star_lines (of these, '*'; bullet_lines - star_lines is Gopher's count as datatrove takes it); ellipsis_lines
    (end in '...' or U+2026 before white space).

    Lines as split('\\n'): all_lines, nonblank_lines; of the nonblank ones terminal_lines (last character, white space
    included, is one of . ' " ! ? as in FineWeb's first version), unicode_terminal_lines (it is in the generated
    class TERMINAL), short_lines (at most 30 characters), dup_lines and dup_line_chars (second and later copies).

    Paragraphs are the blocks between runs of two or more newlines that are not blank: paragraphs, dup_paragraphs,
    dup_paragraph_chars (second and later copies, newlines at the ends not counted).
    """
    return _module.text_stats(_check(text))  # type: ignore[no-any-return]


def repetition(text: pa.Array, words: WordForm = "script") -> dict[str, I64]:
    """Characters in repeated word n-grams (Rae et al. 2021, table A1), as counts.

    An n-gram is the tuple of its words. top_2, top_3, top_4: of the most frequent n-gram (the one seen first among
    equals), its count times its length, 0 unless it occurs more than once; its length is the characters of its words
    plus one for each joint where something stands between two words at its first occurrence, so n - 1 in spaced
    text, 0 inside Chinese. dup_5 ... dup_10: going from left to right, an n-gram seen before adds the characters of
    its words (without joints) and the scan goes on behind it. word_chars: characters in all words.

    The shares of the paper have len(text) below in datatrove and word_chars in Dolma and RedPajama.
    """
    return _module.repetition(_check(text), _words(words))  # type: ignore[no-any-return]


def normalize(text: pa.Array, digits: bool = True, script: bool = True) -> pa.LargeStringArray:
    """Text for comparison: lower case, marks removed (NFD without Mn, code point by code point, final sigma as
    sigma), punctuation and control characters as spaces, single spaces, none at the ends.

    With `digits` every number (digits of any script, with at most one of . , U+060C U+066B inside) becomes 0. With
    `script` every letter of the scripts without spaces stands between spaces.
    """
    made = _module.normalize(_check(text), digits, script)
    if isinstance(made, pa.Array):
        return made
    offsets, data = made
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def content_hash(text: pa.Array) -> U64:
    """128-bit key of exact duplicates, shape (N, 2): XXH64 of ``normalize(text, digits=False)``, seeds 0 and
    0x9E3779B185EBCA87. Stable across machines; it changes only with the Unicode version of the tables.
    """
    return _module.content_hash(_check(text))  # type: ignore[no-any-return]


def _splitmix(seed: int, count: int) -> list[int]:
    """`count` values of SplitMix64 (Steele, Lea and Flood 2014)."""
    mask, out = (1 << 64) - 1, []
    state = seed & mask
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        out.append(z ^ z >> 31)
    return out


def _permutations32(count: int, seed: int) -> tuple[U32, U32]:
    """Odd multipliers and addends of `count` permutations of 32-bit numbers."""
    values = np.array(_splitmix(seed, _positive("permutations", count)), np.uint64)
    return (values >> np.uint64(32)).astype(np.uint32) | np.uint32(1), values.astype(np.uint32)


def _permutations64(count: int, seed: int) -> tuple[U64, U64]:
    """Parameters as datatrove and datasketch draw them, from NumPy's frozen legacy generator."""
    _positive("permutations", count)
    prime = (1 << 61) - 1
    generator = np.random.RandomState(seed)
    a = generator.randint(1, prime, dtype=np.uint64, size=count)
    return a, generator.randint(0, prime, dtype=np.uint64, size=count)


def minhash(text: pa.Array, permutations: int = 112, ngram: int = 5, seed: int = 1) -> U32:
    """MinHash signatures (Broder 1997), shape (N, permutations).

    Shingles are `ngram` successive words of ``normalize(text)``, or all its words where there are fewer; the share of
    equal values in two rows estimates the Jaccard similarity of the shingle sets. A document without words has
    0xFFFFFFFF throughout. Own format: 32-bit permutations of a rolling hash; `minhash64` is the compatible one.
    """
    a, b = _permutations32(permutations, seed)
    return _module.minhash(_check(text), a, b, _positive("ngram", ngram))  # type: ignore[no-any-return]


def minhash64(text: pa.Array, permutations: int = 112, ngram: int = 5, seed: int = 1) -> U64:
    """MinHash signatures with datatrove's arithmetic, shape (N, permutations): XXH64 of the space-joined n-grams,
    then (hash * a + b mod 2^64) mod (2^61 - 1).

    Equal to datatrove's where the words are: ours are those of ``normalize(text)``. A document with fewer than
    `ngram` words has 2^64 - 1 throughout.
    """
    a, b = _permutations64(permutations, seed)
    return _module.minhash64(_check(text), a, b, _positive("ngram", ngram))  # type: ignore[no-any-return]


def band_hashes(signatures: U32 | U64, bands: int, rows: int) -> U64:
    """One key for each of the first `bands` bands of `rows` values, shape (N, bands). The number of the band is part
    of the hash, so equal values in different bands give different keys and all bands can share one table.
    """
    if signatures.ndim != 2 or _positive("bands", bands) * _positive("rows", rows) > signatures.shape[1]:
        raise ValueError(f"{bands} bands of {rows} rows do not fit signatures of shape {signatures.shape}")
    values = signatures[:, : bands * rows].reshape(len(signatures), bands, rows)
    prime1, prime2, prime3 = (np.uint64(p) for p in (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
    h: U64 = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64) * prime1, values.shape[:2]).copy()
    for row in range(rows):
        h ^= values[:, :, row]
        h *= prime2
        h ^= h >> np.uint64(31)
    h *= prime3
    h ^= h >> np.uint64(32)
    return h


def shingles(text: pa.Array, ngram: int = 5, digits: bool = False) -> tuple[I64, U64]:
    """Sets of shingle hashes: (offsets, shape (N + 1,); values, the sorted different hashes of document i at
    ``values[offsets[i]:offsets[i + 1]]``). Shingles are as in `minhash`; numbers are kept unless `digits` folds them.
    """
    return _module.shingles(_check(text), _positive("ngram", ngram), digits)  # type: ignore[no-any-return]


def overlaps(offsets: I64, values: U64, left: npt.NDArray[Any], right: npt.NDArray[Any]) -> I64:
    """Sizes of the intersections of pairs of sets as `shingles` gives them: set left[i] with set right[i]."""
    offsets, values = np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(values, np.uint64)
    left, right = np.ascontiguousarray(left, np.int64), np.ascontiguousarray(right, np.int64)
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"left has shape {left.shape}, right {right.shape}: they must be equal lists of sets")
    if len(offsets) < 1 or offsets[0] < 0 or offsets[-1] > len(values) or np.any(np.diff(offsets) < 0):
        raise ValueError("offsets must grow from 0 to at most the number of values")
    for side in (left, right):
        if len(side) and (side.min() < 0 or side.max() >= len(offsets) - 1):
            raise IndexError(f"a pair names a set outside 0 ... {len(offsets) - 2}")
    return _module.overlaps(offsets, values, left, right)  # type: ignore[no-any-return]


def components(left: U64, right: U64) -> tuple[U64, U64]:
    """Connected components of the graph with edges left[i] - right[i]: (nodes, sorted and different; root, the
    smallest node of the component of each). Memory grows with the number of edges.
    """
    left, right = np.ascontiguousarray(left, np.uint64), np.ascontiguousarray(right, np.uint64)
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"left has shape {left.shape}, right {right.shape}: they must be equal lists of nodes")
    return _module.components(left, right)  # type: ignore[no-any-return]


def ngram_table(values: U64) -> U64:
    """Hash table for `ngram_hits` of shingle hashes, as `shingles` gives them with the same `ngram` and `digits`.

    Open addressing with linear probing; the size is a power of two and at least twice the number of values, 0 marks
    a free slot (a hash of 0 is stored as 1). Memory: 16 to 32 bytes for each different value.
    """
    values = np.unique(np.maximum(np.asarray(values, np.uint64).ravel(), np.uint64(1)))
    size = 1 << max(6, (2 * len(values)).bit_length())
    table = np.zeros(size, np.uint64)
    mask = np.uint64(size - 1)
    slots = values & mask
    while len(values):  # in every round the first taker of a free slot gets it, the others move on
        free = table[slots] == 0
        table[slots[free]] = values[free]
        left = table[slots] != values
        values, slots = values[left], (slots[left] + np.uint64(1)) & mask
    return table


def ngram_hits(text: pa.Array, table: U64, ngram: int = 13, digits: bool = False) -> I64:
    """How many of each document's shingles, repeated ones included, are in a table of `ngram_table`."""
    table = np.ascontiguousarray(table, np.uint64)
    if table.ndim != 1 or len(table) < 2 or len(table) & (len(table) - 1) or np.all(table != 0):
        raise ValueError("table is not one made by ngram_table")
    return _module.ngram_hits(_check(text), table, _positive("ngram", ngram), digits)  # type: ignore[no-any-return]


def line_table(text: pa.Array, phrases: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:
    """One entry for each line, as split('\\n'), of all documents in order.

    document (int32 row), start and end (UTF-8 bytes in the document, without the newline), chars, words (white-space
    separated tokens), longest_token (chars), alpha_chars, upper_chars, digit_chars, nonspace_chars, last_char (code
    point of the last character that is not white space, 0 in a blank line), ends_ellipsis ('...' or U+2026 before
    white space), phrases (bit i: phrase i occurs in the line; ASCII letters match in either case, all else byte for
    byte), hash (XXH64 of the line stripped of white space, ASCII letters in lower case).

    Raises ValueError for more than 64 phrases or an empty one.
    """
    if len(phrases) > 64:
        raise ValueError(f"{len(phrases)} phrases: one call takes at most 64")
    if not all(phrases):
        raise ValueError("an empty phrase occurs everywhere: leave it out")
    return _module.line_table(_check(text), [p.encode().lower() for p in phrases])  # type: ignore[no-any-return]


def screen(text: pa.Array) -> U32:
    """What each document could need of cleaning, as bits; no bit means surely nothing of that kind.

    1 SUSPICIOUS: ftfy could change it: it holds a necessary condition of ftfy's mojibake detector, a character that
    ftfy always removes or replaces, or may not be in NFC (for the configuration with normalization NFC and without
    unescaping, uncurling, ligatures and width). 2 NOT_NFC: it fails the quick check of UAX #15, or holds a code
    point that is unassigned in the tables' Unicode version. 4 CONTROLS: control (but tab, LF, CR), format,
    zero-width, bidirectional or tag characters, byte order marks, noncharacters, invisible fillers. 8
    ODD_WHITESPACE: white space other than space and LF, two spaces or three newlines in a row, a space at the end of
    a line.
    """
    return _module.screen(_check(text))  # type: ignore[no-any-return]


def suspicious_lines(text: pa.Array) -> tuple[npt.NDArray[np.int32], I64, I64]:
    """The lines that ftfy could change: (document, start, end), UTF-8 bytes without the newline. ftfy works line by
    line, so that it is enough to give it these. A document has one exactly if its bit 1 is set in `screen`.
    """
    return _module.suspicious_lines(_check(text))  # type: ignore[no-any-return]


def analyse(
    text: pa.Array,
    want: Collection[str] = ANALYSES,
    *,
    words: WordForm = "script",
    permutations: int = 112,
    ngram: int = 5,
    seed: int = 1,
) -> dict[str, Any]:
    """Several kernels in one pass, which classifies and normalizes each document once.

    The keys of the result are those of `want`: stats (as `text_stats`), repetition, minhash, content_hash, screen,
    and shingle_count (int64: shingles of each document, repeated ones included); each is what the function of its
    name gives.
    """
    unknown = sorted(set(want) - set(ANALYSES))
    if unknown:
        raise ValueError(f"want: {', '.join(unknown)} unknown; there are {', '.join(ANALYSES)}")
    _check(text), _words(words), _positive("ngram", ngram)
    a, b = _permutations32(permutations, seed)
    if _name == "native":
        made: dict[str, Any] = _module.analyse(text, [w in want for w in ANALYSES], words, a, b, ngram)
        return {name: made[name] for name in ANALYSES if name in want}
    parts = {
        "stats": lambda: _module.text_stats(text),
        "repetition": lambda: _module.repetition(text, words),
        "minhash": lambda: _module.minhash(text, a, b, ngram),
        "content_hash": lambda: _module.content_hash(text),
        "shingle_count": lambda: _module.shingle_count(text, ngram),
        "screen": lambda: _module.screen(text),
    }
    return {name: parts[name]() for name in ANALYSES if name in want}


def _ngram(value: int) -> int:
    if not 1 <= value <= 16:
        raise ValueError(f"ngram={value}: it must be 1 to 16")
    return value


def word_ngrams(text: pa.Array, ngram: int = 2, distinct: bool = True) -> tuple[I64, U64, I32, U8]:
    """Hashed n-grams of 1 to `ngram` successive words of ``normalize(text)``, in which every character of a script
    without spaces is a word: (offsets, shape (N + 1,); hashes; number of the first word; number of words).

    Those of document i lie from offsets[i] to offsets[i + 1], shorter n-grams first, each in order; with `distinct`
    only the first copy of each. Hashes are those of `shingles`.
    """
    return _module.word_ngrams(_check(text), _ngram(ngram), distinct)  # type: ignore[no-any-return]


def bucket(hashes: U64, buckets: int) -> U32:
    """Which of up to 2^32 buckets a hash belongs to: its upper half, scaled."""
    return ((hashes >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)).astype(np.uint32)


def ngram_sums(text: pa.Array, weights: F32, ngram: int = 2, distinct: bool = True) -> tuple[F64, I64]:
    """Sums over the n-grams of `word_ngrams` of the weights of their buckets, and how many n-grams there are."""
    weights = np.ascontiguousarray(weights, np.float32)
    if weights.ndim != 1 or not 1 <= len(weights) <= 1 << 32:
        raise ValueError(f"weights have shape {weights.shape}: they must be a list of 1 to 2^32 numbers")
    return _module.ngram_sums(_check(text), weights, _ngram(ngram), distinct)  # type: ignore[no-any-return]


def gram_hash(text: pa.Array) -> U64:
    """The hash of the n-gram whose words are the pieces between single spaces, taken as they are."""
    return _module.gram_hash(_check(text))  # type: ignore[no-any-return]


def sentences(text: pa.Array) -> tuple[I64, I64, U64, I64, U8]:
    """The words of every line, as split('\\n'), normalized by itself as by ``normalize``; lines without are left out.

    (lines: document i has the lines lines[i] to lines[i + 1]; words: line l has the words words[l] to words[l + 1];
    hashes of the words, of which ``gram_hash`` is made; ends: word w is the bytes ends[w] to ends[w + 1]; bytes).
    """
    return _module.sentences(_check(text))  # type: ignore[no-any-return]


def lm_table(keys: U64, prob: F32, backoff: F32) -> U64:
    """Hash table for `lm_scores` of n-grams by their `gram_hash`: log10 probabilities and log10 back-off weights.

    Open addressing with linear probing; twice as many numbers as entries: key (0 free, a hash of 0 stored as 1), then
    both floats. Memory: 24 to 48 bytes for each n-gram. Raises ValueError where two n-grams have the same hash.
    """
    keys = np.maximum(np.asarray(keys, np.uint64).ravel(), np.uint64(1))
    if len(np.unique(keys)) != len(keys):
        raise ValueError("two n-grams have the same hash, or one stands there twice")
    values = np.stack([np.asarray(prob, np.float32), np.asarray(backoff, np.float32)], axis=1).view(np.uint64).ravel()
    size = 1 << max(6, (3 * len(keys) // 2).bit_length())
    table = np.zeros((size, 2), np.uint64)
    mask = np.uint64(size - 1)
    slots = keys & mask
    while len(keys):  # in every round the last taker of a free slot gets it, the others move on
        free = np.flatnonzero(table[slots, 0] == 0)
        table[slots[free], 0] = keys[free]
        won = free[table[slots[free], 0] == keys[free]]
        table[slots[won], 1] = values[won]
        left = table[slots, 0] != keys
        keys, values, slots = keys[left], values[left], (slots[left] + np.uint64(1)) & mask
    return table.ravel()


def lm_scores(text: pa.Array, table: U64, order: int) -> tuple[F64, I64, I64]:
    """Log10 probability of every document under a back-off model: (sum, tokens, of these unknown words).

    Each line is a sentence, <s> words </s>, of the words of `sentences`; tokens are its words and </s>. Words that
    the model does not have are <unk>, of log10 probability -100 where the model has none. The model must hold all
    prefixes and suffixes of its n-grams. `table` is one of `lm_table`.
    """
    begin, end, unknown = MARK_HASHES
    if table.ndim != 1 or len(table) < 2 or len(table) & (len(table) - 1):
        raise ValueError("table is not one made by lm_table")
    return _module.lm_scores(_check(text), table, _ngram(order), begin, end, unknown)  # type: ignore[no-any-return]


def _mark_hashes() -> tuple[int, ...]:
    from tamis.kernels.reference import word_hash

    return tuple(word_hash(mark) for mark in (b"<s>", b"</s>", b"<unk>"))


# of <s>, </s> and <unk>, which no normalized word equals
MARK_HASHES = _mark_hashes()
