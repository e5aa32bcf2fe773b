"""Generate the Unicode tables of the kernels from one definition.

Writes ``src/tamis/kernels/unicode_tables.hpp`` (two-stage tables for C++) and
``src/tamis/kernels/unicode_tables.py`` (the same data, compressed, for the reference), so that both
backends agree on every Python whatever its own Unicode version is. Run it again only to move to another
Unicode version; that changes hashes of normalized text, and so the versions of the stages that store them.

    python scripts/unicode_tables.py            # write both files
    python scripts/unicode_tables.py --check    # exit 1 if they differ from what would be written

The mojibake classes are derived from the installed ftfy: its detector is parsed, and for each alternative the
first two or three characters that are not plain ASCII become a necessary condition (see ``mojibake``).
"""

from __future__ import annotations

import argparse
import base64
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any

import ftfy
import ftfy.badness
import ftfy.chardata

OUT = Path(__file__).resolve().parents[1] / "src" / "tamis" / "kernels"
LIMIT = 0x110000
BLOCK = 128

SPACE, PUNCT, ALPHA, UPPER, DIGIT, BREAK, TERMINAL, NUMSEP = (1 << i for i in range(8))
SCRIPT, NFC_SUSPECT, CONTROL, FTFY_CHAR, ODD_SPACE, NAMED, MARK = (1 << i for i in range(8, 15))
FLAGS = {
    "SPACE": (SPACE, "str.isspace"),
    "PUNCT": (PUNCT, "category P*, and the ASCII symbols $ + < = > ^ ` | ~"),
    "ALPHA": (ALPHA, "str.isalpha (category L*)"),
    "UPPER": (UPPER, "str.isupper"),
    "DIGIT": (DIGIT, "category Nd"),
    "BREAK": (BREAK, "ends a line for str.splitlines"),
    "TERMINAL": (TERMINAL, "ends a sentence: TERMINAL_NAMES of the generator"),
    "NUMSEP": (NUMSEP, "may stand once inside a number: . , U+060C U+066B"),
    "SCRIPT": (SCRIPT, "a word of its own: letter or mark of Han, Kana, Thai, Lao, Khmer, Burmese"),
    "NFC_SUSPECT": (NFC_SUSPECT, "NFC_Quick_Check is not Yes, or the code point is unassigned"),
    "CONTROL": (CONTROL, "Cc but tab, LF, CR; Cf; noncharacters; invisible fillers"),
    "FTFY_CHAR": (FTFY_CHAR, "ftfy changes it wherever it stands"),
    "ODD_SPACE": (ODD_SPACE, "white space other than U+0020 and LF"),
    "NAMED": (NAMED, "not ASCII, and ftfy's mojibake detector names it"),
    "MARK": (MARK, "canonical combining class is not 0"),
}

# Sentence_Terminal in the main, by name, so that it does not follow a Unicode version by accident.
TERMINAL_NAMES = """FULL STOP|QUESTION MARK|EXCLAMATION MARK|HORIZONTAL ELLIPSIS|IDEOGRAPHIC FULL STOP
FULLWIDTH FULL STOP|FULLWIDTH QUESTION MARK|FULLWIDTH EXCLAMATION MARK|HALFWIDTH IDEOGRAPHIC FULL STOP
DOUBLE EXCLAMATION MARK|DOUBLE QUESTION MARK|QUESTION EXCLAMATION MARK|EXCLAMATION QUESTION MARK|INTERROBANG
ARABIC QUESTION MARK|ARABIC FULL STOP|ARABIC SEMICOLON|SYRIAC END OF PARAGRAPH|SYRIAC SUPRALINEAR FULL STOP
SYRIAC SUBLINEAR FULL STOP|DEVANAGARI DANDA|DEVANAGARI DOUBLE DANDA|ARMENIAN FULL STOP|ETHIOPIC FULL STOP
ETHIOPIC QUESTION MARK|ETHIOPIC PARAGRAPH SEPARATOR|KHMER SIGN KHAN|KHMER SIGN BARIYOOSAN
MYANMAR SIGN LITTLE SECTION|MYANMAR SIGN SECTION|MONGOLIAN FULL STOP|MONGOLIAN MANCHU FULL STOP
TIBETAN MARK SHAD|TIBETAN MARK NYIS SHAD|THAI CHARACTER ANGKHANKHU|THAI CHARACTER KHOMUT
SINHALA PUNCTUATION KUNDDALIYA|GREEK QUESTION MARK|SMALL FULL STOP|SMALL QUESTION MARK
SMALL EXCLAMATION MARK|NKO EXCLAMATION MARK|OL CHIKI PUNCTUATION MUCAAD
OL CHIKI PUNCTUATION DOUBLE MUCAAD|TIFINAGH SEPARATOR MARK|VAI FULL STOP|VAI QUESTION MARK
MEETEI MAYEK CHEIKHEI|CANADIAN SYLLABICS FULL STOP|PRESENTATION FORM FOR VERTICAL IDEOGRAPHIC FULL STOP
PRESENTATION FORM FOR VERTICAL EXCLAMATION MARK|PRESENTATION FORM FOR VERTICAL QUESTION MARK"""

