"""What the commands do, between the command line and the rooms: run and say how it went, check, list, examine."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

from tamis import recipe as recipes
from tamis.console import ConsoleProgress, clock, several, size
from tamis.corpora import Corpus
from tamis.corpus.build import NothingKept
from tamis.documents import read_table
from tamis.engine import Engine, Local
from tamis.pipeline import Outcome, Pipeline, rules_of
from tamis.recipe import Recipe
from tamis.stage import Manifest
from tamis.verdicts.display import printable
from tamis.verdicts.rules import RuleError
from tamis.whole import write_atomic
from tamis.workspace import Workspace, WorkspaceError
from tamis.yaml_models import RecipeError, line_of, near

# Losses that say something of a whole raw file, not of one record in it.
WHOLE_FILE = frozenset({"source.bad_compression", "source.bad_file", "source.bad_page", "source.truncated"})


@dataclass(frozen=True)
class Finished:
    """A run that ended well, with what people and programs want to know of it."""

    outcome: Outcome
    seconds: float
    report: Path
    card: Path

    def to_json(self) -> dict[str, Any]:
        corpus = self.outcome.corpus
        return {
            "corpus": corpus.corpus,
            "work": str(corpus.work.path),
            "records": self.outcome.records,
            "documents": self.outcome.documents,
            "kept": self.outcome.kept,
            "tokens": self.outcome.tokens,
            "reasons": self.outcome.reasons,
            "losses": self.outcome.losses,
            "report": str(self.report),
            "card": str(self.card),
            "shards": str(corpus.work.file(f"{corpus.home}/tokens")),
            "text": str(corpus.work.file(f"{corpus.home}/text")),
        }


def make_engine(name: str, workers: int | None, address: str | None = None) -> Engine:
    """`local`, or `ray`: on this machine, or the cluster at `address`. Raises WorkspaceError, RayUnavailable."""
    if name == "ray":
        from tamis.ray_engine import Ray

        return Ray(workers, address)
    if name != "local":
        raise WorkspaceError(f"no engine {name}{near(name, ['local', 'ray'])}; there are: local, ray")
    if address is not None:
        raise WorkspaceError(f"address {address} is of a Ray cluster: use it with --engine ray")
    return Local(workers)


def run(
    path: Path,
    work: Path,
    workers: int | None,
    engine: str = "local",
    replace: bool = False,
    address: str | None = None,
) -> Finished:
    """Runs the recipe at `path` and says on standard error how it goes."""
    recipe = load(path)
    with pointing(path):
        return run_recipe(recipe, work, make_engine(engine, workers, address), label=path.name, replace=replace)


def run_recipe(recipe: Recipe, work: Path, engine: Engine, *, label: str, replace: bool = False) -> Finished:
    began = time.monotonic()
    progress = ConsoleProgress(describe)
    ready(recipe)
    workspace = Workspace(work, create=True)
    pipeline = Pipeline(recipe, workspace, engine, progress, label=label)
    try:
        for line in before(pipeline, label):
            progress.say(line)
        try:
            outcome = pipeline.run(replace=replace)
        except NothingKept:
            progress.say(f"report {write_report(Corpus(workspace, recipe.name))[0]}")
            raise
        report, card = write_report(outcome.corpus)
    finally:
        engine.close()
    for line in [*after(outcome), *failures(workspace, pipeline.measuring.stages)]:
        progress.say(line)
    finished = Finished(outcome, time.monotonic() - began, report, card)
    progress.say(f"{'done':<22} {clock(finished.seconds)}   report {report}")
    if outcome.tokens is not None:
        progress.say(f"{'':<22} token shards {workspace.file(outcome.corpus.home + '/tokens')}")
    return finished


def load(path: Path) -> Recipe:
    """The recipe, its rules checked too. Raises RecipeError that points at lines."""
    recipe = recipes.load(path)
    try:
        with pointing(path):
            rules_of(recipe)
    except RuleError as error:
        line = line_of(path.read_text(encoding="utf-8"), *error.path) or 1
        raise RecipeError([f"{path}:{line}: {error}"]) from None
    return recipe


@contextlib.contextmanager
def pointing(path: Path) -> Iterator[None]:
    """Gives the problems of a RecipeError that name a key of the recipe at `path` the line of that key."""
    try:
        yield
    except RecipeError as error:
        text = path.read_text(encoding="utf-8")
        raise RecipeError([_pointed(path, text, problem) for problem in error.problems]) from None


def _pointed(path: Path, text: str, problem: str) -> str:
    """`FILE:LINE: KEY: what is wrong`, for a problem `KEY: what is wrong`, or `KEY or KEY: ...`. Where a value below
    the key stands in what is wrong (the file that is missing), it is that value's key and line."""
    keys, colon, wrong = problem.partition(": ")
    found: list[tuple[int, tuple[str | int, ...], int]] = []
    for key in keys.split(" or ") if colon else ():
        home = tuple(int(part) if part.isdigit() else part for part in key.split("."))
        if line := line_of(text, *home):
            found.append((0, home, line))
        for place, value in _values(yaml.safe_load(text)):
            forms = [str((path.parent / Path(value).expanduser()).absolute()), value]
            match = next((len(form) for form in forms if _stands_in(form, wrong)), 0)
            if place[: len(home)] == home and match:
                found.append((match, place, line_of(text, *place) or 1))
    if not found:
        return problem
    _, place, line = max(found, key=lambda one: one[0])
    return f"{path}:{line}: {'.'.join(map(str, place))}: {wrong}"


