"""The file of a model: one line of JSON that says everything about it, then its arrays.

The line names format, version, the digest of the arrays and each array with type, shape and place, beside whatever
the model's room writes: training data with digests, settings, metrics, licence. Arrays are little-endian, begin at
multiples of 64 bytes and are mapped, not read: workers of one machine share them. `head -1 FILE` shows the line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import WrongUse

ALIGN = 64
Arrays = Mapping[str, npt.NDArray[Any]]


class NotAModel(ValueError, WrongUse):
    """A file that is no model of the kind asked for, or is damaged."""


@dataclass(frozen=True)
class ModelFile:
    """`header` as written; `arrays` map the file; `identity` as of `identity`."""

    header: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    identity: str


def write_model(path: Path | str, format: str, version: int, about: Mapping[str, Any], arrays: Arrays) -> None:
    """Writes a model whole or not at all; the same model gives the same bytes."""
    path = Path(path)
    places, at, digest, pieces = [], 0, hashlib.blake2b(digest_size=16), []
    for name, values in arrays.items():
        data = np.ascontiguousarray(values)
        data = data.astype(data.dtype.newbyteorder("<"), copy=False)
        places.append({"name": name, "dtype": data.dtype.str, "shape": list(data.shape), "offset": at})
        padded = data.tobytes() + bytes(-data.nbytes % ALIGN)
        digest.update(padded)
        pieces.append(padded)
        at += len(padded)
    header = {"format": format, "version": version, "digest": digest.hexdigest(), **about, "arrays": places}
    line = json.dumps(header, ensure_ascii=False).encode()
    line += b" " * (-(len(line) + 1) % ALIGN) + b"\n"
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(line)
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_header(path: Path | str) -> dict[str, Any]:
    """The line of a model. Raises NotAModel for any other file."""
    with Path(path).open("rb") as file:
        if file.read(1) != b"{":
            raise NotAModel(f"{path} is no model of Tamis: it does not begin with a line of JSON")
        file.seek(0)
        line = file.readline()
    try:
        header = json.loads(line)
        whole = {"format", "version", "arrays", "digest"} <= set(header)
    except ValueError:
        whole = False
    if not whole:
        raise NotAModel(f"{path} is no model of Tamis: its first line does not describe one")
    return {**header, "_begins": len(line)}


def identity(path: Path | str) -> str:
    """What tells a model from any other: a hash of its first line, which holds the digest of the arrays and all else
    that decides a score (bias, calibration, n-grams)."""
    with Path(path).open("rb") as file:
        return hashlib.blake2b(file.readline(), digest_size=16).hexdigest()


def read_model(path: Path | str, format: str, versions: tuple[int, ...]) -> ModelFile:
    """Maps a model of one format and verifies its digest. Raises NotAModel naming what is wrong."""
    path = Path(path)
    header = read_header(path)
    if header["format"] != format:
        raise NotAModel(f"{path} is a model of {header['format']}, not of {format}")
    if header["version"] not in versions:
        raise NotAModel(f"{path} has version {header['version']} of {format}; this Tamis reads {versions}")
    begins = header.pop("_begins")
    mapped = np.memmap(path, np.uint8, "r", begins)
    if hashlib.blake2b(mapped.data, digest_size=16).hexdigest() != header["digest"]:
        raise NotAModel(f"{path} is damaged: its arrays do not have the digest {header['digest']}")
    arrays = {}
    for place in header["arrays"]:
        kind = np.dtype(place["dtype"])
        size = int(np.prod(place["shape"], dtype=np.int64)) * kind.itemsize
        piece = mapped[place["offset"] : place["offset"] + size]
        arrays[place["name"]] = np.asarray(piece).view(kind).reshape(place["shape"])
    return ModelFile(header, arrays, identity(path))
