"""Tamis's side of `benchmarks/corpus.py`: the product's own stages with all their outputs. Prints one JSON object.

    python ours.py web|web+dedup WARM_FOLDER INPUT_FOLDER
    python ours.py signals|dialects|pii|sketch WARM.parquet DOCUMENTS.parquet

`web` is a run of a recipe, tokens left out, on one spawned worker; driver and worker are both measured, and the
worker is warm, as a peer's process is. The others are one task each over one shard: it is read with its checksums
verified, measured, and written. `dialects` measures what datatrove's own rules ask, `pii` makes masks.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tree import Window

from tamis import kernels
from tamis.clean.extra import extra_edits_task
from tamis.clean.pii import extra_edits
from tamis.dedup.sketch import sketch_task
from tamis.engine import Engine, InlineContext, Local
from tamis.pipeline import Pipeline
from tamis.recipe import Pii, Recipe
from tamis.signals import GROUPS as REGISTRY
from tamis.signals.extra import extra_task, of_registry
from tamis.signals.task import signals_task
from tamis.workspace import Workspace

# The rules of the peer's pipeline: Gopher, C4's lines and page rules, FineWeb. fineweb@v1 asks for C4's line filter.
RULES = {
    "use": ["gopher@paper", "fineweb@v1"],
    "set": {"sentences": "final.sentences >= 3", "curly": "text.curly = 0"},
}
DEDUP = {"exact": True, "minhash": {}, "guard": {"max_removed": 1.0, "max_cluster": 1.0}}
GROUPS = ("text", "repetition", "final")  # what the rules of Gopher and FineWeb read


def web(folder: Path, work: Path, engine: Engine, dedup: bool) -> dict[str, int]:
    recipe = Recipe.model_validate(
        {
            "name": "benchmark",
            "sources": [{"name": "crawl", "path": f"{folder.absolute()}/*.warc.gz"}],
            "rules": RULES,
            "dedup": DEDUP if dedup else {"exact": False, "minhash": None},
            "tokens": None,
        }
    )
    outcome = Pipeline(recipe, Workspace(work, create=True), engine).run()
    return {"pages": outcome.documents, "kept": outcome.kept}


def stage(job: str, shard: Path, folder: Path) -> dict[str, int]:
    folder.mkdir()
    if job == "signals":
        outputs = [folder / f"{name}.parquet" for name in GROUPS]
        said = signals_task(InlineContext(), {"groups": list(GROUPS)}, [shard], outputs)
    elif job == "dialects":
        dialect = of_registry(REGISTRY["datatrove"]).to_json()
        said = extra_task(InlineContext(), {"extra": dialect}, [shard], [folder / "datatrove.parquet"])
    elif job == "pii":
        masks = extra_edits(Pii(mask=("email", "ip"))).to_json()
        said = extra_edits_task(InlineContext(), {"extra": masks, "edits": 0}, [shard], [folder / "pii.parquet"])
    else:
        params: dict[str, Any] = {"exact": True, "minhash": {"bands": 14, "rows": 8, "ngram": 5}}
        said = sketch_task(InlineContext(), params, [shard], [folder / "sketch.parquet"])
    return {"documents": said["out"]}


def main() -> None:
    job, warm, given = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="tamis-benchmark-") as made:
        folder = Path(made)
        if job in ("web", "web+dedup"):
            with Local(1) as engine:
                web(warm, folder / "warm", engine, job == "web+dedup")
                with Window() as window:
                    counts = web(given, folder / "work", engine, job == "web+dedup")
        elif job in ("signals", "dialects", "pii", "sketch"):
            stage(job, warm, folder / "warm")
            with Window() as window:
                counts = stage(job, given, folder / "work")
        else:
            sys.exit(f"unknown job {job}: there are web, web+dedup, signals, dialects, pii, sketch")
    print(json.dumps({"cpu": window.cpu, "wall": window.wall, "kernels": kernels.describe(), **counts}))


if __name__ == "__main__":
    main()
