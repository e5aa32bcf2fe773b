"""The owner's dashboards: progress, agreement over time, raters, position bias, pay, guideline and journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tamis.people.store import Rater
from tamis.web import charts, figures
from tamis.web.charts import Estimate
from tamis.web.guideline import guideline_html
from tamis.web.site import Refused, Site, Visitor

T = TypeVar("T")
GUIDELINE_CHARACTERS = 500_000


def router(site: Site) -> APIRouter:
    routes = APIRouter(prefix="/owner", include_in_schema=False)
    store, sync = site.store.a, site.store

    async def owner(request: Request) -> Visitor:
        visitor = await site.visitor(request)
        visitor.needs("owner")
        return visitor

    def page(request: Request, visitor: Visitor, template: str, tab: str, status: int = 200, **values: Any) -> Response:
        return site.page(request, visitor, template, status, here="owner", tab=tab, **values)

    @routes.get("")
    async def progress(request: Request) -> Response:
        visitor = await owner(request)
        now, rows = await store.progress(), await store.table()
        hours = now.seconds / 3600
        return page(
            request,
            visitor,
            "owner_progress.html",
            "progress",
            now=now,
            rows=sorted((row for row in rows if row.labels or row.skipped), key=lambda row: -row.labels),
            hours=hours,
            left=now.wanted * now.seconds / now.labels if now.labels and now.wanted else None,
        )

    @routes.get("/agreement")
    async def agreement(request: Request) -> Response:
        visitor = await owner(request)
        t, task = visitor.words, site.task

        def compute() -> list[dict[str, Any]]:
            from tamis.people import agreement as measures

            answers = figures.work(sync.answers())
            found = []
            for name in figures.questions(task):
                asked = next((one for one in task.questions if one.name == name), None)
                ordinal = (asked.kind if asked else task.kind) == "rating"
                labels = sync.matrix(name or None)
                whole = [measures.alpha(labels, "ordinal" if ordinal else "nominal"), measures.ac1(labels)]
                points = figures.over_time(answers, name, ordinal)
                found.append(
                    {
                        "name": name,
                        "measures": whole,
                        "points": points,
                        "chart": charts.over_time(points, t("agreement.over_time")) if points else None,
                    }
                )
            return found

        effect = await _aside(sync.guideline_effect)
        return page(
            request, visitor, "owner_agreement.html", "agreement", parts=await _aside(compute), effect=effect
        )  # fmt: skip

    @routes.get("/raters")
    async def raters(request: Request) -> Response:
        visitor = await owner(request)
        t = visitor.words
        rows = await store.table()
        gold = [
            Estimate(
                row.rater.name or row.rater.pseudonym,
                row.gold_right / (row.gold_right + row.gold_wrong),
                row.gold_low,
                row.gold_high,
                row.gold_right + row.gold_wrong,
            )
            for row in rows
            if row.gold_right + row.gold_wrong
        ]
        limits = site.task.rates
        marks = [(limits.bad, t("raters.bad")), (limits.good, t("raters.good"))] if limits else []
        chart = charts.forest(gold, t("raters.gold_chart"), marks) if gold else None
        return page(
            request, visitor, "owner_raters.html", "raters", rows=rows, chart=chart, attempts=await store.attempts()
        )

    async def one(number: int) -> Rater:
        rater: Rater | None = await store.rater(number)
        if rater is None:
            raise Refused("refused.nothing", 404)
        return rater

    async def rater_page(request: Request, visitor: Visitor, number: int, status: int = 200, **more: Any) -> Response:
        rater = await one(number)
        t, task = visitor.words, site.task
        row = next((row for row in await store.table() if row.rater.id == number), None)
        matrix = bias = None
        if task.classes:
            answers = await _aside(lambda: list(sync.answers()))
            truth = {example: str(label) for example, label in (await store.truth()).items()}
            truth |= {final.example: str(final.value) for final in await store.finals()}
            found = figures.confusion(answers, rater.pseudonym, task.classes, truth)
            if found.n:
                matrix = found
            if task.kind == "pairwise":
                biases = figures.position_bias(figures.work(answers), task)
                bias = next((each for each in biases if each.estimate.name == rater.pseudonym), None)
        chart = None
        if matrix:
            label = t("raters.confusion")
            chart = charts.confusion(matrix.names, matrix.counts, label, t("raters.reference"), t("raters.said"))
        values = {"one": rater, "row": row, "matrix": matrix, "chart": chart, "bias": bias, "link": None,
                  "attempts": await store.attempts_of(number), **more}  # fmt: skip
        return page(request, visitor, "owner_rater.html", "raters", status, **values)

    @routes.get("/raters/{number}")
    async def rater(request: Request, number: int) -> Response:
        return await rater_page(request, await owner(request), _id(number))

    @routes.post("/raters/{number}")
    async def change(request: Request, number: int) -> Response:
        visitor = await owner(request)
        form = await site.form(request, visitor)
        me, who = visitor.me.id, _id(number)
        why, action = form.text("why", 500).strip(), form.text("action", 20)
        t = visitor.words
        if action in ("block", "unblock", "release") and not why:
            return await rater_page(request, visitor, who, 422, notice=t("raters.say_why"), notice_bad=True)
        notice = t("raters.done")
        if action == "block":
            await store.block(who, me, why)
        elif action == "unblock":
            await store.unblock(who, me, why)
        elif action == "release":
            notice = t("raters.released", n=await store.release(who, me, why))
        elif action == "role" and form.get("role") in ("owner", "adjudicator", "rater"):
            await store.set_role(who, form.text("role", 20), me)
        elif action == "reset":
            link = link_to(request, site, f"/reset/{await store.reset_token(who, me)}")
            return await rater_page(request, visitor, who, link=link)
        elif action == "erase" and form.get("sure") == "yes":
            await store.erase(who, me, form.get("texts") == "yes")
        else:
            raise Refused("refused.form", 400)
        return await rater_page(request, visitor, who, notice=notice)

    @routes.get("/bias")
    async def bias(request: Request) -> Response:
        visitor = await owner(request)
        t = visitor.words
        names = {rater.pseudonym: rater.name or rater.pseudonym for rater in await store.raters()}
        found = await _aside(lambda: figures.position_bias(figures.work(sync.answers()), site.task))
        rows = [
            Estimate(names.get(each.estimate.name, each.estimate.name) or t("bias.all"), each.estimate.value,
                     each.estimate.low, each.estimate.high, each.estimate.n)
            for each in found
        ]  # fmt: skip
        chart = charts.forest(rows, t("bias.title"), [(found[0].expected, t("bias.none"))]) if found else None
        return page(request, visitor, "owner_bias.html", "bias", found=list(zip(rows, found, strict=True)), chart=chart)

    @routes.get("/pay")
    async def pay(request: Request) -> Response:
        visitor = await owner(request)
        rows, now = await store.table(), await store.progress()
        shown = [row for row in rows if row.pay or row.labels]
        cost = figures.cost(rows, now.labels)
        each = cost.spent / now.closed if now.closed else None
        return page(request, visitor, "owner_pay.html", "pay", rows=shown, cost=cost, now=now, closed_cost=each)

    @routes.get("/pay.csv")
    async def pay_csv(request: Request) -> Response:
        await owner(request)
        ledger = await _aside(lambda: sync.ledger().to_csv())
        return Response(
            ledger,
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{site.task.name}-pay.csv"'},
        )

    async def guideline_page(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> Response:
        versions = await store.guidelines()
        current = await store.guideline()
        stale = await store.stale()
        values = {"draft": current.text, "preview": None, **more}
        return page(
            request,
            visitor,
            "owner_guideline.html",
            "guideline",
            status,
            current=current,
            versions=sorted(versions, key=lambda one: -one.number),
            stale=stale,
            effect=await _aside(sync.guideline_effect) if len(versions) > 1 else [],
            **values,
        )

    @routes.get("/guideline")
    async def guideline(request: Request) -> Response:
        return await guideline_page(request, await owner(request))

    @routes.post("/guideline")
    async def guideline_change(request: Request) -> Response:
        visitor = await owner(request)
        form = await site.form(request, visitor)
        t, action = visitor.words, form.text("action", 20)
        if action == "relabel":
            count = await store.relabel(visitor.me.id)
            return await guideline_page(request, visitor, notice=t("guideline.reopened", n=count))
        text = form.text("text", GUIDELINE_CHARACTERS).replace("\r\n", "\n")
        if not text.strip():
            return await guideline_page(request, visitor, 422, notice=t("guideline.empty"), notice_bad=True)
        if action == "preview":
            return await guideline_page(request, visitor, draft=text, preview=guideline_html(text))
        await store.set_guideline(text, visitor.me.id)
        return await guideline_page(request, visitor, notice=t("guideline.saved"))

    @routes.get("/journal")
    async def journal(request: Request) -> Response:
        visitor = await owner(request)
        head = await store.head()
        first = _number(request.query_params.get("first"), max(1, head.seq - 49))
        entries = await store.journal(first, 50)
        return page(
            request, visitor, "owner_journal.html", "journal",
            head=head, entries=list(reversed(entries)), first=first, verdict=None,
        )  # fmt: skip

    @routes.post("/journal")
    async def verify(request: Request) -> Response:
        visitor = await owner(request)
        await site.form(request, visitor)
        verdict = await store.verify()
        head = await store.head()
        first = max(1, head.seq - 49)
        return page(
            request, visitor, "owner_journal.html", "journal",
            head=head, entries=list(reversed(await store.journal(first, 50))), first=first, verdict=verdict,
        )  # fmt: skip

    return routes


async def _aside(compute: Callable[[], T]) -> T:
    """Runs what takes long beside the loop that serves raters."""
    return await asyncio.to_thread(compute)


def _id(number: int) -> int:
    """An id that every database can hold."""
    if not 0 <= number < 1 << 31:
        raise Refused("refused.nothing", 404)
    return number


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and int(text[:10]) > 0 else otherwise


def link_to(request: Request, site: Site, path: str) -> str:
    """An address to send to somebody, as this browser sees the server."""
    scheme = "https" if site.settings.https else request.url.scheme
    return f"{scheme}://{request.headers.get('host', '')}{site.settings.root_path}{path}"
