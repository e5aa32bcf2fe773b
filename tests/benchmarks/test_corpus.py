"""Rows of the benchmarks have the right shape. Nothing is timed against a limit."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="benchmarks read /proc")


def _peers() -> Path:
    """The folder of the peers' environments, which TAMIS_PEERS names (as `corpus.py --peers` makes it)."""
    folder = Path(os.environ.get("TAMIS_PEERS", ROOT / ".peers"))
    if not (folder / "datatrove" / "requirements.txt").exists():
        pytest.skip(f"no peers' environments in {folder}: run benchmarks/corpus.py, or set TAMIS_PEERS")
    return folder


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("corpus")
    for name in [name for name in sys.modules if name == "corpus" or name.split(".")[0] == "peers"]:
        del sys.modules[name]


def test_ratio_above_one_says_that_tamis_is_better(corpus: Any) -> None:
    ours, theirs = {"cpu": 2.0, "wall": 4.0}, {"cpu": 30.0, "wall": 30.0, "bytes": 3_000_000}
    assert [row.ratio for row in corpus.seconds("a", ours, "peer", theirs)] == [15.0, 7.5]
    rows = corpus.rates("b", ours, 100_000_000, "peer", theirs)
    assert [(row.tamis, row.peer, row.ratio) for row in rows] == [(50.0, 0.1, 500.0), (25.0, 0.1, 250.0)]


def test_part_is_drawn_evenly(corpus: Any) -> None:
    given = [f"{number:09d}\n" for number in range(1_000)]
    assert corpus.part(given, 0.001) == given[::10]
    assert corpus.part(given, 5) == given


def test_median_keeps_what_was_counted(corpus: Any) -> None:
    results = [{"cpu": cpu, "wall": cpu + 1, "pages": 7} for cpu in (3.0, 1.0, 2.0)]
    assert corpus.median(results) == {"cpu": 2.0, "wall": 3.0, "pages": 7}


def test_cut_copies_whole_records(corpus: Any, data_dir: Path, tmp_path: Path) -> None:
    warcs = [data_dir / "web/debdocs-00000.warc.gz", data_dir / "web/debdocs-00004.warc.gz"]
    assert corpus.cut(warcs, tmp_path / "five", 5) == 5
    (made,) = (tmp_path / "five").iterdir()
    assert warcs[0].read_bytes().startswith(made.read_bytes())
    assert corpus.cut([made], tmp_path / "again", None) == 5


def test_cpu_of_children_is_counted(corpus: Any) -> None:
    tree = importlib.import_module("peers.tree")
    with tree.Window() as window:
        code = "import time\nwhile time.process_time() < 0.3: pass"
        subprocess.run([sys.executable, "-c", code], check=True)
    assert window.cpu >= 0.3


def test_memory_of_children_is_counted(corpus: Any) -> None:
    tree = importlib.import_module("peers.tree")
    code = "held = b'x' * 64_000_000; print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == "held\n"
        assert tree.anonymous_bytes(child.pid) >= 64_000_000
        assert tree.anonymous_bytes(os.getpid()) >= tree.anonymous_bytes(child.pid)
        child.stdin.write("\n")


@pytest.mark.parametrize("job", ["web", "web+dedup", "signals", "sketch"])
def test_our_side_measures_its_own_stage(corpus: Any, job: str, data_dir: Path, tmp_path: Path) -> None:
    if job.startswith("web"):
        warm, given, unit = tmp_path / "warm", tmp_path / "given", "pages"
        corpus.cut([data_dir / "web/debdocs-00000.warc.gz"], warm, 3)
        corpus.cut([data_dir / "web/debdocs-00000.warc.gz"], given, 12)
    else:
        warm = given = tmp_path / "documents.parquet"
        unit = "documents"
        corpus.write_shard(given, [f"The house of the number {number} and all that is in it." for number in range(12)])
    said = corpus.measured(sys.executable, "ours.py", job, warm, given)
    assert said[unit] == 12
    assert said["cpu"] > 0
    assert said["wall"] > 0


@pytest.mark.slow
def test_rows_beside_the_peer(data_dir: Path, tmp_path: Path, corpus: Any) -> None:
    peers = _peers()
    corpus.cut([data_dir / "web/debdocs-00000.warc.gz"], tmp_path / "few", 30)
    (warc,) = (tmp_path / "few").iterdir()
    texts = [f"Of the {number} houses in the street, this\nis to be sold and that was all." for number in range(40)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "texts.parquet")
    command = [sys.executable, str(BENCHMARKS / "corpus.py"), "--quick", "--json", "--peers", str(peers)]
    command += ["--warc", str(warc), "--text", str(tmp_path / "texts.parquet")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = json.loads(done.stdout)["rows"]
    assert [set(row) for row in rows] == [{"what", "unit", "tamis", "peer_name", "peer", "ratio"}] * 16
    assert all(row["ratio"] > 0 and row["peer_name"].startswith("datatrove 0.10") for row in rows)
