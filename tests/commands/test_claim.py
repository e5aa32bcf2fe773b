"""`tamis claim` for real: all claims at tiny in a subprocess, the page, what is wrong said with an exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tamis.cli import app
from tamis.proof.claims import registry

Require = Callable[[object, str], None]

# Claims that may be missing where there is no folder of real data: none, since every one makes do with what any
# machine has.
NEED_DATA: set[str] = set()

OWN = """
from tamis.proof.claims.claim import Figure, Finding, Missing, Setting, Verdict, claim

@claim("own", letter="z", statement="One is one.", source="Peano", rule="holds if one is one")
def own(setting: Setting) -> Finding:
    return Finding(Verdict.HOLDS, "1 = 1", {"seed": setting.seed}, [Figure("one", 1, 1, 1, "", 1, 1)], 1)

@claim("lacking", letter="y", statement="Two is two.", source="Peano", rule="holds if two is two")
def lacking(setting: Setting) -> Finding:
    raise Missing("two is not here")

@claim("broken", letter="x", statement="Three is three.", source="Peano", rule="holds if three is three")
def broken(setting: Setting) -> Finding:
    raise ArithmeticError("three is none")
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


@pytest.mark.timeout(1800)  # a minute or two of processor, on a machine that may be shared
def test_all_claims_run_tiny_and_say_that_nothing_is_shown(tmp_path: Path, require: Require) -> None:
    for package in ("torch", "sklearn", "matplotlib"):
        require(find_spec(package), f"{package} is not installed")
    page = tmp_path / "docs" / "claims.md"
    # One process at once: each imports torch anew, which at tiny costs more than the experiments do.
    command = [sys.executable, "-m", "tamis", "claim", "--all", "--scale", "tiny", "--json", "--processes", "1"]
    command += ["--out", str(tmp_path / "out"), "--page", str(page)]
    # Without the folder of real data, as on anybody's machine.
    environment = {name: value for name, value in os.environ.items() if name != "TAMIS_DATA"}
    environment["OMP_NUM_THREADS"] = "1"  # threads that wait for each other spin
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    claims, _ = registry.find()
    assert [one["name"] for one in found["results"]] == [one.name for one in claims]
    body = page.read_text()
    for one in found["results"]:
        assert one["verdict"] in ("not shown here", "not run"), one["name"]
        if one["verdict"] == "not run":
            assert one["name"] in NEED_DATA, one["not_run"]
            assert not one["failed"]
        else:
            assert one["finding"]["figures"], one["name"]
            assert one["finding"]["pictures"], one["name"]
        assert f"## ({one['letter']}) {one['name']}" in body
    linked = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", body)
    assert len(linked) >= len([one for one in found["results"] if one["verdict"] == "not shown here"])
    for name in linked:
        assert (page.parent / name).read_bytes()[:4] == b"\x89PNG", name
    assert str(tmp_path) not in body

    stored = subprocess.run([*command, "--stored"], capture_output=True, text=True, env=environment, check=False)
    assert stored.returncode == 0, stored.stderr
    assert [one["verdict"] for one in json.loads(stored.stdout)["results"]] == [
        one["verdict"] for one in found["results"]
    ]
    if all(one["verdict"] != "not run" for one in found["results"]):
        assert page.read_text() == body


def test_a_tiny_page_never_takes_the_place_of_a_real_one(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry.pkgutil, "iter_modules", lambda path: [])  # no claims but those of one's own
    (tmp_path / "fine.py").write_text(OWN.partition('@claim("lacking"')[0])
    asked = ["claim", "--all", "--file", "fine.py", "--out", "out"]
    for scale, written in (("tiny", "out/claims.md"), ("small", "docs/claims.md"), ("2", "docs/claims.md")):
        done = CliRunner().invoke(app, [*asked, "--scale", scale])
        assert done.exit_code == 0, done.output
        assert f"page     {written}" in done.stdout
        pages = sorted(path.name for path in tmp_path.glob("*/claims.md"))
        assert len(pages) == (1 if scale == "tiny" else 2)
    assert "**Not shown here**" in (tmp_path / "out" / "claims.md").read_text()
    assert "**Holds**" in (tmp_path / "docs" / "claims.md").read_text()
    seeded = CliRunner().invoke(app, [*asked, "--seed", "3", "--page", "seeded.md"])
    assert seeded.exit_code == 0, seeded.output
    assert sorted(path.name for path in (tmp_path / "out" / "own").iterdir()) == ["small", "small-seed3", "tiny", "x2"]


def test_without_a_name_claims_are_listed(own: Path) -> None:
    done = CliRunner().invoke(app, ["claim", "--file", str(own), "--json"])
    assert done.exit_code == 0
    listed = {one["name"]: one for one in json.loads(done.stdout)["claims"]}
    assert {"own", "lacking", "noisy-labels"} <= listed.keys()
    assert listed["own"]["rule"] == "holds if one is one"


def test_one_claim_prints_what_it_found(own: Path, tmp_path: Path) -> None:
    asked = ["claim", "own", "--file", str(own), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "verdict  HOLDS: 1 = 1" in done.stdout
    assert "rule     holds if one is one" in done.stdout
    assert not (tmp_path / "out" / "claims.md").exists()
    assert "stored" in CliRunner().invoke(app, asked).stdout
    assert "verdict  HOLDS" in CliRunner().invoke(app, [*asked, "--stored"]).stdout
    tiny = CliRunner().invoke(app, [*asked, "--scale", "tiny", "--page", str(tmp_path / "tiny.md")])
    assert "verdict  NOT SHOWN HERE" in tiny.stdout
    assert "**Not shown here**" in (tmp_path / "tiny.md").read_text()


def test_what_cannot_run_is_said(own: Path, tmp_path: Path) -> None:
    asked = ["claim", "--file", str(own), "--out", str(tmp_path / "out")]
    lacking = CliRunner().invoke(app, [*asked, "lacking"])
    assert lacking.exit_code == 1
    assert "lacking: two is not here" in lacking.output
    both = CliRunner().invoke(app, [*asked, "lacking", "own", "--page", str(tmp_path / "page.md")])
    assert both.exit_code == 0
    assert "**Not run**: two is not here." in (tmp_path / "page.md").read_text()
    broken = CliRunner().invoke(app, [*asked, "broken", "own", "--page", str(tmp_path / "page.md")])
    assert broken.exit_code == 1
    assert "ArithmeticError: three is none" in (tmp_path / "page.md").read_text()
    assert "**Holds**" in (tmp_path / "page.md").read_text()
    stored = CliRunner().invoke(app, [*asked, "lacking", "--stored"])
    assert stored.exit_code == 1
    assert "no stored result" in stored.output


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["nothing"], "there is no claim `nothing`"),
        (["own", "--all"], "not both"),
        (["own", "--scale", "huge"], "--scale huge"),
        (["own", "--data", "none.jsonl"], "no such file"),
    ],
)
def test_wrong_use_is_refused(own: Path, tmp_path: Path, more: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["claim", *more, "--file", str(own), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert told in done.output
