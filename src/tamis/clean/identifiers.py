"""Finding strings that identify a person or a machine: e-mail and IP addresses, telephone, bank, card and identity
numbers. Every finder takes the UTF-8 bytes of a text and the part of it in which to look (what stands around that
part is still seen), and gives byte spans.

Precision before recall: a number counts only where its form, its checksum or a word before it says what it is.

- `email`: ASCII addresses; not the reserved example domains (RFC 2606), not file names such as `icon@2x.png`.
- `phone`: international form (`+` or `00`), the North American form with hyphens, dots or parentheses, Chinese mobile
  numbers, groups that begin with a trunk 0 (9 to 11 digits), and any number of 7 to 15 digits behind a word such as
  tel, phone, fax, 电话. Local numbers without any of these are not found.
- `ip`: IPv4 and IPv6 addresses that are globally reachable; private, loopback and documentation ranges identify
  nobody. Not: four numbers behind a word such as version or section, at the start of a line with a full stop or a
  no-break space behind (a heading), inside a longer dotted number, with a leading zero, or all below 64 (one real
  address in 256; of versions and sections nearly all). IPv6 needs eight groups, or three and a `::`.
- `iban`: length of its country and the checksum of ISO 7064 (mod 97-10).
- `card`: prefix and length of an issuer, grouped as on cards or not at all, and the Luhn checksum.
- `id`: Chinese resident numbers (GB 11643: date and checksum) and US social security numbers in the form 123-45-6789
  (which have no checksum).

Not known: names, postal addresses, digits of other scripts, spelled-out addresses ("me at site dot org").
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

Finder = Callable[[bytes, int, int], Iterator[tuple[int, int]]]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes start..end of a text and what they are."""

    start: int
    end: int
    kind: str


# --- e-mail ---

_EMAIL = re.compile(
    rb"(?<![\w.%+-])[A-Za-z0-9_][\w.%+'-]{0,63}@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}"
    rb"([A-Za-z]{2,24}))(?![\w-]|@)"
)
_NO_TLD = frozenset(b"png jpg jpeg gif svg webp css js py html local invalid example test localhost".split())
_RESERVED = re.compile(rb"(?:^|\.)example\.(?:com|org|net)$", re.IGNORECASE)