SCRIPT_BLOCKS = (
    (0x0E00, 0x0E7F),  # Thai
    (0x0E80, 0x0EFF),  # Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x303B),  # kana and ideographic repeat marks
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana phonetic extensions
    (0x3400, 0x4DBF),  # Han extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA9E0, 0xA9FE),  # Burmese extended B
    (0xAA60, 0xAA7F),  # Burmese extended A
    (0xF900, 0xFAFF),  # Han compatibility
    (0xFF66, 0xFF9F),  # halfwidth Katakana
    (0x1AFF0, 0x1B16F),  # Kana extensions
    (0x20000, 0x3FFFD),  # Han extensions; whole planes, since the rest of them is reserved for Han
)
FILLERS = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0}


def code_points() -> Iterable[int]:
    """All Unicode scalar values: surrogates cannot stand in UTF-8."""
    yield from range(0xD800)
    yield from range(0xE000, LIMIT)


def is_punctuation(c: str) -> bool:
    return unicodedata.category(c)[0] == "P" or c in "$+<=>^`|~"


def nfc_suspects() -> set[int]:
    """Code points whose NFC_Quick_Check is not Yes, from the data that Python has.

    No: a character that NFC itself changes. Maybe: a character that can be the second of a composition, which
    are the second members of primary canonical pairs, and the Hangul vowels and finals.
    """
    out = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    for cp in code_points():
        c = chr(cp)
        if unicodedata.normalize("NFC", c) != c:
            out.add(cp)
        parts = unicodedata.decomposition(c).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            second = int(parts[1], 16)
            if unicodedata.normalize("NFC", chr(int(parts[0], 16)) + chr(second)) == c:
                out.add(second)
        if unicodedata.category(c) == "Cn":
            out.add(cp)
    return out


def classes() -> list[int]:
    """Flags of every code point."""
    table = [0] * LIMIT
    terminal = {unicodedata.lookup(n) for line in TERMINAL_NAMES.split("\n") for n in line.split("|")}
    script = {cp for low, high in SCRIPT_BLOCKS for cp in range(low, high + 1)}
    suspects = nfc_suspects()
    for cp in code_points():
        c = chr(cp)
        category = unicodedata.category(c)
        flags = 0
        if c.isspace():
            flags |= SPACE | (ODD_SPACE if c not in " \n" else 0)
        if is_punctuation(c):
            flags |= PUNCT
        if c.isalpha():
            flags |= ALPHA
        if c.isupper():
            flags |= UPPER
        if category == "Nd":
            flags |= DIGIT
        if len(f"a{c}a".splitlines()) == 2:
            flags |= BREAK
        if c in terminal:
            flags |= TERMINAL
        if c in ".,\u060c\u066b":
            flags |= NUMSEP
        if cp in script and (category[0] in "LM" or category == "Nl" or (cp >= 0x20000 and category == "Cn")):
            flags |= SCRIPT
        if cp in suspects:
            flags |= NFC_SUSPECT
        nonchar = cp & 0xFFFE == 0xFFFE or 0xFDD0 <= cp <= 0xFDEF
        if (category == "Cc" and c not in "\t\n\r") or category == "Cf" or nonchar or cp in FILLERS:
            flags |= CONTROL
        if c.translate(ftfy.chardata.CONTROL_CHARS) != c or c in "\r\u2028\u2029" or 0x80 <= cp <= 0x9F:
            flags |= FTFY_CHAR
        table[cp] = flags
    return table


