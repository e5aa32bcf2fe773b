"""HTTP messages to pages: encodings and media types as they are met in crawls."""

from __future__ import annotations

import gzip
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tamis.sources.payload import Page, dechunk, http_page, typed_page

PAGE = b"<!doctype html><p>" + b"A page. " * 40
LIMIT = 1 << 20


def response(headers: str, body: bytes, status: str = "HTTP/1.1 200 OK") -> Page:
    return http_page(f"{status}\r\n{headers}\r\n\r\n".encode("latin-1") + body, None, LIMIT)


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("zstd", zstandard.compress),
        ("identity", bytes),
        ("gzip", bytes),  # the archive stored it decoded and kept the header
        ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    ],
)
@pytest.mark.parametrize("transfer", [False, True])
def test_encodings(encoding: str, encode, transfer: bool) -> None:  # type: ignore[no-untyped-def]
    headers = f"content-TYPE: text/html; charset=ISO-8859-1\r\nContent-Encoding: {encoding}"
    body = encode(PAGE)
    if transfer:
        headers, body = headers + "\r\nTransfer-Encoding: chunked", chunked(body)
    page = response(headers, body)
    assert (page.reason, page.payload, page.kind, page.charset) == (None, PAGE, "html", "iso-8859-1")
    assert page.meta == {}


def test_brotli() -> None:
    brotli = pytest.importorskip("brotli")
    page = response("Content-Type: text/html\r\nContent-Encoding: br", brotli.compress(PAGE))
    assert page.payload == PAGE
    bomb = brotli.compress(b"<html>" + bytes(8 << 20))
    assert response("Content-Type: text/html\r\nContent-Encoding: br", bomb).reason == "source.too_large"


def test_damaged_encodings_keep_what_came_before() -> None:
    big = b"<html>" + bytes(range(256)).hex().encode() * 400
    page = response("Content-Type: text/html\r\nContent-Encoding: gzip", gzip.compress(big)[:-40])
    assert page.meta == {"damaged": "gzip"}
    assert big.startswith(page.payload)
    page = response("Content-Type: text/html\r\nTransfer-Encoding: chunked", chunked(PAGE, 50)[:200])
    assert page.meta == {"damaged": "chunked"}
    assert PAGE.startswith(page.payload)
    assert len(page.payload) > 100
    page = response("Content-Type: text/html\r\nContent-Encoding: sdch", PAGE)
    assert (page.reason, page.detail) == ("skipped.encoding", "sdch")


def test_status_lines() -> None:
    for status in ("HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/2 200", "http/1.1 200 x".upper(), "HTTP/1.1 203 Copy"):
        assert response("Content-Type: text/html", PAGE, status).reason is None, status
    for status in ("HTTP/1.1 404", "HTTP/1.1 301 Moved", "HTTP/1.1 206 Partial"):
        assert response("Content-Type: text/html", PAGE, status).reason == "skipped.status", status
    for status in ("HTTPX/1.1 200 OK", "", "200 OK"):
        assert response("Content-Type: text/html", PAGE, status).reason == "source.bad_http", status


@pytest.mark.parametrize(
    ("mime", "identified", "body", "expected"),
    [
        ("text/html", None, PAGE, "html"),
        ("application/xhtml+xml", None, b"<html/>", "html"),
        ("text/plain", None, b"plain", "text"),
        ("text/plain", None, PAGE, "html"),
        ("text/markdown; charset=utf-8", None, b"# x", "text"),
        ("", None, b"\n <?xml version='1.0'?>\n<!-- x --><HTML><p>", "html"),
        ("", None, b"nothing to tell", "skipped.mime"),
        ("application/octet-stream", None, PAGE, "html"),
        ("application/xml", None, b"<rss/>", "skipped.mime"),
        ("text/xml", None, b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0">', "html"),
        ("image/png", "text/html", PAGE, "html"),
        ("text/html", "application/pdf", b"x", "skipped.mime"),
        ("text/html", "application/octet-stream", PAGE, "html"),
        ("text/html", None, b"\x89PNG\r\n", "skipped.mime"),
        ("text/plain", None, b"a\0b", "skipped.mime"),
        ("text/plain", None, "utf-16 text".encode("utf-16"), "text"),
        ("application/json", None, b"{}", "skipped.mime"),
        ("text/html", None, b" \r\n", "skipped.empty"),
    ],
)
def test_media_types(mime: str, identified: str | None, body: bytes, expected: str) -> None:
    page = typed_page(body, mime, identified)
    assert (page.reason or page.kind) == expected


@given(st.binary(max_size=300), st.integers(1, 50))
def test_chunks_join(body: bytes, size: int) -> None:
    if body:
        assert dechunk(chunked(body, size)) == (body, True)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_page_or_a_reason(block: bytes) -> None:
    for head in (
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200\n\n",
    ):
        page = http_page(head + block, None, 1000)
        assert page.reason is not None or page.payload


def test_comments_before_a_page_cost_time_in_proportion() -> None:
    # In a pattern that could end a comment at any later "-->", forty of them would take hours.
    comments = b"<!-- a -->" * 300
    assert typed_page(comments + b"<p>no page", "").reason == "skipped.mime"
    assert typed_page(comments + b"<html><p>a page", "").kind == "html"
