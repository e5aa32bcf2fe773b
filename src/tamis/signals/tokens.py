"""Words as other tools cut them, on arrays of code points: `str.split`, `\\w+|[^\\w\\s]+`, Unicode words, spaCy's.

The first two are exact. The last two are approximations by local rules, whose agreement with the real tokenizers is
measured in docs/dialects.md: a short list of abbreviations, no emoticons, no regular expression of URLs.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from tamis.kernels import unicode_tables as tables
from tamis.signals.characters import I64, U32, Characters, Mask, Pieces, member, numeric

PREFIXES = "§%=—–+,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪…'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧$£€¥฿₽﷼₴₩₪₫₹₺₿"
# A suffix too, except $ (only behind a digit) and the marks that spaCy takes from the front alone.
SUFFIXES = "—–,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪…'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧"
CURRENCY = "$£€¥฿₽﷼₴₩₪₫₹₺₿"
QUOTES = "'\"”“`‘´’‚„»«"
APOSTROPHES = "'’"
ABBREVIATIONS = (
    "Mr", "Mrs", "Ms", "Dr", "St", "vs", "Inc", "Ltd", "Co", "Corp", "Jr", "Sr", "Prof", "Gen", "Rep", "Sen", "Gov",
    "Rev",
    "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec", "Bros", "Mt", "Ph.D",
)  # fmt: skip
UNITS = (
    "km", "m", "dm", "cm", "mm", "ha", "nm", "µm", "yd", "in", "ft", "kg", "g", "mg", "µg", "t", "lb", "oz", "kmh",
    "mph",
    "hPa", "Pa", "mbar", "mb", "MB", "kb", "KB", "gb", "GB", "tb", "TB", "T", "G", "M", "K", "am", "pm",
)  # fmt: skip
_DOT, _HYPHEN = ord("."), ord("-")


def split(text: Characters) -> Pieces:
    """str.split()."""
    return text.runs(~text.space)


def word_punctuation(text: Characters) -> Pieces:
    """Runs of letters, digits and _, and runs of other marks: NLTK's WordPunctTokenizer."""
    word = text.alpha | ((text.flags & tables.DIGIT) != 0) | numeric()[text.codes] | (text.codes == ord("_"))
    ink = ~text.space
    return text.runs(ink, word != np.concatenate([[False], word[:-1]]))


def unicode_words(text: Characters) -> Pieces:
    """Words by the boundaries of UAX #29 that begin with a letter or digit.

    Simplified: letters of scripts without spaces stand alone, but Katakana; marks and joiners belong to what they
    follow; the exceptions for Hebrew quotes and regional indicators are left out.
    """
    codes = text.codes
    letter = text.alpha & ((text.flags & tables.SCRIPT) == 0)
    kana = ((codes >= 0x30A1) & (codes <= 0x30FA)) | (codes == 0x30FC) | ((codes >= 0xFF66) & (codes <= 0xFF9D))
    digit = (text.flags & tables.DIGIT) != 0
    extend = _extends()[codes]
    wordy = letter | digit | kana | (codes == ord("_"))
    # What a character is behind marks that extend it: the class of the last one that does not.
    place = np.maximum.accumulate(np.where(extend & ~text.heads, 0, np.arange(len(codes))))
    letter_, digit_, kana_, wordy_ = letter[place], digit[place], kana[place], wordy[place]
    line = codes == ord("_")
    before = np.concatenate([[False], wordy_[:-1]])
    joined = before & wordy & ~(kana & np.concatenate([[False], (letter_ | digit_)[:-1]]))
    joined &= ~((letter | digit) & np.concatenate([[False], kana_[:-1]]) & ~line)
    middle = text.member("'.’‘․﹒＇．:·։״︓﹕：") & ~text.heads
    middle_number = text.member("'.’‘․﹒＇．,;;։،؍٬߸︐︔﹐﹔，；") & ~text.heads
    left, right = np.concatenate([[False], letter_[:-1]]), np.concatenate([letter[1:], [False]])
    left_number, right_number = np.concatenate([[False], digit_[:-1]]), np.concatenate([digit[1:], [False]])
    bridge = (middle & left & right) | (middle_number & left_number & right_number)
    bridge[:-1] &= ~text.heads[1:]
    extending = extend & ~text.heads & ~np.concatenate([[False], text.space[:-1]])
    joined |= bridge | np.concatenate([[False], bridge[:-1]]) | extending
    ink = ~text.space
    found = text.runs(ink, ~joined)
    first = codes[found.start]
    return found.where(text.alpha[found.start] | digit[found.start] | numeric()[first])


