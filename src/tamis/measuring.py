"""From documents to edits and signals: the stages that measure, in the order in which they need each other.

Each method takes manifests and files and gives files, shard by shard; everything that is already whole is reused.
The driver's memory grows with the number of shards (one manifest each).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from tamis.asked import Asked, Preparation
from tamis.clean import cleaning
from tamis.clean import extra as extra_edits
from tamis.corpora import final_group, lines_groups
from tamis.engine import Engine
from tamis.recipe import Recipe
from tamis.signals import GROUPS
from tamis.signals import extra as extra_signals
from tamis.signals import task as signals_task
from tamis.stage import File, Manifest, Stage, Task, hash_file, hash_tree
from tamis.verdicts.rules import RuleSet
from tamis.workspace import Progress, Workspace
from tamis.yaml_models import RecipeError

PHRASES = Path(str(resources.files("tamis.clean") / "phrases.yaml"))


@dataclass(frozen=True)
class Edits:
    """The edit files of one shard: `clean`, one per line filter of the recipe, then those that come last."""

    clean: File
    trims: tuple[File, ...] = ()
    last: tuple[File, ...] = ()

    @property
    def final(self) -> tuple[File, ...]:
        """What makes the text that signals read."""
        return (self.clean, *self.trims)

    @property
    def all(self) -> tuple[File, ...]:
        """What makes the text that is written."""
        return (*self.final, *self.last)


class Measuring:
    """The stages of one recipe that edit and measure."""

    def __init__(
        self, recipe: Recipe, rules: RuleSet, asked: Asked, work: Workspace, engine: Engine, progress: Progress
    ) -> None:
        self.recipe = recipe
        self.rules = rules
        self.asked = asked
        self.extras = asked.measured(rules.groups)
        self.work = work
        self.engine = engine
        self.progress = progress
        self.prepared: dict[str, dict[str, str]] = {}  # group: name: path in the workspace

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages that have one task per shard."""
        trims = (f"edits/{trim}" for trim in self.rules.trims)
        extras = (f"signals/{extra.folder(self.rules.trims)}" for extra in self.extras)
        last = (f"edits/{self.last_folder(one)}" for one in self.asked.last)
        return ("edits/clean", *trims, "signals", self.lines_stage, *extras, *last)

    # Edits.

    @property
    def edits_stage(self) -> Stage:
        return Stage("edits/clean", cleaning.edits_task, cleaning.EDITS_VERSION, ("ftfy", "unicodedata"))

    def clean(self, documents: Sequence[Manifest]) -> list[Edits]:
        """Edits of every shard that make the clean text."""
        params = self.recipe.clean.model_dump(mode="json", include={"unicode", "boilerplate"})
        params["phrases"] = hash_file(PHRASES)
        unkeyed: dict[str, Any] = {}
        if self.asked.own:
            params["extra"] = [_without_paths(one) for one in self.asked.own]
            unkeyed["paths"] = {one.name: dict(one.paths) for one in self.asked.own}
        stage = self.edits_stage
        tasks = [Task(m.task, (f"edits/clean/{m.task}.parquet",), (m.files[0],), params, unkeyed) for m in documents]
        return [Edits(m.files[0]) for m in self.work.map(self.engine, stage, tasks, self.progress)]

    def trim(
        self, documents: Sequence[Manifest], edits: Sequence[Edits], signals: Sequence[Mapping[str, File]]
    ) -> list[Edits]:
        """Adds the edits of the line filters that the rules ask for. Each is a stage of its own: it belongs to the
        rules, not to the text, and recipes of one workspace share it."""
        edits = list(edits)
        for trim in self.rules.trims:
            stage = Stage(f"edits/{trim}", cleaning.trims_task, cleaning.TRIMS_VERSION)
            tasks = [
                Task(m.task, (f"edits/{trim}/{m.task}.parquet",), (m.files[0], e.clean, s["lang"]), {"trims": [trim]})
                for m, e, s in zip(documents, edits, signals, strict=True)
            ]
            trimmed = self.work.map(self.engine, stage, tasks, self.progress)
            edits = [replace(e, trims=(*e.trims, m.files[0])) for e, m in zip(edits, trimmed, strict=True)]
        return edits

    def last(self, documents: Sequence[Manifest], edits: Sequence[Edits]) -> list[Edits]:
        """Adds the edits that only the written corpus shows."""
        edits = list(edits)
        for one in self.asked.last:
            prepared = self._prepared(one, documents, edits)
            folder = self.last_folder(one)
            stage = Stage(f"edits/{folder}", extra_edits.extra_edits_task, extra_edits.VERSION)
            tasks = []
            for shard, edited in zip(documents, edits, strict=True):
                params = {
                    "extra": _without_paths(one),
                    "edits": len(edited.all),
                    "prepared": {name: 1 + len(edited.all) + i for i, name in enumerate(sorted(prepared))},
                }
                inputs = (shard.files[0], *edited.all, *(prepared[name] for name in sorted(prepared)))
                outputs = (f"edits/{folder}/{shard.task}.parquet",)
                tasks.append(Task(shard.task, outputs, inputs, params, {"paths": dict(one.paths)}))
            made = self.work.map(self.engine, stage, tasks, self.progress)
            edits = [replace(e, last=(*e.last, m.files[0])) for e, m in zip(edits, made, strict=True)]
        return edits

    def last_folder(self, one: extra_edits.ExtraEdits) -> str:
        """Edits that come last stand on all before them, so their folder is named after those too."""
        before = [other.folder for other in self.asked.last[: self.asked.last.index(one)]]
        return "+".join([one.folder, *self.rules.trims, *before])

    # Signals.

    def measure(self, documents: Sequence[Manifest], edits: Sequence[Edits]) -> list[dict[str, File]]:
        """Signal files of every shard by group: all that no line filter decides."""
        groups = [name for name, group in GROUPS.items() if name not in lines_groups() and not group.optional]
        stage = Stage("signals", signals_task.signals_task, signals_task.VERSION, packages_of(groups))
        found = self._measure(stage, groups, documents, edits, ["clean"], self._blocklists())
        return [dict(zip(groups, manifest.files, strict=True)) for manifest in found]

    def measure_lines(
        self, documents: Sequence[Manifest], edits: Sequence[Edits], signals: Sequence[Mapping[str, File]]
    ) -> list[dict[str, File]]:
        """The signals with those added that the line filters decide. A stage of its own, so that a preset with
        other filters measures only that."""
        groups = self._lines_groups
        stage = Stage(self.lines_stage, signals_task.signals_task, signals_task.VERSION, packages_of(groups))
        found = self._measure(stage, groups, documents, edits, ["clean", *self.rules.trims], {})
        return [
            {**known, **dict(zip(groups, manifest.files, strict=True))}
            for known, manifest in zip(signals, found, strict=True)
        ]

    def measure_extra(
        self, documents: Sequence[Manifest], edits: Sequence[Edits], signals: Sequence[Mapping[str, File]]
    ) -> list[dict[str, File]]:
        """The signals with the recipe's own added, one stage per group."""
        measured = [dict(known) for known in signals]
        for extra in self.extras:
            prepared = self._prepared(extra, documents, edits)
            folder = extra.folder(self.rules.trims)
            group = extra.group
            stage = Stage(f"signals/{folder}", extra_signals.extra_task, extra_signals.VERSION, group.packages)
            states = ["clean", *self.rules.trims] if group.reads == "final" else ["clean"]
            tasks = []
            named = sorted(prepared)
            first = 1 + len(states)
            for shard, edited, known in zip(documents, edits, measured, strict=True):
                params = {
                    "extra": _without_paths(extra),
                    "version": group.version,
                    "edits": {name: 1 + i for i, name in enumerate(states)},
                    "prepared": {name: first + i for i, name in enumerate(named)},
                    "after": {name: first + len(named) + i for i, name in enumerate(group.after)},
                }
                inputs = (
                    shard.files[0],
                    *edited.final[: len(states)],
                    *(prepared[name] for name in named),
                    *(known[name] for name in group.after),
                )
                outputs = (f"signals/{folder}/{shard.task}.parquet",)
                tasks.append(Task(shard.task, outputs, inputs, params, {"paths": dict(extra.paths)}))
            found = self.work.map(self.engine, stage, tasks, self.progress)
            for known, manifest in zip(measured, found, strict=True):
                known[extra.name] = manifest.files[0]
        return measured

    @property
    def _lines_groups(self) -> list[str]:
        return ["final", *(name for name in ("c4", "refinedweb") if name in self.rules.groups)]

    @property
    def lines_stage(self) -> str:
        return "+".join(["lines", *self.rules.trims, *self._lines_groups[1:]])

    def _measure(
        self,
        stage: Stage,
        groups: Sequence[str],
        documents: Sequence[Manifest],
        edits: Sequence[Edits],
        states: Sequence[str],
        lists: Mapping[str, Mapping[str, str]],
    ) -> list[Manifest]:
        hashes = {name: known["hash"] for name, known in lists.items()}
        paths = {name: known["path"] for name, known in lists.items()}
        tasks = []
        for shard, edited in zip(documents, edits, strict=True):
            params = {
                "groups": list(groups),
                "versions": [GROUPS[name].version for name in groups],
                "edits": {name: number + 1 for number, name in enumerate(states)},
                "blocklists": hashes,
            }
            outputs = tuple(f"signals/{final_group(name, self.rules.trims)}/{shard.task}.parquet" for name in groups)
            inputs = (shard.files[0], *edited.final[: len(states)])
            tasks.append(Task(shard.task, outputs, inputs, params, {"options": {"blocklists": paths}}))
        return self.work.map(self.engine, stage, tasks, self.progress)

    def _blocklists(self) -> dict[str, dict[str, str]]:
        found = {}
        for name, path in sorted(self.recipe.signals.blocklists.items()):
            try:
                found[name] = {"path": path, "hash": hash_tree(Path(path))}
            except OSError as error:
                raise RecipeError([f"signals.blocklists.{name}: {path} cannot be read: {error.strerror}"]) from None
        return found

    def _prepared(
        self,
        one: extra_signals.ExtraGroup | extra_edits.ExtraEdits,
        documents: Sequence[Manifest],
        edits: Sequence[Edits],
    ) -> dict[str, File]:
        if one.prepare is None:
            return {}
        module, _, function = one.prepare.partition(":")
        clean = tuple(edited.clean for edited in edits)
        given = Preparation(self.work, self.engine, self.progress, tuple(documents), clean)
        found: dict[str, File] = getattr(importlib.import_module(module), function)(one, given)
        self.prepared[one.name] = {name: file.path for name, file in found.items()}
        return found


def packages_of(groups: Sequence[str]) -> tuple[str, ...]:
    """The packages that decide these groups of the registry."""
    return tuple(sorted({package for name in groups for package in GROUPS[name].packages}))


def _without_paths(one: extra_signals.ExtraGroup | extra_edits.ExtraEdits) -> dict[str, Any]:
    return {key: value for key, value in one.to_json().items() if key != "paths"}
