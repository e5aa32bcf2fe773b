"""A checkpoint: tensors and a few words in one safetensors file, whole or not there.

It is written to another name in the same folder, synced, and renamed; a hash of all tensors stands in its header, so
a flipped bit is found where safetensors itself would read it as a number.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tamis.errors import SaidNo


class CheckpointError(OSError, SaidNo):
    """A checkpoint cannot be written, or what is read is damaged."""


def save(path: Path, tensors: dict[str, Tensor], words: dict[str, Any]) -> None:
    """Writes `path`, replacing it at once. Raises CheckpointError where there is no room; what was there stays."""
    kept = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    header = {"tamis": json.dumps(words, sort_keys=True), "digest": _digest(kept)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(kept, str(partial), header)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be written: {error}. The checkpoint before it is whole; make room and run the same "
            "command again to go on from there."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes what writers that were killed left half written. For whoever alone writes to the folder."""
    for partial in folder.glob(".*.tmp"):
        partial.unlink(missing_ok=True)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save` was given. Raises CheckpointError where the file is damaged, FileNotFoundError where it is not."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    mend = f"Remove it to train again from the beginning: rm {path}"
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}. {mend}") from error
    if "tamis" not in header or header.get("digest") != _digest(tensors):
        raise CheckpointError(f"{path} is damaged: its tensors are not those that were written. {mend}")
    return tensors, json.loads(header["tamis"])


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        found.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
