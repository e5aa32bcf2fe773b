"""Flipped bytes in the files of a workspace, drivers that are killed, two of them at once. Through the command line."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest


@pytest.fixture
def work(finished, tmp_path):
    shutil.copytree(finished / "work", tmp_path / "work")
    return tmp_path / "work"


def flip(path, at=0.5, count=40):
    content = bytearray(path.read_bytes())
    start = int(len(content) * at)
    content[start : start + count] = bytes(value ^ 0x5A for value in content[start : start + count])
    path.write_bytes(content)


def test_flipped_bytes_are_an_error_from_why_what_if_and_run_and_doctor_mends_them(work, finished, tamis, tree):
    for name in ("documents", "signals/text", "corpora/main/rules", "corpora/main/verdicts"):
        flip(work / name / "00000.parquet", 0.3)
    identity = json.loads(tamis("why", "http://a.org/3", "--work", finished / "work", "--json").stdout)["id"]
    assert "00000.parquet" in tamis("why", identity, "--work", work, code=1).stderr
    assert "00000.parquet" in tamis("what-if", "short=text.words >= 90", "--work", work, code=1).stderr
    shutil.rmtree(work / "_done/edits")  # so that the run reads the documents again
    run = ("run", finished / "recipe.yaml", "--work", work, "--workers", 1)
    said = tamis(*run, code=1).stderr
    assert "documents/00000.parquet" in said
    assert "damaged" in said
    assert f"tamis doctor --work {work} --repair" in said
    assert "to go on" not in said  # it would stop there again
    mended = tamis("doctor", "--work", work, "--repair")
    assert f"tamis run recipe.yaml --work {work}" in mended.stdout
    assert "documents/00000.parquet: changed since it was written" in mended.stdout
    tamis(*run)
    assert tree(work) == tree(finished / "work")


@pytest.mark.parametrize("at", [0.02, 0.98])
def test_a_file_that_is_damaged_in_its_header_or_footer_is_named(work, tamis, at):
    flip(work / "corpora/main/verdicts/00000.parquet", at, 12)
    assert "00000.parquet" in tamis("doctor", "--work", work, code=1).stdout
    said = tamis("why", "http://a.org/3", "--work", work, code=1).stderr
    assert "verdicts/00000.parquet" in said
    assert f"tamis doctor --work {work} --repair" in said


@pytest.mark.parametrize("written", ["{", '{"a": 1}'])
def test_a_damaged_manifest_is_named_by_every_command_with_the_way_out(work, finished, tamis, written):
    (work / "_done/documents/00000.json").write_text(written)
    identity = json.loads(tamis("why", "http://a.org/3", "--work", finished / "work", "--json").stdout)["id"]
    for command in (["run", finished / "recipe.yaml"], ["why", identity]):
        said = tamis(*command, "--work", work, code=1).stderr
        assert "_done/documents/00000.json is a damaged manifest" in said
        assert f"tamis doctor --work {work} --repair" in said


def start(finished, work):
    command = [sys.executable, "-m", "tamis", "run", finished / "recipe.yaml", "--work", work, "--workers", "1"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for(path, process):
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_driver_killed_in_the_middle_resumes_to_the_same_bytes(finished, tmp_path, tamis, tree, seed):
    stages = ["documents", "edits/clean", "signals", "dedup/sketch", "corpora/main/rules", "corpora/main/kept"]
    work = tmp_path / "work"
    for stage in random.Random(seed).sample(stages, 1):
        process = start(finished, work)
        wait_for(work / "_done" / stage, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    tamis("run", finished / "recipe.yaml", "--work", work, "--workers", 1)
    assert tree(work) == tree(finished / "work")


def test_the_second_of_two_runs_at_once_is_refused_and_the_first_goes_on(finished, tmp_path, tamis, tree):
    work = tmp_path / "work"
    first = start(finished, work)
    wait_for(work / ".lock", first)
    os.kill(first.pid, signal.SIGSTOP)  # so that it surely holds the lock
    said = tamis("run", finished / "recipe.yaml", "--work", work, "--workers", 1, code=2).stderr
    assert "another tamis is writing" in said
    os.kill(first.pid, signal.SIGCONT)
    first.communicate(timeout=250)
    assert first.returncode == 0
    assert tree(work) == tree(finished / "work")
