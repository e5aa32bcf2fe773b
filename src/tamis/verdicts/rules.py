"""Rules: named SQL expressions over signals, from presets (data files beside this module) and from the recipe.

A rule that is false drops the document; one that is null (a signal was not measured, or the document is outside the
rule's scope) drops nothing. The order of rules decides which of several reasons is the first.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tamis.verdicts.expression import Expression, ExpressionError, Limit, parse
from tamis.verdicts.sql import MOST_RULES, Parser

if TYPE_CHECKING:
    from tamis.signals.extra import ExtraGroup

EXTRACTED = "extracted"
DUPLICATE = "duplicate"
RESERVED = (EXTRACTED, DUPLICATE)

# A trim that removes all that another one does stands for both.
_STRICTER = {"c4_no_terminal": "c4", "c4_arxiv": "c4"}

Setting = str | bool | None | Mapping[str, Any]


class RuleError(ValueError):
    """A rule or preset of the recipe is wrong. `.path` leads to it: (rules, set, NAME) or (rules, use, NUMBER)."""

    def __init__(self, message: str, path: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class Rule:
    """A condition that must hold. `scope`: where it applies (null or false: not here). `source`: who says so.
    `origin`: the preset it came from, or `recipe`. `unit`: of the signal, for people."""

    name: str
    where: Expression
    scope: Expression | None = None
    source: str = ""
    origin: str = "recipe"
    unit: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The signals that decide it, its scope's last."""
        scope = self.scope.columns if self.scope else ()
        return tuple(dict.fromkeys((*self.where.columns, *scope)))

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Its thresholds where it is a conjunction of such, else empty."""
        return self.where.limits

    @property
    def failed(self) -> str:
        """SQL that is true exactly where the rule drops."""
        broken = f"NOT ({self.where.query})"
        return f"({self.scope.query}) AND {broken}" if self.scope else broken


@dataclass(frozen=True)
class Preset:
    """A data file of rules. `trims`: the line filters whose result its rules read."""

    name: str
    revision: int
    title: str
    source: str
    trims: tuple[str, ...]
    rules: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class RuleSet:
    """The rules of one recipe in order. Rule number i fails as bit i + 1 of a mask (`sql.failed_mask`)."""

    rules: tuple[Rule, ...]
    presets: tuple[str, ...] = ()
    trims: tuple[str, ...] = ()
    titles: tuple[str, ...] = field(default=())

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(rule.name for rule in self.rules)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Every signal that a rule reads, sorted."""
        return tuple(sorted({name for rule in self.rules for name in rule.columns}))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The signal groups that must be measured, sorted; `document` always, for it says where text is missing."""
        return tuple(sorted({"document", *(name.split(".", 1)[0] for name in self.columns)}))

    def __getitem__(self, name: str) -> Rule:
        for rule in self.rules:
            if rule.name == name:
                return rule
        raise KeyError(name)

    def changed(self, settings: Mapping[str, Setting], signals: Mapping[str, pa.DataType]) -> RuleSet:
        """A new set with rules replaced, added or (`off`) taken out. Raises RuleError."""
        with Parser() as parser:
            rules = _apply(list(self.rules), settings, signals, parser)
        return replace(self, rules=_few_enough(rules))

    def to_json(self) -> dict[str, Any]:
        """Everything, checked expressions included, so that a task needs no parser."""
        return asdict(self)

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> RuleSet:
        rules = tuple(
            Rule(
                **{
                    **rule,
                    "where": _expression(rule["where"]),
                    "scope": _expression(rule["scope"]) if rule["scope"] else None,
                }
            )
            for rule in body["rules"]
        )
        return RuleSet(rules, tuple(body["presets"]), tuple(body["trims"]), tuple(body["titles"]))


def preset_names() -> list[str]:
    """The presets that come with Tamis, sorted."""
    folder = resources.files(__package__) / "presets"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_preset(name: str) -> Preset:
    """Raises KeyError for a name that is not among `preset_names()`."""
    import yaml

    if name not in preset_names():
        raise KeyError(name)
    text = (resources.files(__package__) / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    body = yaml.safe_load(text)
    return Preset(
        body["name"], body["revision"], body["title"], body["source"], tuple(body["trims"]), tuple(body["rules"])
    )


def load_rules(
    use: Sequence[str], settings: Mapping[str, Setting], signals: Mapping[str, pa.DataType] | None = None
) -> RuleSet:
    """The rules of the presets in the order of `use`, then the recipe's own changes (`set`).

    A name that an earlier preset already has is prefixed with the later preset's (`fineweb_v1_top_2`), so adding a
    preset never renames a rule. A setting is an expression, `off`, or a mapping of where, scope, source, unit; a
    replaced rule keeps its place, and its scope unless the mapping gives one. Raises RuleError.
    """
    signals = catalogue() if signals is None else signals
    rules: list[Rule] = []
    trims: list[str] = []
    titles: list[str] = []
    with Parser() as parser:
        for number, name in enumerate(use):
            path = ("rules", "use", number)
            if name in use[:number]:
                raise RuleError(f"the preset {name} is used twice; name it once", path)
            try:
                preset = load_preset(name)
            except KeyError:
                raise RuleError(_unknown_preset(name), path) from None
            taken = {rule.name for rule in rules}
            for body in preset.rules:
                clash = body["name"] in taken
                known = f"{_prefix(name)}_{body['name']}" if clash else body["name"]
                rules.append(_rule(known, {**body, "origin": name}, signals, parser, path))
            trims += preset.trims
            titles.append(preset.title)
        rules = _apply(rules, settings, signals, parser)
    return RuleSet(_few_enough(rules), tuple(use), merge_trims(trims), tuple(titles))


def merge_trims(trims: Iterable[str]) -> tuple[str, ...]:
    """Each trim once, in order; a trim whose stricter form is there too is left out (`c4` stands for both C4s)."""
    wanted = list(dict.fromkeys(trims))
    return tuple(name for name in wanted if _STRICTER.get(name) not in wanted)


def catalogue(extra: Sequence[ExtraGroup] = ()) -> dict[str, pa.DataType]:
    """Every signal that Tamis measures, and those of a recipe's `extra` groups, by `GROUP.column`, with its type."""
    from tamis.signals import GROUPS
    from tamis.signals.extra import column_types

    own = {f"{group.name}.{column.name}": column.type for group in GROUPS.values() for column in group.columns}
    return own | column_types(extra)


