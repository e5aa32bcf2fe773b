"""The Ray engine: the local engine's results and faults, on a cluster of two nodes on this machine, killed at seeded
moments; and a cluster of its own."""

import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import engine_tasks as tasks
import ray_drivers
from tamis import ray_engine
from tamis.engine import Inline, Local, TaskFailed
from tamis.running import make_engine
from tamis.sources.machine import machine_crawl
from tamis.workspace import WorkspaceError

pytestmark = pytest.mark.timeout(900)  # Ray starts a cluster; the machine may be shared with other tests

RECIPE = """\
sources: [{name: machine, path: crawl/*.warc.gz}]
split_bytes: 65536
rules: {use: [gopher@paper, c4@jmlr]}
tokens: {tokenizer: {vocab: 600}, context: 128, shard_bytes: 65536}
"""
# A lost node is noticed within a second or two, not after the half minute that real networks need.
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}


def tree(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    machine_crawl(folder / "crawl" / "machine.warc.gz", pages={"python": 60})
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def expected(recipe):
    """The bytes of a run without any workers, and the number of its tasks."""
    count = ray_drivers.drive(recipe, recipe.parent / "inline", Inline())
    return tree(recipe.parent / "inline"), count


@pytest.fixture(scope="module")
def cluster(require):
    """Two nodes with one CPU each."""
    try:
        import ray  # noqa: F401
    except ImportError:
        require(False, "Ray is not installed")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "disabled")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args={**node, "_system_config": QUICK})
        made.node = {key: node[key] for key in ("num_cpus", "object_store_memory")}
        made.second = made.add_node(**made.node)
        made.wait_for_nodes()
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def engine(cluster):
    with make_engine("ray", None, cluster.address) as made:
        made.hang_seconds = 2.0
        assert made.workers == 2
        yield made


def collect(engine, function, items, progress=None):
    found = {}
    engine.map(function, items, lambda name, result: found.__setitem__(name, result), progress)
    return found


def descendants(root):
    """Ids and command lines of the living processes below a process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                parents.setdefault(parent, []).append((int(entry.name), (entry / "cmdline").read_text()))
            except OSError:
                continue
    found = list(parents.get(root, []))
    for process, _ in found:
        found += parents.get(process, [])
    return found


def workers(cluster, kind):
    """Of the second node: `ray::` for its Ray workers, `multiprocessing` for their children."""
    (raylet,) = cluster.second.all_processes["raylet"]
    return [process for process, line in descendants(raylet.process.pid) if kind in line and "_Board" not in line]


def test_results_progress_and_failures_are_those_of_the_local_engine(engine):
    progress = []
    items = [(f"n{i}", i) for i in range(20)]
    assert collect(engine, tasks.double, items, progress.append) == {f"n{i}": 2 * i for i in range(20)}
    assert 0 < sum(progress) <= 20
    found = {}
    with pytest.raises(TaskFailed, match="n3: three is refused") as failure:
        engine.map(tasks.fail_on_three, items[:8], lambda name, result: found.__setitem__(name, result))
    assert failure.value.name == "n3"
    assert "n0" in found
    assert collect(engine, tasks.double, [("a", 1)]) == {"a": 2}


def test_deaths_and_hangs_are_charged_to_the_item(engine):
    argument = (["a", "b", "c", "d"], ["b", "d"])
    items = [("bad", argument), ("good", (["a", "c"], []))]
    assert collect(engine, tasks.die_at_items, items) == {"bad": ["b", "d"], "good": []}
    assert collect(engine, tasks.hang_at_item, [("t", "page 7")]) == {"t": "marked"}
    with pytest.raises(TaskFailed, match=r"t: its workers died 3 times \(signal SIGKILL\).*'poison'"):
        collect(engine, tasks.always_die, [("t", None)])


def test_a_row_that_kills_its_worker_is_lost_and_no_other(engine):
    assert collect(engine, tasks.guarded_lengths, [("t", ["a", "kill", "ccc"])]) == {"t": [[1], None, [3]]}


def test_workers_and_a_node_killed_at_seeded_moments_give_the_same_bytes(engine, cluster, recipe, expected):
    bytes_, count = expected
    work = recipe.parent / "killed"
    moments = random.Random(7).sample(range(2, count - 2), 3)
    struck, killed = [], []

    def strike():
        kind = ("multiprocessing", "ray::", "node")[len(struck)]
        struck.append(kind)
        if kind == "node":
            cluster.remove_node(cluster.second, allow_graceful=False)
            cluster.second = cluster.add_node(**cluster.node)
        for process in workers(cluster, kind) if kind != "node" else ():
            os.kill(process, signal.SIGKILL)
            killed.append(kind)

    assert ray_drivers.drive(recipe, work, engine, moments, strike) == count
    assert struck == ["multiprocessing", "ray::", "node"]
    assert {"multiprocessing", "ray::"} <= set(killed)
    assert tree(work) == bytes_


def test_a_driver_killed_at_seeded_moments_resumes_on_any_engine(engine, cluster, recipe, expected):
    bytes_, count = expected
    work = recipe.parent / "driver"
    moment = random.Random(8).randrange(3, count - 3)
    command = [sys.executable, ray_drivers.__file__, recipe, work, cluster.address, str(moment)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert moment <= len(list((work / "_done").rglob("*.json"))) < count
    with Local(1) as local:
        ray_drivers.drive(recipe, work, local)
    assert tree(work) == bytes_


def test_without_a_cluster_the_engine_starts_one_and_ends_it(recipe, expected, require, tmp_path):
    pytest.importorskip("ray")
    command = [sys.executable, "-m", "tamis", "run", str(recipe), "--engine", "ray", "--workers", "2"]
    # What a dead cluster leaves in the temp folder must not be joined.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [*command, "--work", str(tmp_path / "work")], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "2 workers" in done.stderr
    found, (bytes_, _) = tree(tmp_path / "work"), expected
    same = {name for name in bytes_ if name.startswith(("_done", "documents", "signals", "dedup", "edits", "corpora"))}
    same -= {name for name in bytes_ if name.endswith((".html", ".md"))}  # a run of Pipeline alone writes none
    assert {name: found[name] for name in same} == {name: bytes_[name] for name in same}


@pytest.mark.parametrize(
    ("name", "address", "words"),
    [("rai", None, "there are: local, ray"), ("local", "auto", "use it with --engine ray")],
)
def test_engines_that_are_none(name, address, words):
    with pytest.raises(WorkspaceError, match=words):
        make_engine(name, 1, address)


def test_a_cluster_that_is_not_there_is_said_at_once():
    """Not with `auto`, which finds any cluster of this machine, and other tests start some."""
    pytest.importorskip("ray")
    code = "from tamis.running import make_engine\nmake_engine('ray', 1, '127.0.0.1:1')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "RayUnavailable: no Ray cluster at 127.0.0.1:1" in done.stderr


def test_a_task_without_a_board_for_its_progress(monkeypatch):
    """`map` without `on_progress`, which no stage calls: what a task reports goes nowhere."""
    monkeypatch.setattr(ray_engine, "PROGRESS_SECONDS", -1.0)
    sealed = pickle.dumps((os.getcwd(), sys.path, pickle.dumps((tasks.double, 21))))
    try:
        ok, result = ray_engine._host(sealed, "double", 20.0, None)
    finally:
        ray_engine._child(20.0).close()
        ray_engine._child.cache_clear()
    assert ok
    assert pickle.loads(result) == 42
