"""Reference text for a proof: documents from sources that are in neither corpus.

Given as `FILE`, `FOLDER`, `DOMAIN=FILE` or `[WORK:]NAME` (a corpus): Parquet and JSON Lines with a column `text` (or
Reddit's `title` and `selftext`), EPUB, MediaWiki XML dumps, plain text; compressed by gzip, bzip2 or xz. Where none is
given, `of_this_machine` offers prose that any machine with Python has and that the demo's crawl does not take: the
language reference inside `pydoc`, Perl's own documentation, GNU manuals. That it is in neither corpus is not believed
but looked up (`holdout`).

Of a long document only the beginning is taken, so that many documents share the limit; domains get equal parts.
Memory: at most `READ_BYTES` of text per domain.
"""

from __future__ import annotations

import bisect
import bz2
import gzip
import hashlib
import html
import importlib
import json
import lzma
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tamis.errors import WrongUse
from tamis.proof.holdout import Candidates
from tamis.workspace import WorkspaceError

PIECE_BYTES = 6000
READ_BYTES = 24 << 20
_LEAST_BYTES = 400
# One part of an archive, one page of a dump: more is no text.
_MOST_BYTES = 16 << 20
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_KNOWN = "Parquet, JSON Lines, EPUB, MediaWiki XML, text, or a folder of them"
# Parts of a book that are not the book.
_FRAME = re.compile(r"(imprint|colophon|copyright|title-?page|halftitle|endnotes|toc|nav|cover|dedication|loi)", re.I)

Rows = Iterator[tuple[str, str]]


class BadReference(ValueError, WrongUse):
    """A reference cannot be read; the message names it and what would be."""


def candidates(given: Sequence[str], work: Path, limit_bytes: int, seed: int = 17) -> Candidates:
    """Documents of all given references, by domain in turn, about three times `limit_bytes` (some will share n-grams
    with a corpus). Raises BadReference."""
    domains: dict[str, list[Callable[[], Rows]]] = {}
    for one in given:
        for domain, rows in _named(one, work):
            domains.setdefault(domain, []).append(rows)
    return _offered({name: _chained(parts) for name, parts in domains.items()}, limit_bytes, seed)


def of_this_machine(limit_bytes: int, seed: int = 17) -> Candidates:
    """Prose of this machine; empty where it has none."""
    return _offered({"python reference": _topics(), "perl": _pods(), "gnu manuals": _manuals()}, limit_bytes, seed)


def _named(given: str, work: Path) -> Iterator[tuple[str, Callable[[], Rows]]]:
    domain, equals, rest = given.partition("=")
    place = Path(rest if equals else given)
    if place.is_dir():
        found = sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
        readable = [path for path in found if _reader(path) is not None]
        if not readable:
            raise BadReference(f"--reference {given}: no file there is {_KNOWN}")
        home = place.resolve().name
        for path in readable:
            yield _domain(domain if equals else home, given), _rows_of(path)
    elif place.is_file():
        if _reader(place) is None:
            raise BadReference(f"--reference {given}: it is none of {_KNOWN}")
        yield _domain(domain if equals else place.name.lstrip(".").split(".")[0], given), _rows_of(place)
    else:
        from tamis.proof.trained_on import TrainedOn

        name = rest if equals else given
        try:
            corpus = TrainedOn(work, name)
        except WorkspaceError as error:
            raise BadReference(f"--reference {given}: no such file, and no such corpus: {error}") from None

        def rows() -> Rows:
            for ids, texts in corpus.batches():
                yield from zip(ids.to_pylist(), texts.to_pylist(), strict=True)

        yield _domain(domain if equals else name, given), rows


def _domain(name: str, given: str) -> str:
    """Names stand in reports beside the whole reference, which has none."""
    if not name.strip():
        raise BadReference(f"--reference {given}: a domain needs a name: DOMAIN=FILE")
    return _written(name.strip())


def _written(text: str) -> str:
    """Without lone surrogates, which JSON can name and UTF-8 cannot write."""
    return text.encode("utf-8", "replace").decode()


