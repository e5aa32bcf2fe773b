"""Spans of identifiers in a batch, and their masks as edits.

Ordinary documents cost almost nothing: the batch is searched once, vectorised, for `@`, for clusters of at least seven
digits (or four numbers with dots between), and for clusters of colons; only the neighbourhoods of those are given to
the finders of `identifiers`. Names are found by a model of the user's choice, if at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.clean.edits import from_lists, text_buffers
from tamis.clean.extra import Editor, ExtraEdits
from tamis.clean.identifiers import KINDS, Span, find
from tamis.stage import hash_tree, package_version

if TYPE_CHECKING:
    from tamis.recipe import Pii

I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

# of the masks; bumped with the reason whenever they change
VERSION = 1

NAME = "name"
MASKS = {**{kind: f"<{kind.upper()}>" for kind in KINDS}, NAME: "<NAME>"}

GAP = 3  # separators between two digits of one number, at most
BEFORE, AFTER = 12, 12  # bytes around a cluster of digits: the head of an IBAN, what may not follow
LOCAL, DOMAIN = 66, 256  # bytes around an @
SEPARATOR = np.zeros(256, np.bool_)
SEPARATOR[list(b" ()-./")] = True
NUMBERS = tuple(kind for kind in KINDS if kind not in ("email", "ip"))


class NoNamesModel(ValueError):
    """The model that finds names is not there; the message says how to get one."""


def extra_edits(settings: Pii) -> ExtraEdits:
    """The masks that a recipe asks for. Raises NoNamesModel."""
    masks: dict[str, str] = {kind: settings.replace.get(kind, MASKS[kind]) for kind in settings.mask}
    params: dict[str, Any] = {"masks": masks}
    paths: dict[str, str] = {}
    if settings.names is not None:
        params["names"] = names_version(settings.names)
        masks[NAME] = settings.replace.get("name", MASKS[NAME])
        paths["names"] = settings.names
    return ExtraEdits("pii", "tamis.clean.pii:editor", VERSION, params, paths)


def editor(params: Mapping[str, Any], paths: Mapping[str, str]) -> Editor:
    """`make` of the masks."""
    names = _name_finder(paths["names"], params["names"]) if "names" in params else None
    return partial(mask_edits, masks=params["masks"], names=names)


def mask_edits(
    text: pa.LargeStringArray, masks: Mapping[str, str], names: Callable[[str], list[Span]] | None = None
) -> pa.ListArray:
    """Edits that put `masks[kind]` in place of every span of those kinds; rules are named `pii.KIND`.

    A name that overlaps an identifier is left to the identifier's mask.
    """
    found = [(row, span) for row, span in spans(text) if span.kind in masks]
    if names is not None:
        taken: dict[int, list[Span]] = {}
        for row, span in found:
            taken.setdefault(row, []).append(span)
        for row, each in enumerate(text.to_pylist()):
            held = taken.get(row, [])
            for span in names(each):
                if all(span.end <= other.start or other.end <= span.start for other in held):
                    found.append((row, span))
        found.sort()
    return from_lists(
        len(text),
        [row for row, _ in found],
        [span.start for _, span in found],
        [span.end for _, span in found],
        [masks[span.kind] for _, span in found],
        [f"pii.{span.kind}" for _, span in found],
    )


# Names need a model: a spaCy pipeline with an entity recogniser (extra `pii`), installed or as a folder.

PERSONS = frozenset({"PERSON", "PER"})
NAMES_CHARACTERS = 100_000  # given to the model at a time


def names_version(model: str) -> str:
    """What tells one model from another: of a package its version, of a folder its content (a model that is trained
    again keeps its version); and spaCy's own. Raises NoNamesModel."""
    meta = _names_model(model).meta
    content = f" {hash_tree(Path(model))}" if Path(model).is_dir() else ""
    return f"{meta.get('lang')}_{meta.get('name')} {meta.get('version')}{content}, spaCy {package_version('spacy')}"


@lru_cache(maxsize=4)
def _names_model(model: str) -> Any:
    try:
        import spacy
    except ImportError:
        raise NoNamesModel("names need spaCy: pip install 'tamis[pii]' and a model") from None
    try:
        found = spacy.load(model, exclude=["lemmatizer", "tagger", "attribute_ruler", "parser"])
    except OSError:
        raise NoNamesModel(
            f"clean.pii.names: spaCy has no model {model}: install its package, or name a folder"
        ) from None
    if "ner" not in found.pipe_names:
        raise NoNamesModel(f"the spaCy model {model} recognises no entities")
    return found


@lru_cache(maxsize=4)
def _name_finder(model: str, version: str) -> Callable[[str], list[Span]]:
    if names_version(model) != version:
        raise NoNamesModel(f"clean.pii.names: the model {model} has changed since the run began")
    return partial(find_names, _names_model(model))


