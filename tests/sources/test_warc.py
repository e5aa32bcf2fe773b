"""WARC reading: every record once, over any splits, any cut and any damage."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.sources import Loss, Record, SourceSpec, Split, plan, read

QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


def page(number: int, size: int = 400) -> bytes:
    words = random.Random(number).choices(["sieve", "crawl", "record", "page", "<b>", "word"], k=size // 6)
    return f"<!doctype html><title>{number}</title><p>{' '.join(words)}".encode()


def record(
    number: int,
    body: bytes | None = None,
    *,
    kind: str = "response",
    head: str = "",
    length: int | None = None,
    status: str = "200 OK",
    http: str = "Content-Type: text/html",
) -> bytes:
    body = page(number) if body is None else body
    block = f"HTTP/1.1 {status}\r\n{http}\r\n\r\n".encode() + body
    size = len(block) if length is None else length
    return (
        (
            f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://example.org/{number}\r\n"
            f"WARC-Date: 2024-05-17T23:31:2{number % 10}Z\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n{head}"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {size}\r\n\r\n"
        ).encode()
        + block
        + b"\r\n\r\n"
    )


def members(parts: list[bytes], compress: Callable[[bytes], bytes] = gzip.compress) -> tuple[bytes, list[int]]:
    """Each part as a member of its own; (file, starts)."""
    out, starts = b"", []
    for part in parts:
        starts.append(len(out))
        out += compress(part)
    return out, starts


def items(path: Path, split_bytes: int = 64 << 20, **options: object) -> list[Record | Loss]:
    splits = plan(SourceSpec("s", [str(path)], options=options), split_bytes)
    return [item for split in splits for item in read(split)]


def urls(found: list[Record | Loss]) -> list[str]:
    return [item.url.rsplit("/", 1)[1] for item in found if isinstance(item, Record) and item.url]


def losses(found: list[Record | Loss]) -> list[tuple[int, str]]:
    return [(item.offset, item.reason) for item in found if isinstance(item, Loss)]


def written(tmp_path: Path, data: bytes, name: str = "a.warc.gz") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_a_record_as_it_was_captured(tmp_path: Path) -> None:
    (found,) = items(written(tmp_path, gzip.compress(record(7))))
    assert isinstance(found, Record)
    assert found.payload == page(7)
    assert (found.locator, found.offset) == ("a.warc.gz#0", 0)
    assert (found.url, found.date) == ("http://example.org/7", "2024-05-17T23:31:27Z")
    assert (found.kind, found.mime, found.charset) == ("html", "text/html", None)
    assert found.meta == {"record": "urn:uuid:7"}


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "a.warc": bytes,
    "a.warc.gz": gzip.compress,
    "a.warc.zst": zstandard.ZstdCompressor().compress,
    "a.warc.xz": lzma.compress,
    "a.warc.bz2": bz2.compress,
}


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("single", [True, False], ids=["one-member", "member-per-record"])
def test_every_compression_gives_the_same_records(name: str, single: bool, tmp_path: Path) -> None:
    parts = [record(n) for n in range(20)]
    parts = [b"".join(parts)] if single else parts
    found = items(written(tmp_path, members(parts, COMPRESSIONS[name])[0], name))
    assert urls(found) == [str(n) for n in range(20)]
    assert [item.payload for item in found if isinstance(item, Record)] == [page(n) for n in range(20)]
    assert len({item.locator for item in found if isinstance(item, Record)}) == 20


@QUIET
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=25), st.integers(1, 5000), st.sampled_from(["gz", "plain"]))
def test_splits_partition_the_records(tmp_path: Path, sizes: list[int], split_bytes: int, form: str) -> None:
    parts = [record(n, page(n, size)) for n, size in enumerate(sizes)]
    data = members(parts)[0] if form == "gz" else b"".join(parts)
    path = written(tmp_path, data, "a.warc.gz" if form == "gz" else "a.warc")
    whole, cut = items(path), items(path, split_bytes)
    assert cut == whole
    assert urls(whole) == [str(n) for n in range(len(sizes))]


def test_a_split_never_begins_inside_an_archived_archive(tmp_path: Path) -> None:
    """A payload that is itself a .warc.gz, stored uncompressed: its members look like the file's own."""
    inner = members([record(n) for n in range(100, 160)])[0]
    store: Callable[[bytes], bytes] = lambda part: gzip.compress(part, 0)  # noqa: E731
    parts = [record(0), record(1, inner, http="Content-Type: application/gzip"), record(2)]
    path = written(tmp_path, members(parts, store)[0])
    for split_bytes in (100, 1000, 3000, 7001):
        found = items(path, split_bytes)
        assert urls(found) == ["0", "2"]
        assert [reason for _, reason in losses(found)] == ["skipped.mime"]


