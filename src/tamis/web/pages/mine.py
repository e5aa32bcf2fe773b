"""A rater's own page: what was done, how fast, what it earned; password and leaving every device."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tamis.people.store import StoreError
from tamis.web.pages.accounts import PASSWORD_LENGTH, unfit
from tamis.web.site import Site, Visitor


def router(site: Site) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    store = site.store.a

    async def page(request: Request, visitor: Visitor, status: int = 200, **more: object) -> Response:
        own = await store.mine(visitor.me.id)
        pay = site.task.pay
        return site.page(
            request,
            visitor,
            "mine.html",
            status,
            here="me",
            works=True,
            own=own,
            pay=pay,
            # A minute of work tells nothing of an hour.
            hourly=own.earned / own.active_seconds * 3600 if pay and own.active_seconds > 60 else None,
            password_length=PASSWORD_LENGTH,
            **more,
        )

    @routes.get("/me")
    async def mine(request: Request) -> Response:
        return await page(request, await site.visitor(request))

    @routes.post("/me/password")
    async def password(request: Request) -> Response:
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        new = form.text("password")
        said = unfit(visitor, new, form.text("again"))
        if said is None:
            try:
                await store.change_password(visitor.me.id, form.text("old"), new)
            except StoreError as error:
                if error.code not in ("sign-in", "password", "wait"):
                    raise
                said = visitor.words(f"store.{error.code}")
        if said:
            return await page(request, visitor, 422, notice=said, notice_bad=True)
        return await again(visitor, "/me")

    @routes.post("/me/everywhere")
    async def everywhere(request: Request) -> Response:
        visitor = await site.visitor(request)
        await site.form(request, visitor)
        await store.sign_out_everywhere(visitor.me.id)
        return site.to("/sign-in")

    async def again(visitor: Visitor, path: str) -> Response:
        """The same person under the account's new session version."""
        response = site.to(path)
        if rater := await store.rater(visitor.me.id):
            site.signed_in(response, rater)
        return response

    return routes
