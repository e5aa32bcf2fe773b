"""Unicode repair as edits: mojibake and NFC by ftfy where a native screen finds cause, and invisible characters.

docs/cleaning.md lists every code point that is removed, and why the joiners of Arabic, Indic and other scripts, and
those of emoji, stay.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import kernels
from tamis.clean.edits import apply_edits, from_lists, merge, rebase, text_buffers

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

# Invisible characters, by rule. ftfy has removed most C0 controls, U+206A-206F, U+FEFF and U+FFF9-FFFC before.
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff" + "".join(
    chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF)
)
_ZERO_WIDTH = "\u00ad\u180e\u200b-\u200d\u2060-\u2064\u206a-\u206f\ufeff"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_TAG = "\U000e0001\U000e0020-\U000e007f"
_MARKS = re.compile(f"[{_CONTROL}{_ZERO_WIDTH}{_BIDI}{_TAG}]+")
_IS_BIDI = re.compile(f"[{_BIDI}]")
_IS_ZERO_WIDTH = re.compile(f"[{_ZERO_WIDTH}]")
# Scripts in which joiners change letters: Hebrew to N'Ko and Arabic extensions, Indic, Tibetan, Burmese, Khmer,
# Mongolian, further Indic and Arabic blocks, Arabic presentation forms, and the supplementary Brahmi scripts.
_JOINED = re.compile(
    "[\u0590-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1c4f\u1cd0-\u1cff\ua800-\ua8ff\ua930-\uabff"
    "\ufb1d-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010a00-\U00010aff\U00010d00-\U00011fff\U0001e900-\U0001eeff]"
)
# Scripts written without spaces in which U+200B marks where a word ends: Thai, Lao, Tibetan, Burmese, Khmer, Tai.
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf]")
# What can stand on either side of the joiner of an emoji: symbols and pictographs, modifiers, variation selector 16.
_EMOJI = re.compile("[\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff]")
_FLAG_TAGS = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{2,8}\U000e007f")

_DIFF_WORDS = 2000  # longer lines that lose or win words are replaced as one
_BREAKS = re.compile("\r\n|[\r\u2028\u2029\x85]")
_FTFY_REMOVES = re.compile("\x1b\\[[0-9;]*[a-zA-Z]|[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")


# Python brings the combining marks behind a letter into order by insertion, in the square of their number: a page of
# two million marks would take days. In lines longer than _LONG, runs of more than _MANY are brought into order first.
_LONG, _MANY = 2000, 200


@functools.cache
def ftfy_config(normalization: Literal["NFC"] | None = "NFC") -> TextFixerConfig:
    """What ftfy may do: repair encodings, line breaks and controls, NFC; never change how something was written."""
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        normalization=normalization,
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        explain=False,
    )


def unicode_edits(text: pa.LargeStringArray) -> pa.ListArray:
    """Edits with the rules unicode.mojibake, .nfc, .newline, .control, .zero_width and .bidi.

    The edited text is ``ftfy.fix_text(text, ftfy_config())`` without the invisible characters of this module, and in
    NFC. No nulls.
    """
    repairs = repair_edits(text)
    return merge(repairs, rebase(mark_edits(apply_edits(text, repairs)), repairs))


def repair_edits(text: pa.LargeStringArray) -> pa.ListArray:
    """Edits that make each text equal to ``ftfy.fix_text(text, ftfy_config())``.

    ftfy works on each line with its line break alone, and `kernels.suspicious_lines` misses none that it would
    change.
    """
    documents, starts, ends = kernels.suspicious_lines(text)
    offsets, data = text_buffers(text)
    view = data.data
    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    for row, start, end in zip(documents.tolist(), starts.tolist(), ends.tolist(), strict=True):
        base, limit = int(offsets[row]), int(offsets[row + 1])
        line = str(view[base + start : min(base + end + 1, limit)], "utf-8")
        fixed = _fixed(line)
        if fixed != line:
            for at, stop, new, rule in _line_edits(line, fixed):
                _append(columns, row, start + at, start + stop, new, rule)
    return from_lists(len(text), *columns)


def _fixed(line: str) -> str:
    from ftfy import fix_text

    if len(line) <= _LONG:
        return fix_text(line, ftfy_config())
    while True:  # as ftfy does, until nothing changes
        fixed = nfc(fix_text(line, ftfy_config(None)))
        if fixed == line:
            return fixed
        line = fixed


def nfc(text: str) -> str:
    """``unicodedata.normalize("NFC", text)`` in time proportional to the text, whatever its marks."""
    if len(text) > _LONG:
        text = _long_runs().sub(_in_order, text)
    return unicodedata.normalize("NFC", text)


@functools.cache
def _long_runs() -> re.Pattern[str]:
    marks = "".join(mark for mark in map(chr, range(0x300, 0x1F000)) if unicodedata.combining(mark))
    return re.compile(f"[{marks}\u0f73\u0f75\u0f81]{{{_MANY},}}")  # three Tibetan letters are but two marks each


def _in_order(run: re.Match[str]) -> str:
    """The same marks decomposed and in canonical order, which is equivalent (Unicode 15.0, section 3.11, D108)."""
    marks = "".join(unicodedata.normalize("NFD", mark) for mark in run[0])
    return "".join(sorted(marks, key=unicodedata.combining))


def _line_edits(old: str, new: str) -> list[tuple[int, int, str, str]]:
    """(start, end in bytes of `old`, replacement, rule), by words."""
    before, after = old.split(" "), new.split(" ")
    made, at, done = [], 0, 0
    for first, last, first_new, last_new in _changed(before, after):
        at += sum(len(word.encode()) + 1 for word in before[done:first])
        word, fixed = " ".join(before[first:last]), " ".join(after[first_new:last_new])
        size = len(word.encode())
        head, tail = _common(word, fixed)
        skipped = len(word[:head].encode())
        stop = size - len(word[len(word) - tail :].encode())
        made.append((at + skipped, at + stop, fixed[head : len(fixed) - tail], _rule(word, fixed)))
        at, done = at + size + 1, last
    return made


def _changed(before: list[str], after: list[str]) -> list[tuple[int, int, int, int]]:
    """Runs of words [first, last) of `before` that became [first_new, last_new) of `after`, neither empty."""
    if len(before) == len(after):
        return [(i, i + 1, i, i + 1) for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    if len(before) > _DIFF_WORDS:
        return [(0, len(before), 0, len(after))]
    made: list[tuple[int, int, int, int]] = []
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        if i == j or k == m:  # words came or went: take in the equal word beside them
            if i > 0 and k > 0:
                i, k = i - 1, k - 1
            else:
                j, m = j + 1, m + 1
        if made and (i < made[-1][1] or k < made[-1][3]):
            made[-1] = (made[-1][0], j, made[-1][2], m)
        else:
            made.append((i, j, k, m))
    return made


def _common(old: str, new: str) -> tuple[int, int]:
    """Characters shared at the beginning and at the end, leaving at least one character of `old`."""
    most = min(len(old) - 1, len(new))
    head = 0
    while head < most and old[head] == new[head]:
        head += 1
    most -= head
    tail = 0
    while tail < most and old[len(old) - 1 - tail] == new[len(new) - 1 - tail]:
        tail += 1
    return head, tail


def _rule(old: str, new: str) -> str:
    if nfc(old) == new:
        return "unicode.nfc"
    if _BREAKS.sub("\n", old) == new:
        return "unicode.newline"
    if nfc(_FTFY_REMOVES.sub("", _BREAKS.sub("\n", old))) == new:
        return "unicode.control"
    return "unicode.mojibake"


def mark_edits(text: pa.LargeStringArray) -> pa.ListArray:
    """Edits that remove invisible characters; a form feed inside a line becomes a line break."""
    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    offsets, data = text_buffers(text)
    for row in np.flatnonzero(kernels.screen(text) & kernels.CONTROLS).tolist():
        document = data[offsets[row] : offsets[row + 1]].tobytes()
        done = 0
        for at in _candidates(document):
            if at < done:
                continue
            # Nothing beyond the line decides: a line break is a neighbour like the text's end.
            start, end = document.rfind(b"\n", 0, at) + 1, document.find(b"\n", at)
            done = len(document) if end < 0 else end
            for low, high, new, rule in _line_marks(document[start:done].decode()):
                _append(columns, row, start + low, start + high, new, rule)
    return from_lists(len(text), *columns)


@functools.cache
def _leads() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(first bytes with which a mark can begin, bool (256,); first two bytes, bool (65536,), with 0 for ASCII)."""
    lead, pair = np.zeros(1 << 8, bool), np.zeros(1 << 16, bool)
    noncharacters = range(0x1FFFE, 0x110000, 0x10000)  # the second of each pair begins with the same bytes
    for code in (*range(0xD800), *range(0xE000, 0x10000), *noncharacters, *range(0xE0000, 0xE0080)):
        if _MARKS.match(chr(code)):
            first, second = (chr(code).encode() + b"\0")[:2]
            lead[first] = pair[first << 8 | second] = True
    return lead, pair


