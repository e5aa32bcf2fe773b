"""The tasks over files: a small WARC to documents, losses and edits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.clean import task
from tamis.clean.cleaning import edits_task, trims_task
from tamis.clean.edits import apply_edits, merge
from tamis.clean.lines import trim
from tamis.clean.task import documents_task
from tamis.documents import DOCUMENTS, EDITS, LOSSES, document_id, read_table
from tamis.engine import Died, Hung, item_name
from tamis.sources import Record, SourceSpec, plan, read


class Context:
    """Runs everything here; `alone` does what the test says."""

    def __init__(self, suspects: frozenset[str] = frozenset(), alone: Callable[..., Any] | None = None) -> None:
        self.suspects = suspects
        self.beats: list[str] = []
        self._alone = alone

    def heartbeat(self, item: str) -> None:
        self.beats.append(item)

    def advance(self, amount: int) -> None:
        pass

    def alone(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        return self._alone(function, *arguments) if self._alone else function(*arguments)


SENTENCES = "Ein ganzer Satz mit vielen Worten\u200b steht hier. " * 12
BODY = f"<article><h1>Schön</h1><p>{SENTENCES}</p><p>Share this post</p><p>Ende[1].</p></article>"


@pytest.fixture
def split(tmp_path: Path) -> Any:
    """Of a file with a page, a request, and an empty page."""
    path = tmp_path / "a.warc.gz"
    http = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    records = [("response", http + BODY), ("request", "GET / HTTP/1.1\r\n\r\n"), ("response", http + "<p> </p>")]
    with open(path, "wb") as out:
        for number, (kind, message) in enumerate(records):
            block = message.encode()
            head = (
                f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number:036d}>\r\n"
                f"WARC-Date: 2024-01-02T03:04:05Z\r\nWARC-Target-URI: http://example.org/{number}\r\n"
                f"Content-Type: application/http; msgtype={kind}\r\nContent-Length: {len(block)}\r\n\r\n"
            )
            out.write(gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0))
    (made,) = plan(SourceSpec("crawl", [str(path)]), 1 << 20)
    return made


def run(split: Any, folder: Path, context: Context) -> tuple[dict[str, Any], list[dict[str, Any]], list[Path]]:
    outputs = [folder / "documents.parquet", folder / "losses.parquet"]
    params = json.loads(json.dumps({"split": split.as_params(), "source": "crawl", "extract": {}}))
    summary = documents_task(context, params, [], outputs)
    table = read_table(outputs[0])
    assert table.schema.equals(DOCUMENTS)
    assert read_table(outputs[1]).schema.equals(LOSSES)
    return summary, table.to_pylist(), outputs


def test_every_record_is_accounted_for(split: Any, tmp_path: Path) -> None:
    context = Context()
    summary, rows, outputs = run(split, tmp_path, context)
    assert (summary["in"], summary["out"]) == (3, 2)
    assert summary["reasons"] == {"skipped.request": 1}
    assert summary["null_text"] == {"extract.empty": 1}
    assert [row["reason"] for row in rows] == [None, "extract.empty"]
    meta = json.loads(rows[0]["meta"])
    assert list(meta) == sorted(meta)
    assert meta["file"] == "a.warc.gz"
    assert meta["bytes"] == len(BODY.encode())
    locators = [beat for beat in context.beats if beat and not beat.startswith("reading ")]
    assert [beat for beat in context.beats if beat][:3] == [
        "reading a.warc.gz after position 0",
        locators[0],
        f"reading a.warc.gz after {locators[0]}",
    ]
    assert rows[0]["id"] == document_id("crawl", locators[0], BODY.encode())
    again = tmp_path / "again"
    again.mkdir()
    _, _, others = run(split, again, Context())
    assert [p.read_bytes() for p in outputs] == [p.read_bytes() for p in others]


@pytest.mark.parametrize(("error", "reason"), [(Hung("60 s"), "extract.hung"), (Died("signal 11"), "extract.died")])
def test_a_suspect_is_extracted_alone_and_marked_if_it_fails_again(
    split: Any, tmp_path: Path, error: Exception, reason: str
) -> None:
    first = Context()
    _, plain, _ = run(split, tmp_path, first)
    suspects = frozenset({first.beats[2]})

    def fail(*_: Any) -> Any:
        raise error

    summary, rows, _ = run(split, tmp_path, Context(suspects, fail))
    assert (rows[0]["text"], rows[0]["reason"]) == (None, reason)
    assert summary["null_text"] == {"extract.empty": 1, reason: 1}
    assert rows[0]["id"] == plain[0]["id"]
    _, rows, _ = run(split, tmp_path, Context(suspects))
    assert rows == plain


def test_a_suspect_with_a_long_locator_is_found(split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "deep/" * 600 + "a.warc.gz#0"
    records = [replace(item, locator=long) for item in read(split) if isinstance(item, Record)]
    monkeypatch.setattr(task, "read", lambda _: iter(records[:1]))
    asked: list[Any] = []

    def fail(*arguments: Any) -> Any:
        asked.append(arguments)
        raise Died("signal 11")

    _, rows, _ = run(split, tmp_path, Context(frozenset({item_name(long)}), fail))
    assert [row["reason"] for row in rows] == ["extract.died"]
    assert len(asked) == 1


def test_edits_of_a_shard(split: Any, tmp_path: Path) -> None:
    _, rows, outputs = run(split, tmp_path, Context())
    made = [tmp_path / "clean.parquet", tmp_path / "c4.parquet"]
    summary = edits_task(Context(), {"boilerplate": True, "extractor": "resiliparse"}, outputs[:1], made[:1])
    assert (summary["in"], summary["out"], summary["edited"]) == (2, 2, 1)
    assert summary["edits"]["clean"]["boilerplate.share"] == 1
    assert summary["edits"]["clean"]["unicode.zero_width"] == 12
    lang = tmp_path / "lang.parquet"
    pq.write_table(pa.table({"spaced": [True, None]}), lang)
    summary = trims_task(Context(), {"trims": ["c4"]}, [outputs[0], made[0], lang], made[1:])
    assert (summary["in"], summary["out"]) == (2, 2)
    assert summary["edits"]["c4"]["c4.terminal"] == 1
    clean, c4 = (read_table(path)["edits"].combine_chunks() for path in made)
    assert read_table(made[0]).schema.equals(EDITS)
    text = read_table(outputs[0])["text"].combine_chunks().fill_null("")
    cleaned = apply_edits(text, clean)
    assert "Share" not in cleaned[0].as_py()
    assert "\u200b" not in cleaned[0].as_py()
    final = apply_edits(text, merge(clean, c4))
    assert final.to_pylist() == apply_edits(cleaned, trim("c4", cleaned)[0]).to_pylist()
    assert rows[1]["text"] is None
    assert clean[1].as_py() == c4[1].as_py() == []
    pq.write_table(pa.table({"spaced": [False, None]}), lang)
    summary = trims_task(Context(), {"trims": ["c4"]}, [outputs[0], made[0], lang], made[1:])
    assert summary["edits"]["c4"] == {}  # a filter that counts spaces has nothing to say of such a language
