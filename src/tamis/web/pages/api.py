"""The JSON API: what the labelling page does, for programs. Documented at /api/openapi.json.

A program signs in once, keeps the cookie, and sends the token that it got with every request that changes something.
Responses of an example have keys instead of names, so that a rater's program is as blind as a rater.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationInfo

from tamis.people.store import Assignment, Done, Submitted
from tamis.people.task import in_language
from tamis.web.pages.accounts import address
from tamis.web.pages.labelling import Totals
from tamis.web.security import cross_site
from tamis.web.site import Refused, Site, Visitor

# A session may outlive a reset password by this much here; blocking and closing take hold at once, in the store.
ACCOUNT_SECONDS = 2.0


def _clean(text: str) -> str:
    """No database holds NUL in a text, and UTF-8 has no lone surrogates."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("the text holds characters that cannot be stored")
    return text


def _deep(value: JsonValue, info: ValidationInfo) -> JsonValue:
    """Cleans every text in a JSON value and bounds its depth."""
    waiting: list[tuple[JsonValue, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > 8:
            raise ValueError("the value is nested too deeply")
        if isinstance(one, str):
            _clean(one)
        elif isinstance(one, float) and one - one != 0:
            raise ValueError("the value holds a number that is not finite")
        elif isinstance(one, list):
            waiting += [(each, depth + 1) for each in one]
        elif isinstance(one, dict):
            waiting += [(each, depth + 1) for pair in one.items() for each in pair]
    return value


Short = Annotated[str, Field(max_length=200), AfterValidator(_clean)]
Text = Annotated[str, Field(max_length=2_000), AfterValidator(_clean)]
Answer = Annotated[JsonValue, AfterValidator(_deep), Field(description="In the form that the task's kind asks for")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignIn(_Body):
    email: Short
    password: Annotated[str, Field(max_length=1_000), AfterValidator(_clean)]


class Submit(_Body):
    assignment: Short
    token: Annotated[
        Short, Field(min_length=1, description="Made by the client, one per answer: sent again, kept once")
    ]
    value: Answer
    seconds: Annotated[float | None, Field(ge=0, le=1e9, allow_inf_nan=False)] = None
    pasted: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False, description="Share of the text")] = None
    note: Text | None = None


class Skip(_Body):
    assignment: Short
    token: Annotated[Short, Field(min_length=1)]
    reason: Annotated[Text, Field(min_length=1)]


class SignedIn(BaseModel):
    token: str = Field(description="Send as X-CSRF-Token with every POST")
    pseudonym: str
    role: str
    state: str


class ShownResponse(BaseModel):
    key: str = Field(description="What answers name it by")
    text: str


class Given(BaseModel):
    """An example to answer."""

    status: Literal["example"] = "example"
    assignment: str
    phase: str
    show: dict[str, str] = Field(description="Field -> text, in the order to show")
    responses: list[ShownResponse] = Field(description="What is compared, in the order to show")
    text: str | None = Field(description="What spans lie in or what is rewritten")
    guideline: str = Field(description="Hash of the guideline that holds")
    until: float = Field(description="End of the lease, seconds since 1970")
    previous: Any = Field(None, description="After undo: the answer taken back")


class Over(BaseModel):
    """Nothing to answer, and why."""

    status: Literal["finished", "wait", "budget", "failed", "blocked", "left"]
    message: str
    retry: float | None = Field(None, description="Seconds after which to ask again")


class Graded(BaseModel):
    """Feedback, in training only."""

    right: bool
    expected: Any
    explanation: str


class Accepted(BaseModel):
    """`again`: this token was kept before. `surplus`: the lease was over and others had answered."""

    status: Literal["accepted", "again", "surplus"]
    feedback: Graded | None
    next: Given | Over


class State(BaseModel):
    done: int
    skipped: int
    phase: str
    can_undo: bool
    median_seconds: float | None
    earned: float
    currency: str | None
    examples: int
    closed: int = Field(description="Examples that are done, down to the last ten")
    wanted: int = Field(description="Labels still to come from everybody together, up to the next ten")


class Asked(BaseModel):
    name: str
    kind: str
    ask: str
    labels: list[str]
    scale: list[int] | None
    ties: bool
    optional: bool


class Task(BaseModel):
    name: str
    title: str
    kind: str
    paradigm: str
    questions: list[Asked]
    guideline: str


class Problem(BaseModel):
    code: str
    message: str


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "Not signed in"},
    403: {"model": Problem, "description": "Wrong or missing token, or not allowed"},
    404: {"model": Problem, "description": "No such thing"},
    409: {"model": Problem, "description": "The assignment is over, or there is nothing to undo"},
    413: {"description": "The body is too long"},
    422: {"model": Problem, "description": "The request or the answer does not fit"},
    429: {"model": Problem, "description": "Too many attempts"},
}
Token = Annotated[str | None, Header(alias="X-CSRF-Token", description="The token that signing in gave")]


def _json(value: Any) -> Response:
    """Escaped to ASCII: a text may hold a lone surrogate, which JSON can spell and UTF-8 cannot."""
    return Response(json.dumps(value), media_type="application/json")


