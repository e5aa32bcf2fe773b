"""Signals `harm`: listed words, classifiers of the user, a maintained package; for harmful and unwanted content.

Tamis ships no list and no model. A rule decides what a match is worth: a medical page and an insult share words.

- `signals.words: {NAME: {path: ..., languages: [...]}}` gives `harm.NAME_count`, `harm.NAME_share` and
  `harm.NAME_distinct`. A list of a language is looked up only in documents that `lang.code` gives to it.
- `signals.harm: {NAME: model}` gives `harm.NAME`, the calibrated score of a model of `tamis quality train`; the model
  `alt-profanity-check` is the package of that name (extra `harm`), for English.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tamis.recipe import PROFANITY
from tamis.signals import quality
from tamis.signals.batch import Batch
from tamis.signals.extra import ExtraGroup, Finding
from tamis.signals.group import INT, SHARE, Column, Options, SignalGroup, count, share
from tamis.signals.wordlists import (
    WordList,
    folded_with_places,
    list_files,
    matches,
    word_list,
)
from tamis.stage import hash_file, package_version

if TYPE_CHECKING:
    from tamis.recipe import Signals

# 1: the first
VERSION = 1


def extra_groups(settings: Signals) -> list[ExtraGroup]:
    """The group that a recipe asks for. Raises BadWordList, OSError, and ValueError for what is no model."""
    lists: dict[str, dict[str, str]] = {}
    models: dict[str, str] = {}
    paths: dict[str, str] = {}
    for name, wanted in sorted(settings.words.items()):
        files = list_files(wanted.path, wanted.languages)
        lists[name] = {language: hash_file(file) for language, file in files.items()}
        for language, file in files.items():
            word_list(str(file), lists[name][language])
            paths[f"{name}/{language}"] = str(file)
    for name, model in sorted(settings.harm.items()):
        if name in lists:
            raise ValueError(f"signals.words and signals.harm both have a {name}")
        if model == PROFANITY:
            models[name] = f"{PROFANITY} {_package()}"
            continue
        (scored,) = quality.extra_groups({name: model}, "harm")
        models[name] = scored.params["models"][name]
        paths[name] = model
    params = {"lists": lists, "models": models}
    make_, explain_ = "tamis.signals.harm:make", "tamis.signals.harm:explain"
    return [ExtraGroup("harm", make_, params, paths, explain_)]


def make(params: Mapping[str, Any], paths: Mapping[str, str]) -> SignalGroup:
    """`make` of the group."""
    columns = []
    for name in params["lists"]:
        columns += [
            Column(f"{name}_count", INT, "matches", f"entries of the list {name} as whole words", total=True),
            Column(f"{name}_distinct", INT, "entries", f"different entries of the list {name}"),
            Column(f"{name}_share", SHARE, "matches per word", f"matches of the list {name} / words (script form)"),
        ]
    for name, model in params["models"].items():
        columns.append(Column(name, SHARE, "probability", f"score of {_shown(name, model, paths)}"))
    return SignalGroup(
        name="harm",
        version=VERSION,
        reads="clean",
        packages=("unicodedata",) if params["lists"] else (),
        compute=partial(_compute, params=params, paths=paths),
        description="Listed words and classifiers of harmful content.",
        columns=tuple(columns),
        analyses=("stats",) if params["lists"] else (),
        after=("lang",),
    )


def explain(text: str, params: Mapping[str, Any], paths: Mapping[str, str]) -> list[Finding]:
    """Where entries of the lists stand in a text, of any language: the receipt says which language it has."""
    folded, places = folded_with_places(text)
    found = []
    for name in params["lists"]:
        for language, one in _lists(name, params, paths).items():
            for match in one.search(folded):
                start, end = places[match.start], places[match.end]
                first = len(text[:start].encode())
                said = f"{match.entry} ({name}{', ' + language if language else ''})"
                found.append(Finding(first, first + len(text[start:end].encode()), f"harm.{name}_count", said))
    trained = {name: model for name, model in params["models"].items() if not model.startswith(PROFANITY)}
    found += quality.explain(text, {"group": "harm", "models": trained}, paths)
    return sorted(found, key=lambda one: (one.start, one.end))


def _compute(
    batch: Batch, options: Options, *, params: Mapping[str, Any], paths: Mapping[str, str]
) -> dict[str, pa.Array]:
    made: dict[str, pa.Array] = {}
    if params["lists"]:
        languages = batch.signals["lang"].column("code").to_pylist()
        texts = batch.clean.to_pylist()
        words = batch.analysis("clean")["stats"]["script_words"]
        for name in params["lists"]:
            lists = _lists(name, params, paths)
            found = [matches(text, lists, language) for text, language in zip(texts, languages, strict=True)]
            counts = count([len(each) for each in found])  # type: ignore[arg-type]
            made[f"{name}_count"] = counts
            made[f"{name}_distinct"] = pa.array([len({one.entry for one in each}) for each in found], pa.int64())
            made[f"{name}_share"] = share(counts.to_numpy(), words)
    trained = {name: model for name, model in params["models"].items() if not model.startswith(PROFANITY)}
    for name in params["models"].keys() - trained.keys():
        made[name] = _profanity(batch)
    return made | quality.scored({"group": "harm", "models": trained}, paths).compute(batch, options)


def _lists(name: str, params: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, WordList]:
    return {
        language: word_list(paths[f"{name}/{language}"], digest) for language, digest in params["lists"][name].items()
    }


def _profanity(batch: Batch) -> pa.Array:
    from profanity_check import predict_prob

    texts = batch.clean.to_pylist()
    return pa.array([float(value) for value in predict_prob(texts)] if texts else [], pa.float64())


def _package() -> str:
    found = package_version(PROFANITY)
    if found == "absent":
        raise ValueError(f"the package {PROFANITY} is not installed: pip install 'tamis[harm]'")
    return found


def _shown(name: str, model: str, paths: Mapping[str, str]) -> str:
    return model if model.startswith(PROFANITY) else f"the model {paths[name]}"
