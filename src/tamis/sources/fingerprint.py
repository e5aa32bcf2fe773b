"""What tells that a raw file is another one than before, without reading it."""

from __future__ import annotations

import hashlib

from tamis.sources.opening import describe
from tamis.sources.records import SourceError, Split


def fingerprint(split: Split) -> str:
    """32 hexadecimal digits over the size and the time or tag of change of every file of a split.

    A file that was touched but not changed is read again; one that was changed within the clock's grain and kept its
    size is not noticed. Raises FileNotFoundError.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path, relative in split.files or ((split.path, split.relative),):
        known = describe(path, split.options)
        digest.update(repr((relative, *known)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def require_unchanged(split: Split, known: str, when: str) -> None:
    """Raises SourceError where the files of a split are gone or are not those that `known` is the fingerprint of."""
    files = f"{split.path} and {len(split.files) - 1} more" if len(split.files) > 1 else split.path
    try:
        changed = fingerprint(split) != known
    except FileNotFoundError as error:
        raise SourceError(f"{files}: {error.filename or split.path} is gone {when}; run again to plan anew") from error
    if changed:
        raise SourceError(f"{files} changed {when}, so its records could be of either state: run again to read it anew")
