"""What in a text makes a rule fire: the repeated n-gram, line or paragraph, the mark, the line.

Recomputed from the text for the one document of a receipt, only for signals where there is something to point at.
Looks at the first `MOST` characters; linear in them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tamis.verdicts.align import words_of

MOST = 500_000
MOST_NGRAM_WORDS = 50_000
_SHOWN = 160


@dataclass(frozen=True)
class Evidence:
    """A place in the clean or final text: characters `start` to `end`, and a few words for people."""

    signal: str
    state: str
    start: int
    end: int
    text: str
    note: str


Place = tuple[int, int, str]  # start, end, note
Finder = Callable[[str], Place | None]


def evidence(signal: str, value: Any, clean: str, final: str) -> Evidence | None:
    """The place that says most about a signal with this value; None where no single place does (length, language)."""
    state = "final" if signal.startswith("final.") else "clean"
    text = (final if state == "final" else clean)[:MOST]
    n_gram = re.fullmatch(r"repetition\.(top|dup)_(\d+)", signal)
    place: Place | None = None
    if n_gram is not None:
        place = _repeated(text, int(n_gram[2]), value if n_gram[1] == "top" else None)
    elif signal in _FINDERS:
        place = _FINDERS[signal](text)
    if place is None:
        return None
    start, end, note = place
    return Evidence(signal, state, start, end, text[start : min(end, start + _SHOWN)], note)


def _repeated(text: str, size: int, share: float | None) -> Place | None:
    """With `share`, the n-gram that occurs most often (the first of several); else the one that covers most."""
    words, spans, _ = words_of(text, MOST_NGRAM_WORDS, fold=False)
    grams = [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]
    counts = Counter(grams)
    if not grams or counts.most_common(1)[0][1] < 2:
        return None
    if share is not None:
        gram, count = counts.most_common(1)[0]
        note = f'"{" ".join(gram)}" occurs {count:,} times and holds {share:.0%} of the characters'
    else:
        gram, count = max(counts.items(), key=lambda item: (item[1] - 1) * sum(map(len, item[0])))
        note = f'"{" ".join(gram)}" occurs {count:,} times'
    first = grams.index(gram)
    last = min(len(words), first + (3 if share is not None else 1) * size) - 1
    return spans[first][0], spans[last][1], note


def _repeated_block(separator: str, name: str) -> Finder:
    """Blocks are compared as they stand, white space at their ends included, as the signals do."""

    def find(text: str) -> Place | None:
        first: dict[str, int] = {}
        counts: Counter[str] = Counter()
        position = 0
        for part in re.split(f"({separator})", text):
            block = part.strip("\n")
            if block.strip():
                first.setdefault(block, position + part.index(block))
                counts[block] += 1
            position += len(part)
        repeated = [(block, count) for block, count in counts.items() if count > 1]
        if not repeated:
            return None
        block, count = max(repeated, key=lambda item: ((item[1] - 1) * len(item[0]), item[1]))
        note = f"this {name} occurs {count:,} times"
        if len(repeated) > 1:
            copies = sum((count - 1) * len(block) for block, count in repeated)
            note += f"; {len(repeated):,} {name}s repeat, their second and later copies hold {copies:,} characters"
        return first[block], first[block] + len(block), note

    return find


def _first_line(holds: Callable[[str], bool], name: str) -> Finder:
    """The first line that counts against the text, and how many do; blank ones are lines, but nothing to show."""

    def find(text: str) -> Place | None:
        lines = text.split("\n") if text else []
        wrong = sum(map(holds, lines))
        position = 0
        for line in lines:
            if holds(line) and line.strip():
                return position, position + len(line), f"{wrong:,} of {len(lines):,} lines {name}, here the first"
            position += len(line) + 1
        return None

    return find


def _first_match(pattern: str, name: str) -> Finder:
    compiled = re.compile(pattern, re.MULTILINE | re.IGNORECASE)

    def find(text: str) -> Place | None:
        found = list(compiled.finditer(text))
        if not found:
            return None
        start = max(0, found[0].start() - 40)
        end = min(len(text), found[0].end() + 80)
        return start, end, f"{len(found):,} {name}, here the first"

    return find


_LINE = _repeated_block(r"\n", "line")
_PARAGRAPH = _repeated_block(r"\n{2,}", "paragraph")
_ELLIPSIS = r"\.\.\.|…"
_FINDERS: dict[str, Finder] = {
    "repetition.dup_lines": _LINE,
    "repetition.dup_line_chars": _LINE,
    "final.dup_line_chars": _LINE,
    "repetition.dup_paragraphs": _PARAGRAPH,
    "repetition.dup_paragraph_chars": _PARAGRAPH,
    "text.hash_ratio": _first_match("#", "# in all"),
    "text.ellipsis_ratio": _first_match(_ELLIPSIS, "ellipses"),
    "text.ellipsis_lines": _first_line(lambda line: line.rstrip().endswith(("...", "…")), "end in an ellipsis"),
    "text.bullet_lines": _first_line(lambda line: line.lstrip().startswith(("•", "-", "*")), "begin with a bullet"),
    "text.alpha_words": _first_match(r"(?<!\S)[^\s\w]*\d[\d\W]*(?!\S)", "words without a letter"),
    "c4.curly": _first_match(r"\{", "curly brackets in all"),
    "c4.lorem_ipsum": _first_match("lorem ipsum", "lorem ipsum in all"),
    "final.line_punct": _first_line(
        lambda line: not line.endswith((".", "'", '"', "!", "?")), "have no mark of a sentence's end"
    ),
    "final.short_lines": _first_line(lambda line: len(line) <= 30, "have at most 30 characters"),
    "final.list_ratio_punct": _first_match(r"^.*$", "lines"),
    "final.list_ratio": _first_match(r"^.*$", "lines"),
}
