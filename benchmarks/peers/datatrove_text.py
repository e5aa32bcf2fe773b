"""datatrove: its filters, its MinHash signatures or its masks over texts. Prints one JSON object.

    python datatrove_text.py filters|minhash|pii shipped|whitespace TEXTS.parquet

`shipped` takes words from spaCy, as datatrove does; `whitespace` replaces its tokenizer by `str.split`. Reading the
texts, imports and a few documents to warm up come before the measured window.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashDedupSignature
from datatrove.pipeline.filters import (
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)
from datatrove.pipeline.formatters import PIIFormatter
from loguru import logger
from tree import Window

WARM = 5


class Whitespace:
    """datatrove's face of a tokenizer."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()


def split(text: str, language: str | None = None) -> list[str]:
    return text.split()


def filters(documents: list[Any]) -> dict[str, int]:
    """Every filter over every document: Tamis measures all of them, so nothing is spared by an earlier verdict. Within
    a filter the first rule that fires ends it, as shipped."""
    dropped = [0, 0, 0]
    for number, step in enumerate((GopherQualityFilter(), GopherRepetitionFilter(), FineWebQualityFilter())):
        for document in documents:
            dropped[number] += step.filter(document) is not True
    return dict(zip(("gopher_quality", "gopher_repetition", "fineweb"), dropped, strict=True))


def minhash(documents: list[Any], whitespace: bool) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        step = MinhashDedupSignature(folder)
        if whitespace:
            step.word_tokenizer = Whitespace()
        step.run(iter(documents))
    return {}


def masks(documents: list[Any]) -> dict[str, int]:
    step = PIIFormatter()
    return {"masked": sum(step.format(document.text) != document.text for document in documents)}


def main() -> None:
    job, words, path = sys.argv[1:]
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    texts = pq.read_table(path, columns=["text"]).column("text").to_pylist()
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    whitespace = words == "whitespace"
    if whitespace:
        for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
            module.split_into_words = split

    def work(some: list[Any]) -> dict[str, int]:
        if job == "pii":
            return masks(some)
        return filters(some) if job == "filters" else minhash(some, whitespace)

    work(documents[:WARM])
    with Window() as window:
        counts = work(documents)
    size = sum(len(text.encode()) for text in texts)
    print(json.dumps({"cpu": window.cpu, "wall": window.wall, "bytes": size, "documents": len(texts), **counts}))


if __name__ == "__main__":
    main()
