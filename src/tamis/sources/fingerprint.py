"""What tells that a raw file is another one than before, without reading it."""

from __future__ import annotations

import hashlib

from tamis.sources.opening import describe
from tamis.sources.records import Split


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
