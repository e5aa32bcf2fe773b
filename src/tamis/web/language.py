"""The interface's languages: one catalogue file each under `messages/`, chosen by a cookie or by Accept-Language."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from tamis.people.answers import BadAnswer

# Code in the cookie and in <html lang>, and the name that its speakers read in the switch.
LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> Mapping[str, str]:
    """Every message of the interface by its key."""
    messages: dict[str, str] = json.loads((files("tamis.web") / "messages" / f"{language}.json").read_text("utf-8"))
    return messages


def choose(cookie: str | None, accept: str | None, allowed: Sequence[str] = tuple(LANGUAGES)) -> str:
    """The language of a visitor: what was chosen, else the one of Accept-Language (RFC 9110, 12.5.4) that is wanted
    most and allowed, else the first allowed."""
    if cookie in allowed:
        return str(cookie)
    wishes: list[tuple[float, int, str]] = []
    for at, part in enumerate((accept or "").split(",")[:20]):
        tag, _, parameters = part.strip().partition(";")
        quality = 1.0
        if parameters.strip().startswith("q="):
            try:
                quality = float(parameters.strip()[2:])
            except ValueError:
                quality = 0.0
        primary = tag.strip().lower().split("-")[0]
        if primary in allowed and quality > 0:
            wishes.append((-quality, at, primary))
    return min(wishes)[2] if wishes else allowed[0]


class Words:
    """The messages of one language: `words("progress.done", done=3)`. A missing key is a defect and raises KeyError."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._messages = catalogue(language)

    def __call__(self, key: str, **values: Any) -> str:
        message = self._messages[key]
        return message.format(**values) if values else message

    def find(self, key: str) -> str | None:
        """The message, or None where there is none."""
        return self._messages.get(key)

    def refusal(self, error: BadAnswer) -> str:
        """What is wrong with an answer."""
        if not error.key:
            return str(error)
        values = {k: self.refusal(v) if isinstance(v, BadAnswer) else v for k, v in error.values.items()}
        return self(f"bad.{error.key}", **values)

    def minutes(self, seconds: float) -> str:
        """A stretch of time as people say it: `about 4 min`, `1 h 10 min`."""
        minutes = max(1, round(seconds / 60))
        if minutes < 60:
            return self("time.minutes", n=minutes)
        return self("time.hours", h=minutes // 60, n=minutes % 60)
