"""`tamis doctor` on planted damage of each kind: what it says, what it mends, and that the next run makes the rest."""

import json
import random
import shutil

import pytest

from tamis.doctor import describe, examine
from tamis.engine import Inline
from tamis.running import load, run_recipe
from tamis.workspace import Workspace, WorkspaceError

RECIPE = "sources: [{name: rows, path: rows.jsonl}]\nrules: {use: [gopher@paper]}\ntokens: {tokenizer: {vocab: 512}}\n"


def run(folder, work, name):
    return run_recipe(load(folder / name), work, Inline(), label=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A workspace with two corpora, and the folder of its recipes."""
    folder = tmp_path_factory.mktemp("doctor")
    draw = random.Random(5)
    words = ["the", "of", "and", "with", *(f"{a}{b}" for a in ("stone", "river") for b in "abcdefghijklmnopqrst")]
    rows = [{"text": " ".join(draw.choices(words, k=60 + i)) + ".", "url": f"http://a.org/{i}"} for i in range(30)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "main.yaml").write_text(RECIPE)
    (folder / "loose.yaml").write_text("name: loose\n" + RECIPE.replace("{use", "{set: {short: off}, use"))
    for name in ("main.yaml", "loose.yaml"):
        run(folder, folder / "work", name)
    return folder


@pytest.fixture
def work(whole, tmp_path):
    shutil.copytree(whole / "work", tmp_path / "work")
    return tmp_path / "work"


def test_a_whole_workspace_is_whole(work):
    found = examine(work)
    assert (found["damaged"], found["orphans"], found["changed"], found["commands"]) == ([], [], {}, [])
    assert found["files"] > 20
    assert found["bytes"] > 1000
    assert found["free"] > 0
    assert "kernels" in found
    assert "0 damaged or missing" in describe(found)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped": ("documents/00000.parquet", flip, "changed since it was written", ["loose", "main"]),
    "cut": ("signals/text/00000.parquet", lambda p: p.write_bytes(p.read_bytes()[:-9]), "bytes instead of", None),
    "missing": ("corpora/main/verdicts/00000.parquet", lambda p: p.unlink(), "missing", ["main"]),
    "tokens": ("corpora/loose/tokens/00000.bin", flip, "changed since", ["loose"]),
    "manifest": ("_done/dedup/sketch/00000.json", lambda p: p.write_text("{"), "no readable manifest", None),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_and_mended(work, whole, kind):
    name, harm, what, corpora = DAMAGE[kind]
    before = {path: path.read_bytes() for path in (work / "corpora").rglob("*.bin")}
    harm(work / name)
    found = examine(work)
    (entry,) = found["damaged"]
    assert entry["file"] == name
    assert what in entry["what"]
    corpora = corpora or ["loose", "main"]
    assert entry["corpora"] == corpora
    assert found["commands"] == [f"tamis run {corpus}.yaml --work {work}" for corpus in corpora]
    said = describe(found)
    assert name in said
    assert found["commands"][0] in said
    assert examine(work, repair=True)["damaged"] == [entry]
    for corpus in corpora:
        run(whole, work, f"{corpus}.yaml")
    assert examine(work)["damaged"] == []
    assert {path: path.read_bytes() for path in before} == before


def test_what_no_manifest_names_is_found_and_removed_and_nothing_else(work):
    left = ["documents/.00000.parquet.1f2e3d4c.part", "corpora/main/text/00099.parquet", "signals/old/00000.parquet"]
    own = ["labels/mine.csv", "corpora/main/notes.md", "models/a.bin", "models/.mine.part"]
    foreign = ["corpora/main/tokens/junk.txt", "signals/text/mine.csv"]  # where only stages write, but not theirs
    own += foreign
    for name in left + own:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(b"left")
    found = examine(work)
    assert sorted(orphan["file"] for orphan in found["orphans"]) == sorted(left)
    assert found["foreign"] == foreign
    assert "3 files (12 B) that no manifest names: a killed run left them" in describe(found)
    assert "2 files that Tamis did not write, in folders of its own: left alone" in describe(found)
    assert found["damaged"] == []
    assert "were removed" in describe(examine(work, repair=True))
    assert not any((work / name).exists() for name in left)
    assert all((work / name).exists() for name in own)


def test_another_version_is_said(work):
    index = json.loads((work / "tamis.json").read_text())
    index["corpora"]["main"]["versions"]["ftfy"] = "0.1"
    (work / "tamis.json").write_text(json.dumps(index))
    found = examine(work)
    assert found["changed"]["ftfy"][0] == "0.1"
    assert "0.1, now" in describe(found)


def test_a_damaged_index_is_written_anew_and_a_run_measures_nothing_again(work, whole):
    (work / "tamis.json").write_text('{"format": 1, "corp')
    with pytest.raises(WorkspaceError, match="tamis doctor --repair"):
        Workspace(work)
    assert examine(work)["damaged"][0]["file"] == "tamis.json"
    times = {path: path.stat().st_mtime_ns for path in work.rglob("*.parquet") if "corpora" not in path.parts}
    examine(work, repair=True)
    run(whole, work, "main.yaml")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert examine(work)["damaged"] == []


def test_a_missing_index_is_written_anew(work, whole):
    (work / "tamis.json").unlink()
    for create in (False, True):
        with pytest.raises(WorkspaceError, match=r"lost its tamis\.json.*tamis doctor --repair"):
            Workspace(work, create=create)
    (entry,) = examine(work)["damaged"]
    assert entry["what"].startswith("missing")
    said = describe(examine(work, repair=True))
    assert f"tamis run RECIPE.yaml --work {work}" in said
    run(whole, work, "main.yaml")
    assert examine(work)["damaged"] == []


@pytest.mark.parametrize("more", [{}, {"corpora": {}}, {"corpora": {"main": 1}}])
def test_a_workspace_of_a_newer_format_is_refused_and_not_repaired(work, more):
    written = json.dumps({"format": 99} | more)
    (work / "tamis.json").write_text(written)
    for repair in (False, True):
        with pytest.raises(WorkspaceError, match=r"has format 99.*Nothing was changed"):
            examine(work, repair)
    assert (work / "tamis.json").read_text() == written


def test_a_repair_says_what_was_done_and_what_to_run(work):
    (work / "documents/00000.parquet").unlink()
    said = describe(examine(work, repair=True))
    assert "1 were damaged or missing and are forgotten" in said
    assert f"tamis run main.yaml --work {work}" in said


def test_a_run_that_is_at_work_is_said(work):
    (work / "documents/.00000.parquet.1f2e3d4c.part").write_bytes(b"half")
    with Workspace(work).locked():
        (work / "documents/.00001.parquet.1f2e3d4c.part").write_bytes(b"half")
        found = examine(work)
    assert found["running"]
    assert "a run is at work here" in describe(found)
    assert "a killed run left them" not in describe(found)
    (work / "documents/.00001.parquet.1f2e3d4c.part").write_bytes(b"half")  # a run that ends sweeps its own
    assert not examine(work)["running"]
    assert "a killed run left them" in describe(examine(work))


def test_repair_waits_for_nobody(work):
    with Workspace(work).locked(), pytest.raises(WorkspaceError, match="another tamis is writing"):
        examine(work, repair=True)