def _apply(
    rules: list[Rule], settings: Mapping[str, Setting], signals: Mapping[str, pa.DataType], parser: Parser
) -> list[Rule]:
    rules = list(rules)
    for name, setting in settings.items():
        path = ("rules", "set", name)
        if name in RESERVED:
            raise RuleError(f"the name `{name}` belongs to a rule that is always there; choose another", path)
        at = next((number for number, rule in enumerate(rules) if rule.name == name), None)
        if setting is None or setting is False or setting == "off":  # YAML reads a bare off as false
            if at is None:
                raise RuleError(_unknown_rule(name, [rule.name for rule in rules]), path)
            del rules[at]
            continue
        if setting is True:
            raise RuleError(f"rule `{name}`: `on` says nothing; write an expression, or `off`", path)
        body = {"where": setting} if isinstance(setting, str) else dict(setting)
        if unknown := sorted(set(body) - {"where", "scope", "source", "unit"}):
            raise RuleError(f"rule `{name}` has no key `{unknown[0]}`; it has where, scope, source, unit", path)
        if at is None:
            if "where" not in body:
                raise RuleError(f"rule `{name}` is new and needs an expression: where", path)
            rules.append(_rule(name, body, signals, parser, path))
            continue
        old = rules[at]
        merged = {
            "where": old.where.text,
            "scope": old.scope.text if old.scope else None,
            "unit": old.unit,
            "source": f"the recipe, in place of {old.origin} ({old.where.text})",
        }
        rules[at] = _rule(name, {**merged, **body}, signals, parser, path)
    return rules


def _rule(
    name: str,
    body: Mapping[str, Any],
    signals: Mapping[str, pa.DataType],
    parser: Parser,
    path: tuple[str | int, ...],
) -> Rule:
    if not name.replace("_", "").replace("-", "").isalnum():
        raise RuleError(f"a rule cannot be named `{name}`: use letters, digits, _ and -", path)
    scope = body.get("scope")
    try:
        where = parse(str(body["where"]), signals, parser)
        return Rule(
            name,
            where,
            parse(str(scope), signals, parser) if scope else None,
            str(body.get("source") or ""),
            str(body.get("origin", "recipe")),
            str(body.get("unit") or ""),
        )
    except ExpressionError as error:
        verb = "uses an" if error.signal else "cannot be read:"
        raise RuleError(f"rule `{name}` {verb} {error}", path) from error


def _few_enough(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    if len(rules) > MOST_RULES:
        raise RuleError(
            f"{len(rules)} rules are more than one recipe can hold ({MOST_RULES}): join some with `and`, "
            "or set some to `off`",
            ("rules",),
        )
    return tuple(rules)


def _prefix(preset: str) -> str:
    return preset.rstrip("~").replace("@", "_").replace(".", "_").replace("-", "_")


def _unknown_preset(name: str) -> str:
    known = preset_names()
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"        did you mean {near[0]}?" if near else ""
    return f"unknown preset: {name}{hint}\n  There are {', '.join(known)}."


def _unknown_rule(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"        did you mean {near[0]}?" if near else ""
    listed = ", ".join(known) if known else "none"
    return f"there is no rule `{name}` to take out{hint}\n  The rules are {listed}."


def _expression(body: Mapping[str, Any]) -> Expression:
    limits = tuple(Limit(**limit) for limit in body["limits"])
    return Expression(body["text"], body["query"], tuple(body["columns"]), limits)


def dumps(rules: RuleSet) -> str:
    """One line of JSON; the same rules give the same text."""
    return json.dumps(rules.to_json(), sort_keys=True, ensure_ascii=False)
