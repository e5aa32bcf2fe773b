from __future__ import annotations

from tamis.signals import lines


def measured(compute, batch, *texts: str) -> list[dict[str, object]]:
    columns = compute(batch(texts), {})
    return [{name: values[i].as_py() for name, values in columns.items()} for i in range(len(texts))]


def test_c4_counts_what_ends_a_page(batch) -> None:
    page = (
        "This line is about lorem ipsum and more.\nshort line\n"
        "Here is some code { with braces }.\nWe all agree [1] on this line."
    )
    row, empty = measured(lines.compute_c4, batch, page, "")
    assert (row["lorem_ipsum"], row["curly"], row["citations"]) == (1, 1, 1)
    assert (row["lines"], row["lines_dropped"]) == (4, 1)
    assert 0 < row["removed_words"] < 0.5
    assert (empty["lines"], empty["removed_words"]) == (0, None)


def test_refinedweb_counts_removed_words(batch) -> None:
    page = "An ordinary line of eight words stands here.\n1,234 likes\nHOME"
    (row,) = measured(lines.compute_refinedweb, batch, page)
    assert row == {"lines": 3, "lines_dropped": 2, "removed_words": 3 / 11}
