"""What stands around every request: response headers, a bound on bodies, sessions, and tokens in forms.

Pure ASGI: the framework's own middleware class costs a task and a queue a request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tamis.web.settings import WebSettings

COOKIE = "tamis_session"
# Nothing is loaded but our own files; forms go home only; no page may frame ours.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
]


class Headers:
    """Adds the security headers to every response, also to errors, and forbids caching of what is no static file."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._headers = list(_HEADERS)
        if settings.https:
            self._headers.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        static = "/static/" in scope["path"]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = [*message.get("headers", []), *self._headers]
                if not static:
                    headers.append((b"cache-control", b"no-store"))
            await send(message)

        await self._app(scope, receive, sending)


class BodyLimit:
    """Refuses a request whose body is longer than the settings say, before anything reads it all."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app, self._most = app, settings.body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            await _refuse(send)
            return
        seen = 0
        began = False

        async def receiving() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise _TooLong
            return message

        async def sending(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receiving, sending)
        except _TooLong:
            if not began:
                await _refuse(send)


class _TooLong(Exception):
    pass


async def _refuse(send: Send) -> None:
    body = b'{"detail":"the request is too long"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Session:
    """What the signed cookie carries: a random name for the visit, the account (None before sign-in) and the version
    of the account's sessions, which a password reset raises so that older cookies die."""

    name: str
    account: int | None = None
    version: int = 0


class Sessions:
    """Reads and writes session cookies, and the form tokens that belong to them. Nothing is stored on the server."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._signer = URLSafeTimedSerializer(settings.secret, salt="tamis.session", signer_kwargs=_SIGNER)

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None where there is none, it is old, or it is not ours."""
        if not cookie:
            return None
        try:
            name, account, version = self._signer.loads(cookie, max_age=int(self._settings.session_hours * 3600))
        except (BadSignature, ValueError, TypeError):
            return None
        return Session(name, account, version)

    def write(self, session: Session) -> str:
        signed = self._signer.dumps([session.name, session.account, session.version])
        return signed if isinstance(signed, str) else signed.decode()

    def new(self, account: int | None = None, version: int = 0) -> Session:
        """A session under a fresh name: at sign-in too, so that a planted cookie is worth nothing."""
        return Session(secrets.token_urlsafe(18), account, version)

    def token(self, session: Session) -> str:
        """The form token: bound to the session's name, so it needs no memory and dies with the session."""
        return hmac.new(self._settings.secret, f"form {session.name}".encode(), hashlib.sha256).hexdigest()

    def same(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(self.token(session).encode(), token.encode("utf-8", "surrogatepass"))

    def cookie(self, session: Session) -> dict[str, Any]:
        """Arguments of `Response.set_cookie`."""
        return {
            "key": COOKIE,
            "value": self.write(session),
            "max_age": int(self._settings.session_hours * 3600),
            "path": f"{self._settings.root_path}/",
            "httponly": True,
            "samesite": "lax",
            "secure": self._settings.https,
        }


_SIGNER = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}


def cross_site(headers: Any, host: str) -> bool:
    """Whether a browser says that another site sent this request (Sec-Fetch-Site, else Origin). No header, no browser
    with a victim behind it: the token alone decides."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != host
