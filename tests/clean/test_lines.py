"""Trims against slow references that follow the published code line by line."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.clean.edits import apply_edits
from tamis.clean.lines import trim

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
POLICY = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]


def c4(text: str, *, terminal: bool) -> tuple[list[str], dict[str, int]]:
    """TensorFlow Datasets' order of rules; without `terminal`, datatrove's numbers."""
    kept, count = [], dict.fromkeys(("lines", "lorem_ipsum", "curly", "citations"), 0)
    for line in text.split("\n"):
        line = line.strip()
        count["lines"] += bool(line)
        words = line.split()
        if not line or any(len(word) > 1000 for word in words):
            continue
        citations = len(CITATION.findall(line))
        line = CITATION.sub("", line)
        if terminal and (not line.endswith((".", "?", "!", '"')) or line.endswith("...")):
            continue
        if (len(line.split()) < 5) if terminal else (len(words) < 3):
            continue
        lower = line.lower()
        if "lorem ipsum" in lower:
            count["lorem_ipsum"] += 1
        if "javascript" in lower:
            continue
        if "{" in line and "lorem ipsum" not in lower:
            count["curly"] += 1
        if any(policy in lower for policy in POLICY):
            continue
        count["citations"] += citations
        kept.append(line)
    count["lines_dropped"] = count["lines"] - len(kept)
    count["words_before"] = len(text.split())
    count["words_after"] = len(" ".join(kept).split())
    return kept, count


COUNTER = re.compile(
    r"^\W*\d(?:,|\.|\d)*(?:K|k|M|m|B|b)?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes"
    r"|downloads|views|followers)\W*$",
    re.IGNORECASE,
)


def refinedweb(text: str) -> tuple[list[str], dict[str, int]]:
    kept, lines = [], 0
    for line in text.split("\n"):
        lines += bool(line.strip())
        n = max(len(line), 1)
        if sum(c.isupper() for c in line) / n > 0.5 or sum(c.isdecimal() for c in line) / n > 0.999999:
            continue
        if COUNTER.match(line) or len(line.split()) < 2:
            continue
        if len(line.split()) <= 10:
            line = re.sub(r"\s?items in cart\s?|\s?Read more\.\.\.\s*\Z|\A\s*Sign-in\s?", "", line, flags=re.IGNORECASE)
            if not line.strip():
                continue
        kept.append(line)
    counts = {"lines": lines, "lines_dropped": lines - len(kept), "words_before": len(text.split())}
    return kept, counts | {"words_after": len(" ".join(kept).split())}


def compare(name: str, texts: list[str]) -> None:
    data = pa.array(texts, pa.large_string())
    edits, counters = trim(name, data)  # type: ignore[arg-type]
    edited = apply_edits(data, edits).to_pylist()
    for row, text in enumerate(texts):
        kept, count = refinedweb(text) if name == "refinedweb" else c4(text, terminal=name == "c4")
        assert edited[row].rstrip("\n") == "\n".join(kept).rstrip("\n"), text
        assert {key: int(counters[key][row]) for key in count} == count, text


PIECES = [
    "word", "five plain words are here.", " ", "\t", "\n", "\n", "\n\n", "[1]", "[]", "[edit]", "[citation needed]",
    "...", ".", "!", '"', "…", "lorem ipsum", "JavaScript", "Privacy Policy", "{", "}", "x" * 1001, "15",
    "SHOUT", "1,234 likes", "items in cart", "Read more...", "Sign-in",
    "漢字。", "é", "\u3000", "\xa0", "12K views", "3 comments",
]  # fmt: skip


@pytest.mark.parametrize("name", ["c4", "c4_no_terminal", "refinedweb"])
@settings(deadline=None, max_examples=400)
@given(texts=st.lists(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), min_size=1, max_size=4))
def test_equals_the_slow_reference(name: str, texts: list[str]) -> None:
    compare(name, texts)


@pytest.mark.parametrize("name", ["c4", "c4_no_terminal", "refinedweb"])
def test_equals_the_slow_reference_on_real_texts(data_dir: Path, name: str) -> None:
    for file in ("english", "multilingual"):
        texts = pq.read_table(data_dir / "text" / f"{file}.parquet", columns=["text"])["text"][:300].to_pylist()
        compare(name, [t[:20000].replace("\r", " ") for t in texts])


def test_rules_and_spans() -> None:
    text = "Menu\n\nThis line has five words[1] in it.\nno end here\n\nPlease enable JavaScript in your browser."
    edits, _ = trim("c4", pa.array([text], pa.large_string()))
    assert [(text[e["start"] : e["end"]], e["rule"]) for e in edits[0].as_py()] == [
        ("Menu\n\n", "c4.terminal"),
        ("[1]", "c4.citation"),
        ("no end here\n\n", "c4.terminal"),
        ("Please enable JavaScript in your browser.", "c4.javascript"),
    ]


def test_empty_batch() -> None:
    edits, counters = trim("c4", pa.array([], pa.large_string()))
    assert len(edits) == 0
    assert len(counters["lines"]) == 0
