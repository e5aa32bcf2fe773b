"""Signals `pii`: how many identifiers of persons and machines the clean text holds, see `clean.identifiers`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tamis.clean.identifiers import KINDS
from tamis.clean.pii import spans
from tamis.signals.batch import Batch
from tamis.signals.group import INT, Column, Options, SignalGroup, count


def compute(batch: Batch, options: Options) -> dict[str, pa.Array]:
    """See the columns below."""
    counts = np.zeros((len(KINDS), len(batch)), np.int64)
    for row, span in spans(batch.clean):
        counts[KINDS.index(span.kind), row] += 1
    return {f"{kind}s": count(counts[i]) for i, kind in enumerate(KINDS)}


GROUP = SignalGroup(
    name="pii",
    version=1,
    reads="clean",
    packages=(),
    compute=compute,
    description="How many identifiers of persons and machines the clean text holds.",
    columns=tuple(
        Column(name, INT, unit, description, source, total=True)
        for name, unit, description, source in (
            ("emails", "addresses", "e-mail addresses, not of reserved example domains", "RFC 5322, in part"),
            ("ibans", "numbers", "bank accounts with a valid checksum", "ISO 13616, ISO 7064"),
            ("cards", "numbers", "payment cards by issuer prefix, length, grouping and Luhn", "ISO/IEC 7812"),
            ("ids", "numbers", "Chinese resident numbers (checksum), US social security numbers (form)", "GB 11643"),
            ("ips", "addresses", "public IPv4 and IPv6 addresses, not version numbers", "RFC 4291, RFC 6890"),
            ("phones", "numbers", "telephone numbers in a form that shows itself, or behind a word", "E.164, in part"),
        )
    ),
)
