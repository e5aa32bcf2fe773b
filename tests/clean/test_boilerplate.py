"""What is taken for boilerplate, and what is not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tamis.clean import boilerplate as subject
from tamis.clean.edits import apply_edits


def clean(text: str) -> str:
    data = pa.array(["before", text, "after"], pa.large_string())
    made = apply_edits(data, subject.boilerplate_edits(data)).to_pylist()
    assert (made[0], made[2]) == ("before", "after")
    return str(made[1])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Skip to content\nText.", "Text."),
        ("Text.\n\nAdvertisement\n\nMore.", "Text.\n\nMore."),
        ("Text.\n\nShare this post\n\nBack to top ↑\n\nMore.", "Text.\n\nMore."),
        ("Text.\nWe use cookies to improve your experience.", "Text."),
        ("Diese Website verwendet Cookies. Mehr erfahren\nText", "Text"),
        ("本网站使用 Cookie 来改善体验。\n正文。", "正文。"),
        ("Мы используем файлы cookie\nТекст", "Текст"),
        ("Перейти к содержанию\nТекст", "Текст"),
        ("ПЕРЕЙТИ К СОДЕРЖАНИЮ\nТекст", "Текст"),
        ("Please enable JavaScript to view the comments powered by Disqus.\nText", "Text"),
        ("• Home\n• About us\n• Contact\nText", "Text"),
        ("Prev\xa0\t\tUp\t\t\xa0Next\nText", "Text"),
        ("Prev\t\tChapter 3. The text\t\tNext\nText", "Text"),
        ("Home | News | Contact\nText", "Text"),
        ("Lorem ipsum dolor sit amet, consectetur.\nText", "Text"),
        ("Skip to content", ""),
        ("Skip to content\nBack to top", ""),
    ],
)
def test_removed(before: str, after: str) -> None:
    assert clean(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "Home\nis where the heart is.",
        "Next\n\nThe next method returns the next item.\n\nPrevious",
        "He told us to skip to content that matters and to go back to top speed.",
        "We use cookies to " + "explain sessions in this chapter of the handbook of web servers, " * 8,
        "Lesson: " + "how to please enable javascript " * 20,
        'x = "Lorem ipsum dolor sit amet"',
        "a | b | c\n1 | 2 | 3",
        "x\nx\nx\nx",
        "register | register",
        "",
        "\n\n",
    ],
)
def test_kept(text: str) -> None:
    assert clean(text) == text


def test_every_group_has_its_reason() -> None:
    path = Path(subject.__file__).parent / "phrases.yaml"
    content = yaml.safe_load(path.read_text("utf-8"))
    for part in ("lines", "weak", "phrases"):
        for group in content[part]:
            assert group["rule"].startswith("boilerplate.")
            assert len(group["reason"]) > 10


def test_gold_text_of_real_pages_stays(data_dir: Path) -> None:
    """Gold texts hold what people took for a page's text: nearly nothing of it may go."""
    text = pq.read_table(data_dir / "web" / "pages-gold.parquet")["text"].combine_chunks().cast(pa.large_string())
    kept = apply_edits(text, subject.boilerplate_edits(text))
    lost = 1 - sum(map(len, kept.to_pylist())) / sum(map(len, text.to_pylist()))
    assert 0 <= lost < 0.001
