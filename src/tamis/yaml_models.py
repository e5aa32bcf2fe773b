"""A YAML file as a pydantic model: every mistake is a line for people that points at file and line and, where a name
is wrong, suggests the near one. Recipes and labelling tasks are read so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class RecipeError(ValueError):
    """A recipe, or another YAML file of Tamis, that cannot be used.
    `.problems` are lines for people, each with file and line.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def near(name: str, known: list[str]) -> str:
    """`; did you mean NAME?`, or nothing."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


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
