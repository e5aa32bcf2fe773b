"""Peak memory of `tamis run` at one and at ten times the input. Rows {what, unit, tamis, peer_name, peer, ratio}.

    python benchmarks/memory.py [--quick] [--json] [--workers 2] [--times 10] [--warc FILES]

Anonymous resident memory, summed over the process tree and sampled every 20 ms: mapped files (libraries, the page
cache) are not counted, all that processes hold themselves is. The input is a crawl and copies of it in which every
third word of a page is another one for each copy, so that nothing of the tenfold input is a duplicate of the rest
that was not one already. The recipe is a whole run: deduplication, a tokenizer, token shards, the report.

There is no peer: the column `peer` is the limit of 2,000 MB, and for the last row the memory at the smaller input.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus import Row, cut, machine, show
from peers.tree import anonymous_bytes

LIMIT_MB = 2000
SAMPLE_SECONDS = 0.02
QUICK_PAGES = 300
RECIPE = """\
name: memory
sources: [{{name: crawl, path: "{folder}/*.warc.gz"}}]
rules: {{use: [gopher@paper, fineweb@v1]}}
tokens: {{tokenizer: {{vocab: 8192}}, context: 1024}}
"""

_TEXT = re.compile(rb">[^<]{4,}<")
_WORD = re.compile(rb"(?<![&#\w])[A-Za-z]{4,}(?![\w;])")


@dataclass(frozen=True)
class Peak:
    """Of one run: the highest sum of anonymous memory, and what was read."""

    bytes: int
    wall: float
    documents: int
    input_bytes: int


def copy(warc: Path, out: Path, number: int) -> None:
    """The response records of a WARC with every third word of the pages' text made another. Deterministic."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with warc.open("rb") as stored, out.open("wb") as made:
        for record in ArchiveIterator(stored, record_types=WarcRecordType.response):
            page = _TEXT.sub(lambda run: _changed(run.group(), number), record.reader.read())
            kind = record.http_content_type or "text/html"
            if record.http_charset:
                kind += f"; charset={record.http_charset}"
            http = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(page)}\r\n\r\n"
            body = http.encode() + page
            head = io.StringIO()
            head.write("WARC/1.0\r\nWARC-Type: response\r\n")
            for name in ("WARC-Date", "WARC-Record-ID", "WARC-Target-URI", "WARC-Identified-Payload-Type"):
                if name in record.headers:
                    head.write(f"{name}: {record.headers[name]}\r\n")
            head.write(f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n")
            made.write(gzip.compress(head.getvalue().encode() + body + b"\r\n\r\n", 1, mtime=0))


def _changed(text: bytes, number: int) -> bytes:
    """Every third word of at least four letters gets an ending of its copy's own."""
    ending = b"aeioubcdfg"[number % 10 : number % 10 + 1] * (1 + number // 10)

    def numbered() -> Iterator[bytes]:
        at = 0
        for count, word in enumerate(_WORD.finditer(text)):
            if count % 3 == 0:
                yield text[at : word.end()] + ending
                at = word.end()
        yield text[at:]

    return b"".join(numbered())


def peak(folder: Path, work: Path, workers: int) -> Peak:
    """Runs the recipe over `folder` in processes of its own. Raises CalledProcessError where the run fails."""
    recipe = work.with_suffix(".yaml")
    recipe.write_text(RECIPE.format(folder=folder.absolute()))
    command = [sys.executable, "-m", "tamis", "run", str(recipe), "--json"]
    command += ["--work", str(work), "--workers", str(workers)]
    began, highest = time.perf_counter(), 0
    with work.with_suffix(".out").open("w+") as out, work.with_suffix(".err").open("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        while process.poll() is None:
            highest = max(highest, anonymous_bytes(process.pid))
            time.sleep(SAMPLE_SECONDS)
        wall = time.perf_counter() - began
        for file in (out, err):
            file.seek(0)
        if process.returncode:
            print(err.read()[-3000:], file=sys.stderr)
            raise subprocess.CalledProcessError(process.returncode, command)
        documents = json.load(out)["documents"]
    return Peak(highest, wall, documents, sum(path.stat().st_size for path in folder.iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"the first {QUICK_PAGES} pages, and three times these")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--times", type=int, help="how many times the input; 10, with --quick 3")
    parser.add_argument("--warc", type=Path, nargs="+", help="instead of web/debdocs-*.warc.gz of TAMIS_DATA")
    given = parser.parse_args()
    data = os.environ.get("TAMIS_DATA")
    if not data and not given.warc:
        parser.error("set TAMIS_DATA to the folder of test data, or give --warc")
    warcs = given.warc or [Path(str(data)) / f"web/debdocs-0000{number}.warc.gz" for number in (0, 4)]
    times = given.times or (3 if given.quick else 10)
    peaks: list[Peak] = []
    with tempfile.TemporaryDirectory(prefix="tamis-benchmark-") as made:
        folder = Path(made)
        cut(warcs, folder / "once", QUICK_PAGES if given.quick else None)
        (folder / "often").mkdir()
        for warc in sorted((folder / "once").iterdir()):
            (folder / "often" / warc.name).symlink_to(warc)
            for number in range(1, times):
                copy(warc, folder / "often" / f"{warc.name.removesuffix('.warc.gz')}-{number}.warc.gz", number)
        for name in ("once", "often"):
            peaks.append(peak(folder / name, folder / f"work-{name}", given.workers))
            print(f"  {name}: {peaks[-1]}", file=sys.stderr)
    rows = []
    for count, found in zip((1, times), peaks, strict=True):
        what = (
            f"peak of `tamis run`, {given.workers} workers, {count} x input: {found.documents:,} documents, "
            f"{found.input_bytes / 1e6:.0f} MB of WARC"
        )
        used = found.bytes / 1e6
        rows.append(Row(what, "MB", round(used, 1), "limit", LIMIT_MB, round(LIMIT_MB / used, 2)))
    once, often = (found.bytes / 1e6 for found in peaks)
    what = f"peak at {times} x input, beside the peak at 1 x"
    rows.append(Row(what, "MB", round(often, 1), "1 x input", round(once, 1), round(once / often, 2)))
    said: dict[str, Any] = machine()
    if given.json:
        print(json.dumps({"machine": said, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        show(said, rows)


if __name__ == "__main__":
    main()