def _rows_of(path: Path) -> Callable[[], Rows]:
    reader = _reader(path)
    assert reader is not None

    def rows() -> Rows:
        try:
            for number, text in enumerate(reader(path)):
                yield _written(f"{path.name}#{number}"), _written(text)
        except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, ValueError) as error:
            if isinstance(error, BadReference):
                raise
            raise BadReference(f"{path} cannot be read: {error}") from error

    return rows


def _reader(path: Path) -> Callable[[Path], Iterator[str]] | None:
    suffixes = [one for one in path.suffixes if one not in _OPENERS]
    last = suffixes[-1].lower() if suffixes else ""
    if last == ".parquet":
        return _parquet
    if last == ".epub":
        return _epub
    if last in (".jsonl", ".ndjson", ".json") or re.match(r"R[SC]_(v2_)?\d{4}-\d\d", path.name):
        return _jsonl
    if last.startswith(".xml") or "pages-articles" in path.name:
        return _wikipedia
    if last in (".txt", ".md", ".rst"):
        return _plain
    return None


def _open(path: Path) -> BinaryIO:
    opener = next((_OPENERS[one] for one in path.suffixes[::-1] if one in _OPENERS), open)
    return opener(path, "rb")


def _parquet(path: Path) -> Iterator[str]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    columns = next(
        (one for one in (["text"], ["title", "selftext"], ["content"], ["body"]) if set(one) <= set(names)), None
    )
    if columns is None:
        raise BadReference(f"{path} has no column `text`; it has {', '.join(names[:12])}")
    for batch in file.iter_batches(1024, columns=columns):
        for row in batch.to_pylist():
            yield _text(row)


def _jsonl(path: Path) -> Iterator[str]:
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise BadReference(f"{path}:{number}: not JSON: {error}") from None
                yield _text(row if isinstance(row, dict) else {})


def _text(row: dict[str, Any]) -> str:
    """Of a row; of a Reddit post what its author wrote, nothing where that is only a link."""
    if "selftext" in row:
        own = str(row["selftext"] or "")
        whole = f"{row.get('title') or ''}\n\n{own}" if own not in ("", "[deleted]", "[removed]") else ""
        return html.unescape(whole)
    return next((str(row[name]) for name in ("text", "content", "body") if row.get(name)), "")


def _plain(path: Path) -> Iterator[str]:
    with _open(path) as file:
        yield file.read(_MOST_BYTES).decode("utf-8", "replace")


def _epub(path: Path) -> Iterator[str]:
    """Chapters in the order of their names; frame matter is left out."""
    from tamis.clean.extract import extract

    with zipfile.ZipFile(path) as archive:
        for part in sorted(archive.infolist(), key=lambda one: one.filename):
            name = part.filename
            if not name.endswith((".xhtml", ".html", ".htm")) or part.file_size > _MOST_BYTES:
                continue
            if not _FRAME.search(name.rpartition("/")[2]):
                yield extract(archive.read(part), "html").text or ""


def _wikipedia(path: Path) -> Iterator[str]:
    """Articles (namespace 0, no redirects) of a MediaWiki dump as plain text."""
    from lxml import etree

    parser = {"events": ("end",), "tag": "{*}page", "resolve_entities": False, "no_network": True}
    with _open(path) as file:
        try:
            for _, page in etree.iterparse(file, **parser):
                wikitext = page.findtext("{*}revision/{*}text") or ""
                if page.findtext("{*}ns") in (None, "0") and page.find("{*}redirect") is None:
                    yield plain_wikitext(wikitext[:_MOST_BYTES])
                page.clear()
                while page.getprevious() is not None:
                    del page.getparent()[0]
        except etree.XMLSyntaxError as error:
            raise BadReference(f"{path} is no whole MediaWiki XML: {error}") from None


_ASIDE = "ref|gallery|math|timeline|score|table|code|pre"
_OPENS = re.compile(rf"<!--|<({_ASIDE})\b[^<>]*>", re.I)
_CLOSES = re.compile(rf"-->|</({_ASIDE})\s*>", re.I)
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,300}>")
_PIPED = re.compile(r"\[\[(?:[^\[\]|]{0,300}\|)?([^\[\]|]{0,500})\]\]")
_OUTSIDE = re.compile(r"\[(?:https?:|//)\S{1,500}(?:\s{1,20}([^\]\n]{0,500}))?\]")


