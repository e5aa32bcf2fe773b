"""Bytes to Unicode text: which character encoding a record really has.

Half of the web's pages do not say, and some that say are wrong. The order here is chosen so that a wrong label
never turns readable text into mojibake: what the bytes prove comes before what anybody declares.
"""

from __future__ import annotations

import codecs
import re

# WHATWG "Encoding", section 4.2: the meta element must lie in the first 1024 bytes; real pages are later at times.
_META_WINDOW = 4096
_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{2,40})", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.\-]{2,40})", re.IGNORECASE)
_STATEFUL = frozenset({"iso2022_jp", "iso2022_kr", "hz"})
_MULTIBYTE = frozenset({"utf-8", "gbk", "gb18030", "gb2312", "big5", "big5hkscs", "shift_jis", "cp932", "euc_jp",
                        "euc_kr", "cp949"})  # fmt: skip
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DAMAGE = 0.002  # a declared encoding is believed when at most this share of characters cannot be decoded
_SAMPLE = 1 << 16


def decode(payload: bytes, charset: str | None, *, html: bool) -> tuple[str, str]:
    """The text of a payload and the name of the encoding used (Python's codec name, WHATWG's meaning).

    In this order: a byte order mark; UTF-8 if the bytes are valid UTF-8 and not merely ASCII; the charset of the
    transport (`charset`), then that of the page's own `meta` or XML declaration, each only if the bytes agree with
    it; then detection (uchardet). Bytes that even the chosen encoding cannot read become U+FFFD. The result never
    holds surrogates: it can always be written as UTF-8.
    """
    for mark, name in _BOMS:
        if payload.startswith(mark):
            return _sane(payload[len(mark) :].decode(name, "replace")), name
    declared = [name for name in _declared(payload, charset, html=html) if name]
    if payload.isascii():
        name = next((name for name in declared if name in _STATEFUL), "ascii")
        return _sane(payload.decode(name, "replace")), name
    if not any(name.startswith("utf-16") for name in declared) or b"\0" not in payload[:_SAMPLE]:
        declared = [name for name in declared if not name.startswith("utf-16")]
    try:
        return payload.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    for name in declared:
        text = _strict(payload, name)
        if text is not None:
            return _sane(text), name
    for name in declared:
        if name in _MULTIBYTE:
            text = payload.decode(name, "replace")
            if text.count("\ufffd") <= _DAMAGE * len(text):
                return _sane(text), name
    name = _detected(payload)
    return _sane(payload.decode(name, "replace")), name


def _declared(payload: bytes, charset: str | None, *, html: bool) -> list[str | None]:
    labels = [charset] if charset else []
    if html:
        head = payload[:_META_WINDOW]
        for pattern in (_META, _XML):
            match = pattern.search(head)
            if match:
                labels.append(match.group(1).decode("ascii"))
    return [_codec(label) for label in labels]


def _codec(label: str) -> str | None:
    """Python's codec for a WHATWG label (latin1 means windows-1252 there), None for labels that name none."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    name = map_encoding_to_html5(label.strip().strip("\"'").lower(), False)
    if not name:
        return None
    try:
        return name if codecs.lookup(name)._is_text_encoding else None
    except LookupError:
        return None


def _strict(payload: bytes, name: str) -> str | None:
    try:
        return payload.decode(name)
    except UnicodeDecodeError:
        # Python leaves five bytes of windows-1252 undefined, browsers read them as C1 controls.
        if name == "cp1252":
            return "".join(_CP1252[byte] for byte in payload)
        return None


_CP1252 = [bytes([n]).decode("cp1252", "ignore") or chr(n) for n in range(256)]


def _detected(payload: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    name = detect_encoding(payload, max_len=_SAMPLE, html5_compatible=True, from_html_meta=False)
    return name if name and _codec(name) else "utf-8"


def _sane(text: str) -> str:
    """The text without lone surrogates: pairs are joined, halves become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
