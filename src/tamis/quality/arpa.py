"""Language models as files: ARPA, which KenLM and every other toolkit reads, plain or gzipped, and a mapped table.

What the model was trained on, its discounts and the boundaries of its buckets stand in a comment before ``\\data\\``
(KenLM skips lines that begin with #), or in the first line of a table (see `modelfile`). A table (`.bin`) is scored
where it lies, shared by all workers of a machine; an ARPA file is parsed by each of them.

Memory of reading ARPA: 24 to 48 bytes an n-gram for the table, and one block of lines.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis import kernels
from tamis.quality.counting import Estimate
from tamis.quality.modelfile import NotAModel, read_model, write_model

FORMAT = "tamis.ngram"
# bumped with the reason whenever a score of the same file changes
VERSION = 1
COMMENT = "# tamis: "
BLOCK = 8 << 20


def write(estimate: Estimate, path: Path, about: Mapping[str, Any]) -> None:
    """Writes the model whole or not at all, in the form that the suffix names: .bin, .gz, or ARPA for any other."""
    if path.suffix == ".bin":
        write_model(path, FORMAT, VERSION, about, {"table": table_of(estimate)})
        return
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                _write(estimate, packed, about)
        else:
            _write(estimate, raw, about)
    part.replace(path)


def _write(estimate: Estimate, file: IO[bytes] | gzip.GzipFile, about: Mapping[str, Any]) -> None:
    header = {"format": FORMAT, "version": VERSION, **about}
    file.write(f"{COMMENT}{json.dumps(header, ensure_ascii=False)}\n\\data\\\n".encode())
    for n, order in enumerate(estimate.orders, 1):
        file.write(f"ngram {n}={order.kept}\n".encode())
    for n in range(1, estimate.order + 1):
        file.write(f"\n\\{n}-grams:\n".encode())
        for hashes, prob, backoff in estimate.grams(n):
            words = [estimate.vocabulary.strings(hashes[:, k]) for k in range(n)]
            grams = words[0] if n == 1 else pc.binary_join_element_wise(*words, " ")
            columns = [pc.cast(pa.array(prob), pa.string()), grams]
            if n < estimate.order:
                columns.append(pc.cast(pa.array(backoff), pa.string()))
            lines = pc.binary_join_element_wise(*columns, "\t")
            file.write("\n".join(lines.to_pylist()).encode() + b"\n" if len(lines) else b"")
    file.write(b"\n\\end\\\n")


def table_of(estimate: Estimate) -> npt.NDArray[np.uint64]:
    """The estimate as a table of `kernels.lm_table`."""
    parts: list[tuple[Any, ...]] = []
    for n in range(1, estimate.order + 1):
        for hashes, prob, backoff in estimate.grams(n):
            total = hashes[:, 0].copy()
            for k in range(1, n):
                total = total * np.uint64(P1) + hashes[:, k]
            parts.append((_avalanche(total), prob, backoff))
    return kernels.lm_table(*(np.concatenate(column) for column in zip(*parts, strict=True)))


P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9


def _avalanche(h: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    h = (h ^ h >> np.uint64(33)) * np.uint64(P2)
    h = (h ^ h >> np.uint64(29)) * np.uint64(P3)
    return h ^ h >> np.uint64(32)


def header_of(path: Path | str) -> dict[str, Any]:
    """What a model's file says of itself: {} for an ARPA file made by other hands. Raises NotAModel for no model."""
    path = Path(path)
    if path.suffix == ".bin":
        from tamis.quality.modelfile import read_header

        header = read_header(path)
        if header["format"] != FORMAT:
            raise NotAModel(f"{path} is a model of {header['format']}, not of {FORMAT}")
        return header
    with _whole(path), _open(path) as file:
        for line in _preamble(file, path):
            if line.startswith(COMMENT.encode()):
                header = json.loads(line[len(COMMENT) :])
                if header.get("version") != VERSION:
                    raise NotAModel(
                        f"{path} has version {header.get('version')} of {FORMAT}; this Tamis reads {VERSION}"
                    )
                return dict(header)
    return {}


