"""The groups of trained models: columns, nulls, keys, evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tamis.quality import dsir, linear, perplexity
from tamis.quality.modelfile import NotAModel
from tamis.quality.reading import Texts
from tamis.signals import importance, quality
from tamis.signals import perplexity as perplexities
from tamis.signals.batch import Batch
from tamis.signals.task import measure

TEXTS = ["the sun and the moon", None, "buy cheap loans now\nthe sun", "—"]


def write(path: Path, lines: list[str]) -> Texts:
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return Texts((str(path),))


def model(path: Path, seed: int = 0) -> str:
    settings = linear.Settings(buckets=256)
    weights = np.random.default_rng(seed).normal(size=256).astype(np.float32)
    linear.Linear(weights, 0.1, 1.5, 0.2, 2, linear.about(settings, 0.1, (1.5, 0.2))).save(path)
    return str(path)


def with_ids(batch: Batch, ids: list[str]) -> Batch:
    return Batch(batch.documents.append_column("id", pa.array(ids)), batch.edits)


def test_quality(tmp_path: Path, batch: Callable[..., Batch]) -> None:
    paths = {"edu": model(tmp_path / "edu.quality"), "b": model(tmp_path / "b.quality", 1)}
    (extra,) = quality.extra_groups(paths)
    assert json.loads(json.dumps(extra.to_json())) == extra.to_json()
    group = extra.group
    assert (group.name, [c.name for c in group.columns]) == ("quality", ["edu", "b"])
    found = group.compute(batch(TEXTS), {})
    scores = linear.load(paths["edu"]).scores(pa.array([TEXTS[0], TEXTS[2]]))
    assert found["edu"].to_pylist() == [scores[0], None, scores[1], None]
    (harm,) = quality.extra_groups(paths, "harm")
    assert harm.group.name == "harm"
    assert harm.folder() != extra.folder()
    before = extra.folder()
    paths["b"] = model(tmp_path / "b.quality", 2)
    assert quality.extra_groups(paths)[0].folder() != before
    assert quality.extra_groups({}) == []


def test_a_model_with_the_same_weights_and_another_calibration_is_another(tmp_path: Path) -> None:
    path = model(tmp_path / "a.quality")
    (before,) = quality.extra_groups({"a": path})
    old = linear.load(path)
    about = linear.about(linear.Settings(buckets=256), 0.1, (1.5, 3.0))
    linear.Linear(np.array(old.weights), 0.1, 1.5, 3.0, 2, about).save(path)
    (after,) = quality.extra_groups({"a": path})
    assert after.folder() != before.folder()
    with pytest.raises(NotAModel, match="has changed since the run began"):
        before.findings("the sun")
    assert after.findings("the sun") == after.findings("the sun")


def test_a_damaged_model_is_an_error_even_on_few_documents(tmp_path: Path, batch: Callable[..., Batch]) -> None:
    """Null is for documents: a file that cannot be used stops the run, though the batch is too small for a verdict."""
    path = Path(model(tmp_path / "a.quality"))
    (extra,) = quality.extra_groups({"a": str(path)})
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    linear.load.cache_clear()
    with pytest.raises(NotAModel, match="damaged"):
        measure(extra.group, batch(TEXTS), {}, {})


def test_a_truncated_arpa_file_is_damaged(tmp_path: Path) -> None:
    texts = write(tmp_path / "t.jsonl", [" ".join(f"w{i * k % 97}" for i in range(40)) for k in range(1, 60)])
    path = tmp_path / "m.arpa.gz"
    perplexity.train(texts, path, 3)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(NotAModel, match=r"m\.arpa\.gz is damaged"):
        perplexity.load(str(path))
    path.write_bytes(b"no gzip")
    with pytest.raises(NotAModel, match=r"m\.arpa\.gz is damaged"):
        perplexities.extra_groups({"x": str(path)})


def test_quality_evidence_is_lines_in_bytes(tmp_path: Path) -> None:
    (extra,) = quality.extra_groups({"edu": model(tmp_path / "edu.quality")})
    text = "Über die Sonne\n\nbuy cheap loans now\nder Mond"
    for found in extra.findings(text):
        piece = text.encode()[found.start : found.end].decode()
        assert piece in text.split("\n")
        assert found.signal == "quality.edu"
    assert extra.findings("") == []


def test_perplexity(tmp_path: Path, batch: Callable[..., Batch]) -> None:
    texts = write(tmp_path / "t.jsonl", ["the sun and the moon", "the moon and the stars", "a sun"] * 3)
    perplexity.train(texts, tmp_path / "m.arpa", 2, reference=texts)
    (extra,) = perplexities.extra_groups({"sky": str(tmp_path / "m.arpa")})
    found = extra.group.compute(batch(TEXTS), {})
    values = found["sky"].to_pylist()
    assert values[0] < values[2]
    assert (values[1], values[3]) == (None, None)
    assert found["sky_bucket"].to_pylist()[1::2] == [None, None]
    assert found["sky_bucket"][2].as_py() == "tail"
    text = (tmp_path / "m.arpa").read_text()
    (tmp_path / "m.arpa").write_text(text.replace("-", "-1", 1))
    perplexity.load.cache_clear()
    with pytest.raises(NotAModel, match="has changed since the run began"):
        extra.group.compute(batch(TEXTS), {})
    (tmp_path / "m.arpa").write_text(text)
    (worst, *_) = extra.findings(str(TEXTS[2]))
    assert str(TEXTS[2]).encode()[worst.start : worst.end] == b"buy cheap loans now"


def test_importance(tmp_path: Path, batch: Callable[..., Batch]) -> None:
    sky, bank = ["the sun and the moon"] * 3, ["buy cheap loans now"] * 3
    dsir.save(dsir.train(write(tmp_path / "t", sky), write(tmp_path / "r", bank)), tmp_path / "m.dsir")
    (extra,) = importance.extra_groups({"sky": str(tmp_path / "m.dsir")}, 17)
    ids = [f"{i:032x}" for i in range(4)]
    whole = with_ids(batch(TEXTS), ids)
    found = extra.group.compute(whole, {})
    assert found["sky"][0].as_py() > 0 > found["sky"][2].as_py() - 5
    assert found["sky"].null_count == found["sky_key"].null_count == 2
    key = found["sky_key"][2].as_py()
    assert key - found["sky"][2].as_py() == pytest.approx(dsir.noise([ids[2]], 17, "sky")[0])
    assert extra.group.compute(whole.slice(2, 3), {})["sky_key"].to_pylist() == [key]
    assert importance.extra_groups({"sky": str(tmp_path / "m.dsir")}, 18)[0].folder() != extra.folder()


def test_files_of_another_kind_are_refused_before_the_run(tmp_path: Path) -> None:
    path = model(tmp_path / "a.quality")
    with pytest.raises(NotAModel, match=r"importance\.x needs one of tamis\.dsir"):
        importance.extra_groups({"x": path}, 0)
    (tmp_path / "b.arpa").write_text("nothing")
    with pytest.raises(NotAModel):
        perplexities.extra_groups({"x": str(tmp_path / "b.arpa")})
    with pytest.raises(NotAModel):
        quality.extra_groups({"x": str(tmp_path / "b.arpa")})
    with pytest.raises(FileNotFoundError):
        quality.extra_groups({"x": str(tmp_path / "absent")})
