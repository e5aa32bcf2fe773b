from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.signals import url


def rows(batch, *urls: str | None, **options) -> list[dict[str, object]]:
    columns = url.compute(batch([None] * len(urls), urls), options)
    return [{name: values[i].as_py() for name, values in columns.items()} for i in range(len(urls))]


def test_parts_of_an_address_without_text_or_network(batch, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    url._suffixes.cache_clear()
    url.known_host.cache_clear()
    (row,) = rows(batch, "HTTPS://user:pw@Forums.BBC.co.uk:8080/a//b.html?q=1#x")
    assert row == {
        "host": "forums.bbc.co.uk",
        "domain": "bbc.co.uk",
        "suffix": "co.uk",
        "tld": "uk",
        "address": False,
        "scheme": "https",
        "path_depth": 2,
        "length": 53,
        "blocked": None,
    }


@pytest.mark.parametrize(
    ("address", "host", "domain"),
    [
        ("https://例え.jp/x", "xn--r8jz45g.jp", "xn--r8jz45g.jp"),
        ("http://Bücher.example.DE.", "xn--bcher-kva.example.de", "example.de"),
        ("http://192.0.2.7/x", "192.0.2.7", None),
        ("http://[2001:DB8::1]:80/", "2001:db8::1", None),
        ("http://localhost/x", "localhost", None),
        ("http://co.uk/", "co.uk", None),
        ("http://someone.blogspot.com/", "someone.blogspot.com", "blogspot.com"),
        ("ftp://ftp.debian.org/debian", "ftp.debian.org", "debian.org"),
    ],
)
def test_hosts(batch, address: str, host: str, domain: str | None) -> None:
    (row,) = rows(batch, address)
    assert (row["host"], row["domain"]) == (host, domain)
    assert row["address"] is (host[0].isdigit() and domain is None)


@pytest.mark.parametrize(
    "broken",
    ["", "foo", "http://", "//example.com/x", "mailto:a@b.c", "http://a b/", "http://300.1.1.1/", "http://[::1",
     "http://h:99999999/", "http://-x.com", "http://a..b/", "http://a%41.com/", "http://xn--\u2603.\u2603" + "x" * 300],
)  # fmt: skip
def test_broken_urls_are_null_but_their_length(batch, broken: str) -> None:
    (row,) = rows(batch, broken)
    assert row.pop("length") == len(broken)
    assert set(row.values()) == {None}


def test_no_url_is_all_null(batch) -> None:
    assert set(rows(batch, None)[0].values()) == {None}


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for prefix in ("", "http://", "http://["):
        parts = url.parse(prefix + text)
        assert parts is None or parts[1].name


def test_blocked_names_the_first_list(batch, tmp_path) -> None:
    (tmp_path / "ads.txt").write_text("0.0.0.0 ads.example.org # hosts file\n")
    (tmp_path / "all.txt").write_text("example.org\n")
    lists = {"ads": str(tmp_path / "ads.txt"), "all": str(tmp_path / "all.txt")}
    out = rows(batch, "http://x.ads.example.org/", "http://example.org/", "http://other.org", "bad", blocklists=lists)
    assert [row["blocked"] for row in out] == ["ads", "all", None, None]