def _candidates(document: bytes) -> list[int]:
    """Where marks could begin, judged by their first two bytes."""
    data = np.frombuffer(document + b"\0", np.uint8)
    lead, pair = _leads()
    at = np.flatnonzero(lead[data[:-1]])
    if len(at) == 0:
        return []
    pairs = data[at].astype(np.uint16) << np.uint16(8) | np.where(data[at] < 0x80, 0, data[at + 1])
    at, pairs = at[pair[pairs]], pairs[pair[pairs]]
    # Most of U+2000-203F are quotation marks and dashes.
    third = data[np.minimum(at + 2, len(data) - 1)]
    made: list[int] = at[(pairs != 0xE280) | (third < 0x90) | (third >= 0xAA) & (third < 0xAF)].tolist()
    return made


def _line_marks(line: str) -> list[tuple[int, int, str, str]]:
    """(start, end in bytes, replacement, rule) of what goes from one line."""
    flags = {i for m in _FLAG_TAGS.finditer(line) for i in range(m.start(), m.end())}
    made = []
    position = offset = 0
    for match in _MARKS.finditer(line):
        for start, end, new, rule in _removals(line, match.start(), match.end(), flags):
            offset += len(line[position:start].encode())
            size = len(line[start:end].encode())
            made.append((offset, offset + size, new, rule))
            position, offset = end, offset + size
    return made


