"""Table cells and figures of the report. Everything that is not a number passes `escape`."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.corpus.inert import escape


def cell(text: object, kind: str = "", sort: float | None = None) -> str:
    """A table cell with escaped text; `sort` is the number that it sorts by."""
    order = "" if sort is None else f' data-v="{sort:.12g}"'
    name = f' class="{kind}"' if kind else ""
    return f"<td{name}{order}>{escape(text)}</td>"


def number(value: int) -> str:
    """A table cell with a whole number."""
    return f'<td class="n" data-v="{value}">{value:,}</td>'


def bar(parts: Sequence[tuple[int, str]], whole: int) -> str:
    """A table cell with a bar: parts of `whole`, by colour."""
    pieces = "".join(f'<i class="{kind}" style="width:{width(count, whole)}"></i>' for count, kind in parts if count)
    return f'<td><span class="bar" aria-hidden="true">{pieces}</span></td>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], first: str = "", sortable: bool = False) -> str:
    """A table; a head that begins with > is of a column of numbers. `first` heads the first column."""
    titles = ([first] if first else []) + list(heads)
    head = "".join(
        f'<th class="n" scope="col">{title[1:]}</th>' if title.startswith(">") else f'<th scope="col">{title}</th>'
        for title in titles
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return f'<div class="table"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def width(count: float, whole: float) -> str:
    """A part of a whole as a CSS length."""
    return f"{100 * count / whole:.3f}%" if whole else "0"


def percent(part: float, whole: float) -> str:
    """A share for people: 12.3 %, and no false zero or hundred."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.05:
        return "< 0.1 %"
    if 99.95 <= share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %"


def size(octets: int) -> str:
    """Bytes for people, in powers of ten."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if octets >= factor:
            return f"{octets / factor:,.1f} {unit}"
    return f"{octets} B"


def short(count: int) -> str:
    """A large count in few characters: 12.3 M."""
    for unit, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,}"


def plural(count: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
