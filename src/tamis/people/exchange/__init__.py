"""Labels out and in again: training files, our own table, Label Studio's and Argilla's JSON.

`write` and `read` are inverse: whatever a file is for, it carries the annotations that it stands on, and reading it
gives the same rows. Formats are in `FORMATS`; docs/labels-exchange.md says which fields each carries.
"""

from __future__ import annotations

from tamis.people.exchange.annotations import TIE, Aggregated, Annotation, BadAnnotation, ordered
from tamis.people.exchange.evidence import BadExchange
from tamis.people.exchange.files import FORMATS, Imported, Written, read, write

__all__ = [
    "FORMATS", "TIE", "Aggregated", "Annotation", "BadAnnotation", "BadExchange", "Imported", "Written", "ordered",
    "read", "write",
]  # fmt: skip
