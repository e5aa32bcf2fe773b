"""Word lists of the user and where their entries stand in a text.

A list is a file of entries, one a line (`#` begins a comment), for the languages that the recipe gives or for all; or
a folder of such files named after languages (`de.txt`, or just `de`). An entry is a word or a phrase. Text and entries
are compared after compatibility normalization (NFKC) and case folding. An entry matches only as whole words: no letter,
digit or mark stands right before or behind it; but an entry that begins or ends with a character of a script that is
written without spaces is free on that side.

Memory: about 100 bytes a character of all entries, once per process.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tamis.errors import WrongUse
from tamis.stage import hash_file

ANY = ""  # the language of a list for all


class BadWordList(ValueError, WrongUse):
    """A word list cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Match:
    """Characters start..end of the text that was searched, and the entry as the list has it."""

    start: int
    end: int
    entry: str


def list_files(path: str | Path, languages: Sequence[str] | None) -> dict[str, Path]:
    """The file of every language of a list. Raises BadWordList, OSError."""
    path = Path(path)
    if not path.is_dir():
        path.stat()
        return dict.fromkeys(languages, path) if languages else {ANY: path}
    found = {file.stem: file for file in sorted(path.iterdir()) if file.suffix in ("", ".txt") and file.is_file()}
    found = {name: file for name, file in found.items() if name.isalpha() and name.islower() and len(name) in (2, 3)}
    if languages is not None:
        if missing := [name for name in languages if name not in found]:
            raise BadWordList(f"{path} has no file {missing[0]}.txt; it has {', '.join(found) or 'none of a language'}")
        found = {name: found[name] for name in languages}
    if not found:
        raise BadWordList(f"{path} holds no file named after a language, such as de.txt")
    return found


class WordList:
    """Entries of one language, ready to be searched for. Raises BadWordList for a file without entries."""

    def __init__(self, path: Path) -> None:
        import ahocorasick

        self._automaton: Any = ahocorasick.Automaton()
        for entry in _entries(path):
            folded = fold(entry)
            if folded:
                self._automaton.add_word(folded, (len(folded), entry))
        if not len(self._automaton):
            raise BadWordList(f"{path} holds no entry")
        self._automaton.make_automaton()

    def __len__(self) -> int:
        return len(self._automaton)

    def search(self, folded: str) -> list[Match]:
        """Whole-word matches in folded text, the longest first where they overlap, in order."""
        found = []
        for last, (size, entry) in self._automaton.iter(folded):
            start, end = last + 1 - size, last + 1
            if _whole(folded, start, end):
                found.append(Match(start, end, entry))
        kept: list[Match] = []
        for match in sorted(found, key=lambda one: (one.start, -one.end)):
            if not kept or match.start >= kept[-1].end:
                kept.append(match)
        return kept


@lru_cache(maxsize=256)
def word_list(path: str, digest: str) -> WordList:
    """The list of a file, made once per process. Raises BadWordList where the file has another `digest` by now."""
    if hash_file(Path(path)) != digest:
        raise BadWordList(f"{path} has changed since the run began")
    return WordList(Path(path))


def fold(text: str) -> str:
    """The form in which text and entries are compared."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def folded_with_places(text: str) -> tuple[str, list[int]]:
    """`fold(text)` of each character in turn, and for every character of it the one of `text` that it came from, and
    the length of `text` at the end. Combining marks stay with what they stand on."""
    pieces, places = [], []
    start = 0
    while start < len(text):
        stop = start + 1
        while stop < len(text) and unicodedata.combining(text[stop]):
            stop += 1
        piece = fold(text[start:stop])
        pieces.append(piece)
        places += [start] * len(piece)
        start = stop
    return "".join(pieces), [*places, len(text)]


def _entries(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadWordList(f"{path} is not UTF-8 at byte {error.start}") from None
    for line in text.splitlines():
        entry = line.partition("#")[0].strip()
        if entry:
            yield " ".join(entry.split())


def _whole(text: str, start: int, end: int) -> bool:
    before = start == 0 or not _joins(text[start - 1]) or _unspaced(text[start])
    return before and (end == len(text) or not _joins(text[end]) or _unspaced(text[end - 1]))


def _joins(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def _unspaced(character: str) -> bool:
    """Of a script that puts no spaces between words: Han, Kana, Thai, Lao, Khmer, Burmese."""
    code = ord(character)
    return code >= 0x0E00 and any(first <= code <= last for first, last in _UNSPACED)


_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x30FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip


def matches(text: str, lists: Mapping[str, WordList], language: str | None) -> list[Match]:
    """Matches of the list of a language and of that for all, in characters of the folded text."""
    wanted = [lists[name] for name in (ANY, language) if name is not None and name in lists]
    folded = fold(text) if wanted else ""
    found = [match for one in wanted for match in one.search(folded)]
    return sorted(found, key=lambda one: one.start)
