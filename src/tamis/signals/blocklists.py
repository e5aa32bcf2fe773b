"""Blocklists of the user: text files of hosts, domains or URLs, kept as sorted 64-bit hashes.

A list is a file, or a folder in the layout of the UT1 lists of the University of Toulouse (files `domains` and `urls`
inside, or folders of that kind, whose names are added to the list's name). One entry a line:

- `example.org` blocks the host and everything below it; `*.example.org` and `.example.org` mean the same;
- `example.org/path` blocks the page and everything below it (at `/`, `?` or `#`);
- `http://...` before an entry and `www.` at its beginning are ignored, so are `#` comments and blank lines;
- `0.0.0.0 example.org` and `127.0.0.1 example.org` (the form of hosts files) mean the host.

Names beyond ASCII are compared in their punycode form, all in lower case.

Memory: 8 bytes an entry (37 MB for the 4.6 million of UT1's largest list). Two entries share a hash with a
probability of 2^-64 per pair compared. Loading takes one to two seconds per million entries, once per process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]

MULTIPLIER = 0x9E3779B97F4A7C15  # odd; a polynomial over bytes modulo 2^64
FINAL = 0xC2B2AE3D27D4EB4F
_M64 = (1 << 64) - 1
_HOSTS_FILE = re.compile(r"^(?:0\.0\.0\.0|127\.0\.0\.1|::1?)\s+")
# bytes of an entry that needs no normalizing: lower-case names and paths
_PLAIN = np.zeros(256, np.bool_)
_PLAIN[list(b"abcdefghijklmnopqrstuvwxyz0123456789.-_/\n")] = True


class BadList(ValueError):
    """A blocklist cannot be read."""


def entry_hash(entry: str) -> int:
    """64-bit hash of a normalized entry."""
    return _finish(_roll(0, entry))


def _roll(value: int, text: str) -> int:
    for byte in text.encode():
        value = (value * MULTIPLIER + byte + 1) & _M64
    return value


def _finish(value: int) -> int:
    return (value ^ value >> 32) * FINAL & _M64


class Blocklist:
    """Normalized entries of one category: sorted hashes of hosts and of pages (entries with a path)."""

    def __init__(self, name: str, hosts: U64, pages: U64) -> None:
        self.name = name
        self.hosts = np.unique(hosts)
        self.pages = np.unique(pages)

    def __len__(self) -> int:
        return len(self.hosts) + len(self.pages)


def blocked(lists: Sequence[Blocklist], host: str, rest: str) -> str | None:
    """Name of the first list that holds a URL, None if none does.

    `host` is lower-case ASCII; `rest` is what follows it in the URL, beginning with `/`, or empty.
    """
    host = host.removeprefix("www.")
    names = [entry_hash(name) for name in hosts_above(host)]
    pages = _page_hashes(host, rest) if any(len(one.pages) for one in lists) else []
    for one in lists:
        if _any(one.hosts, names) or _any(one.pages, pages):
            return one.name
    return None


def _any(hashes: U64, wanted: Sequence[int]) -> bool:
    if not len(hashes) or not wanted:
        return False
    values = np.array(wanted, np.uint64)
    places = np.minimum(np.searchsorted(hashes, values), len(hashes) - 1)
    return bool(np.any(hashes[places] == values))


def list_files(lists: Mapping[str, str]) -> list[tuple[str, Path]]:
    """(category, file) of every list, in the order of names.

    Raises BadList naming the list whose path is no file and no folder of lists.
    """
    found: list[tuple[str, Path]] = []
    for name, place in sorted(lists.items()):
        path = Path(place)
        if path.is_file():
            found.append((name, path))
            continue
        before = len(found)
        for folder in (path, *sorted(p for p in path.glob("*") if p.is_dir())):
            category = name if folder == path else f"{name}.{folder.name}"
            found += [(category, folder / kind) for kind in ("domains", "urls") if (folder / kind).is_file()]
        if len(found) == before:
            what = "has no file `domains` or `urls`" if path.is_dir() else "does not exist"
            raise BadList(f"blocklist {name!r}: {path} {what}")
    return found


def load(lists: Mapping[str, str]) -> list[Blocklist]:
    """The lists by category, in the order of names. Files are kept in the process while they stay as they are."""
    by_name: dict[str, list[tuple[U64, U64]]] = {}
    for name, path in list_files(lists):
        status = path.stat()
        by_name.setdefault(name, []).append(_load_file(str(path), status.st_size, status.st_mtime_ns))
    return [
        Blocklist(name, np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts]))
        for name, parts in by_name.items()
    ]


@lru_cache(maxsize=64)
def _load_file(path: str, size: int, modified: int) -> tuple[U64, U64]:
    data = Path(path).read_bytes()
    if data.startswith(b"\x1f\x8b"):
        raise BadList(f"{path} is compressed; unpack it first")
    return hash_lines(data)


def hash_lines(data: bytes) -> tuple[U64, U64]:
    """Hashes of the hosts and of the pages in a list's text.

    Lines of plain names are hashed all at once, the others one by one in Python.
    """
    raw = np.frombuffer(data.lower() + b"\n", np.uint8)
    ends = np.flatnonzero(raw == 10)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    odd = np.add.reduceat((~_PLAIN[raw]).astype(np.int64), starts) > 0
    # what `normalize_entry` could change in a plain line: dots and slashes at its ends, a leading www.
    first, last = raw[starts], raw[np.maximum(ends - 1, 0)]
    odd |= np.isin(first, [46, 47]) | np.isin(last, [46, 47]) | (first == ord("w"))
    paged = np.add.reduceat((raw == ord("/")).astype(np.int64), starts) > 0
    plain = (lengths > 0) & ~odd
    hosts = [_hash_plain(raw, starts[plain & ~paged], lengths[plain & ~paged])]
    pages = [_hash_plain(raw, starts[plain & paged], lengths[plain & paged])]
    for a, b in zip(starts[(lengths > 0) & odd], ends[(lengths > 0) & odd], strict=True):
        entry = normalize_entry(bytes(raw[a:b]).decode("utf-8", "replace"))
        if entry:
            (pages if "/" in entry else hosts).append(np.array([entry_hash(entry)], np.uint64))
    return np.concatenate(hosts), np.concatenate(pages)


def _hash_plain(raw: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> U64:
    """`entry_hash` of many entries at once: one step per byte position over all that are long enough."""
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    values = np.zeros(len(starts), np.uint64)
    for position in range(int(lengths[0]) if len(lengths) else 0):
        live = int(np.searchsorted(-lengths, -position, side="left"))
        values[:live] = values[:live] * np.uint64(MULTIPLIER) + raw[starts[:live] + position] + np.uint64(1)
    return (values ^ (values >> np.uint64(32))) * np.uint64(FINAL)


def normalize_entry(line: str) -> str:
    """The form in which entries and URLs are compared, empty for comments and blank lines.

    >>> normalize_entry("0.0.0.0 Ads.Example.org # tracker"), normalize_entry("http://www.example.org/a/")
    ('ads.example.org', 'example.org/a')
    """
    entry = line.strip().lower()
    if entry.startswith(("#", "!", ";")):
        return ""
    entry = re.split(r"\s+#", entry, maxsplit=1)[0]
    entry = _HOSTS_FILE.sub("", entry).strip()
    entry = re.sub(r"^[a-z][a-z0-9+.-]*://", "", entry).removeprefix("*").lstrip(".")
    host, slash, path = entry.partition("/")
    host = host.rstrip(".").removeprefix("www.")
    if not host.isascii():
        from tamis.signals.url import ascii_host

        host = ascii_host(host) or ""
    if not host:
        return ""
    return (host + slash + path).rstrip("/")


@lru_cache(maxsize=1 << 14)
def hosts_above(host: str) -> tuple[str, ...]:
    """A host and the names above it; an address alone.

    >>> hosts_above("a.example.org"), hosts_above("10.0.0.1")
    (('a.example.org', 'example.org', 'org'), ('10.0.0.1',))
    """
    if ":" in host or host.replace(".", "").isdigit():
        return (host,)
    labels = host.split(".")
    return tuple(".".join(labels[i:]) for i in range(len(labels)))


def page_prefixes(rest: str) -> list[str]:
    """The paths that would block a page: its own, cut at every step, at most 16.

    >>> page_prefixes("/x/y?z")
    ['/x', '/x/y', '/x/y?z']
    """
    path = rest.lower()
    ends = [m.start() for m in re.finditer(r"(?<!^)[/?#]|$", path)][:MOST_STEPS]
    return [path[:end] for end in ends if end and path[end - 1] != "/"]


def _page_hashes(host: str, rest: str) -> list[int]:
    """`entry_hash(host + prefix)` for every prefix, each byte rolled once."""
    value, done, out = _roll(0, host), 0, []
    for prefix in page_prefixes(rest):
        value = _roll(value, prefix[done:])
        done = len(prefix)
        out.append(_finish(value))
    return out


MOST_STEPS = 16
