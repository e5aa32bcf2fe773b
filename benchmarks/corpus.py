"""The main job against its peers: WARC to verdicts, signals, MinHash, dialects, masks, models.

Rows {what, unit, tamis, peer_name, peer, ratio}.

    python benchmarks/corpus.py [--quick] [--json] [--peers FOLDER] [--rows PARTS] [--repeats N]
                                [--pages N] [--warc FILES] [--text FILE] [--core N]

Peers run in environments of their own, made by this script in FOLDER (`.peers`, kept). Every figure of one row is
measured in this one run, on the same bytes, on one core, warm, in a process per side and repeat; sides take turns and
the median counts. CPU seconds are user + system over the process tree. A ratio above 1 says that Tamis is better.
Where a peer is slow it gets a part of the texts, drawn evenly, and MB/s compares; the row's name says so.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from peers import environment
from tamis import kernels
from tamis.documents import BATCH_BYTES, DOCUMENTS, ParquetShard

HERE = Path(__file__).parent
PEERS = HERE / "peers"
WARM_PAGES = 20
QUICK_PAGES = 1200
PARTS = ("web", "signals", "minhash", "dialects", "pii", "models")
# Megabytes of text for the slow peers, so that one measurement takes some seconds: (full, --quick).
SHIPPED_MB, WHITESPACE_MB = (3.0, 1.0), (12.0, 4.0)


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio` > 1: Tamis is better."""

    what: str
    unit: str
    tamis: float
    peer_name: str
    peer: float
    ratio: float


class SideFailed(RuntimeError):
    """The process of one side ended with an error."""


