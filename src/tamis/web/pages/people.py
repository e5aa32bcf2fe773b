"""Invitations: who is here, and a link for who should come."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tamis.people.store import StoreError
from tamis.web.pages.owner import link_to
from tamis.web.site import Site, Visitor

ROLES = ("rater", "adjudicator", "owner")


def router(site: Site) -> APIRouter:
    routes = APIRouter(prefix="/owner/people", include_in_schema=False)
    store = site.store.a

    async def page(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> Response:
        values = {"link": None, "link_role": None, **more}
        return site.page(
            request,
            visitor,
            "owner_people.html",
            status,
            here="owner",
            tab="people",
            raters=await store.raters(),
            roles=ROLES,
            **values,
        )

    @routes.get("")
    async def people(request: Request) -> Response:
        visitor = await site.visitor(request)
        visitor.needs("owner")
        return await page(request, visitor)

    @routes.post("")
    async def invite(request: Request) -> Response:
        visitor = await site.visitor(request)
        me = visitor.needs("owner")
        form = await site.form(request, visitor)
        role = form.text("role", 20)
        days = form.number("days")
        email = form.text("email", 200).strip() or None
        try:
            role = role if role in ROLES else "rater"
            token = await store.invite(role, me.id, email, min(90.0, max(1.0, days or 7.0)))
        except StoreError as error:
            return await page(request, visitor, 422, notice=str(error), notice_bad=True)
        return await page(request, visitor, link=link_to(request, site, f"/join/{token}"), link_role=role)

    return routes
