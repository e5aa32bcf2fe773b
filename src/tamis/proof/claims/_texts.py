"""Texts of several kinds for claims that need more than one: technical, talk, novels, the web clean and raw.

With TAMIS_DATA: documentation, Reddit posts, novels, web pages with the text that people marked in them. Without it:
what this machine documents, apart by kind (docstrings, manual pages, package descriptions).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.console import several
from tamis.proof.claims.claim import Missing
from tamis.proof.claims.material import LONGEST, Candidate, Documents, file, taken, text, where_text_is_from

HELD_LONGEST = 600  # characters of a piece of held-out text, see `held_out`
SEPARATOR = 256  # between documents in a stream of bytes; `models.data.bytes_of` uses the same


@dataclass(frozen=True)
class Kinds:
    """Two corpora of different kinds and a reference of a third, with what they are."""

    names: tuple[str, str, str]
    first: Documents
    second: Documents
    reference: Documents


def kinds(each: int, reference: int, seed: int, data: Path | None) -> Kinds:
    """Two corpora of `each` bytes and a reference. With `data` that file is the first. Raises Missing where one of
    them has less than half of its bytes."""
    try:
        posts, novels = reddit(each, seed), books(reference, seed)
    except Missing:
        found = _of_this_machine(each, reference, seed, data)
    else:
        name = where_text_is_from(data)
        found = Kinds((name, "Reddit posts", "novels"), text(each, seed, data), posts, novels)
    parts = (found.first, found.second, found.reference)
    for name, docs, wanted in zip(found.names, parts, (each, each, reference), strict=True):
        if size(docs) < wanted / 2:
            raise Missing(f"{name}: {size(docs):,} bytes of text are here, {wanted:,} are needed")
    return found


def _of_this_machine(each: int, reference: int, seed: int, data: Path | None) -> Kinds:
    names = {"python/": "docstrings", "man/": "manual pages", "package/": "package descriptions"}
    by = {kind: text(each + reference, seed, None, kind) for kind in names}
    order = sorted(by, key=lambda kind: size(by[kind]) < each)  # what this machine has little of is the reference
    taken = {kind: upto(by[kind], each) for kind in by}
    if size(by[order[2]]) >= reference:
        third, docs = names[order[2]], upto(by[order[2]], reference)
    else:  # a machine without manual pages: what is left of the two, half of each
        rest = [upto(by[kind][len(taken[kind]) :], reference // 2) for kind in order[:2]]
        third, docs = f"other {names[order[0]]} and {names[order[1]]}", rest[0] + rest[1]
    first = (data.name, text(each, seed, data)) if data is not None else (names[order[0]], taken[order[0]])
    return Kinds((first[0], names[order[1]], third), first[1], taken[order[1]], docs)


def reddit(wanted: int, seed: int) -> Documents:
    """What people wrote in top posts of 2013, without links alone and without what is marked for adults."""
    import pyarrow.parquet as pq

    columns = pq.read_table(file("reddit/posts.parquet"), columns=["id", "selftext", "over_18"]).to_pydict()
    rows = zip(columns["id"], columns["selftext"], columns["over_18"], strict=True)
    every: list[Candidate] = [
        (f"reddit/{name}", partial(str, body)) for name, body, adult in rows if body and not adult
    ]
    return list(taken(every, wanted, seed))


def books(wanted: int, seed: int) -> Documents:
    """Chapters of three novels of the 19th century."""
    every: list[Candidate] = []
    for name in ("herman-melville_moby-dick", "jane-austen_pride-and-prejudice", "mary-shelley_frankenstein"):
        path = file(f"books/{name}.epub")
        with zipfile.ZipFile(path) as book:
            chapters = [one for one in book.namelist() if re.search(r"/chapter-[\d-]+\.xhtml$", one)]
        every += [(f"{name}/{one}", partial(_chapter, path, one)) for one in chapters]
    return list(taken(every, wanted, seed))


def _chapter(path: Path, name: str) -> str:
    from tamis.clean.extract import extract

    with zipfile.ZipFile(path) as book:
        return extract(book.read(name), "html").text or ""


@dataclass(frozen=True)
class Page:
    """One web page: the text that people marked as its content, and all visible text of its HTML, as in WET files; of
    both the first LONGEST characters."""

    url: str
    clean: str
    raw: str


def web_pages(limit: int) -> list[Page]:
    """The first `limit` pages of the real web of which both are known. Raises Missing."""
    import pyarrow.parquet as pq
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    from tamis.clean.encoding import decode
    from tamis.sources import Record, Split, read

    gold = pq.read_table(file("web/pages-gold.parquet"), columns=["url", "text"]).to_pydict()
    marked = dict(zip(gold["url"], gold["text"], strict=True))
    found: list[Page] = []
    path = file("web/pages.warc.gz")
    for record in read(Split(str(path), path.name, "warc")):
        if len(found) == limit:
            break
        if not isinstance(record, Record) or not marked.get(record.url or ""):
            continue
        source, _ = decode(record.payload, record.charset, html=True)
        raw = extract_plain_text(HTMLTree.parse(source)).strip()
        if raw:
            found.append(Page(str(record.url), marked[str(record.url)].strip()[:LONGEST], raw[:LONGEST]))
    return found


def dirt_share(pages: list[Page]) -> float:
    """Share of the characters of raw lines that are not in the marked text of their page."""
    dirty = whole = 0
    for page in pages:
        kept = _words(page.clean)
        for line in page.raw.splitlines():
            whole += len(line)
            dirty += len(line) * (_words(line) not in kept)
    return dirty / whole if whole else 0.0


def _words(body: str) -> str:
    return re.sub(r"\W+", " ", body).strip()


def size(docs: Documents) -> int:
    """UTF-8 bytes."""
    return sum(len(body.encode("utf-8", "replace")) for _, body in docs)


def upto(docs: Iterable[tuple[str, str]], wanted: int) -> Documents:
    """The first documents that make up so many bytes, the last one whole."""
    taken: Documents = []
    have = 0
    for one in docs:
        if have >= wanted:
            break
        taken.append(one)
        have += size([one])
    return taken


def stream(docs: Documents, wanted: int | None = None) -> npt.NDArray[np.uint16]:
    """Bytes of documents with a separator behind each: (n,), cut at `wanted`."""
    parts = []
    for _, body in docs:
        parts.append(np.frombuffer(body.encode("utf-8", "replace"), np.uint8).astype(np.uint16))
        parts.append(np.array([SEPARATOR], np.uint16))
    joined = np.concatenate(parts) if parts else np.zeros(0, np.uint16)
    return joined[:wanted]


@dataclass(frozen=True)
class Apart:
    """Held-out texts by name that share no 13 words with what is trained on. said: how many documents of each."""

    texts: dict[str, Documents]
    said: str


def held_out(offered: Mapping[str, Documents], trained: Iterable[str], pieces: int) -> Apart:
    """Of each text about `pieces` pieces of HELD_LONGEST characters, of as many different documents as it has: the
    first piece of every document comes before the second of any. trained: every text that is trained on. Raises
    Missing where nothing is left of a text."""
    from tamis.proof.holdout import Candidates, NotHeldOut, hold_out

    array = _array(trained)
    cut = {name: _pieces(docs) for name, docs in offered.items()}
    candidates = {
        name: Candidates.of([one for one, _ in docs], [body for _, body in docs]) for name, docs in cut.items()
    }
    try:
        kept = hold_out(candidates, {"trained on": lambda: iter([array])}, limit_bytes=pieces * HELD_LONGEST)
    except NotHeldOut as error:
        raise Missing(str(error)) from None
    texts = {name: list(zip(one.ids, one.texts, strict=True)) for name, one in kept.texts.items()}
    counts = {name: len({one.rpartition("#")[0] for one, _ in docs}) for name, docs in texts.items()}
    said = ", ".join(f"{name} ({several(count, 'document')})" for name, count in counts.items())
    return Apart(texts, f"{said}; no 13 words are shared with what is trained on")


def shared(held: Mapping[str, Documents], trained: Iterable[str]) -> str:
    """In words, how many documents of texts that are held out whole share 13 words with what is trained on."""
    from tamis.proof.holdout import Candidates, NotHeldOut, hold_out

    array = _array(trained)
    bodies = [body.encode("utf-8", "replace").decode() for docs in held.values() for _, body in docs]
    offered = {"held out": Candidates.of([str(place) for place in range(len(bodies))], bodies)}
    try:
        count = hold_out(offered, {"trained on": lambda: iter([array])}).proof.texts["held out"].shared
    except NotHeldOut:
        count = len(bodies)
    said = ", ".join(f"{name} ({several(len(docs), 'document')})" for name, docs in held.items())
    return f"{said}; {count or 'none'} of them share 13 words with what is trained on"


def _array(trained: Iterable[str]) -> Any:
    import pyarrow as pa

    return pa.array([body.encode("utf-8", "replace").decode() for body in trained], pa.large_string())


def _pieces(docs: Documents) -> Documents:
    """Named DOCUMENT#NUMBER. What is left at the end of a document is no piece, unless it is all."""
    found = []
    for name, body in docs:
        flat = body.encode("utf-8", "replace").decode()
        last = max(1, len(flat) // HELD_LONGEST)
        found += [(k, (f"{name}#{k}", flat[k * HELD_LONGEST : (k + 1) * HELD_LONGEST])) for k in range(last)]
    return [one for _, one in sorted(found, key=lambda one: one[0])]


def rows(docs: Documents, context: int, count: int) -> npt.NDArray[np.int64]:
    """`count` windows spread evenly over the text, which do not overlap: (count, context + 1). Raises Missing."""
    tokens = stream(docs)
    room = (len(tokens) - 1) // context
    if room < count:
        raise Missing(f"{len(tokens):,} bytes of held-out text give {room} windows of {context}; {count} are needed")
    starts = (np.arange(count) * room // count) * context
    found: npt.NDArray[np.int64] = tokens[starts[:, None] + np.arange(context + 1)].astype(np.int64)
    return found