def spacy_like(text: Characters) -> Pieces:
    """Tokens close to those of spaCy's English tokenizer.

    A mark at the edge of what stands between white space is a token of its own (a run of dots is one); so are hyphens
    between letters, commas between letters, and : < > = / between a letter or digit and a letter, but not in what
    looks like an address; 's, n't, 'll, 're, 've, 'd and 'm are cut off, and units behind a number.
    """
    chunks = split(text)
    if not len(chunks):
        return chunks
    digits = (text.flags & tables.DIGIT) != 0
    heads = np.zeros(len(text.codes) + 1, np.bool_)
    heads[chunks.start] = True
    marks = _Marks.of(text, chunks, digits)
    edge, infix = marks.edges(), marks.infixes()
    cut = edge | infix
    # Of a run of dots, or of hyphens within a word, only the first begins a token and only the last ends one.
    follows = cut & (marks.dots & marks.follows(marks.dots) | infix & marks.double & marks.follows(marks.double))
    heads[marks.at[cut & ~follows]] = True
    heads[marks.at[cut] + 1] = True
    heads[marks.at[follows]] = False
    heads[marks.contractions(edge)] = True
    heads[_units(text, chunks, digits, marks, edge)] = True
    start = np.flatnonzero(heads[:-1] & ~text.space)
    chunk = marks.number[start]
    end = np.minimum(np.append(start[1:], len(text.codes)), chunks.end[chunk])
    return Pieces(text, start, end, chunks.row[chunk])


