from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.signals.blocklists import (
    BadList,
    Blocklist,
    blocked,
    entry_hash,
    hash_lines,
    hosts_above,
    load,
    normalize_entry,
    page_prefixes,
)


def listed(text: str) -> Blocklist:
    return Blocklist("x", *hash_lines(text.encode()))


@pytest.mark.parametrize(
    ("entry", "host", "rest", "hit"),
    [
        ("bad.org", "bad.org", "/", True),
        ("bad.org", "a.b.bad.org", "/x", True),
        ("bad.org", "notbad.org", "/", False),
        ("a.bad.org", "bad.org", "/", False),
        ("*.bad.org", "c.bad.org", "", True),
        ("www.bad.org", "bad.org", "", True),
        ("bad.org", "www.bad.org", "", True),
        ("HTTPS://Bad.org/Dir/", "bad.org", "/dir/page.html", True),
        ("bad.org/dir", "bad.org", "/dir?x=1", True),
        ("bad.org/dir", "bad.org", "/directory", False),
        ("bad.org/x?id=1", "bad.org", "/x?id=1", True),
        ("bad.org/x?id=1", "bad.org", "/x?id=12", False),
        ("1.2.3.4", "1.2.3.4", "/", True),
        ("4", "1.2.3.4", "/", False),
        ("127.0.0.1 bad.org", "bad.org", "/", True),
        ("bad.org # why", "bad.org", "/", True),
        ("# bad.org", "bad.org", "/", False),
        ("bücher.de", "xn--bcher-kva.de", "/", True),
    ],
)
def test_what_an_entry_blocks(entry: str, host: str, rest: str, hit: bool) -> None:
    assert (blocked([listed(entry + "\n")], host, rest) == "x") is hit


def test_no_list_and_empty_lists_block_nothing() -> None:
    assert blocked([], "a.org", "/") is None
    assert blocked([listed("")], "a.org", "/b") is None
    assert len(listed("\n\n# nothing\n")) == 0


def test_ut1_folders(tmp_path) -> None:
    for name, domains in (("adult", "bad.org\n"), ("games", "play.org\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "domains").write_text(domains)
    (tmp_path / "games" / "urls").write_text("site.org/games\n")
    lists = load({"ut1": str(tmp_path)})
    assert [(one.name, len(one)) for one in lists] == [("ut1.adult", 1), ("ut1.games", 2)]
    assert blocked(lists, "site.org", "/games/1") == "ut1.games"
    assert [one.name for one in load({"adult": str(tmp_path / "adult")})] == ["adult"]


def test_bad_lists_are_named(tmp_path) -> None:
    with pytest.raises(BadList, match=r"'ads': .*does not exist"):
        load({"ads": str(tmp_path / "none.txt")})
    with pytest.raises(BadList, match="has no file"):
        load({"ads": str(tmp_path)})
    (tmp_path / "z.gz").write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(BadList, match="compressed"):
        load({"ads": str(tmp_path / "z.gz")})


_LINE = st.text(alphabet="aw.-_/0:*# Bé\t?", max_size=12)


@given(st.lists(_LINE, max_size=8))
def test_hashing_many_lines_equals_hashing_each(lines: list[str]) -> None:
    hosts, pages = hash_lines("\n".join(lines).encode())
    entries = {normalize_entry(line) for line in lines} - {""}
    assert set(hosts.tolist()) | set(pages.tolist()) == {entry_hash(entry) for entry in entries}
    assert len(set(pages.tolist())) == sum("/" in entry for entry in entries)


def test_prefixes() -> None:
    assert hosts_above("a.example.org") == ("a.example.org", "example.org", "org")
    assert page_prefixes("/x/y?z") == ["/x", "/x/y", "/x/y?z"]
    assert page_prefixes("") == page_prefixes("/") == []
    assert len(page_prefixes("/a" * 100)) == 16
