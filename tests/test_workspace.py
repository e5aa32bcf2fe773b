"""Stages, keys, manifests, resume, exchange."""

import json
import os

import pytest

import engine_tasks
from tamis.engine import Inline, TaskFailed
from tamis.stage import File, Stage, Task, hash_file, key_of
from tamis.workspace import DamagedManifest, Progress, Workspace, WorkspaceError

UPPER = Stage("upper", engine_tasks.upper, version=1)


def raw(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return File(str(path), len(text), hash_file(path))


class Counting(Progress):
    def __init__(self):
        self.ran = []

    def done(self, stage, task, summary):
        self.ran.append(task)


def run(work, tasks, stage=UPPER):
    progress = Counting()
    manifests = work.map(Inline(), stage, tasks, progress)
    return manifests, progress.ran


@pytest.fixture
def work(tmp_path):
    return Workspace(tmp_path / "work", create=True)


def test_only_what_changed_runs_again(tmp_path, work):
    tasks = [Task(str(i), (f"upper/{i}.txt",), (raw(tmp_path, f"{i}.txt", f"text {i}"),)) for i in range(3)]
    manifests, ran = run(work, tasks)
    assert ran == ["0", "1", "2"]
    assert work.file("upper/1.txt").read_text() == "TEXT 1"
    assert run(work, tasks) == (manifests, [])
    changed = [tasks[0], Task("1", tasks[1].outputs, (raw(tmp_path, "1.txt", "new"),)), tasks[2]]
    assert run(work, changed)[1] == ["1"]
    assert run(work, changed, Stage("upper", engine_tasks.upper, version=2))[1] == ["0", "1", "2"]
    work.file("upper/2.txt").unlink()
    assert run(work, changed, Stage("upper", engine_tasks.upper, version=2))[1] == ["2"]


def test_a_failed_task_leaves_no_file_and_no_manifest(tmp_path, work):
    task = Task("a", ("upper/a.txt",), (raw(tmp_path, "a", "x"),), {"fail": True})
    with pytest.raises(TaskFailed, match="a: asked to fail"):
        work.map(Inline(), UPPER, [task])
    assert work.manifest("upper", "a") is None
    assert list(work.file("upper").iterdir()) == []


def test_a_kill_between_two_renames_leaves_no_manifest(tmp_path, work, monkeypatch):
    pair = Stage("pair", engine_tasks.pair, version=1)
    before = Task("a", ("x/a.txt", "y/a.txt"), (raw(tmp_path, "a", "old"),))
    work.map(Inline(), pair, [before])
    rename, renamed = os.replace, []

    def dies_at_the_second(source, target):
        renamed.append(target)
        if len(renamed) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "replace", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        work.map(Inline(), pair, [Task("a", before.outputs, (raw(tmp_path, "b", "new"),))])
    monkeypatch.undo()
    assert work.done(pair, before) is None  # sizes are as they were, the bytes are not
    work.map(Inline(), pair, [before])
    assert [work.file(name).read_text() for name in before.outputs] == ["old", "old"]


def test_a_ledger_that_does_not_add_up_is_refused(tmp_path, work):
    task = Task("a", ("upper/a.txt",), (raw(tmp_path, "a", "abc"),), {"lose": 1})
    with pytest.raises(TaskFailed, match="3 rows in, 2 out and 0 with a reason"):
        work.map(Inline(), UPPER, [task])


def test_exchange_removes_what_was_scattered_and_still_resumes(tmp_path, work):
    scatter, gather = Stage("scatter", engine_tasks.scatter, 1), Stage("gather", engine_tasks.gather, 1)
    sources = [raw(tmp_path, "a", "a0a1"[::2] + "x"), raw(tmp_path, "b", "bcd")]
    tasks = [Task(str(i), (f"x/{i}.txt",), (file,)) for i, file in enumerate(sources)]
    makers = [lambda files, p=p: Task(str(p), (f"out/{p}.txt",), files, {"partition": p}) for p in range(3)]
    progress = Counting()
    work.exchange(Inline(), scatter, tasks, gather, makers, progress)
    assert [work.file(f"out/{p}.txt").read_text() for p in range(3)] == ["ab", "ac", "xd"]
    assert progress.ran == ["0", "1", "0", "1", "2"]
    assert list(work.file("x").iterdir()) == []
    again = Counting()
    work.exchange(Inline(), scatter, tasks, gather, makers, again)
    assert again.ran == []
    work.file("out/1.txt").unlink()
    once_more = Counting()
    work.exchange(Inline(), scatter, tasks, gather, makers, once_more)
    assert once_more.ran == ["0", "1", "1"]


def test_keys_depend_on_what_decides_the_output(tmp_path):
    base = Task("a", ("o",), (File("p", 1, "h"),), {"x": 1})
    keys = {
        key_of(UPPER, base),
        key_of(UPPER, Task("a", ("o",), (File("p", 1, "other"),), {"x": 1})),
        key_of(UPPER, Task("a", ("o",), (File("p", 1, "h"),), {"x": 2})),
        key_of(Stage("upper", engine_tasks.upper, 2), base),
        key_of(Stage("upper", engine_tasks.upper, 1, ("numpy",)), base),
    }
    assert len(keys) == 5
    assert key_of(UPPER, Task("a", ("o",), (File("elsewhere", 9, "h"),), {"x": 1})) == key_of(UPPER, base)


def test_refusals_say_what_to_do(tmp_path, work):
    with pytest.raises(WorkspaceError, match=r"is no workspace.*tamis run"):
        Workspace(tmp_path / "nothing")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(WorkspaceError, match="not empty and no workspace"):
        Workspace(tmp_path / "full", create=True)
    with pytest.raises(WorkspaceError, match="cannot be made: Not a directory"):
        Workspace(tmp_path / "full" / "letter.txt" / "below", create=True)
    work.file("tamis.json").write_text(json.dumps({"format": 99, "corpora": {}}))
    with pytest.raises(WorkspaceError, match="format 99"):
        Workspace(work.path)


def test_two_drivers_do_not_share_a_workspace(work):
    with work.locked(), pytest.raises(WorkspaceError, match="another tamis"), work.locked():
        pass


def test_only_temporary_files_of_tasks_are_removed(work):
    own, left = work.file(".draft.part"), work.file("upper/.0.txt.1f2e3d4c.part")
    left.parent.mkdir()
    for path in (own, left):
        path.write_text("half")
    with work.locked():
        assert own.exists()
        assert not left.exists()


def test_what_a_killed_worker_leaves_is_gone_when_its_run_ends_well(work):
    left = work.file(".0.txt.1f2e3d4c.part")
    with work.locked():
        left.write_bytes(b"half")
    assert not left.exists()

    def stopped():
        with work.locked():
            left.write_bytes(b"half")
            raise KeyboardInterrupt  # its workers may still be writing

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert left.exists()
    with work.locked():
        assert not left.exists()


@pytest.mark.parametrize(
    "written", ["{", '{"a": 1}', "[1]", '{"files": [1], "summary": {}}', '{"files": [{"path": "x"}]}']
)
def test_a_damaged_manifest_is_named_with_the_way_out(tmp_path, work, written):
    run(work, [Task("0", ("upper/0.txt",), (raw(tmp_path, "0.txt", "x"),))])
    work.file("_done/upper/0.json").write_text(written)
    for read in (lambda: work.manifest("upper", "0"), lambda: work.manifests("upper")):
        with pytest.raises(DamagedManifest, match=r"_done/upper/0\.json is a damaged.*tamis doctor --work .* --repair"):
            read()


def test_forget_drops_tasks_that_are_no_more(tmp_path, work):
    run(work, [Task(str(i), (f"upper/{i}.txt",), (raw(tmp_path, f"{i}.txt", "x"),)) for i in range(3)])
    work.forget("upper", ["0", "1"])
    assert [manifest.task for manifest in work.manifests("upper")] == ["0", "1"]
    assert sorted(path.name for path in work.file("upper").iterdir()) == ["0.txt", "1.txt"]
