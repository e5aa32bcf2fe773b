"""The ledger's arithmetic."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tamis.people.examples import read
from tamis.people.pay import Work, ledger, out_of_reach
from tamis.people.task import Pay, load

EXAMPLES = Path(__file__).parents[2] / "examples"

PAY = Pay(piece=0.10, currency="EUR", hourly=15, bonus={"accuracy": 0.8, "least": 20, "share": 0.25})


def work(rater="r-1", answers=100, seconds=20.0, right=0, wrong=0, name="Ada"):
    return Work(rater, name, answers, answers * 100_000, (seconds,) * answers, right, wrong)


def test_a_bonus_needs_enough_gold_and_a_sure_accuracy():
    lines = ledger(
        [
            work("r-1", right=30),
            work("r-2", right=19),
            work("r-3", right=24, wrong=3),
            work("r-4", right=200, wrong=20),
        ],
        PAY,
    ).lines
    assert [line.bonus for line in lines] == [2.5, 0, 0, 2.5]
    assert lines[2].gold_accuracy == pytest.approx(0.8889), "right often, but not surely often enough"
    assert lines[2].gold_low < 0.8 < lines[3].gold_low


def test_the_total_is_the_sum_of_what_is_shown():
    pay = Pay(piece=0.05, bonus={"accuracy": 0.1, "least": 1, "share": 0.1})
    [line] = ledger([Work("r-1", "", 35, 1_750_000, (), 5, 0)], pay).lines
    assert (line.piece_pay, line.bonus, line.total) == (1.75, 0.18, 1.93), "halves go up"
    [odd] = ledger([Work("r-1", "", 1, 1_004_000, (), 5, 0)], pay).lines
    assert (odd.piece_pay, odd.bonus, odd.total) == (1.0, 0.1, 1.1)
    [two] = ledger([Work("r-1", "", 1, 1_044_000, (), 5, 0)], pay.model_copy(update={"bonus": PAY.bonus})).lines
    assert two.total == 1.04
    [both] = ledger([Work("r-1", "", 1, 45_000, (), 5, 0)], pay).lines
    assert (both.piece_pay, both.bonus, both.total) == (0.05, 0.0, 0.05)
    [lost] = ledger([Work("r-1", "", 1, 1_044_000, (), 5, 0)], pay).lines
    assert (lost.piece_pay, lost.bonus, lost.total) == (1.04, 0.1, 1.14), "not 1.15, of 1.1484"


def test_a_bonus_out_of_reach_is_named():
    assert "meets about 3" in out_of_reach(PAY, 0.1, 8, 24)
    assert "meets about 8" in out_of_reach(PAY, 0.1, 8, 2400), "no more gold than there is"
    few = PAY.model_copy(update={"bonus": PAY.bonus.model_copy(update={"least": 3})})
    assert "only surely above 0.44" in out_of_reach(few, 0.1, 8, 24)
    assert out_of_reach(PAY, 0.1, 100, 2400) is None
    assert out_of_reach(None, 0.1, 8, 24) is None


@pytest.mark.parametrize("name", ["preference", "quality-rating"])
def test_the_examples_promise_nothing_out_of_reach(name):
    task = load(EXAMPLES / f"{name}.yaml")
    gold = sum(1 for _ in read(task, task.gold.path, answers=True)) if task.gold else 0
    assert out_of_reach(task.pay, task.gold.share if task.gold else 0.0, gold, sum(1 for _ in task.rows())) is None


def test_an_hour_is_counted_by_the_median_so_one_forgotten_page_does_not_hide_low_pay():
    one = Work("r-1", "Ada", 101, 10_100_000, (24.0,) * 100 + (50_000.0,), 0, 0)
    [line] = ledger([one], PAY).lines
    assert line.hourly == 15.0
    assert line.active_hours > 14
    assert line.hours == pytest.approx(101 * 24 / 3600, abs=1e-4)


def test_low_pay_is_named_with_the_rate_that_would_mend_it():
    found = ledger([work("r-1", seconds=36.0), work("r-2", seconds=12.0)], PAY)
    assert [line.rater for line in found.below] == ["r-1"]
    assert found.fair_piece == 0.1
    assert found.total == 20.0


def test_no_times_no_hours_and_no_pay_no_money():
    found = ledger([Work("r-1", "", 3, 300_000, (), 0, 0)], PAY)
    assert (found.lines[0].hourly, found.lines[0].hours, found.lines[0].median_seconds) == (None, None, None)
    assert found.fair_piece is None
    assert ledger([work()], None).lines[0].currency == ""
    assert ledger([], PAY).lines == ()


def test_the_csv_reads_back_and_runs_no_formula():
    text = ledger([work(name="=HYPERLINK(1)"), work("r-0", name='A "quoted", name')], PAY).to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == ['A "quoted", name', "'=HYPERLINK(1)"]
    assert rows[0]["piece_pay"] == "10.0"
    assert rows[0]["currency"] == "EUR"
