"""One corpus of a workspace, as receipts, what-if, reports and comparisons read it.

Only manifests are trusted: a file that no manifest names does not exist here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis.corpus.tally import total_by_source
from tamis.documents import read_table
from tamis.recipe import Recipe
from tamis.signals.extra import ExtraGroup
from tamis.stage import Manifest
from tamis.verdicts.election import Strength
from tamis.verdicts.rules import RuleSet, catalogue
from tamis.verdicts.what_if import BYTES_PER_TOKEN
from tamis.workspace import Workspace, WorkspaceError, mending
from tamis.yaml_models import near


def lines_groups() -> frozenset[str]:
    """The signal groups that depend on which line filters a recipe uses, or measure one of them."""
    return frozenset({"final", "c4", "refinedweb"})


def final_group(group: str, trims: Sequence[str]) -> str:
    """The folder of a signal group: `final` text differs between recipes with different line filters, and corpora of
    one workspace must not overwrite each other's."""
    return "+".join([group, *trims]) if group in lines_groups() else group


class Corpus:
    """Fulfils `verdicts.reader.Reader`. Raises WorkspaceError where the workspace has no corpus of that name."""

    def __init__(self, work: Workspace, name: str = "main") -> None:
        known = work.index()["corpora"]
        if name not in known:
            names = sorted(known)
            raise WorkspaceError(
                f"{work.path} has no corpus {name}{near(name, names)}. "
                + (f"It has {', '.join(names)}." if names else "Run a recipe first: `tamis run RECIPE.yaml`.")
            )
        self.work = work
        self.corpus = name
        self.known: dict[str, Any] = known[name]
        self.home = f"corpora/{name}"

    @property
    def recipe(self) -> str:
        return f"{self.known['label']} ({self.known['digest'][:4]})"

    @cached_property
    def settings(self) -> Recipe:
        return Recipe.model_validate(self.known["recipe"])

    @property
    def shards(self) -> int:
        return len(self.known["shard_sources"])

    @cached_property
    def rules(self) -> RuleSet:
        return RuleSet.from_json(self.known["rules"])

    @property
    def strength(self) -> Strength:
        return Strength(**self.known["strength"])

    def manifests(self, stage: str) -> list[Manifest]:
        """Of a stage of this corpus (`verdicts`, `kept`, `tokens`, ...), in the order of shards."""
        return self.work.manifests(f"{self.home}/{stage}")

    def documents(self, shard: int) -> Path:
        return self._whole("documents", shard, f"documents/{shard:05d}.parquet")

    def losses(self, shard: int) -> Path:
        return self._whole("documents", shard, f"losses/{shard:05d}.parquet")

    @cached_property
    def extras(self) -> dict[str, ExtraGroup]:
        """The recipe's own signal groups by name, told where the files lie that were prepared for them."""
        found = {}
        for one in self.known.get("extras", ()):
            extra = ExtraGroup.from_json(one["group"])
            prepared = self.known.get("prepared", {}).get(extra.name, {})
            paths = {name: str(self.work.file(path)) for name, path in prepared.items()}
            found[extra.name] = replace(extra, paths={**extra.paths, **paths})
        return found

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """Type, unit and description of every column of `extras`, as they were when the recipe ran, by GROUP.column."""
        return {
            f"{one['group']['name']}.{name}": column
            for one in self.known.get("extras", ())
            for name, column in one["columns"].items()
        }

    @property
    def catalogue(self) -> dict[str, pa.DataType]:
        """Every signal that a rule of this corpus may read, with its type."""
        return catalogue() | {name: pa.type_for_alias(column[0]) for name, column in self.columns.items()}

    def signals(self, group: str, shard: int) -> Path | None:
        if group in self.extras:
            folder = next(one["folder"] for one in self.known["extras"] if one["group"]["name"] == group)
            return self._maybe(f"signals/{folder}", shard, f"signals/{folder}/{shard:05d}.parquet")
        path = f"signals/{final_group(group, self.known['trims'])}/{shard:05d}.parquet"
        return self._maybe(self.known["lines"] if group in lines_groups() else "signals", shard, path)

    def edits(self, group: str, shard: int) -> Path | None:
        return self._maybe(f"edits/{group}", shard, f"edits/{group}/{shard:05d}.parquet")

    def edit_groups(self) -> list[str]:
        return ["clean", *self.known["trims"]]

    def last_edit_groups(self) -> list[str]:
        return list(self.known.get("last", ()))

    def mask(self, shard: int) -> Path:
        return self._whole(f"{self.home}/rules", shard, f"{self.home}/rules/{shard:05d}.parquet")

    def verdicts(self, shard: int) -> Path:
        return self._whole(f"{self.home}/verdicts", shard, f"{self.home}/verdicts/{shard:05d}.parquet")

    def duplicates(self) -> Path:
        path = f"{self.home}/duplicates.parquet"
        return self._given(self.work.manifest(f"{self.home}/elect", "all"), path)

    def edges(self) -> list[Path]:
        """Empty for a corpus without deduplication, though another one of the workspace may have found edges."""
        if not self.settings.dedup.on:
            return []
        return [self.work.file(file.path) for m in self.work.manifests("dedup/edges") for file in m.files]

    @property
    def verdicts_digest(self) -> str:
        """Changes with the verdicts: audits of other verdicts say nothing of these."""
        keys = [manifest.key for manifest in self.manifests("verdicts")]
        return hashlib.blake2b(" ".join(keys).encode(), digest_size=8).hexdigest()

    def audits(self) -> list[dict[str, Any]]:
        """Results of `tamis audit read` of the verdicts as they are, by kind."""
        path = self.work.file(f"{self.home}/audit.json")
        body = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return [found for _, found in sorted(body.items()) if found["digest"] == self.verdicts_digest]

    @property
    def bytes_per_token(self) -> float:
        """Of the corpus's own tokenizer on its own text; 4 where it was not tokenised."""
        tallies = total_by_source([manifest.summary for manifest in self.manifests("token-ids")]).values()
        tokens = sum(tally.tokens for tally in tallies)
        return sum(tally.bytes for tally in tallies) / tokens if tokens else BYTES_PER_TOKEN

    def url(self, gid: int) -> str | None:
        """The address of one document, by its gid."""
        column = read_table(self.documents(gid >> 32), ["url"]).column("url")
        found: str | None = column[gid & 0xFFFFFFFF].as_py()
        return found

    def _maybe(self, stage: str, shard: int, path: str) -> Path | None:
        return self._named(self.work.manifest(stage, f"{shard:05d}"), path)

    def _named(self, manifest: Manifest | None, path: str) -> Path | None:
        if manifest is None or path not in {file.path for file in manifest.files}:
            return None
        return self.work.file(path)

    def _whole(self, stage: str, shard: int, path: str) -> Path:
        return self._given(self.work.manifest(stage, f"{shard:05d}"), path)

    def _given(self, manifest: Manifest | None, path: str) -> Path:
        found = self._named(manifest, path)
        if found is None:
            raise WorkspaceError(
                f"{path} of corpus {self.corpus} is not whole: run `tamis run` on {self.known['label']} again, "
                f"it redoes only what is missing. Where that stops at a damaged file, {mending(self.work.path)}"
            )
        return found
