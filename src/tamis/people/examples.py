"""Examples of a task from JSON Lines or Parquet: rows as objects, checked against what the task shows and asks.

Files are streamed; nothing is held but one batch of rows.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.people.answers import BadAnswer

if TYPE_CHECKING:
    from tamis.people.task import LabelTask


def read(task: LabelTask, path: str, answers: bool, most: int | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a file, each with its name under "id" (a text). With `answers`, each has a list under "answers" that
    the task accepts. Raises TaskError at the first row that does not fit."""
    from tamis.people.task import TaskError

    seen: set[str] = set()
    for number, (where, row) in enumerate(_rows(path), 1):
        if most is not None and number > most:
            return
        try:
            checked = _checked(task, row, answers, first=number == 1 and where)
        except (BadAnswer, KeyError, IndexError) as error:
            raise TaskError([f"{where}: {error.args[0]}"]) from None
        if checked["id"] in seen:
            raise TaskError([f"{where}: a second example is named {checked['id']!r}"])
        seen.add(checked["id"])
        yield checked
    if not seen:
        raise TaskError([f"{path}: there are no examples in it"])


def _checked(task: LabelTask, row: Any, answers: bool, first: str | bool = False) -> dict[str, Any]:
    from tamis.people.task import TaskError

    if not isinstance(row, dict):
        raise BadAnswer("an example is an object with named fields")
    name = task.examples.id
    if row.get(name) is None or not str(row[name]).strip():
        raise BadAnswer(f"it has no {name!r}: name the field with the example's id in `examples.id`")
    wanted = [(field, "show") for field in task.examples.show] + [(field, "responses") for field in task.responses]
    if task._reads:
        wanted.append((task.examples.text, "text"))
    if missing := [(field, key) for field, key in wanted if row.get(field) is None]:
        field, key = missing[0]
        if first:  # if none has it, the task is wrong and not the file
            raise TaskError(
                [
                    f"task {task.name}: `examples.{key}` names the field {field!r}, which {first} does not have; "
                    f"it has {', '.join(row)}: mend the name in the task, or the row"
                ]
            )
        raise BadAnswer(f"it has no field {field!r}; it has {', '.join(row)}")
    kinds = {getattr(question, "kind", "") for question in task.asked}
    if isinstance(task.examples.responses, str):
        listed = row[task.examples.responses]
        if not isinstance(listed, list) or len(listed) < 2 or ("pairwise" in kinds and len(listed) != 2):
            least = "two responses" if "pairwise" in kinds else "at least two responses"
            raise BadAnswer(f"field {task.examples.responses!r} must hold a list of {least}")
    checked = {**row, "id": str(row[name])}
    if answers:
        given = row["answers"] if "answers" in row else [row["answer"]] if row.get("answer") is not None else []
        if not isinstance(given, list) or not given:
            raise BadAnswer("it has no `answer`")
        if task.kind == "rubric":
            checked["answers"] = [_rubric(task, answer, checked) for answer in given]
        else:
            checked["answers"] = [task.check(answer, checked) for answer in given]
    return checked


def _rubric(task: LabelTask, answer: Any, row: dict[str, Any]) -> dict[str, Any]:
    """A known answer of a rubric need not answer every question."""
    if not isinstance(answer, dict) or not answer:
        raise BadAnswer("the answer of a rubric is an object: question name -> answer")
    loose = tuple(question.model_copy(update={"optional": True}) for question in task.questions)
    known: dict[str, Any] = task.model_copy(update={"questions": loose}).check(answer, row)
    return known


def _rows(path: str) -> Iterator[tuple[str, Any]]:
    """Rows and where each stands."""
    from tamis.people.task import TaskError

    file = Path(path)
    if not file.is_file():
        raise TaskError([f"{path}: there is no such file of examples"])
    if file.suffix == ".parquet":
        yield from _parquet(file)
        return
    try:
        with _opened(file) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path}:{number}", json.loads(line)
    except json.JSONDecodeError as error:
        raise TaskError([f"{path}:{number}: not JSON: {error.msg}"]) from None
    except UnicodeDecodeError as error:
        raise TaskError([f"{path}: not UTF-8: {error}"]) from None


def _opened(file: Path) -> io.TextIOBase:
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file, "rb"), encoding="utf-8")
    if file.suffix == ".zst":
        import zstandard

        return io.TextIOWrapper(zstandard.open(file, "rb"), encoding="utf-8")
    return file.open(encoding="utf-8")


def _parquet(file: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tamis.people.task import TaskError

    try:
        number = 0
        for batch in pq.ParquetFile(file, page_checksum_verification=True).iter_batches(1_000):
            for row in batch.to_pylist():
                number += 1
                # dates and bytes have no JSON form: as text
                yield f"{file}, row {number}", json.loads(json.dumps(row, default=str))
    except pa.ArrowInvalid as error:
        raise TaskError([f"{file}: not Parquet: {error}"]) from None
