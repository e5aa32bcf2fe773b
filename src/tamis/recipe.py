"""The recipe: one YAML file that says what to read, how to clean, measure, decide, mix and tokenize.

`load` gives a validated `Recipe`; every mistake is a `RecipeError` that points at the line and suggests the near
name. The schema is published by `schema()` (JSON Schema).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Extractor = Literal["resiliparse", "trafilatura"]
Trim = Literal["c4", "c4_arxiv", "c4_no_terminal", "refinedweb"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


# Part of a signal's name, so a word of SQL.
Column = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
PiiKind = Literal["email", "ip", "phone", "iban", "card", "id"]
ReplacedKind = Literal["email", "ip", "phone", "iban", "card", "id", "name"]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RecipeError(ValueError):
    """A recipe that cannot be used. `.problems` are lines for people, each with file and line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# The one value under `signals.harm` that is a package, not a file.
PROFANITY = "alt-profanity-check"
# Keys of `signals` whose values are paths by name.
PATHS = ("blocklists", "harm", "quality", "perplexity", "importance")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class SourceOptions(_Part):
    """Which fields of a JSONL or Parquet row hold what, and how far a WARC file is trusted."""

    text_field: str = "text"
    id_field: str | None = None
    url_field: str | None = "url"
    date_field: str | None = "date"
    meta_fields: tuple[str, ...] | None = Field(None, description="kept in `meta`; every short scalar where absent")
    kind: Literal["text", "html"] | None = Field(None, description="what the text field holds; text where absent")
    digests: bool | None = Field(None, description="of WARC: false trusts blocks whose digest disagrees")


class Source(_Part):
    """Raw input of one format under a name that mixtures refer to."""

    name: Name
    path: str | tuple[str, ...] = Field(description="files, globs, folders or fsspec URLs")
    format: Literal["warc", "wet", "arc", "jsonl", "parquet", "text", "html"] | None = Field(
        None, description="inferred from the name where absent"
    )
    reader: Name | None = Field(None, description="your own source of a file under `extend`, in place of a format")
    licence: str = Field("unknown", description="stands in the report and the data card")
    options: SourceOptions = SourceOptions()

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else self.path

    @model_validator(mode="after")
    def _one_way(self) -> Source:
        if self.reader is not None and self.format is not None:
            raise ValueError("give a format or a reader of your own, not both")
        return self


class Limits(_Part):
    """Limits that decide content; deterministic, never the clock."""

    bytes: int = Field(10 << 20, gt=0, description="of one page as HTML, in bytes")
    nodes: int = Field(200_000, gt=0, description="of one page's tree")
    depth: int = Field(500, gt=0, description="of one page's tree")
    record_bytes: int = Field(64 << 20, gt=0, description="of one raw record, decompressed")


class Pii(_Part):
    """Which personal data are masked when the corpus is written."""

    mask: tuple[PiiKind, ...] = Field(description="kinds of spans; `names` turns on names")
    names: str | None = Field(None, description="a spaCy model (package or folder) that finds persons' names")
    replace: dict[ReplacedKind, str] = Field(default_factory=dict, description="other masks than <EMAIL>")

    @field_validator("mask", mode="before")
    @classmethod
    def _no_names(cls, value: Any) -> Any:
        if isinstance(value, list) and "name" in value:
            raise ValueError("`name` is no entry of `mask`: `names: MODEL` (a spaCy model) turns it on")
        return value


class Clean(_Part):
    """From records to clean text."""

    extractor: Extractor = "resiliparse"
    unicode: bool = True
    boilerplate: bool = True
    edits: tuple[Name, ...] = Field((), description="your own edits of files under `extend`, in order")
    pii: Pii | None = None
    limits: Limits = Limits()


class WordList(_Part):
    """Words or phrases, one a line."""

    path: str = Field(description="a file, or a folder of files named after languages (de.txt)")
    languages: tuple[str, ...] | None = Field(None, description="documents to look into; of a folder, its files'")


class LabelFile(_Part):
    """What people or models said of documents: Parquet, JSONL or CSV with a row per document."""

    path: str
    example: str = Field("example", description="the column of document ids")
    label: str = "label"


