"""Signals `perplexity`: how surprised the n-gram models of a recipe are, and CCNet's buckets of that.

A recipe's ``signals: {perplexity: {wiki: models/wiki.arpa}}`` gives perplexity.wiki (per word, see
`tamis.quality.perplexity`) and perplexity.wiki_bucket (head, middle, tail by the model's terciles; null where it has
none, and a rule on such a bucket is refused). Models are those of `tamis quality ngram`, or ARPA files whose words are
normalized in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.quality import arpa
from tamis.quality import perplexity as models
from tamis.signals.batch import Batch
from tamis.signals.extra import ExtraGroup, Finding
from tamis.signals.group import SHARE, Column, Options, SignalGroup
from tamis.signals.quality import line_spans

# bumped with the reason whenever a value of an unchanged model changes
VERSION = 1
GROUP = "perplexity"


def extra_groups(settings: Mapping[str, str]) -> list[ExtraGroup]:
    """The group of all models by column name. Raises NotAModel, FileNotFoundError."""
    from pathlib import Path

    from tamis.stage import hash_file

    if not settings:
        return []
    digests = {}
    for column, path in settings.items():
        arpa.header_of(path)
        digests[column] = hash_file(Path(path))
    own = "tamis.signals.perplexity"
    return [ExtraGroup(GROUP, f"{own}:group", {"models": digests}, dict(settings), f"{own}:explain")]


def empty_columns(settings: Mapping[str, str]) -> frozenset[str]:
    """The bucket signals of models that were trained without a reference corpus: null for every document."""
    return frozenset(
        f"{GROUP}.{column}_bucket" for column, path in settings.items() if "terciles" not in arpa.header_of(path)
    )


def group(params: Mapping[str, Any], paths: Mapping[str, str]) -> SignalGroup:
    """Two columns a model."""
    columns = []
    for name in params["models"]:
        columns += [
            Column(
                name, SHARE, "perplexity per word", "of the document's lines; null without a word", "Wenzek et al. 2020"
            ),
            Column(
                f"{name}_bucket",
                pa.string(),
                "head, middle, tail",
                "third of the model's reference corpus; null without one",
                "Wenzek et al. 2020",
            ),
        ]
    return SignalGroup(
        name=GROUP,
        version=VERSION,
        reads="clean",
        columns=tuple(columns),
        packages=("numpy",),
        compute=partial(_compute, models_=dict(params["models"]), paths=dict(paths)),
        description="Perplexity under n-gram models.",
    )


def _compute(
    batch: Batch, options: Options, models_: Mapping[str, str], paths: Mapping[str, str]
) -> dict[str, pa.Array]:
    out: dict[str, pa.Array] = {}
    for name, digest in models_.items():
        model = models.load(paths[name], digest)
        values = model.perplexities(batch.clean)
        out[name] = pa.array(values, SHARE, mask=np.isnan(values))
        out[f"{name}_bucket"] = models.bucket(values, model.terciles)
    return out


def explain(text: str, params: Mapping[str, Any], paths: Mapping[str, str], lines: int = 3) -> list[Finding]:
    """For each model the lines that surprise it most in all: those with the least log probability."""
    spans = line_spans(text)
    if not spans:
        return []
    pieces = pa.array([piece for _, _, piece in spans], pa.large_string())
    found = []
    for name, digest in params["models"].items():
        model = models.load(paths[name], digest)
        values = model.perplexities(pieces)
        weight = np.nan_to_num(np.log(values)) * np.array([len(piece) for _, _, piece in spans])
        for row in np.argsort(-weight, kind="stable")[:lines].tolist():
            if weight[row] > 0:
                start, end, _ = spans[row]
                found.append(Finding(start, end, f"{GROUP}.{name}", f"perplexity of this line: {values[row]:,.0f}"))
    return found
