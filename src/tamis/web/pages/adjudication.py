"""Adjudication: disputed examples one by one; the final label keeps who decided, why, and under which guideline."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from tamis.corpus.inert import visible
from tamis.people.answers import BadAnswer
from tamis.people.store import Assignment, Dispute
from tamis.people.task import LabelTask
from tamis.web.desk import describe
from tamis.web.guideline import guideline_html
from tamis.web.site import Refused, Site, Visitor

# Disputes of one page; a decision brings the next ones.
LIMIT = 100


def router(site: Site) -> APIRouter:
    routes = APIRouter(prefix="/adjudicate", include_in_schema=False)
    store = site.store.a

    def as_given(dispute: Dispute, guideline: str) -> Assignment:
        """A dispute as an assignment under a name of its own, so that the same desk shows it."""
        order = site.task.options(dispute.row) if site.task.responses and site.task.examples.responses else ()
        return Assignment(f"dispute:{dispute.example}", dispute.row, tuple(order), "work", 0.0, guideline, 1, None)

    async def adjudicator(request: Request) -> Visitor:
        visitor = await site.visitor(request)
        visitor.needs("owner", "adjudicator")
        return visitor

    async def page(
        request: Request, visitor: Visitor, chosen: str | None = None, status: int = 200, **more: Any
    ) -> Response:
        t = visitor.words
        disputes = await store.adjudication(limit=LIMIT)
        guideline = await store.guideline()
        dispute = next((one for one in disputes if one.example == chosen), disputes[0] if disputes else None)
        desk = None
        answers: list[dict[str, Any]] = []
        value = more.pop("value", None)
        if dispute is not None:
            given = as_given(dispute, guideline.hash)
            desk = site.desks.desk(given, t, value, "/adjudicate/text/{}?example=" + quote(dispute.example, safe=""))
            letters = {name: chr(ord("A") + at) for at, name in enumerate(given.order)}
            for who, said, note, _ in dispute.answers:
                answers.append({"who": who, "said": describe(site.task, said, t, letters), "note": note})
        return site.page(
            request,
            visitor,
            "adjudicate.html",
            status,
            here="adjudicate",
            dispute=dispute,
            desk=desk,
            answers=answers,
            label=describe(site.task, _value(site.task, dispute.label), t, letters)
            if dispute and dispute.label is not None
            else None,
            # Without the label's name: it may tell which response came from where.
            why_here=dispute.why.replace(f" of {dispute.label}", "", 1) if dispute else "",
            waiting=disputes,
            more=len(disputes) == LIMIT,
            finals=len(await store.finals()),
            guideline=guideline_html(guideline.text),
            guideline_hash=guideline.hash,
            **more,
        )

    @routes.get("")
    async def adjudicate(request: Request) -> Response:
        return await page(request, await adjudicator(request), request.query_params.get("example"))

    @routes.post("")
    async def decide(request: Request) -> Response:
        visitor = await adjudicator(request)
        form = await site.form(request, visitor)
        example, why = form.text("example"), form.text("why", 2_000).strip()
        assignment = f"dispute:{example}"
        value = None
        try:
            value = site.desks.value(form, assignment)
            if not why:
                raise BadAnswer(visitor.words("adjudicate.say_why"))
            await store.adjudicate(example, site.desks.named(assignment, value), visitor.me.id, why)
        except BadAnswer as error:
            said = visitor.words.refusal(error)
            return await page(request, visitor, example, 422, value=value, why=why, notice=said, notice_bad=True)
        return await page(request, visitor, notice=visitor.words("adjudicate.kept"))

    @routes.get("/text/{part}")
    async def text(request: Request, part: str) -> Response:
        await adjudicator(request)
        example = request.query_params.get("example")
        dispute = next((one for one in await store.adjudication(limit=LIMIT) if one.example == example), None)
        whole = site.desks.texts(as_given(dispute, ""), part) if dispute else None
        if whole is None:
            raise Refused("refused.nothing", 404)
        return PlainTextResponse(await asyncio.to_thread(visible, whole))

    return routes


def _value(task: LabelTask, label: str) -> Any:
    """An aggregated label, a text, as the answer that it stands for."""
    if task.kind in ("choice", "pairwise", "text", "rubric"):
        return label
    try:
        return json.loads(label)
    except ValueError:
        return label
