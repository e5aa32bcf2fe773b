from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis import documents, kernels
from tamis.dedup.options import Options
from tamis.dedup.sketch import schema, sketch, sketch_task
from tamis.dedup.texts import Rows
from tamis.engine import InlineContext

LONG = "one two three four five six seven eight nine ten"


def large(texts: list[str | None]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def test_who_is_nominated() -> None:
    batch = sketch(large([None, "", "... !", "two words", LONG]), Options())
    rows = batch.to_pylist()
    assert [row["hash_hi"] is None for row in rows] == [True, True, True, False, False]
    assert [row["bands"] is None for row in rows] == [True, True, True, True, False]
    assert [row["shingles"] for row in rows] == [0, 0, 0, 1, 6]
    assert [row["chars"] for row in rows] == [0, 0, 5, 9, len(LONG)]


@given(st.lists(st.one_of(st.none(), st.text(max_size=60)), max_size=8), st.integers(0, 8))
def test_a_sketch_does_not_depend_on_its_batch(texts: list[str | None], cut: int) -> None:
    options = Options(bands=2, rows=2)
    whole = sketch(large(texts), options)
    parts = [sketch(large(texts[:cut]), options), sketch(large(texts[cut:]), options)]
    assert pa.Table.from_batches(parts).combine_chunks().equals(pa.Table.from_batches([whole]).combine_chunks())
    assert sketch(large(["x", *texts]).slice(1), options).equals(whole)


def test_a_fused_pass_gives_the_same() -> None:
    texts, options = large([LONG, "two words", LONG + " eleven"]), Options(bands=3, rows=4)
    want = ["minhash", "content_hash", "shingle_count"]
    analysis = kernels.analyse(texts, want=want, permutations=options.permutations, ngram=options.ngram)
    assert sketch(texts, options, analysis).equals(sketch(texts, options))


def test_exact_alone_has_no_bands() -> None:
    options = Options.of({"exact": True, "minhash": None})
    assert schema(options).names == ["hash_hi", "hash_lo", "chars", "shingles"]
    assert sketch(large([LONG]), options).schema == schema(options)


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="neither exact nor minhash"):
        Options.of({"exact": False, "minhash": None})
    with pytest.raises(ValueError, match="0 rows is not a sketch"):
        Options(rows=0)


def test_thresholds_are_not_part_of_the_options() -> None:
    given = {"exact": True, "minhash": {"bands": 14, "rows": 8, "ngram": 5}}
    assert Options.of(given | {"jaccard": 0.7, "guard": {"max_removed": 0.5}}) == Options.of(given)


def edit(start: int, end: int, replacement: str = "") -> dict[str, object]:
    return {"start": start, "end": end, "replacement": replacement, "rule": "test"}


def write(folder: Path, texts: list[str | None], edits: list[list[dict[str, object]]]) -> list[Path]:
    rows = [{"id": str(i), "text": text, "source": "s", "meta": "{}"} for i, text in enumerate(texts)]
    paths = [folder / "documents.parquet", folder / "edits.parquet"]
    documents.write_table(paths[0], pa.Table.from_pylist(rows, documents.DOCUMENTS), documents.DOCUMENTS)
    changes = pa.Table.from_pylist([{"edits": e} for e in edits], documents.EDITS)
    documents.write_table(paths[1], changes, documents.EDITS)
    return paths


def test_the_task_sketches_clean_text(tmp_path: Path) -> None:
    texts = [LONG, None, "menu " + LONG]
    inputs = write(tmp_path, texts, [[], [], [edit(0, 5)]])
    output = tmp_path / "sketch.parquet"
    summary = sketch_task(InlineContext(), {"exact": True, "minhash": {}}, inputs, [output])
    assert summary == {"in": 3, "out": 3, "nominated": 2, "lost": 0}
    found = documents.read_table(output).combine_chunks()
    assert found.equals(pa.Table.from_batches([sketch(large([LONG, None, LONG]), Options())]).combine_chunks())


@pytest.mark.parametrize("edits", [1, 3])
def test_edits_of_another_shard_are_refused(tmp_path: Path, edits: int) -> None:
    inputs = write(tmp_path, [LONG, LONG], [[]] * edits)
    with pytest.raises(documents.DamagedFile, match="rows"):
        sketch_task(InlineContext(), {}, inputs, [tmp_path / "sketch.parquet"])


def test_rows_come_in_any_piece(tmp_path: Path) -> None:
    path = write(tmp_path, ["a"] * 10, [[edit(0, 0, str(i))] for i in range(10)])[1]
    rows = Rows(path, ["edits"])
    found = [e[0]["replacement"] for n in (3, 6, 1) for e in rows.take(n).column("edits").to_pylist()]
    assert found == [str(i) for i in range(10)]
    assert rows.ended()
