from __future__ import annotations

import pytest

from tamis.documents import read_table
from tamis.verdicts.lookup import Ambiguous, NotFound, find, read_row


def test_a_document_is_found_by_the_beginning_of_its_id_and_by_url(make_workspace):
    folder = make_workspace([30, 0, 20])
    row = read_table(folder.documents(2)).to_pylist()[7]
    for key in (row["id"], row["id"][:20], row["id"].upper(), row["url"]):
        found = find(folder, key)
        assert (found.shard, found.row, found.id, found.url) == (2, 7, row["id"], row["url"])
        assert found.gid == (2 << 32) + 7


def test_an_ambiguous_prefix_lists_the_documents(make_workspace):
    folder = make_workspace([30])
    ids = read_table(folder.documents(0)).column("id").to_pylist()
    prefix = ids[3][:1]
    with pytest.raises(Ambiguous, match="say more of the id") as error:
        find(folder, prefix)
    assert {one.id for one in error.value.found} <= {one for one in ids if one.startswith(prefix)}


def test_what_is_not_there_is_said_so(make_workspace):
    folder = make_workspace([5])
    with pytest.raises(NotFound, match="id or URL abc"):
        find(folder, "abcdefabcdef")
    with pytest.raises(NotFound, match="URL https"):
        find(folder, "https://nowhere.example/")


def test_lookup_reads_no_text(make_workspace, monkeypatch):
    folder = make_workspace([5])
    asked = []

    def spy(path, columns):
        asked.extend(columns)
        return read_table(path, columns)

    monkeypatch.setattr("tamis.verdicts.lookup.read_table", spy)
    find(folder, read_table(folder.documents(0)).column("url")[2].as_py())
    assert set(asked) == {"id", "url"}


def test_a_row_beyond_the_end_is_refused(make_workspace):
    folder = make_workspace([5])
    assert read_row(folder.documents(0), 4, ["source"]) == {"source": "crawl"}
    with pytest.raises(IndexError, match="has 5 rows"):
        read_row(folder.documents(0), 5)
