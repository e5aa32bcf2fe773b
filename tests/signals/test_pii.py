"""The searched neighbourhoods hold everything that a search of the whole text finds."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from tamis.signals import pii
from tamis.signals.identifiers import KINDS, Span, find


def whole(texts: list[str]) -> list[tuple[int, Span]]:
    return [(row, span) for row, text in enumerate(texts) for span in find(text.encode())]


_PIECES = st.sampled_from(
    ["jane@site.org", "82.50.72.202", "GB82 WEST 1234 5698 7654 32", "4111 1111 1111 1111", "+49 30 12345678",
     "(214) 654-5555", "Tel 467 3395", "078-05-1120", "2001:67c:2564:a119::77", "a:b:c:d", "12 ", " ", "\n", "x",
     "1234567", "漢", ".", "-", "@"]
)  # fmt: skip


@given(st.lists(st.lists(_PIECES, max_size=7).map("".join), max_size=4))
def test_equals_a_search_of_the_whole_text(texts: list[str]) -> None:
    assert pii.spans(pa.array(texts, pa.large_string())) == whole(texts)


def test_real_text(data_dir) -> None:
    rows = json.loads((data_dir / "pii/synth_dataset_v2.json").read_text(encoding="utf-8"))
    texts = [row["full_text"] for row in rows]
    texts += pq.read_table(data_dir / "text/multilingual.parquet", columns=["text"])["text"].to_pylist()[:400]
    assert pii.spans(pa.array(texts, pa.large_string())) == whole(texts)


def test_counts(batch) -> None:
    out = pii.compute(batch(["a@b.org, c@d.org and 82.50.72.202", "", None]), {})
    assert out["emails"].to_pylist() == [2, 0, 0]
    assert out["ips"].to_pylist() == [1, 0, 0]
    assert set(out) == {f"{kind}s" for kind in KINDS}


def test_documents_do_not_touch_each_other() -> None:
    assert len(pii.spans(pa.array(["0x", "4111 1111 1111 1111", "4111111111111111"], pa.large_string()))) == 2