def plain_wikitext(source: str) -> str:
    """Prose of an article: templates, tables, files, references and mark-up out. For measuring, not for a corpus.

    >>> plain_wikitext("'''Ada''' was a [[Countess|lady]].{{cite {{me}}}}<ref>x</ref>\\n== See ==\\n* [[Byron]]")
    'Ada was a lady.\\nSee\\nByron'
    """
    text = _without_asides(source)
    for left, right in (("{{", "}}"), ("{|", "|}")):
        text = _outside(text, left, right)
    text = _outside(text, "[[", "]]", only=("file:", "image:", "category:"))
    for _ in range(3):  # links in the captions of links
        text = _PIPED.sub(r"\1", text)
    text = _OUTSIDE.sub(lambda found: found[1] or "", text)
    text = _TAG.sub("", text).replace("'''", "").replace("''", "")
    text = "\n".join(map(_line, text.split("\n")))
    return re.sub(r"\n{3,}", "\n\n", html.unescape(text).replace("\xa0", " ")).strip()


def _without_asides(source: str) -> str:
    """Without comments, and elements whose text is not prose. What never closes stays. One pass: where elements of
    each kind end is looked up once, so that many that never close cost no more."""
    ends: dict[str, list[tuple[int, int]]] = {}
    for found in _CLOSES.finditer(source):
        ends.setdefault((found[1] or "").lower(), []).append(found.span())
    kept, done = [], 0
    for found in _OPENS.finditer(source):
        if found.start() < done:
            continue
        stop = found.end()
        if not found[0].endswith("/>"):
            known = ends.get((found[1] or "").lower(), [])
            at = bisect.bisect_left(known, (found.end(), 0))
            if at == len(known):
                continue
            stop = known[at][1]
        kept.append(source[done : found.start()])
        done = stop
    return "".join([*kept, source[done:]])


def _line(line: str) -> str:
    """Without the marks of lists and headings."""
    if line.startswith(("*", "#", ":", ";")):
        return line.lstrip("*#:;").lstrip()
    bare = line.rstrip()
    return bare.strip("=").strip() if bare.startswith("=") and bare.endswith("=") and len(bare) > 1 else line


def _outside(text: str, left: str, right: str, only: tuple[str, ...] = ()) -> str:
    """Text outside nested brackets; with `only`, brackets that begin otherwise stay. One pass."""
    kept: list[str] = []
    opened: list[bool] = []  # whether each open bracket is dropped
    dropped = 0  # how many of them are
    start = 0
    for found in re.finditer(f"{re.escape(left)}|{re.escape(right)}", text):
        if not dropped:
            kept.append(text[start : found.start()])
        start = found.end()
        if found[0] == left:
            opened.append(not only or text[found.end() : found.end() + 12].lstrip().lower().startswith(only))
            dropped += opened[-1]
            if not dropped:
                kept.append(left)
        elif opened:
            if not dropped:
                kept.append(right)
            dropped -= opened.pop()
        else:
            kept.append(right)
    if not dropped:
        kept.append(text[start:])
    return "".join(kept)


def _topics() -> Callable[[], Rows]:
    """The language reference that Python's `help()` shows, by topic; long ones in several pieces."""

    def rows() -> Rows:
        try:
            topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
        except (ImportError, AttributeError):
            return
        for name, text in sorted(topics.items()):
            for number, piece in enumerate(_pieces(text)):
                yield f"pydoc:{name}#{number}", piece

    return rows


def _pods() -> Callable[[], Rows]:
    """Prose paragraphs of Perl's documentation."""

    def rows() -> Rows:
        for root in (Path("/usr/share/perl"), Path("/usr/share/perl5")):
            for path in sorted(root.rglob("*.p[om]*")) if root.is_dir() else ():
                if path.suffix not in (".pod", ".pm") or path.is_symlink() or path.stat().st_size > _MOST_BYTES:
                    continue
                text = plain_pod(path.read_text(encoding="utf-8", errors="replace"))
                for number, piece in enumerate(_pieces(text)):
                    yield f"{path}#{number}", piece

    return rows


