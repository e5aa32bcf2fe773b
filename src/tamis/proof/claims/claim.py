"""What a claim is: a statement, its source, a rule that decides, and a function that makes the figures.

A claim is one file in this folder; `registry` finds it by walking. Heavy packages (torch ...) are imported inside its
function, so that listing claims stays fast:

    @claim(
        "noisy-labels", letter="a", version=1,
        statement="With half of the training labels wrong ...", source="Rolnick et al. 2017, arXiv 1705.10694",
        rule="holds when the upper end of ... lies below ...", asks={"torch": "train"},
    )
    def run(setting: Setting) -> Finding: ...

The rule is written before the experiment is run and decides from intervals, never from values alone.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

from tamis.errors import SaidNo, WrongUse

T = TypeVar("T")


class Verdict(StrEnum):
    """What the figures say of the statement."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    NOT_SHOWN = "not shown here"


class Missing(SaidNo):
    """A claim cannot run on this machine: the message says what it needs and how to get it."""


class BadClaim(ValueError, WrongUse):
    """A claim is named or written wrongly."""


@dataclass(frozen=True)
class Figure:
    """A measured number with its 95% interval [low, high].

    n: cases that it is measured on (test items, documents, pairs). seeds: independent trainings behind it.
    low and high are None only for what has no interval, such as a count; the note then says why.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    unit: str
    n: int
    seeds: int
    note: str = ""

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{number(self.low)}, {number(self.high)}]"
        return f"{number(self.value)}{interval}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True)
class Table:
    """Figures side by side. Cells are text, numbers, or None where there is nothing."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What one run of a claim found.

    because: one sentence with the figures that decided. setting: what was trained on what, in words and numbers, as a
    reader wants to see it. seeds: trainings behind each compared figure. cpu_seconds: None has the frame measure this
    process and its children; a claim that reuses runs of its own says what they cost. pictures: PNGs within
    `setting.out`, the most telling first.
    """

    verdict: Verdict
    because: str
    setting: Mapping[str, Any]
    figures: Sequence[Figure]
    seeds: int
    tables: Sequence[Table] = ()
    pictures: Sequence[Path] = ()
    cpu_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Pictures by name only: they lie beside the result."""
        body = asdict(self) | {"verdict": self.verdict.value, "pictures": [path.name for path in self.pictures]}
        return plain(body)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, body: Mapping[str, Any], folder: Path) -> Finding:
        return cls(
            verdict=Verdict(body["verdict"]),
            because=body["because"],
            setting=body["setting"],
            figures=[Figure(**{**one, "value": _back(one["value"])}) for one in body["figures"]],
            seeds=body["seeds"],
            tables=[Table(**one) for one in body["tables"]],
            pictures=[folder / name for name in body["pictures"]],
            cpu_seconds=body["cpu_seconds"],
        )


@dataclass(frozen=True)
class Setting:
    """How one run is asked for.

    scale: `tiny`, `small`, or how many times larger than small. out: this claim's own folder (pictures go there).
    runs: a folder for trained models, shared by claims and kept. processes: at most so many at once, of one thread
    each. data: a file of texts that replaces the default material.
    """

    scale: str | float
    out: Path
    runs: Path
    processes: int = 2
    seed: int = 0
    data: Path | None = None

    def pick(self, tiny: T, small: T, *, grows: float = 1.0) -> T:
        """The value for this scale. For N times small, a number is multiplied by N**grows (a whole number stays
        one); anything else stays as at small, and so does a number with grows=0."""
        if self.scale == "tiny":
            return tiny
        if self.scale == "small" or isinstance(small, bool) or not isinstance(small, int | float) or not grows:
            return small
        grown = small * float(self.scale) ** grows
        return cast(T, round(grown) if isinstance(small, int) else grown)

    def seeds(self, tiny: int, small: int) -> list[int]:
        """Seeds of the trainings, different for each `--seed`; more for N times small (by its square root)."""
        return [self.seed * 1000 + place for place in range(self.pick(tiny, small, grows=0.5))]

    @property
    def tiny(self) -> bool:
        return self.scale == "tiny"

    @property
    def label(self) -> str:
        """As in the name of a folder: `tiny`, `small`, `x4`."""
        return self.scale if isinstance(self.scale, str) else f"x{self.scale:g}"

    @property
    def folder(self) -> str:
        """Of results: the scale, and the seed where it is another than 0, so that no seed takes another's place."""
        return f"{self.label}-seed{self.seed}" if self.seed else self.label

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar on standard error for work within this process; call what it gives with how much is done
        more. Shows nothing where standard error is no terminal. `models.many` has a bar of its own."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task(what, total=total)

            def advance(amount: int) -> None:
                progress.advance(task, amount)

            yield advance


Run = Callable[[Setting], Finding]


@dataclass(frozen=True)
class Claim:
    """statement: so that it can be false. source: who says so, as a citation with an address. rule: how the verdict
    follows from the intervals. asks: module that is needed -> extra that brings it. version: bumped with a comment
    when a change of the claim changes its figures; stored results of other versions are not used."""

    name: str
    letter: str
    statement: str
    source: str
    rule: str
    version: int
    asks: Mapping[str, str] = field(default_factory=dict)
    run: Run = field(repr=False, compare=False, kw_only=True)

    def missing(self) -> list[str]:
        """What this machine lacks, as sentences."""
        from importlib.util import find_spec

        return [
            f"package `{module.split('.')[0]}` is not installed: pip install 'tamis[{extra}]'"
            for module, extra in self.asks.items()
            if find_spec(module.split(".")[0]) is None
        ]


_MARK = "_tamis_claim"


def claim(
    name: str,
    *,
    letter: str,
    statement: str,
    source: str,
    rule: str,
    version: int = 1,
    asks: Mapping[str, str] | None = None,
) -> Callable[[Run], Run]:
    """Makes a claim of a function. See the head of this file. Raises BadClaim."""
    if not name or not name.replace("-", "").isalnum() or name != name.lower():
        raise BadClaim(f"claim {name!r}: a name is lower-case words with hyphens between")
    for what, text in (("statement", statement), ("source", source), ("rule", rule)):
        if not text.strip():
            raise BadClaim(f"claim {name}: its {what} is empty")

    def made(run: Run) -> Run:
        found = Claim(name, letter, statement, source, rule, version, dict(asks or {}), run=run)
        setattr(run, _MARK, found)
        return run

    return made


def claim_of(thing: object) -> Claim | None:
    found = getattr(thing, _MARK, None)
    return found if isinstance(found, Claim) else None


def parse_scale(text: str) -> str | float:
    """`tiny`, `small`, or a number above 1. Raises BadClaim."""
    if text in ("tiny", "small"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1 < value < math.inf:
        raise BadClaim(f"--scale {text}: it is `tiny`, `small`, or how many times larger than small (a number above 1)")
    return value


def number(value: float | None) -> str:
    """As people read it: four significant digits, thousands apart, no exponent within reach."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 1e7 or abs(value) < 1e-4:
        return f"{value:.3g}"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"


def plain(value: Any) -> Any:
    """For JSON: numpy scalars become numbers, paths text, what is not finite null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def _back(value: float | None) -> float:
    return math.nan if value is None else value
