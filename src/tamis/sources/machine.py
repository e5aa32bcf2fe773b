"""A crawl made from the machine itself, for the demo: no network, no shipped data.

Pages are those of the Python installed here (one per module, class and longer function, from docstrings; the
descriptions of installed packages), and of Debian's documentation where it is present (HTML files and manual pages
in many languages). They stand in `.warc.gz` as a crawler would have written it, with the header, navigation, cookie
notice and footer of a documentation site around them, so that extraction has work to do; class pages repeat parts of
their module's page, as real sites do.

Deterministic for one machine: walks are sorted, dates follow from the order, there are no clocks. URLs lie under
`.invalid`, so nothing can mistake them for real ones. Memory: one page and the list of candidate files.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import importlib.metadata
import os
import re
import sysconfig
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from tamis.sources.man import man_html
from tamis.sources.python_pages import Article, articles, prose

HTML_BYTES = 60 << 20
FIRST_DATE = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS_APART = 7

# How many pages a family may give at most: modules, classes and functions of the stdlib and of installed packages,
# descriptions, Debian HTML, manual pages. Together about 5,000, which the whole recipe does in about a minute.
PAGES = {"python": 2600, "packages": 1200, "descriptions": 300, "debian": 700, "man": 900}
FILE_BYTES = 1 << 20
_NOT_DOCUMENTED = {
    "test",
    "tests",
    "testing",
    "idle_test",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "_vendor",
}

Progress = Callable[[str, int, int], None]


@dataclass
class CrawlSummary:
    """What a crawl holds: pages by family, bytes of HTML, bytes as stored, files passed over."""

    path: Path
    pages: int = 0
    html_bytes: int = 0
    stored_bytes: int = 0
    families: dict[str, int] = field(default_factory=dict)
    passed_over: int = 0


@dataclass(frozen=True)
class Capture:
    """One page to be written; `content_type` is what the server would have said."""

    url: str
    body: bytes
    content_type: str


def machine_crawl(
    path: Path | str,
    limit_bytes: int = HTML_BYTES,
    progress: Progress | None = None,
    pages: dict[str, int] | None = None,
) -> CrawlSummary:
    """Writes the crawl of this machine to `path` (.warc.gz), by a temporary name and a rename.

    `limit_bytes` bounds the HTML before compression; `pages` the pages of each family (default `PAGES`; a family
    left out is not crawled). `progress(family, pages so far, HTML bytes so far)` is called after each page.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    limits = PAGES if pages is None else pages
    summary = CrawlSummary(target)
    partial = target.with_name(target.name + ".partial")
    makers: dict[str, Callable[[int], Iterator[Capture | None]]] = {
        "python": lambda _: _modules([Path(sysconfig.get_paths()["stdlib"])], "docs.python.invalid"),
        "packages": lambda _: _modules(_site_packages(), "packages.python.invalid"),
        "descriptions": _descriptions,
        "debian": _debian_html,
        "man": _manual_pages,
    }
    with partial.open("wb") as file:
        writer = _WarcWriter(file)
        writer.info(target.name)
        urls: set[str] = set()
        for family, make in makers.items():
            taken = 0
            limit = limits.get(family, 0)
            for capture in make(limit) if limit else ():
                # A definition given twice, or a function named like a submodule: the first page has the address.
                if capture is None or capture.url in urls:
                    summary.passed_over += 1
                    continue
                if taken >= limit or summary.html_bytes + len(capture.body) > limit_bytes:
                    break
                urls.add(capture.url)
                writer.response(capture)
                taken += 1
                summary.pages += 1
                summary.html_bytes += len(capture.body)
                if progress is not None:
                    progress(family, summary.pages, summary.html_bytes)
            summary.families[family] = taken
    os.replace(partial, target)
    summary.stored_bytes = target.stat().st_size
    return summary


def python_modules() -> Iterator[tuple[str, Path]]:
    """(module, file) of the standard library and of installed packages, in sorted order; nothing is read."""
    for root in (Path(sysconfig.get_paths()["stdlib"]), *_site_packages()):
        yield from sorted(_python_files(root))


def package_descriptions() -> Iterator[tuple[str, str]]:
    """(name, summary and description) of installed packages, in sorted order."""
    for name, _, text in _described():
        yield name, text


def english_manuals() -> list[Path]:
    """Files of English manual pages, in sorted order; none where this machine keeps none."""
    root = Path("/usr/share/man")
    return [file for file in _files_below(root) if file.relative_to(root).parts[0].startswith("man")]


def manual_html(file: Path) -> str | None:
    """A manual page as HTML, everything of the file escaped; None where it is none."""
    data = _bytes_of(file)
    page = man_html(_decoded(data)) if data else None
    return None if page is None else page[1]


