"""Boilerplate lines as edits: cookie and script notices, navigation, share bars, filler text.

Precision before recall: what is removed is listed in phrases.yaml with its reason, and a line goes only if it is a
label as a whole, belongs to a run of labels, or is short and holds a phrase that no text needs.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml

from tamis import kernels
from tamis.clean.edits import from_lists, text_buffers
from tamis.clean.removal import line_spans, read_lines

_RUN = 3  # weak labels on so many successive lines are a menu
_BAR_CHARS, _BAR_WORDS = 160, 24  # lines with separators up to here are looked at as bars of labels
_SEPARATORS = ("\t", "|", "»", "›")
_CELLS = re.compile(r"\s*[\t|»›>·•/<«‹]+\s*")
_FIRST = re.compile(r"[\s|»›]")
_EDGES = " \t\u00a0•*-–—·«»‹›←→↑<>[]|:.…\u25b2\u25bc\u25b6\u25c0"
_DECORATED = ("{}", "• {}", "* {}", "- {}", "{}:", "{}...", "{}…", "{} →", "→ {}", "{} ->", "← {}", "{} »", "« {}",
              "{} ›", "‹ {}", "{} >", "< {}", ">> {}", "<< {}", "[{}]", "↑ {}", "{} ↑", "{}.", "{} |", "| {}", "{}!",
              "\u00a0{}", "» {}", "› {}", "> {}")  # fmt: skip


class _Rules(NamedTuple):
    names: list[str]  # of rules
    phrases: list[str]
    phrase_rule: npt.NDArray[np.int64]
    phrase_chars: npt.NDArray[np.int64]
    phrase_start: npt.NDArray[np.bool_]  # only at the beginning of a line
    strong: npt.NDArray[np.uint64]  # sorted hashes of lines that go wherever they stand
    strong_rule: npt.NDArray[np.int64]
    weak: npt.NDArray[np.uint64]  # sorted hashes of lines that go in runs
    weak_rule: npt.NDArray[np.int64]
    labels: frozenset[str]  # lower case, of both kinds
    openings: frozenset[str]  # their first words
    heads: npt.NDArray[np.bool_]  # (65536,) the first two bytes, letters in lower case, of lines that may be bars


@functools.cache
def _rules() -> _Rules:
    content = yaml.load(
        (resources.files(__package__) / "phrases.yaml").read_text("utf-8"),
        getattr(yaml, "CSafeLoader", yaml.SafeLoader),
    )
    labels = frozenset(str(x).lower() for part in ("lines", "weak") for g in content[part] for x in g["labels"])
    names = sorted({group["rule"] for part in content.values() for group in part})
    phrases = [
        (p, names.index(g["rule"]), int(g["chars"]), bool(g.get("start")))
        for g in content["phrases"]
        for p in g["phrases"]
    ]
    if len(phrases) + len(_SEPARATORS) > 64:
        raise ValueError(f"phrases.yaml has {len(phrases)} phrases: {64 - len(_SEPARATORS)} are possible")
    strong, strong_rule = _hashes(content["lines"], names)
    weak, weak_rule = _hashes(content["weak"], names)
    return _Rules(
        names=names,
        phrases=[phrase[0] for phrase in phrases],
        phrase_rule=np.array([phrase[1] for phrase in phrases]),
        phrase_chars=np.array([phrase[2] for phrase in phrases]),
        phrase_start=np.array([phrase[3] for phrase in phrases]),
        strong=strong,
        strong_rule=strong_rule,
        weak=weak,
        weak_rule=weak_rule,
        labels=labels,
        openings=frozenset(label.split()[0] for label in labels),
        heads=_heads(labels),
    )


def _heads(labels: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Beginnings of labels, and of what may stand before them but for "|", with which the rows of tables begin."""
    heads = np.zeros((256, 256), bool)
    for label in labels:
        for form in (label, label.capitalize()):
            first, second = (form.encode() + b"  ")[:2]
            heads[first | 0x20 * (first < 0x80), second | 0x20 * (second < 0x80)] = True
    for edge in set(_EDGES) - {"|"}:
        first = edge.encode()[0]
        heads[first | 0x20 * (first < 0x80)] = True
    return heads.ravel()


