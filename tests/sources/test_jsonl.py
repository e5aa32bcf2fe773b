"""JSON Lines: every line once, bad ones by their offset."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.sources import Loss, Record, SourceError, SourceSpec, plan, read

QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "a.jsonl": bytes,
    "a.jsonl.gz": gzip.compress,
    "a.jsonl.zst": zstandard.ZstdCompressor().compress,
    "a.jsonl.xz": lzma.compress,
    "a.jsonl.bz2": bz2.compress,
}


def line(text: str, **fields: object) -> bytes:
    return json.dumps({"text": text, **fields}, ensure_ascii=False).encode() + b"\n"


def items(path: Path, split_bytes: int = 64 << 20, **options: object) -> list[Record | Loss]:
    splits = plan(SourceSpec("s", [str(path)], options=options), split_bytes)
    return [item for split in splits for item in read(split)]


def texts(found: list[Record | Loss]) -> list[str]:
    return [item.payload.decode() for item in found if isinstance(item, Record)]


def losses(found: list[Record | Loss]) -> list[tuple[int, str]]:
    return [(item.offset, item.reason) for item in found if isinstance(item, Loss)]


def written(tmp_path: Path, data: bytes, name: str = "a.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_fields(tmp_path: Path) -> None:
    row = line("Grüße", url="http://a/", date="2024-01-02", id=7, tags=["x"], long="y" * 600, ok=True, score=0.5)
    (found,) = items(written(tmp_path, row), id_field="id")
    assert isinstance(found, Record)
    assert found.payload.decode() == "Grüße"
    assert (found.url, found.date, found.kind, found.charset) == ("http://a/", "2024-01-02", "text", "utf-8")
    assert found.meta == {"id": "7", "ok": True, "score": 0.5}
    (found,) = items(tmp_path / "a.jsonl", meta_fields=["tags"])
    assert isinstance(found, Record)
    assert found.meta == {"tags": ["x"]}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_every_frame_is_read(name: str, tmp_path: Path) -> None:
    """Ten members of 300 lines: several libraries give the first 300 and no error."""
    compress = COMPRESSIONS[name]
    lines = [line(f"document {n}") for n in range(3000)]
    data = b"".join(compress(b"".join(lines[at : at + 300])) for at in range(0, 3000, 300))
    found = items(written(tmp_path, data, name))
    assert texts(found) == [f"document {n}" for n in range(3000)]
    assert len({item.locator for item in found if isinstance(item, Record)}) == 3000


@QUIET
@given(st.lists(st.text(max_size=60), max_size=30), st.integers(1, 400), st.booleans())
def test_splits_partition_the_lines(tmp_path: Path, rows: list[str], split_bytes: int, newline: bool) -> None:
    data = b"".join(line("x" + row) for row in rows)
    path = written(tmp_path, data if newline else data.removesuffix(b"\n"))
    whole = items(path)
    assert items(path, split_bytes) == whole
    assert texts(whole) == ["x" + row for row in rows]


def test_bad_lines(tmp_path: Path) -> None:
    rows = [
        line("good"),
        b'{"text": "cut\n',
        b"[1]\n",
        b'{"no": 1}\n',
        b'{"text": 5}\n',
        b'{"text": " "}\n',
        b'{"text": "x", "n": NaN}\n',
        b'{"text": ' + b"[" * 100_000 + b"\n",
        b'{"text": "\xff"}\n',
        b"\n",
        line("good too"),
    ]
    found = items(written(tmp_path, b"".join(rows)))
    starts = [sum(map(len, rows[:n])) for n in range(len(rows))]
    assert texts(found) == ["good", "good too"]
    bad, none, empty = "source.bad_json", "source.no_text", "skipped.empty"
    assert losses(found) == list(zip(starts[1:9], [bad, bad, none, none, empty, bad, bad, bad], strict=True))


def test_lone_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    assert texts(items(written(tmp_path, b'{"text": "a\\ud800b \\ud83d\\ude00"}\n'))) == ["a\ufffdb 😀"]


def test_a_line_beyond_the_limit_is_skipped(tmp_path: Path) -> None:
    data = line("one") + line("x" * 5_000_000) + line("two")
    for name, compress in COMPRESSIONS.items():
        found = items(written(tmp_path, compress(data), name), record_bytes=100_000)
        assert texts(found) == ["one", "two"]
        assert [reason for _, reason in losses(found)] == ["source.too_large"]


@QUIET
@given(st.integers(0, 2**30), st.sampled_from(sorted(COMPRESSIONS)))
def test_truncation_keeps_every_whole_line(tmp_path: Path, seed: int, name: str) -> None:
    chosen = random.Random(seed)
    lines = [line(chosen.randbytes(50).hex()) for _ in range(200)]
    data = b"".join(COMPRESSIONS[name](b"".join(lines[at : at + 20])) for at in range(0, 200, 20))
    cut = chosen.randrange(1, len(data))
    found = items(written(tmp_path, data[:cut], name))
    wanted = [json.loads(row)["text"] for row in lines]
    assert texts(found) == wanted[: len(texts(found))]
    assert len(texts(found)) >= 20 * (10 * cut // len(data) - 1)
    if name != "a.jsonl" and len(texts(found)) % 20:
        assert losses(found)[-1][1] == "source.truncated"


def test_damage_in_one_member_costs_that_member(tmp_path: Path) -> None:
    frames = [gzip.compress(b"".join(line(f"{n}-{m}") for m in range(50))) for n in range(4)]
    frames[1] = frames[1][:40] + bytes(20) + frames[1][60:]
    found = items(written(tmp_path, b"".join(frames), "a.jsonl.gz"))
    assert [text for text in texts(found) if not text.startswith("1-")] == [
        f"{n}-{m}" for n in (0, 2, 3) for m in range(50)
    ]
    assert (len(frames[0]), "source.bad_compression") in losses(found)


def test_a_missing_text_field_is_an_error_before_the_run(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"content": "x"}\n')
    with pytest.raises(SourceError, match=r"no field 'text'.*\['content'\].*options.text_field"):
        plan(SourceSpec("s", [str(path)]))
    assert texts(items(path, text_field="content")) == ["x"]
