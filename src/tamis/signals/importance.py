"""Signals `importance`: log importance weights of documents, and keys to draw a sample by them (DSIR).

A recipe's ``signals: {importance: {wiki: models/wiki.dsir}}`` gives importance.wiki, the log weight, and
importance.wiki_key, the same plus Gumbel noise made of the document's id and the recipe's seed. The documents with the
k largest keys are a draw of k without replacement; `tamis quality resample` prints the rule that keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.quality import dsir
from tamis.quality.modelfile import NotAModel, identity, read_header
from tamis.signals.batch import Batch
from tamis.signals.extra import ExtraGroup
from tamis.signals.group import SHARE, Column, Options, SignalGroup

# bumped with the reason whenever a value of an unchanged model changes
VERSION = 1
GROUP = "importance"


def extra_groups(settings: Mapping[str, str], seed: int) -> list[ExtraGroup]:
    """The group of all models by column name. Raises NotAModel, FileNotFoundError."""
    if not settings:
        return []
    digests = {}
    for column, path in settings.items():
        header = read_header(path)
        if header["format"] != dsir.FORMAT:
            raise NotAModel(f"{path} is a model of {header['format']}: importance.{column} needs one of {dsir.FORMAT}")
        digests[column] = identity(path)
    return [ExtraGroup(GROUP, "tamis.signals.importance:group", {"models": digests, "seed": seed}, dict(settings))]


def group(params: Mapping[str, Any], paths: Mapping[str, str]) -> SignalGroup:
    """Two columns a model."""
    columns = []
    for name in params["models"]:
        columns += [
            Column(
                name, SHARE, "nats", "log p_target - log p_raw of the document; null without a word", "Xie et al. 2023"
            ),
            Column(f"{name}_key", SHARE, "nats", "the same plus Gumbel noise of the document's id", "Kool et al. 2019"),
        ]
    return SignalGroup(
        name=GROUP,
        version=VERSION,
        reads="clean",
        columns=tuple(columns),
        packages=("numpy",),
        compute=partial(_compute, models=dict(params["models"]), paths=dict(paths), seed=int(params["seed"])),
        description="Importance weights towards a target.",
    )


def _compute(
    batch: Batch, options: Options, models: Mapping[str, str], paths: Mapping[str, str], seed: int
) -> dict[str, pa.Array]:
    out: dict[str, pa.Array] = {}
    ids = batch.documents.column("id").to_pylist()
    for name, digest in models.items():
        values = dsir.load(paths[name], digest).log_weights(batch.clean)
        missing = np.isnan(values)
        out[name] = pa.array(values, SHARE, mask=missing)
        out[f"{name}_key"] = pa.array(values + dsir.noise(ids, seed, name), SHARE, mask=missing)
    return out
