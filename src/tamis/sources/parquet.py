"""Parquet files with a text column: row groups are splits, page checksums are verified where they are present.

Options: as for JSON Lines (`text_field`, `url_field`, `date_field`, `id_field`, `meta_fields`, `kind`).

Memory: one batch of about 4 MB and the pages that it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from tamis.sources.jsonl import clean, fields
from tamis.sources.records import Kind, Loss, Record, SourceError

_BATCH_BYTES = 4 << 20


def read_parquet(
    file: BinaryIO,
    path: str,
    relative: str,
    start: int,
    stop: int | None,
    limit: int,
    options: Mapping[str, Any],
) -> Iterator[Record | Loss]:
    """Rows of the row groups [start, stop). Offsets are row numbers in the file.

    A damaged page costs the rest of its row group: one loss for each of those rows. Raises SourceError where the
    text column is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 20)
    except (pa.ArrowException, OSError) as error:
        yield Loss(0, "source.bad_file", f"no readable Parquet footer: {str(error)[:200]}")
        return
    columns = _columns(parquet.schema_arrow, path, options)
    kind: Kind = "html" if options.get("kind") == "html" else "text"
    metadata = parquet.metadata
    first = sum(metadata.row_group(group).num_rows for group in range(start))
    for group in range(start, metadata.num_row_groups if stop is None else min(stop, metadata.num_row_groups)):
        rows = metadata.row_group(group).num_rows
        mean = max(1, metadata.row_group(group).total_byte_size // max(1, rows))
        done = 0
        try:
            batches = parquet.iter_batches(
                max(1, min(8192, _BATCH_BYTES // mean)),
                row_groups=[group],
                columns=columns,
                use_threads=False,
            )
            for batch in batches:
                for row in batch.to_pylist():
                    yield _record(row, relative, first + done, kind, limit, options)
                    done += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            for row_number in range(first + done, first + rows):
                yield Loss(row_number, "source.bad_page", f"row {row_number}, row group {group}: {str(error)[:160]}")
        first += rows


def groups(file: BinaryIO, path: str, options: Mapping[str, Any]) -> list[int] | None:
    """Stored bytes of each row group; None where the footer cannot be read. Raises SourceError without the column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError):
        return None
    _columns(parquet.schema_arrow, path, options)
    sizes = []
    for index in range(parquet.metadata.num_row_groups):
        group = parquet.metadata.row_group(index)
        sizes.append(sum(group.column(c).total_compressed_size for c in range(group.num_columns)))
    return sizes


def _columns(schema: Any, path: str, options: Mapping[str, Any]) -> list[str]:
    import pyarrow as pa

    def is_text(kind: Any) -> bool:
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))

    text_field = options.get("text_field", "text")
    names = schema.names
    if text_field not in names or not is_text(schema.field(text_field).type):
        texts = [name for name in names if is_text(schema.field(name).type)]
        raise SourceError(
            f"{path} has no text column {text_field!r}; its text columns are {texts}: name the one with the text "
            "(options.text_field of a source, --text-field of a command)"
        )
    wanted = options.get("meta_fields")
    special = [options.get("url_field", "url"), options.get("date_field", "date"), options.get("id_field")]
    return [
        name
        for name in names
        if name == text_field
        or name in special
        or (
            name in wanted
            if wanted is not None
            else is_text(schema.field(name).type) or _is_scalar(schema.field(name).type)
        )
    ]


def _is_scalar(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_temporal(kind)
    )


def _record(
    row: dict[str, Any], relative: str, number: int, kind: Kind, limit: int, options: Mapping[str, Any]
) -> Record | Loss:
    plain = {name: _plain(value) for name, value in row.items()}
    found = fields(plain, options)
    if isinstance(found, str):
        reason, _, detail = found.partition(" ")
        return Loss(number, reason, f"row {number}: {detail}")
    text, url, date, meta = found
    if len(text) > limit:
        return Loss(number, "source.too_large", f"row {number}: {len(text)} bytes, more than {limit}")
    return Record(f"{relative}#{number}", text, kind, url, date, None, "utf-8", meta, number)


def _plain(value: Any) -> Any:
    """Dates as ISO 8601, NaN (no JSON number) as None."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, (str, int, bool, list, dict)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else clean(str(value))
