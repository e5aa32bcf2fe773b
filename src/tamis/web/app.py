"""The application: pages and the JSON API over one store. `serve` runs it in one process."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from importlib.resources import as_file, files

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import tamis
from tamis.people.answers import BadAnswer
from tamis.people.store import Store, StoreError
from tamis.people.task import LabelTask
from tamis.web.forms import BadForm
from tamis.web.pages import accounts, adjudication, api, labelling, mine, owner, people
from tamis.web.security import POLICY, BodyLimit, Headers
from tamis.web.settings import WebSettings
from tamis.web.site import Refused, SignedOut, Site

log = logging.getLogger("tamis.web")
# HTTP status of what a store refuses.
STATUS = {
    "unknown": 404, "forbidden": 403, "blocked": 403, "not-open": 409, "bad-token": 410, "other-email": 422,
    "taken": 409, "password": 422, "wait": 429, "sign-in": 401, "no-undo": 409, "busy": 503,
}  # fmt: skip


def create_app(store: Store, task: LabelTask, settings: WebSettings | None = None) -> FastAPI:
    """The pages of a task over its store. Without settings: the store's own secret and plain HTTP."""
    site = Site(store, task, settings or WebSettings(secret=store.secret))
    app = FastAPI(
        title="Tamis labelling",
        version=tamis.__version__,
        summary="Give answers to the examples of one labelling task.",
        openapi_url="/api/openapi.json",
        # The documentation pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        servers=[{"url": site.settings.root_path or "/"}],
    )
    # Routes are tried in order: those of the most requests first.
    for routes in (api, labelling, accounts, mine, owner, people, adjudication):
        app.include_router(routes.router(site))
    with as_file(files("tamis.web") / "static") as folder:
        app.mount("/static", _Static(directory=folder), name="static")
    _handlers(app, site)
    app.add_middleware(BodyLimit, settings=site.settings)
    app.add_middleware(Headers, settings=site.settings)
    return app


def serve(store: Store, task: LabelTask, host: str, port: int, settings: WebSettings | None = None) -> None:
    """Runs the server until it is told to stop. One process: the store's writer lives in it."""
    import uvicorn

    settings = settings or WebSettings(secret=store.secret)
    uvicorn.run(
        create_app(store, task, settings),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=",".join(settings.trusted_proxies),
        timeout_keep_alive=75,
    )


class _Static(StaticFiles):
    """Our own files; their addresses carry a version, so a browser may keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


def _handlers(app: FastAPI, site: Site) -> None:
    """What becomes of errors: a page for people, JSON for programs, and never a traceback."""
    Handler = Callable[[Request, Exception], Awaitable[Response]]

    def on(kind: type[Exception]) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            app.add_exception_handler(kind, handler)
            return handler

        return add

    @on(SignedOut)
    async def signed_out(request: Request, error: Exception) -> Response:
        if _program(request):
            return _json(401, "signed-out", "sign in first")
        if request.headers.get("x-fragment"):
            return HTMLResponse("", 401)
        return RedirectResponse(f"{site.settings.root_path}/sign-in", 303)

    @on(Refused)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        if _program(request):
            return _json(error.status, error.key.partition(".")[2], site.words(request)(error.key))
        return await _message(site, request, error.status, "", error.key)

    @on(StoreError)
    async def store_said_no(request: Request, error: Exception) -> Response:
        assert isinstance(error, StoreError)
        status = STATUS.get(error.code, 400)
        response: Response
        if _program(request):
            response = _json(status, error.code, str(error))
        else:
            response = await _message(site, request, status, str(error), f"store.{error.code}")
        if status == 429:
            response.headers["retry-after"] = str(max(1, round(getattr(error, "seconds", None) or 1)))
        return response

    @on(BadAnswer)
    async def bad_answer(request: Request, error: Exception) -> Response:
        if _program(request):
            return _json(422, "answer", str(error))
        return await _message(site, request, 422, str(error), "refused.form")

    @on(BadForm)
    async def bad_form(request: Request, error: Exception) -> Response:
        return await _message(site, request, 400, str(error), "refused.form")

    @on(RequestValidationError)
    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if not _program(request):
            return await _message(site, request, 404, "", "refused.nothing")
        # Only where and what: the value itself may hold what JSON cannot.
        detail = [{"loc": [str(part) for part in one["loc"]], "msg": one["msg"]} for one in error.errors()[:20]]
        return JSONResponse(
            {"code": "invalid", "message": "the request does not fit the document", "detail": detail}, 422
        )

    @on(HTTPException)
    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if _program(request):
            return _json(error.status_code, "http", str(error.detail), error.headers)
        return await _message(site, request, error.status_code, "", "refused.nothing")

    @on(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        if _program(request):
            return _json(500, "defect", "the server failed; its log says why")
        # This answer leaves outside of the middleware that adds the headers to all others.
        page = "<!doctype html><title>500</title><p>The server failed; its log says why. 服务器出错。"
        return HTMLResponse(page, 500, {"content-security-policy": POLICY, "x-content-type-options": "nosniff"})


def _program(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _json(status: int, code: str, message: str, headers: object = None) -> JSONResponse:
    response = JSONResponse({"code": code, "message": message}, status)
    if isinstance(headers, dict):
        response.headers.update(headers)
    return response


async def _message(site: Site, request: Request, status: int, text: str, key: str) -> Response:
    """A page with one sentence: the catalogue's, else the text."""
    visitor = await site.visitor(request)
    t = visitor.words
    return site.page(
        request,
        visitor,
        "message.html",
        status,
        title=t("refused.title"),
        text=t.find(key) if not text or (t.language != "en" and t.find(key)) else text,
        link="/",
        link_name=t("refused.back"),
    )
