"""Signals `url`: the parts of a document's address, and the user's lists that hold it.

Measured for every document with a URL, also for those without text. The registered domain is found with the public
suffix list inside the package tldextract (its ICANN part: `blogspot.com` is a domain, not a suffix); nothing asks the
network. A URL that cannot be parsed (no scheme, no host, a host that is no name and no address) is null in every
column but `length`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from tamis.signals.batch import Batch
from tamis.signals.blocklists import Blocklist, blocked, load
from tamis.signals.group import INT, Column, Options, SignalGroup

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Host:
    """A host in lower-case ASCII and what the public suffix list says about it."""

    name: str
    domain: str | None
    suffix: str | None
    tld: str | None
    address: bool


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below. `options["blocklists"]` maps names to files or folders, see `blocklists`."""
    lists = load(options.get("blocklists") or {})
    rows = [_row(url, lists) for url in batch.documents.column("url").to_pylist()]
    columns = list(zip(*rows, strict=True)) or [()] * len(GROUP.columns)
    return {c.name: pa.array(values, c.type) for c, values in zip(GROUP.columns, columns, strict=True)}


def _row(url: str | None, lists: list[Blocklist]) -> tuple[Any, ...]:
    if url is None:
        return (None,) * len(GROUP.columns)
    parts = parse(url)
    if parts is None:
        return (None,) * 7 + (len(url), None)
    scheme, host, path, rest = parts
    depth = sum(1 for step in path.split("/") if step)
    held = blocked(lists, host.name, rest) if lists else None
    return host.name, host.domain, host.suffix, host.tld, host.address, scheme, depth, len(url), held


def parse(url: str) -> tuple[str, Host, str, str] | None:
    """(scheme, host, path, path with query) of a URL, None where it has no scheme or no sound host."""
    url = url.strip()
    if not _SCHEME.match(url):
        return None
    try:
        parts = urlsplit(url)
        name = parts.hostname
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    host = known_host(name) if name else None
    if host is None:
        return None
    rest = parts.path + (f"?{parts.query}" if parts.query else "")
    return parts.scheme.lower(), host, parts.path, rest


@lru_cache(maxsize=1 << 16)
def known_host(name: str) -> Host | None:
    """A host name or address by the public suffix list; None where it is neither. Remembers 65,536 hosts."""
    if ":" in name or name.replace(".", "").isdigit():
        try:
            return Host(str(ipaddress.ip_address(name)), None, None, None, True)
        except ValueError:
            return None
    plain = ascii_host(name)
    if plain is None:
        return None
    found = _suffixes().extract_str(plain) if "." in plain else None
    if found is None:
        return Host(plain, None, None, None, False)
    domain = found.top_domain_under_public_suffix or None
    return Host(plain, domain, found.suffix or None, plain.rpartition(".")[2], False)


def ascii_host(name: str) -> str | None:
    """A host name in lower case and punycode, None where it is no name of sound labels."""
    name = name.rstrip(".").lower()
    if not name.isascii():
        import idna

        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            return None
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return None
    return name


@cache
def _suffixes() -> Any:
    """The bundled public suffix list: no network, no cache on disk (0.1 s, once per process)."""
    import tldextract

    return tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)


_PSL = "Public Suffix List (tldextract)"
_RFC = "RFC 3986"
GROUP = SignalGroup(
    name="url",
    version=1,
    reads="document",
    packages=("tldextract", "idna"),
    compute=compute,
    description="The parts of the address, and the user's lists that hold it; known for documents without text too.",
    columns=(
        Column("host", pa.string(), "", "host name in lower case and punycode, or address", _RFC),
        Column("domain", pa.string(), "", "registered domain; null for addresses, local names and bare suffixes", _PSL),
        Column("suffix", pa.string(), "", "public suffix (co.uk); null where the list has none", _PSL),
        Column("tld", pa.string(), "", "last label of the host (uk)", _RFC),
        Column("address", pa.bool_(), "", "whether the host is an IPv4 or IPv6 address", _RFC),
        Column("scheme", pa.string(), "", "in lower case", _RFC),
        Column("path_depth", INT, "steps", "parts of the path that are not empty", _RFC),
        Column("length", INT, "characters", "of the whole URL, also where it cannot be parsed", _RFC),
        Column(
            "blocked",
            pa.string(),
            "",
            "name of the first of the recipe's blocklists, by name, that holds it, else null",
            "the user's lists",
        ),
    ),
)
