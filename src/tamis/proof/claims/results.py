"""Runs a claim, keeps what it found, and uses that again while nothing that decides it has changed.

    OUT/NAME/SCALE/result.json    everything that decides the result, and the finding; SCALE-seedN for --seed N
    OUT/NAME/SCALE/*.png          its pictures
    OUT/runs/                     trained models, shared by all claims

What decides: versions of the frame, of what claims share, of training and of the claim; scale, seed, the bytes of a
--data file, and the content of all material that the claim read (`material.noted`). Packages and the number of
processes are recorded, not compared: results do not depend on processes, and a new release of a package is no reason to
throw away an hour; `--again` runs anew. A result is made in a folder of its own, SCALE.partial, and takes the older
one's place when it is whole: a run that is killed or fails leaves the older result as it was. Claims that keep their
trainings in `setting.runs` take them up again; others begin anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tamis.proof.claims import material
from tamis.proof.claims.claim import Claim, Finding, Missing, Setting, Verdict, plain
from tamis.whole import write_atomic

# Bumped when what the frame does to findings or stores of them changes.
FRAME_VERSION = 1
# Bumped when something that several claims share changes their figures: texts, dirt, planted passages, networks, small
# runs, deduplication (`_*.py`, `material`, `proof.small_runs`, `proof.trained_on`).
# 1: as of the first page. Training has a version of its own (`tamis.models.training.VERSION`), which decides too.
SHARED_VERSION = 1
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "mlxtend", "transformers")


@dataclass(frozen=True)
class Result:
    """A claim and what came of it: a finding, or the reason why there is none.

    failed: the reason is a defect of the claim, not something that this machine lacks. made: packages and machine.
    """

    claim: Claim
    scale: str
    seed: int
    finding: Finding | None = None
    not_run: str = ""
    failed: bool = False
    reused: bool = False
    made: Mapping[str, Any] | None = None
    data: str | None = None

    @property
    def said(self) -> str:
        """The word in the table of verdicts."""
        return self.finding.verdict.value if self.finding is not None else "not run"

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": self.claim.name,
            "letter": self.claim.letter,
            "statement": self.claim.statement,
            "source": self.claim.source,
            "rule": self.claim.rule,
            "scale": self.scale,
            "seed": self.seed,
            "data": self.data,
            "verdict": self.said,
        }
        if self.finding is None:
            return body | {"not_run": self.not_run, "failed": self.failed}
        return body | {"finding": self.finding.to_json(), "made": plain(self.made), "reused": self.reused}


def folder(out: Path, one: Claim, setting_label: str) -> Path:
    return out / one.name / setting_label


def run(
    one: Claim,
    scale: str | float,
    out: Path,
    *,
    processes: int = 2,
    seed: int = 0,
    data: Path | None = None,
    again: bool = False,
    keep_going: bool = False,
) -> Result:
    """The stored result if it still counts, else a new one. With keep_going a claim that raises is a Result that says
    so (its traceback goes to standard error); without, the error goes on. What is missing is always a Result."""
    setting = Setting(scale, out, out / "runs", processes, seed, data)
    place = folder(out, one, setting.folder)
    making = place.with_name(f"{place.name}.partial")
    setting = replace(setting, out=making)
    known = Result(one, setting.label, seed, data=data.name if data is not None else None)
    if not again:
        stored = load(one, out, setting.label, seed)
        if stored is not None and _counts(place, _decides(one, setting), data):
            return replace(stored, reused=True)
    lacking = one.missing()
    if lacking:
        return replace(known, not_run="; ".join(lacking))
    if making.exists():
        shutil.rmtree(making)  # of a run that was killed
    making.mkdir(parents=True)
    before = _cpu()
    with material.noted() as notes:
        try:
            decides = _decides(one, setting)
            finding = one.run(setting)
            _check(one, finding, making)
        except Missing as error:
            shutil.rmtree(making)
            return replace(known, not_run=str(error))
        except Exception as error:
            shutil.rmtree(making)
            if not keep_going:
                raise
            traceback.print_exc()
            return replace(known, not_run=f"{type(error).__name__}: {error}", failed=True)
    if finding.cpu_seconds is None:
        finding = replace(finding, cpu_seconds=round(_cpu() - before, 1))
    finding = _tiny(one, finding) if setting.tiny else finding
    made = {"python": platform.python_version(), "machine": _machine(), "packages": _packages()}
    body = {"decides": decides, "material": notes, "made": made, "finding": finding.to_json()}
    write_atomic(making / "result.json", json.dumps(plain(body), indent=1, ensure_ascii=False) + "\n")
    _swap(making, place)
    finding = replace(finding, pictures=[place / picture.name for picture in finding.pictures])
    return replace(known, finding=finding, made=made)


def _swap(making: Path, place: Path) -> None:
    """The whole new folder for the whole old one: at no moment parts of both."""
    old = place.with_name(f"{place.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if place.exists():
        place.rename(old)
    making.rename(place)
    if old.exists():
        shutil.rmtree(old)


def load(one: Claim, out: Path, label: str, seed: int = 0) -> Result | None:
    """What is stored, whether or not it still counts; None where there is nothing, or of another version."""
    place = folder(out, one, Setting(label, out, out, seed=seed).folder)
    try:
        body = json.loads((place / "result.json").read_text(encoding="utf-8"))
        decides = body["decides"]
        versions = _versions(one)
        if versions["training"] is None:
            del versions["training"]  # without torch nothing is trained anew: what is stored can still be shown
        if any(decides[name] != version for name, version in versions.items()):
            return None
        finding = Finding.from_json(body["finding"], place)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if not all(path.is_file() for path in finding.pictures):
        return None
    return Result(one, label, decides["seed"], finding, made=body["made"], data=(decides["data"] or {}).get("name"))


def _decides(one: Claim, setting: Setting) -> dict[str, Any]:
    data = None
    if setting.data is not None:
        if not setting.data.is_file():
            raise Missing(f"--data {setting.data}: no such file")
        with setting.data.open("rb") as opened:
            data = {"name": setting.data.name, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}
    return _versions(one) | {
        "scale": setting.label,
        "seed": setting.seed,
        "data": data,
    }


def _versions(one: Claim) -> dict[str, Any]:
    """Of all code that decides. training: None for a claim that asks for no torch, and where there is none."""
    training: int | None = None
    if "torch" in one.asks and find_spec("torch") is not None:
        from tamis.models.training import VERSION

        training = VERSION
    return {
        "frame": FRAME_VERSION,
        "shared": SHARED_VERSION,
        "training": training,
        "claim": one.name,
        "version": one.version,
    }


def _counts(place: Path, decides: dict[str, Any], data: Path | None) -> bool:
    body = json.loads((place / "result.json").read_text(encoding="utf-8"))
    return bool(body["decides"] == decides and material.unchanged(body["material"], data))


def _check(one: Claim, finding: Finding, place: Path) -> None:
    """A finding that could mislead is a defect of the claim."""
    for picture in finding.pictures:
        if picture.parent != place or picture.suffix != ".png" or not picture.is_file():
            raise ValueError(f"claim {one.name}: picture {picture.name} is no PNG in setting.out")
    if finding.verdict is not Verdict.NOT_SHOWN and not finding.figures:
        raise ValueError(f"claim {one.name}: a verdict needs figures")
    for figure in finding.figures:
        if (figure.low is None or figure.high is None) and not figure.note:
            raise ValueError(f"claim {one.name}: figure `{figure.name}` has no interval and no note that says why")
        if figure.low is not None and figure.high is not None and not figure.low <= figure.high:
            raise ValueError(f"claim {one.name}: figure `{figure.name}` has the interval upside down")


def _tiny(one: Claim, finding: Finding) -> Finding:
    """Tiny only shows that the experiment runs, whatever it saw."""
    said = f"a tiny run shows only that the experiment works; it saw: {finding.because}"
    return replace(finding, verdict=Verdict.NOT_SHOWN, because=said)


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> str:
    """The processor in words, without a host's name."""
    name = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores"