_CODE = re.compile(r"[A-Z]<<+\s(.{0,500}?)\s>>+|[A-Z]<([^<>]{0,500})>", re.S)


def plain_pod(source: str) -> str:
    """The prose of a Perl file.

    >>> plain_pod("use x;\\n\\n=head1 NAME\\n\\nIt B<is> so.\\n\\n    code\\n\\n=cut\\n\\nmy $x;")
    'NAME\\n\\nIt is so.'
    """
    kept, inside = [], False
    for paragraph in re.split(r"\n\s*\n", source):
        part = paragraph.strip("\n")
        if part.startswith("="):
            word, _, rest = part.partition(" ")
            inside = word.split("\n")[0] not in ("=cut", "=begin", "=for", "=end")
            if inside and word.startswith(("=head", "=item")) and rest:
                kept.append(rest)
        elif inside and part and not part[0].isspace():
            kept.append(part)
    text = "\n\n".join(kept)
    for _ in range(3):
        text = _CODE.sub(lambda found: (found[1] or found[2] or "").split("|")[0], text)
    return text


def _manuals() -> Callable[[], Rows]:
    """GNU info files, by node."""

    def rows() -> Rows:
        root = Path("/usr/share/info")
        for path in sorted(root.glob("*.info*.gz")) if root.is_dir() else ():
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
                text = file.read(_MOST_BYTES)
            for number, node in enumerate(text.split("\x1f\n")):
                header, _, body = node.partition("\n")
                if header.startswith("File:") and "* Menu:" not in body:
                    yield f"{path}#{number}", body.strip()

    return rows


def _pieces(text: str) -> Iterator[str]:
    """Successive pieces of at most PIECE_BYTES, cut between paragraphs, lines, words."""
    rest = text.strip()
    while rest:
        piece = beginning(rest)
        yield piece
        rest = rest[len(piece) :].strip()


def beginning(text: str) -> str:
    data = text.encode()
    if len(data) <= PIECE_BYTES:
        return text
    cut = data[:PIECE_BYTES].decode(errors="ignore")
    for mark in ("\n\n", "\n", " "):
        at = cut.rfind(mark)
        if at >= len(cut) // 2:
            return cut[:at]
    return cut


def _chained(parts: Iterable[Callable[[], Rows]]) -> Callable[[], Rows]:
    def rows() -> Rows:
        for part in parts:
            yield from part()

    return rows


def _offered(domains: dict[str, Callable[[], Rows]], limit_bytes: int, seed: int) -> Candidates:
    """Of every domain the beginnings of documents in a seeded order, then domains in turn by bytes."""
    chosen: dict[str, list[tuple[str, str]]] = {}
    for domain, rows in domains.items():
        share, read = 3 * limit_bytes // max(1, len(domains)), 0
        drawn: list[tuple[bytes, str, str]] = []
        for name, text in rows():
            piece = beginning(text.strip()).strip()
            size = len(piece.encode())
            if size >= _LEAST_BYTES:
                drawn.append((hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest(), name, piece))
                read += size
            if read > READ_BYTES:
                break
        drawn.sort()
        size, mine = 0, []
        for _, name, piece in drawn:
            if size >= share:
                break
            mine.append((name, piece))
            size += len(piece.encode())
        if mine:
            chosen[domain] = mine
    places = dict.fromkeys(chosen, 0)
    filled = dict.fromkeys(chosen, 0)
    ids, texts, names = [], [], []
    while open_ := [name for name in chosen if places[name] < len(chosen[name])]:
        domain = min(open_, key=lambda name: filled[name])
        name, piece = chosen[domain][places[domain]]
        places[domain] += 1
        filled[domain] += len(piece.encode())
        ids.append(name)
        texts.append(piece)
        names.append(domain)
    return Candidates(ids, texts, names)
