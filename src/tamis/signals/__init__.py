"""Signals: columns beside the documents, one file per group, each named GROUP.name in rules.

Measuring is dear and done once per document; rules are queries over what was measured. `GROUPS` is the registry;
`tamis.signals.task.signals_task` measures a shard.

A share whose denominator is 0 is null, because there was nothing to measure (a document without words has no share
of words with a letter), and a rule over null fires nothing. Counts of an empty text are 0, so a rule on the number of
words still drops it. A document without text is null everywhere but in `document` and `url`.
"""

from __future__ import annotations

from tamis.signals import (
    datatrove,
    dclm,
    document,
    dolma,
    final,
    fineweb2,
    language,
    lines,
    pii,
    redpajama,
    repetition,
    text,
    url,
)
from tamis.signals.group import Column, SignalGroup

GROUPS: dict[str, SignalGroup] = {
    group.name: group
    for group in (
        document.GROUP,
        text.GROUP,
        repetition.GROUP,
        final.GROUP,
        lines.C4,
        lines.REFINEDWEB,
        language.GROUP,
        url.GROUP,
        pii.GROUP,
        # Dialects: measured only where a rule reads them.
        lines.C4_ARXIV,
        datatrove.GROUP,
        dolma.GROUP,
        dclm.GROUP,
        redpajama.GROUP,
        fineweb2.GROUP,
    )
}

__all__ = ["GROUPS", "Column", "SignalGroup"]
