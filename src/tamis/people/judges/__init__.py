"""Models as raters: the same question, the same guideline, the same gold and the same agreement as people have."""

from __future__ import annotations

from tamis.people.judges.client import Ask, Client, Endpoint, EndpointError, Reply, local
from tamis.people.judges.prompts import Unparsable, messages, parse
from tamis.people.judges.run import Judged, Run, judge, read, to_annotations

__all__ = [
    "Ask", "Client", "Endpoint", "EndpointError", "Judged", "Reply", "Run", "Unparsable", "judge", "local", "messages",
    "parse", "read", "to_annotations",
]  # fmt: skip
