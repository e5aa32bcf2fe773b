"""Rows to train on: classification, demonstrations (SFT), preferences, and reward models.

Each gives rows, and the examples that give none with the reason (a tie, only skips, another kind of question): those
are kept in a file beside, so that nothing is lost and no loader meets an empty label.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tamis.people.exchange.annotations import TIE, Aggregated, Annotation, ordered
from tamis.people.exchange.evidence import COLUMN, BadExchange, dump, pack

COMPARING = ("pairwise", "preference", "ranking")
# The kinds of questions that a format makes rows of.
FITS: Mapping[str, tuple[str, ...]] = {
    "classification": ("choice", "multi", "rating", "pairwise"),
    "sft": ("text", "rewrite"),
    "preference": COMPARING,
    "reward": (*COMPARING, "rating"),
}
Row = dict[str, Any]
Group = tuple[list[Annotation], Aggregated | None]

PROMPTS = ("prompt", "instruction", "question", "input", "text")
COMPLETIONS = ("completion", "response", "answer", "output")


def rows(
    format_: str, annotations: Iterable[Annotation], aggregated: Iterable[Aggregated], prompt: str | None
) -> tuple[list[Row], list[Row]]:
    """(rows to train on, rows held back with `why`), in the order of examples and questions."""
    used: list[Row] = []
    unused: list[Row] = []
    for (example, question), (group, said) in grouped(annotations, aggregated):
        # Hidden questions are no data, and a second answer of one rater is no second vote. A second text is a text.
        counted = [a for a in group if not a.gold and (format_ == "sft" or not a.repeat)]
        made = MAKERS[format_](counted, said, prompt) if counted else _why_not(group)
        if not made:
            made = "nothing was compared"
        if isinstance(made, str):
            row: Row = {"id": example, "question": question, "why": made}
            unused.append({**row, COLUMN: pack(row, group, [said] if said else [])})
            continue
        told = [a for _, evidence in made for a in evidence]
        left = list((Counter(map(_key, group)) - Counter(map(_key, told))).elements())
        first = True
        for row, evidence in made:
            row = {"id": example, "question": question, **row}
            # What belongs to no row of its own (a skip, say) is told by the first.
            mine = ordered([*evidence, *(_by_key(group, left) if first else [])])
            used.append({**row, COLUMN: pack(row, mine, [said] if said and first else [])})
            first = False
    return used, unused


def must_fit(format_: str, kinds: Iterable[str]) -> None:
    """Raises BadExchange where a format makes no row of any of a task's kinds of questions, and names those that do."""
    asked = sorted(set(kinds))
    if format_ not in FITS or set(asked) & set(FITS[format_]):
        return
    fitting = [name for name, fit in FITS.items() if set(asked) & set(fit)]
    raise BadExchange(
        f"format {format_} is for {', '.join(FITS[format_])}, and this task asks {', '.join(asked)}: of the formats to "
        f"train on, {', '.join(fitting) or 'none'} fits; annotations fits any task"
    )


def grouped(
    annotations: Iterable[Annotation], aggregated: Iterable[Aggregated]
) -> Iterator[tuple[tuple[str, str], Group]]:
    """Annotations and aggregated label of every question about every example. Raises BadExchange for two of the
    latter."""
    groups: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for annotation in ordered(annotations):
        groups[annotation.example, annotation.question].append(annotation)
    said: dict[tuple[str, str], Aggregated] = {}
    for one in aggregated:
        if said.setdefault((one.example, one.question), one) is not one:
            raise BadExchange(f"example {one.example} has two aggregated labels for question {one.question}")
    for key in sorted(set(groups) | set(said)):
        yield key, (groups.get(key, []), said.get(key))