class _WarcWriter:
    """WARC 1.1, one gzip member per record."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._written = 0

    def info(self, name: str) -> None:
        fields = "software: tamis demo\r\nformat: WARC File Format 1.1\r\nisPartOf: a crawl of this machine\r\n"
        head = [
            ("WARC-Type", "warcinfo"),
            ("WARC-Filename", name),
            ("Content-Type", "application/warc-fields"),
        ]
        self._record(head, fields.encode(), name)

    def response(self, capture: Capture) -> None:
        date = self._date()
        http = (
            "HTTP/1.1 200 OK\r\n"
            f"Date: {date.strftime('%a, %d %b %Y %H:%M:%S GMT')}\r\n"
            "Server: nginx\r\n"
            f"Content-Type: {capture.content_type}\r\n"
            f"Content-Length: {len(capture.body)}\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
        head = [
            ("WARC-Type", "response"),
            ("WARC-Target-URI", capture.url),
            ("WARC-Payload-Digest", _sha1(capture.body)),
            ("Content-Type", "application/http; msgtype=response"),
        ]
        self._record(head, http + capture.body, capture.url)

    def _record(self, head: list[tuple[str, str]], block: bytes, name: str) -> None:
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{self._written}:{name}")
        fields = [
            *head,
            ("WARC-Record-ID", f"<urn:uuid:{identity}>"),
            ("WARC-Date", self._date().strftime("%Y-%m-%dT%H:%M:%SZ")),
            ("WARC-Block-Digest", _sha1(block)),
            ("Content-Length", str(len(block))),
        ]
        lines = "".join(f"{key}: {value}\r\n" for key, value in fields)
        self._file.write(gzip.compress(f"WARC/1.1\r\n{lines}\r\n".encode() + block + b"\r\n\r\n", 6, mtime=0))
        self._written += 1

    def _date(self) -> datetime:
        return FIRST_DATE + timedelta(seconds=SECONDS_APART * self._written)


def _sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _modules(roots: Sequence[Path], host: str) -> Iterator[Capture | None]:
    found = [(module, file) for root in roots for module, file in _python_files(root)]
    siblings = sorted({module.split(".")[0] for module, _ in found})
    # Where there are more than the limit takes, an order by hash makes them a fair sample of all.
    for module, file in sorted(found, key=lambda item: (hashlib.sha256(item[0].encode()).digest(), item)):
        empty = True
        for article in articles(file, module):
            empty = False
            place = article.path if host.startswith("docs.") else f"{module.split('.')[0]}/api/{article.path}"
            yield _page(article, f"https://{host}/{_url_path(place)}", siblings)
        if empty:
            yield None


def _python_files(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            f for f in folders if f not in _NOT_DOCUMENTED and f.isidentifier() and not f.startswith("_")
        )
        for name in sorted(names):
            file = Path(folder, name)
            parts = file.relative_to(root).with_suffix("").parts
            if not name.endswith(".py") or file.is_symlink():
                continue
            if name == "__init__.py":
                parts = parts[:-1]
            elif name.startswith(("_", "test_")):
                continue
            if parts:
                yield ".".join(parts), file


def _site_packages() -> list[Path]:
    paths = sysconfig.get_paths()
    return sorted({Path(paths["purelib"]).resolve(), Path(paths["platlib"]).resolve()})


def _descriptions(limit: int) -> Iterator[Capture | None]:
    found = _described()
    names = [name.lower() for name, _, _ in found]
    for key, (name, version, text) in list(zip(names, found, strict=True))[:limit]:
        body = f"<h1>{html.escape(name)} {html.escape(version)}</h1>\n{prose(text)}"
        article = Article(f"{name} · package index", f"project/{key}/", body, ())
        yield _page(article, f"https://index.python.invalid/project/{_url_path(key)}/", names)


def _described() -> list[tuple[str, str, str]]:
    """(name, version, summary and description) of installed packages by lower-cased name."""
    found: dict[str, tuple[str, str, str]] = {}
    for distribution in importlib.metadata.distributions(path=[str(p) for p in _site_packages()]):
        metadata = distribution.metadata
        name, text = metadata["Name"], metadata.get_payload()  # type: ignore[attr-defined]
        if not name:
            continue
        text = metadata["Description"] or text if isinstance(text, str) else ""
        found.setdefault(
            name.lower(), (name, metadata["Version"] or "", str(metadata["Summary"] or "") + "\n\n" + text)
        )
    return [found[key] for key in sorted(found)]


def _debian_html(limit: int) -> Iterator[Capture | None]:
    root = Path("/usr/share/doc")
    files = [f for f in _files_below(root) if f.name.endswith((".html", ".htm", ".html.gz"))]
    for file in _spread(files, limit):
        data = _bytes_of(file)
        place = str(file.relative_to(root)).removesuffix(".gz")
        # Served as it lies there: with its own markup, and without a charset in the header, as half the web is.
        yield Capture(f"https://doc.debian.invalid/{_url_path(place)}", data, "text/html") if data else None


def _manual_pages(limit: int) -> Iterator[Capture | None]:
    root = Path("/usr/share/man")
    by_language: dict[str, list[Path]] = {}
    for file in _files_below(root):
        first = file.relative_to(root).parts[0]
        by_language.setdefault("en" if first.startswith("man") else first, []).append(file)
    languages = sorted(by_language)
    # A third in English, the rest in turn from every translation, so that each language is there.
    english = _spread(by_language.pop("en", []), limit // 3 or 1)
    share = max(1, (limit - len(english)) // max(1, len(by_language))) * 2
    others = [_spread(by_language[language], share) for language in sorted(by_language)]
    mixed = [file for row in zip_longest(*others) for file in row if file is not None]
    for file in [*english, *mixed]:
        data = _bytes_of(file)
        first = file.relative_to(root).parts[0]
        language = "en" if first.startswith("man") else first
        page = man_html(_decoded(data)) if data else None
        if page is None:
            yield None
            continue
        title, body = page
        name = file.name.removesuffix(".gz")
        heading = f"<h1>{html.escape(title)}</h1>\n{body}"
        place = f"{language}/{name}.html"
        yield _page(
            Article(title, place, heading, ()),
            f"https://man.debian.invalid/{_url_path(place)}",
            languages,
            language,
        )


def _files_below(root: Path) -> list[Path]:
    """Regular files below a folder, sorted; links and folders behind links are left out."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        found.extend(Path(folder, name) for name in sorted(names))
    return [file for file in found if file.is_file() and not file.is_symlink()]


