import html
import re

from hypothesis import given
from hypothesis import strategies as st

from tamis.web.guideline import guideline_html
from tamis.web.inert import shown
from web.hostile import HOSTILE

MARK = re.compile(r'<b class="mark" data-mark="(CR|U\+[0-9A-F]{4,6})"></b>')


@given(st.text(max_size=200) | st.sampled_from(HOSTILE))
def test_text_is_never_markup_and_keeps_its_length(text: str) -> None:
    page = shown(text, 10_000).html
    assert "<" not in MARK.sub("", page)
    # What a browser counts: a mark is one code point, everything else is the text itself.
    read = html.unescape(MARK.sub("\0", page)) if "&#x0" not in page else ""
    if "\0" not in read.replace("\0", "", len(MARK.findall(page))):
        assert len(read) == len(text)


def test_hidden_marks_are_spelt_out_and_long_texts_are_cut() -> None:
    page = shown("a\u202eb\r\nc\x00", 100)
    assert page.html == (
        'a<b class="mark" data-mark="U+202E"></b>b<b class="mark" data-mark="CR"></b>\nc'
        '<b class="mark" data-mark="U+0000"></b>'
    )
    cut = shown("é" * 5_000_000, 40_000)
    assert (len(cut.html), cut.rest) == (40_000, 4_960_000)


def test_a_guideline_is_markdown_without_html_pictures_or_scripts() -> None:
    page = guideline_html(
        "# Title\n\n<script>x</script> <b>b</b> ![p](https://evil.example/p.png) [bad](javascript:x) "
        "[good](https://example.org)\n\n|a|\n|-|\n|1|\n"
    )
    assert "<h1>Title</h1>" in page
    assert "<table>" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert "<img" not in page
    assert 'href="javascript' not in page
    assert '<a href="https://example.org" rel="noopener noreferrer" target="_blank">good</a>' in page
