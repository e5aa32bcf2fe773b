"""Evaluation items for tests: sets with templates, copies, short ones and Chinese."""

from __future__ import annotations

from tamis.decontaminate import items

RIVER = (
    "A ferry crosses the river Ouse every eleven minutes from half past six in the morning. How many times has it "
    "crossed by noon, if the first crossing of the day counts as well?"
)
SHIP = (
    "Mira counts nine grey herons, four lost umbrellas and a rusty anchor along the canal before breakfast; how many "
    "things does she count that cannot fly, and which is the heaviest of them?"
)
LAW = "甲公司与乙公司签订买卖合同，约定甲公司于三月一日交付货物，乙公司收到货物后十日内付款。下列说法正确的是哪一项？"
SHORT = "How many spokes has the wheel of Ixion?"
TINY = "How many apples?"
BRACKETS = "Write down what is missing here so that every bracket which was opened is closed in the right order:"
TEMPLATE = (
    "Here is a puzzle for you to solve with care: read every line of it twice before you answer the question below."
)


def rows() -> list[tuple[str, list[items.Row]]]:
    puzzles: list[items.Row] = [
        (f"p{n}", f"{TEMPLATE} Which animal number {n} drinks {n * 7} cups of cold mint tea near harbour {n * 3}?", "B")
        for n in range(60)
    ]
    return [
        ("rivers", [("1", RIVER, "thirty crossings"), ("2", SHIP, "5"), ("3", SHORT, "seventeen"), ("4", TINY, "12")]),
        ("law", [("1", LAW, "C")]),
        ("puzzles", puzzles),
        ("brackets", [(str(n), f"{BRACKETS} {'[' * n}", None) for n in range(1, 9)]),
        ("copies", [("9", RIVER.upper(), None)]),
    ]
