"""How verdicts are printed: numbers, and text of strangers made harmless for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from tamis.verdicts.expression import Limit


def printable(text: str, width: int | None = None) -> str:
    """One line of text without anything that a terminal would obey or that hides: controls, format characters
    (bidirectional and zero-width marks), surrogates and line breaks appear as escapes; cut to `width` characters."""
    if width is not None and len(text) > width:
        text = text[: width - 3] + "..."
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\t":
        return "\\n" if character == "\n" else "\\t"
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"):
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character


def value(found: Any) -> str:
    """A signal's value: thousands with commas, shares with two to four digits, null as a dash."""
    if found is None:
        return "-"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, int):
        return f"{found:,}"
    if isinstance(found, float):
        text = f"{found:,.2f}" if abs(found) >= 0.095 or found == 0 else f"{found:.4f}"
        return text if "e" not in text else f"{found:.3g}"
    return printable(str(found), 40)


def number(found: Any, limits: Sequence[Limit]) -> str:
    """A value as `value` prints it, with as many more digits as it takes to stand on its side of every limit: on the
    limit itself only where the value is equal to it."""
    if not isinstance(found, float):
        return value(found)
    numeric = [limit for limit in limits if not isinstance(limit.constant, str)]
    sides = [(limit.holds(found), found == limit.constant) for limit in numeric]
    for digits in range(2, 8):
        text = f"{found:,.{digits}f}"
        shown = float(text.replace(",", ""))
        if (shown or not found) and [(limit.holds(shown), shown == limit.constant) for limit in numeric] == sides:
            return text
    return f"{found:.3g}"


def amount(tokens: float) -> str:
    """A large number in a few characters: 812, 41.3 k, 2.1 M, 1.4 G."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(tokens) >= size:
            return f"{tokens / (1e3 if unit == ' k' else size):.1f}{unit}"
    return f"{tokens:,.0f}"


def columns(rows: Sequence[Sequence[str]], right: Sequence[bool] = (), indent: str = "") -> list[str]:
    """Rows of cells as aligned lines, two spaces between columns; `right` says which columns are flush right."""
    count = max((len(row) for row in rows), default=0)
    widths = [max(len(row[at]) if at < len(row) else 0 for row in rows) for at in range(count)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(widths[at]) if at < len(right) and right[at] else cell.ljust(widths[at])
            for at, cell in enumerate(row)
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines
