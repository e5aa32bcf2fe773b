"""What in a text makes a rule fire: the repeated n-gram, line or paragraph, the mark, the line.

Recomputed from the text for the one document of a receipt, only for signals where there is something to point at.
Looks at the first `MOST` characters; linear in them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tamis.verdicts.align import words_of

MOST = 500_000
_SHOWN = 160


@dataclass(frozen=True)
class Evidence:
    """A place in the clean text: characters `start` to `end`, how often it occurs, and a few words for people."""

    signal: str
    start: int
    end: int
    text: str
    note: str


def evidence(signal: str, clean: str) -> Evidence | None:
    """The place that says most about a signal; None where no single place does (length, mean word, language)."""
    finder = _FINDERS.get(signal)
    if finder is None:
        n_gram = re.fullmatch(r"repetition\.(top|dup)_(\d+)", signal)
        if n_gram is None:
            return None
        return _repeated(signal, clean[:MOST], int(n_gram[2]), n_gram[1] == "top")
    return finder(signal, clean[:MOST])


def _repeated(signal: str, text: str, size: int, top: bool) -> Evidence | None:
    """The n-gram that covers most characters; for `dup` the longest passage that came before."""
    words, spans, _ = words_of(text)
    counts: Counter[tuple[str, ...]] = Counter()
    first: dict[tuple[str, ...], int] = {}
    covered: dict[tuple[str, ...], int] = {}
    until: dict[tuple[str, ...], int] = {}
    for at in range(len(words) - size + 1):
        gram = tuple(words[at : at + size])
        first.setdefault(gram, at)
        if at >= until.get(gram, 0):  # occurrences that overlap themselves count once
            counts[gram] += 1
            covered[gram] = covered.get(gram, 0) + sum(map(len, gram))
            until[gram] = at + size
    repeated = [gram for gram, count in counts.items() if count > 1]
    if not repeated:
        return None
    gram = max(repeated, key=lambda one: (covered[one], -first[one]))
    start, end = spans[first[gram]][0], spans[first[gram] + size - 1][1]
    total = sum(map(len, words))
    note = f'"{" ".join(gram)}" occurs {counts[gram]:,} times and holds {covered[gram] / total:.0%} of the characters'
    if not top:
        end = spans[min(len(words), first[gram] + 3 * size) - 1][1]
    return Evidence(signal, start, end, text[start : min(end, start + _SHOWN)], note)


def _repeated_block(separator: str, name: str) -> Callable[[str, str], Evidence | None]:
    def find(signal: str, text: str) -> Evidence | None:
        blocks = [block.strip() for block in re.split(separator, text)]
        counts = Counter(block for block in blocks if block)
        block, count = max(counts.items(), key=lambda item: ((item[1] - 1) * len(item[0]), item[1]), default=("", 0))
        if count < 2:
            return None
        start = text.find(block)
        return Evidence(signal, start, start + len(block), block[:_SHOWN], f"this {name} occurs {count:,} times")

    return find


def _first_match(pattern: str, name: str) -> Callable[[str, str], Evidence | None]:
    compiled = re.compile(pattern, re.MULTILINE | re.IGNORECASE)

    def find(signal: str, text: str) -> Evidence | None:
        found = list(compiled.finditer(text))
        if not found:
            return None
        start = max(0, found[0].start() - 40)
        end = min(len(text), found[0].end() + 80)
        return Evidence(signal, start, end, text[start:end][:_SHOWN], f"{len(found):,} {name}, here the first")

    return find


_LINE = _repeated_block(r"\n", "line")
_PARAGRAPH = _repeated_block(r"\n{2,}", "paragraph")
_ELLIPSIS = r"\.\.\.|…"
_FINDERS: dict[str, Callable[[str, str], Evidence | None]] = {
    "repetition.dup_lines": _LINE,
    "repetition.dup_line_chars": _LINE,
    "final.dup_line_chars": _LINE,
    "repetition.dup_paragraphs": _PARAGRAPH,
    "repetition.dup_paragraph_chars": _PARAGRAPH,
    "text.hash_ratio": _first_match("#", "of #"),
    "text.ellipsis_ratio": _first_match(_ELLIPSIS, "ellipses"),
    "text.ellipsis_lines": _first_match(rf"^.*(?:{_ELLIPSIS})$", "lines that end in an ellipsis"),
    "text.bullet_lines": _first_match(r"^[ \t]*[•*-].*$", "lines that begin with a bullet"),
    "text.alpha_words": _first_match(r"(?<!\S)[^\s\w]*\d[\d\W]*(?!\S)", "words without a letter"),
    "c4.curly": _first_match(r"\{", "of {"),
    "c4.lorem_ipsum": _first_match("lorem ipsum", "of lorem ipsum"),
    "final.line_punct": _first_match(r"^.*[^.'\"!?\n]$", "lines without an end mark"),
    "final.short_lines": _first_match(r"^.{1,30}$", "lines of at most 30 characters"),
    "final.list_ratio_punct": _first_match(r"^.*$", "lines"),
    "final.list_ratio": _first_match(r"^.*$", "lines"),
}
