"""The crawl made from this machine: valid, deterministic, and never executing what it reads."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from tamis.sources import Loss, Record, SourceSpec, plan, read
from tamis.sources.machine import machine_crawl
from tamis.sources.man import man_html
from tamis.sources.python_pages import articles, prose

SMALL = {"python": 60, "packages": 20, "descriptions": 5, "debian": 20, "man": 40}


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crawl") / "machine.warc.gz"
    machine_crawl(path, pages=SMALL)
    return path


def test_every_record_is_a_page(crawl: Path) -> None:
    (split,) = plan(SourceSpec("machine", [str(crawl)]))
    found = list(read(split))
    assert isinstance(found[0], Loss)
    assert found[0].reason == "skipped.warcinfo"
    pages = [item for item in found if isinstance(item, Record)]
    assert len(pages) == len(found) - 1
    assert len({item.url for item in pages}) == len(pages)
    assert all(item.url and re.match(r"https://[a-z.]+\.invalid/[\x21-\x7e]*\Z", item.url) for item in pages)
    assert sorted(str(item.date) for item in pages) == [str(item.date) for item in pages]
    assert all(b"cookies" in item.payload for item in pages if item.charset)
    families = Counter(str(item.url).split("/")[2] for item in pages)
    assert families["docs.python.invalid"] == 60
    assert families["index.python.invalid"] > 0


def test_the_same_machine_gives_the_same_bytes(crawl: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    summary = machine_crawl(tmp_path / crawl.name, pages=SMALL, progress=lambda *at: seen.append(at))
    assert (tmp_path / crawl.name).read_bytes() == crawl.read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / crawl.name]
    assert summary.pages == len(seen) == sum(summary.families.values())
    assert summary.html_bytes == seen[-1][2]
    assert summary.stored_bytes == crawl.stat().st_size


def test_the_limit_of_bytes_holds(tmp_path: Path) -> None:
    summary = machine_crawl(tmp_path / "a.warc.gz", limit_bytes=300_000, pages={"python": 5000})
    assert 200_000 < summary.html_bytes <= 300_000


def test_one_member_per_record(crawl: Path) -> None:
    data = crawl.read_bytes()
    assert len(gzip.decompress(data)) > len(data)
    assert len(plan(SourceSpec("machine", [str(crawl)]), 20_000)) > 3


def test_nothing_is_executed_and_everything_is_escaped(tmp_path: Path) -> None:
    source = tmp_path / "evil.py"
    source.write_text(
        '"""A module with <script>alert(1)</script> & more."""\n'
        "raise SystemExit('executed')\n"
        "class Good(Base['<b>']):\n    '''Doc of <i>Good</i>.'''\n    def run(self, x='<img>'):\n        '''Runs.'''\n"
        "def \u0444(): 'Unicode.'\n"
    )
    module, good = articles(source, "evil")
    assert "<script>" not in module.body
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more." in module.body
    assert "<img>" not in good.body
    assert "<i>" not in good.body
    assert (module.path, good.path) == ("evil.html", "evil/Good.html")
    assert "Doc of &lt;i&gt;Good" in module.body
    assert module.links == ("\u0444", "Good")


@pytest.mark.parametrize("source", [b"def (", b"\0", b"x = '\xff'", b"# coding: nonsense\n", b"(" * 5000, b""])
def test_files_that_do_not_parse_give_no_page(source: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(source)
    assert list(articles(path, "bad")) == []


def test_prose() -> None:
    blocks = [
        "First <line>\ngoes on.",
        "Title\n=====",
        ">>> 1 < 2\nTrue",
        "- one\n- `two`",
        "## Head\nText",
        "    code & more",
    ]
    text = "\n\n".join(blocks)
    assert prose(text).split("\n", 2)[0] == "<p>First &lt;line&gt;"
    for part in (
        "<h3>Title</h3>",
        "<pre>&gt;&gt;&gt; 1 &lt; 2\nTrue</pre>",
        "<li>one</li><li><code>two</code></li>",
        "<h3>Head</h3><p>Text</p>",
        "<pre>    code &amp; more</pre>",
    ):
        assert part in prose(text)


def test_a_manual_page() -> None:
    source = r""".\" comment
.TH SIEVE 1 2026
.SH NAME
sieve \- keep what \fIfits\fR & <more>
.SH OPTIONS
.TP
.B \-n
Do \fBnothing\fP at all.
.IP \(bu 2
Point \(em one.
.PP
.nf
a  <b>
  c
.fi
.BR foo (1),
\[u00E9]\e
"""
    title, body = man_html(source) or ("", "")
    assert title == "SIEVE 1"
    for part in (
        "<h2>NAME</h2>\n<p>sieve - keep what <i>fits</i> &amp; &lt;more&gt;</p>",
        "<dt><b>-n</b></dt>\n<dd><p>Do <b>nothing</b> at all.</p></dd>",
        "<dt></dt>\n<dd><p>Point — one.</p></dd>\n</dl>",
        "<pre>a  &lt;b&gt;\n  c</pre>",
        "<p><b>foo</b>(1),\né\\</p>",
    ):
        assert part in body
    assert man_html(".so man1/other.1") is None
    assert man_html("") is None
