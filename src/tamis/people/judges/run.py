"""Asks a model about every example and stores each answer as it comes, so that a run that stops goes on.

The file is JSON Lines with the columns that `Labels.read` knows (example, rater, label) and the evidence: the order in
which responses were shown, the prompt's hash, the answer as it came. An answer is found again by example and prompt
hash: another guideline, another order or another model asks anew.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tamis.errors import WrongUse
from tamis.people.answers import TIE
from tamis.people.judges.client import Ask, Reply
from tamis.people.judges.prompts import COMPARING, Unparsable, messages, parse, prompt_hash

if TYPE_CHECKING:
    from tamis.people.exchange.annotations import Annotation
    from tamis.people.task import LabelTask

Orders = Literal["both", "given"]


class BadJudgements(ValueError, WrongUse):
    """A file that holds no judgements."""


@dataclass(frozen=True)
class Judged:
    """One answer. label: its text form, None where it could not be parsed (`problem` says why). order: the responses as
    they were shown; lengths: characters of each. kinds: question -> kind. right: of gold, whether the known answer was
    given (not where it could not be parsed), None for other examples."""

    example: str
    rater: str
    label: str | None
    value: Any
    order: tuple[str, ...]
    prompt_hash: str
    raw: str
    problem: str = ""
    lengths: Mapping[str, int] = field(default_factory=dict)
    guideline_hash: str = ""
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    task_name: str = ""
    kinds: Mapping[str, str] = field(default_factory=dict)
    right: bool | None = None


@dataclass(frozen=True)
class Run:
    """What a run came to. asked: now; reused: answers of an earlier run; unparsable: of both, by reason in
    `problems`."""

    path: Path
    rater: str
    asked: int
    reused: int
    parsed: int
    unparsable: int
    problems: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """JSON."""
        return {**asdict(self), "path": str(self.path)}

    def render(self) -> str:
        """For people."""
        total = self.parsed + self.unparsable
        lines = [
            f"{self.path}: {self.parsed:,} labels by {self.rater}; asked {self.asked:,}, reused {self.reused:,}",
            f"unparsable {self.unparsable:,} of {total:,}",
        ]
        lines += [f"           {number:,}: {problem}" for problem, number in sorted(self.problems.items())]
        return "\n".join(lines)


def judge(
    task: LabelTask,
    examples: Iterable[Mapping[str, Any]],
    ask: Ask,
    out: Path,
    *,
    name: str,
    orders: Orders = "both",
    workers: int = 4,
    advance: Callable[[int], None] | None = None,
) -> Run:
    """Asks about every example, questions that compare responses in both orders; appends to `out`.

    Examples are read as they are needed; one with known `answers` is gold, and stands in the file as `gold:ID`. Raises
    EndpointError where the endpoint gives up: what was answered is stored, run again to go on.

    name: of the rater, `model:NAME` in the file.
    """
    from tamis.people.store.journal import guideline_hash

    rater = f"model:{name}"
    stored = {(row.example, row.prompt_hash): row for row in (read(out, mend=True) if out.exists() else ())}
    guideline = guideline_hash(task.guideline_text)
    lock = threading.Lock()
    asked = 0
    used: dict[tuple[str, str], Judged] = {}

    def one(example: Mapping[str, Any], order: tuple[str, ...], prompt: list[dict[str, str]]) -> Judged:
        reply = ask(prompt)
        row = _row(task, example, order, prompt_hash(prompt), reply, rater, guideline)
        with lock:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return row

    with out.open("a", encoding="utf-8", newline="\n") as file, ThreadPoolExecutor(workers) as pool:
        waiting: set[Future[Judged]] = set()
        try:
            for example, order, prompt in _prompts(task, examples, orders):
                key = (_name(example), prompt_hash(prompt))
                known = stored.get(key)
                if known is not None and known.rater == rater:
                    used[key] = known
                    continue
                waiting.add(pool.submit(one, example, order, prompt))
                asked += 1
                if len(waiting) >= 2 * workers:
                    waiting = _collect(waiting, used, advance)
            while waiting:
                waiting = _collect(waiting, used, advance)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    problems: dict[str, int] = {}
    for row in used.values():
        if row.problem:
            problems[row.problem] = problems.get(row.problem, 0) + 1
    bad = sum(problems.values())
    return Run(out, rater, asked, len(used) - asked, len(used) - bad, bad, problems)


def read(path: Path, *, mend: bool = False) -> list[Judged]:
    """The answers of a file. mend: cuts off a last line that a killed run left unfinished. Raises BadJudgements."""
    data = path.read_bytes()
    if mend and data and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
        with path.open("r+b") as file:
            file.truncate(len(data))
    rows = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                body = json.loads(line)
                rows.append(Judged(**{**body, "order": tuple(body["order"])}))
            except (ValueError, TypeError, KeyError) as error:
                raise BadJudgements(f"{path}:{number}: no judgement of `tamis label judge`: {error}") from None
    return rows


def to_annotations(rows: Iterable[Judged]) -> list[Annotation]:
    """One answer of each model to each example, for a store or an export: what it said in all orders. Where the orders
    contradict each other, a pair is a tie and anything else is left out; gold is left out, too."""
    from tamis.people.exchange.annotations import Annotation

    groups: dict[tuple[str, str], list[Judged]] = {}
    for row in rows:
        if row.label is not None and row.right is None:
            groups.setdefault((row.example, row.rater), []).append(row)
    found = []
    for (example, rater), group in sorted(groups.items()):
        first = min(group, key=lambda row: (row.order, row.prompt_hash))
        value = first.value
        if len({row.label for row in group}) > 1:
            if set(first.kinds.values()) != {"pairwise"}:
                continue
            value = TIE
        rubric = set(first.kinds) != {"label"}
        for question, kind in first.kinds.items():
            answer = value.get(question) if rubric else value
            if answer is not None:
                found.append(
                    Annotation(
                        example=example, rater=rater, value=answer, kind=kind, question=question, task=first.task_name,  # type: ignore[arg-type]
                        options=first.order if kind in COMPARING else (), seconds=first.seconds,
                        guideline_hash=first.guideline_hash or None, role="model",
                        submission=first.prompt_hash if rubric else None, meta={"orders": len(group)},
                    )
                )  # fmt: skip
    return found


def _prompts(
    task: LabelTask, examples: Iterable[Mapping[str, Any]], orders: Orders
) -> Iterator[tuple[Mapping[str, Any], tuple[str, ...], list[dict[str, str]]]]:
    compares = any(getattr(question, "kind", task.kind) in COMPARING for question in task.asked)
    for example in examples:
        given = task.options(example) if task.responses else ()
        for order in (given, given[::-1]) if compares and orders == "both" else (given,):
            yield example, order, messages(task, example, order)


def _row(
    task: LabelTask,
    example: Mapping[str, Any],
    order: Sequence[str],
    hash_: str,
    reply: Reply,
    rater: str,
    guideline: str,
) -> Judged:
    value, label, problem = None, None, ""
    known = example.get("answers")
    try:
        value = parse(task, example, order, reply.text)
        label = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    except Unparsable as error:
        problem = str(error)
    return Judged(
        example=_name(example),
        rater=rater,
        label=label,
        value=value,
        order=tuple(order),
        prompt_hash=hash_,
        raw=reply.text,
        problem=problem,
        lengths={option: len(task.response(example, option)) for option in order},
        guideline_hash=guideline,
        seconds=round(reply.seconds, 3),
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        task_name=task.name,
        kinds={
            getattr(question, "name", "label") if task.questions else "label": _kind(task, question)
            for question in task.asked
        },
        right=None if known is None else value is not None and any(task.matches(value, answer) for answer in known),
    )


def _name(example: Mapping[str, Any]) -> str:
    return f"gold:{example['id']}" if "answers" in example else str(example["id"])


def _kind(task: LabelTask, question: Any) -> str:
    return str(task.kind if not task.questions else question.kind)


def _collect(
    waiting: set[Future[Judged]], used: dict[tuple[str, str], Judged], advance: Callable[[int], None] | None
) -> set[Future[Judged]]:
    done, left = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        row = future.result()
        used[row.example, row.prompt_hash] = row
    if advance is not None:
        advance(len(done))
    return left