def fold(c: str) -> str:
    """One character of normalized text: lower case, no marks (NFD without Mn), separators as a space."""
    out = []
    for lower in c.lower():
        for part in unicodedata.normalize("NFD", "σ" if lower == "ς" else lower):
            category = unicodedata.category(part)
            if category == "Mn":
                continue
            separator = part.isspace() or is_punctuation(part) or category == "Cc"
            out.append(" " if separator else part)
    folded = "".join(out)
    return " " if folded and not folded.strip() else folded


def folds() -> dict[int, str]:
    """Fold of every code point that is not its own, Hangul syllables excepted (they decompose by rule)."""
    out = {}
    for cp in code_points():
        c = chr(cp)
        folded = fold(c)
        if folded != c and not 0xAC00 <= cp <= 0xD7A3:
            out[cp] = folded
    return out


Predicate = Callable[[int], bool]


def _item(op: Any, av: Any, named: set[int]) -> tuple[Predicate, bool]:
    """Predicate of one pattern item, and whether it may be absent. Code points named in it go to `named`."""
    if op is sre.LITERAL:
        named.add(av)
        return (lambda cp: cp == av), False
    if op is sre.NOT_LITERAL:
        named.add(av)
        return (lambda cp: cp != av), False
    if op is sre.ANY:
        named.add(10)
        return (lambda cp: cp != 10), False
    if op is sre.AT:
        return (lambda cp: True), True
    if op is sre.MAX_REPEAT:
        low, _, sub = av
        inner_op, inner_av = sub[0]
        predicate, _ = _item(inner_op, inner_av, named)
        return predicate, low == 0
    if op is sre.IN:
        negate = av[0][0] is sre.NEGATE
        tests: list[Predicate] = []
        for kind, value in av[negate:]:
            if kind is sre.LITERAL:
                named.add(value)
                tests.append(lambda cp, v=value: cp == v)  # type: ignore[misc]
            elif kind is sre.RANGE:
                named.update(range(value[0], value[1] + 1))
                tests.append(lambda cp, v=value: v[0] <= cp <= v[1])  # type: ignore[misc]
            elif kind is sre.CATEGORY and value is sre.CATEGORY_SPACE:
                tests.append(lambda cp: chr(cp).isspace())
            elif kind is sre.CATEGORY and value is sre.CATEGORY_WORD:
                tests.append(lambda cp: chr(cp).isalnum() or cp == 0x5F)
            else:
                raise ValueError(f"ftfy's detector holds {kind} {value}, which this script cannot read")
        return (lambda cp: any(t(cp) for t in tests) != negate), False
    raise ValueError(f"ftfy's detector holds {op}, which this script cannot read")


def mojibake() -> tuple[list[int], list[list[int]], list[list[int]], set[int], set[int]]:
    """Necessary conditions for ftfy's detector to fire.

    Returns (class of every code point, pair matrix [first][second] -> index of a mask, masks [index][class of the
    third character], single code points that fire alone, code points named). Mask 0 never fires; the last class
    stands for "no character". Code points that no set of the detector tells apart share a class.
    """
    tree = sre_parser.parse(ftfy.badness.BADNESS_RE.pattern, ftfy.badness.BADNESS_RE.flags)
    if len(tree) != 1 or tree[0][0] is not sre.BRANCH:
        raise ValueError("ftfy's detector is no longer one alternation: this script must be revised")
    named: set[int] = set()
    rules: list[list[Predicate]] = []
    for alternative in tree[0][1][1]:
        items = [_item(op, av, named) for op, av in alternative]
        # plain ASCII and optional items in front say little: what follows them is still necessary
        ascii_only = [
            not any(p(cp) for cp in (*range(0x80, 0x3000), 0xF8FF, 0xFB01, 0xFFFD) if not chr(cp).isspace())
            for p, _ in items
        ]
        start = 0
        while start < len(items) - 2 and (items[start][1] or ascii_only[start]):
            start += 1
        kept = items[start : start + 3]
        if any(optional for _, optional in kept):
            raise ValueError("an optional item inside a rule: this script must be revised")
        rules.append([p for p, _ in kept])
    signatures: dict[tuple[bool, ...], int] = {}
    table = [0] * LIMIT
    flat = [p for rule in rules for p in rule]
    generic: dict[tuple[bool, bool], int] = {}

    def class_of(cp: int) -> int:
        return signatures.setdefault(tuple(p(cp) for p in flat), len(signatures))

    for cp in (0x4E00, 0x2FF0, 0x2003):  # representatives of what the detector does not name
        if cp in named:
            raise ValueError(f"U+{cp:04X} is named by ftfy's detector: choose another representative")
        c = chr(cp)
        generic[(c.isspace(), c.isalnum())] = class_of(cp)
    for cp in code_points():
        c = chr(cp)
        table[cp] = class_of(cp) if cp in named or cp == 0x5F else generic[(c.isspace(), c.isalnum())]
    count = len(signatures)
    by_class = {number: signature for signature, number in signatures.items()}
    positions: list[list[int]] = []
    n = 0
    for rule in rules:
        positions.append(list(range(n, n + len(rule))))
        n += len(rule)
    masks: dict[tuple[int, ...], int] = {tuple([0] * (count + 1)): 0}
    matrix = [[0] * count for _ in range(count)]
    for a in range(count):
        for b in range(count):
            mask = [0] * (count + 1)
            for place in positions:
                if len(place) < 2 or not (by_class[a][place[0]] and by_class[b][place[1]]):
                    continue
                for third in range(count):
                    if len(place) < 3 or by_class[third][place[2]]:
                        mask[third] = 1
                if len(place) < 3:
                    mask[count] = 1
            matrix[a][b] = masks.setdefault(tuple(mask), len(masks))
    single = {cp for cp in named for place in positions if len(place) == 1 and by_class[table[cp]][place[0]]}
    return table, matrix, [list(m) for m in masks], single, named