def emails(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _EMAIL.finditer(text, start, end):
        if match[2].lower() not in _NO_TLD and not _RESERVED.search(match[1]):
            yield match.span()


# --- IP addresses ---

_IPV4 = re.compile(rb"(?<![\w.-])(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})(?![\w-]|\.\d|\.in-addr)")
_IPV6 = re.compile(rb"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){3,7}(?![\w:])")
_VERSION = re.compile(
    rb"(?:\bv|\bver|version|release|\brev|revision|section|chapter|clause|build|firmware|\boid|"
    rb"\xc2\xa7|\xe7\x89\x88\xe6\x9c\xac)[\s.:=#]{0,3}$",  # also § and 版本
    re.IGNORECASE,
)
_HEADING = re.compile(rb"\.(?: |\xc2\xa0)|\xc2\xa0")


def _numbering(text: bytes, start: int, end: int) -> bool:
    """Whether what stands around four numbers makes them a version or the number of a section."""
    if _VERSION.search(text, max(0, start - 20), start):
        return True
    return (start == 0 or text[start - 1 : start] == b"\n") and bool(_HEADING.match(text, end))


def ips(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _IPV4.finditer(text, start, end):
        octets = [int(octet) for octet in match[0].split(b".")]
        if not 64 <= max(octets) <= 255 or _numbering(text, *match.span()):
            continue
        address = ipaddress.IPv4Address(bytes(octets))
        if address.is_global and not address.is_multicast:
            yield match.span()
    if text.count(b":", start, end) < 3:
        return
    for match in _IPV6.finditer(text, start, end):
        groups = [group for group in match[0].split(b":") if group]
        if len(groups) < (3 if b"::" in match[0] else 8) or max(map(len, groups)) < 3:
            continue
        if all(len(group) <= 2 and group.isdigit() for group in groups[1:]):  # 2018::12:03:32
            continue
        try:
            long = ipaddress.IPv6Address(match[0].decode())
        except ValueError:
            continue
        if long.is_global and not long.is_multicast and long.packed[:4] != b"\xff" * 4:  # no netmask
            yield match.span()


# --- bank accounts ---

# Lengths of the IBAN registry (ISO 13616).
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL", 19: "MK SI", 20: "AT BA EE KZ LT LU XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN = re.compile(rb"(?<![A-Za-z0-9])(?:[A-Z]{2}|[a-z]{2})\d\d(?=[ -]?[A-Za-z0-9])")
_IBAN_REST = re.compile(rb"(?:[ -]?[A-Za-z0-9])*")


def ibans(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text, start, end):
        length = _IBAN_LENGTHS.get(match[0][:2].decode().upper())
        if length is None:
            continue
        stop, compact = match.end(), match[0]
        rest = _IBAN_REST.match(text, match.end(), match.end() + 2 * length)
        for byte in rest[0] if rest else b"":
            if len(compact) == length:
                break
            stop += 1
            if byte not in b" -":
                compact += bytes((byte,))
        whole = len(compact) == length and not text[stop : stop + 1].isalnum()
        if whole and int("".join(str(int(chr(c), 36)) for c in compact[4:] + compact[:4])) % 97 == 1:
            yield match.start(), stop


# --- payment cards ---

_CARD = re.compile(
    rb"(?<![\w.+#/=&%-])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})"
    rb"(?![\w-]|[.,]\d| \d{4}(?!\d))"
)
_ISSUERS = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    rb"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    rb"|3[47]\d{13}"  # American Express
    rb"|(?:6011|64[4-9]\d|65\d\d)\d{12}(?:\d{3})?"  # Discover
    rb"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners
    rb"|35(?:2[89]|[3-8]\d)\d{12}(?:\d{3})?|(?:1800|2131)\d{11}"  # JCB
    rb"|62\d{14,17}"  # UnionPay
    rb"|(?:50|5[6-8]|63|67)\d{10,17}"  # Maestro
)


def luhn(digits: bytes) -> bool:
    """Whether ASCII digits fulfil the Luhn checksum (ISO/IEC 7812).

    >>> luhn(b"79927398713"), luhn(b"79927398710")
    (True, False)
    """
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    odd = sum(c - 48 for c in digits[-1::-2])
    return (odd + sum(doubled[c - 48] for c in digits[-2::-2])) % 10 == 0


def cards(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    if end - start < 12:
        return
    for match in _CARD.finditer(text, start, end):
        digits = match[0].replace(b" ", b"").replace(b"-", b"")
        if _ISSUERS.fullmatch(digits) and len(set(digits)) > 1 and luhn(digits):
            yield match.span()


# --- identity numbers ---

_CHINESE_ID = re.compile(rb"(?<![\w.-])[1-8]\d{5}(?:19|20)\d{9}[\dXx](?![\w-])")
_SSN = re.compile(rb"(?<![\w./-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w/-]|\.\d)")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def chinese_id(number: bytes) -> bool:
    """Date of birth and checksum (ISO 7064, mod 11-2) of an 18-digit resident number (GB 11643-1999)."""
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(weight * (c - 48) for weight, c in zip(_WEIGHTS, number[:17], strict=True))
    return b"10X98765432"[total % 11] == number[17:].upper()[0]


def ids(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _CHINESE_ID.finditer(text, start, end):
        if chinese_id(match[0]):
            yield match.span()
    if text.count(b"-", start, end) >= 2:
        for match in _SSN.finditer(text, start, end):
            yield match.span()


# --- telephones ---

_WORDS = "电话|電話|手机|手機|传真|傳真|тел|факс|전화|هاتف|फ़ोन|फोन".encode()
_EXTENSION = rb"(?: ?(?:x|ext\.?) ?\d{1,5})?"
_END = rb"(?!\w|[-.,/]\d)"
_HEX = rb"(?<![0-9A-Fa-f]{2}[ -])", rb"(?![ -][0-9A-Fa-f]{2}(?![A-Za-z]))"  # neighbours in a dump of bytes
# what must occur, the form, least and most digits
_PHONES = (
    # international
    (b"+", re.compile(rb"(?<![\w+.])\+[1-9](?:[ ./-]?\(?\d{1,4}\)?){2,8}" + _EXTENSION + rb"(?![\w]|[.,-]\d)"), 8, 17),
    (b"00", re.compile(rb"(?<![\w+./-])00[1-9]\d{0,2}(?:[ -]\(?\d{1,4}\)?){2,6}" + _END), 9, 17),
    # North America
    (
        b"",
        re.compile(
            rb"(?<![\w.+/-])(?:1[ .-])?(?:\([2-9]\d\d\) ?[2-9]\d\d[ .-]|[2-9]\d\d([.-])[2-9]\d\d\1)\d{4}"
            + _EXTENSION
            + _END
        ),
        10,
        16,
    ),
    # Chinese mobile
    (b"1", re.compile(rb"(?<![\w./+=-])(?:86[ -]?)?1[3-9]\d(?:([ -])\d{4}\1\d{4}|\d{8})" + _END), 11, 13),
    # a trunk 0 and groups
    (
        b"0",
        re.compile(
            rb"(?<![\w.+/-])"
            + _HEX[0]
            + rb"(?:\(0[1-9]\d{0,3}\) ?|0[1-9]\d{0,3}[ -])(?:\d{6,8}|\d{2,4}(?:[ -]\d{2,4}){1,3})"
            + _END
            + _HEX[1]
        ),
        9,
        11,
    ),
    (b".", re.compile(rb"(?<![\w.+/-])0[1-9](?:\.\d\d){4}(?!\w|[-.]\d)"), 10, 10),
)
# behind a word
_BARE = re.compile(rb"(?<![\w.+-])\(?\d(?:[ ./-]{0,2}\(?\d\)?){6,14}(?!\w|[-.,]\d)")
_NAME = re.compile(
    rb"(?:(?<![A-Za-z])(?:tel|telephone|telefon|phone|fax|mobile|cell|cellphone|whatsapp|hotline)|"
    + _WORDS
    + rb")(?:[ .:#]|number|no|is|at|me|on|\xef\xbc\x9a){0,8}$",
    re.IGNORECASE,
)
_INTEGERS = (b"2147483647", b"2147483648", b"4294967295", b"4294967296")
_NO_DIGITS = re.compile(rb"\D")


def phones(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    for sign, pattern, least, most in _PHONES:
        if sign and text.find(sign, start, end) < 0:
            continue
        for match in pattern.finditer(text, start, end):
            digits = _NO_DIGITS.sub(b"", match[0])
            if least <= len(digits) <= most and len(set(digits)) > 3 and digits not in _INTEGERS:
                yield match.span()
    for match in _BARE.finditer(text, start, end):
        named = _NAME.search(text, max(0, match.start() - NAME_BYTES), match.start())
        if named and len(set(_NO_DIGITS.sub(b"", match[0]))) > 3:
            yield match.span()


NAME_BYTES = 40


# Order decides where two kinds meet: what has a checksum comes before what has none.
FINDERS: tuple[tuple[str, Finder], ...] = (
    ("email", emails),
    ("iban", ibans),
    ("card", cards),
    ("id", ids),
    ("ip", ips),
    ("phone", phones),
)
KINDS = tuple(kind for kind, _ in FINDERS)


def find(text: bytes, start: int = 0, end: int | None = None, *, kinds: Sequence[str] = KINDS) -> list[Span]:
    """All identifiers of some kinds in a part of a text, sorted, none overlapping another."""
    end = len(text) if end is None else end
    found: list[Span] = []
    for kind, finder in FINDERS:
        if kind in kinds:
            for a, b in finder(text, start, end):
                if all(b <= other.start or other.end <= a for other in found):
                    found.append(Span(a, b, kind))
    return sorted(found)