def measured(python: str | Path, script: str, *arguments: str | Path) -> dict[str, Any]:
    """What one side printed. Raises SideFailed with the end of its standard error."""
    command = [str(python), str(PEERS / script), *map(str, arguments)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # one thread each: on one pinned core more only cost
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    if python == sys.executable and "PYTHONPATH" in os.environ:
        env["PYTHONPATH"] = os.environ["PYTHONPATH"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SideFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {script} {' '.join(map(str, arguments[:2]))}: {result}", file=sys.stderr)
    return result


def median(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The first result, with the medians of CPU and wall seconds."""
    return results[0] | {name: statistics.median(result[name] for result in results) for name in ("cpu", "wall")}


def seconds(what: str, ours: dict[str, Any], name: str, theirs: dict[str, Any]) -> list[Row]:
    """Less is better."""
    return [
        Row(what, unit, round(ours[key], 3), name, round(theirs[key], 3), round(theirs[key] / ours[key], 2))
        for key, unit in (("cpu", "CPU s"), ("wall", "wall s"))
    ]


def rates(what: str, ours: dict[str, Any], size: int, name: str, theirs: dict[str, Any]) -> list[Row]:
    """MB/s of UTF-8 text: more is better. `size`: of our input, in bytes; theirs says its own."""
    rows = []
    for key, unit in (("cpu", "MB / CPU s"), ("wall", "MB / wall s")):
        a, b = size / ours[key] / 1e6, theirs["bytes"] / theirs[key] / 1e6
        rows.append(Row(what, unit, round(a, 2), name, round(b, 4), round(a / b, 1)))
    return rows


def cut(warcs: list[Path], folder: Path, pages: int | None) -> int:
    """Makes `folder` of the first `pages` response records (all: links only) and returns how many there are.

    Records are copied as they are stored, members of gzip and all.
    """
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    folder.mkdir()
    found = 0
    for warc in warcs:
        if pages is not None and found >= pages:
            break
        end = None
        for record in ArchiveIterator(warc.open("rb"), parse_http=False):
            if record.record_type == WarcRecordType.response:
                if pages is not None and found >= pages:
                    end = record.stream_pos
                    break
                found += 1
        if end is None:
            (folder / warc.name).symlink_to(warc.absolute())
        else:
            with warc.open("rb") as file:
                (folder / warc.name).write_bytes(file.read(end))
    return found


def web(warcs: list[Path], folder: Path, python: Path, limit: int | None, repeats: int) -> list[Row]:
    """WARC to verdicts, of the first `limit` pages."""
    pages = cut(warcs, folder / "input", limit)
    cut(warcs, folder / "warm", WARM_PAGES)
    jobs = {
        "web": (sys.executable, "ours.py", "web"),
        "web+dedup": (sys.executable, "ours.py", "web+dedup"),
        "trafilatura": (python, "datatrove_web.py", "trafilatura"),
        "resiliparse": (python, "datatrove_web.py", "resiliparse"),
    }
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
    for _ in range(repeats):  # the sides take turns, so that a busy minute does not hit one alone
        for name, job in jobs.items():
            results[name].append(measured(*job, folder / "warm", folder / "input"))
    said = {name: median(found) for name, found in results.items()}
    if {result["pages"] for result in said.values()} != {pages}:
        numbers = {name: result["pages"] for name, result in said.items()}
        print(f"note: of {pages:,} response records the sides read {numbers}", file=sys.stderr)
    version = f"datatrove {_version(python, 'datatrove')}"
    what = f"WARC to verdicts, one core, {pages:,} pages"
    rows = []
    for peer, label in (("trafilatura", "Trafilatura"), ("resiliparse", "Resiliparse")):
        for job, more in (("web", ""), ("web+dedup", ", Tamis also deduplicates")):
            rows += seconds(f"{what}; peer extracts by {label}{more}", said[job], version, said[peer])
    return rows


def texts(path: Path) -> list[str]:
    return [text for text in pq.read_table(path, columns=["text"]).column("text").to_pylist() if text]


def part(given: list[str], megabytes: float) -> list[str]:
    """Every n-th text, about `megabytes` in all."""
    total = sum(len(text.encode()) for text in given)
    return given[:: max(1, round(total / (megabytes * 1e6)))]


def write_shard(path: Path, given: list[str]) -> int:
    """A shard of documents as the stage `documents` writes it; bytes of its text."""
    size = 0
    with ParquetShard(path, DOCUMENTS) as shard:
        rows: list[dict[str, Any]] = []
        pending = 0
        for number, text in enumerate(given):
            rows.append({"id": f"{number:032x}", "text": text, "source": "benchmark", "meta": "{}"})
            pending += len(text.encode())
            if pending >= BATCH_BYTES or number == len(given) - 1:
                shard.write(pa.RecordBatch.from_pylist(rows, DOCUMENTS))
                size += pending
                rows, pending = [], 0
    return size


def text_rows(job: str, text: Path, folder: Path, python: Path, quick: bool, repeats: int) -> list[Row]:
    """Signals or MinHash: as shipped, then with words by white space on the peer's side."""
    given = texts(text)
    folder.mkdir()
    size = write_shard(folder / "documents.parquet", given)
    write_shard(folder / "warm.parquet", given[:: max(1, len(given) // 50)])
    ours, theirs, what = {
        "signals": ("signals", "filters", "signals of Gopher quality, Gopher repetition and FineWeb"),
        "minhash": ("sketch", "minhash", "MinHash sketches, 14 x 8 over 5-grams"),
        "dialects": ("dialects", "filters", "signals of Gopher and FineWeb in datatrove's own forms"),
        "pii": ("pii", "pii", "masks of e-mail and IP addresses"),
    }[job]
    parts = {}
    labels = {"shipped": "words by spaCy, as shipped", "whitespace": "words by white space"}
    if job == "pii":
        labels = {"whitespace": "as shipped"}  # no words are cut
    for words in labels:
        megabytes = SHIPPED_MB if words == "shipped" else WHITESPACE_MB
        parts[words] = folder / f"{words}.parquet"
        pq.write_table(pa.table({"text": pa.array(part(given, megabytes[quick]), pa.large_string())}), parts[words])
    own: list[dict[str, Any]] = []
    peers: dict[str, list[dict[str, Any]]] = {words: [] for words in parts}
    for _ in range(repeats):
        own.append(measured(sys.executable, "ours.py", ours, folder / "warm.parquet", folder / "documents.parquet"))
        for words, path in parts.items():
            peers[words].append(measured(python, "datatrove_text.py", theirs, words, path))
    version = f"datatrove {_version(python, 'datatrove')}"
    rows = []
    for words, label in labels.items():
        said = median(peers[words])
        name = f"{what}, {size / 1e6:.0f} MB; peer: {label}, {said['bytes'] / 1e6:.1f} MB of it"
        rows += rates(name, median(own), size, version, said)
    return rows


def model_rows(data: Path, quick: bool) -> list[Row]:
    """Scoring by learned quality and by n-gram perplexity: the rows of `quality.py` that have a peer."""
    import quality

    return [Row(**row) for row in quality.run(data, quick) if row["peer"] is not None]


def _version(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def machine() -> dict[str, Any]:
    """Where and with what the rows were measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "tamis": importlib.metadata.version("tamis"),
        "kernels": kernels.describe(),
    }


def show(said: dict[str, Any], rows: list[Row]) -> None:
    print("; ".join(f"{name} {value}" for name, value in said.items()))
    print(f"{'unit':<12} {'tamis':>10} {'peer':>10} {'ratio':>8}  {'peer':<17} what")
    for row in rows:
        numbers = f"{row.tamis:>10,.2f} {row.peer:>10,.3f} {row.ratio:>7,.1f}x"
        print(f"{row.unit:<12} {numbers}  {row.peer_name:<17} {row.what}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"the first {QUICK_PAGES:,} pages, less text, one repeat")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="folder of the peers' environments")
    parser.add_argument("--rows", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--repeats", type=int, help="measurements per side; 3, for web (minutes each) and --quick 1")
    parser.add_argument("--pages", type=int, help="only the first pages of the WARC files")
    parser.add_argument("--warc", type=Path, nargs="+", help="instead of web/debdocs-*.warc.gz of TAMIS_DATA")
    parser.add_argument("--text", type=Path, help="Parquet with a column text, instead of text/english.parquet")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on")
    given = parser.parse_args()
    wanted = given.rows.split(",")
    if not set(wanted) <= set(PARTS):
        parser.error(f"--rows {given.rows}: there are {', '.join(PARTS)}")
    data = os.environ.get("TAMIS_DATA")
    if not data and not (given.warc and given.text):
        parser.error("set TAMIS_DATA to the folder of test data, or give --warc and --text")
    warcs = given.warc or [Path(str(data)) / f"web/debdocs-0000{number}.warc.gz" for number in (0, 4)]
    text = given.text or Path(str(data)) / "text/english.parquet"
    if kernels.backend() != "native":
        print(f"warning: {kernels.describe()}", file=sys.stderr)
    python = environment.datatrove(given.peers)
    repeats = given.repeats or (1 if given.quick else 3)
    pages = given.pages or (QUICK_PAGES if given.quick else None)
    os.sched_setaffinity(0, {given.core})  # and with it every process that is started below
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tamis-benchmark-") as made:
        folder = Path(made)
        if "web" in wanted:
            rows += web(warcs, folder, python, pages, given.repeats or 1)
        for job in PARTS[1:]:
            if job == "models" and job in wanted:
                rows += model_rows(Path(str(data)), given.quick)
            elif job in wanted:
                rows += text_rows(job, text, folder / job, python, given.quick, repeats)
    said = machine()
    if given.json:
        print(json.dumps({"machine": said, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        show(said, rows)


if __name__ == "__main__":
    main()
