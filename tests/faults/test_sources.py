"""Raw files that are damaged, change, vanish, or are made to exhaust whoever reads them. Through the command line."""

import gzip
import json
import os
import subprocess
import sys
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import command_line
import fault_tasks
from tamis.engine import Local, TaskFailed

# A reader may hold one record and a window; a run's workers hold libraries too.
MEMORY = 500 << 20


def outcome(place):
    done = command_line.tamis("run", place / "recipe.yaml", "--work", place / "work", "--workers", 1, "--json")
    return json.loads(done.stdout)


def replace(place, name, content):
    (place / "rows.jsonl").unlink()
    (place / name).write_bytes(content)


def members(lines, pack):
    return b"".join(pack("".join(lines[i : i + 20]).encode()) for i in range(0, len(lines), 20))


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", zstandard.ZstdCompressor().compress)])
def test_a_truncated_archive_gives_all_before_the_cut_and_a_loss(place, lines, suffix, pack):
    content = members(lines, pack)
    replace(place, f"rows.jsonl.{suffix}", content[: len(content) - len(content) // 12])
    found = outcome(place)
    assert found["losses"] == {"source.truncated": 1}
    assert 100 <= found["documents"] < 120


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("zst", zstandard.ZstdCompressor(write_checksum=True).compress)]
)
def test_flipped_bytes_in_an_archive_cost_their_member_and_no_other(place, lines, suffix, pack):
    content = bytearray(members(lines, pack))
    middle = len(members(lines[:60], pack)) + len(members(lines[60:80], pack)) // 2  # inside the fourth of six
    content[middle : middle + 40] = bytes(value ^ 0x5A for value in content[middle : middle + 40])
    replace(place, f"rows.jsonl.{suffix}", bytes(content))
    found = outcome(place)
    assert set(found["losses"]) <= {
        "source.bad_compression",
        "source.bad_json",
        "source.truncated",
        "source.bad_member",
    }
    assert 100 <= found["documents"] < 120


