"""A labelling task: one YAML file that says what is asked, of what, of whom, how often, how it is checked and paid.

`load` gives a validated `LabelTask`; every mistake is a line of a TaskError, as recipes have them. The JSON Schema is
published by `schema()`. `LabelTask.check` makes a submitted answer canonical or raises BadAnswer with one sentence.
Answers are JSON, in the form that `tamis.people.exchange.annotations` documents:

========== ========================================================================================================
choice     a label
multi      a list of labels in the order of the task, possibly empty
rating     a whole number on the scale
pairwise   the name of the better response, or "tie"
preference lists of response names, best first; names in one list are tied: ``[["b"], ["a", "c"]]``
ranking    the same without ties
span       a list of ``{"start", "end", "label"}``, offsets in Unicode code points of the example's text, sorted
text       what the rater wrote
rewrite    ``{"text", "diff"}``: the rater's form of the example's text, and what was changed: ``[start, end, new]``
rubric     an object: question name -> that question's answer
========== ========================================================================================================
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tamis.errors import WrongUse
from tamis.people.answers import TIE, BadAnswer, normalised, same
from tamis.recipe import Name
from tamis.yaml_models import RecipeError, validated

__all__ = ["TIE", "BadAnswer", "LabelTask", "Question", "TaskError", "load", "parse", "schema"]

Kind = Literal[
    "choice", "multi", "rating", "pairwise", "preference", "ranking", "span", "text", "rewrite", "rubric"
]  # fmt: skip
Plain = Literal["choice", "multi", "rating", "pairwise", "preference", "ranking", "span", "text", "rewrite"]
Language = Literal["en", "zh"]
# Words for people: one text, or a text per language of the interface.
Words = str | dict[Language, str]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
COMPARING = ("pairwise", "preference", "ranking")
READING = ("span", "rewrite")
LABELLED = ("choice", "multi", "span")
WRITTEN = ("text", "rewrite")


class TaskError(RecipeError, WrongUse):
    """A task that cannot be used. `.problems` are lines for people, each with file and line."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Label(_Part):
    """One of the answers to choose from. A bare name is enough in YAML."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    title: Words | None = None
    help: Words | None = None


class Scale(_Part):
    """Whole numbers from one to another; words for some of them."""

    first: int = Field(1, alias="from", ge=-1000, le=1000)
    last: int = Field(5, alias="to", ge=-1000, le=1000)
    words: dict[int, Words] = Field(default_factory=dict)
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _rises(self) -> Scale:
        if self.last <= self.first:
            raise ValueError(f"a scale rises: `to` ({self.last}) must be above `from` ({self.first})")
        if off := [value for value in self.words if not self.first <= value <= self.last]:
            raise ValueError(f"words for {off[0]}, which is not on the scale {self.first} to {self.last}")
        return self


class _Asked(_Part):
    """What one question needs to know, whatever its kind."""

    ask: Words = Field("", description="the question, above the answers")
    labels: tuple[Label, ...] = Field((), description="of choice, multi and span")
    scale: Scale | None = Field(None, description="of rating; 1 to 5 where absent")
    ties: bool = Field(True, description="whether responses may be called equal: pairwise and preference")
    least: int = Field(0, ge=0, description="the fewest labels (multi), spans (span) or characters (text, rewrite)")
    most: int | None = Field(None, ge=1, description="the most of them")
    tolerance: int = Field(0, ge=0, description="of rating: how far from the gold answer is still right")
    overlapping: bool = Field(False, description="of span: whether spans may overlap")

    @field_validator("labels", mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        # YAML reads a bare yes or no as a truth value, and 1 as a number
        words = {True: "yes", False: "no"}
        return [
            item if isinstance(item, dict | Label) else {"name": words[item] if isinstance(item, bool) else str(item)}
            for item in value
        ]

    def _fits(self, kind: str) -> None:
        names = [label.name for label in self.labels]
        if kind in LABELLED and len(names) < (1 if kind == "span" else 2):
            raise ValueError(f"a question of kind {kind} needs `labels`: a list of at least two names")
        if kind not in LABELLED and names:
            raise ValueError(f"a question of kind {kind} has no `labels`")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two labels are named {twice[0]}")
        if self.scale and kind != "rating":
            raise ValueError(f"a question of kind {kind} has no `scale`: only a rating has one")
        if self.most is not None and self.most < self.least:
            raise ValueError(f"`most` ({self.most}) is below `least` ({self.least})")


class Question(_Asked):
    """One question of a rubric."""

    name: Name
    kind: Plain
    optional: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Question:
        self._fits(self.kind)
        return self


class Examples(_Part):
    """Where the examples lie and which of their fields are shown. Rows hold a field per name; others stay unseen."""

    path: str = Field(description="JSON Lines (also .gz, .zst) or Parquet: a file, a sample, a list of suspects")
    id: str = Field("id", description="the field that names an example")
    show: tuple[str, ...] = Field((), description="fields shown above the question, in this order")
    responses: str | tuple[str, ...] = Field((), description="what is compared: fields, or one field that holds a list")
    text: str = Field("text", description="what spans lie in or what is rewritten")
    most: int | None = Field(None, ge=1, description="read no more than this")


class Adaptive(_Part):
    """Ask until the aggregated posterior passes the target, or the most labels, or the budget is spent."""

    target: float = Field(gt=0.5, lt=1, description="posterior of the likeliest label from which nobody else is asked")
    least: int = Field(2, ge=1, description="labels of an example before the posterior is trusted")
    most: int = Field(ge=1, description="labels of one example")
    budget: int | None = Field(None, ge=1, description="labels in all")
    accuracy: float = Field(0.75, gt=0, lt=1, description="assumed of a rater who has answered no gold yet")

    @model_validator(mode="after")
    def _rises(self) -> Adaptive:
        if self.most < self.least:
            raise ValueError(f"`most` ({self.most}) is below `least` ({self.least})")
        return self


class Gold(_Part):
    """Hidden questions whose answer is known, and the sequential test that they feed."""

    path: str = Field(description="JSON Lines: examples with `answer` (or `answers`, any of them is right)")
    share: float = Field(0.05, gt=0, le=0.5, description="of what a rater is given")
    good: Share = Field(0.85, description="accuracy of a rater who must not be blocked")
    bad: Share = Field(0.6, description="accuracy of a rater who should be")
    false_block: float = Field(0.01, gt=0, lt=0.5, description="how often a good rater may be blocked")
    false_pass: float = Field(0.05, gt=0, lt=0.5, description="how often a bad rater may be passed")

    @model_validator(mode="after")
    def _apart(self) -> Gold:
        if self.bad >= self.good:
            raise ValueError(f"`bad` ({self.bad}) must be below `good` ({self.good})")
        return self


class Qualification(_Part):
    """What a rater does before the work: training with feedback, then a test without."""

    train: str | None = Field(None, description="JSON Lines: examples with `answer` and, for people, `explanation`")
    path: str | None = Field(None, description="JSON Lines of the test: examples with `answer`")
    accuracy: Share = Field(0.8, description="share of right answers that passes the test")
    attempts: int = Field(2, ge=1, le=10)


class Bonus(_Part):
    """Extra pay for good work, by hidden gold."""

    accuracy: Share = Field(description="lower end of the 95% interval of the gold accuracy that earns it")
    least: int = Field(20, ge=1, description="gold questions before it is earned")
    share: float = Field(gt=0, le=5, description="of the piece-rate pay")


class Pay(_Part):
    """Piece rate, for labels, repeats and gold alike."""

    piece: float = Field(ge=0, le=1000, description="per label, in `currency`")
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    bonus: Bonus | None = None
    hourly: float | None = Field(None, gt=0, description="what an hour should come to; reported beside what it does")


class LabelTask(_Asked):
    """Everything that decides what raters see and what becomes of their answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, title="task")

    name: Name
    title: Words = ""
    kind: Kind
    questions: tuple[Question, ...] = Field((), description="of a rubric")
    guideline: str = Field(description="a Markdown file; labels carry the hash of its content")
    paradigm: Literal["prescriptive", "descriptive"] = Field(
        "prescriptive", description="descriptive: disagreement is data; nobody is scored down, soft labels come out"
    )
    examples: Examples
    overlap: int | Adaptive = Field(3, description="raters per example, or when to stop asking")
    gold: Gold | None = None
    qualification: Qualification | None = None
    repeats: float = Field(0, ge=0, le=0.2, description="share of a rater's answers asked again: 0.02 to 0.05 is usual")
    pay: Pay | None = None
    languages: tuple[Language, ...] = Field(("en", "zh"), min_length=1, description="of the interface; first = default")
    lease: int = Field(900, ge=5, le=86_400, description="seconds that a rater has for one example")
    seed: int = Field(17, ge=0, lt=1 << 63, description="decides order, display order, gold and repeats")

    @field_validator("overlap")
    @classmethod
    def _some(cls, value: int | Adaptive) -> int | Adaptive:
        if isinstance(value, int) and not 1 <= value <= 1000:
            raise ValueError("overlap is a number of raters from 1 to 1000")
        return value

    @model_validator(mode="after")
    def _whole(self) -> LabelTask:
        self._fits(self.kind)
        if (self.kind == "rubric") != bool(self.questions):
            raise ValueError("`questions` belong to a rubric, and a rubric needs some")
        names = [question.name for question in self.questions]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two questions are named {twice[0]}")
        kinds = {self.kind, *(question.kind for question in self.questions)}
        if (comparing := [kind for kind in COMPARING if kind in kinds]) and not self.examples.responses:
            raise ValueError(f"a {comparing[0]} question needs `examples.responses`: what is compared")
        if "pairwise" in kinds and isinstance(self.examples.responses, tuple) and len(self.examples.responses) != 2:
            raise ValueError("a pairwise question compares two responses: `examples.responses` names two fields")
        if TIE in self.examples.responses:
            raise ValueError(f"no response may be named {TIE!r}")
        if kinds <= set(WRITTEN) and (self.gold or (self.qualification and self.qualification.path)):
            raise ValueError("free text has no gold answer: drop `gold` and the test, or ask another kind of question")
        if isinstance(self.overlap, Adaptive) and (self.kind not in ("choice", "pairwise", "rating")):
            raise ValueError(f"adaptive overlap needs one choice, pairwise or rating question, not {self.kind}")
        if self.paradigm == "descriptive":
            if self.qualification and self.qualification.path:
                raise ValueError(
                    "a descriptive task asks for the raters' own views: it can train them (`qualification.train`), "
                    "but no test may turn them away; drop `qualification.path`"
                )
            if self.pay and self.pay.bonus:
                raise ValueError("a descriptive task scores nobody: drop `pay.bonus`")
        return self

    # --- what the store and the pages ask -----------------------------------------------------------------------

    @property
    def asked(self) -> tuple[_Asked, ...]:
        """The questions of a rubric, or the task itself."""
        return self.questions or (self,)

    @property
    def responses(self) -> tuple[str, ...]:
        """The fields that are compared; one that holds a list is given as it is."""
        given = self.examples.responses
        return (given,) if isinstance(given, str) else given

    def options(self, example: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the responses of an example: fields, or FIELD.1, FIELD.2, ... of a field that holds a list."""
        given = self.examples.responses
        if isinstance(given, str):
            return tuple(f"{given}.{number}" for number in range(1, len(example[given]) + 1))
        return given

    def response(self, example: Mapping[str, Any], option: str) -> str:
        """The text of one response."""
        given = self.examples.responses
        if isinstance(given, str):
            return _text(example[given][int(option.rpartition(".")[2]) - 1])
        return _text(example[option])

    def shown(self, example: Mapping[str, Any]) -> dict[str, str]:
        """What stands above the question: field -> text. Without `show`, every field but the id and the responses."""
        reading = self.examples.text if self._reads else None
        hidden = {"id", self.examples.id, *self.responses, reading, "answer", "answers", "explanation"}
        names = self.examples.show or tuple(name for name in example if name not in hidden)
        return {name: _text(example[name]) for name in names if example.get(name) is not None}

    def reading(self, example: Mapping[str, Any]) -> str | None:
        """The text that spans lie in or that is rewritten; None where no question needs one."""
        return _text(example[self.examples.text]) if self._reads else None

    @property
    def _reads(self) -> bool:
        return any(getattr(question, "kind", "") in READING for question in self.asked)

    def check(self, value: Any, example: Mapping[str, Any]) -> Any:
        """The canonical form of an answer. Raises BadAnswer with a sentence for the person who gave it."""
        options, text = self.options(example) if self.responses else (), self.reading(example)
        if self.kind != "rubric":
            return normalised(self, self.kind, value, options, text)
        if not isinstance(value, dict):
            raise BadAnswer.of("rubric")
        known = {question.name for question in self.questions}
        if unknown := sorted(set(value) - known):
            raise BadAnswer.of("no_question", name=unknown[0])
        answers = {}
        for question in self.questions:
            given = value.get(question.name)
            if given is None or given == "":
                if not question.optional:
                    raise BadAnswer.of("unanswered", name=question.name)
                continue
            try:
                answers[question.name] = normalised(question, question.kind, given, options, text)
            except BadAnswer as error:
                raise BadAnswer.of("of_question", name=question.name, why=error) from None
        return answers

    def matches(self, value: Any, answer: Any) -> bool:
        """Whether a checked answer is as right as the known one. Written answers have no known one and match.

        Choices, pairs and orders must be equal, ratings within the tolerance, spans at an F1 of at least 0.8 over
        labelled characters; of a rubric, every question for which there is a known answer.
        """
        if self.kind != "rubric":
            return same(self, self.kind, value, answer)
        by_name = {question.name: question for question in self.questions}
        return all(
            name in value and same(by_name[name], by_name[name].kind, value[name], known)
            for name, known in answer.items()
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of a choice, pairwise or rating question, as the aggregation sees them."""
        if self.kind == "choice":
            return tuple(label.name for label in self.labels)
        if self.kind == "rating":
            scale = self.scale or Scale()
            return tuple(str(value) for value in range(scale.first, scale.last + 1))
        if self.kind == "pairwise":
            names = self.responses if len(self.responses) == 2 else tuple(f"{self.responses[0]}.{n}" for n in (1, 2))
            return (*names, TIE) if self.ties else names
        return ()

    @property
    def rates(self) -> Gold | None:
        """The gold questions where their answers count: under the descriptive paradigm they never do."""
        return self.gold if self.paradigm == "prescriptive" else None

    @property
    def digest(self) -> str:
        """32 hexadecimal digits over everything that the task says."""
        return digest_of(self.model_dump(mode="json", by_alias=True))

    @property
    def guideline_text(self) -> str:
        """The guideline as it stands in its file now. Raises TaskError where it cannot be read."""
        try:
            return Path(self.guideline).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TaskError([f"{self.guideline}: the guideline cannot be read: {error}"]) from None

    def check_files(self) -> None:
        """Reads the guideline and every file of rows through, the examples first. Raises TaskError at the first row
        that does not fit. Memory: the ids of one file."""
        from tamis.people.examples import read

        _ = self.guideline_text
        for _row in self.rows():
            pass
        plan = self.qualification
        known = (plan.train if plan else None, plan.path if plan else None, self.gold.path if self.gold else None)
        for path in known:
            for _row in read(self, path, answers=True) if path else ():
                pass

    def rows(self) -> Iterator[dict[str, Any]]:
        """The examples, each with its name under "id". Raises TaskError at the first that does not fit the task."""
        from tamis.people.examples import read

        return read(self, self.examples.path, answers=False, most=self.examples.most)


def digest_of(body: Any) -> str:
    """32 hexadecimal digits of a JSON value, whatever the order of its keys."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def in_language(words: Words | None, language: str, otherwise: str = "") -> str:
    """The text in a language, else in the first that there is."""
    if words is None or isinstance(words, str):
        return words or otherwise
    return words.get(language) or next(iter(words.values()), otherwise)  # type: ignore[call-overload]


def schema() -> dict[str, Any]:
    """The task's JSON Schema."""
    return LabelTask.model_json_schema()


def parse(text: str, name: str = "task") -> LabelTask:
    """Validates YAML text; `name` stands in the errors. Raises TaskError."""
    try:
        return validated(
            text, name, LabelTask, "a task is a mapping; it needs `name`, `kind`, `guideline` and `examples`"
        )
    except RecipeError as error:
        # pydantic names the class of a mapping, which means nothing to whoever wrote the file
        raise TaskError([re.sub(r" or instance of \w+", "", problem) for problem in error.problems]) from None


def load(path: Path | str) -> LabelTask:
    """Reads and validates a task. Relative paths in it are relative to its folder. Raises TaskError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TaskError([f"{path}: no such task"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError([f"{path}: cannot be read: {error}"]) from None
    return rooted(parse(text, str(path)), path.parent)


def rooted(task: LabelTask, folder: Path) -> LabelTask:
    """The task with paths that no longer depend on where it is read from."""

    def fixed(path: str) -> str:
        return path if "://" in path else str((folder / Path(path).expanduser()).absolute())

    update: dict[str, Any] = {
        "guideline": fixed(task.guideline),
        "examples": task.examples.model_copy(update={"path": fixed(task.examples.path)}),
    }
    if task.gold:
        update["gold"] = task.gold.model_copy(update={"path": fixed(task.gold.path)})
    if given := task.qualification:
        paths = {name: fixed(path) for name in ("train", "path") if (path := getattr(given, name))}
        update["qualification"] = given.model_copy(update=paths)
    return task.model_copy(update=update)


def _text(value: Any) -> str:
    """A field as people read it: lists and objects (turns of a conversation, say) as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def display_order(seed: int, rater: str, example: str, options: Sequence[str]) -> list[str]:
    """The order in which a rater sees the responses: even over all, fixed for one, so that a reload changes nothing."""
    keyed = [(hashlib.blake2b(f"{seed}|{rater}|{example}|{name}".encode()).digest(), name) for name in options]
    return [name for _, name in sorted(keyed)]
