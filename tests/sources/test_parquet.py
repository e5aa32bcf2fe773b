"""Parquet: row groups as splits, damage counted by row."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.sources import Loss, Record, SourceError, SourceSpec, plan, read

ROWS = 5000


def words(number: int) -> str:
    return " ".join(random.Random(number).choices(["sieve", "crawl", "record", "page", "signal"], k=40))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    table = pa.table(
        {
            "text": [words(n) for n in range(ROWS)],
            "url": [f"http://example.org/{n}" for n in range(ROWS)],
            "score": [float("nan") if n % 2 else n / 7 for n in range(ROWS)],
            "vector": [[n, n] for n in range(ROWS)],
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=1000, compression="zstd", write_page_checksum=True, use_dictionary=False)
    return path


def items(path: Path, split_bytes: int = 64 << 20, **options: object) -> list[Record | Loss]:
    splits = plan(SourceSpec("s", [str(path)], options=options), split_bytes)
    return [item for split in splits for item in read(split)]


def test_rows(file: Path) -> None:
    found = items(file)
    assert [item.offset for item in found] == list(range(ROWS))
    row = found[4]
    assert isinstance(row, Record)
    assert (row.payload.decode(), row.locator, row.url) == (words(4), "a.parquet#4", "http://example.org/4")
    assert row.meta == {"score": 4 / 7}


def test_row_groups_are_splits(file: Path) -> None:
    splits = plan(SourceSpec("s", [str(file)]), 1)
    assert [(split.start, split.stop) for split in splits] == [(n, n + 1) for n in range(5)]
    assert [item for split in splits for item in read(split)] == items(file)


def test_flipped_bytes_are_losses_row_by_row(file: Path) -> None:
    data = bytearray(file.read_bytes())
    column = pq.ParquetFile(file).metadata.row_group(2).column(0)
    at = column.data_page_offset + column.total_compressed_size // 2
    for position in range(at, at + 40):
        data[position] ^= 0xA5
    file.write_bytes(bytes(data))
    found = items(file)
    assert [item.offset for item in found] == list(range(ROWS))
    lost = [item.offset for item in found if isinstance(item, Loss)]
    assert lost
    assert lost == list(range(lost[0], 3000))
    for item in found:
        if isinstance(item, Record):
            assert item.payload.decode() == words(item.offset)
        else:
            assert item.reason == "source.bad_page"


def test_a_cut_file_is_one_loss(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
    (loss,) = items(file)
    assert isinstance(loss, Loss)
    assert loss.reason == "source.bad_file"


def test_a_missing_column_is_an_error_before_the_run(file: Path) -> None:
    with pytest.raises(SourceError, match=r"no text column 'body'.*\['text', 'url'\]"):
        items(file, text_field="body")


def test_real_rows(data_dir: Path) -> None:
    path = data_dir / "text/multilingual.parquet"
    found = items(path, 1 << 20)
    table = pq.read_table(path, columns=["text", "url"])
    assert len(found) == table.num_rows
    assert [item.payload.decode() for item in found if isinstance(item, Record)] == [
        text for text in table["text"].to_pylist() if text.strip()
    ]