def _removals(line: str, start: int, end: int, flags: set[int]) -> list[tuple[int, int, str, str]]:
    """The characters of one run of marks that go, as runs of one rule."""
    left = line[start - 1] if start else ""
    right = line[end : end + 1]
    if right and (unicodedata.combining(right) or "\u1160" <= right <= "\u11ff"):
        return []  # without the mark the next character would join the one before: no longer NFC
    made: list[tuple[int, int, str, str]] = []
    for at in range(start, end):
        mark = line[at]
        if at in flags or _meaningful(mark, left, right):
            continue
        if _IS_BIDI.match(mark):
            rule = "unicode.bidi"
        else:
            rule = "unicode.zero_width" if _IS_ZERO_WIDTH.match(mark) else "unicode.control"
        breaks = mark == "\f" and bool(left and right)
        if made and made[-1][1] == at and made[-1][3] == rule and not breaks and not made[-1][2]:
            made[-1] = (made[-1][0], at + 1, "", rule)
        else:
            made.append((at, at + 1, "\n" if breaks else "", rule))
    return made


def _meaningful(mark: str, left: str, right: str) -> bool:
    """Whether an invisible character changes how its neighbours are read."""
    if mark == "\u200b":
        return bool(_UNSPACED.match(left) and _UNSPACED.match(right))
    if mark == "\u200c":
        return bool(_JOINED.match(left))
    if mark == "\u200d":
        return bool(_JOINED.match(left) or (_EMOJI.match(left) and _EMOJI.match(right)))
    if mark == "\u180e":
        return "\u1800" <= left <= "\u18af"
    return False


def _append(columns: tuple[list[Any], ...], *values: Any) -> None:
    for column, value in zip(columns, values, strict=True):
        column.append(value)
