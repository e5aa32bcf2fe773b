"""Signal groups that a recipe asks for: models, word lists, evaluation sets, the user's own functions.

A group of the registry has one meaning for everybody; these have settings and files. Each is made anew in every worker
from its settings, measured by a stage of its own, and lies in a folder named after its settings, so corpora of one
workspace with other models never overwrite each other's.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis.signals import task
from tamis.signals.group import SignalGroup

# of the stage; bumped with the reason whenever a value changes
VERSION = 1


@dataclass(frozen=True)
class Finding:
    """Evidence in one text. `start`, `end`: UTF-8 bytes of the state of the text that the group reads."""

    start: int
    end: int
    signal: str
    what: str


@dataclass(frozen=True)
class ExtraGroup:
    """A signal group with settings.

    `name`: as in rules, NAME.column. `make`: ``module:function``, called with (params, paths), gives the SignalGroup;
    it is cheap, models are loaded by the first computation. `params`: JSON, part of the stage's key: the settings
    and the content hash of every file that is read. `paths`: where those files lie; no part of the key.
    `explain`: ``module:function``, called with (text, params, paths), gives the Findings of one text for receipts.
    `prepare`: ``module:function``, called with (group, Preparation) before anything is measured, gives files of the
    workspace by name: they become inputs of every task and stand in `paths` under those names.
    """

    name: str
    make: str
    params: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    explain: str | None = None
    prepare: str | None = None

    @property
    def group(self) -> SignalGroup:
        """The group itself. Raises ValueError where `make` gives another one."""
        made: SignalGroup = load(self.make)(dict(self.params), dict(self.paths))
        if made.name != self.name:
            raise ValueError(f"{self.make} made the signal group {made.name}, not {self.name}")
        return made

    def folder(self, trims: Sequence[str] = ()) -> str:
        """NAME@DIGEST: of everything that decides the columns. `trims`: the recipe's line filters."""
        group = self.group
        body = [self.make, self.params, group.version, list(trims) if group.reads == "final" else []]
        digest = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=4).hexdigest()
        return f"{self.name}@{digest}"

    def findings(self, text: str) -> list[Finding]:
        """Evidence in one text, empty for a group that gives none."""
        if self.explain is None:
            return []
        found: list[Finding] = load(self.explain)(text, dict(self.params), dict(self.paths))
        return found

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> ExtraGroup:
        return ExtraGroup(**body)


def of_registry(group: SignalGroup) -> ExtraGroup:
    """A group of the registry that is measured only where a recipe wants it (`optional`)."""
    return ExtraGroup(group.name, "tamis.signals.extra:registered", {"group": group.name})


def registered(params: Mapping[str, Any], paths: Mapping[str, str]) -> SignalGroup:
    """`make` of a group of the registry."""
    from tamis.signals import GROUPS

    return GROUPS[params["group"]]


def load(name: str) -> Any:
    """What stands at ``module:function``."""
    module, colon, function = name.partition(":")
    if not colon:
        raise ValueError(f"{name!r} is not module:function")
    return getattr(importlib.import_module(module), function)


def extra_task(
    context: Any, params: Mapping[str, Any], inputs: Sequence[Path], outputs: Sequence[Path]
) -> dict[str, Any]:
    """Measures one extra group on a shard. inputs: documents, edits as `signals_task`, then the prepared files.

    params: ``extra`` (ExtraGroup without paths), ``edits`` as in `signals_task`, ``prepared`` (name -> index of its
    file in `inputs`), ``after`` (group -> index of its signals in `inputs`), ``paths``. Memory: as `signals_task`, and
    what the group loads.
    """
    prepared = {name: str(inputs[index]) for name, index in (params.get("prepared") or {}).items()}
    extra = ExtraGroup.from_json(params["extra"])
    extra = replace(extra, paths={**params.get("paths", {}), **prepared})
    return task.measure_shard(context, [extra], {}, params.get("edits") or {}, inputs, outputs, params.get("after"))


def column_types(groups: Sequence[ExtraGroup]) -> dict[str, pa.DataType]:
    """Every column of these groups by GROUP.column, with its type."""
    return {f"{one.name}.{column.name}": column.type for one in groups for column in one.group.columns}
