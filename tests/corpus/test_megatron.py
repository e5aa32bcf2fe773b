"""The export is read back by a reader written from the format's description, not from the writer."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from tamis.corpus.megatron import export_megatron
from tamis.corpus.shards import TokenShards

TYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}


def read_megatron(prefix: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """All sequences, and the document index."""
    data = Path(f"{prefix}.idx").read_bytes()
    assert data[:9] == b"MMIDIDX\x00\x00"
    version, code = struct.unpack_from("<QB", data, 9)
    assert version == 1
    sequences, documents = struct.unpack_from("<QQ", data, 18)
    sizes = np.frombuffer(data, "<i4", sequences, 34)
    pointers = np.frombuffer(data, "<i8", sequences, 34 + 4 * sequences)
    index = np.frombuffer(data, "<i8", documents, 34 + 12 * sequences)
    assert len(data) == 34 + 12 * sequences + 8 * documents
    flat = Path(f"{prefix}.bin").read_bytes()
    kind = np.dtype(TYPES[code])
    found = [np.frombuffer(flat, kind, int(n), int(at)) for n, at in zip(sizes, pointers, strict=True)]
    return found, index


def test_megatron_holds_every_document(corpus: Path, tmp_path: Path) -> None:
    shards = TokenShards(corpus / "tokens")
    made = export_megatron(corpus / "tokens", tmp_path / "megatron" / "main")
    sequences, index = read_megatron(tmp_path / "megatron" / "main")
    assert made.sequences == len(sequences) == shards.index.documents
    assert np.array_equal(index, np.arange(len(sequences) + 1))
    for written, ids in zip(sequences, shards.documents(), strict=True):
        assert np.array_equal(written[:-1], ids)
        assert written[-1] == shards.index.end_of_text


def test_an_empty_corpus_is_an_empty_data_set(trained: Path, tmp_path: Path, build: Any) -> None:
    build([], trained, tmp_path, 1)
    export_megatron(tmp_path / "tokens", tmp_path / "none")
    sequences, index = read_megatron(tmp_path / "none")
    assert (sequences, index.tolist()) == ([], [0])
