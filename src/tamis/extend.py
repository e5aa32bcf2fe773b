"""Your own signals, edits and sources: one Python function with a decorator, in a file that the recipe names.

    from tamis.extend import edit, signal, source

    @signal("style.questions", unit="share of sentences", version=1)
    def questions(text: str) -> float | None: ...

    @edit("drop_footers", version=1)
    def drop_footers(text: str) -> Iterator[tuple[int, int, str]]: ...       # start, end, replacement: characters

    @source("notes", version=1)
    def notes(path: Path) -> Iterator[dict]: ...                            # text, url, date, anything else: meta

The recipe says `extend: [mine.py]`; a signal is then read by rules as `style.questions`, an edit is named in
`clean.edits`, a source in `sources[].reader`. What a function made is kept until its `version` changes: bump it
whenever the function gives something else. The functions must be pure, for a shard may be redone anywhere.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from tamis.errors import WrongUse

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)
State = Literal["extracted", "clean", "final"]

_MARK = "_tamis_extension"
_TYPES: dict[Any, str] = {float: "float64", int: "int64", bool: "bool", str: "string"}


class ExtensionError(ValueError, WrongUse):
    """A file of extensions, or a function in it, cannot be used; the message says which and why."""


class EditFailed(ExtensionError):
    """An edit raised on a text, or gave spans that are none. `.kind`: the name of what it raised, or `BadSpan`."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[EditFailed], tuple[str, str]]:
        return EditFailed, (str(self), self.kind)


@dataclass(frozen=True)
class Extension:
    """One decorated function. `columns`: of a signal, its Arrow type by column name. `source`: hash of its code, by
    which a change without a new version is noticed."""

    kind: Literal["signal", "edit", "source"]
    name: str
    version: int
    function: Function
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    reads: State = "clean"
    batch: bool = False
    description: str = ""
    source: str = ""

    @property
    def group(self) -> str:
        """Of a signal: what stands before the dot."""
        return self.name.partition(".")[0]


def signal(
    name: str,
    *,
    version: int,
    columns: Mapping[str, type] | None = None,
    unit: str | Mapping[str, str] = "",
    reads: State = "clean",
    batch: bool = False,
) -> Callable[[F], F]:
    """A signal of a text: ``name`` is GROUP.COLUMN, its type the function's return annotation (float, int, bool or
    str, `| None` where it may not be measurable). With `columns` the name is GROUP and the function returns a dict.

    `reads`: the state of the text. With `batch` the function is given a pyarrow LargeStringArray and returns an array
    (or a dict of arrays) of the same length. A text on which it raises is null in its columns, counted, and no other
    text is touched.
    """

    def mark(function: F) -> F:
        group, dot, column = name.partition(".")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", group) or (dot and not re.fullmatch(r"[a-z][a-z0-9_]*", column)):
            raise ExtensionError(f"signal {name!r}: write GROUP.COLUMN in small letters, digits and _")
        if bool(dot) == bool(columns):
            raise ExtensionError(f"signal {name!r}: give either GROUP.COLUMN, or GROUP with columns={{...}}")
        if reads not in ("extracted", "clean", "final"):
            raise ExtensionError(f"signal {name!r} reads {reads!r}: it is extracted, clean or final")
        kinds = {column: _returned(function, name, batch)} if columns is None else columns
        named = {each: _TYPES.get(kind) for each, kind in kinds.items()}
        if wrong := [each for each, kind in named.items() if kind is None]:
            raise ExtensionError(f"signal {name!r}: the type of {wrong[0]} must be float, int, bool or str")
        units = {each: unit if isinstance(unit, str) else unit.get(each, "") for each in named}
        return _marked(function, "signal", name, version, columns=named, units=units, reads=reads, batch=batch)

    return mark


def edit(name: str, *, version: int) -> Callable[[F], F]:
    """An edit of a text: the function yields (start, end, replacement) with positions in characters, in order and
    without overlap; an empty replacement takes the span out. A text on which it raises is not edited by it, counted,
    and no other text is touched."""
    return lambda function: _marked(function, "edit", name, version)


def source(name: str, *, version: int) -> Callable[[F], F]:
    """A source: the function is given the path of one file and yields a dict per record. `text` (or the field that
    the recipe's options name) is the text, `url` and `date` what they say, all else goes into `meta`."""
    return lambda function: _marked(function, "source", name, version)


def load(path: str | Path) -> list[Extension]:
    """The extensions of a file in the order of the file. Runs the file. Raises ExtensionError."""
    path = Path(path)
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        raise ExtensionError(f"{path}: cannot be read: {error.strerror}") from None
    return list(_load(str(path), stamp))


def find(path: str | Path, kind: str, name: str) -> Extension:
    """One extension of a file. Raises ExtensionError."""
    found = load(path)
    for one in found:
        if (one.kind, one.name) == (kind, name):
            return one
    known = ", ".join(one.name for one in found if one.kind == kind) or "none"
    raise ExtensionError(f"{path} has no {kind} {name}; it has {known}")


@lru_cache(maxsize=64)
def _load(path: str, stamp: int) -> tuple[Extension, ...]:
    name = f"tamis_extension_{hashlib.blake2b(path.encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ExtensionError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for the names of a class
    try:
        spec.loader.exec_module(module)
    except ExtensionError as error:
        raise ExtensionError(f"{path}: {error}") from None
    except Exception as error:
        raise ExtensionError(f"{path}: {_line(error, path)}{type(error).__name__}: {error}") from error
    found = [getattr(value, _MARK) for value in vars(module).values() if hasattr(value, _MARK)]
    if not found:
        raise ExtensionError(
            f"{path}: no function has a decorator of tamis.extend (@signal, @edit or @source), so it adds nothing"
        )
    for number, one in enumerate(found):
        if any((one.kind, one.name) == (other.kind, other.name) for other in found[:number]):
            raise ExtensionError(f"{path}: two {one.kind}s are named {one.name}")
    return tuple(found)


def _marked(function: F, kind: str, name: str, version: int, **rest: Any) -> F:
    if not isinstance(version, int) or version < 1:
        raise ExtensionError(f"{kind} {name!r}: version is {version!r}; give a whole number from 1 on")
    code = inspect.getsource(function)
    described = (inspect.getdoc(function) or "").partition("\n")[0]
    digest = hashlib.blake2b(code.encode(), digest_size=8).hexdigest()
    extension = Extension(kind, name, version, function, description=described, source=digest, **rest)  # type: ignore[arg-type]
    setattr(function, _MARK, extension)
    return function


def _returned(function: Function, name: str, batch: bool) -> Any:
    """The type that a function says it returns, without None."""
    kind = typing.get_type_hints(function).get("return")
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [part for part in typing.get_args(kind) if part is not type(None)]
        kind = rest[0] if len(rest) == 1 else kind
    if kind not in _TYPES:
        how = "give columns={...} for a batch" if batch else "annotate it: -> float, int, bool or str"
        raise ExtensionError(f"signal {name!r}: what it returns is not said; {how}")
    return kind


def _line(error: BaseException, path: str) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line}: " if line else ""
