"""Three extensions: a signal, an edit and a source. The recipe beside this file uses them all."""

import mailbox
import re
from collections.abc import Iterator
from pathlib import Path

from tamis.extend import edit, signal, source


@signal("style.questions", unit="share of sentences", version=1)
def questions(text: str) -> float | None:
    """Sentences that end in a question mark."""
    ends = re.findall(r"[.!?]+(?=\s|$)", text)
    return sum("?" in end for end in ends) / len(ends) if ends else None


@edit("signatures", version=1)
def signatures(text: str) -> Iterator[tuple[int, int, str]]:
    """Takes out what stands below the line of two dashes that mail programs put before a signature."""
    found = re.search(r"^-- $", text, re.MULTILINE)
    if found:
        yield found.start(), len(text), ""


@source("mbox", version=1)
def mbox(path: Path) -> Iterator[dict[str, object]]:
    """Letters of a mailbox file, one document each."""
    for letter in mailbox.mbox(path, create=False):
        body = letter.get_payload(decode=True)
        if isinstance(body, bytes):
            yield {"text": body.decode("utf-8", "replace"), "date": letter["date"], "subject": letter["subject"]}