class Signals(_Part):
    """What is measured besides what the rules need."""

    groups: tuple[Name, ...] = Field((), description="optional groups to measure though no rule reads them")
    blocklists: dict[Name, str] = Field(default_factory=dict, description="name: file of hosts, domains or URLs")
    words: dict[Column, WordList] = Field(default_factory=dict, description="harm.NAME: share of listed words")
    harm: dict[Column, str] = Field(default_factory=dict, description="harm.NAME: a model of `tamis quality train`")
    quality: dict[Column, str] = Field(default_factory=dict, description="quality.NAME: as harm")
    perplexity: dict[Column, str] = Field(default_factory=dict, description="perplexity.NAME: an ARPA model")
    importance: dict[Column, str] = Field(default_factory=dict, description="importance.NAME: DSIR weights")
    labels: dict[Column, LabelFile] = Field(default_factory=dict, description="labels.NAME: of people or models")


class EvalSet(_Part):
    """Evaluation items that must not be in the corpus: JSONL or Parquet, a row per item."""

    name: Name
    path: str | tuple[str, ...]
    text: str = Field("text", description="the column of the question or passage")
    answer: str | None = Field("answer", description="the column of the answer, where there is one")
    id: str | None = Field("id", description="the column of the item's name; its row number where absent")
    where: dict[str, str | int | bool] = Field(default_factory=dict, description="column: value that rows must have")

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else self.path


class Window(_Part):
    """GPT-3's way: matches are cut out with their surroundings rather than documents dropped."""

    chars: int = Field(200, ge=0, description="cut out on each side of a match")
    least: int = Field(200, ge=0, description="characters; shorter pieces between cuts go too")
    most: int = Field(10, ge=1, description="cuts; a document with more is dropped")


class Decontaminate(_Part):
    """What is looked up in every document."""

    sets: tuple[EvalSet, ...] = Field(min_length=1)
    ngram: int = Field(13, ge=5, le=32, description="words")
    words: Literal["script", "whitespace"] = "script"
    window: Window | None = None


class MinHash(_Part):
    """How near duplicates are nominated."""

    bands: int = Field(14, ge=1, le=128)
    rows: int = Field(8, ge=1, le=64)
    ngram: int = Field(5, ge=1, le=32, description="words per shingle")


class Guard(_Part):
    """Removal rates that stop a run."""

    max_removed: float = Field(0.9, gt=0, le=1, description="share of a source's documents, by duplicates alone")
    max_cluster: float = Field(0.5, gt=0, le=1, description="share of a source's documents in one cluster")
    least: int = Field(100, ge=1, description="sources with fewer documents are not judged")


class Dedup(_Part):
    """Which documents count as the same."""

    exact: bool = True
    minhash: MinHash | None = MinHash()
    jaccard: float = Field(0.8, ge=0.5, le=1, description="of the sets of shingles, at least")
    containment: float | None = Field(None, ge=0.9, le=1, description="also drop what another document holds")
    guard: Guard = Guard()

    @property
    def on(self) -> bool:
        """Whether anything is deduplicated at all."""
        return self.exact or self.minhash is not None


class Rule(_Part):
    """A named SQL expression over signals that must hold."""

    where: str
    source: str = ""
    scope: str | None = Field(None, description="an SQL condition; outside it the rule drops nothing")
    unit: str = ""


class Rules(_Part):
    """Presets, then changes by name: an expression, a mapping, or `off`."""

    use: tuple[str, ...] = ()
    set: dict[str, str | bool | Rule] = Field(default_factory=dict)

    @field_validator("set")
    @classmethod
    def _only_off(cls, value: dict[str, Any]) -> dict[str, Any]:
        # YAML reads a bare `off` as false
        for name, rule in value.items():
            if rule is True:
                raise ValueError(f"{name}: give an expression, or `off`")
        return value


class Mixture(_Part):
    """How much of each source. Without weights every source enters whole, as often as its epochs say."""

    unit: Literal["tokens", "documents", "bytes"] = "tokens"
    weights: dict[Name, Share] | None = Field(None, description="relative shares of the corpus, in `unit`")
    epochs: dict[Name, Share] = Field(default_factory=dict, description="how often a source is seen at most; 1")
    tokens: int | None = Field(None, gt=0, description="the most tokens wanted")


class TrainTokenizer(_Part):
    """A byte-level BPE trained on the kept text."""

    vocab: int = Field(16_384, ge=512, le=1_000_000)
    sample_bytes: int = Field(32 << 20, gt=0, description="of kept text, drawn evenly and by seed")


class Tokens(_Part):
    """How kept text becomes token shards."""

    tokenizer: TrainTokenizer | str = Field(TrainTokenizer(), description="settings, or a tokenizers JSON file")
    context: int = Field(2048, ge=8, description="tokens per packed sequence")
    shard_bytes: int = Field(64 << 20, ge=1 << 16, description="of kept text per final shard")
    megatron: bool = Field(False, description="also write Megatron-style .bin and .idx")