def find_names(model: Any, text: str) -> list[Span]:
    """Spans of persons' names in UTF-8 bytes. Long texts are given in pieces of at most 100,000 characters, cut at
    line ends, else at spaces; memory grows with such a piece."""
    found = []
    base = 0
    for piece in _pieces(text):
        position = to = 0
        for entity in model(piece).ents:
            if entity.label_ in PERSONS:
                to += len(piece[position : entity.start_char].encode())
                size = len(piece[entity.start_char : entity.end_char].encode())
                found.append(Span(base + to, base + to + size, NAME))
                to, position = to + size, entity.end_char
        base += len(piece.encode())
    return found


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        stop = start + NAMES_CHARACTERS
        if stop < len(text):
            line = text.rfind("\n", start, stop)
            cut = line if line > start else text.rfind(" ", start, stop)
            stop = cut + 1 if cut > start else stop
        yield text[start:stop]
        start = stop


def spans(text: pa.LargeStringArray) -> list[tuple[int, Span]]:
    """(document, span in bytes of that document) of every identifier, in order, none overlapping another."""
    offsets, data = text_buffers(text)
    data, offsets = data[offsets[0] : offsets[-1]], offsets - offsets[0]
    if not len(data):
        return []
    at = np.flatnonzero(data == ord("@")).astype(np.int64)
    digits = np.flatnonzero((data - np.uint8(48)) < 10).astype(np.int64)
    first, last, heads, sizes = _group(digits, offsets, _joined(data, digits))
    numbers = sizes >= 7
    plain = np.flatnonzero(numbers & (last - first + 1 == sizes) & (first > 0))
    behind_x = plain[data[first[plain] - 1] == ord("x")]  # 0x00000000
    row = np.searchsorted(offsets, first[behind_x], side="right") - 1
    numbers[behind_x[first[behind_x] > offsets[row]]] = False
    dotted = np.zeros(len(digits), np.int64)
    if len(digits) > 1:
        dotted[1:] = (np.diff(digits) == 2) & (data[digits[1:] - 1] == ord("."))
    dots = (np.add.reduceat(dotted, heads) if len(heads) else dotted) >= 3
    colon = np.flatnonzero(data == ord(":")).astype(np.int64)
    a, b, _, colons = _group(colon, offsets, np.diff(colon) <= 5)
    found = [
        *_search(data, offsets, at - LOCAL, at, at + DOMAIN, ("email",)),
        *_search(data, offsets, first[numbers] - BEFORE, first[numbers], last[numbers] + AFTER, NUMBERS),
        *_search(data, offsets, first[dots] - BEFORE, first[dots], last[dots] + AFTER, ("ip",)),
        *_search(data, offsets, a[colons >= 3] - AFTER, a[colons >= 3], b[colons >= 3] + AFTER, ("ip",)),
    ]
    return _apart(found)


def _apart(found: list[tuple[int, Span]]) -> list[tuple[int, Span]]:
    """In order; where two overlap, the one whose kind comes first in `KINDS` stays."""
    if len({row for row, _ in found}) == len(found):
        return sorted(found)
    kept: dict[int, list[Span]] = {}
    for row, span in sorted(set(found), key=lambda one: (one[0], KINDS.index(one[1].kind), one[1])):
        held = kept.setdefault(row, [])
        if all(span.end <= other.start or other.end <= span.start for other in held):
            held.append(span)
    return [(row, span) for row in sorted(kept) for span in sorted(kept[row])]


def _joined(data: Bytes, digits: I64) -> npt.NDArray[np.bool_]:
    """Whether each digit but the first stands behind the one before it with nothing but separators between."""
    step = np.diff(digits)
    near = step <= GAP + 1
    for place in range(1, GAP + 1):
        far = np.flatnonzero(near & (step > place))
        near[far] = SEPARATOR[data[digits[far] + place]]
    return near


def _group(positions: I64, offsets: I64, near: npt.NDArray[np.bool_]) -> tuple[I64, I64, I64, I64]:
    """Clusters of positions whose neighbours are `near`, none across documents: first and last position, index of
    the first, number of positions."""
    if not len(positions):
        return positions, positions, positions, positions
    head = np.concatenate([[True], ~near])
    begins = np.searchsorted(positions, offsets[1:-1])
    head[begins[begins < len(positions)]] = True
    heads = np.flatnonzero(head)
    tails = np.append(heads[1:], len(positions)) - 1
    return positions[heads], positions[tails], heads, tails - heads + 1


def _search(
    data: Bytes, offsets: I64, start: I64, middle: I64, end: I64, kinds: tuple[str, ...]
) -> list[tuple[int, Span]]:
    """The finders' spans in the windows start..end of the documents that hold `middle`, joined where they overlap."""
    if not len(start):
        return []
    row = np.searchsorted(offsets, middle, side="right") - 1
    start, end = np.maximum(start, offsets[row]), np.minimum(end, offsets[row + 1])
    apart = np.concatenate([[True], (start[1:] > end[:-1]) | (row[1:] != row[:-1])])
    heads = np.flatnonzero(apart)
    ends = end[np.append(heads[1:], len(end)) - 1]
    out: list[tuple[int, Span]] = []
    held, text, base = -1, b"", 0
    for a, b, i in zip(start[heads].tolist(), ends.tolist(), row[heads].tolist(), strict=True):
        if i != held:
            held, base = i, int(offsets[i])
            text = data[base : int(offsets[i + 1])].tobytes()
        out += [(i, span) for span in find(text, a - base, b - base, kinds=kinds)]
    return out
