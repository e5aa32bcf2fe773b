"""The page that raters sit at: an example, its question, and the next one as the answer to every submit."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from tamis.corpus.inert import visible
from tamis.people.answers import BadAnswer
from tamis.people.store import Assignment, Done, Feedback, Guideline, Mine, Progress, StoreError
from tamis.people.task import Adaptive
from tamis.web.desk import Desk, describe, find_passage
from tamis.web.forms import Form
from tamis.web.guideline import guideline_html
from tamis.web.language import Words
from tamis.web.site import Refused, Site, Visitor

SKIP_REASONS = ("unclear", "language", "broken", "harmful", "personal", "other")
# How long the project's totals, which only draw a progress bar, may be old.
TOTALS_SECONDS = 5.0
STEP = 10  # what raters see of those totals


def router(site: Site) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    store = site.store.a
    totals = Totals(site)

    async def work(request: Request, visitor: Visitor, given: Assignment | Done, **more: Any) -> HTMLResponse:
        """The desk with an assignment on it, or the page that says why there is none. Only the work area where a
        script asks."""
        t, me = visitor.words, visitor.me
        values: dict[str, Any] = {
            "here": "label", "works": True, "here_path": "/label", "desk": None, "feedback": None, "phase": "work",
            "answered": None, "status": 200, "value": None, "skip_reasons": SKIP_REASONS,
            "token": secrets.token_urlsafe(12), **more,
        }  # fmt: skip
        status, value = values.pop("status"), values.pop("value")
        own = await store.mine(me.id)
        values["can_undo"] = own.can_undo
        guideline: Guideline | None = None
        if isinstance(given, Assignment):
            guideline = await totals.guideline(given.guideline)
            values["phase"] = given.phase
            if me.guideline != given.guideline:
                # Nothing is asked under a guideline that was not read.
                if not request.headers.get("x-fragment"):
                    return site.to("/label/guideline")  # type: ignore[return-value]
                values |= _end(t, "changed", "/label/guideline")
            elif values["feedback"] is not None:
                # A page of its own: above the next question, the explanation would read as a hint to it.
                values["phase"] = "training"
                values |= {"end_title": t("feedback.title"), "end_link": "/label", "end_link_name": t("feedback.go")}
            else:
                values["desk"] = site.desks.desk(given, t, value)
                if given.phase == "qualification" and given.number == 1 and "notice" not in values:
                    values |= {"notice": await before_test(t, me.id, given.of or 0), "notice_kind": "hint"}
                values["lease"] = max(1, round(given.until - time.time()))
        else:
            values |= _end(t, given.reason, "/label" if given.reason == "wait" else "/me")
            if given.reason == "wait":
                values["retry"] = max(5, round(given.retry or 30))
        left = await totals.left(own) if isinstance(given, Assignment) else 0
        values |= _progress(t, given, own, left)
        template = "work.html"
        if not request.headers.get("x-fragment"):
            template = "label.html"
            guideline = guideline or await totals.guideline(None)
            kinds = {str(getattr(one, "kind", "")) for one in site.task.asked}
            values |= {
                "guideline": guideline_html(guideline.text),
                "guideline_hash": guideline.hash,
                "keys": _keys(t, site.task.kind, kinds),
                "at_once": site.task.kind in ("choice", "pairwise", "rating"),
            }
        return site.page(request, visitor, template, status, **values)

    async def before_test(t: Words, rater: int, questions: int) -> str:
        """How long the test is, what passes it, and how the last attempt ended."""
        plan = site.task.qualification
        assert plan is not None, "a test without `qualification`"
        need = next((right for right in range(questions) if right / questions >= plan.accuracy), questions)
        done = await store.attempts_of(rater)
        if not done:
            return t("test.begins", n=questions, need=need, attempts=plan.attempts)
        last, number = done[-1], done[-1].number + 1
        said = t("test.not_passed", right=last.right, n=last.answers, need=need)
        how = "test.again" if number < plan.attempts else "test.last"
        return f"{said} {t(how, number=number, attempts=plan.attempts)}"

    @routes.get("/label")
    async def label(request: Request) -> Response:
        visitor = await site.visitor(request)
        return await work(request, visitor, await store.next_for(visitor.me.id))

    @routes.get("/label/{what}")
    async def again(request: Request, what: str) -> Response:
        """Where a browser reloads the address that a form was sent to."""
        if what == "guideline":
            return await guideline(request)
        return site.to("/label")

    @routes.post("/label/answer")
    async def answer(request: Request) -> Response:
        visitor = await site.visitor(request)
        me = visitor.me
        form = await site.form(request, visitor)
        assignment = form.text("assignment")
        value: Any = None
        answered: Desk | None = None
        if form.get("phase") == "training":  # quoted beside its feedback
            given = await store.next_for(me.id)
            if isinstance(given, Assignment) and given.id == assignment:
                answered = site.desks.desk(given, visitor.words)
        try:
            value = site.desks.value(form, assignment)
            done = await store.submit(
                me.id,
                assignment,
                site.desks.named(assignment, value),
                form.text("token", 200),
                seconds=form.number("seconds"),
                pasted=pasted_share(form, value),
                note=form.text("note", 2_000) or None,
            )
        except BadAnswer as error:
            return await work(
                request,
                visitor,
                await store.next_for(me.id),
                value=value,
                status=422,
                notice=visitor.words("answer.bad", why=visitor.words.refusal(error)),
                notice_kind="bad",
            )
        except StoreError as error:
            return await stale(request, visitor, error)
        after = _after(site, form, done.next, done.feedback, visitor.words, value)
        return await work(request, visitor, done.next, answered=answered, **after)

    async def stale(request: Request, visitor: Visitor, error: StoreError) -> Response:
        """An assignment that is over: the next one, with a word about it."""
        if error.code not in ("not-open", "unknown"):
            raise error
        given = await store.next_for(visitor.me.id)
        notice = visitor.words("desk.stale")
        return await work(request, visitor, given, status=409, notice=notice, notice_kind="hint")

    @routes.post("/label/skip")
    async def skip(request: Request) -> Response:
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        reason = form.text("reason", 40)
        if reason not in SKIP_REASONS:
            reason = "other"
        note = form.text("note", 500).strip()
        try:
            done = await store.skip(
                visitor.me.id, form.text("assignment"), f"{reason}: {note}" if note else reason, form.text("token", 200)
            )
        except StoreError as error:
            return await stale(request, visitor, error)
        return await work(request, visitor, done.next)

    @routes.post("/label/undo")
    async def undo(request: Request) -> Response:
        visitor = await site.visitor(request)
        await site.form(request, visitor)
        try:
            given: Assignment | Done = await store.undo(visitor.me.id)
            notice = visitor.words("desk.undone")
        except StoreError as error:
            if error.code != "no-undo":
                raise
            given, notice = await store.next_for(visitor.me.id), visitor.words("desk.nothing_undo")
        return await work(request, visitor, given, notice=notice)

    @routes.post("/label/renew")
    async def renew(request: Request) -> Response:
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        try:
            await store.renew(visitor.me.id, form.text("assignment"))
        except StoreError as error:
            return Response(status_code=409 if error.code in ("not-open", "unknown") else 403)
        return Response(status_code=204)

    @routes.post("/label/spans")
    async def spans(request: Request) -> Response:
        """Adds or removes a passage without any script."""
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        given = await store.next_for(visitor.me.id)
        if not isinstance(given, Assignment):
            return await work(request, visitor, given)
        try:
            value, notice = _changed_spans(site, form, given, visitor.words)
        except BadAnswer as error:
            value, notice = None, visitor.words("answer.bad", why=visitor.words.refusal(error))
        return await work(request, visitor, given, value=value, notice=notice, notice_kind="bad" if notice else "")

    @routes.post("/label/preview")
    async def preview(request: Request) -> Response:
        """The same page with a rewrite's changes drawn."""
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        given = await store.next_for(visitor.me.id)
        try:
            value = site.desks.value(form, form.text("assignment"))
        except BadAnswer:
            value = None
        return await work(request, visitor, given, value=value)

    @routes.get("/label/text/{assignment}/{part}")
    async def text(request: Request, assignment: str, part: str) -> Response:
        """A whole text, as plain text that no browser will take for anything else."""
        visitor = await site.visitor(request)
        given = await store.next_for(visitor.me.id)
        whole = None
        if isinstance(given, Assignment) and given.id == assignment:
            whole = site.desks.texts(given, part)
        if whole is None:
            raise Refused("refused.nothing", 404)
        # Long texts are what this is for: the loop must not wait for them.
        return PlainTextResponse(await asyncio.to_thread(visible, whole))

    async def guideline(request: Request) -> Response:
        visitor = await site.visitor(request)
        me = visitor.me
        current = await store.guideline()
        return site.page(
            request,
            visitor,
            "guideline.html",
            here="label",
            works=True,
            guideline=guideline_html(current.text),
            guideline_hash=current.hash,
            changed=me.guideline is not None and me.guideline != current.hash,
            read=me.guideline == current.hash,
        )

    @routes.post("/label/guideline")
    async def guideline_read(request: Request) -> Response:
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        await store.guideline_shown(visitor.me.id, form.text("hash", 200))
        return site.to("/label")

    return routes


