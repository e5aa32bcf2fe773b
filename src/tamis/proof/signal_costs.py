"""What signal groups cost on a workspace, measured on its first shard.

Memory: that of measuring one shard's signals.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tamis.corpora import Corpus


def signal_costs(corpus: Corpus, groups: Sequence[str]) -> dict[str, float]:
    """CPU seconds to measure each signal group on the corpus's documents, from a run of it alone on the first shard
    (reading, edits and writing included), scaled by the size of the shards' document files.
    Groups of a recipe's own are not measured."""
    from tamis.signals import GROUPS
    from tamis.signals.task import signals_task

    edits = {name: path for name in corpus.edit_groups() if (path := corpus.edits(name, 0)) is not None}
    sizes = [corpus.documents(shard).stat().st_size for shard in range(corpus.shards)]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for group in groups:
            if group not in GROUPS or GROUPS[group].after:
                continue
            params = {"groups": [group], "edits": {name: at for at, name in enumerate(edits, 1)}}
            began = time.process_time()
            signals_task(_Quiet(), params, [corpus.documents(0), *edits.values()], [Path(folder) / f"{group}.parquet"])
            found[group] = (time.process_time() - began) * sum(sizes) / max(1, sizes[0])
    return found


class _Quiet:
    """A task's context where nobody listens."""

    suspects: frozenset[str] = frozenset()

    def heartbeat(self, what: str) -> None: ...

    def advance(self, amount: int) -> None: ...