class Recipe(_Part):
    """Everything that decides a corpus."""

    name: Name = "main"
    seed: int = Field(17, ge=0, lt=1 << 63)
    extend: tuple[str, ...] = Field((), description="Python files with your own signals, sources and edits")
    sources: tuple[Source, ...] = Field(min_length=1)
    split_bytes: int = Field(32 << 20, ge=1 << 16, description="raw bytes per shard, cut at record boundaries")
    clean: Clean = Clean()
    signals: Signals = Signals()
    decontaminate: Decontaminate | None = None
    dedup: Dedup = Dedup()
    rules: Rules = Rules()
    mixture: Mixture = Mixture()
    tokens: Tokens | None = Tokens()

    @model_validator(mode="after")
    def _sources(self) -> Recipe:
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name}")
        for given in (self.mixture.weights or {}, self.mixture.epochs):
            for name in given:
                if name not in names:
                    raise ValueError(f"mixture names an unknown source: {name}{near(name, names)}")
        weights = self.mixture.weights
        if weights is not None:
            if missing := [name for name in names if name not in weights]:
                raise ValueError(f"mixture.weights lacks {missing[0]}: give it a weight (0 leaves the source out)")
            if not any(weights.values()):
                raise ValueError("mixture.weights are all 0: nothing would be left")
        return self

    @model_validator(mode="after")
    def _makes_tokens(self) -> Recipe:
        """Nothing can be counted in tokens where none are made."""
        if self.tokens is None and self.mixture.tokens is not None:
            raise ValueError("mixture.tokens is a number of tokens, but `tokens: null` makes none: drop one of the two")
        if self.tokens is None and self.mixture.weights and self.mixture.unit == "tokens":
            raise ValueError(
                "mixture.weights count tokens, but `tokens: null` makes none: set mixture.unit to documents or bytes"
            )
        return self

    @property
    def digest(self) -> str:
        """32 hexadecimal digits over everything that the recipe says."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def schema() -> dict[str, Any]:
    """The recipe's JSON Schema."""
    return Recipe.model_json_schema()


def near(name: str, known: list[str]) -> str:
    """`; did you mean NAME?`, or nothing."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def load(path: Path | str) -> Recipe:
    """Reads and validates a recipe. Relative paths in it are relative to its folder. Raises RecipeError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError([f"{path}: no such recipe"]) from None
    except OSError as error:
        raise RecipeError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([f"{path}: not UTF-8 at byte {error.start}"]) from None
    recipe = parse(text, str(path))
    return rooted(recipe, path.parent)


def parse(text: str, name: str = "recipe") -> Recipe:
    """Validates YAML text; `name` stands in the errors."""
    return validated(text, name, Recipe, "a recipe is a mapping; it needs at least `sources`")


Model = TypeVar("Model", bound=BaseModel)


def validated(text: str, name: str, model: type[Model], shape: str) -> Model:
    """YAML text as a model. Every mistake is a line of the RecipeError; `shape` says what the file is at its top."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError([f"{name}{where}: not YAML: {problem}"]) from None
    if not isinstance(body, dict):
        raise RecipeError([f"{name}:1: {shape}"])
    lines = dict(_lines(node))
    repeated = [f"{name}:{line}: `{key}` stands here twice" for key, line in _repeated(node)]
    if repeated:
        raise RecipeError(repeated)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise RecipeError(_problems(error, lines, name, model)) from None


def rooted(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with paths that no longer depend on where it is read from."""

    def fixed(path: str) -> str:
        return path if "://" in path or "::" in path else str((folder / Path(path).expanduser()).absolute())

    def all_fixed(paths: dict[str, str]) -> dict[str, str]:
        return {name: path if path == PROFANITY else fixed(path) for name, path in paths.items()}

    clean = recipe.clean
    if clean.pii and clean.pii.names and (folder / clean.pii.names).is_dir():  # else the name of a package
        clean = clean.model_copy(update={"pii": clean.pii.model_copy(update={"names": fixed(clean.pii.names)})})
    tokens = recipe.tokens
    if tokens and isinstance(tokens.tokenizer, str):
        tokens = tokens.model_copy(update={"tokenizer": fixed(tokens.tokenizer)})
    sources = tuple(s.model_copy(update={"path": tuple(fixed(p) for p in s.paths)}) for s in recipe.sources)
    asked = recipe.signals
    signals = asked.model_copy(
        update={
            **{name: all_fixed(getattr(asked, name)) for name in PATHS},
            "words": {n: one.model_copy(update={"path": fixed(one.path)}) for n, one in asked.words.items()},
            "labels": {n: one.model_copy(update={"path": fixed(one.path)}) for n, one in asked.labels.items()},
        }
    )
    decontaminate = recipe.decontaminate
    if decontaminate:
        sets = tuple(s.model_copy(update={"path": tuple(fixed(p) for p in s.paths)}) for s in decontaminate.sets)
        decontaminate = decontaminate.model_copy(update={"sets": sets})
    return recipe.model_copy(
        update={
            "extend": tuple(fixed(path) for path in recipe.extend),
            "sources": sources,
            "clean": clean,
            "signals": signals,
            "decontaminate": decontaminate,
            "tokens": tokens,
        }
    )


