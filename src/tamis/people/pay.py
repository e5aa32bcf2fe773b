"""The pay ledger: what each rater has earned, by piece and by bonus, and what that comes to an hour.

Pure arithmetic over one `Work` per rater; the store gathers those. Money is counted in millionths of the currency, in
decimals; piece-rate pay and bonus are rounded to hundredths, halves up, and the total is their sum as shown. Under
the descriptive paradigm nobody is scored, so a task cannot have a bonus rule there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from decimal import ROUND_HALF_UP, Decimal

from tamis.intervals import wilson
from tamis.people.task import Pay

MILLION = 1_000_000


@dataclass(frozen=True)
class Work:
    """What one rater has done. paid: answers that count for pay (labels, gold, repeats, surplus, outdated; not those
    taken back). micro: their piece rates, in millionths. seconds: active times, one per answer that has one."""

    rater: str
    name: str
    paid: int
    micro: int
    seconds: tuple[float, ...]
    gold_right: int
    gold_wrong: int


@dataclass(frozen=True)
class Line:
    """One rater's line. hours: median active seconds times paid answers, which one forgotten open page cannot move;
    active_hours: the sum as measured. hourly: pay and bonus over `hours`; None where no time was measured."""

    rater: str
    name: str
    answers: int
    median_seconds: float | None
    hours: float | None
    active_hours: float
    piece_pay: float
    gold: int
    gold_accuracy: float | None
    gold_low: float | None
    bonus: float
    total: float
    hourly: float | None
    currency: str


@dataclass(frozen=True)
class Ledger:
    """All lines, in the order of pseudonyms. hourly: what the task wants an hour to come to, if it says so."""

    lines: tuple[Line, ...]
    currency: str
    hourly: float | None

    @property
    def total(self) -> float:
        return round(sum(line.total for line in self.lines), 2)

    @property
    def below(self) -> tuple[Line, ...]:
        """Raters whose hour comes to less than the task wants: the piece rate is too low for the work."""
        wanted = self.hourly
        if wanted is None:
            return ()
        return tuple(line for line in self.lines if line.hourly is not None and line.hourly < wanted)

    @property
    def fair_piece(self) -> float | None:
        """The piece rate at which the median rater's hour comes to what the task wants; None without `pay.hourly`."""
        medians = sorted(line.median_seconds for line in self.lines if line.median_seconds)
        if self.hourly is None or not medians:
            return None
        return round(self.hourly * median(medians) / 3600, 4)

    def to_csv(self) -> str:
        """Comma-separated, with a header; empty where undefined. A cell that a spreadsheet would run as a formula
        begins with an apostrophe."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([field.name for field in fields(Line)])
        for line in self.lines:
            writer.writerow(["" if cell is None else _inert(cell) for cell in astuple(line)])
        return out.getvalue()


def ledger(work: Iterable[Work], pay: Pay | None) -> Ledger:
    """The ledger of some raters' work.

    >>> pay = Pay(piece=0.10, currency="EUR", bonus={"accuracy": 0.8, "least": 20, "share": 0.25})
    >>> [line] = ledger([Work("r-1", "Ada", 300, 30_000_000, (20.0,) * 300, 29, 1)], pay).lines
    >>> line.piece_pay, line.bonus, line.hourly
    (30.0, 7.5, 22.5)
    """
    currency = pay.currency if pay else ""
    lines = tuple(_line(one, pay) for one in sorted(work, key=lambda one: one.rater))
    return Ledger(lines, currency, pay.hourly if pay else None)


def _line(work: Work, pay: Pay | None) -> Line:
    middle = median(sorted(work.seconds)) if work.seconds else None
    gold = work.gold_right + work.gold_wrong
    low = wilson(work.gold_right, gold)[0] if gold else None
    earned = Decimal(0)
    rule = pay.bonus if pay else None
    if rule and low is not None and gold >= rule.least and low >= rule.accuracy:
        earned = work.micro * Decimal(str(rule.share))
    piece, extra = _hundredths(Decimal(work.micro)), _hundredths(earned)
    hours = middle * work.paid / 3600 if middle is not None else None
    total = piece + extra
    return Line(
        work.rater,
        work.name,
        work.paid,
        middle,
        None if hours is None else round(hours, 4),
        round(sum(work.seconds) / 3600, 4),
        float(piece),
        gold,
        round(work.gold_right / gold, 4) if gold else None,
        None if low is None else round(low, 4),
        float(extra),
        float(total),
        round(float(total) / hours, 2) if hours else None,
        pay.currency if pay else "",
    )


def _hundredths(micro: Decimal) -> Decimal:
    """Millionths in hundredths of the currency, halves up, as people round money."""
    return (micro / MILLION).quantize(Decimal("0.01"), ROUND_HALF_UP)


def out_of_reach(pay: Pay | None, gold_share: float, gold_rows: int, examples: int) -> str | None:
    """Why hardly anybody can earn the bonus, in one sentence; None where it can be earned.

    gold_share: how often a rater is given gold; gold_rows: how many such questions there are, each asked once;
    examples: how many there are to label, each once by a rater. Who labels all of them meets about this many of the
    gold questions, and even without a mistake the interval of so few may reach below what the bonus asks.
    """
    if pay is None or pay.bonus is None:
        return None
    rule = pay.bonus
    met = min(gold_rows, round(examples * gold_share / (1 - gold_share)))
    if met < rule.least:
        return (
            f"the bonus needs {rule.least} gold questions (`pay.bonus.least`), but who labels all {examples:,} "
            f"examples meets about {met}: lower it, or raise `gold.share` and add gold"
        )
    if (low := wilson(met, met)[0]) < rule.accuracy:
        return (
            f"the bonus asks for a gold accuracy surely above {rule.accuracy:g} (`pay.bonus.accuracy`), but who labels "
            f"all {examples:,} examples and answers about {met} gold questions, all rightly, is only surely above "
            f"{low:.2f}: lower it, or raise `gold.share` and add gold"
        )
    return None


def median(ordered: list[float]) -> float:
    """Of numbers in order, at least one."""
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