@QUIET
@given(st.integers(0, 2**30), st.sampled_from(sorted(COMPRESSIONS)))
def test_truncation_keeps_every_whole_record(tmp_path: Path, seed: int, name: str) -> None:
    parts = [record(n) for n in range(12)]
    data, starts = members(parts, COMPRESSIONS[name])
    cut = seed % len(data)
    found = items(written(tmp_path, data[:cut], name))
    whole = sum(end <= cut for end in [*starts[1:], len(data)])
    # A plain record is whole without the line ends behind it.
    assert urls(found) in ([str(n) for n in range(whole)], [str(n) for n in range(whole + (name == "a.warc"))])
    if cut == 0:
        assert losses(found) == [(0, "source.empty")]
    elif cut not in starts and len(urls(found)) == whole:
        assert losses(found) == [(starts[whole], "source.truncated")]


@QUIET
@given(st.integers(0, 2**30))
def test_truncation_in_one_big_member(tmp_path: Path, seed: int) -> None:
    bodies = [random.Random(n).randbytes(20_000).hex().encode() for n in range(6)]
    parts = [record(n, body, http="Content-Type: text/plain") for n, body in enumerate(bodies)]
    data = gzip.compress(b"".join(parts))
    cut = 1 + seed % (len(data) - 2)
    found = items(written(tmp_path, data[:cut]))
    assert urls(found) == [str(n) for n in range(len(urls(found)))]
    assert "source.truncated" in [reason for _, reason in losses(found)]
    assert len(urls(found)) >= int(6 * cut / len(data)) - 1


@QUIET
@given(st.integers(0, 2**30), st.integers(1, 40))
def test_flipped_bytes_cost_the_records_they_hit(tmp_path: Path, seed: int, count: int) -> None:
    """Member per record: every untouched record is given, every touched one is given unchanged or is a loss."""
    parts = [record(n) for n in range(30)]
    data, starts = members(parts)
    at = random.Random(seed).randrange(len(data) - count)
    damaged = bytearray(data)
    for position in range(at, at + count):
        damaged[position] ^= 0xA5
    found = items(written(tmp_path, bytes(damaged)))
    ends = [*starts[1:], len(data)]
    untouched = [str(n) for n in range(30) if ends[n] <= at or starts[n] >= at + count]
    assert set(untouched) <= set(urls(found))
    assert len(urls(found)) == len(set(urls(found)))
    for item in found:
        if isinstance(item, Record):
            assert item.payload == page(int(item.url.rsplit("/", 1)[1]))  # type: ignore[union-attr]
    if len(urls(found)) < 30:
        assert losses(found)
    cut = items(tmp_path / "a.warc.gz", 1500)
    assert urls(cut) == urls(found)


@QUIET
@given(st.integers(0, 2**30), st.integers(1, 40))
def test_flipped_bytes_in_a_plain_file(tmp_path: Path, seed: int, count: int) -> None:
    parts = []
    for n in range(30):
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page(n)
        parts.append(record(n, head=f"WARC-Block-Digest: sha1:{hashlib.sha1(block).hexdigest()}\r\n"))
    data = b"".join(parts)
    starts = [sum(map(len, parts[:n])) for n in range(30)]
    ends = [*starts[1:], len(data)]
    at = random.Random(seed).randrange(len(data) - count)
    damaged = bytearray(data)
    for position in range(at, at + count):
        damaged[position] ^= 0xA5
    found = items(written(tmp_path, bytes(damaged), "a.warc"))
    untouched = {n for n in range(30) if ends[n] <= at or starts[n] >= at + count}
    kept = {item.offset for item in found if isinstance(item, Record)}
    # The record before a broken header cannot be told from one that runs on: it may be lost too.
    before = {n for n in untouched if ends[n] <= at < ends[n] + 20 or ends[n] == at}
    assert {starts[n] for n in untouched - before} <= kept
    for item in found:
        if isinstance(item, Record) and item.offset in starts and starts.index(item.offset) in untouched:
            assert item.payload == page(starts.index(item.offset))