def _spread(files: Sequence[Path], limit: int) -> list[Path]:
    """At most `limit` of the files, evenly over the list."""
    if len(files) <= limit:
        return list(files)
    return [files[index * len(files) // limit] for index in range(limit)]


def _bytes_of(file: Path) -> bytes | None:
    """The file's content, decompressed; None where it is unreadable, empty, or larger than a page should be."""
    try:
        with file.open("rb") as raw:
            data = raw.read(FILE_BYTES + 1)
        if file.suffix == ".gz":
            with gzip.open(file) as packed:
                data = packed.read(FILE_BYTES + 1)
    except (OSError, EOFError):
        return None
    return data if 0 < len(data) <= FILE_BYTES else None


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _url_path(text: str) -> str:
    return re.sub(
        r"[^A-Za-z0-9._~/+@%:-]",
        lambda m: "".join(f"%{b:02X}" for b in m[0].encode("utf-8", "replace")),
        text,
    )


def _page(article: Article, url: str, siblings: Sequence[str], language: str = "en") -> Capture:
    """An article within the frame of a documentation site."""
    host = url.split("/")[2]
    here = article.path.split("/")[0].removesuffix(".html")
    at = siblings.index(here) if here in siblings else 0
    nearby = siblings[max(0, at - 6) : at + 7]
    side = "".join(f'<li><a href="/{_url_path(n)}.html">{html.escape(n)}</a></li>' for n in nearby)
    inner = "".join(f'<li><a href="#{_url_path(n)}">{html.escape(n)}</a></li>' for n in article.links[:40])
    crumbs = " &raquo; ".join(html.escape(p.removesuffix(".html")) for p in article.path.strip("/").split("/"))
    text = _FRAME.format(
        language=html.escape(language.split("_")[0]),
        title=html.escape(article.title),
        host=host,
        side=side,
        inner=f'<nav class="toc"><h4>On this page</h4><ul>{inner}</ul></nav>' if inner else "",
        crumbs=crumbs,
        body=article.body,
    )
    return Capture(url, text.encode("utf-8", "replace"), "text/html; charset=utf-8")


_FRAME = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/static/site.css">
<style>body{{font:16px/1.5 sans-serif}} .cookie{{position:fixed;bottom:0}}</style>
<script>window.site = {{"theme": "auto", "search": true}};</script>
</head>
<body>
<div class="cookie" role="dialog"><p>This website uses cookies to improve your experience.
By continuing to use this site you agree to our use of cookies.</p><button>Accept all cookies</button></div>
<noscript>Please enable JavaScript to search this site.</noscript>
<header><a class="logo" href="/">{host}</a>
<nav><ul><li><a href="/">Home</a></li><li><a href="/index.html">Index</a></li><li><a href="/search.html">Search</a></li>
<li><a href="/about.html">About</a></li></ul></nav></header>
<div class="breadcrumbs">{crumbs}</div>
<aside class="sidebar"><h4>Contents</h4><ul>{side}</ul></aside>
<main><article>
{body}
</article></main>
{inner}
<footer><p>All rights reserved. Terms of use | Privacy policy | Cookie settings</p>
<p>Share this page: <a href="#">Mail</a> <a href="#">Feed</a></p></footer>
</body>
</html>
"""
