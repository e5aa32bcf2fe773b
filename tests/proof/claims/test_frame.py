"""The frame of claims: what it enforces, keeps, uses again, and writes."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.proof.claims import material, page, registry, results
from tamis.proof.claims.claim import (
    BadClaim,
    Claim,
    Figure,
    Finding,
    Missing,
    Setting,
    Table,
    Verdict,
    claim,
    number,
    parse_scale,
)


def _claim(run: Any, **changed: Any) -> Claim:
    given = {"letter": "z", "statement": "A | b <i>.", "source": "nobody", "rule": "as told", "version": 1, "asks": {}}
    return Claim("toy", **(given | changed), run=run)


def _finding(setting: Setting, **changed: Any) -> Finding:
    picture = setting.out / "toy.png"
    picture.write_bytes(b"\x89PNG")
    figures = [Figure("gap", 1.25, 0.5, np.float64(2.0), "bits", 100, 3)]
    given: dict[str, Any] = {
        "verdict": Verdict.HOLDS,
        "because": "1.25 > 0",
        "setting": {"steps": setting.pick(10, 1000), "sizes": [1, 2]},
        "figures": figures,
        "seeds": 3,
        "tables": [Table("Sides", ["side", "bits"], [["left", 1.5], ["right", None]])],
        "pictures": [picture],
    }
    return Finding(**(given | changed))


def test_a_tiny_run_never_shows_anything_and_a_small_one_may(tmp_path: Path) -> None:
    one = _claim(_finding)
    tiny, small = results.run(one, "tiny", tmp_path), results.run(one, "small", tmp_path)
    assert tiny.finding is not None
    assert small.finding is not None
    assert tiny.said == "not shown here"
    assert "1.25 > 0" in tiny.finding.because
    assert small.said == "holds"
    assert small.finding.because == "1.25 > 0"


def test_a_result_is_used_again_until_what_decides_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    texts = tmp_path / "texts.jsonl"

    def write(count: int) -> None:
        texts.write_text(
            "".join(json.dumps({"text": f"{n} words of one document. " * 20}) + "\n" for n in range(count))
        )

    def run(setting: Setting) -> Finding:
        runs.append(setting.label)
        if setting.data:
            material.text(1000, setting.seed, setting.data)
        return _finding(setting)

    write(5)
    ask: dict[str, Any] = {"scale": "small", "out": tmp_path / "out", "data": texts}
    first = results.run(_claim(run), **ask)
    second = results.run(_claim(run), **ask)
    assert not first.reused
    assert second.reused
    assert second.finding is not None
    assert first.finding is not None
    assert second.finding.to_json() == first.finding.to_json()
    assert len(runs) == 1
    results.run(_claim(run, version=2), **ask)
    assert len(runs) == 2
    results.run(_claim(run, version=2), **ask, seed=1)
    assert len(runs) == 3
    write(9)
    results.run(_claim(run, version=2), **ask, seed=1)
    assert len(runs) == 4
    results.run(_claim(run, version=2), **ask, seed=1, again=True)
    assert len(runs) == 5
    results.run(_claim(run, version=2), **ask, seed=1)
    assert len(runs) == 5
    (tmp_path / "out" / "toy" / "small-seed1" / "toy.png").unlink()
    results.run(_claim(run, version=2), **ask, seed=1)
    assert len(runs) == 6
    # What claims share, and training, decide too; no seed takes another's place.
    asks = {"torch": "train"}
    plain = results.load(_claim(run, version=2), tmp_path / "out", "small")
    assert plain is not None
    assert plain.seed == 0
    trained = results.run(_claim(run, version=2, asks=asks), **ask, seed=2) if find_spec("torch") else None
    monkeypatch.setattr(results, "SHARED_VERSION", results.SHARED_VERSION + 1)
    assert results.load(_claim(run, version=2), tmp_path / "out", "small") is None
    monkeypatch.undo()
    if trained is not None:
        from tamis.models import training

        assert results.load(_claim(run, version=2, asks=asks), tmp_path / "out", "small", 2) is not None
        monkeypatch.setattr(training, "VERSION", training.VERSION + 1)
        assert results.load(_claim(run, version=2, asks=asks), tmp_path / "out", "small", 2) is None
        assert results.load(_claim(run, version=2), tmp_path / "out", "small") is not None


def test_a_run_that_fails_leaves_the_older_result(tmp_path: Path) -> None:
    def breaks(setting: Setting) -> Finding:
        _finding(setting)
        (setting.out / "toy.png").write_bytes(b"half")
        raise ZeroDivisionError("by nothing")

    def other(setting: Setting) -> Finding:
        found = _finding(setting, because="2 > 0")
        other = setting.out / "other.png"
        (setting.out / "toy.png").rename(other)
        return replace(found, pictures=[other])

    first = results.run(_claim(_finding), "small", tmp_path)
    with pytest.raises(ZeroDivisionError):
        results.run(_claim(breaks), "small", tmp_path, again=True)
    stored = results.load(_claim(_finding), tmp_path, "small")
    assert stored is not None
    assert first.finding is not None
    assert stored.finding == first.finding
    assert first.finding.pictures[0].read_bytes() == b"\x89PNG"
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["small"]
    # A new result takes the whole place, without the older one's pictures.
    newer = results.run(_claim(other), "small", tmp_path, again=True)
    assert newer.finding is not None
    assert [path.name for path in newer.finding.pictures] == ["other.png"]
    assert sorted(path.name for path in (tmp_path / "toy" / "small").iterdir()) == ["other.png", "result.json"]
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["small"]


def test_material_that_changes_decides_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []

    def run(setting: Setting) -> Finding:
        runs.append(1)
        try:
            material.file("odd/data.bin")
        except Missing:
            return _finding(setting, because="without")
        return _finding(setting, because="with")

    monkeypatch.setenv("TAMIS_DATA", str(tmp_path))
    said = []
    for content in (None, None, b"one", b"one", b"two"):
        if content is not None:
            (tmp_path / "odd").mkdir(exist_ok=True)
            (tmp_path / "odd" / "data.bin").write_bytes(content)
        found = results.run(_claim(run), "small", tmp_path / "out").finding
        assert found is not None
        said.append(found.because)
    assert said == ["without", "without", "with", "with", "with"]
    assert len(runs) == 3


def test_what_is_missing_is_said_and_what_breaks_is_a_defect(tmp_path: Path) -> None:
    def lacks(setting: Setting) -> Finding:
        raise Missing("there is no such data: install it")

    def breaks(setting: Setting) -> Finding:
        raise ZeroDivisionError("by nothing")

    lacking = results.run(_claim(lacks), "small", tmp_path)
    assert (lacking.said, lacking.failed, lacking.not_run) == ("not run", False, "there is no such data: install it")
    package = results.run(_claim(_finding, asks={"no_such_package": "claims"}), "small", tmp_path)
    assert package.not_run == "package `no_such_package` is not installed: pip install 'tamis[claims]'"
    broken = results.run(_claim(breaks), "small", tmp_path, keep_going=True)
    assert (broken.failed, broken.not_run) == (True, "ZeroDivisionError: by nothing")
    with pytest.raises(ZeroDivisionError):
        results.run(_claim(breaks), "small", tmp_path)
    written = page.write([lacking, package, broken], {"other": "SyntaxError: no"}, tmp_path / "page.md").read_text()
    for told in ("install it", "no_such_package", "by nothing", "SyntaxError: no"):
        assert told in written


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"figures": []}, "needs figures"),
        ({"figures": [Figure("x", 1, None, None, "", 1, 1)]}, "no interval and no note"),
        ({"figures": [Figure("x", 1, 2, 0, "", 1, 1)]}, "upside down"),
        ({"pictures": [Path("/elsewhere/x.png")]}, "no PNG"),
    ],
)
def test_a_finding_that_could_mislead_is_refused(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        results.run(_claim(lambda setting: _finding(setting, **changed)), "small", tmp_path)


def test_the_page_shows_everything_and_lets_no_html_through(tmp_path: Path) -> None:
    result = results.run(_claim(_finding), "small", tmp_path / "out")
    old = tmp_path / "images" / "claims" / "gone.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"")
    written = page.write([result], {}, tmp_path / "claims.md")
    body = written.read_text()
    assert "| z | [A \\| b &lt;i>.](#z-toy) | **holds** | 1.25 > 0 | small, 3 |" in body
    assert "| gap | 1.25 | [0.5, 2] | bits | n = 100, 3 seeds |  |" in body
    assert "| left | 1.5 |\n| right | - |" in body
    assert "- sizes: 1, 2" in body
    assert "<i>" not in body
    assert "![toy, picture 1](images/claims/toy.png)" in body
    assert (tmp_path / "images/claims/toy.png").read_bytes() == b"\x89PNG"
    assert not old.exists()
    assert str(tmp_path) not in body
    again = results.load(_claim(_finding), tmp_path / "out", "small")
    assert again is not None
    assert page.write([again], {}, tmp_path / "again.md").read_text() == body


def test_scales() -> None:
    assert [parse_scale(one) for one in ("tiny", "small", "4", "1.5")] == ["tiny", "small", 4.0, 1.5]
    for wrong in ("large", "1", "0.5", "nan", "inf", "-3"):
        with pytest.raises(BadClaim):
            parse_scale(wrong)
    by = {scale: Setting(scale, Path(), Path()) for scale in ("tiny", "small", 4.0)}
    assert [one.pick(10, 100) for one in by.values()] == [10, 100, 400]
    assert [one.pick(10, 100, grows=0.5) for one in by.values()] == [10, 100, 200]
    assert [one.pick(0.5, 0.75) for one in by.values()] == [0.5, 0.75, 3.0]
    assert [one.pick((1,), (1, 2)) for one in by.values()] == [(1,), (1, 2), (1, 2)]
    assert [len(one.seeds(2, 5)) for one in by.values()] == [2, 5, 10]
    assert not set(Setting("small", Path(), Path(), seed=1).seeds(2, 5)) & set(by["small"].seeds(2, 5))


def test_numbers_as_people_read_them() -> None:
    told = [0, 0.12345, 1.23456, 12345.6, 3.0, 1e-9, 2.5e9, None, float("nan")]
    assert [number(one) for one in told] == ["0", "0.123", "1.235", "12,346", "3", "1e-09", "2.5e+09", "-", "-"]


def test_every_claim_is_well_made_and_a_file_of_ones_own_is_found(tmp_path: Path) -> None:
    found, broken = registry.find()
    assert not broken
    assert "noisy-labels" in {one.name for one in found}
    assert len({one.letter for one in found}) == len(found)
    own = tmp_path / "own.py"
    own.write_text(
        "from tamis.proof.claims.claim import claim\n"
        "@claim('own', letter='z', statement='s', source='o', rule='r')\n"
        "def run(setting): raise AssertionError\n"
    )
    with_own, _ = registry.find([own])
    assert [one.name for one in with_own if one not in found] == ["own"]
    own.write_text("x = 1\n")
    with pytest.raises(BadClaim, match="no function under @claim"):
        registry.find([own])
    own.write_text("1 / 0\n")
    with pytest.raises(BadClaim, match="ZeroDivisionError"):
        registry.find([own])


def test_claims_say_what_they_are() -> None:
    with pytest.raises(BadClaim, match="rule is empty"):
        claim("x", letter="x", statement="s", source="o", rule=" ")
    with pytest.raises(BadClaim, match="lower-case"):
        claim("Not so", letter="x", statement="s", source="o", rule="r")
