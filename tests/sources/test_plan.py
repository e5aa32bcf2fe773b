"""Which files a source means, their formats, names and groups, here and behind URLs."""

from __future__ import annotations

import functools
import gzip
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tamis.sources import Loss, Record, SourceError, SourceSpec, infer_format, plan, read

WARC = (
    b"WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: http://a/\r\nContent-Type: text/html\r\n"
    b"Content-Length: 9\r\n\r\n<p>Hello.\r\n\r\n"
)


def all_items(spec: SourceSpec, split_bytes: int = 64 << 20) -> list[Record | Loss]:
    return [item for split in plan(spec, split_bytes) for item in read(split)]


def test_formats_by_name_and_by_content(tmp_path: Path) -> None:
    contents = {
        "a.warc.gz": (gzip.compress(WARC), "warc"),
        "b.warc.wet": (WARC, "wet"),
        "c.txt": (b"x", "text"),
        "d.md.gz": (gzip.compress(b"x"), "text"),
        "e.HTML": (b"x", "html"),
        "f.jsonl.zst": (b"x", "jsonl"),
        "g": (gzip.compress(WARC), "warc"),
        "h": (b' {"text": "x"}', "jsonl"),
        "i": (b"PAR1....", "parquet"),
        "j": (b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain 3\nabc\n", "arc"),
        "k": (b"who knows", None),
        "l.warc.gz.bad": (b"\x00\x01", "warc"),
    }
    for name, (data, _) in contents.items():
        (tmp_path / name).write_bytes(data)
    assert {name: infer_format(str(tmp_path / name)) for name in contents} == {n: f for n, (_, f) in contents.items()}


def test_a_folder_of_texts(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.md", "a.txt", "sub/a.txt", ".git/c.txt", "data.csv", "page.html"):
        (tmp_path / name).write_text(f"I am {name}.")
    (tmp_path / "empty.txt").touch()
    found = all_items(SourceSpec("s", [str(tmp_path)]))
    assert {i.locator: (i.kind, i.mime, i.payload.decode()) for i in found if isinstance(i, Record)} == {
        "a.txt#0": ("text", "text/plain", "I am a.txt."),
        "b.md#0": ("text", "text/markdown", "I am b.md."),
        "page.html#0": ("html", "text/html", "I am page.html."),
        "sub/a.txt#0": ("text", "text/plain", "I am sub/a.txt."),
    }
    assert [(i.file, i.reason) for i in found if isinstance(i, Loss)] == [("empty.txt", "source.empty")]


def test_small_files_share_splits(tmp_path: Path) -> None:
    for number in range(2500):
        (tmp_path / f"{number:05d}.txt").write_text(f"text {number}")
    splits = plan(SourceSpec("s", [f"{tmp_path}/*.txt"]))
    assert [len(split.files) for split in splits] == [1000, 1000, 500]
    found = [item for split in splits for item in read(split)]
    assert [i.payload.decode() for i in found if isinstance(i, Record)] == [f"text {n}" for n in range(2500)]
    assert plan(SourceSpec("s", [f"{tmp_path}/*.txt"])) == splits
    assert len(plan(SourceSpec("s", [f"{tmp_path}/*.txt"]), 1000)) > 10


def test_files_of_one_name_keep_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(folder)
    paths = [f"{tmp_path}/one/*.txt", f"{tmp_path}/two", f"{tmp_path}/one/a.txt"]
    found = all_items(SourceSpec("s", paths))
    assert len({i.locator for i in found if isinstance(i, Record)}) == len(found) == 2


def test_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b")
    with pytest.raises(SourceError, match=r"'.*nothing\*' matches nothing to read: no file is there"):
        plan(SourceSpec("s", [f"{tmp_path}/nothing*"]))
    with pytest.raises(SourceError, match=r"1 files, with endings \['csv'\]"):
        plan(SourceSpec("s", [str(tmp_path)]))
    with pytest.raises(SourceError, match=r"cannot tell the format of .*x.csv.*set format to one of"):
        plan(SourceSpec("s", [f"{tmp_path}/x.csv"]))
    with pytest.raises(SourceError, match="unknown format 'wacr'"):
        plan(SourceSpec("s", [str(tmp_path)], "wacr"))
    (tmp_path / "a.warc").write_bytes(WARC)
    (split,) = plan(SourceSpec("s", [f"{tmp_path}/a.warc"]))
    (tmp_path / "a.warc").unlink()
    with pytest.raises(SourceError, match=r"a\.warc is gone"):
        list(read(split))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def test_files_behind_http(server: str, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(WARC) * 3)
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    found = all_items(SourceSpec("s", [f"{server}/a.warc.gz", f"{server}/b.jsonl"]), 50)
    assert [i.payload for i in found if isinstance(i, Record)] == [b"<p>Hello."] * 3 + [b"one", b"two"]
    assert next(i.locator for i in found if isinstance(i, Record)) == "a.warc.gz#0"


def test_files_in_an_object_store() -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    with store.open("/crawl/x/a.warc.gz", "wb") as file:
        file.write(gzip.compress(WARC) * 3)
    with store.open("/crawl/x/b.txt", "wb") as file:
        file.write(b"text")
    expected = [b"<p>Hello."] * 3
    for path in ("memory://crawl/x/a.warc.gz", "memory://crawl/*/*.warc.gz"):
        found = all_items(SourceSpec("s", [path]), 100)
        assert [i.payload for i in found if isinstance(i, Record)] == expected
    found = all_items(SourceSpec("s", ["memory://crawl"]))
    assert [i.locator for i in found if isinstance(i, Record)][-1] == "x/b.txt#0"
    store.rm("/crawl", recursive=True)