@pytest.mark.parametrize("how", ["flipped", "truncated"])
def test_a_damaged_parquet_source_loses_rows_with_a_reason_and_invents_none(place, texts, tamis, how):
    (place / "rows.jsonl").unlink()
    path = place / "rows.parquet"
    table = pa.table({"text": texts, "url": [f"http://a.org/{i}" for i in range(len(texts))]})
    pq.write_table(table, path, row_group_size=30, compression="zstd", write_page_checksum=True, use_dictionary=False)
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[:-200])
        said = tamis("run", place / "recipe.yaml", "--work", place / "work", "--workers", 1, code=1).stderr
        assert "source.bad_file" in said
        return
    for at in range(len(content) // 3, len(content) // 3 + 30):
        content[at] ^= 0x5A
    path.write_bytes(content)
    found = outcome(place)
    assert found["losses"] == {"source.bad_page": 30}
    assert found["documents"] == 90


def test_a_file_that_changes_while_it_is_read_is_an_error_and_is_read_anew(place, monkeypatch):
    monkeypatch.setattr("tamis.reading.read_task", fault_tasks.changing_documents)
    with Local(1) as engine, pytest.raises(TaskFailed, match=r"rows\.jsonl changed (while it was read|since the run)"):
        fault_tasks.drive(place / "recipe.yaml", place / "work", engine)
    monkeypatch.undo()
    with Local(1) as engine:
        found = fault_tasks.drive(place / "recipe.yaml", place / "work", engine)
    assert found.documents == 120 + (place / "rows.jsonl").read_text().count("one more line")


def test_a_file_that_vanishes_between_plan_and_read_is_named(place, lines):
    (place / "rows.more.jsonl").write_text("".join(lines[:5]).replace("Page", "Leaf"))
    gone = fault_tasks.At("documents", lambda: (place / "rows.more.jsonl").unlink(missing_ok=True))
    with Local(1) as engine, pytest.raises(TaskFailed, match=r"rows\.more\.jsonl is gone"):
        fault_tasks.drive(place / "recipe.yaml", place / "work", engine, gone)
    with Local(1) as engine:
        assert fault_tasks.drive(place / "recipe.yaml", place / "work", engine).documents == 120


def zeros(path, size, before=b"", after=b""):
    """A gzip file of `size` zero bytes between two texts, without compressing them one by one."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    once = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    tail = packer.compress(after) + packer.flush(zlib.Z_FINISH)
    check = zlib.crc32(before)
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + head)
        for _ in range(size >> 20):
            file.write(once)
            check = zlib.crc32(block, check)
        check = zlib.crc32(after, check)
        length = len(before) + size + len(after)
        file.write(tail + check.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little"))


def peak(code, *arguments):
    """Highest resident memory of a Python process that runs `code`, and what it prints."""
    # not ru_maxrss: a process inherits it from the one that started it
    tail = "\nfor line in open('/proc/self/status'):\n    if line.startswith('VmHWM'): print(line.split()[1])"
    done = subprocess.run(
        [sys.executable, "-c", code + tail, *map(str, arguments)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    *said, most = done.stdout.split()
    return int(most) << 10, said


READ = """
import collections, sys
from tamis.sources import Loss, SourceSpec, plan, read
found = collections.Counter()
for split in plan(SourceSpec("s", sys.argv[1:])):
    for item in read(split):
        found[item.reason if isinstance(item, Loss) else "record"] += 1
for name, count in sorted(found.items()): print(f"{name}={count}")
"""


def test_a_decompression_bomb_is_bounded_and_the_rest_is_read(tmp_path):
    record = b'{"text": "before the bomb"}\n'
    zeros(tmp_path / "lines.jsonl.gz", 1 << 30, record, b"\n" + record)
    assert (tmp_path / "lines.jsonl.gz").stat().st_size < 4 << 20
    used, said = peak(READ, tmp_path / "lines.jsonl.gz")
    assert said == ["record=2", "source.too_large=1"]
    assert used < MEMORY
    zeros(tmp_path / "page.html.gz", 512 << 20)
    used, said = peak(READ, tmp_path / "page.html.gz")
    assert said == ["source.too_large=1"]
    assert used < MEMORY


def test_a_bomb_inside_a_page_of_a_crawl_is_bounded(tmp_path):
    zeros(tmp_path / "body.gz", 512 << 20)
    body = (tmp_path / "body.gz").read_bytes()
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n" + body
    good = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>good</p>"
    with (tmp_path / "a.warc.gz").open("wb") as file:
        for number, block in enumerate((good, http, good)):
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/{number}\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
            )
            file.write(gzip.compress(head.encode() + block + b"\r\n\r\n"))
    used, said = peak(READ, tmp_path / "a.warc.gz")
    assert said == ["record=2", "source.too_large=1"]
    assert used < MEMORY


def test_a_line_of_a_gigabyte_is_one_loss_and_the_rest_is_read(place, lines):
    """The line is a hole in the file: it takes no disk."""
    with (place / "rows.jsonl").open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b'{"text": "')
        file.seek(1 << 30, os.SEEK_CUR)
        file.write(b'"}\n' + "".join(lines[:3]).replace("Page", "Leaf").encode())
    used, said = peak(READ, place / "rows.jsonl")
    assert said == ["record=123", "source.too_large=1"]
    assert used < MEMORY


def test_a_long_line_costs_one_record_of_a_run(place, lines):
    (place / "rows.jsonl").write_text(
        "".join(lines[:60]) + '{"text": "' + "x" * (5 << 18) + '"}\n' + "".join(lines[60:])
    )
    found = outcome(place)
    assert found["losses"] == {"source.too_large": 1}
    assert found["documents"] == 120


def test_an_lz4_archive_is_refused_with_the_way_out(place, tamis):
    replace(place, "rows.jsonl.lz4", b"\x04\x22\x4d\x18" + bytes(20))
    said = tamis("run", place / "recipe.yaml", "--work", place / "work", code=2).stderr
    assert "recompress it with gzip or zstd" in said