class Totals:
    """What every desk shows and nobody needs to the second: guidelines by hash and the project's totals."""

    def __init__(self, site: Site) -> None:
        self._store = site.store
        self._guidelines: dict[str, Guideline] = {}
        self._progress: tuple[float, Progress] | None = None

    async def guideline(self, digest: str | None) -> Guideline:
        """A guideline never changes under its hash."""
        if digest is None or digest not in self._guidelines:
            found: Guideline = await self._store.a.guideline(digest)
            self._guidelines[found.hash] = found
            return found
        return self._guidelines[digest]

    async def left(self, own: Mine) -> int:
        """How many answers may still be asked of a rater who has an example in hand: no rater knows what others will
        do, so examples that are still open, each of them once, and the gold and repeats that come with so many. Where
        there are any, counted up to the next ten: a number that falls with work alone tells work from gold."""
        now, task = await self.progress(), self._store.task
        work = max(0, now.examples - own.worked)
        if not isinstance(task.overlap, Adaptive):  # adaptive overlap may want more than it does now
            work = min(work, _tens(now.wanted))
        if not task.gold and not task.repeats:
            return max(1, work)
        share = task.gold.share if task.gold else 0.0
        # Both come by chance: three standard deviations above what is expected.
        gold = min(own.gold_left, _most(work * share / (1 - share), work * share / (1 - share) ** 2))
        repeats = own.repeats_left + min(work, _most(work * task.repeats, work * task.repeats * (1 - task.repeats)))
        return _tens(work + gold + repeats + 1)

    async def wanted(self) -> int:
        """About how many labels are still to come, counted up to the next ten: the exact number falls with every answer
        that is work and stays with hidden gold, so a rater could tell them apart."""
        return _tens((await self.progress()).wanted)

    async def closed(self) -> int:
        """About how many examples are done, counted down for the same reason."""
        return (await self.progress()).closed // STEP * STEP

    async def progress(self) -> Progress:
        now = time.monotonic()
        if self._progress is None or now - self._progress[0] > TOTALS_SECONDS:
            self._progress = (now, await self._store.a.progress())
        return self._progress[1]


