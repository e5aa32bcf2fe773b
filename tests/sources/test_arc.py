"""Record lines of ARC files."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tamis.sources.arc import _line, begins

# What `_line` must find, as a regular expression: short, and quadratic.
GRAMMAR = re.compile(rb"([a-z][a-z0-9+.-]*:\S?[^\r\n]{0,8000}?) (\S+) (\d{4,17}) (\S+)(?: [^\r\n]*?)? (\d+)\r?\n", re.I)
PIECES = [
    "http:",
    "a",
    " ",
    " ",
    " ",
    "1.2.3.4",
    "20140216050221",
    "2014",
    "7",
    "text/html",
    "\t",
    "\r",
    "\n",
    ":",
    "\x0b",
]


def found(data: bytes, start: int = 0) -> tuple[bytes, bytes, bytes, int, int] | None:
    line = _line(data, start)
    return None if line is None else tuple(line)


def expected(data: bytes, start: int = 0) -> tuple[bytes, bytes, bytes, int, int] | None:
    line = GRAMMAR.match(data, start)
    return None if line is None else (line[1], line[3], line[4], int(line[5]), line.end() - start)


def test_lines_of_both_versions() -> None:
    line = b"http://example.org/a 192.0.2.1 20140216050221 text/html 1234\n"
    fields = (b"http://example.org/a", b"20140216050221", b"text/html", 1234, len(line))
    assert found(line + b"HTTP/1.1 200 OK\r\n") == fields
    second = b"http://example.org/a b 192.0.2.1 20140216050221 text/html 200 - - 77 file.arc 1234\r\n"
    assert found(b"xx" + second, 2) == (b"http://example.org/a b", b"20140216050221", b"text/html", 1234, len(second))
    assert begins(b"filedesc://a.arc 0.0.0.0 20140216050221 text/plain 76\n1 0 Me\n")
    assert not begins(b"HTTP/1.1 200 OK\r\n")
    assert not begins(line[:-1])


@given(st.lists(st.sampled_from(PIECES), max_size=24).map(lambda parts: ("http:" + "".join(parts)).encode()))
def test_the_same_lines_as_the_grammar(data: bytes) -> None:
    for text in (data, data + b" 1.1.1.1 20140216050221 text/html 5\n", data + b" 5\r\n"):
        assert found(text) == expected(text)


def test_the_longest_urls() -> None:
    for first in (b"x", b" "):
        for length in (7998, 7999, 8000, 8001, 8002):
            line = b"http:" + first + b"y" * (length - 1) + b" 1.1.1.1 20140216050221 text/html 5\n"
            assert found(line) == expected(line), (first, length)


def test_a_long_line_takes_no_longer_than_its_length() -> None:
    assert not begins(b"http://a" + b" 1 2014" * 100_000 + b" x\n")  # would take hours by the grammar
    assert not begins(b"http://a" + b" 1 2014 \t" * 900 + b" 5\n")
    assert not begins(b"http://a 1.1.1.1 2014 text/html " + b"9" * 5000 + b"\n")
