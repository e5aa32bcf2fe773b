"""What Ray costs beside the local engine. Rows {what, unit, tamis, peer_name, peer, ratio}.

    python benchmarks/ray_overhead.py [--quick] [--json] [--gigabytes 2] [--workers 2] [--text FILE.parquet]

One recipe (signals, deduplication, rules, kept text) on copies of real text in which a word differs from copy to copy,
run by `tamis run --engine local` and `--engine ray` in workspaces of their own, one after the other. CPU is user and
system time of the whole process tree, living and ended, start-up and shut-down included; `Ray's own processes` are
those that Ray starts for itself (GCS, raylet, log monitor, agents), read from /proc until they end. The column `tamis`
is Ray, the peer is the local engine, so that a ratio of 0.87 is an overhead of 15%. Every file of the two workspaces
must be equal, or the script fails.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus import Row, machine, show
from peers.tree import anonymous_bytes, processes

QUICK_GIGABYTES = 0.2
FILE_BYTES = 64 << 20
SAMPLE_SECONDS = 0.25
RECIPE = """\
sources: [{{name: text, path: "{folder}/*.parquet"}}]
rules: {{use: [gopher@paper]}}
tokens: null
"""
DAEMONS = ("gcs_server", "raylet", "log_monitor", "monitor.py", "dashboard", "runtime_env_agent", "ray_process_reaper")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    cpu: float = 0.0
    daemons: float = 0.0
    wall: float = 0.0
    peak: int = 0
    seen: dict[int, float] = field(default_factory=dict)


def copies(text: Path, folder: Path, wanted: int) -> int:
    """Parquet files of about FILE_BYTES of text, `wanted` bytes in all; the number of bytes."""
    folder.mkdir()
    texts = pq.read_table(text, columns=["text"]).column("text").combine_chunks().cast(pa.large_string())
    made, number, pending, held = 0, 0, [], 0
    copy = 0
    while made < wanted:
        one = pc.replace_substring(texts, " the ", f" the{copy} ") if copy else texts
        for start in range(0, len(one), 2000):
            part = one.slice(start, 2000)
            size = pc.sum(pc.binary_length(part)).as_py()
            pending.append(part)
            held, made = held + size, made + size
            if held >= FILE_BYTES or made >= wanted:
                table = pa.table({"text": pa.chunked_array(pending)})
                pq.write_table(table, folder / f"{number:05d}.parquet", row_group_size=2000, compression="zstd")
                number, pending, held = number + 1, [], 0
            if made >= wanted:
                break
        copy += 1
    return made


def measure(command: list[str], log: Path) -> Cost:
    """Runs a command; every process that it leaves behind is waited for, so that nothing is missed."""
    cost = Cost()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            cost.peak = max(cost.peak, anonymous_bytes(process.pid))
            _sample(process.pid, cost)
            time.sleep(SAMPLE_SECONDS)
    cost.wall = time.perf_counter() - began
    while True:  # orphans come to us, for we are their reaper
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cost.daemons = sum(cost.seen.values())
    if process.returncode:
        raise SystemExit(log.read_text()[-3000:])
    return cost


def _sample(root: int, cost: Cost) -> None:
    for process in processes(root):
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes().decode("utf-8", "replace")
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(name in command for name in DAEMONS):
            cost.seen[process] = (int(fields[11]) + int(fields[12])) / _TICK


def digests(work: Path) -> dict[str, str]:
    found = {}
    for path in sorted(work.rglob("*")):
        if path.is_file() and path.name != ".lock":
            with path.open("rb") as file:
                found[str(path.relative_to(work))] = hashlib.file_digest(file, "blake2b").hexdigest()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_GIGABYTES} GB")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--text", type=Path, help="instead of text/english.parquet of TAMIS_DATA")
    given = parser.parse_args()
    data = os.environ.get("TAMIS_DATA")
    if not data and not given.text:
        parser.error("set TAMIS_DATA to the folder of test data, or give --text")
    text = given.text or Path(str(data)) / "text/english.parquet"
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    found: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory(prefix="tamis-ray-") as made:
        folder = Path(made)
        gigabytes = QUICK_GIGABYTES if given.quick else given.gigabytes
        size = copies(text, folder / "text", int(gigabytes * 1e9))
        (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder / "text"))
        for engine in ("local", "ray"):
            command = [sys.executable, "-m", "tamis", "run", str(folder / "recipe.yaml"), "--engine", engine]
            command += ["--work", str(folder / engine), "--workers", str(given.workers)]
            found[engine] = measure(command, folder / f"{engine}.log")
        local, ray = digests(folder / "local"), digests(folder / "ray")
        different = sorted(name for name in {*local, *ray} if local.get(name) != ray.get(name))
        if different:
            raise SystemExit(f"files differ between the engines: {different[:5]}")
        print(f"  {len(local):,} files are equal in both workspaces", file=sys.stderr)
    ours, other = found["ray"], found["local"]
    what = f"`tamis run` on {size / 1e9:.2f} GB of text, {given.workers} workers"
    pairs = [
        (f"{what}, with Ray's own processes", "CPU s", ours.cpu, other.cpu),
        (f"{what}, without them", "CPU s", ours.cpu - ours.daemons, other.cpu),
        (f"{what}", "wall s", ours.wall, other.wall),
        (f"{what}, peak memory", "MB", ours.peak / 1e6, other.peak / 1e6),
    ]
    rows = [Row(name, unit, round(a, 1), "local", round(b, 1), round(b / a, 3)) for name, unit, a, b in pairs]
    said: dict[str, Any] = machine()
    if given.json:
        print(json.dumps({"machine": said, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        show(said, rows)
        for name, _, a, b in pairs[:2]:
            print(f"overhead {a / b - 1:+.1%}  {name}")


if __name__ == "__main__":
    main()
