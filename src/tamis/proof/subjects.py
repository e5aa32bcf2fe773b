"""The models that `tamis evaluate` is given: run folders of `tamis train`, and folders of transformers.

A run folder holds its own tokenizer, or reads bytes. A transformers folder needs its tokenizer beside its weights (the
fast kind, or any that transformers can turn into it); code inside such a folder is never run, nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.errors import WrongUse
from tamis.models.model import Encoder, Predictor

if TYPE_CHECKING:
    from tamis.models.training import Run

# Longer rows of a transformers model are not read: attention costs their square.
MOST_CONTEXT = 1024


class BadModel(ValueError, WrongUse):
    """A folder holds no model that can be evaluated; the message says what it lacks."""


@dataclass(frozen=True)
class Subject:
    """A model under its name. tokens: what identifies its tokenizer; two models with the same can be compared token by
    token. trained_tokens, seconds, cpu_seconds, flops, feed (what it read, as run.json has it): of its training, where
    known."""

    name: str
    folder: Path
    kind: str
    model: Predictor
    encoder: Encoder
    tokens: str
    module: Any
    trained_tokens: int | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    flops: float | None = None
    feed: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "context": self.model.context,
            "tokenizer": self.tokens,
            "trained_tokens": self.trained_tokens,
        }


def check(paths: Sequence[Path]) -> None:
    """Raises BadModel where a folder is not that of a model. Reads no weights: it takes no time."""
    _names(paths)
    for path in paths:
        if not path.exists():
            raise BadModel(f"there is no model {path}: that folder does not exist")
        if not path.is_dir():
            raise BadModel(f"{path}: a model is a folder, of `tamis train` (run.json) or of transformers (config.json)")
        if not (path / "run.json").exists() and not (path / "config.json").exists():
            inside = sorted(one.parent.name for one in path.glob("*/run.json"))
            hint = f"; it holds the runs {', '.join(inside[:6])}: name one of them" if inside else ""
            if (path / "checkpoint.safetensors").exists():
                hint = ": its training has not ended; give the same `tamis train` again"
            raise BadModel(f"{path} holds neither run.json (of `tamis train`) nor config.json (of transformers){hint}")


def load(paths: Sequence[Path], context: int | None = None) -> list[Subject]:
    """Models in the order given, named by their folders. context: read no longer rows. Raises BadModel."""
    check(paths)
    return [
        (_run if (path / "run.json").exists() else _transformers)(path, name, context)
        for path, name in zip(paths, _names(paths), strict=True)
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise BadModel("the same model is named twice")
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _run(path: Path, name: str, context: int | None) -> Subject:
    from tamis.models.model import TorchModel
    from tamis.models.training import Run

    try:
        facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
        run, tokens_read, hashed = Run.read(path), int(facts["tokens"]), facts.get("tokenizer")
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # no JSON, or not what `tamis train` writes
        raise BadModel(f"{path / 'run.json'} is damaged or of another version: {error!r}. {_AGAIN}") from error
    encoder, tokens = _encoder(path, run.config.vocab, hashed)
    module = _module(path, run)
    longest = min(run.config.context, context or run.config.context)
    return Subject(
        name, path, "run of tamis train", TorchModel(module, longest), encoder, tokens, module,
        tokens_read, run.seconds, run.cpu_seconds, run.flops, facts.get("feed"),
    )  # fmt: skip


# What someone who only evaluates can do about a damaged folder.
_AGAIN = "Copy the run's folder again from where it was trained, or leave this model out."


def _module(path: Path, run: Run) -> Any:
    from tamis.models.checkpoint import CheckpointError

    weights = path / "model.safetensors"
    if not weights.exists():
        raise BadModel(f"{weights} is missing: the folder holds a run without its weights. {_AGAIN}")
    try:
        return run.module()
    except CheckpointError as error:  # its own advice is for who trains
        why = error.__cause__ or "its tensors are not those that were written"
        raise BadModel(f"{weights} is damaged: {why}. {_AGAIN}") from error
    except RuntimeError as error:  # of load_state_dict
        raise BadModel(f"{path}: its weights do not fit this version's decoder; train it again: {error}") from error


def _encoder(path: Path, vocabulary: int, hashed: str | None) -> tuple[Any, str]:
    """What turns text into the ids that a run was trained on: its tokenizer, or bytes where it read bytes. hashed:
    SHA-256 of the tokenizer that run.json names."""
    from tamis.corpus.tokenizer import Tokenizer, TokenizerError
    from tamis.models.data import VOCABULARY, ByteEncoder

    own = path / "tokenizer.json"
    if not own.exists():
        if hashed is None and vocabulary == VOCABULARY:
            return ByteEncoder(), "bytes"
        raise BadModel(
            f"{own} is missing: this model reads {vocabulary:,} ids, not the {VOCABULARY} of bytes. Put the tokenizer "
            "that it was trained with there: the corpus's tokenizer.json, or what `tamis prove --tokenizer` was given."
        )
    if hashed is not None and hashlib.sha256(own.read_bytes()).hexdigest() != hashed:
        raise BadModel(f"{own} is not the tokenizer that this model was trained with: run.json names another. {_AGAIN}")
    try:
        encoder = Tokenizer.load(own)
    except TokenizerError as error:
        raise BadModel(f"{own} cannot be used: {error}. {_AGAIN}") from error
    tokens = f"tokenizer {encoder.sha256[:16]}"
    if encoder.vocabulary > vocabulary:
        raise BadModel(
            f"{own} ({tokens}) has {encoder.vocabulary:,} ids, the model {vocabulary:,}: it was trained with another "
            "one. Put that one there."
        )
    return encoder, tokens


def _transformers(path: Path, name: str, context: int | None) -> Subject:
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise BadModel(f"{path} is a transformers folder: pip install 'tamis[hf]' to read it") from error
    from tamis.corpus.tokenizer import Tokenizer
    from tamis.models.model import TorchModel

    try:
        module = AutoModelForCausalLM.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        made = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False, use_fast=True)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise BadModel(f"{path} cannot be read as a causal model of transformers: {error}") from error
    module.train(False)
    inner = getattr(made, "backend_tokenizer", None)
    if inner is None or made.eos_token is None:
        raise BadModel(f"{path}: its tokenizer must be of the fast kind and have an end-of-text token")
    encoder = Tokenizer(inner.to_str().encode(), made.eos_token, str(path))
    config = module.config
    known = [getattr(config, one, None) for one in ("max_position_embeddings", "n_positions", "n_ctx")]
    most = next((int(one) for one in known if one), MOST_CONTEXT)
    longest = min(most, context or MOST_CONTEXT)
    tokens = f"tokenizer {encoder.sha256[:16]}"
    return Subject(
        name, path, f"transformers {config.model_type}", TorchModel(module, longest), encoder, tokens, module
    )
