"""A client of endpoints that speak OpenAI's chat protocol: time limits, retries with back-off, a rate limit.

The key is read from the environment and goes nowhere else. Redirects are not followed: they would take it along.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tamis.errors import SaidNo

if TYPE_CHECKING:
    import httpx

Message = dict[str, str]
AGAIN = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
LONGEST_WAIT = 60.0  # seconds, whatever the server asks for
LARGEST = 4 << 20  # bytes of an answer


class EndpointError(RuntimeError, SaidNo):
    """The endpoint does not answer as it should, and asking again would not help."""


@dataclass(frozen=True)
class Reply:
    """What a model answered. Tokens are None where the endpoint does not count them."""

    text: str
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


Ask = Callable[[Sequence[Message]], Reply]


@dataclass(frozen=True)
class Endpoint:
    """Where the model is. url: up to and with `/v1`. key: the name of the environment variable that holds the key.
    timeout: seconds of one try; retries: tries after the first; per_minute: requests, None for no limit."""

    url: str
    model: str
    key: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    retries: int = 5
    per_minute: float | None = None
    temperature: float = 0.0
    max_tokens: int = 512
    backoff: float = 1.0  # seconds before the first retry, doubled each time


class Client:
    """Asks an endpoint; safe to use from several threads. A context manager."""

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None] = time.sleep) -> None:
        import httpx

        if not endpoint.url.startswith(("http://", "https://")):
            raise EndpointError(f"{endpoint.url} is no endpoint: give a URL such as http://127.0.0.1:8000/v1")
        self.endpoint = endpoint
        self.retried = 0
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self._jitter = random.Random(17)
        key = os.environ.get(endpoint.key, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(timeout=endpoint.timeout, headers=headers, follow_redirects=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, messages: Sequence[Message]) -> Reply:
        """The first choice's text. Raises EndpointError when the endpoint refuses, or after the last retry."""
        import httpx

        endpoint = self.endpoint
        body = {
            "model": endpoint.model,
            "messages": list(messages),
            "temperature": endpoint.temperature,
            "max_tokens": endpoint.max_tokens,
        }
        url = endpoint.url.rstrip("/") + "/chat/completions"
        problem = ""
        for attempt in range(endpoint.retries + 1):
            self._pace()
            started = time.monotonic()
            wanted: float | None = None
            try:
                response = self._http.post(url, json=body)
            except (httpx.TimeoutException, httpx.TransportError) as error:
                problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            else:
                if response.status_code == 200:
                    return _reply(response, time.monotonic() - started, url)
                problem = f"status {response.status_code}: {response.text[:200]}"
                if response.status_code not in AGAIN:
                    raise EndpointError(f"{url} refuses: {problem}{_hint(response.status_code, endpoint)}")
                wanted = _seconds(response.headers.get("retry-after"))
            if attempt < endpoint.retries:
                with self._lock:
                    self.retried += 1
                    jitter = self._jitter.uniform(0.5, 1.0)
                wait = endpoint.backoff * 2**attempt * jitter if wanted is None else wanted
                self._sleep(min(wait, LONGEST_WAIT))
        tries = f"{endpoint.retries + 1} tries" if endpoint.retries else "one try"
        raise EndpointError(f"{url} did not answer in {tries}; the last: {problem}")

    def _pace(self) -> None:
        """Waits for this request's turn."""
        if self.endpoint.per_minute is None:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 60.0 / self.endpoint.per_minute
        if turn > now:
            self._sleep(turn - now)


def local(model: str, max_tokens: int = 512) -> Ask:
    """A model of `transformers` on this machine: a folder, or a name in its cache. Greedy, so the same prompt gives the
    same answer. Raises EndpointError where the package is not installed."""
    import importlib

    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError:
        raise EndpointError("a local model needs the package transformers: pip install transformers") from None
    generate = transformers.pipeline("text-generation", model=model)

    def ask(messages: Sequence[Message]) -> Reply:
        started = time.monotonic()
        made = generate(list(messages), max_new_tokens=max_tokens, do_sample=False, return_full_text=False)
        return Reply(str(made[0]["generated_text"]), time.monotonic() - started)

    return ask


def _reply(response: httpx.Response, seconds: float, url: str) -> Reply:
    if len(response.content) > LARGEST:
        raise EndpointError(f"{url} answered with {len(response.content):,} bytes: that is no rating")
    try:
        body: Any = response.json()
        text = body["choices"][0]["message"]["content"]
        usage = body.get("usage") or {}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise EndpointError(f"{url} does not speak the chat protocol: {response.text[:200]}") from None
    return Reply(text or "", seconds, usage.get("prompt_tokens"), usage.get("completion_tokens"))


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None


def _hint(status: int, endpoint: Endpoint) -> str:
    if status in (401, 403):
        found = "is set, but not accepted" if os.environ.get(endpoint.key) else "is not set"
        return f"\n  The key comes from the environment variable {endpoint.key}, which {found}."
    if status == 404:
        return f"\n  Is {endpoint.model!r} the model's name, and does the URL end in /v1?"
    return ""
