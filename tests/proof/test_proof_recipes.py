"""The recipes raw.yaml and curated.yaml make corpora of these names in one workspace, which differ in judging alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from tamis import running
from tamis.proof.trained_on import TrainedOn
from tamis.recipe import load
from tamis.sources.machine import machine_crawl

EXAMPLES = Path(__file__).parents[2] / "examples" / "proof"


def test_both_recipes_run_into_one_workspace(tmp_path):
    machine_crawl(tmp_path / "crawl" / "machine.warc.gz", pages={"python": 60})
    for name in ("raw", "curated"):
        path = Path(shutil.copy(EXAMPLES / f"{name}.yaml", tmp_path))
        running.run_recipe(load(path), tmp_path / "W", running.make_engine("local", 1), label=path.name)
    texts = {}
    for name in ("raw", "curated"):
        one = TrainedOn(tmp_path / "W", name)
        assert one.corpus is not None, "a corpus of that name comes before the raw documents"
        texts[name] = {
            i: t for ids, found in one.batches() for i, t in zip(ids.to_pylist(), found.to_pylist(), strict=True)
        }
    assert len(texts["raw"]) == 60
    assert 0 < len(texts["curated"]) < 60
    kept = texts["curated"]
    assert set(kept) < set(texts["raw"])
    # the presets also strike lines out
    assert all(len(text) <= len(texts["raw"][name]) for name, text in kept.items())
