"""Finds claims by walking this folder: a module that holds a function under `@claim`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tamis.proof import claims
from tamis.proof.claims.claim import BadClaim, Claim, claim_of

FRAME = {"claim", "material", "page", "registry", "results"}


def find(files: Sequence[Path] = ()) -> tuple[list[Claim], dict[str, str]]:
    """All claims by letter, then name, with those of `files`; and modules that cannot be imported, with the reason.

    A broken file is no reason to hide the other claims, nor may it be passed over in silence: callers show it.
    Raises BadClaim where two claims have one name, or a file is none.
    """
    found: dict[str, Claim] = {}
    broken: dict[str, str] = {}
    names = sorted(module.name for module in pkgutil.iter_modules(claims.__path__))
    for name in names:
        if name in FRAME or name.startswith("_"):
            continue
        try:
            module = importlib.import_module(f"{claims.__name__}.{name}")
        except Exception as error:
            broken[name] = f"{type(error).__name__}: {error}"
            continue
        _collect(vars(module), found, name)
    for file in files:
        _collect(vars(_load(file)), found, str(file))
    return sorted(found.values(), key=lambda one: (one.letter, one.name)), broken


def _collect(members: dict[str, object], found: dict[str, Claim], where: str) -> None:
    # A claim that one file imports from another is listed once.
    for thing in members.values():
        one = claim_of(thing)
        if one is None:
            continue
        if found.setdefault(one.name, one).run is not one.run:
            raise BadClaim(f"{where}: there is a claim `{one.name}` already")


def _load(file: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"tamis_claim_{file.stem}", file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise BadClaim(f"--file {file}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadClaim(f"--file {file}: {type(error).__name__}: {error}") from error
    if not any(claim_of(thing) for thing in vars(module).values()):
        raise BadClaim(f"--file {file}: holds no function under @claim")
    return module
