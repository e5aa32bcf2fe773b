"""datatrove: WARC to verdicts, its FineWeb-style pipeline in one process. Prints one JSON object.

    python datatrove_web.py trafilatura|resiliparse WARM_FOLDER INPUT_FOLDER

The steps are chained as datatrove's executor chains them; nothing is written, which is to its advantage. Imports and
a run over WARM_FOLDER come before the measured window, so that tokenizers are loaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import resiliparse.extract.html2text
import resiliparse.parse.html
import trafilatura  # noqa: F401  (here, so that the extractor's forked process starts with it loaded)
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.extractors.base import BaseExtractor
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import WarcReader
from loguru import logger
from tree import Window


class Resiliparse(BaseExtractor):
    """Resiliparse in datatrove's own frame for extractors."""

    name = "Resiliparse"
    _requires_dependencies = ["resiliparse"]  # noqa: RUF012

    def __init__(self, timeout: float = 1) -> None:
        super().__init__(timeout)

    def extract(self, text: str) -> str:
        tree = resiliparse.parse.html.HTMLTree.parse(text)
        found: str = resiliparse.extract.html2text.extract_plain_text(
            tree, main_content=True, alt_texts=False, noscript=True
        )
        return found


def counted(documents: Iterable[Any], counts: dict[str, int], name: str) -> Iterator[Any]:
    counts[name] = 0
    for document in documents:
        counts[name] += 1
        yield document


def run(extractor: str, folder: str) -> dict[str, int]:
    """Documents after reading, after extraction and after all filters."""
    counts: dict[str, int] = {}
    data = counted(WarcReader(folder).run(None), counts, "pages")
    data = (Trafilatura() if extractor == "trafilatura" else Resiliparse()).run(data)
    data = counted(data, counts, "extracted")
    for step in (
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ):
        data = step.run(data)
    counts["kept"] = sum(1 for _ in data)
    return counts


def main() -> None:
    extractor, warm, folder = sys.argv[1:]
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    run(extractor, warm)
    with Window() as window:
        counts = run(extractor, folder)
    print(json.dumps({"cpu": window.cpu, "wall": window.wall, **counts}))


if __name__ == "__main__":
    main()