def line_of(text: str, *place: str | int) -> int | None:
    """The line (from 1) at which a place of the recipe stands, for errors found after validation."""
    return dict(_lines(yaml.compose(text, Loader=yaml.SafeLoader))).get(tuple(place))


def _lines(node: yaml.Node | None, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if node is None:
        return
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            yield from _lines(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _lines(value, (*place, number))


def _repeated(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield str(key.value), key.start_mark.line + 1
            seen.add(key.value)
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated(value)


def _problems(
    error: ValidationError, lines: dict[tuple[str | int, ...], int], name: str, model: type[BaseModel]
) -> list[str]:
    found: dict[tuple[int, str], None] = {}
    root = model.model_config.get("title") or model.__name__.lower()
    problems = error.errors()
    for problem in problems:
        if isinstance(problem.get("input"), dict) and problem["type"] in ("string_type", "bool_type", "int_type"):
            continue  # the other side of a union: the mapping's own mistakes are listed
        if problem["type"] == "too_short" and any(_inside(other["loc"], problem["loc"]) for other in problems):
            continue  # of a sequence whose items are wrong themselves
        place = tuple(part for part in problem["loc"] if isinstance(part, str | int))
        line = _line(lines, place)
        dotted = ".".join(str(part) for part in _written(lines, place)) or root
        if problem["type"] == "extra_forbidden":
            known = _fields(place[:-1], model)
            message = f"unknown key `{dotted}`{near(str(place[-1]), known)}"
            if known:
                message += f"  ({', '.join(known)})"
        elif problem["type"] == "missing":
            message = f"`{dotted}` is missing" if dotted != root else f"`{place[-1]}` is missing"
            if place and str(place[-1]) not in dotted:
                message = f"`{dotted}` needs `{place[-1]}`"
        else:
            text = problem["msg"].removeprefix("Value error, ")
            text = _plain(problem["type"], text, problem.get("ctx") or {})
            given = problem.get("input")
            shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
            message = f"`{dotted}`: {text[0].lower()}{text[1:]}{shown}"
        found[(line, f"{name}:{line}: {message}")] = None
    return [text for _, text in sorted(found)]


def _plain(kind: str, text: str, context: dict[str, Any]) -> str:
    """What pydantic says, without its words for types of Python."""
    if kind in ("too_short", "too_long"):
        least = kind == "too_short"
        number = context.get("min_length" if least else "max_length")
        return f"it needs at {'least' if least else 'most'} {number} {'entry' if number == 1 else 'entries'}"
    if kind == "string_pattern_mismatch":
        return f"it must have the form {context.get('pattern')}"
    text = re.sub(r"(a )?(valid dictionary|mapping) or (an )?instance of \w+", "a mapping", text)
    return text.replace("valid tuple", "list").replace("valid dictionary", "mapping")


def _inside(place: tuple[Any, ...], outer: tuple[Any, ...]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def _line(lines: dict[tuple[str | int, ...], int], place: tuple[str | int, ...]) -> int:
    return lines.get(_written(lines, place), 1)


def _written(lines: dict[tuple[str | int, ...], int], place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The longest part of a place that stands in the file (pydantic adds names of union members)."""
    kept: tuple[str | int, ...] = ()
    for part in place:
        if (*kept, part) in lines:
            kept = (*kept, part)
    return kept


def _fields(place: tuple[str | int, ...], model: type[BaseModel]) -> list[str]:
    """The keys that the schema allows at a place."""
    kinds: list[Any] = [model]
    for part in place:
        inner: list[Any] = []
        for kind in kinds:
            if isinstance(part, int):
                inner.append(kind)
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                if part == kind.__name__:
                    inner.append(kind)
                elif part in kind.model_fields:
                    inner += _models(kind.model_fields[part].annotation)
        kinds = inner or kinds
    return sorted({name for kind in kinds for name in kind.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models(inner)]