def read(path: Path | str) -> tuple[npt.NDArray[np.uint64], int, dict[str, Any]]:
    """(table, order, header) of a model's file in any of the three forms. Raises NotAModel."""
    path = Path(path)
    if path.suffix == ".bin":
        found = read_model(path, FORMAT, (VERSION,))
        return found.arrays["table"], int(found.header["order"]), found.header
    parts, order = [], 0
    with _whole(path), _open(path) as file:
        for _ in _preamble(file, path):
            pass
        for n, lines in _sections(file, path):
            order = max(order, n)
            parts.append(_entries(lines, n, path))
    if not parts:
        raise NotAModel(f"{path} holds no n-gram")
    keys, prob, backoff = (np.concatenate(column) for column in zip(*parts, strict=True))
    try:
        table = kernels.lm_table(keys, prob, backoff)
    except ValueError as error:
        raise NotAModel(f"{path}: {error}") from None
    return table, order, header_of(path)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise NotAModel(f"{path} is damaged: {error}") from None


def _open(path: Path) -> IO[bytes]:
    opened: Any = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
    return opened  # type: ignore[no-any-return]


def _preamble(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """Lines before \\data\\ ."""
    for _ in range(1000):
        line = file.readline(1 << 20)
        if line.strip() == b"\\data\\":
            return
        if not line or (line.strip() and not line.startswith(b"#")):
            break
        yield line
    raise NotAModel(f"{path} is no ARPA file: no line \\data\\ at its beginning")


def _sections(file: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole lines of n-grams with their order. Raises NotAModel where \\end\\ is missing."""
    order, rest = 0, b""
    while True:
        data = file.read(BLOCK)
        block = rest + data
        cut = block.rfind(b"\n") + 1
        block, rest = (block[:cut], block[cut:]) if data else (block, b"")
        start = 0
        while start < len(block):
            mark = 0 if start == 0 and block.startswith(b"\\") else block.find(b"\n\\", max(start - 1, 0)) + 1
            if mark == 0 and not (start == 0 and block.startswith(b"\\")):
                mark = len(block)
            if mark > start and order:
                piece = block[start:mark].strip(b"\n")
                if piece:
                    yield order, piece
            if mark >= len(block):
                break
            stop = block.find(b"\n", mark)
            stop = len(block) if stop < 0 else stop
            name = block[mark:stop].strip()
            if name == b"\\end\\":
                return
            if not (name.endswith(b"-grams:") and name[1:-7].isdigit()):
                raise NotAModel(f"{path}: {name[:40]!r} is no section of an ARPA file")
            order = int(name[1:-7])
            start = stop + 1
        if not data:
            raise NotAModel(f"{path} is cut off: it has no line \\end\\")


def _entries(lines: bytes, n: int, path: Path) -> tuple[Any, Any, Any]:
    """(keys, log10 probabilities, log10 back-offs) of lines `probability TAB words [TAB back-off]`."""
    data = np.frombuffer(lines, np.uint8)
    ends = np.append(np.flatnonzero(data == ord("\n")) + 1, len(data))
    offsets = pa.py_buffer(np.append(0, ends).astype(np.int64))
    text = pa.LargeStringArray.from_buffers(len(ends), offsets, pa.py_buffer(lines))
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        raise NotAModel(f"{path}: the {n}-grams are not UTF-8") from None
    text = pc.utf8_rtrim(text, "\r\n")
    fields = pc.split_pattern(text, "\t")
    width = pc.list_value_length(fields)
    try:
        if pc.min(width).as_py() < 2:
            raise NotAModel(f"{path}: a line of the {n}-grams has no tab")
        prob = pc.cast(pc.list_element(fields, 0), pa.float32())
        grams = pc.list_element(fields, 1)
        longer = pc.greater(width, 2)
        backoff = np.zeros(len(text), np.float32)
        if pc.any(longer).as_py():
            rows = np.flatnonzero(np.asarray(longer))
            backoff[rows] = pc.cast(pc.list_element(fields.filter(longer), 2), pa.float32())
    except pa.ArrowInvalid as error:
        raise NotAModel(f"{path}: the {n}-grams hold no number where one must be: {error}") from None
    if pc.any(pc.not_equal(pc.count_substring(grams, " "), n - 1)).as_py():
        raise NotAModel(f"{path}: a line of the {n}-grams does not have {n} words with single spaces")
    return kernels.gram_hash(grams), np.asarray(prob), backoff