@dataclass(frozen=True)
class _Marks:
    """The characters that are neither white space, letter nor digit: `at`, the `chunk` that each lies in."""

    text: Characters
    chunks: Pieces
    number: npt.NDArray[np.int32]  # of the chunk that each character lies in
    at: I64
    chunk: I64
    code: U32
    left: npt.NDArray[np.uint16]  # flags of the character before in the same chunk, 0 at its beginning
    right: npt.NDArray[np.uint16]
    codes_around: tuple[U32, U32]

    @staticmethod
    def of(text: Characters, chunks: Pieces, digits: Mask) -> _Marks:
        at = np.flatnonzero(~(text.space | text.alpha | digits))
        begins = np.zeros(len(text.codes), np.bool_)
        begins[chunks.start] = True
        number = np.cumsum(begins, dtype=np.int32) - 1
        chunk = number[at].astype(np.int64)
        before, after = at > chunks.start[chunk], at + 1 < chunks.end[chunk]
        near = np.maximum(at - 1, 0), np.minimum(at + 1, len(text.codes) - 1)
        flags = np.where(before, text.flags[near[0]], 0), np.where(after, text.flags[near[1]], 0)
        codes = np.where(before, text.codes[near[0]], 0), np.where(after, text.codes[near[1]], 0)
        return _Marks(text, chunks, number, at, chunk, text.codes[at], *flags, codes)

    def member(self, characters: str) -> Mask:
        return member(characters, self.code)

    def follows(self, which: Mask) -> Mask:
        """Whether the character right before is a mark of `which` in the same chunk."""
        found = np.zeros(len(which), np.bool_)
        found[1:] = which[:-1] & (self.at[1:] == self.at[:-1] + 1) & (self.chunk[1:] == self.chunk[:-1])
        return found

    @cached_property
    def dots(self) -> Mask:
        """Dots beside a dot."""
        beside = (self.codes_around[0] == _DOT) | (self.codes_around[1] == _DOT)
        found: Mask = (self.code == _DOT) & beside
        return found

    @cached_property
    def double(self) -> Mask:
        """Hyphens beside a hyphen."""
        beside = (self.codes_around[0] == _HYPHEN) | (self.codes_around[1] == _HYPHEN)
        found: Mask = (self.code == _HYPHEN) & beside
        return found

    @cached_property
    def icons(self) -> Mask:
        return _icons()[self.code]

    def edges(self) -> Mask:
        """Marks at the edges of their chunks."""
        prefix = self.member(PREFIXES) | self.icons | self.dots
        prefix &= ~((self.code == ord("+")) & ((self.right & tables.DIGIT) != 0))
        suffix = self.member(SUFFIXES) | self.icons | self.dots
        suffix |= self.member(CURRENCY + "+%") & ((self.left & tables.DIGIT) != 0)
        lone = (self.code == _DOT) & ~self.dots
        small = (self.left & tables.ALPHA != 0) & (self.left & tables.UPPER == 0)
        behind = small | (self.left & tables.DIGIT != 0) | member("%²-+" + SUFFIXES, self.codes_around[0])
        two = np.maximum(self.at - 2, 0)
        inside = self.at - 2 >= self.chunks.start[self.chunk]
        behind |= (self.left & tables.UPPER != 0) & inside & (self.text.flags[two] & tables.UPPER != 0)
        suffix |= lone & behind & ~self._abbreviations(lone)
        number = np.arange(len(self.at))
        anew = np.concatenate([[True], self.chunk[1:] != self.chunk[:-1], [True]])
        first = np.maximum.accumulate(np.where(anew[:-1], number, 0))
        last = np.minimum.accumulate(np.where(anew[1:], number, len(number))[::-1])[::-1]
        not_prefix = np.concatenate([[0], np.cumsum(~prefix)])
        not_suffix = np.concatenate([[0], np.cumsum(~suffix)])
        leading = self.at - self.chunks.start[self.chunk] == number - first
        leading &= not_prefix[number + 1] == not_prefix[first]
        trailing = self.chunks.end[self.chunk] - 1 - self.at == last - number
        trailing &= not_suffix[last + 1] == not_suffix[number]
        found: Mask = leading | trailing
        return found

    def _abbreviations(self, lone: Mask) -> Mask:
        """Last dots of chunks such as "e.g.", "U.S." and "Inc."."""
        found = np.zeros(len(self.at), np.bool_)
        letters = (self.left & tables.ALPHA != 0) & (self.right & tables.ALPHA != 0)
        begins = (self.at - 1 == self.chunks.start[self.chunk]) | ~self.text.alpha[np.maximum(self.at - 2, 0)]
        initials = np.zeros(len(self.chunks), np.bool_)
        initials[self.chunk[lone & letters & begins]] = True
        ends = np.flatnonzero(lone & (self.at == self.chunks.end[self.chunk] - 1))
        found[ends] = initials[self.chunk[ends]]
        short = ends[self.chunks.sizes[self.chunk[ends]] <= 6]
        chunks = self.chunk[short]
        named = Pieces(self.text, self.chunks.start[chunks], self.at[short], self.chunks.row[chunks])
        found[short[named.equal_to(ABBREVIATIONS) >= 0]] = True
        return found

    def infixes(self) -> Mask:
        """Marks within words that are tokens of their own."""
        letters = (self.left & tables.ALPHA != 0) & (self.right & tables.ALPHA != 0)
        wordy = (self.left & (tables.ALPHA | tables.DIGIT) != 0) & (self.right & tables.ALPHA != 0)
        number = (self.left & tables.DIGIT != 0) & (
            (self.right & tables.DIGIT != 0) | (self.codes_around[1] == _HYPHEN)
        )
        sentence = (self.left & tables.ALPHA != 0) & (self.left & tables.UPPER == 0) & (self.right & tables.UPPER != 0)
        found = (self.code == ord(",")) & letters
        found |= self.member("-–—~:<>=/") & wordy
        found |= self.member("+-*^") & number
        found |= (self.code == _DOT) & sentence
        found |= self.double | self.dots | self.icons
        inside: Mask = found & ~self._addresses()[self.chunk]
        return inside

    def _addresses(self) -> Mask:
        """Chunks that look like a URL or an e-mail address."""
        found = np.zeros(len(self.chunks), np.bool_)
        found[self.chunk[(self.code == ord(":")) & (self.codes_around[1] == ord("/"))]] = True
        found[self.chunk[(self.code == ord("@")) & (self.left != 0)]] = True
        letter = (self.left & (tables.ALPHA | tables.DIGIT) != 0) & (self.right & tables.ALPHA != 0)
        nowhere = len(self.text.codes)
        first = {}
        for name, chosen in (("dot", (self.code == _DOT) & letter), ("slash", self.code == ord("/"))):
            first[name] = np.full(len(self.chunks), nowhere)
            np.minimum.at(first[name], self.chunk[chosen], self.at[chosen])
        found |= (first["dot"] < first["slash"]) & (first["slash"] < nowhere)
        return found

    def contractions(self, edge: Mask) -> I64:
        """Where the endings 's 'll 're 've 'd 'm, and n't with its n, begin at the end of a word."""
        some = np.flatnonzero(self.member(APOSTROPHES) & ~edge & (self.left & tables.ALPHA != 0))
        at = self.at[some]
        codes = np.concatenate([self.text.codes, np.zeros(3, np.uint32)])
        one, two = (_lower(codes[at + i]) for i in (1, 2))
        alpha = np.concatenate([self.text.alpha, np.zeros(3, np.bool_)])
        single = np.isin(one, [ord(c) for c in "sdm"]) & ~alpha[at + 2]
        double = ((one == ord("l")) & (two == ord("l"))) | (np.isin(one, [ord("r"), ord("v")]) & (two == ord("e")))
        negative = at[(one == ord("t")) & ~alpha[at + 2] & (_lower(codes[at - 1]) == ord("n"))]
        return np.concatenate([at[single | (double & ~alpha[at + 3])], negative - 1])


