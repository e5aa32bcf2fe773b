"""The recipe: one YAML file that says what to read, how to clean, measure, decide, mix and tokenize.

`load` gives a validated `Recipe`; every mistake is a `RecipeError` that points at the line and suggests the near
name. The schema is published by `schema()` (JSON Schema).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tamis.yaml_models import RecipeError, near, validated

Extractor = Literal["resiliparse", "trafilatura"]
Trim = Literal["c4", "c4_arxiv", "c4_no_terminal", "refinedweb"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
# Part of a signal's name, so a word of SQL.
Column = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
PiiKind = Literal["email", "ip", "phone", "iban", "card", "id"]
ReplacedKind = Literal["email", "ip", "phone", "iban", "card", "id", "name"]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
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
