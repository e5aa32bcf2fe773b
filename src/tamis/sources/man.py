"""Manual pages (the roff `man` and `mdoc` macros) to plain HTML, as far as reading them needs it.

No roff program is run: the macros that structure text become headings, paragraphs, lists and preformatted blocks,
font changes become emphasis, every other request is dropped. Text is escaped before tags are put around it.
"""

from __future__ import annotations

import html
import re
import shlex

_GLYPHS = {
    "em": "—", "en": "–", "hy": "-", "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "bu": "•",
    "co": "©", "rg": "®", "tm": "™", "ha": "^", "ti": "~", "rs": "\\", "sl": "/", "at": "@", "sh": "#", "mu": "×",
    "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "<-": "←", "+-": "±", "de": "°", "ss": "ß", "ga": "`", "aa": "´",
    "fo": "‹", "fc": "›", "Fo": "«", "Fc": "»", "ba": "|", "bv": "|", "br": "|", "mi": "−", "pl": "+", "eq": "=",
    "**": "*", "sc": "§", "dg": "†", "Eu": "€", "Po": "£", "12": "½", "14": "¼", "34": "¾", "ff": "ff",
    ":a": "ä", ":o": "ö", ":u": "ü", ":A": "Ä", ":O": "Ö", ":U": "Ü", "'e": "é", "`e": "è", "`a": "à", "^e": "ê",
    ",c": "ç", "~n": "ñ", "oa": "å", "/o": "ø", "ae": "æ",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:"
    r"f(?:\[(?P<font_long>[^\]\n]{0,20})\]|\((?P<font_two>..)|(?P<font>.))"
    r"|\[(?P<long>[^\]\n]{1,40})\]|\((?P<two>..)"
    r"|\*(?:\[[^\]\n]{0,40}\]|\(..|.)"
    r"|[sk](?:[+-]?\d{1,2}|\([+-]?\d\d|\[[^\]\n]{0,10}\]|.)|[hvwoDbLlzNXZ]'[^'\n]{0,200}'|n(?:\[[^\]\n]{0,40}\]|\(..|[+-]?.)"
    r"|m\[[^\]\n]{0,40}\]|(?P<one>.)|$)",
)
# What the translation tool po4a puts before lines that a translation shows like the original.
_PO4A = re.compile(r"if\s+!'po4a'hide'\s+\.?")
_PARAGRAPH = {"PP", "P", "LP", "Pp", "HP", "Lp"}
_FONTS = {
    "B": "b",
    "I": "i",
    "SB": "b",
    "Nm": "b",
    "Fl": "b",
    "Ar": "i",
    "Pa": "i",
    "Em": "i",
    "Sy": "b",
    "Cm": "b",
}
_ALTERNATE = {"BR", "IR", "RB", "RI", "BI", "IB"}
_DROPPED = {
    "TH", "de", "ds", "nr", "ie", "el", "if", "so", "ad", "na", "hy", "nh", "ft", "ta", "ti", "in", "ll", "ne",
    "PD", "UC", "DT", "Dd", "Dt", "Os", "Sx", "\\\"", "ig", "rm", "tr", "ev", "pl", "ps", "vs", "ss", "cs", "AT",
    "IX", "RS", "RE", "Bk", "Ek", "Bl", "El", "hw", "mso", "do", "als", "nop", "warn", "cp", "lf", "TS", "TE", "EQ",
    "EN", "T&", "YS", "SY", "fam", "bp", "ns", "rs", "fp", "lg", "uf", "it", "ce", "sp", "br", "MT", "UR",
}  # fmt: skip


def man_html(source: str) -> tuple[str, str] | None:
    """(title, body as HTML) of a manual page; None where it only points at another page or holds nothing."""
    page = _Page()
    lines = source.split("\n")
    skipping = ""
    for line in lines:
        if skipping:
            # The body of a macro definition or an ignored block.
            if line.strip() == skipping:
                skipping = ""
            continue
        if line[:1] in (".", "'") and not line.startswith("..."):
            request = line[1:].lstrip()
            if request.startswith('\\"'):
                continue
            if conditional := _PO4A.match(request):
                request = request[conditional.end() :]
            name, _, rest = request.partition(" ")
            if name == "so":
                return None
            if name in ("de", "de1", "am", "ig"):
                skipping = ".."
                continue
            page.request(name, rest.strip())
        else:
            page.text(line)
    page.close()
    body = "\n".join(page.parts)
    return (page.title or "Manual page", body) if page.words else None


class _Page:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.title = ""
        self.words = 0
        self._paragraph: list[str] = []
        self._plain = False  # inside .nf
        self._list = False
        self._label = False  # the next line is the label of a list item
        self._name = ""

    def request(self, name: str, rest: str) -> None:
        arguments = _arguments(rest)
        if name in ("TH", "Dt"):
            self.title = " ".join(_plain(a) for a in arguments[:2])
        elif name in ("SH", "SS", "Sh", "Ss"):
            self._end_list()
            level = "h2" if name in ("SH", "Sh") else "h3"
            if arguments:
                self.parts.append(f"<{level}>{_marked(' '.join(arguments))}</{level}>")
        elif name in _PARAGRAPH:
            self._end_list()
        elif name == "TP":
            self._flush()
            self._label = True
        elif name in ("IP", "It"):
            self._flush()
            self._item(" ".join(arguments[:1] if name == "IP" else [a for a in arguments if len(a) > 2 or a.islower()]))
        elif name in ("nf", "EX", "Bd"):
            self._flush()
            self._plain = True
        elif name in ("fi", "EE", "Ed"):
            self._flush()
            self._plain = False
        elif name in _FONTS:
            if name == "Nm":
                self._name = arguments[0] if arguments else self._name
                arguments = arguments or [self._name]
            prefix = "-" if name == "Fl" else ""
            self._add(f"<{_FONTS[name]}>{prefix}{_marked(' '.join(arguments))}</{_FONTS[name]}>", rest or self._name)
        elif name in _ALTERNATE:
            fonts = [{"B": "b", "I": "i", "R": "span"}[letter] for letter in name]
            pieces = [(fonts[i % 2], _marked(a)) for i, a in enumerate(arguments)]
            self._add("".join(t if f == "span" else f"<{f}>{t}</{f}>" for f, t in pieces), rest)
        elif name in ("br", "sp") and not self._plain:
            if self._paragraph:
                self._paragraph.append("<br>")
        elif name not in _DROPPED and arguments:
            self._add(_marked(" ".join(arguments)), rest)

    def text(self, line: str) -> None:
        if not line.strip() and not self._plain:
            self._flush()
        else:
            self._add(_marked(line), line)

    def close(self) -> None:
        self._end_list()

    def _add(self, marked: str, raw: str) -> None:
        self.words += len(raw.split())
        if self._label:
            self._label = False
            self._item_html(marked)
        else:
            self._paragraph.append(marked)

    def _item(self, label: str) -> None:
        self._item_html(_marked(label) if label not in ("\\(bu", "*", "o", "-") else "")

    def _item_html(self, label: str) -> None:
        self._flush()
        if not self._list:
            self.parts.append("<dl>")
            self._list = True
        self.parts.append(f"<dt>{label}</dt>")

    def _flush(self) -> None:
        if not self._paragraph:
            return
        if self._plain:
            block = "<pre>" + "\n".join(self._paragraph) + "</pre>"
        else:
            block = "<p>" + "\n".join(self._paragraph) + "</p>"
        self.parts.append(f"<dd>{block}</dd>" if self._list else block)
        self._paragraph = []

    def _end_list(self) -> None:
        self._flush()
        self._label = False
        if self._list:
            self.parts.append("</dl>")
            self._list = False


def _arguments(rest: str) -> list[str]:
    if '"' not in rest:
        return rest.split()
    try:
        lexer = shlex.shlex(rest, posix=True)
        lexer.whitespace_split, lexer.escape, lexer.quotes, lexer.commenters = True, "", '"', ""
        return list(lexer)
    except ValueError:
        return rest.replace('"', "").split()


def _marked(text: str) -> str:
    """Escaped text with font changes as tags, all closed at the end."""
    out: list[str] = []
    position, open_tag = 0, ""
    for escape in _ESCAPE.finditer(text):
        out.append(html.escape(text[position : escape.start()], quote=False))
        position = escape.end()
        font = escape["font"] or escape["font_two"] or escape["font_long"]
        if font is not None or escape["font_long"] == "":
            if open_tag:
                out.append(f"</{open_tag}>")
            open_tag = {"B": "b", "I": "i", "CB": "b", "BI": "b", "CI": "i", "2": "i", "3": "b"}.get(font or "", "")
            if open_tag:
                out.append(f"<{open_tag}>")
        else:
            out.append(html.escape(_glyph(escape), quote=False))
    out.append(html.escape(text[position:], quote=False))
    if open_tag:
        out.append(f"</{open_tag}>")
    return "".join(out)


def _plain(text: str) -> str:
    return _ESCAPE.sub(_glyph, text)


def _glyph(escape: re.Match[str]) -> str:
    name = escape["long"] or escape["two"]
    if name:
        if re.fullmatch(r"u[0-9A-F]{4,6}", name):
            code = int(name[1:], 16)
            return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
        return _GLYPHS.get(name, "")
    one = escape["one"]
    if one in ("-", "'", "`", ".", "/"):
        return "" if one == "/" else one
    return {"e": "\\", "\\": "\\", "~": " ", " ": " ", "0": " ", "t": "\t"}.get(one or "", "")
