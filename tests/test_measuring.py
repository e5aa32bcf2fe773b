"""What is measured again when a file of a recipe changes: that and nothing else. Corpora side by side keep theirs."""

import json

import numpy as np
import pytest

from tamis.engine import Inline
from tamis.pipeline import Pipeline
from tamis.quality import dsir, linear, perplexity
from tamis.quality.reading import Texts
from tamis.recipe import parse, rooted
from tamis.workspace import Progress, Workspace

RECIPE = """\
name: NAME
extend: [mine.py]
sources: [{name: rows, path: rows.jsonl}]
signals:
  quality: {q: m.quality}
  perplexity: {p: p.arpa}
  importance: {d: d.dsir}
  words: {w: {path: words.txt}}
decontaminate: {sets: [{name: s, path: items.jsonl}]}
rules: {use: [PRESET], set: {q: quality.q >= 0}}
dedup: {exact: false, minhash: null}
tokens: null
"""


class Ran(Progress):
    """The stages that had something to do, without the digests of their folders."""

    def __init__(self):
        self.stages = []

    def begin(self, stage, tasks, reused):
        if tasks > reused:
            self.stages.append("/".join(part.split("@")[0] for part in stage.split("/")))


@pytest.fixture
def place(tmp_path):
    rows = [{"text": f"the river and the stone of page {i} " * 5} for i in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "words.txt").write_text("stone\n")
    item = "what is the name of the large river that flows through the old town in the far north"
    (tmp_path / "items.jsonl").write_text(json.dumps({"id": "a", "text": item}) + "\n")
    model(tmp_path, 0)
    ngrams(tmp_path, 2)
    weights(tmp_path, 64)
    own(tmp_path, 1)
    return tmp_path


def model(folder, seed):
    weights_ = np.random.default_rng(seed).normal(size=256).astype(np.float32)
    about = linear.about(linear.Settings(buckets=256), 0.1, (1.5, 0.2))
    linear.Linear(weights_, 0.1, 1.5, 0.2, 2, about).save(folder / "m.quality")


def ngrams(folder, order):
    perplexity.train(Texts((str(folder / "rows.jsonl"),)), folder / "p.arpa", order)


def weights(folder, buckets):
    texts = Texts((str(folder / "rows.jsonl"),))
    dsir.save(dsir.train(texts, texts, buckets=buckets), folder / "d.dsir")


def own(folder, version):
    lines = ["from tamis.extend import signal"]
    for name, number in (("own", version), ("other", 1)):
        lines += [f"@signal('{name}.n', version={number})", f"def {name}(text: str) -> int: return {number}"]
    (folder / "mine.py").write_text("\n".join(lines) + "\n")


def run(folder, name="main", preset="gopher@paper"):
    ran = Ran()
    recipe = rooted(parse(RECIPE.replace("NAME", name).replace("PRESET", preset)), folder)
    Pipeline(recipe, Workspace(folder / "work", create=True), Inline(), ran).run()
    return ran.stages


def test_a_changed_file_is_measured_again_and_only_that(place):
    run(place)
    assert run(place) == []
    model(place, 1)
    decided = ["corpora/main/rules", "corpora/main/elect", "corpora/main/verdicts"]
    assert run(place) == ["signals/quality", *decided]  # a rule reads it
    (place / "words.txt").write_text("stone\nriver\n")
    assert run(place) == ["signals/harm"]
    ngrams(place, 3)
    assert run(place) == ["signals/perplexity"]
    weights(place, 32)
    assert run(place) == ["signals/importance"]
    own(place, 2)
    assert run(place) == ["signals/own"]
    (place / "items.jsonl").write_text((place / "items.jsonl").read_text() * 2)
    (*prepared, last) = run(place)
    assert last == "signals/eval"
    assert all(stage.startswith("decontaminate/") for stage in prepared)


def test_corpora_with_other_rules_and_models_do_not_undo_each_other(place):
    run(place)
    model(place, 1)
    ran = run(place, "other", "c4@arxiv-v1")
    assert "signals/quality" in ran
    assert "signals/harm" not in ran  # as the first corpus has it
    model(place, 0)
    assert run(place) == []
    model(place, 1)
    assert run(place, "other", "c4@arxiv-v1") == []