def test_a_wrong_length_costs_one_record(tmp_path: Path) -> None:
    for length in (10, 350, 100_000, 10**12):
        parts = [record(0), record(1, length=length), record(2), record(3)]
        for name, data in {"a.warc.gz": members(parts)[0], "a.warc": b"".join(parts)}.items():
            if name == "a.warc" and length == 10**12:
                continue  # nothing tells such a length from a file that was cut
            found = items(written(tmp_path, data, name))
            assert urls(found) == ["0", "2", "3"], (name, length)
            assert [reason for _, reason in losses(found)] == ["source.bad_length"], (name, length)


def test_a_record_beyond_the_limit_is_skipped(tmp_path: Path) -> None:
    parts = [record(0), record(1, page(1, 300_000)), record(2)]
    for name, data in {"a.warc.gz": members(parts)[0], "b.warc.gz": gzip.compress(b"".join(parts))}.items():
        found = items(written(tmp_path, data, name), record_bytes=100_000)
        assert urls(found) == ["0", "2"]
        assert [reason for _, reason in losses(found)] == ["source.too_large"]


def test_a_gzip_bomb_is_a_loss(tmp_path: Path) -> None:
    body = gzip.compress(gzip.compress(bytes(200 << 20)))
    parts = [
        record(0, gzip.compress(b"<html>" + bytes(30 << 20)), http="Content-Type: text/html\r\nContent-Encoding: gzip")
    ]
    parts.append(record(1, body, http="Content-Type: text/html\r\nContent-Encoding: gzip, gzip"))
    found = items(written(tmp_path, members(parts)[0]), record_bytes=8 << 20)
    assert [reason for _, reason in losses(found)] == ["source.too_large", "source.too_large"]


def test_records_that_are_no_page(tmp_path: Path) -> None:
    parts = [
        record(0, kind="request"),
        record(1, kind="metadata"),
        record(2, kind="revisit"),
        record(3, kind="continuation"),
        record(4, kind="strange"),
        record(5, status="404 Not Found"),
        record(6, http="Content-Type: image/png"),
        record(7, b""),
        record(8, b"%PDF-1.4 x"),
        record(9, status="oh", http="x: y"),
    ]
    assert [reason.removeprefix("skipped.") for _, reason in losses(items(written(tmp_path, members(parts)[0])))] == [
        "request", "metadata", "revisit", "continuation", "type", "status", "mime", "empty", "mime", "source.bad_http",
    ]  # fmt: skip


def test_wrong_block_digests(tmp_path: Path) -> None:
    data = record(0, head="WARC-Block-Digest: sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n") + record(1)
    path = written(tmp_path, data, "a.warc")
    assert losses(items(path)) == [(0, "source.bad_digest")]
    assert urls(items(path, digests=False)) == ["0", "1"]


def test_padding_and_garbage_between_members(tmp_path: Path) -> None:
    one, two = gzip.compress(record(0)), gzip.compress(record(1))
    assert urls(items(written(tmp_path, one + bytes(512) + two + bytes(100)))) == ["0", "1"]
    found = items(written(tmp_path, one + b"GARBAGE" * 9 + two))
    assert urls(found) == ["0", "1"]
    assert losses(found) == [(len(one), "source.bad_member")]


def test_a_conversion_record_is_text(tmp_path: Path) -> None:
    body = "Grüße".encode()
    data = (
        b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://example.org/\r\n"
        b"WARC-Identified-Content-Language: deu\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
    ) % (len(body), body)
    (found,) = items(written(tmp_path, gzip.compress(data), "a.warc.wet.gz"))
    assert isinstance(found, Record)
    assert (found.kind, found.payload, found.meta) == ("text", body, {"identified_language": "deu"})


def test_a_dictionary_in_the_first_frame_of_a_zstd_file(tmp_path: Path) -> None:
    samples = [record(n) for n in range(200)]
    dictionary = zstandard.train_dictionary(4000, samples)
    frame = b"\x5d\x2a\x4d\x18" + len(dictionary.as_bytes()).to_bytes(4, "little") + dictionary.as_bytes()
    compress = zstandard.ZstdCompressor(dict_data=dictionary).compress
    found = items(written(tmp_path, frame + members(samples[:5], compress)[0], "a.warc.zst"))
    assert urls(found) == ["0", "1", "2", "3", "4"]


def test_split_parameters_survive_json(tmp_path: Path) -> None:
    import json

    for split in plan(
        SourceSpec("s", [str(written(tmp_path, gzip.compress(record(0))))], options={"record_bytes": 99})
    ):
        assert Split.from_params(json.loads(json.dumps(split.as_params()))) == split
