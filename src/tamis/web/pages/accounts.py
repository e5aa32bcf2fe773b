"""Signing in and out, accepting an invitation, a new password, and the language switch."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tamis.people.store import StoreError
from tamis.web.language import LANGUAGES
from tamis.web.site import LANGUAGE_COOKIE, Site, Visitor, local

PASSWORD_LENGTH = 10
YEAR = 365 * 24 * 3600


def router(site: Site) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    store = site.store.a

    @routes.get("/")
    async def home(request: Request) -> Response:
        visitor = await site.visitor(request)
        where = {"owner": "/owner", "adjudicator": "/adjudicate"}.get(visitor.me.role, "/label")
        return site.to(where)

    @routes.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        visitor = await site.visitor(request)
        return site.to("/") if visitor.rater else site.page(request, visitor, "sign_in.html", name="")

    @routes.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        name = form.text("name", 200)
        try:
            rater = await store.sign_in(name, form.text("password"), address(request))
        except StoreError as error:
            if error.code not in ("sign-in", "wait"):
                raise
            t = visitor.words
            said = t("store.sign-in")
            if error.code == "wait":
                said = t("sign_in.wait", n=max(1, round(getattr(error, "seconds", None) or 1)))
            status = 429 if error.code == "wait" else 401
            return site.page(request, visitor, "sign_in.html", status, name=name, notice=said, notice_bad=True)
        response = site.to("/")
        site.signed_in(response, rater)
        return response

    @routes.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        visitor = await site.visitor(request)
        await site.form(request, visitor)
        response = site.to("/sign-in")
        response.set_cookie(**site.sessions.cookie(site.sessions.new()))
        return response

    @routes.post("/language")
    async def language(request: Request) -> Response:
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        wanted = form.get("language")
        response = site.to(local(form.get("next")))
        if wanted is not None and wanted in LANGUAGES:
            path, secure = f"{site.settings.root_path}/", site.settings.https
            response.set_cookie(
                LANGUAGE_COOKIE, wanted, max_age=YEAR, path=path, httponly=True, samesite="lax", secure=secure
            )
            if visitor.rater:
                await store.set_language(visitor.rater.id, wanted)
        return response

    def join_page(
        request: Request, visitor: Visitor, kind: str, token: str, status: int = 200, **more: object
    ) -> Response:
        return site.page(
            request,
            visitor,
            "join.html",
            status,
            **{
                "usable": True,
                "kind": kind,
                "action": f"/{kind}/{token}",
                "name": "",
                "email": "",
                "password_length": PASSWORD_LENGTH,
                **more,
            },
        )

    @routes.get("/join/{token}")
    async def join_form(request: Request, token: str) -> Response:
        visitor = await site.visitor(request)
        try:
            invitation = await store.invitation(token)
        except StoreError:
            return join_page(request, visitor, "join", "", 410, usable=False)
        return join_page(request, visitor, "join", token, email=invitation.email or "")

    @routes.post("/join/{token}")
    async def join(request: Request, token: str) -> Response:
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        name, email, password = form.text("name", 80), form.text("email", 200), form.text("password")
        if said := unfit(visitor, password, form.text("again")):
            return join_page(request, visitor, "join", token, 422, name=name, email=email, notice=said, notice_bad=True)
        try:
            rater = await store.accept(token, name.strip(), email.strip(), password, visitor.words.language)
        except StoreError as error:
            if error.code == "bad-token":
                return join_page(request, visitor, "join", "", 410, usable=False)
            said = visitor.words.find(f"store.{error.code}") or str(error)
            return join_page(request, visitor, "join", token, 422, name=name, email=email, notice=said, notice_bad=True)
        response = site.to("/")
        site.signed_in(response, rater)
        return response

    @routes.get("/reset/{token}")
    async def reset_form(request: Request, token: str) -> Response:
        return join_page(request, await site.visitor(request), "reset", token)

    @routes.post("/reset/{token}")
    async def reset(request: Request, token: str) -> Response:
        visitor = await site.visitor(request)
        form = await site.form(request, visitor)
        password = form.text("password")
        if said := unfit(visitor, password, form.text("again")):
            return join_page(request, visitor, "reset", token, 422, notice=said, notice_bad=True)
        try:
            rater = await store.reset_password(token, password)
        except StoreError as error:
            if error.code == "bad-token":
                return join_page(request, visitor, "reset", "", 410, usable=False)
            said = visitor.words.find(f"store.{error.code}") or str(error)
            return join_page(request, visitor, "reset", token, 422, notice=said, notice_bad=True)
        response = site.to("/")
        site.signed_in(response, rater)
        return response

    return routes


def unfit(visitor: Visitor, password: str, again: str) -> str | None:
    """What is wrong with a new password, in the visitor's language; None if nothing is."""
    if len(password) < PASSWORD_LENGTH:
        return visitor.words("join.short", n=PASSWORD_LENGTH)
    return visitor.words("join.differ") if password != again else None


def address(request: Request) -> str:
    """Whose failures are counted: behind a trusted proxy, the address that it forwards."""
    return request.client.host if request.client else "unknown"