def _hashes(groups: list[dict[str, Any]], names: list[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Hashes of labels as the line table gives them, with every decoration, in either case beyond ASCII too."""
    spelt: dict[str, int] = {}
    for group in groups:
        for label in map(str, group["labels"]):
            for form in (label.lower(), label.capitalize(), label.upper()):
                for decoration in _DECORATED:
                    spelt.setdefault(decoration.format(form), names.index(group["rule"]))
    lines = list(spelt)
    table = kernels.line_table(pa.array(["\n".join(lines)], pa.large_string()))
    values, first = np.unique(table["hash"], return_index=True)
    return values, np.array([spelt[line] for line in lines])[first]


def boilerplate_edits(text: pa.LargeStringArray) -> pa.ListArray:
    """Edits that remove whole lines, with the rules of phrases.yaml. `text` has no nulls.

    A blank line behind a removed one goes with it where another blank line, or the beginning, is before it.
    """
    rules = _rules()
    table = kernels.line_table(text, [*rules.phrases, *_SEPARATORS])
    rule = np.full(len(table["document"]), -1, np.int64)
    _by_phrase(text, table, rules, rule)
    _by_label(table, rules, rule)
    _by_bar(text, table, rules, rule)
    drop = rule >= 0
    if not drop.any():
        return from_lists(len(text), [], [], [], "", "")
    spans = line_spans(text, table, drop, with_blank=True)
    return from_lists(len(text), spans.row, spans.start, spans.end, "", [rules.names[i] for i in rule[drop]])


def _by_phrase(
    text: pa.LargeStringArray,
    table: dict[str, npt.NDArray[Any]],
    rules: _Rules,
    rule: npt.NDArray[np.int64],
) -> None:
    known = np.uint64((1 << len(rules.phrases)) - 1)
    hit = np.flatnonzero(table["phrases"] & known)
    if len(hit) == 0:
        return
    bits = (table["phrases"][hit, None] >> np.arange(len(rules.phrases), dtype=np.uint64)) & np.uint64(1)
    allowed = (bits != 0) & (table["chars"][hit, None] <= rules.phrase_chars)
    found = np.flatnonzero(allowed.any(axis=1))
    which = allowed[found].argmax(axis=1)
    if rules.phrase_start[which].any():
        kept = [
            not rules.phrase_start[phrase] or line.strip(_EDGES).lower().startswith(rules.phrases[phrase])
            for phrase, line in zip(which.tolist(), read_lines(text, table, hit[found]), strict=True)
        ]
        found, which = found[kept], which[kept]
    rule[hit[found]] = rules.phrase_rule[which]


def _by_label(table: dict[str, npt.NDArray[Any]], rules: _Rules, rule: npt.NDArray[np.int64]) -> None:
    full = np.flatnonzero(table["nonspace_chars"])
    short = full[table["chars"][full] <= 80]
    strong = _lookup(table["hash"][short], rules.strong, rules.strong_rule)
    found = short[strong >= 0]
    rule[found] = strong[strong >= 0]
    # Runs are over the lines that are not blank; a strong label is a link of the run too.
    link = np.full(len(rule), -1, np.int64)
    link[short] = _lookup(table["hash"][short], rules.weak, rules.weak_rule)
    link[found] = rule[found]
    inside = link[full] >= 0
    border = np.flatnonzero(
        np.concatenate(
            [
                [True],
                (inside[1:] != inside[:-1]) | (table["document"][full][1:] != table["document"][full][:-1]),
            ]
        )
    )
    if len(full) == 0:
        return
    length = np.diff(np.append(border, len(full)))
    runs = np.repeat(inside[border] & (length >= _RUN), length)
    members = full[runs]
    rule[members] = np.where(rule[members] >= 0, rule[members], link[members])


def _lookup(
    values: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64], rule: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    at = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
    found: npt.NDArray[np.int64] = np.where(keys[at] == values, rule[at], -1)
    return found


def _by_bar(
    text: pa.LargeStringArray,
    table: dict[str, npt.NDArray[Any]],
    rules: _Rules,
    rule: npt.NDArray[np.int64],
) -> None:
    """Lines whose cells are labels: all of them, or the first and the last around a chapter's title."""
    separated = table["phrases"] >> np.uint64(len(rules.phrases)) != 0
    small = (table["chars"] <= _BAR_CHARS) & (table["words"] <= _BAR_WORDS)
    candidates = np.flatnonzero(separated & small & (rule < 0))
    offsets, data = text_buffers(text)
    at = offsets[table["document"][candidates]] + table["start"][candidates]
    head = (data[at].astype(np.int64) << 8) | data[np.minimum(at + 1, len(data) - 1)]
    head |= np.where(head < 0x8000, 0x2000, 0) | np.where(head & 0x80 == 0, 0x20, 0)
    candidates = candidates[rules.heads[head]]
    if len(candidates) == 0:
        return
    navigation = rules.names.index("boilerplate.navigation")
    for number, line in zip(candidates.tolist(), read_lines(text, table, candidates), strict=True):
        bar = line.strip(_EDGES).lower()
        if _FIRST.split(bar, maxsplit=1)[0] not in rules.openings:
            continue
        cells = [cell.strip(_EDGES) for cell in _CELLS.split(bar)]
        known = [cell in rules.labels for cell in cells if cell]
        around = len(cells) == 3 and cells[0] in rules.labels and cells[2] in rules.labels
        if len(set(cells)) >= 2 and ((len(known) >= 2 and all(known)) or (around and cells[0] != cells[2])):
            rule[number] = navigation
