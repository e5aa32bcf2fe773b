"""Opening and listing files by path or fsspec URL."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from tamis.sources.records import SourceError

MAGIC = ("*", "?", "[")


def is_local(path: str) -> bool:
    """Whether the path is one of this machine, with or without `file://`."""
    return "://" not in path or path.startswith("file://")


def local(path: str) -> str:
    return path.removeprefix("file://")


@contextmanager
def opened(path: str, options: Mapping[str, Any] | None = None) -> Iterator[BinaryIO]:
    """The stored bytes of a file, closed on leaving. Raises SourceError where the file is gone."""
    try:
        if is_local(path):
            file: BinaryIO = open(local(path), "rb")  # noqa: SIM115 (closed below)
        else:
            file_system, name = _file_system(path, options)
            file = file_system.open(name, "rb")
    except FileNotFoundError as error:
        raise SourceError(f"{path} is gone: it was there when the run was planned; run again to plan anew") from error
    except (IsADirectoryError, PermissionError) as error:
        raise SourceError(f"{path} cannot be opened: {error}") from error
    with file:
        yield file


def describe(path: str, options: Mapping[str, Any] | None = None) -> tuple[int, str]:
    """Stored bytes (-1 if unknown) and the time or tag of the last change, without reading the file."""
    if is_local(path):
        found = os.stat(local(path))
        return found.st_size, str(found.st_mtime_ns)
    file_system, name = _file_system(path, options)
    info = file_system.info(name)
    changed = [str(info[key]) for key in ("ETag", "etag", "LastModified", "mtime", "updated", "created") if key in info]
    return _size(info), " ".join(changed)


def matches(pattern: str, options: Mapping[str, Any] | None = None) -> tuple[str, list[tuple[str, int]], bool]:
    """Files behind a path, folder or glob.

    Returns the base to which names are relative, sorted (path, stored bytes or -1 if unknown), and whether the
    pattern was a folder. Hidden files and folders below a folder are left out.
    """
    if is_local(pattern):
        return _local_matches(local(pattern))
    file_system, name = _file_system(pattern, options)
    protocol = pattern.split("://", 1)[0]

    def url(found: str) -> str:
        return found if "://" in found else f"{protocol}://{found.lstrip('/')}"

    if any(mark in name for mark in MAGIC) and protocol not in ("http", "https"):
        found = file_system.glob(name, detail=True)
        base = url(_fixed_base(name))
        return base, sorted((url(k), _size(v)) for k, v in found.items() if v["type"] == "file"), False
    try:
        info = file_system.info(name)
    except FileNotFoundError:
        return pattern, [], False
    if info["type"] == "directory":
        found = file_system.find(name, detail=True)
        files = [(url(k), _size(v)) for k, v in found.items()]
        base = url(name.rstrip("/"))
        return base, sorted(f for f in files if not _hidden(f[0][len(base) :])), True
    return pattern.rsplit("/", 1)[0], [(pattern, _size(info))], False


def _file_system(path: str, options: Mapping[str, Any] | None) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        file_system, name = url_to_fs(path, **dict(options or {}))
    except (ImportError, ValueError) as error:
        raise SourceError(f"{path} cannot be opened: {error}") from error
    return file_system, name


def _local_matches(pattern: str) -> tuple[str, list[tuple[str, int]], bool]:
    if os.path.isfile(pattern):
        return os.path.dirname(pattern), [(pattern, os.path.getsize(pattern))], False
    if os.path.isdir(pattern):
        files: list[tuple[str, int]] = []
        for folder, folders, names in os.walk(pattern):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in names:
                path = os.path.join(folder, name)
                if not name.startswith(".") and os.path.isfile(path):
                    files.append((path, os.path.getsize(path)))
        return pattern.rstrip("/") or "/", sorted(files), True
    found = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
    return _fixed_base(pattern), sorted((path, os.path.getsize(path)) for path in found), False


def _fixed_base(pattern: str) -> str:
    """The longest leading folder of a glob without wildcards."""
    parts = pattern.split("/")
    fixed = [index for index, part in enumerate(parts) if any(mark in part for mark in MAGIC)]
    return "/".join(parts[: fixed[0]] if fixed else parts[:-1])


def _hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))


def _size(info: Mapping[str, Any]) -> int:
    size = info.get("size")
    return int(size) if size is not None else -1
