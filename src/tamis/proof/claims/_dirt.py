"""Dirt as extraction leaves it, for machines without real raw pages: stated kinds at a stated share.

Menus, cookie notices and footers that repeat on every page of a site, markup that was not taken out, text read in the
wrong encoding, and pages given twice. The words of menus come from the documents themselves.
"""

from __future__ import annotations

import html
import re

import numpy as np

from tamis.proof.claims.material import Documents

PAGES_OF_A_SITE = 6
AGAIN = " again"  # what the name of a copy ends with
# What each kind gets of the dirt. Copies are whole pages, dirt included.
SHARES = {"boilerplate": 0.5, "markup": 0.25, "encoding": 0.1, "copies": 0.15}

_NOTICE = (
    "We use cookies to make this site work and to improve your visit. Accept all | Reject | Settings",
    "Skip to main content", "Sign in | Register | Help", "Search this site", "Share | Print | Save",
    "Subscribe to our newsletter", "Previous | Next | Up", "Back to top", "All rights reserved. Terms | Privacy",
    "Loading ...", "Read more", "Home >",
)  # fmt: skip
_TAGS = (
    '<div class="col-md-{n} {word}">', "</div></div>", '<a href="/{word}/{n}?ref=nav">', "&nbsp;&nbsp;|&nbsp;",
    '<img src="/static/{word}-{n}.png" alt="">', "{{{{ {word}.title }}}}", "[{word}](#{word}-{n})", "&lt;br /&gt;",
    "function(){{return window.{word}({n})}}", ".{word}{{margin:{n}px;display:none}}",
)  # fmt: skip


def dirty(docs: Documents, share: float, seed: int) -> Documents:
    """The documents with dirt in them: about `share` of all characters are not of the clean text."""
    rng = np.random.default_rng(seed)
    made: Documents = []
    menu: list[str] = []
    for place, (name, body) in enumerate(docs):
        if place % PAGES_OF_A_SITE == 0:
            menu = _menu(body, rng)
        added = len(body) * share / (1 - share)
        page = _marked_up(body, added * SHARES["markup"], rng)
        page = _misread(page, SHARES["encoding"] * share, rng)
        made.append((name, _framed(page, added * SHARES["boilerplate"], menu, rng)))
    copies = round(len(made) * SHARES["copies"] * share / (1 - share))
    again = [made[int(i)] for i in rng.integers(0, len(made), copies)]
    every = made + [(f"{name}{AGAIN}", body) for name, body in again]
    return [every[int(i)] for i in rng.permutation(len(every))]


def _menu(body: str, rng: np.random.Generator) -> list[str]:
    words = sorted(set(re.findall(r"\b[A-Za-z]{4,12}\b", body))) or ["home"]
    picked = [words[int(i)].capitalize() for i in rng.integers(0, len(words), 12)]
    return [*picked, *[_NOTICE[int(i)] for i in rng.permutation(len(_NOTICE))[:8]]]


def _framed(body: str, characters: float, menu: list[str], rng: np.random.Generator) -> str:
    """Boilerplate above and below, the same lines in the same order on all pages of a site."""
    lines: list[str] = []
    while sum(map(len, lines)) < characters:
        lines += menu
    cut = 2 * len(lines) // 3
    return "\n".join([*lines[:cut], body, *lines[cut:]])


def _marked_up(body: str, characters: float, rng: np.random.Generator) -> str:
    words = re.findall(r"\b[a-z]{3,9}\b", body)[:200] or ["item"]
    lines = body.split("\n")
    added = 0
    while added < characters:
        tag = _TAGS[int(rng.integers(len(_TAGS)))]
        mark = tag.format(n=int(rng.integers(1, 13)), word=words[int(rng.integers(len(words)))])
        at = int(rng.integers(len(lines)))
        lines[at] = f"{mark} {lines[at]}" if rng.random() < 0.5 else f"{lines[at]} {mark}"
        added += len(mark) + 1
    return "\n".join(lines)


def _misread(body: str, share: float, rng: np.random.Generator) -> str:
    """Some paragraphs as UTF-8 read as Latin-1, or escaped twice; their quotes are curly, as on the web."""
    lines = body.split("\n")
    for at in np.flatnonzero(rng.random(len(lines)) < share):
        curly = lines[at].replace("'", "\u2019").replace(" - ", " \u2013 ").replace('"', "\u201d")
        wrong = curly.encode("utf-8", "replace").decode("latin-1")
        lines[at] = wrong if rng.random() < 0.7 else html.escape(html.escape(curly))
    return "\n".join(lines)
