from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.clean.edits import apply_edits, from_lists
from tamis.corpus.kept import kept_batches, kept_task
from tamis.corpus.tally import Tally, total_by_source
from tamis.documents import DOCUMENTS, EDITS, VERDICTS, gids, read_table, write_table


def write(folder: Path, texts: list[str | None], keep: list[bool], *edits: pa.Array) -> list[Path]:
    """documents, verdicts and edits files of one shard."""
    n = len(texts)
    ids = [f"{i:032x}" for i in range(n)]
    none = [None] * n
    documents = pa.table(
        {
            "id": ids,
            "text": pa.array(texts, pa.large_string()),
            "reason": pa.array(none, pa.string()),
            "text_hash": pa.array(none, pa.string()),
            "source": [("web", "wiki")[i % 2] for i in range(n)],
            "url": pa.array(none, pa.string()),
            "date": pa.array(none, pa.string()),
            "meta": ["{}"] * n,
        },
        schema=DOCUMENTS,
    )
    verdicts = pa.table(
        {
            "gid": pa.array(gids(3, n)),
            "id": ids,
            "keep": keep,
            "weight": pa.array([1.0] * n, pa.float32()),
            "reason": pa.array([None if k else "short" for k in keep], pa.string()),
            "reasons": pa.array([[] if k else ["short"] for k in keep], pa.list_(pa.string())),
            "kept_id": pa.array(none, pa.string()),
            "kept_gid": pa.array(none, pa.uint64()),
        },
        schema=VERDICTS,
    )
    paths = [folder / "documents.parquet", folder / "verdicts.parquet"]
    write_table(paths[0], documents, DOCUMENTS)
    write_table(paths[1], verdicts, VERDICTS)
    for number, one in enumerate(edits):
        paths.append(folder / f"edits-{number}.parquet")
        write_table(paths[-1], pa.table({"edits": one}, EDITS), EDITS)
    return paths


def test_kept_rows_are_picked_by_place_and_edited(tmp_path: Path, context: Any) -> None:
    texts = ["menu\nFirst page", "dropped", None, "Zweite Seite, größer", "第三页 cookies"]
    clean = from_lists(5, [0, 4], [0, 9], [5, 17], "", "boilerplate")
    trim = from_lists(5, [3], [0], [6], "2.", "c4")
    inputs = write(tmp_path, texts, [True, False, False, True, True], clean, trim)
    told = kept_task(context, {}, inputs, [tmp_path / "kept.parquet"])
    table = read_table(tmp_path / "kept.parquet")
    assert table.column("text").to_pylist() == ["First page", "2. Seite, größer", "第三页"]
    assert table.column("gid").to_pylist() == [3 << 32, 3 << 32 | 3, 3 << 32 | 4]
    assert table.column("bytes").to_pylist() == [10, 18, 9]
    assert (told["in"], told["out"], told["reasons"]) == (5, 3, {"dropped": 2})
    assert told["sources"]["web"]["documents"] == 2
    assert total_by_source([told, told])["wiki"] == Tally(2, 36, 0, 2.0, 0.0, 36.0)


@given(st.lists(st.tuples(st.text(max_size=30), st.booleans()), max_size=20))
def test_kept_is_the_filter_of_the_edited(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    texts, keep = [text for text, _ in rows], [flag for _, flag in rows]
    long = [i for i, text in enumerate(texts) if text.isascii() and len(text) > 2]
    edits = from_lists(len(rows), long, [1] * len(long), [2] * len(long), "é", "x")
    inputs = write(tmp_path_factory.mktemp("kept"), texts, keep, edits)
    found = [text for batch, _ in kept_batches(inputs[0], inputs[1], inputs[2:]) for text in batch["text"].to_pylist()]
    whole = apply_edits(pa.array(texts, pa.large_string()), edits).to_pylist()
    assert found == [text for text, flag in zip(whole, keep, strict=True) if flag]


def test_files_of_another_run_are_refused(tmp_path: Path, context: Any) -> None:
    documents, verdicts = write(tmp_path, ["one", "two"], [True, True])
    (tmp_path / "other").mkdir()
    _, shorter = write(tmp_path / "other", ["one"], [True])
    with pytest.raises(ValueError, match="one row per document"):
        kept_task(context, {}, [documents, shorter], [tmp_path / "kept.parquet"])
    lost, verdicts = write(tmp_path, ["one", None], [True, True])
    with pytest.raises(ValueError, match="no text"):
        kept_task(context, {}, [lost, verdicts], [tmp_path / "kept.parquet"])
