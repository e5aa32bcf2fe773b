"""What receipts and what-if need to find in a workspace: a small protocol, and a plain folder that fulfils it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from tamis.signals.extra import ExtraGroup
from tamis.verdicts.election import Strength
from tamis.verdicts.rules import RuleSet, dumps


class Reader(Protocol):
    """One corpus of one workspace. Paths may be asked for before they exist; None says that nobody made the file."""

    @property
    def corpus(self) -> str:
        """The name of the corpus."""

    @property
    def recipe(self) -> str:
        """How a person would name the recipe, for example `web.yaml (5d1e)`."""

    @property
    def shards(self) -> int: ...

    @property
    def rules(self) -> RuleSet:
        """The rules that the verdicts were made with."""

    @property
    def strength(self) -> Strength:
        """Which edges the verdicts took for duplicates."""

    def documents(self, shard: int) -> Path: ...

    def signals(self, group: str, shard: int) -> Path | None: ...

    def edits(self, group: str, shard: int) -> Path | None: ...

    def edit_groups(self) -> list[str]:
        """The edit groups that make the final text: `clean`, then the recipe's trims, in order."""

    def last_edit_groups(self) -> list[str]:
        """Those that only the written corpus shows, such as masks, in order."""

    @property
    def extras(self) -> Mapping[str, ExtraGroup]:
        """The recipe's own signal groups by name."""

    def mask(self, shard: int) -> Path: ...

    def verdicts(self, shard: int) -> Path: ...

    def duplicates(self) -> Path: ...

    def edges(self) -> list[Path]: ...


class Folder:
    """A workspace laid out as DESIGN has it, without manifests: for tests and benchmarks.

    `corpora/NAME/` holds `rules.json`, `masks/`, `verdicts/` and `duplicates.parquet`; edges are in `dedup/edges/`.
    """

    def __init__(self, path: Path | str, corpus: str = "main") -> None:
        self.path = Path(path)
        self.corpus = corpus
        self.recipe = f"{corpus} (a folder)"

    @property
    def shards(self) -> int:
        return len(list((self.path / "documents").glob("*.parquet")))

    @property
    def rules(self) -> RuleSet:
        return RuleSet.from_json(json.loads((self._home / "rules.json").read_text())["rules"])

    @property
    def strength(self) -> Strength:
        return Strength(**json.loads((self._home / "rules.json").read_text())["strength"])

    def decide(self, rules: RuleSet, strength: Strength) -> None:
        """Writes down by what the verdicts are made."""
        self._home.mkdir(parents=True, exist_ok=True)
        body = {"rules": json.loads(dumps(rules)), "strength": asdict(strength)}
        (self._home / "rules.json").write_text(json.dumps(body, indent=1, sort_keys=True))

    def documents(self, shard: int) -> Path:
        return self.path / "documents" / f"{shard:05d}.parquet"

    def signals(self, group: str, shard: int) -> Path | None:
        return _there(self.path / "signals" / group / f"{shard:05d}.parquet")

    def edits(self, group: str, shard: int) -> Path | None:
        return _there(self.path / "edits" / group / f"{shard:05d}.parquet")

    def edit_groups(self) -> list[str]:
        found = {item.name for item in (self.path / "edits").glob("*")}
        return [name for name in ("clean", *self.rules.trims) if name in found]

    def last_edit_groups(self) -> list[str]:
        return []

    @property
    def extras(self) -> Mapping[str, ExtraGroup]:
        return {}

    def mask(self, shard: int) -> Path:
        return self._home / "masks" / f"{shard:05d}.parquet"

    def verdicts(self, shard: int) -> Path:
        return self._home / "verdicts" / f"{shard:05d}.parquet"

    def duplicates(self) -> Path:
        return self._home / "duplicates.parquet"

    def edges(self) -> list[Path]:
        return sorted((self.path / "dedup" / "edges").glob("*.parquet"))

    @property
    def _home(self) -> Path:
        return self.path / "corpora" / self.corpus


def _there(path: Path) -> Path | None:
    return path if path.exists() else None