def classification(group: list[Annotation], said: Aggregated | None, _: str | None) -> Any:
    """One row per example: its fields, label, posterior, and who said so."""
    if group[0].kind not in FITS["classification"]:
        return f"a {group[0].kind} is no class"
    label = said.label if said else _most(group)
    if label is None:
        return _why_none(group)
    row = {_free(name): value for name, value in group[0].fields.items() if isinstance(value, str | int | float | bool)}
    row |= {"label": label, **_support(group, said)}
    if said and said.soft:
        row["soft"] = dump(dict(said.soft))
    return [(row, group)]


def sft(group: list[Annotation], said: Aggregated | None, prompt: str | None) -> Any:
    """One row per demonstration: prompt, completion. Of rewrites, the rewritten text is the completion."""
    if group[0].kind not in FITS["sft"]:
        return f"a {group[0].kind} is no demonstration"
    made = []
    for annotation in group:
        if annotation.skipped:
            continue
        text = annotation.value if annotation.kind == "text" else annotation.value["text"]
        asked = prompt or (annotation.of if annotation.kind == "rewrite" and annotation.of else None)
        made.append(
            ({"prompt": prompt_of(annotation, asked), "completion": text, **_support([annotation], said)}, [annotation])
        )
    return made or _why_none(group)


def preference(group: list[Annotation], said: Aggregated | None, prompt: str | None) -> Any:
    """One row per pair of responses of which one is preferred: prompt, chosen, rejected, and the votes."""
    return _pairs(group, said, prompt, margin=False)


def reward(group: list[Annotation], said: Aggregated | None, prompt: str | None) -> Any:
    """As `preference`, with `margin`: the log odds of the votes, (wins + 1/2) against (losses + 1/2), a tie being half
    of each. Of ratings, a row with `completion` and its `score`."""
    if group[0].kind != "rating":
        return _pairs(group, said, prompt, margin=True)
    answers = [a.value for a in group if not a.skipped]
    score = said.label if said else sum(answers) / len(answers) if answers else None
    if score is None:
        return _why_none(group)
    name = group[0].of or next((n for n in COMPLETIONS if isinstance(group[0].fields.get(n), str)), None)
    if name is None:
        return f"no field is the completion: name one of the fields {', '.join(COMPLETIONS)}"
    row = {"prompt": prompt_of(group[0], prompt, (name,)), "completion": group[0].fields[name], "score": float(score)}
    return [({**row, **_support(group, said)}, group)]


MAKERS: dict[str, Callable[[list[Annotation], Aggregated | None, str | None], Any]] = {
    "classification": classification,
    "sft": sft,
    "preference": preference,
    "reward": reward,
}


def prompt_of(annotation: Annotation, names: str | None, besides: Sequence[str] = ()) -> str:
    """The prompt: the named fields (by commas, put together with an empty line between), or the one that is so called.
    Raises BadExchange where nothing says which it is."""
    fields = {
        n: v for n, v in annotation.fields.items() if isinstance(v, str) and n not in (*annotation.options, *besides)
    }
    if names is not None:
        wanted = [name.strip() for name in names.split(",")]
        if missing := [name for name in wanted if name not in annotation.fields]:
            raise BadExchange(
                f"example {annotation.example} has no field {missing[0]!r} to be the prompt; it has "
                f"{', '.join(annotation.fields) or 'none'}"
            )
        return "\n\n".join(text for name in wanted if (text := str(annotation.fields[name])))
    for name in PROMPTS:
        if name in fields:
            return fields[name]
    if len(fields) == 1:
        return next(iter(fields.values()))
    raise BadExchange(
        f"example {annotation.example}: which field is the prompt? It has {', '.join(fields) or 'no texts'}: name it"
    )


def votes(group: Iterable[Annotation], one: str, other: str) -> tuple[float, float, int]:
    """How many answers put one option before the other, the reverse, and how many call them equal."""
    wins, losses, ties = 0, 0, 0
    for annotation in group:
        if annotation.skipped:
            continue
        order = [[annotation.value]] if annotation.kind == "pairwise" else annotation.value
        place = {name: rank for rank, names in enumerate(order) for name in names}
        if annotation.kind == "pairwise" and annotation.value == TIE:
            ties += 1
        else:
            a, b = place.get(one, math.inf), place.get(other, math.inf)
            wins, losses, ties = wins + (a < b), losses + (b < a), ties + (a == b)
    return wins, losses, ties