def _values(body: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text of a recipe and where it stands."""
    if isinstance(body, str):
        yield place, body
    elif isinstance(body, dict | list):
        for key, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from _values(value, (*place, key if isinstance(body, list) else str(key)))


def _stands_in(value: str, text: str) -> bool:
    return re.search(rf"(?<![\w./-]){re.escape(value)}(?![\w/-]|\.\w)", text) is not None


def ready(recipe: Recipe) -> None:
    """Looks for what a run would miss only after hours. Raises RecipeError."""
    from tamis.corpus.tokenizer import Tokenizer, TokenizerError

    if recipe.clean.extractor == "trafilatura" and importlib.util.find_spec("trafilatura") is None:
        raise RecipeError(
            ["clean.extractor: trafilatura is not installed: pip install 'tamis[extract]', or resiliparse"]
        )
    for name, path in recipe.signals.blocklists.items():
        if not Path(path).exists():
            raise RecipeError([f"signals.blocklists.{name}: {path}: no such file"])
    if recipe.tokens and isinstance(recipe.tokens.tokenizer, str):
        try:
            Tokenizer.load(recipe.tokens.tokenizer)
        except (OSError, TokenizerError, UnicodeDecodeError) as error:
            raise RecipeError([f"tokens.tokenizer: {error}"]) from None


def before(pipeline: Pipeline, label: str) -> list[str]:
    """What a run says before it starts. Raises WorkspaceError where the disk cannot hold it."""
    preview = pipeline.reading.preview()
    lines = [
        f"tamis run {label} --work {pipeline.work.path}    {several(preview.shards, 'shard')}, "
        f"{several(pipeline.engine.workers, 'worker')}, "
        f"seed {pipeline.recipe.seed}; {preview.reused} of {several(preview.shards, 'shard')} already read"
    ]
    for name, splits, raw in preview.sources:
        lines.append(f"  {name:<16} {size(raw):>9} raw in {several(splits, 'split')}")
    if preview.disk:
        lines.append(f"  needs about {size(preview.disk)} of disk; {size(preview.free)} are free")
    if preview.disk > preview.free:
        raise WorkspaceError(
            f"{pipeline.work.path} needs about {size(preview.disk)} and has {size(preview.free)}. "
            "Choose a --work on a larger disk, or fewer sources."
        )
    return lines


def after(outcome: Outcome) -> list[str]:
    lost, dropped = sum(outcome.losses.values()), outcome.documents - outcome.kept
    documents = several(outcome.documents, "document")
    none = f"{lost:,} that {'is' if lost == 1 else 'are'} none"
    lines = [
        f"{'ledger':<22} {several(outcome.records, 'record')} = {documents} + {none}",
        f"{'':<22} {documents} = {outcome.kept:,} kept + {dropped:,} with a reason",
    ]
    if outcome.losses:
        folder = outcome.corpus.work.file("losses")
        lines.append(f"{'':<22} no document: {counts(outcome.losses)}; {folder} lists each with its file and offset")
        lines += damaged_sources(outcome.corpus)
    if outcome.reasons:
        lines.append(f"{'':<22} dropped: {counts(outcome.reasons)}")
    if outcome.tokens is not None:
        lines.append(f"{'':<22} {outcome.tokens:,} tokens")
    return lines


def damaged_sources(corpus: Corpus, most: int = 8) -> list[str]:
    """A warning for each raw file of which more than single records are lost. Reads the losses of the shards that
    have such, one at a time."""
    found: dict[tuple[str, str], int] = {}
    for manifest in corpus.work.manifests("documents"):
        if not WHOLE_FILE.isdisjoint(manifest.summary["reasons"]):
            rows = read_table(corpus.losses(int(manifest.task)), ["file", "reason"])
            for file, reason in zip(rows["file"].to_pylist(), rows["reason"].to_pylist(), strict=True):
                if reason in WHOLE_FILE:
                    found[file, reason] = found.get((file, reason), 0) + 1
    lines = [
        f"warning: {printable(file)} is damaged: {reason} {count:,}" for (file, reason), count in sorted(found.items())
    ]
    rest = len(lines) - most
    return [*lines[:most], f"warning: and {rest:,} more damaged files"] if rest > 0 else lines


def failures(workspace: Workspace, stages: Sequence[str]) -> list[str]:
    """A warning for each signal group and each own edit that failed on documents. Reads one manifest at a time."""
    found: dict[tuple[bool, str], tuple[int, int]] = {}
    for stage in stages:
        failed: dict[str, int] = {}
        documents = 0
        for manifest in workspace.manifests(stage):
            documents += manifest.summary.get("in", 0)
            for name, kinds in manifest.summary.get("failed", {}).items():
                failed[name] = failed.get(name, 0) + sum(kinds.values())
        found |= {(stage == "edits/clean", name): (count, documents) for name, count in failed.items()}
    return [
        f"warning: the edit {name} failed on {count:,} of {several(documents, 'document')}, which it left as they are"
        if edit
        else f"warning: the signals {name} failed on {count:,} of {several(documents, 'document')}: null there, and a "
        "rule over null drops nothing"
        for (edit, name), (count, documents) in sorted(found.items())
    ]


def counts(found: Mapping[str, int], most: int = 8) -> str:
    """`lang 120, short 80 and 3 more`, the largest first."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    words = ", ".join(f"{name} {count:,}" for name, count in ordered[:most])
    rest = len(ordered) - most
    return f"{words} and {rest} more" if rest > 0 else words


def describe(stage: str, manifests: Sequence[Manifest]) -> str:
    """The words at the end of a stage's line, from its manifests."""
    summaries = [manifest.summary for manifest in manifests]

    def total(key: str) -> int:
        return sum(summary.get(key, 0) for summary in summaries)

    last = stage.rsplit("/", 1)[-1]
    if stage == "documents":
        lost: dict[str, int] = {}
        for summary in summaries:
            for reason, count in summary["reasons"].items():
                lost[reason] = lost.get(reason, 0) + count
        words = f"{several(total('out'), 'document')}   {size(total('bytes_in'))}"
        count = sum(lost.values())
        return (
            f"{words}   {count:,} {'record is' if count == 1 else 'records are'} none: {counts(lost, 3)}"
            if lost
            else words
        )
    if stage == "edits/clean":
        return f"{several(total('edited'), 'document')} edited"
    if last == "verdicts":
        reasons: dict[str, int] = {}
        for summary in summaries:
            for reason, count in summary["reasons"].items():
                reasons[reason] = reasons.get(reason, 0) + count
        return "; ".join([f"kept {total('out'):,}", *([counts(reasons, 4)] if reasons else [])])
    if stage == "dedup/edges":
        return f"{sum(file.rows or 0 for manifest in manifests for file in manifest.files):,} verified pairs"
    if last in ("tokens", "index", "token-ids"):
        return f"{total('tokens'):,} tokens"
    if last == "elect":
        return f"{sum(summary['reasons'].get('duplicate', 0) for summary in summaries):,} duplicates"
    if not total("out"):
        return ""
    failed: dict[str, int] = {}  # of signal groups that raised: null there, and no rule says so
    for summary in summaries:
        for group, kinds in summary.get("failed", {}).items():
            failed[group] = failed.get(group, 0) + sum(kinds.values())
    return several(total("out"), "document") + (f"   not measured: {counts(failed, 3)}" if failed else "")


def write_report(corpus: Corpus) -> tuple[Path, Path]:
    """Writes report.html and card.md of a corpus, and README.md where it has text; the paths of the first two."""
    from tamis.corpus import card, report
    from tamis.corpus.collect import collect

    data = collect(corpus)
    home = corpus.work.file(corpus.home)
    page, text = home / "report.html", home / "card.md"
    write_atomic(page, report.render(data))
    write_atomic(text, card.render(data))
    readme = home / "README.md"
    if data.text:  # with text/, the folder is one that `datasets.load_dataset` reads
        write_atomic(readme, card.readme(data))
    else:
        readme.unlink(missing_ok=True)
    return page, text


def check(path: Path) -> dict[str, Any]:
    """What a recipe would read and decide by. Raises RecipeError, SourceError."""
    from tamis.reading import source_spec
    from tamis.sources import plan

    recipe = load(path)
    rules = rules_of(recipe)
    with pointing(path):
        ready(recipe)
        planned = [(source, plan(source_spec(source, recipe), recipe.split_bytes)) for source in recipe.sources]
    sources = []
    for source, splits in planned:
        sources.append({"name": source.name, "splits": len(splits), "bytes": sum(split.size for split in splits)})
    return {
        "recipe": str(path),
        "digest": recipe.digest,
        "sources": sources,
        "rules": [
            {"name": rule.name, "where": rule.where.text, "scope": rule.scope.text if rule.scope else None,
             "source": rule.source, "origin": rule.origin}
            for rule in rules
        ],
        "line_filters": list(rules.trims),
    }  # fmt: skip


def describe_check(path: Path, found: Mapping[str, Any]) -> str:
    lines = [f"{path} is a valid recipe ({found['digest'][:4]})."]
    for source in found["sources"]:
        splits = "split" if source["splits"] == 1 else "splits"
        lines.append(f"  {source['name']:<16} {size(source['bytes']):>9} in {source['splits']} {splits}")
    for rule in found["rules"]:
        scope = f"   where {rule['scope']}" if rule["scope"] else ""
        lines.append(f"  {rule['name']:<20} {rule['where']}{scope}")
    if found["line_filters"]:
        lines.append(f"  lines are filtered by {', '.join(found['line_filters'])} before final.* is measured")
    return "\n".join(lines)


def signal_list(corpus: Corpus | None = None) -> list[dict[str, str]]:
    """Every signal of the registry, and what the recipe of `corpus` measured beside them."""
    from tamis.signals import GROUPS

    found = {
        f"{group.name}.{column.name}": (column.unit, column.description)
        for group in GROUPS.values()
        for column in group.columns
    }
    if corpus:
        found |= {name: (unit, meaning) for name, (_, unit, meaning) in corpus.columns.items() if name not in found}
    return [{"signal": name, "unit": unit, "meaning": meaning} for name, (unit, meaning) in found.items()]


def preset_list() -> list[dict[str, str]]:
    from tamis.verdicts.rules import load_preset, preset_names

    return [
        {"preset": name, "rule": str(rule["name"]), "where": str(rule["where"]), "source": str(rule["source"])}
        for name in preset_names()
        for rule in load_preset(name).rules
    ]


def rule_counts(work: Path, name: str) -> list[dict[str, Any]]:
    """Every rule of a corpus: how many documents it fires on, how many it drops first, how many it alone drops."""
    corpus = Corpus(Workspace(work), name)
    fired: dict[str, int] = {}
    alone: dict[str, int] = {}
    first: dict[str, int] = {}
    for shard in range(corpus.shards):
        corpus.verdicts(shard)  # raises where a run has not come so far
    for manifest in corpus.manifests("verdicts"):
        for target, part in ((fired, "fired"), (alone, "alone"), (first, "reasons")):
            for rule, count in manifest.summary[part].items():
                target[rule] = target.get(rule, 0) + count
    names = ["extracted", *corpus.rules.names, "duplicate"]
    return [
        {
            "rule": rule,
            "where": corpus.rules[rule].where.text if rule in corpus.rules.names else "",
            "fires": fired.get(rule, 0),
            "first": first.get(rule, 0),
            "alone": alone.get(rule, 0),
        }
        for rule in names
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of one shape as aligned columns."""
    if not rows:
        return "nothing"
    names = list(rows[0])
    cells = [[f"{row[name]:,}" if isinstance(row[name], int) else str(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    number = [isinstance(rows[0][name], int) for name in names]

    def line(values: Sequence[str]) -> str:
        parts = (v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, number, strict=True))
        return "  ".join(parts).rstrip()

    return "\n".join([line(names), *(line(cell) for cell in cells)])


def compare(before_: str, after_: str, work: Path) -> Any:
    from tamis.corpus import diff

    return diff.compare(_corpus(before_, work), _corpus(after_, work))


def _corpus(name: str, work: Path) -> Corpus:
    """`[WORK:]NAME`."""
    folder, colon, last = name.rpartition(":")
    return Corpus(Workspace(folder if colon else work), last)


def say(line: str) -> None:
    typer.echo(line, err=True)
