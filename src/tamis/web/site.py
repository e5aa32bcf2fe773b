"""What every page needs: who visits, in which language, and how a page is made."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from tamis.corpus.inert import visible
from tamis.people.store import Rater, Store
from tamis.people.task import LabelTask, in_language
from tamis.web.desk import ARROW_SIGNS, Desks
from tamis.web.forms import BadForm, Form, read_form
from tamis.web.language import LANGUAGES, Words, choose
from tamis.web.security import COOKIE, Session, Sessions, cross_site
from tamis.web.settings import WebSettings

LANGUAGE_COOKIE = "tamis_language"
MOST_ACCOUNTS = 10_000


class SignedOut(Exception):
    """The page is for people who are signed in."""


class Refused(Exception):
    """The request is not allowed: a wrong form token, another site, or a role that the page is not for."""

    def __init__(self, key: str, status: int = 403) -> None:
        super().__init__(key)
        self.key, self.status = key, status


@dataclass(frozen=True)
class Visitor:
    """Who asks: a session (perhaps a new one), the account behind it if signed in, and the language."""

    session: Session
    fresh: bool
    rater: Rater | None
    words: Words

    @property
    def me(self) -> Rater:
        """The account. Raises SignedOut."""
        if self.rater is None:
            raise SignedOut
        return self.rater

    def needs(self, *roles: str) -> Rater:
        """The account, if it has one of the roles. Raises SignedOut or Refused."""
        if self.me.role not in roles:
            raise Refused("refused.role")
        return self.me


class Site:
    """The store, the task and the settings, and pages made of them."""

    def __init__(self, store: Store, task: LabelTask, settings: WebSettings) -> None:
        self.store, self.task, self.settings = store, task, settings
        self.sessions = Sessions(settings)
        self.desks = Desks(task, settings.secret, settings.shown_characters)
        self._accounts: dict[int, tuple[float, Rater | None]] = {}
        self.pages = Environment(
            loader=PackageLoader("tamis.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.pages.filters |= {"when": _when, "short_json": _short_json, "inert": visible}

    async def visitor(self, request: Request, seconds: float = 0.0) -> Visitor:
        """Reads the cookie and looks up the account; writes nothing. The account may be `seconds` old: what it may
        do, the store checks by itself."""
        session = self.sessions.read(request.cookies.get(COOKIE))
        fresh = session is None
        rater = None
        if session is None:
            session = self.sessions.new()
        elif session.account is not None:
            rater = await self._account(session.account, seconds)
            if rater is None or rater.version != session.version or rater.state in ("left", "erased"):
                # A reset password or a closed account ends every session of it.
                session, rater, fresh = self.sessions.new(), None, True
        return Visitor(session, fresh, rater, self.words(request, rater))

    async def _account(self, number: int, seconds: float) -> Rater | None:
        now = time.monotonic()
        at, rater = self._accounts.get(number, (0.0, None))
        if rater is None or now - at > seconds:
            rater = await self.store.a.rater(number)
            if len(self._accounts) > MOST_ACCOUNTS:
                self._accounts.clear()
            self._accounts[number] = (now, rater)
        return rater

    def words(self, request: Request, rater: Rater | None = None) -> Words:
        """The catalogue for a request: the switch, else the account's language, else the browser's."""
        allowed = self.task.languages
        cookie = request.cookies.get(LANGUAGE_COOKIE) or (rater.language if rater else None)
        language = choose(cookie, request.headers.get("accept-language"), tuple(allowed))
        return Words(language)

    async def form(self, request: Request, visitor: Visitor) -> Form:
        """The form of a request that may change something. Raises BadForm, or Refused without the right token."""
        form = await read_form(request)
        self.guard(request, visitor, form.get("csrf"))
        return form

    def guard(self, request: Request, visitor: Visitor, token: str | None) -> None:
        """Raises Refused unless the request comes from our own pages."""
        host = request.headers.get("host", "")
        if cross_site(request.headers, host) or not token or not self.sessions.same(visitor.session, token):
            raise Refused("refused.token")

    @cached_property
    def version(self) -> str:
        """Of the static files, for their addresses: they are cached for a year."""
        digest = hashlib.sha256()
        for file in sorted((files("tamis.web") / "static").iterdir(), key=lambda one: one.name):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:10]

    def render(self, request: Request, visitor: Visitor, template: str, **values: Any) -> str:
        """A page as text."""
        t = visitor.words
        path = request.url.path
        common: Mapping[str, Any] = {
            "t": t,
            "root": self.settings.root_path,
            "version": self.version,
            "languages": {code: name for code, name in LANGUAGES.items() if code in self.task.languages},
            "csrf": self.sessions.token(visitor.session),
            "me": visitor.rater,
            "task": self.task,
            "task_name": in_language(self.task.title, t.language, self.task.name),
            "here": "",
            "here_path": path if request.method == "GET" else "/",
            "notice": None,
            "notice_bad": False,
            "notice_kind": "",
            "works": False,
            "arrow_signs": ARROW_SIGNS,
        }
        return self.pages.get_template(template).render({**common, **values})

    def page(self, request: Request, visitor: Visitor, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        response = HTMLResponse(self.render(request, visitor, template, **values), status)
        return self.keep(response, visitor)

    def keep(self, response: HTMLResponse, visitor: Visitor) -> HTMLResponse:
        """Gives a visitor without a session one, so that forms can have tokens."""
        if visitor.fresh:
            response.set_cookie(**self.sessions.cookie(visitor.session))
        return response

    def to(self, path: str) -> RedirectResponse:
        """A redirect after a form, within this site."""
        return RedirectResponse(f"{self.settings.root_path}{path}", status_code=303)

    def signed_in(self, response: Response, rater: Rater) -> None:
        response.set_cookie(**self.sessions.cookie(self.sessions.new(rater.id, rater.version)))


def _when(at: float) -> str:
    """A time as people read it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def _short_json(body: Any) -> str:
    text = visible(json.dumps(body, ensure_ascii=False))
    return text if len(text) <= 200 else text[:199] + "…"


def local(path: str | None) -> str:
    """A path of this site as given by a form; "/" for anything that could lead elsewhere."""
    if not path or not path.startswith("/") or path.startswith("//") or "\\" in path or not path.isprintable():
        return "/"
    return path


__all__ = ["LANGUAGE_COOKIE", "BadForm", "Form", "Refused", "SignedOut", "Site", "Visitor", "local"]
