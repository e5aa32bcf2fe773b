"""The task that makes documents: one split of a source to documents.parquet and losses.parquet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis.clean.extract import Extracted, ExtractOptions, extract
from tamis.documents import BATCH_BYTES, DOCUMENTS, LOSSES, ParquetShard, document_id, text_hash
from tamis.engine import Context, Died, Hung, item_name, patience
from tamis.quarantine import ALONE_SECONDS
from tamis.sources import Loss, Record, Split, read

# Part of the stage's key.
DOCUMENTS_VERSION = 1


def documents_task(
    context: Context, params: Mapping[str, Any], inputs: list[Path], outputs: list[Path]
) -> dict[str, Any]:
    """Reads a split, extracts every record, writes [documents, losses].

    `params`: {"split": Split.as_params(), "source": name, "extract": the recipe's section clean}. Every raw record
    becomes a row of one of the two files. A record that hung or killed a worker before is extracted in a process of
    its own; if that fails again, the document stays with null text and the reason extract.hung or extract.died.
    A split whose reading does not go on fails the task. Memory: one record, its tree, and one row group.

    Returns {"in", "out", "reasons" (of losses), "null_text" (by reason), "bytes_in", "chars"}; in = out + losses.
    """
    source: str = params["source"]
    options = ExtractOptions.from_params(params.get("extract", {}))
    split = Split.from_params(params["split"])
    losses: Counter[str] = Counter()
    null_text: Counter[str] = Counter()
    out = bytes_in = chars = pending = 0
    rows: list[dict[str, Any]] = []
    loss_rows: list[dict[str, Any]] = []
    with ParquetShard(outputs[0], DOCUMENTS) as documents, ParquetShard(outputs[1], LOSSES) as lost:
        for item in _read(context, split):
            if isinstance(item, Loss):
                losses[item.reason] += 1
                loss_rows.append(_loss_row(source, split, item))
                if len(loss_rows) >= 4096:
                    lost.write(pa.RecordBatch.from_pylist(loss_rows, LOSSES))
                    loss_rows = []
                continue
            context.heartbeat(item.locator)
            found = _extract(context, item, options)
            context.heartbeat("")
            row = _document_row(source, item, found, options)
            rows.append(row)
            out += 1
            bytes_in += len(item.payload)
            if found.text is None:
                null_text[str(found.reason)] += 1
            else:
                chars += len(found.text)
                pending += len(found.text)
            if pending >= BATCH_BYTES or len(rows) >= 4096:
                documents.write(pa.RecordBatch.from_pylist(rows, DOCUMENTS))
                context.advance(len(rows))
                rows, pending = [], 0
        if rows:
            documents.write(pa.RecordBatch.from_pylist(rows, DOCUMENTS))
            context.advance(len(rows))
        if loss_rows:
            lost.write(pa.RecordBatch.from_pylist(loss_rows, LOSSES))
    return {
        "in": out + losses.total(),
        "out": out,
        "reasons": dict(sorted(losses.items())),
        "null_text": dict(sorted(null_text.items())),
        "bytes_in": bytes_in,
        "chars": chars,
    }


def _read(context: Context, split: Split) -> Iterator[Record | Loss]:
    """What the split holds; reading on is named, so that the task fails and says where if it never ends."""
    items = iter(read(split))
    after = f"position {split.start}"
    while True:
        context.heartbeat(f"reading {split.relative} after {after}")
        item = next(items, None)
        context.heartbeat("")
        if item is None:
            return
        after = item.locator if isinstance(item, Record) else f"{item.file or split.relative}#{item.offset}"
        yield item


def _extract(context: Context, record: Record, options: ExtractOptions) -> Extracted:
    arguments = (record.payload, record.kind, record.charset, record.mime, options)
    if item_name(record.locator) not in context.suspects:
        return extract(*arguments)
    seconds = ALONE_SECONDS * patience()
    try:
        found: Extracted = context.alone(extract, *arguments, seconds=seconds)
    except Hung:
        return Extracted(None, "extract.hung", {"detail": f"no result in {seconds:.0f} s"})
    except Died as error:
        return Extracted(None, "extract.died", {"detail": str(error)[:200]})
    return found


def _document_row(source: str, record: Record, found: Extracted, options: ExtractOptions) -> dict[str, Any]:
    meta = dict(record.meta)
    meta.setdefault("file", record.locator.rpartition("#")[0] or record.locator)
    meta.update(offset=record.offset, mime=record.mime, bytes=len(record.payload))
    if record.kind == "html":
        meta["extractor"] = options.extractor
    meta.update(found.meta)
    return {
        "id": document_id(source, record.locator, record.payload),
        "text": found.text,
        "reason": found.reason,
        "text_hash": None if found.text is None else text_hash(found.text),
        "source": source,
        "url": record.url,
        "date": record.date,
        "meta": json.dumps(meta, ensure_ascii=False, sort_keys=True),
    }


def _loss_row(source: str, split: Split, loss: Loss) -> dict[str, Any]:
    return {
        "source": source,
        "file": loss.file or split.relative,
        "offset": loss.offset,
        "reason": loss.reason,
        "detail": loss.detail,
    }
