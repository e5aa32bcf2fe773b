from typing import Any

from tamis.people.store import Answer
from tamis.web.figures import confusion, over_time, position_bias, work


def answer(example: str, rater: str, value: Any, **more: Any) -> Answer:
    body: dict[str, Any] = {
        "role": "rater", "kind": "work", "state": "live", "at": 0.0, "seconds": 1.0, "pasted": None, "note": None,
        "guideline": "g", "shown": ("x", "y"), "correct": None, "seq": 1, **more,
    }  # fmt: skip
    return Answer(example=example, rater=rater, value=value, **body)


def test_confusion_is_against_the_truth_else_the_majority_of_the_others() -> None:
    answers = [
        answer("1", "ann", "a"), answer("1", "bob", "b"),
        answer("2", "ann", "a"), answer("2", "bob", "b"), answer("2", "eve", "b"),
        answer("3", "ann", "b"), answer("3", "bob", "a"), answer("3", "eve", "b"),
        answer("4", "ann", "a", state="withdrawn"), answer("g", "ann", "b", kind="gold"),
    ]  # fmt: skip
    found = confusion(answers, "ann", ["a", "b"], {"1": "a", "g": "b"})
    assert found.counts == ((1, 0), (1, 1))
    assert (found.gold, found.others, found.n) == (2, 1, 3)


def test_position_bias_counts_decided_answers_only() -> None:
    class Task:
        kind = "pairwise"

    answers = [answer(str(n), "ann", value) for n, value in enumerate(["x", "x", "y", "tie"])]
    everybody, ann = position_bias(work(answers), Task())  # type: ignore[arg-type]
    assert everybody.estimate.name == ""
    assert (ann.estimate.value, ann.estimate.n, ann.ties, ann.expected) == (2 / 3, 3, 1, 0.5)
    assert position_bias([], Task()) == []  # type: ignore[arg-type]


def test_agreement_over_time_uses_shared_examples_in_order() -> None:
    answers = []
    for n in range(40):
        said = ("a", "a") if n < 20 else ("a", "b") if n % 2 else ("b", "a")
        other = ("b", "b") if n % 2 and n < 20 else said
        answers += [answer(str(n), who, value, at=n * 100.0) for who, value in zip(("ann", "bob"), other, strict=True)]
    answers.append(answer("alone", "ann", "a"))
    points = over_time(answers, "", False)
    assert [point.n for point in points] == [10, 10, 10, 10]
    assert points[0].value == 1
    assert points[-1].value is not None
    assert points[-1].value < 0
