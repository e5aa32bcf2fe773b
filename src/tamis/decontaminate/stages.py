"""The stages of decontamination: evaluation sets to a file of items, a sample of the corpus to counts of their n-grams.

The counts come from a sample, not from all documents, because every document's score depends on them: at most
`SHARDS` shards, evenly spaced, and of each the first `SAMPLE_BYTES` of clean text (1 GB in all), are enough to know
what is common (an n-gram that 10 of them hold stands in about one of 100,000 documents), and a corpus that grows by
shards has its counts made again, not its other signals.

Memory: the index in every worker (see `index`), and 16 bytes for each different n-gram found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.clean.edits import apply_edits
from tamis.decontaminate import items
from tamis.decontaminate.index import COMMON, Index, load, make
from tamis.decontaminate.search import candidates, normals, seeds
from tamis.documents import read_batches, read_table, write_table
from tamis.engine import Context, Engine
from tamis.recipe import Decontaminate
from tamis.stage import File, Manifest, Stage, Task, hash_file
from tamis.workspace import Progress, Workspace

# 1: the first.
COMMON_VERSION = 1

SHARDS = 64
SAMPLE_BYTES = 16 << 20


class Asking(Protocol):
    """What prepares: a signal group or edits with the settings of `settings_of`."""

    @property
    def params(self) -> Mapping[str, Any]: ...

    @property
    def paths(self) -> Mapping[str, str]: ...


class Given(Protocol):
    """`asked.Preparation`."""

    @property
    def work(self) -> Workspace: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def progress(self) -> Progress: ...

    @property
    def documents(self) -> tuple[Manifest, ...]: ...

    @property
    def edits(self) -> tuple[File, ...]: ...


def settings_of(settings: Decontaminate) -> tuple[dict[str, Any], dict[str, str]]:
    """(params, paths) of everything that reads the index: which sets, with the content hash of each of their files.
    Raises BadSet for a set without files and for a name that two sets have."""
    known: set[str] = set()
    for one in settings.sets:
        if one.name in known:
            raise items.BadSet(f"two evaluation sets are named {one.name}: items are told apart by SET/ID, rename one")
        known.add(one.name)
    paths: dict[str, str] = {}
    hashes: list[str] = []
    numbers: dict[Path, int] = {}
    sets = []
    for one in settings.sets:
        for file in (found := items.set_files(one.name, one.paths)):
            if file not in numbers:
                numbers[file] = len(numbers)
                paths[f"file{numbers[file]}"] = str(file)
                hashes.append(hash_file(file))
        body = one.model_dump(mode="json", exclude={"path"})
        sets.append({**body, "files": [numbers[file] for file in found]})
    return {"sets": sets, "files": hashes, "ngram": settings.ngram, "words": settings.words}, paths


def check(settings: Decontaminate) -> None:
    """`items.check_set` of every set. Raises BadSet."""
    for one in settings.sets:
        items.check_set(one.model_dump(mode="json"), items.set_files(one.name, one.paths), one.model_fields_set)


def prepare(asking: Asking, given: Given) -> dict[str, File]:
    """The files `items` and `common`, made where they are not. Raises TaskFailed (with BadSet's message)."""
    asked = {key: asking.params[key] for key in ("sets", "files", "ngram", "words")}
    outputs = prepared(asked)
    home = str(Path(outputs["items"]).parent)
    files = tuple(
        File(asking.paths[f"file{n}"], Path(asking.paths[f"file{n}"]).stat().st_size, content)
        for n, content in enumerate(asked["files"])
    )
    task = Task("items", (outputs["items"],), files, {"sets": asked["sets"], "words": asked["words"]})
    stage = Stage(f"{home}/items", items.items_task, items.VERSION)
    (made,) = given.work.map(given.engine, stage, [task], given.progress)

    step = max(1, -(-len(given.documents) // SHARDS))
    chosen = list(zip(given.documents, given.edits, strict=True))[::step]
    params = {"ngram": asked["ngram"], "words": asked["words"]}
    sample = Stage(f"{home}/sample", sample_task, COMMON_VERSION)
    given.work.forget(sample.name, [manifest.task for manifest, _ in chosen])
    tasks = [
        Task(m.task, (f"{home}/sample/{m.task}.parquet",), (made.files[0], m.files[0], edits), params)
        for m, edits in chosen
    ]
    sampled = given.work.map(given.engine, sample, tasks, given.progress)
    stage = Stage(f"{home}/common", common_task, COMMON_VERSION)
    summing = Task("common", (outputs["common"],), tuple(m.files[0] for m in sampled))
    (common,) = given.work.map(given.engine, stage, [summing], given.progress)
    return {"items": made.files[0], "common": common.files[0]}


def load_index(params: Mapping[str, Any], paths: Mapping[str, str]) -> Index:
    """The index of prepared files, kept in the process while they stay as they are; where they were not prepared (a
    receipt of one document), of the evaluation sets themselves, in which case no common phrase is known."""
    if "items" not in paths:
        return _from_sets(json.dumps(params, sort_keys=True), tuple(sorted(paths.items())))
    names = [paths[name] for name in ("items", "common") if name in paths]
    stamps = [(Path(name).stat().st_size, Path(name).stat().st_mtime_ns) for name in names]
    return load(paths["items"], params["ngram"], params["words"], paths.get("common"), str(stamps))


@lru_cache(maxsize=1)
def _from_sets(params: str, paths: tuple[tuple[str, str], ...]) -> Index:
    asked, files = json.loads(params), dict(paths)
    cache: dict[Path, pa.Table] = {}
    sets = [
        (one["name"], items.read_set(one, [Path(files[f"file{n}"]) for n in one["files"]], cache))
        for one in asked["sets"]
    ]
    return make(items.distinct_items(sets, asked["words"]), asked["ngram"], asked["words"])


def prepared(params: Mapping[str, Any]) -> dict[str, str]:
    """Where in a workspace the files of `prepare` lie."""
    asked = {key: params[key] for key in ("sets", "files", "ngram", "words")}
    home = f"decontaminate/{hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=4).hexdigest()}"
    return {"items": f"{home}/items.parquet", "common": f"{home}/common.parquet"}


def sample_task(
    context: Context, params: Mapping[str, Any], inputs: Sequence[Path], outputs: Sequence[Path]
) -> dict[str, Any]:
    """Counts in how many of the first documents of a shard each n-gram of the items stands.

    inputs: items, documents, clean edits; outputs: COMMON. params: ngram, words.
    """
    index = load_index(params, {"items": str(inputs[0])})
    counts = np.zeros(len(index.grams), np.int64)
    documents = size = 0
    edits = read_table(Path(inputs[2]), ["edits"]).column("edits").combine_chunks()
    for batch in read_batches(Path(inputs[1]), ["text"]):
        text = pc.fill_null(batch.column("text"), "")
        text = apply_edits(text, edits.slice(documents, len(text)))
        count(index, text, counts)
        documents += len(text)
        size += text.nbytes
        context.advance(len(text))
        if size >= SAMPLE_BYTES:
            break
    write_table(outputs[0], common_table(index, counts), COMMON)
    return {"documents": documents}


def count(index: Index, text: pa.LargeStringArray, counts: np.ndarray) -> None:
    """Adds one to `counts` (n-grams of the index,) for every document in which an n-gram stands."""
    rows = candidates(index, text)
    for normal in normals(index, text.take(pa.array(rows))):
        counts[np.unique(seeds(index, index.numbers(normal))[1])] += 1


def common_table(index: Index, counts: np.ndarray) -> pa.Table:
    """COMMON of the n-grams that were found, ordered."""
    rows = np.flatnonzero(counts)
    return pa.Table.from_arrays([pa.array(index.grams[rows]), pa.array(counts[rows])], schema=COMMON)


def common_task(
    context: Context, params: Mapping[str, Any], inputs: Sequence[Path], outputs: Sequence[Path]
) -> dict[str, Any]:
    """Sums COMMON files. Memory: 32 bytes for every n-gram found in any of them."""
    table = pa.concat_tables([read_table(path) for path in inputs]) if inputs else COMMON.empty_table()
    ngrams, number = np.unique(table.column("ngram").to_numpy(), return_inverse=True)
    sums = np.bincount(number, weights=table.column("documents").to_numpy(), minlength=len(ngrams)).astype(np.int64)
    write_table(outputs[0], pa.Table.from_arrays([pa.array(ngrams), pa.array(sums)], schema=COMMON), COMMON)
    return {"ngrams": len(ngrams)}
