"""References are read from what people have, as documents of one domain each, and offered in turn."""

from __future__ import annotations

import bz2
import gzip
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.proof.references import (
    PIECE_BYTES,
    BadReference,
    beginning,
    candidates,
    of_this_machine,
    plain_pod,
    plain_wikitext,
)

PROSE = "The quick brown fox jumps over the lazy dog while nobody looks. "


def test_every_format_gives_its_text(tmp_path):
    page = "<page><title>T</title><ns>{ns}</ns>{more}<revision><text>{text}</text></revision></page>"
    pages = [
        page.format(ns=0, more="", text="'''Fox''' is a [[Animal|beast]]. {{infobox {{x}}}}" + PROSE * 10),
        page.format(ns=1, more="", text="Talk " + PROSE * 10),
        page.format(ns=0, more='<redirect title="x"/>', text="Redirect " + PROSE * 10),
    ]
    xml = f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{"".join(pages)}</mediawiki>'
    (tmp_path / "wiki.xml.bz2").write_bytes(bz2.compress(xml.encode()))
    with zipfile.ZipFile(tmp_path / "book.epub", "w") as archive:
        archive.writestr("text/chapter-1.xhtml", f"<html><body><p>Chapter {PROSE * 10}</p></body></html>")
        archive.writestr("text/colophon.xhtml", f"<html><body><p>Colophon {PROSE * 10}</p></body></html>")
    rows = [{"title": "Hello", "selftext": PROSE * 10 + "&amp;"}, {"title": "A link", "selftext": ""}]
    (tmp_path / "posts.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    pq.write_table(pa.table({"text": ["Table " + PROSE * 10, "short"], "n": [1, 2]}), tmp_path / "t.parquet")
    (tmp_path / "note.txt").write_text("Note " + PROSE * 10)
    given = ["wiki.xml.bz2", "book.epub", "reddit=posts.jsonl.gz", "t.parquet", "note.txt"]
    named = [f"reddit={tmp_path / 'posts.jsonl.gz'}" if "=" in one else str(tmp_path / one) for one in given]
    found = candidates(named, tmp_path, 100_000)
    by_domain = dict(zip(found.domains, found.texts, strict=True))
    assert sorted(found.domains) == ["book", "note", "reddit", "t", "wiki"]
    assert by_domain["wiki"].startswith("Fox is a beast. The quick")
    assert by_domain["book"].startswith("Chapter")
    assert by_domain["reddit"].startswith("Hello\n\nThe quick")
    assert by_domain["reddit"].endswith("&")
    # a folder is one domain
    whole = candidates([str(tmp_path)], tmp_path, 100_000)
    assert set(whole.domains) == {tmp_path.name}
    assert len(whole) == 5


def test_domains_share_the_limit(tmp_path):
    (tmp_path / "many.jsonl").write_text("\n".join(json.dumps({"text": f"{i} {PROSE * 40}"}) for i in range(200)))
    (tmp_path / "few.jsonl").write_text("\n".join(json.dumps({"text": f"few {i} {PROSE * 40}"}) for i in range(3)))
    found = candidates([str(tmp_path / "many.jsonl"), str(tmp_path / "few.jsonl")], tmp_path, 60_000)
    assert set(found.domains[:6]) == {"many", "few"}
    assert found.domains.count("few") == 3
    size = sum(len(text.encode()) for text in found.texts)
    assert 60_000 < size < 3 * 60_000
    assert found == candidates([str(tmp_path / "many.jsonl"), str(tmp_path / "few.jsonl")], tmp_path, 60_000)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.bin", b"x", "none of Parquet"),
        ("a.jsonl", b"{", "not JSON"),
        ("a.xml", b"<mediawiki>", "MediaWiki"),
        ("a.epub", b"no zip", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, body, message):
    (tmp_path / name).write_bytes(body)
    with pytest.raises(BadReference, match=message):
        candidates([str(tmp_path / name)], tmp_path, 1000)


def test_a_name_that_is_nothing_is_said(tmp_path):
    with pytest.raises(BadReference, match="no such file, and no such corpus"):
        candidates(["nothing"], tmp_path, 1000)


def test_a_domain_has_a_name(tmp_path):
    """The empty one is the whole reference's."""
    (tmp_path / ".notes.txt").write_text(PROSE * 10)
    assert candidates([str(tmp_path / ".notes.txt")], tmp_path, 1000).domains == ["notes"]
    for name in ("", " "):
        with pytest.raises(BadReference, match="needs a name"):
            candidates([f"{name}={tmp_path / '.notes.txt'}"], tmp_path, 1000)


def test_text_that_cannot_be_written_is_mended(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a\\ud800 ' + PROSE * 10 + '"}\n')
    (text,) = candidates([str(tmp_path / "a.jsonl")], tmp_path, 1000).texts
    assert text.startswith("a? The quick")


def test_lengths_are_of_bytes(tmp_path):
    (tmp_path / "zh.txt").write_text("好" * 150)
    assert len(candidates([str(tmp_path / "zh.txt")], tmp_path, 1000)) == 1


def test_beginnings_end_between_words():
    text = PROSE * 200
    piece = beginning(text)
    assert len(piece) <= PIECE_BYTES
    assert text[len(piece)] == " "
    assert beginning("short") == "short"
    assert len(beginning("é" * 10_000).encode()) <= PIECE_BYTES


def test_wikitext_that_never_closes_ends_quickly():
    assert plain_wikitext("{{" * 20_000 + "x") == ""
    assert plain_wikitext("a " + "[[" * 20_000).startswith("a")
    # each of these took seconds at 5,000 and four times as long at twice that
    assert plain_wikitext("<ref>" * 200_000 + "x") == "x"
    assert plain_wikitext("<!--" * 200_000 + "x").endswith("x")
    assert plain_wikitext("=" + " " * 200_000 + "x").endswith("x")
    assert plain_wikitext("[[" * 200_000).startswith("[[")
    assert plain_wikitext("a<!-- <ref> -->b<REF name=x>c</ref >d<ref/>e<ref>f") == "abdef"
    assert plain_wikitext("[[File:x.jpg|thumb|A [[b|c]] d]]Text") == "Text"


def test_pod_without_code():
    assert plain_pod("=pod\n\nUse L<perlop|the page>, C<< a->b >>.\n\n=cut\n\nmy $x;") == "Use perlop, a->b."


def test_this_machine_has_prose():
    found = of_this_machine(30_000)
    assert "python reference" in found.domains
    assert all(len(text) >= 400 for text in found.texts)
    assert len(set(found.ids)) == len(found)