def _tens(count: int) -> int:
    return -(-count // STEP) * STEP


def _most(mean: float, variance: float) -> int:
    return math.ceil(mean + 3 * math.sqrt(variance))


def pasted_share(form: Form, value: Any) -> float | None:
    """The share of a written answer that came by pasting; None where nothing was counted."""
    pasted = form.number("pasted")
    if pasted is None:
        return None
    texts = value.values() if isinstance(value, dict) else [value]
    length = sum(len(text) for text in texts if isinstance(text, str))
    return min(1.0, pasted / length) if length else 0.0


def _after(
    site: Site, form: Form, given: Assignment | Done, feedback: Feedback | None, t: Words, value: Any
) -> dict[str, Any]:
    """Feedback on the answer just given, and a word where the next phase begins."""
    values: dict[str, Any] = {}
    if feedback is not None:
        # The letters of the example just answered are gone with it; the form still has them in their order.
        letters = dict(part.split("=", 1) for part in form.text("letters", 4_000).split(" ") if "=" in part)
        assignment = form.text("assignment")
        expected = site.desks.keyed(assignment, feedback.expected)
        values["feedback"] = {
            "right": feedback.right,
            "said": describe(site.task, value, t, letters),
            "expected": describe(site.task, expected, t, letters),
            "why": feedback.explanation,
        }
    # Of the test, its first question tells.
    if (
        isinstance(given, Assignment)
        and form.get("phase") not in (None, given.phase)
        and (feedback is not None or given.phase != "qualification")
    ):
        values |= {"notice": t(f"phase.begins_{given.phase}"), "notice_kind": "hint"}
    return values


def _changed_spans(site: Site, form: Form, given: Assignment, t: Words) -> tuple[Any, str | None]:
    """The answer so far with a passage more or less, and what to say."""
    value = site.desks.value(form, given.id)
    added, removed = form.get("span_add"), form.get("span_remove")
    name = added if added is not None else (removed or "").partition(":")[0]
    if site.desks.question(name) is None:
        return value, None
    spans = value.setdefault(name.removeprefix("answer."), []) if site.task.kind == "rubric" else value
    if added is None:
        at = (removed or "").partition(":")[2]
        if at.isascii() and at.isdigit() and int(at[:6]) < len(spans):
            spans.pop(int(at[:6]))
        return value, None
    text = site.task.reading(given.example) or ""
    place = find_passage(text, form.text(f"{name}.passage", 1_000_000), int(form.number(f"{name}.passage_which") or 1))
    if place is None:
        return value, t("span.not_found")
    spans.append({"start": place[0], "end": place[1], "label": form.text(f"{name}.passage_label")})
    spans.sort(key=lambda span: (span["start"], span["end"]))
    return value, None


def _end(t: Words, reason: str, link: str) -> dict[str, Any]:
    """The card that stands where the example would."""
    return {
        "end_title": t(f"end.{reason}"),
        "end_text": t(f"end.{reason}_text"),
        "end_link": link,
        "end_link_name": t({"/label": "end.again", "/me": "end.mine"}.get(link, "end.read")),
    }


def _progress(t: Words, given: Assignment | Done, own: Mine, left: int) -> dict[str, Any]:
    """What stands in the line above the example."""
    if isinstance(given, Assignment) and given.of:
        return {
            "progress_text": t("progress.of", done=given.number - 1, total=given.of),
            "progress_done": given.number - 1,
            "progress_max": given.of,
            "time_left": "",
        }
    time_left = ""
    if left and own.median_seconds and own.done >= 3:
        time_left = t("progress.left", n=left, time=t.minutes(left * own.median_seconds))
    elif left:
        time_left = t("progress.most", n=left)
    return {
        "progress_text": t("progress.done", done=own.done),
        "progress_done": own.done,
        "progress_max": max(1, own.done + left),
        "time_left": time_left,
    }


def _keys(t: Words, kind: str, kinds: set[str]) -> list[tuple[list[str], str]]:
    """The help's lines for a kind of task."""
    kinds = kinds if kind == "rubric" else {kind}
    digits: Callable[[str], tuple[list[str], str]] = lambda key: (["1", "–", "9"], t(key))  # noqa: E731
    lines: list[tuple[list[str], str]] = []
    if kinds & {"choice", "pairwise", "rating"}:
        lines.append(digits("keys.digit"))
    if "multi" in kinds:
        lines.append(digits("keys.digit_multi"))
    if kinds & {"preference", "ranking"}:
        lines += [digits("keys.digit_rank"), (["⌫"], t("keys.back"))]
        if "preference" in kinds:
            lines.append((["="], t("keys.tie")))
    if "pairwise" in kinds:
        lines.append((["←", "→", "↓"], t("keys.arrows_pair")))
    if "span" in kinds:
        lines += [
            (["←", "→"], t("keys.arrows_words")),
            digits("keys.digit_span"),
            (["⌫"], t("keys.back")),
        ]
    if kind == "rubric":
        lines.append((["↑", "↓"], t("keys.arrows_questions")))
    writes = bool(kinds & {"text", "rewrite"})
    lines.append((["Ctrl", "↵"] if writes else ["↵"], t("keys.enter")))
    if writes:
        lines.append((["Esc"], t("keys.escape")))
    return [
        *lines,
        (["u"], t("keys.undo")),
        (["s"], t("keys.skip")),
        (["g"], t("keys.guide")),
        (["?"], t("keys.help")),
    ]