def two_stage(values: list[int]) -> tuple[list[int], list[int]]:
    """(block number of every 128 code points, the distinct blocks one after another)."""
    blocks: dict[tuple[int, ...], int] = {}
    index = [blocks.setdefault(tuple(values[i : i + BLOCK]), len(blocks)) for i in range(0, LIMIT, BLOCK)]
    return index, [v for block in blocks for v in block]


def c_array(kind: str, name: str, values: Iterable[int]) -> str:
    body, line = [], ""
    for value in values:
        item = f"{value},"
        if len(line) + len(item) > 150:
            body.append(line)
            line = ""
        line += item
    return f"alignas(64) constexpr {kind} {name}[] = {{\n" + "\n".join([*body, line]) + "\n};\n"


def stages(kind: str, name: str, values: list[int]) -> str:
    index, data = two_stage(values)
    index_kind = "uint8_t" if max(index) < 256 else "uint16_t"
    return c_array(index_kind, f"{name}_index", index) + c_array(kind, f"{name}_data", data)


def build() -> dict[str, str]:
    """File name -> content of both generated files."""
    flags = classes()
    folded = folds()
    for cp, text in folded.items():  # normalize.hpp relies on both
        if len(text.encode()) > 3 * len(chr(cp).encode()) or (" " in text and text != " "):
            raise ValueError(f"the fold of U+{cp:04X} is too long for the kernels' buffer, or holds a space")
    moji, matrix, masks, single, named = mojibake()
    for cp in single:
        flags[cp] |= FTFY_CHAR
    for cp in named:
        flags[cp] |= NAMED if cp >= 128 else 0
    plain = {moji[cp] for cp in code_points() if not flags[cp] & NAMED}
    if any(matrix[a][b] for a in plain for b in plain):  # screen.hpp looks only around named characters
        raise ValueError("ftfy's detector fires without a character it names: this script must be revised")
    if any(matrix[moji[10]]):  # lines are screened one by one
        raise ValueError("ftfy's detector looks behind a newline: this script must be revised")
    ccc = [0] * LIMIT
    for cp in code_points():
        ccc[cp] = unicodedata.combining(chr(cp))
        flags[cp] |= MARK if ccc[cp] else 0
    entries = sorted(set(folded.values()))
    number = {text: i + 1 for i, text in enumerate(entries)}
    fold_id = [0] * LIMIT
    for cp, text in folded.items():
        fold_id[cp] = number[text]
    pool = bytearray()
    starts, lengths = [0], [0]
    for text in entries:
        data = text.encode()
        starts.append(len(pool))
        lengths.append(len(data))
        pool += data
    # copies of up to 16 bytes are made whole, so the pool ends with padding
    pool += bytes(16)
    version, ftfy_version = unicodedata.unidata_version, ftfy.__version__
    classes_count = max(moji) + 1

    hpp = [
        f"// Generated by scripts/unicode_tables.py from Unicode {version} and the detector of ftfy {ftfy_version}.",
        "// Do not edit.",
        "#pragma once",
        "#include <cstdint>",
        "namespace tamis::tables {",
        f'constexpr const char* UNICODE_VERSION = "{version}";',
        f"constexpr uint32_t BLOCK_BITS = {BLOCK.bit_length() - 1};",
        *(f"constexpr uint16_t {name} = {value};  // {what}" for name, (value, what) in FLAGS.items()),
        f"constexpr uint32_t MOJIBAKE_CLASSES = {classes_count};",
        stages("uint16_t", "flags", flags),
        stages("uint16_t", "fold", fold_id),
        c_array("uint32_t", "fold_start", starts),
        c_array("uint8_t", "fold_length", lengths),
        c_array("uint8_t", "fold_pool", pool),
        stages("uint8_t", "combining", ccc),
        stages("uint8_t", "mojibake", moji),
        "// [first class * MOJIBAKE_CLASSES + second class] -> mask of third classes",
        c_array("uint8_t", "mojibake_pair", [v for row in matrix for v in row]),
        "// [mask * (MOJIBAKE_CLASSES + 1) + third class]; the last class is the end of the text",
        c_array("uint8_t", "mojibake_third", [v for m in masks for v in m]),
        "}  // namespace tamis::tables",
        "",
    ]

    def pack(data: bytes) -> str:
        text = base64.b85encode(zlib.compress(data, 9)).decode()
        lines = [text[i : i + 100] for i in range(0, len(text), 100)]
        return "(\n" + "\n".join(f'    "{line}"' for line in lines) + "\n)"

    def words(values: list[int]) -> bytes:
        return b"".join(v.to_bytes(2, "little") for v in values)

    fold_text = "\0".join(f"{cp:x} {text}" for cp, text in sorted(folded.items())).encode()
    py = (
        f'''"""Unicode tables of the kernels: generated by scripts/unicode_tables.py, do not edit.

From Unicode {version} and the detector of ftfy {ftfy_version}; the C++ header beside this file holds the same data.
"""

from __future__ import annotations

import base64
import zlib
from functools import cache

import numpy as np
import numpy.typing as npt

UNICODE_VERSION = "{version}"
FTFY_VERSION = "{ftfy_version}"
'''
        + "\n".join(f"{name} = {value}  # {what}" for name, (value, what) in FLAGS.items())
        + f'''
MOJIBAKE_CLASSES = {classes_count}

# fmt: off
_FLAGS = {pack(words(flags))}
_COMBINING = {pack(bytes(ccc))}
_MOJIBAKE = {pack(bytes(moji))}
_PAIR = {pack(bytes(v for row in matrix for v in row))}
_THIRD = {pack(bytes(v for m in masks for v in m))}
_FOLD = {pack(fold_text)}
# fmt: on


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


@cache
def flags() -> npt.NDArray[np.uint16]:
    """Flags of every code point, shape (0x110000,)."""
    return np.frombuffer(_unpack(_FLAGS), "<u2")


@cache
def combining() -> npt.NDArray[np.uint8]:
    """Canonical combining class of every code point, shape (0x110000,)."""
    return np.frombuffer(_unpack(_COMBINING), np.uint8)


@cache
def mojibake() -> npt.NDArray[np.uint8]:
    """Mojibake class of every code point, shape (0x110000,)."""
    return np.frombuffer(_unpack(_MOJIBAKE), np.uint8)


@cache
def mojibake_pair() -> npt.NDArray[np.uint8]:
    """Index of a mask of third classes for (first class, second class)."""
    return np.frombuffer(_unpack(_PAIR), np.uint8).reshape(MOJIBAKE_CLASSES, MOJIBAKE_CLASSES)


@cache
def mojibake_third() -> npt.NDArray[np.uint8]:
    """Whether (mask, third class) fires; the last class is the end of the text."""
    return np.frombuffer(_unpack(_THIRD), np.uint8).reshape(-1, MOJIBAKE_CLASSES + 1)


@cache
def folds() -> dict[int, str]:
    """Normalized form of every code point that is not its own; Hangul syllables excepted."""
    out = {{}}
    for entry in _unpack(_FOLD).decode().split("\\0"):
        number, _, text = entry.partition(" ")
        out[int(number, 16)] = text
    return out
'''
    )
    return {"unicode_tables.hpp": "\n".join(hpp), "unicode_tables.py": py}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    same = True
    for name, content in build().items():
        path = OUT / name
        if check:
            if not path.exists() or path.read_text() != content:
                same = False
                print(f"{path} is not what this script writes", file=sys.stderr)
        else:
            path.write_text(content)
            print(f"{path}: {len(content):,} characters")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