def router(site: Site) -> APIRouter:
    routes = APIRouter(prefix="/api", responses=_PROBLEMS, tags=["labelling"])
    store = site.store.a
    totals = Totals(site)

    async def changing(request: Request, token: str | None) -> Visitor:
        visitor = await site.visitor(request, seconds=ACCOUNT_SECONDS)
        _ = visitor.me
        site.guard(request, visitor, token)
        return visitor

    def shown(given: Assignment | Done) -> dict[str, Any]:
        if isinstance(given, Done):
            return {"status": given.reason, "message": given.message, "retry": given.retry}
        task, example = site.task, given.example
        return {
            "status": "example",
            "assignment": given.id,
            "phase": given.phase,
            "show": task.shown(example),
            "responses": [
                {"key": site.desks.key(given.id, name), "text": task.response(example, name)} for name in given.order
            ],
            "text": task.reading(example),
            "guideline": given.guideline,
            "until": given.until,
            "previous": site.desks.keyed(given.id, given.previous),
        }

    def accepted(done: Submitted, assignment: str) -> Response:
        feedback = done.feedback and {
            "right": done.feedback.right,
            "expected": site.desks.keyed(assignment, done.feedback.expected),
            "explanation": done.feedback.explanation,
        }
        return _json({"status": done.status, "feedback": feedback, "next": shown(done.next)})

    # Answers are plain JSON already: the models document them, and are not run over every response.

    @routes.post("/sign-in", responses={200: {"model": SignedIn}})
    async def sign_in(request: Request, body: SignIn) -> Response:
        """Signs in and sets the session cookie."""
        if cross_site(request.headers, request.headers.get("host", "")):  # nobody is signed in from elsewhere
            raise Refused("refused.token")
        rater = await store.sign_in(body.email, body.password, address(request))
        session = site.sessions.new(rater.id, rater.version)
        said = {"pseudonym": rater.pseudonym, "role": rater.role, "state": rater.state}
        response = _json({"token": site.sessions.token(session), **said})
        response.set_cookie(**site.sessions.cookie(session))
        return response

    @routes.get("/task", responses={200: {"model": Task}})
    async def task(request: Request) -> Response:
        """What is asked, and the guideline as Markdown."""
        visitor = await site.visitor(request)
        _ = visitor.me
        language, task = visitor.words.language, site.task
        guideline = await totals.guideline(None)
        questions = [
            {
                "name": getattr(one, "name", "answer") if task.kind == "rubric" else "answer",
                "kind": str(getattr(one, "kind", "")),
                "ask": in_language(one.ask, language),
                "labels": [label.name for label in one.labels],
                "scale": [one.scale.first, one.scale.last] if one.scale else None,
                "ties": one.ties,
                "optional": bool(getattr(one, "optional", False)),
            }
            for one in task.asked
        ]
        title = in_language(task.title, language, task.name)
        said = {"name": task.name, "title": title, "kind": task.kind, "paradigm": task.paradigm}
        return _json({**said, "questions": questions, "guideline": guideline.text})

    @routes.get("/next", responses={200: {"model": Given | Over}})
    async def next_(request: Request) -> Response:
        """The open assignment, or a new one, or why there is none."""
        visitor = await site.visitor(request)
        return _json(shown(await store.next_for(visitor.me.id)))

    @routes.post("/submit", responses={200: {"model": Accepted}})
    async def submit(request: Request, body: Submit, token: Token = None) -> Response:
        """Keeps an answer and gives the next example."""
        visitor = await changing(request, token)
        value = site.desks.named(body.assignment, body.value)
        done = await store.submit(
            visitor.me.id,
            body.assignment,
            value,
            body.token,
            seconds=body.seconds,
            pasted=body.pasted,
            note=body.note,
        )
        return accepted(done, body.assignment)

    @routes.post("/skip", responses={200: {"model": Accepted}})
    async def skip(request: Request, body: Skip, token: Token = None) -> Response:
        """Gives an example back with a reason."""
        visitor = await changing(request, token)
        done = await store.skip(visitor.me.id, body.assignment, body.reason, body.token)
        return accepted(done, body.assignment)

    @routes.post("/undo", responses={200: {"model": Given}})
    async def undo(request: Request, token: Token = None) -> Response:
        """Takes the last answer back: the same example again, with the answer as `previous`."""
        visitor = await changing(request, token)
        return _json(shown(await store.undo(visitor.me.id)))

    @routes.post("/guideline", responses={200: {"model": Task}})
    async def guideline_read(request: Request, token: Token = None) -> Response:
        """Records that the current guideline was read."""
        visitor = await changing(request, token)
        current = await store.guideline()
        await store.guideline_shown(visitor.me.id, current.hash)
        return await task(request)

    @routes.get("/progress", responses={200: {"model": State}})
    async def progress(request: Request) -> Response:
        """What the rater has done, and what is left for everybody."""
        visitor = await site.visitor(request)
        own, everybody = await store.mine(visitor.me.id), await totals.progress()
        closed, wanted = await totals.closed(), await totals.wanted()
        return _json(
            {
                "done": own.done, "skipped": own.skipped, "phase": own.phase, "can_undo": own.can_undo,
                "median_seconds": own.median_seconds, "earned": own.earned, "currency": own.currency,
                "examples": everybody.examples, "closed": closed, "wanted": wanted,
            }
        )  # fmt: skip

    return routes
