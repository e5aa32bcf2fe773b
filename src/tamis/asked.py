"""What a recipe asks for beyond the registry: signal groups with settings, edits of its own, edits that come last.

The rooms make them from their part of the recipe; nothing heavy is loaded here, files are only hashed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tamis.clean.extra import ExtraEdits
from tamis.engine import Engine
from tamis.recipe import Recipe
from tamis.signals import GROUPS
from tamis.signals.extra import ExtraGroup, of_registry
from tamis.stage import File, Manifest
from tamis.workspace import Progress, Workspace
from tamis.yaml_models import RecipeError, near


@dataclass(frozen=True)
class Asked:
    """`groups`: with settings, in the order of the recipe's schema. `optional`: of the registry, measured on demand.
    `own`: edits inside the clean text. `last`: edits that only the written corpus shows."""

    groups: tuple[ExtraGroup, ...] = ()
    optional: tuple[str, ...] = ()
    own: tuple[ExtraEdits, ...] = ()
    last: tuple[ExtraEdits, ...] = ()

    def measured(self, read: tuple[str, ...]) -> list[ExtraGroup]:
        """The groups to measure, where rules read the groups `read`."""
        wanted = {*self.optional, *read}
        return [*self.groups, *(of_registry(g) for g in GROUPS.values() if g.optional and g.name in wanted)]


@dataclass(frozen=True)
class Preparation:
    """What a group or an edit may use before its first task: it runs stages of its own and returns files.

    `documents` and `edits` (clean) are those of every shard, in order.
    """

    work: Workspace
    engine: Engine
    progress: Progress
    documents: tuple[Manifest, ...]
    edits: tuple[File, ...]


def asked_by(recipe: Recipe) -> Asked:
    """Raises RecipeError for files that are not there and names that nothing has."""
    return Asked(tuple(_groups(recipe)), _optional(recipe), tuple(_own(recipe)), tuple(_last(recipe)))


def _groups(recipe: Recipe) -> Iterator[ExtraGroup]:
    signals = recipe.signals
    if signals.words or signals.harm:
        from tamis.signals import harm

        with _pointing("signals.words or signals.harm"):
            yield from harm.extra_groups(signals)
    if signals.quality:
        from tamis.signals import quality

        with _pointing("signals.quality"):
            yield from quality.extra_groups(signals.quality)
    if signals.perplexity:
        from tamis.signals import perplexity

        with _pointing("signals.perplexity"):
            yield from perplexity.extra_groups(signals.perplexity)
    if signals.importance:
        from tamis.signals import importance

        with _pointing("signals.importance"):
            yield from importance.extra_groups(signals.importance, recipe.seed)
    if signals.labels:
        from tamis.signals import labels

        with _pointing("signals.labels"):
            yield from labels.extra_groups(signals.labels)
    if recipe.decontaminate:
        from tamis.decontaminate import stages
        from tamis.signals import contamination

        with _pointing("decontaminate"):
            stages.check(recipe.decontaminate)
            yield from contamination.extra_groups(recipe.decontaminate)
    if recipe.extend:
        from tamis.signals import extending

        with _pointing("extend"):
            yield from extending.extra_groups(recipe.extend)


def _optional(recipe: Recipe) -> tuple[str, ...]:
    known = sorted(name for name, group in GROUPS.items() if group.optional)
    for name in recipe.signals.groups:
        if name not in known:
            raise RecipeError([f"signals.groups: there is no optional group {name}{near(name, known)}"])
    return recipe.signals.groups


def _own(recipe: Recipe) -> Iterator[ExtraEdits]:
    if recipe.clean.edits:
        from tamis.signals import extending

        with _pointing("clean.edits"):
            yield from extending.edits(recipe.extend, recipe.clean.edits)


def _last(recipe: Recipe) -> Iterator[ExtraEdits]:
    if recipe.decontaminate and recipe.decontaminate.window:
        from tamis.decontaminate import window

        yield window.extra_edits(recipe.decontaminate)
    if recipe.clean.pii:
        from tamis.clean import pii

        with _pointing("clean.pii"):
            yield pii.extra_edits(recipe.clean.pii)


@contextlib.contextmanager
def _pointing(place: str) -> Iterator[None]:
    """A file that is missing or not what it should be is a mistake of the recipe."""
    try:
        yield
    except OSError as error:
        raise RecipeError([f"{place}: {error.filename or ''}: {error.strerror or error}"]) from None
    except ValueError as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError([f"{place}: {error}"]) from None