def _pairs(group: list[Annotation], said: Aggregated | None, prompt: str | None, *, margin: bool) -> Any:
    first = group[0]
    if first.kind not in COMPARING:
        return f"a {first.kind} compares nothing"
    if all(a.skipped for a in group) and not said:
        return _why_none(group)
    if missing := [name for name in first.options if first.fields.get(name) is None]:
        return f"the text of option {missing[0]} is not among the fields"
    place: Mapping[str, int] = {}
    if said:
        if said.label == TIE:
            return "a tie"
        order = [[said.label]] if isinstance(said.label, str) else said.label
        place = {name: rank for rank, names in enumerate(order) for name in names}
    made: list[tuple[Row, list[Annotation]]] = []
    for one, other in itertools.combinations(first.options, 2):
        wins, losses, ties = votes(group, one, other)
        # What aggregation or an adjudicator says goes before the count of votes.
        lead = place.get(other, math.inf) - place.get(one, math.inf) if said and place else wins - losses
        if not lead or math.isnan(lead):
            continue
        if lead < 0:
            one, other, wins, losses = other, one, losses, wins
        row: Row = {"prompt": prompt_of(first, prompt), "chosen": _text(first.fields[one])}
        row["rejected"] = _text(first.fields[other])
        row |= {"votes_chosen": wins, "votes_rejected": losses, "votes_tied": ties, **_support(group, said)}
        if margin:
            row["margin"] = math.log((wins + ties / 2 + 0.5) / (losses + ties / 2 + 0.5))
        made.append((row, group if not made else []))
    return made or "a tie"


def _support(group: Sequence[Annotation], said: Aggregated | None) -> Row:
    """What a label stands on. seconds: of all raters together, null where one is unknown."""
    given = [a for a in group if not a.skipped]
    seconds = [a.seconds for a in given]
    return {
        "posterior": said.posterior if said else None,
        "n": said.n if said else len(given),
        "method": said.method if said else "",
        "raters": sorted({a.rater for a in given}),
        "guideline_hash": sorted({a.guideline_hash for a in given if a.guideline_hash}),
        "seconds": None if None in seconds else math.fsum(s for s in seconds if s is not None),
    }


def _most(group: Iterable[Annotation]) -> Any:
    """The answer given most often; None where two are."""
    counted = Counter(dump(a.value) for a in group if not a.skipped)
    best = [text for text, number in counted.items() if number == max(counted.values())]
    return next(a.value for a in group if not a.skipped and dump(a.value) == best[0]) if len(best) == 1 else None


def _why_not(group: Sequence[Annotation]) -> str:
    if not group:
        return "no annotations"
    return "a gold question" if all(a.gold for a in group) else "only repeats"


def _why_none(group: Iterable[Annotation]) -> str:
    return "only skips" if all(a.skipped for a in group) else "a tie"


_RESERVED = frozenset(
    (
        "id",
        "question",
        "label",
        "posterior",
        "n",
        "method",
        "raters",
        "guideline_hash",
        "seconds",
        "soft",
        "why",
        COLUMN,
    )
)


def _free(name: str) -> str:
    return f"field_{name}" if name in _RESERVED else name


def _text(value: Any) -> str:
    """A response as raters saw it: one that is no text (`true`, a list of turns) as JSON."""
    return value if isinstance(value, str) else dump(value)


def _key(annotation: Annotation) -> str:
    return dump(annotation.to_json())


def _by_key(group: Iterable[Annotation], keys: Iterable[str]) -> list[Annotation]:
    known = {_key(a): a for a in group}
    return [known[key] for key in keys]
