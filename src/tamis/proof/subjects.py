"""The models that `tamis evaluate` is given: run folders of `tamis train`, and folders of transformers.

A run folder holds its own tokenizer, or reads bytes. A transformers folder needs its tokenizer beside its weights (the
fast kind, or any that transformers can turn into it); code inside such a folder is never run, nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.errors import WrongUse
from tamis.models.model import Encoder, Predictor

# Longer rows of a transformers model are not read: attention costs their square.
MOST_CONTEXT = 1024


class BadModel(ValueError, WrongUse):
    """A folder holds no model that can be evaluated; the message says what it lacks."""


@dataclass(frozen=True)
class Subject:
    """A model under its name. tokens: what identifies its tokenizer; two models with the same can be compared token by
    token. trained_tokens, seconds, cpu_seconds, flops: of its training, where known."""

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

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "context": self.model.context,
            "tokenizer": self.tokens,
            "trained_tokens": self.trained_tokens,
        }


def load(paths: Sequence[Path], context: int | None = None) -> list[Subject]:
    """Models in the order given, named by their folders. context: read no longer rows. Raises BadModel."""
    found: list[Subject] = []
    for path, name in zip(paths, _names(paths), strict=True):
        if not path.is_dir():
            raise BadModel(f"{path}: a model is a folder, of `tamis train` (run.json) or of transformers (config.json)")
        if (path / "run.json").exists():
            found.append(_run(path, name, context))
        elif (path / "config.json").exists():
            found.append(_transformers(path, name, context))
        else:
            inside = sorted(one.parent.name for one in path.glob("*/run.json"))
            hint = f"; it holds the runs {', '.join(inside[:6])}: name one of them" if inside else ""
            raise BadModel(f"{path} holds neither run.json (of `tamis train`) nor config.json (of transformers){hint}")
    return found


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
    from tamis.corpus.tokenizer import Tokenizer
    from tamis.models.data import ByteEncoder
    from tamis.models.model import TorchModel
    from tamis.models.training import Run

    run = Run.read(path)
    try:
        module = run.module()
    except RuntimeError as error:  # of load_state_dict
        raise BadModel(f"{path}: its weights do not fit this version's decoder; train it again: {error}") from error
    own = path / "tokenizer.json"
    encoder: Any = Tokenizer.load(own) if own.exists() else ByteEncoder()
    tokens = f"tokenizer {encoder.sha256[:16]}" if own.exists() else "bytes"
    if encoder.vocabulary > run.config.vocab:
        raise BadModel(
            f"{path}: its tokenizer ({tokens}) has {encoder.vocabulary:,} ids, the model {run.config.vocab:,}. It was "
            "trained on ids that this folder has no tokenizer for: put it there as tokenizer.json."
        )
    facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
    longest = min(run.config.context, context or run.config.context)
    return Subject(
        name, path, "run of tamis train", TorchModel(module, longest), encoder, tokens, module,
        int(facts["tokens"]), run.seconds, run.cpu_seconds, run.flops,
    )  # fmt: skip


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
