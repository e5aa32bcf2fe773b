"""Signals `quality`: calibrated scores of the models that a recipe names, made by `tamis quality train`.

A recipe's ``signals: {quality: {edu: models/edu.quality}}`` gives the column quality.edu. Any linear model serves;
`scored` makes the group under another name (harm).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.quality import linear
from tamis.quality.modelfile import NotAModel, identity, read_header
from tamis.signals.batch import Batch
from tamis.signals.extra import ExtraGroup, Finding
from tamis.signals.group import SHARE, Column, Options, SignalGroup

# bumped with the reason whenever a value of an unchanged model changes
VERSION = 1
GROUP = "quality"


def extra_groups(settings: Mapping[str, str], name: str = GROUP) -> list[ExtraGroup]:
    """The group of all models by column name. Raises NotAModel for files of another kind, FileNotFoundError."""
    if not settings:
        return []
    models = {}
    for column, path in settings.items():
        header = read_header(path)
        if header["format"] != linear.FORMAT:
            raise NotAModel(f"{path} is a model of {header['format']}: {name}.{column} needs one of {linear.FORMAT}")
        models[column] = identity(path)
    own = "tamis.signals.quality"
    params = {"group": name, "models": models}
    return [ExtraGroup(name, f"{own}:scored", params, dict(settings), f"{own}:explain")]


def scored(params: Mapping[str, Any], paths: Mapping[str, str]) -> SignalGroup:
    """The group with one column a model."""
    models = dict(params["models"])
    columns = [
        Column(
            column,
            SHARE,
            "probability in [0, 1]",
            "that a document is of the model's good kind, were both kinds equally frequent; null without a word",
            "a model of `tamis quality train`",
        )
        for column in models
    ]
    return SignalGroup(
        name=params.get("group", GROUP),
        version=VERSION,
        reads="clean",
        columns=tuple(columns),
        packages=("numpy",),
        compute=partial(_compute, models=models, paths=dict(paths)),
        description="Calibrated scores of trained classifiers.",
    )


def _compute(
    batch: Batch, options: Options, models: Mapping[str, str], paths: Mapping[str, str]
) -> dict[str, pa.Array]:
    return {name: _column(linear.load(paths[name], digest).scores(batch.clean)) for name, digest in models.items()}


def _column(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(values, SHARE, mask=np.isnan(values))


def explain(text: str, params: Mapping[str, Any], paths: Mapping[str, str], lines: int = 3) -> list[Finding]:
    """For each model the lines that pull most towards the verdict it leans to: what each adds to the logit."""
    spans = line_spans(text)
    if not spans:
        return []
    pieces = pa.array([text_ for _, _, text_ in spans], pa.large_string())
    found = []
    for name, digest in params["models"].items():
        model = linear.load(paths[name], digest)
        score = float(model.scores(pa.array([text], pa.large_string()))[0])
        if np.isnan(score):
            continue
        sign = 1 if score >= 0.5 else -1
        alone = model.scores(pieces)
        weight = np.array([len(piece) for _, _, piece in spans]) * np.nan_to_num(alone - 0.5) * sign
        for row in np.argsort(-weight, kind="stable")[:lines].tolist():
            if weight[row] > 0:
                start, end, _ = spans[row]
                signal = f"{params.get('group', GROUP)}.{name}"
                found.append(Finding(start, end, signal, f"alone this line scores {alone[row]:.2f}"))
    return found


def line_spans(text: str) -> list[tuple[int, int, str]]:
    """(start, end, line) of the lines that are not blank, in UTF-8 bytes."""
    out, at = [], 0
    for line in text.split("\n"):
        size = len(line.encode())
        if line.strip():
            out.append((at, at + size, line))
        at += size + 1
    return out
