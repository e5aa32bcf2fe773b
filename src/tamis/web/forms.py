"""Forms as browsers send them: urlencoded, UTF-8, small in number of fields. No files are ever uploaded."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

MOST_FIELDS = 12_000


class BadForm(ValueError):
    """A request body that is no form."""


class Form:
    """Fields of a form, in order."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def get(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self._fields if key == name), None)

    def text(self, name: str, most: int = 1_000) -> str:
        """The value, "" where there is none. Raises BadForm where it is longer than `most`."""
        value = self.get(name) or ""
        if len(value) > most:
            raise BadForm(f"field {name} is too long")
        return value

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._fields if key == name]

    def number(self, name: str) -> float | None:
        """A finite number that is not negative; None for anything else."""
        try:
            value = float(self.get(name) or "")
        except ValueError:
            return None
        return value if 0 <= value < 1e9 else None


async def read_form(request: Request) -> Form:
    """The form in a request. Raises BadForm."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadForm("a form is sent as application/x-www-form-urlencoded")
    body = await request.body()
    try:
        text = body.decode("ascii")
        return Form(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise BadForm(f"the form cannot be read: {error}") from None