def _units(text: Characters, chunks: Pieces, digits: Mask, marks: _Marks, edge: Mask) -> I64:
    """Where a unit begins that ends a word behind a digit, and "not" in "cannot"."""
    cannot = chunks.where((chunks.sizes >= 6) & (chunks.sizes <= 8))
    words = Pieces(text, cannot.start, cannot.start + 6, cannot.row)
    long = np.append(text.alpha, False)[words.end]
    found = [words.start[(words.equal_to(("cannot", "Cannot")) >= 0) & ~long] + 3]
    before = np.concatenate([[False], digits[:-1]])
    at = np.flatnonzero(text.alpha & before & ~text.heads)
    ends = np.append(text.alpha, False)
    size = np.ones(len(at), np.int64)
    for i in range(1, 5):
        size += (size == i) & ends[np.minimum(at + i, len(text.codes))]
    chunk = marks.number[at].astype(np.int64)
    rest = at + size
    marked = np.zeros(len(text.codes) + 1, np.bool_)
    marked[marks.at[edge]] = True
    keep = (size <= 4) & ((rest >= chunks.end[chunk]) | marked[rest])
    at, size, chunk = at[keep], size[keep], chunk[keep]
    pieces = Pieces(text, at, at + size, chunks.row[chunk])
    found.append(at[pieces.equal_to(UNITS) >= 0])
    return np.concatenate(found)


def _lower(codes: U32) -> U32:
    return np.where((codes >= 65) & (codes <= 90), codes + 32, codes)


@cache
def _icons() -> Mask:
    """Category So but the degree sign."""
    found = np.zeros(0x110000, np.bool_)
    found[[c for c in range(0x80, 0x20000) if c != 0xB0 and unicodedata.category(chr(c)) == "So"]] = True
    return found


@cache
def _extends() -> Mask:
    """Marks and format characters, which extend the character before them (UAX #29, WB4)."""
    found = np.zeros(0x110000, np.bool_)
    found[[c for c in range(0x80, 0x20000) if unicodedata.category(chr(c)) in ("Mn", "Me", "Mc", "Cf")]] = True
    found[0x200B] = False
    return found
