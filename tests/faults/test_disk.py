"""A disk that is full, a folder that cannot be written, a limit on the size of files."""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

import fault_tasks
from tamis.engine import Inline, Local, TaskFailed


@pytest.fixture
def disk(tmp_path, require):
    """A file system of 24 MB."""
    require(os.geteuid() == 0 and shutil.which("mount"), "only root mounts a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True)
    require(mounted.returncode == 0, f"no tmpfs can be mounted here: {mounted.stderr!r}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    with Path(folder, "filler").open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass


@pytest.mark.parametrize("stage", ["documents", "signals", "verdicts", "dedup/keys"])
def test_a_disk_that_fills_up_stops_the_run_and_room_lets_it_go_on(place, disk, tree, stage):
    fault_tasks.drive(place / "recipe.yaml", place / "good", Inline())
    full = fault_tasks.At("corpora/main/verdicts" if stage == "verdicts" else stage, lambda: fill(disk))
    with Local(1) as engine, pytest.raises((TaskFailed, OSError), match="No space left on device"):
        fault_tasks.drive(place / "recipe.yaml", disk / "work", engine, full)
    (disk / "filler").unlink()
    fault_tasks.drive(place / "recipe.yaml", disk / "work", Inline())
    assert tree(disk / "work") == tree(place / "good")


def test_what_people_see_of_a_full_disk(place, disk, tamis):
    tamis("run", place / "recipe.yaml", "--work", disk / "work", "--workers", 1)
    shutil.rmtree(disk / "work/_done/signals")
    fill(disk)
    said = tamis("run", place / "recipe.yaml", "--work", disk / "work", "--workers", 1, code=1).stderr
    assert "No space left on device" in said
    os.remove(disk / "filler")
    tamis("run", place / "recipe.yaml", "--work", disk / "work", "--workers", 1)


def test_a_run_that_will_not_fit_is_refused_before_it_starts(place, disk, tamis):
    with (place / "rows.jsonl").open("a") as file:
        file.write('{"text": "' + "x" * (10 << 20) + '"}\n')
    said = tamis("run", place / "recipe.yaml", "--work", disk / "work", code=2).stderr
    assert "needs about" in said
    assert "Choose a --work on a larger disk" in said


def test_a_read_only_file_system_is_said_in_a_line(place, disk, tamis):
    tamis("run", place / "recipe.yaml", "--work", disk / "work", "--workers", 1)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for arguments in (["run", place / "recipe.yaml", "--work", disk / "work"], ["report", "--work", disk / "work"]):
        assert "Read-only file system" in tamis(*arguments, code=1).stderr
    assert "cannot be made: Read-only" in tamis("run", place / "recipe.yaml", "--work", disk / "new", code=2).stderr
    assert tamis("why", "http://a.org/3", "--work", disk / "work").stdout
    assert tamis("doctor", "--work", disk / "work").stdout


def test_a_limit_on_file_size_is_an_error_and_no_death(place, tamis):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    run = ("run", place / "recipe.yaml", "--work", place / "work", "--workers", 1)
    assert "File too large" in tamis(*run, code=1, before=limit).stderr
    tamis(*run)
