"""How the server stands to the world around it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WebSettings:
    """`secret` signs cookies and form tokens: at least 32 bytes, the same at every start, kept with the database.

    `https` marks cookies Secure; set it behind a proxy that speaks TLS. `root_path` is the prefix that a proxy strips.
    `trusted_proxies` are the addresses whose X-Forwarded-For and X-Forwarded-Proto are believed. `body_bytes` bounds a
    request, `shown_characters` what one block of an example shows before the rest is a link.
    """

    secret: bytes
    https: bool = False
    root_path: str = ""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)
    session_hours: float = 12.0
    body_bytes: int = 16_000_000
    shown_characters: int = 40_000

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise ValueError("the secret that signs sessions needs at least 32 bytes: make one with os.urandom(32)")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ValueError(f"root path {self.root_path!r} must begin with a slash and end without one: /label")
