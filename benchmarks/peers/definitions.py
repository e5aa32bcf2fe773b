"""What DCLM's filters and RedPajama-v2's signals say, in plain Python: the specification that Tamis's are held to.

Written from the definitions (baselines/mappers/filters/content_filters.py and dclm_baseline_refinedweb.yaml of
mlfoundations/dclm; app/src/core of togethercomputer/RedPajama-Data), because neither is a package that could be
installed and run. Standard library only. Every function returns rule -> kept.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter

TOPS = ((2, 0.20), (3, 0.18), (4, 0.16))
DUPLICATES = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}


def dclm(text: str, segments: list[str]) -> dict[str, bool]:
    """`segments`: the Unicode words of the text, all of them."""
    tokens = text.split()
    words = [word for word in segments if word[0].isalnum()]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    symbols = sum(map(text.count, ("#", "...", ". . .", "\u2026")))
    bullets = sum(line.startswith(("●", "•", "*", "-")) for line in lines)
    ellipses = sum(line.endswith(("...", ". . .", "\u2026")) for line in lines)
    letterless = sum(not any(map(str.isalpha, token)) for token in tokens)
    kept = {
        "short": len(words) >= 50,
        "long": len(words) <= 100_000,
        "mean_word": bool(tokens) and 3 <= sum(map(len, tokens)) / len(tokens) <= 10,
        "hashes": bool(tokens) and symbols / len(tokens) <= 0.1,
        "bullets": bullets <= 0.9 * len(lines),
        "ellipsis_lines": ellipses <= 0.3 * len(lines),
        "alpha_words": bool(tokens) and letterless / len(tokens) <= 0.2,
        "stop_words": sum(token.lower() in STOP_WORDS for token in tokens) >= 2,
        "dup_lines": _share_of_copies(lines, None) <= 0.3,
        "dup_paragraphs": _share_of_copies(paragraphs, None) <= 0.3,
        "dup_line_chars": _share_of_copies(lines, len) <= 0.2,
        "dup_paragraph_chars": _share_of_copies(paragraphs, len) <= 0.2,
    }
    chars = sum(map(len, words))
    for n, limit in TOPS:
        counts = Counter(_grams(words, n))
        most = max(counts.values(), default=0)
        longest = max((sum(map(len, gram)) for gram, count in counts.items() if count == most), default=0)
        kept[f"top_{n}"] = most < 2 or longest * most / chars <= limit
    for n, limit in DUPLICATES:
        kept[f"dup_{n}"] = _covered(words, n) <= limit * chars if chars else True
    return kept


def redpajama(text: str) -> dict[str, bool]:
    normal = re.sub(r"\s+", " ", text.translate(str.maketrans("", "", string.punctuation)).lower().strip())
    words = unicodedata.normalize("NFD", normal).split()
    raw = re.findall(r"\w+|[^\w\s]+", text)
    lines = [text[m.start() : m.end()] for m in re.finditer(r"([^\n]*\n|[^\n]+$)", text)]
    bullets = sum(line.lstrip().startswith(tuple("•‣▶◀◦■□▪▫–")) for line in lines)
    ellipses = sum(line.rstrip().endswith(("...", "…")) for line in lines)
    symbols = sum(map(text.count, ("#", "...", "…")))
    letterless = 1.0 - sum(re.search("[a-zA-Z]", word) is not None for word in raw) / len(raw) if raw else 0.0
    chars = sum(map(len, words))
    kept = {
        "short": len(words) >= 50,
        "long": len(words) <= 100_000,
        "mean_word": not words or 3 <= round(chars / len(words), 8) <= 10,
        "hashes": not raw or round(symbols / len(raw), 8) <= 0.1,
        "bullets": not lines or bullets / len(lines) <= 0.9,
        "ellipsis_lines": not lines or round(ellipses / len(lines), 8) <= 0.3,
        "alpha_words": round(letterless, 8) <= 0.2,
    }
    for n, limit in TOPS:
        gram, count = next(iter(Counter(_grams(words, n)).most_common(1)), ((), 0))
        kept[f"top_{n}"] = count < 2 or round(sum(map(len, gram)) * count / chars, 8) <= limit
    for n, limit in DUPLICATES:
        kept[f"dup_{n}"] = round(_covered(words, n) / chars, 8) <= limit if chars else True
    return kept


def _grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _covered(words: list[str], n: int) -> int:
    """Characters of the words that lie in an n-gram which occurs twice or more."""
    grams = _grams(words, n)
    counts = Counter(grams)
    inside = {i + k for i, gram in enumerate(grams) if counts[gram] > 1 for k in range(n)}
    return sum(len(words[i]) for i in inside)


def _share_of_copies(parts: list[str], weight: object) -> float:
    """All copies of parts that occur twice or more, by number or by characters."""
    total = sum(map(len, parts)) if weight else len(parts)
    counted = sum((len(part) if weight else 1) * count for part, count in Counter(parts).items() if count > 1)
    return counted / total if total else 0.0
