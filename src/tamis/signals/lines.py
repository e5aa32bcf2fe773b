"""Signals `c4` and `refinedweb`: what the line filters of the two corpora met in the clean text.

The filters themselves make edits (`tamis.clean.lines`); here are their counters, for the rules that judge the whole
page: C4 discards a page for one "lorem ipsum" or "{", RefinedWeb one that lost more than 5% of its words. Counted
whether or not the recipe applies the filter.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from tamis.signals.batch import Batch
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup, count, share

C4_SOURCE = "Raffel et al. 2020, 2.2"
RW_SOURCE = "Penedo et al. 2023 (RefinedWeb), in DCLM's reading"


def compute_c4(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    return _measure_c4("c4", batch)


def compute_c4_arxiv(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    return _measure_c4("c4_arxiv", batch)


def _measure_c4(name: Literal["c4", "c4_arxiv"], batch: Batch) -> dict[str, pa.Array]:
    from tamis.clean.lines import trim

    _, counters = trim(name, batch.clean)
    return {
        "lorem_ipsum": count(counters["lorem_ipsum"]),
        "curly": count(counters["curly"]),
        "citations": count(counters["citations"]),
        **_shares(counters),
    }


def compute_refinedweb(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    from tamis.clean.lines import trim

    return _shares(trim("refinedweb", batch.clean)[1])


def _shares(counters: dict[str, pa.Array]) -> dict[str, pa.Array]:
    before = counters["words_before"]
    return {
        "lines": count(counters["lines"]),
        "lines_dropped": count(counters["lines_dropped"]),
        "removed_words": share(before - counters["words_after"], before),
    }


def _columns(source: str) -> tuple[Column, ...]:
    return (
        Column("lines", INT, "lines", "lines that are not blank", source),
        Column("lines_dropped", INT, "lines", "those that the filter drops", source),
        Column("removed_words", SHARE, "share of words", "white-space words that the filter removes / words", source),
    )


def _c4_columns(source: str) -> tuple[Column, ...]:
    return (
        Column("lorem_ipsum", INT, "lines", 'lines with "lorem ipsum" that pass the rules before', source),
        Column("curly", INT, "lines", "lines with {, that pass the rules before", source),
        Column("citations", INT, "marks", "[1], [edit], [citation needed] in lines that stay", source),
        *_columns(source),
    )


C4 = SignalGroup(
    name="c4",
    version=1,
    reads="clean",
    packages=(),
    compute=compute_c4,
    description="What C4's line filter meets in the clean text.",
    columns=_c4_columns(C4_SOURCE),
)
C4_ARXIV = SignalGroup(
    name="c4_arxiv",
    version=1,
    reads="clean",
    packages=(),
    compute=compute_c4_arxiv,
    description="What C4's line filter meets in the form of the first arXiv version.",
    optional=True,
    columns=_c4_columns("arXiv:1910.10683v1, 2.2"),
)
REFINEDWEB = SignalGroup(
    name="refinedweb",
    version=1,
    reads="clean",
    packages=(),
    compute=compute_refinedweb,
    description="What RefinedWeb's line filter meets in the clean text.",
    columns=_columns(RW_SOURCE),
)
